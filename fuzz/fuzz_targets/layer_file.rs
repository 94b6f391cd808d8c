//! The fuzzer's way into [`sealift_fuzz::layer_file`]; built without `--cfg fuzzing`, it replays the files it is given.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealift_fuzz::layer_file(input));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    sealift_fuzz::replay(sealift_fuzz::layer_file, std::env::args_os().skip(1))
}
