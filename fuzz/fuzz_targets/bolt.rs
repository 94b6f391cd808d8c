//! The fuzzer's way into [`sealift_fuzz::bolt`]; built without `--cfg fuzzing`, it replays the files it is given.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealift_fuzz::bolt(input));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    sealift_fuzz::replay(sealift_fuzz::bolt, std::env::args_os().skip(1))
}
