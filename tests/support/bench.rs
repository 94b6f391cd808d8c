//! An image in a registry, what its archive has to be, and pulls of it that go wrong.

use std::fs;
use std::process::{Child, Output, Stdio};

use sealift::image::Digest;

use super::image::TestImage;
use super::layer::{Layer, push_layers};
use super::registry::TestRegistry;
use super::sandbox::Sandbox;

/// How layers are stored: as they are, or inflated by way of a spool.
pub(crate) const MODES: [&str; 2] = ["keep", "plain"];

/// A mode and where the archive goes: `x.tar`, or `-` for stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) mode: &'static str,
    pub(crate) output: &'static str,
}

/// Every way to pull.
pub(crate) fn ways() -> impl Iterator<Item = Way> {
    let outputs = |mode| ["x.tar", "-"].map(|output| Way { mode, output });
    MODES.into_iter().flat_map(outputs)
}

pub(crate) struct Bench {
    pub(crate) registry: TestRegistry,
    pub(crate) sandbox: Sandbox,
    pub(crate) image: TestImage,
    /// The sizes of the layers' blobs.
    pub(crate) sizes: Vec<u64>,
    /// Options of every pull.
    pub(crate) options: Vec<String>,
    right: [Vec<u8>; 2],
}

impl Bench {
    /// An image of gzip'd tars of about these sizes.
    pub(crate) fn new(sizes: &[usize]) -> Self {
        Self::with(sizes, |bench| bench)
    }

    /// The same, its image pulled in another way.
    pub(crate) fn with(sizes: &[usize], change: impl FnOnce(Self) -> Self) -> Self {
        let registry = TestRegistry::start();
        let layers: Vec<Layer> = sizes.iter().map(|size| Layer::tar(*size as u64, *size)).collect();
        let image = push_layers(&registry, "n", &layers);
        let sandbox = Sandbox::new().redact(format!(":{}", registry.port()), ":PORT");
        let sandbox = layers.iter().zip(["FIRST", "SECOND"]).fold(sandbox, |sandbox, (layer, name)| {
            let Layer { blob, .. } = layer;
            let sandbox = sandbox.redact(Digest::of(blob).to_string(), &format!("[{name}]"));
            let sandbox = sandbox.redact(blob.len().to_string(), &format!("[SIZE OF {name}]"));
            sandbox.redact((blob.len() + 1).to_string(), &format!("[SIZE OF {name} + 1]"))
        });
        let sizes = layers.iter().map(|layer| layer.blob.len() as u64).collect();
        let mut bench =
            change(Self { registry, sandbox, image, sizes, options: vec![], right: [vec![], vec![]] });
        bench.right = MODES.map(|mode| {
            let output = bench.pull(Way { mode, output: "-" }, &[]);
            assert!(output.status.success(), "{}", stderr(&output));
            output.stdout
        });
        bench
    }

    /// The request for a layer.
    pub(crate) fn layer(&self, number: usize) -> String {
        format!("GET /v2/n/blobs/{}", self.image.layers[number])
    }

    /// The size of all layers.
    pub(crate) fn layer_bytes(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// What went out of layers so far.
    pub(crate) fn sent_bytes(&self) -> u64 {
        (0..self.sizes.len()).map(|number| self.registry.sent_bytes(&self.layer(number))).sum()
    }

    fn arguments<'a>(&'a self, way: Way, options: &[&'a str]) -> Vec<&'a str> {
        let arguments = ["pull", &self.image.reference, "--layers", way.mode, "-o", way.output];
        let quickly = ["--retry-delay", "0.01", "--progress", "plain"];
        let of_all = self.options.iter().map(String::as_str);
        arguments.into_iter().chain(quickly).chain(of_all).chain(options.iter().copied()).collect()
    }

    pub(crate) fn pull(&self, way: Way, options: &[&str]) -> Output {
        self.sandbox.output(&self.arguments(way, options))
    }

    /// Begins a pull whose output nobody reads.
    pub(crate) fn start(&self, way: Way, options: &[&str]) -> Child {
        let mut command = self.sandbox.command(&self.arguments(way, options));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Holds that a pull made the right archive and left nothing else, takes it away and heals the registry.
    pub(crate) fn assert_right(&self, way: Way, output: &Output, what: &str) {
        assert!(output.status.success(), "{what}, {way:?}: {}", stderr(output));
        if way.output == "-" {
            assert!(output.stdout == self.right(way), "{what}, {way:?}: another archive; {}", stderr(output));
        } else {
            self.assert_right_file(way, what);
            fs::remove_file(self.sandbox.out().join(way.output)).unwrap();
        }
        assert_eq!(self.sandbox.files(), Vec::<String>::new(), "{what}, {way:?}");
        self.registry.heal();
    }

    /// How a pull failed, for a snapshot.
    pub(crate) fn error(&self, output: &Output) -> String {
        let shown = self.sandbox.shown(output);
        let (head, talk) = shown.split_once("\n--- stdout").unwrap();
        let error = talk.find("error: ").unwrap_or_else(|| panic!("{shown}"));
        let lines: Vec<String> = talk[error..].lines().map(without_measures).collect();
        format!("{head}\n{}", lines.join("\n"))
    }

    /// Holds that the file is the right archive.
    pub(crate) fn assert_right_file(&self, way: Way, what: &str) {
        let file = fs::read(self.sandbox.out().join(way.output)).unwrap();
        assert!(file == self.right(way), "{what}, {way:?}: another archive");
    }

    fn right(&self, way: Way) -> &[u8] {
        &self.right[usize::from(way.mode == MODES[1])]
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A line without what is another in each run, or with another packer: digests, times, how far it came.
fn without_measures(line: &str) -> String {
    let mut parts = line.split("sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    let line = parts.fold(first, |text, part| text + "sha256:[OTHER]" + &part[64..]);
    let cut = |line: &str, from: &str, to: &str| {
        let (start, rest) = line.split_once(from)?;
        let (_, end) = rest.split_once(to)?;
        Some(format!("{start}{from}[N]{to}{end}"))
    };
    let line = cut(&line, " stopped at ", " of ").unwrap_or(line);
    cut(&line, " times in ", " s").unwrap_or(line)
}
