//! `docs/cli.md` is the `--help` of every command; completions and manual pages cover the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, reads its environment and writes what it likes"
)]

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

const PAGE: &str = "docs/cli.md";

/// What the binary prints, in a folder and with no settings of this machine's.
fn printed(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealift"));
    let output = command.env_clear().args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The commands below one, by its help.
fn commands_in(help: &str) -> Vec<&str> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

/// Visits a command and all below it with their help.
fn visit(path: &[&str], each: &mut dyn FnMut(&[&str], &str)) {
    let help = printed(&[path, &["--help"]].concat());
    each(path, &help);
    for name in commands_in(&help) {
        visit(&[path, &[name]].concat(), each);
    }
}

fn generated() -> String {
    let mut page = "# Commands\n\nWhat `--help` prints; a test keeps this page the same.\n".to_owned();
    visit(&[], &mut |path, help| {
        let name = [&["sealift"], path].concat().join(" ");
        let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", help.trim_end()).unwrap();
    });
    page
}

#[test]
fn the_page_of_commands_is_what_help_prints() {
    let page = generated();
    assert!(page.contains("## `sealift pull`") && page.contains("## `sealift config show`"), "{page}");
    if env::var_os("UPDATE").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    assert!(
        fs::read_to_string(PAGE).is_ok_and(|written| written == page),
        "{PAGE} is not what --help prints; to renew it: UPDATE=1 cargo test --test cli_docs"
    );
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("man1");
    let paths = printed(&["man", folder.to_str().unwrap()]);
    let mut expected = Vec::new();
    visit(&[], &mut |path, _| expected.push([&["sealift"], path].concat().join("-") + ".1"));
    let mut written: Vec<&str> =
        paths.lines().map(|path| Path::new(path).file_name().unwrap().to_str().unwrap()).collect();
    written.sort_unstable();
    expected.sort_unstable();
    assert_eq!(written, expected);
    for name in written {
        let page = fs::read_to_string(folder.join(name)).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    assert_eq!(printed(&["man"]), fs::read_to_string(folder.join("sealift.1")).unwrap());
}

#[test]
fn each_shell_has_its_completions() {
    for (shell, word) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef sealift"),
        ("fish", "complete -c sealift"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = printed(&["completions", shell]);
        assert!(script.contains(word) && script.contains("platform"), "{shell}: {script}");
    }
}
