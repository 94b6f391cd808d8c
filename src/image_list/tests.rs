//! Lists as they come, and as they should not.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<ImageList, ListError> {
    ImageList::read("list", text.as_bytes())
}

/// The images in `text`, without `docker.io/library/`.
fn names(text: &str) -> Vec<String> {
    let list = read(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let short = |reference: &Reference| reference.to_string().replace("docker.io/library/", "");
    list.references.iter().map(short).collect()
}

fn notes(text: &str) -> Vec<String> {
    read(text).unwrap().notes.iter().map(Note::to_string).collect()
}

fn error(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn pod(image: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: c\n    image: {image}\n")
}

#[test]
fn a_plain_list_has_a_name_a_line() {
    let digest = format!("n@sha256:{}", "a".repeat(64));
    for (text, expected) in [
        ("nginx:1.25\nredis", vec!["nginx:1.25", "redis:latest"]),
        ("# all\n\n  a:1  \t\r\nb:2 # why\r\nc:3\t#why", vec!["a:1", "b:2", "c:3"]),
        ("\u{feff}a:1\na:1\nb:1\ndocker.io/library/a:1", vec!["a:1", "b:1"]),
        (&digest, vec![&digest]),
        ("localhost:5000/a/b:c\n# kind: Pod", vec!["localhost:5000/a/b:c"]),
    ] {
        assert_eq!(names(text), expected, "{text}");
    }
}

#[test]
fn powershell_writes_utf_16() {
    let little = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let big = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    for bytes in [little("\u{feff}a:1\r\nb:2\r\n"), big("\u{feff}a:1\r\nb:2\r\n")] {
        assert_eq!(ImageList::read("list", &bytes).unwrap().references.len(), 2);
    }
    for bytes in [&b"\xff\xfea"[..], b"\xff\xfe\x00\xd8", b"a\xff", b"\xef\xbb\xbf\xff"] {
        assert_eq!(ImageList::read("l", bytes), Err(ListError::NotText { list: "l".into() }));
    }
}

#[test]
fn compose_services_name_images() {
    for (text, expected) in [
        ("services: {web: {image: nginx}, db: {image: 'pg:16'}}", vec!["nginx:latest", "pg:16"]),
        ("services:\n  a: {image: x:1}\n  b: {build: ., image: y:1}\n  c: {build: .}", vec!["x:1", "y:1"]),
        ("x-a: &a\n  image: x:1\nservices:\n  b:\n    <<: *a\n    restart: always", vec!["x:1"]),
        (
            "services: {a: {image: 'x:${TAG:-1.2}'}, b: {image: '${R:-h:5000}/y'}}",
            vec!["x:1.2", "h:5000/y:latest"],
        ),
        (
            "services: {a: {image: x, volumes: [v:/v, {type: image, source: data:1}]}}",
            vec!["x:latest", "data:1"],
        ),
    ] {
        assert_eq!(names(text), expected, "{text}");
    }
}

#[test]
fn what_compose_leaves_open_is_said() {
    let text = "include: [more.yaml]\nservices:\n  a: {build: .}\n  b: {image: 'x:${TAG:-1}'}\n  c: {}\n  \
                d: {extends: {file: base.yaml, service: d}}\n  e: {extends: {service: b}}";
    assert_eq!(
        notes(text),
        [
            "list, line 1: `include` names another file, which is not read; give it with --file too",
            "list, line 3, service `a`: skipped, it is built and has no `image`",
            "list, line 4, service `b`: `TAG` is `1`, its default",
            "list, line 5, service `c`: skipped, it has no `image`",
            "list, line 6, service `d`: `extends` names another file, which is not read; give it with --file too",
        ]
    );
}

#[test]
fn kubernetes_kinds_that_make_pods() {
    let spec = "{initContainers: [{image: i}], containers: [{image: c}, {name: none}], ephemeralContainers: \
                [{image: e}], volumes: [{image: {reference: v}}]}";
    let all = ["i:latest", "c:latest", "e:latest", "v:latest"];
    let template = format!("spec: {{template: {{spec: {spec}}}}}");
    assert_eq!(names(&format!("apiVersion: v1\nkind: Pod\nspec: {spec}")), all);
    for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"] {
        assert_eq!(names(&format!("apiVersion: apps/v1\nkind: {kind}\n{template}")), all, "{kind}");
    }
    let cron = format!("apiVersion: batch/v1\nkind: CronJob\nspec: {{jobTemplate: {{{template}}}}}");
    assert_eq!(names(&cron), all);
    let pod_template = format!("apiVersion: v1\nkind: PodTemplate\ntemplate: {{spec: {spec}}}");
    assert_eq!(names(&pod_template), all);
    let pods = format!("apiVersion: v1\nkind: PodList\nitems: [{{spec: {spec}}}]");
    assert_eq!(names(&pods), all);
    let json = r#"{"apiVersion": "v1", "kind": "List", "items": [
	{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "j"}]}}]}"#;
    assert_eq!(names(json), ["j:latest"]);
}

#[test]
fn other_kinds_are_passed_over() {
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\ndata: {{image: '${{X}}'}}\n---\n# nothing\n---\n{}---\n{}",
        pod("a"),
        pod("b").replace("v1", "example.com/v1")
    );
    assert_eq!(names(&text), ["a:latest"]);
    assert_eq!(names("services: {a: {image: a}}\n---\nx: 1\n"), ["a:latest"]);
}

#[test]
fn errors_name_the_file_and_the_place() {
    for (text, expected) in [
        ("a:1\n\nb:${TAG}", "list, line 3: the variable `TAG` has no value"),
        ("a:$TAG", "list, line 1: the variable `TAG` has no value"),
        ("a:${TAG:-1}", "list, line 1: the variable `TAG` has no value"),
        ("a:1\nB:2", "list, line 2: this is not an image"),
        ("# nothing", "list names no image"),
        ("", "list names no image"),
        ("a: 1\nb: 2", "list is YAML, but has neither `services` nor `apiVersion` and `kind`"),
        ("services: {a: {build: .}}", "list names no image"),
        ("services:\n  a:\n    image: x:$TAG", "list, line 3, service `a`: the variable `TAG` has no value"),
        (
            "services: {a: {image: 'x:${TAG:?which?}'}}",
            "list, line 1, service `a`: the variable `TAG` has no value (which?)",
        ),
        ("services: {a: {image: [x]}}", "list, line 1, service `a`: an `image` is a text"),
        ("services: [a]", "list, line 1: `services` is a mapping of names to services"),
        ("services: {a: x}", "list, line 1, service `a`: a service is a mapping"),
        (
            "services: {a: {image: '${'}}",
            "list, line 1, service `a`: a variable is `$NAME`, `${NAME}` or `${NAME:-default}`, a dollar `$$`",
        ),
        (&pod("x:${TAG:=1}"), "list, line 6, Pod, container `c`: the variable `TAG` has no value"),
        (
            &pod("'{{ .Values.image }}'"),
            "list, line 6, Pod, container `c`: the variable `{{ .Values.image }}` has no value",
        ),
        (&pod("{{ .Values.image }}"), "list, line 6, Pod, container `c`: an image is a text"),
        (&pod("X"), "list, line 6, Pod, container `c`: this is not an image"),
        (&format!("a:1\n{}", "x".repeat(1025)), "list, line 2: a name has at most 1024 bytes"),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn broken_yaml_is_told_with_line_and_column() {
    for (text, at) in [
        ("services:\n  a: {image: x\n", (3, 1)),
        ("services:\n  a:\n    image: x\n   b: 1", (4, 4)),
        ("kind: Pod\nkind: Job", (2, 1)),
        (&format!("{}---\nspec: [", pod("x")), (9, 1)),
    ] {
        let Err(ListError::Yaml { line, column, .. }) = read(text) else {
            panic!("{text}: {:?}", read(text))
        };
        assert_eq!((line, column), at, "{text}");
    }
}

#[test]
fn a_bad_reference_keeps_its_position() {
    let Err(ListError::Reference { source, .. }) = read("a:1\n  host/Bad:1 # x") else { panic!() };
    assert_eq!((&*source.text, source.position), ("host/Bad:1", 5));
}

#[test]
fn bombs_are_refused() {
    let laughs = |reference: &str| {
        let levels: String = (1..40)
            .map(|level| reference.replace('M', &(level - 1).to_string()).replace('N', &level.to_string()))
            .collect();
        levels
    };
    let merges = laughs("xN: &xN {<<: [*xM, *xM, *xM], kN: 1}\n");
    let text = format!("x0: &x0 {{image: a}}\n{merges}services: {{a: *x39}}");
    assert_eq!(names(&text), ["a:latest"], "shared, not copied");
    let lists = laughs("xN: &xN {apiVersion: v1, kind: List, items: [*xM, *xM]}\n");
    let text = format!("x0: &x0 {{}}\n{lists}apiVersion: v1\nkind: List\nitems: [*x39]");
    assert!(error(&text).contains("too deep"));
    let each = |count: usize, text: &str| -> Vec<String> {
        (0..count).map(|n| text.replace('N', &n.to_string())).collect()
    };
    let (wide, many) = (each(20_000, ", kN: 1").concat(), each(20_000, "  sN: *wide\n").concat());
    let text = format!("wide: &wide {{image: a{wide}}}\nservices:\n{many}");
    assert!(error(&text).contains("aliases and merges"), "{}", error(&text));
    assert!(error(&format!("services: {}", "[".repeat(100_000))).contains("recursion limit"));
    assert!(error(&format!("services:\n{}", "- ".repeat(100_000))).contains("nested deeper"));
    assert!(error(&format!("services: [{}", "a,".repeat(600_000))).contains("more entries"));
    let names = each(MAX_IMAGES + 1, "nN\n").concat();
    assert_eq!(error(&names), "list, line 10001: a list names at most 10000 images");
    assert!(error(&" ".repeat(MAX_BYTES + 1)).contains("larger than 4 MiB"));
}

/// What a scanner may stumble over, alone and repeated.
const UNITS: &[&str] = &[
    "[",
    "{",
    "]",
    "}",
    ",",
    ":",
    "- ",
    "? ",
    "a: ",
    "[a,",
    "{a,",
    "- a\n",
    "\"",
    "'",
    "# ",
    " ",
    "\n",
    "\t",
    "&a ",
    "!a ",
    "a\n",
    "*a ",
    "---\n",
    "...\n",
    "--- ",
    "%",
    "|\n",
    "- - a\n ",
    "a:\n",
    "{a: b, ",
    "\"a\": ",
    "[[]],",
    "? a\n",
    "\\",
    "é",
    "- [",
    "a: {",
    "- |\n ",
    "> ",
    "$",
    "${",
    "${a:-",
    "{{",
    "services:\n",
    "kind: Pod\n",
    "apiVersion: v1\n",
    "image: ",
    "  ",
    "<<: ",
    "spec:\n",
    "\u{feff}",
    "\r\n",
    "\0",
];

#[test]
fn every_text_takes_time_in_proportion_to_its_size() {
    for unit in UNITS {
        for start in ["", "services:\n - ", "apiVersion: [", "--- "] {
            let text = format!("{start}{}", unit.repeat((MAX_BYTES / 32) / unit.len()));
            let started = Instant::now();
            let _ = read(&text);
            // Milliseconds; were it quadratic, a minute.
            assert!(
                started.elapsed() < Duration::from_secs(5),
                "{start:?} {unit:?}: {:?}",
                started.elapsed()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_gives_references_or_an_error(text in "(?s).{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn any_bytes_give_references_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ImageList::read("list", &bytes);
    }

    #[test]
    fn any_yaml_gives_references_or_an_error(units in prop::collection::vec(prop::sample::select(UNITS), 0..60)) {
        let _ = read(&units.concat());
        let _ = read(&format!("services:\n  a: {}", units.concat()));
        let _ = read(&format!("apiVersion: v1\nkind: Pod\n{}", units.concat()));
    }
}
