//! Every archive of the corpus: what is told of it, and what becomes of it when it is mended.

use std::collections::BTreeSet;
use std::fs;

use crate::fixture::{Fixture, Mended, Told};
use crate::pieces::app;
use crate::{documents, exact, layers, legacy, names, packings, tar, whole};

/// All kinds of problems: `Problem::kind` has no others.
const KINDS: [&str; 36] = [
    "altered",
    "ambiguous-entry",
    "backslash",
    "bad-name",
    "below-a-link",
    "document",
    "document-too-large",
    "duplicate-entry",
    "in-a-folder",
    "in-one-part",
    "inflate",
    "io",
    "layer-count",
    "layers-differ",
    "layers-out-of-order",
    "leads-out",
    "legacy-metadata",
    "loader",
    "manifest",
    "missing-entry",
    "names-differ",
    "no-end",
    "no-images",
    "no-manifest-json",
    "no-name",
    "no-oci-layout",
    "repositories",
    "same-name",
    "tar",
    "too-many",
    "truncated",
    "wrong-diff-id",
    "wrong-digest",
    "wrong-file",
    "wrong-platform",
    "wrong-size",
];

pub(crate) fn fixtures() -> impl Iterator<Item = &'static Fixture> {
    let themes = [
        whole::WHOLE,
        tar::TAR,
        documents::DOCUMENTS,
        names::NAMES,
        layers::LAYERS,
        exact::EXACT,
        legacy::LEGACY,
        packings::PACKINGS,
    ];
    themes.into_iter().flatten()
}

#[test]
fn every_archive_has_the_problems_and_verdicts_that_are_expected() {
    let mut differing = Vec::new();
    for fixture in fixtures() {
        let sandbox = fixture.sandbox();
        let output = sandbox.output(&fixture.verify(&["--json", "--progress", "none"]));
        let told = Told::of(&output);
        let code = if fixture.kinds.is_empty() { 0 } else { 3 };
        let found = (output.status.code(), told.kinds(), told.loads());
        if found != (Some(code), fixture.kinds.to_vec(), fixture.loads.to_owned()) {
            differing.push(format!("{}: {found:?}", fixture.name));
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
}

#[test]
fn every_archive_is_told_in_words() {
    for fixture in fixtures() {
        let sandbox = fixture.sandbox();
        let shown = sandbox.run(&fixture.verify(&["--progress", "none"]));
        insta::with_settings!({description => fixture.made, omit_expression => true, prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(format!("verify__{}", fixture.name), shown);
        });
    }
}

#[test]
fn every_kind_of_problem_occurs() {
    let source = fs::read_to_string("src/archived/problem.rs").unwrap();
    let kinds = source.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> \""));
    let kinds: BTreeSet<_> = kinds.map(|(_, kind)| kind.trim_end_matches("\",")).collect();
    assert_eq!(kinds, BTreeSet::from(KINDS), "the list here is complete");
    let occurring: BTreeSet<_> = fixtures().flat_map(|fixture| fixture.kinds).copied().collect();
    assert_eq!(occurring, kinds);
}

#[test]
fn each_name_and_making_is_told_in_the_readme() {
    let mut text = String::from(
        "# Archives, whole and broken\n\n\
        Made in memory by `tests/verify/` when they are needed, of the pieces in `tests/support/`: `app:1` is an image of\n\
        three layers, `other:2` shares the first. Written by `UPDATE=1 cargo test --test verify readme`.\n\n\
        | archive | how it is made | problems |\n|---|---|---|\n",
    );
    let mut names = BTreeSet::new();
    for Fixture { name, made, kinds, .. } in fixtures() {
        assert!(names.insert(name), "{name} is there twice");
        text.extend(["| `", name, "` | ", made, " | ", &kinds.join(", "), " |\n"]);
    }
    let path = "fixtures/archives/README.md";
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap_or_default(), text, "UPDATE=1 writes it anew");
}

#[test]
fn what_can_be_mended_is_and_the_rest_is_left() {
    for fixture in fixtures() {
        let (name, sandbox) = (fixture.name, fixture.sandbox());
        let fix = |output: &str, more: &[&str]| {
            let arguments =
                [&["verify", "x.tar", "--fix", "-o", output, "--progress", "none"], more].concat();
            sandbox.output(&arguments)
        };
        let mut more: &[&str] = &[];
        if matches!(fixture.mended, Mended::Named | Mended::No) {
            let refused = fix("y.tar", more);
            assert_eq!(refused.status.code(), Some(3), "{name}");
            let error = String::from_utf8(refused.stderr).unwrap();
            assert!(error.contains("hint: "), "{name}: {error}");
            assert!(error.contains("--tag") || fixture.mended == Mended::No, "{name}: {error}");
            assert_eq!(sandbox.files(), ["x.tar"], "{name}: nothing is written");
            more = &["--tag", "named:1"];
        }
        if fixture.mended == Mended::No {
            continue;
        }
        let mended = fix("y.tar", more);
        let talk = String::from_utf8(mended.stderr).unwrap();
        let is_part = fixture.mended == Mended::Part;
        assert_eq!(mended.status.code(), Some(if is_part { 3 } else { 0 }), "{name}: {talk}");
        assert_eq!(talk.contains("left out: "), is_part, "{name}: {talk}");
        let told = Told::of(&sandbox.output(&["verify", "y.tar", "--json", "--progress", "none"]));
        assert_eq!(told.0["is_exact"], true, "{name}: {}", told.0);
        if fixture.mended != Mended::Named {
            assert_eq!(
                talk.contains("a new digest"),
                matches!(fixture.mended, Mended::New | Mended::Part),
                "{name}: {talk}"
            );
        }
        if fixture.mended == Mended::Kept && fixture.theme_is_app() {
            let raw = sandbox.output(&["inspect", "y.tar", "--raw"]).stdout;
            assert_eq!(raw, app().manifest, "{name}: the registry's manifest, byte for byte");
        }
        let again = fix("z.tar", more);
        assert_eq!(again.status.code(), mended.status.code(), "{name}");
        let read = |file: &str| fs::read(sandbox.out().join(file)).unwrap();
        assert!(read("y.tar") == read("z.tar"), "{name}: the same bytes twice");
        let refused = fix("y.tar", more);
        assert_eq!(refused.status.code(), Some(7), "{name}: what is there stays");
        assert!(read("y.tar") == read("z.tar"), "{name}: what is there stays");
    }
}
