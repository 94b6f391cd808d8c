//! `sealift inspect`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sealift::archived::{Archive, ArchivedImage, Problem};
use sealift::attempts::Retries;
use sealift::blob::{Limits, Packing};
use sealift::event::SharedReporter;
use sealift::fsio::{Existing, blocking};
use sealift::image::{Platform, Reference};
use sealift::inspect::{Inspected, find_shared};
use sealift::pull::Pull;
use serde::Serialize;

use super::Context;
use super::connection::ConnectionArguments;
use super::progress::Mode;
use super::report::Failure;
use super::ui;

/// Tell what an image is: names, platform, digests, layers, how it runs and how it was built
///
/// An archive is read without unpacking it, and of a registry's image only manifests and config are fetched. What is
/// there as a file or folder is an archive; `docker://NAME` is always a registry's image.
#[derive(Args)]
pub(super) struct Arguments {
    /// An image's name, an archive, an OCI layout, or `-` for an archive from stdin
    #[arg(value_name = "IMAGE|ARCHIVE")]
    what: String,
    /// Of an archive: only the image of this name
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Of several: the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Print the manifest, or the index the name is of, byte for byte; with =config the config
    #[arg(long, value_name = "manifest|config", value_enum, num_args = 0..=1, require_equals = true,
        default_missing_value = "manifest", hide_possible_values = true)]
    raw: Option<Document>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// A document that can be printed as it stands.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Document {
    Manifest,
    Config,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let path = Path::new(&arguments.what);
    if arguments.what == "-" || path.exists() {
        let path = path.to_owned();
        let archive = blocking(move || Archive::open(&path)).await.map_err(sealift::Error::from)?;
        return of_archive(&arguments, &archive);
    }
    of_registry(arguments, &context).await
}

fn of_archive(arguments: &Arguments, archive: &Archive) -> Result<(), Failure> {
    let wanted = arguments.name.as_deref().map(str::parse::<Reference>).transpose()?;
    let is_wanted = |image: &&ArchivedImage| match &wanted {
        Some(wanted) => image.names.iter().any(|name| name.reference.as_ref() == Some(wanted)),
        None => true,
    };
    let mut images: Vec<_> = archive.images().iter().filter(is_wanted).collect();
    if let (Some(name), true) = (&arguments.name, images.is_empty()) {
        return Err(Failure::NotInArchive { name: name.clone(), path: archive.path().to_owned() });
    }
    if let Some(text) = &arguments.platform {
        let platform: Platform = text.parse()?;
        images.retain(|image| image.platform().is_some_and(|found| platform.distance_to(&found).is_some()));
        if images.is_empty() {
            return Err(Failure::NotInArchive {
                name: platform.to_string(),
                path: archive.path().to_owned(),
            });
        }
    }
    if let Some(document) = arguments.raw {
        let [image] = images[..] else {
            return Err(Failure::SeveralInArchive { path: archive.path().to_owned(), count: images.len() });
        };
        let index = image.indexes.first().or_else(|| Some(&image.manifest.as_ref()?.0));
        let bytes = match document {
            Document::Config => image.config.as_ref().map(|stored| stored.config.bytes()),
            Document::Manifest => index.map(sealift::image::Document::bytes),
        };
        let name = match document {
            Document::Config => "config",
            Document::Manifest => "manifest",
        };
        let not_kept = || Failure::NotKept { document: name, path: archive.path().to_owned() };
        return print(bytes.ok_or_else(not_kept)?);
    }
    let mut told: Vec<_> = images.into_iter().map(Inspected::from).collect();
    find_shared(&mut told);
    for problem in archive.problems() {
        ui::talk(&format!("warning: {problem}"));
    }
    let size_bytes = archive.path().metadata().ok().filter(std::fs::Metadata::is_file).map(|file| file.len());
    let told = Told {
        path: Some(archive.path().display().to_string()),
        packing: (archive.packing() != Packing::Plain).then(|| archive.packing().name()),
        size_bytes,
        problems: archive.problems().iter().map(Problem::to_string).collect(),
        images: told,
    };
    if arguments.json { ui::json(&told) } else { ui::data(&ui::printable(&told.table())) }
}

async fn of_registry(arguments: Arguments, context: &Context) -> Result<(), Failure> {
    if arguments.name.is_some() {
        return Err(Failure::NoSuchArchive(PathBuf::from(&arguments.what)));
    }
    let reference: Reference = match arguments.what.parse() {
        _ if looks_like_a_path(&arguments.what) => {
            return Err(Failure::NoSuchArchive(PathBuf::from(&arguments.what)));
        }
        Ok(reference) => reference,
        Err(error) => return Err(error.into()),
    };
    let platform = match &arguments.platform {
        Some(text) => Some(text.parse::<Platform>()?),
        None => context.config.platform.clone(),
    };
    let reporter = Mode::None.reporter();
    let source =
        arguments.connection.source(std::slice::from_ref(&reference), context, &SharedReporter::default())?;
    let pull = Pull {
        source: &source,
        reporter: &*reporter,
        connections: context.config.connections.into(),
        retries: Retries { times: context.config.retry_times.into(), delay: None },
        existing: Existing::Refuse,
        layers: context.config.layers,
        limits: Limits::default(),
        reuse: None,
        sidecars: &[],
        may_grow: None,
    };
    let image = pull.resolved(&reference, platform.as_ref()).await?;
    if let Some(document) = arguments.raw {
        let outermost = image.indexes.first().filter(|_| arguments.platform.is_none());
        return print(match document {
            Document::Config => image.config.bytes(),
            Document::Manifest => outermost.unwrap_or(&image.manifest_document).bytes(),
        });
    }
    let told =
        Told { path: None, packing: None, size_bytes: None, problems: vec![], images: vec![(&image).into()] };
    if arguments.json { ui::json(&told.images[0]) } else { ui::data(&ui::printable(&told.table())) }
}

/// What people take for a file's name.
fn looks_like_a_path(text: &str) -> bool {
    let is_named_as_archives_are =
        || [".tar", ".tgz", ".gz", ".xz", ".zst"].iter().any(|end| text.ends_with(end));
    text.starts_with(['/', '.']) || !text.starts_with("docker://") && is_named_as_archives_are()
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let written = ui::raw_stdout()?.write_all(bytes);
    written.map_err(|_| Failure::ReaderGone)
}

/// What is printed.
#[derive(Serialize)]
struct Told {
    path: Option<String>,
    /// What the archive is packed with as a whole.
    packing: Option<&'static str>,
    /// The file's size.
    size_bytes: Option<u64>,
    problems: Vec<String>,
    images: Vec<Inspected>,
}

impl Told {
    fn table(&self) -> String {
        let mut lines = Vec::new();
        if let Some(path) = &self.path {
            let size = self.size_bytes.map(ui::size).unwrap_or_default();
            let packing = self.packing.map(|packing| format!(", packed with {packing}")).unwrap_or_default();
            let count = if self.images.len() == 1 {
                "1 image".into()
            } else {
                format!("{} images", self.images.len())
            };
            lines.push(format!("{path}  {count}  {size}{packing}").trim_end().to_owned());
        }
        for image in &self.images {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            // Foreign words stay on their line.
            let row = |(name, value): (_, String)| format!("{name:<11} {}", value.replace('\n', "\\n"));
            lines.extend(rows(image).into_iter().map(row));
            lines.extend(steps(image));
        }
        lines.join("\n")
    }
}

fn rows(image: &Inspected) -> Vec<(&'static str, String)> {
    let mut rows: Vec<(&str, String)> = image.names.iter().map(|name| ("image", name.clone())).collect();
    if image.names.is_empty() {
        rows.push(("image", "<none>".into()));
    }
    let digest = image.digest.as_ref().filter(|digest| Some(*digest) != image.manifest.as_ref());
    let runtime = &image.runtime;
    let list = |items: &[String]| if items.is_empty() { None } else { Some(items.join(", ")) };
    let words = |words: &[String]| if words.is_empty() { None } else { serde_json::to_string(words).ok() };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let labels = runtime.labels.iter().map(|(key, value)| format!("{key}={value}"));
    let single = [
        ("platform", image.platform.clone()),
        ("created", text(&image.created)),
        ("index", digest.map(ToString::to_string)),
        ("platforms", list(&image.platforms)),
        ("manifest", image.manifest.as_ref().map(ToString::to_string)),
        ("config", image.config.as_ref().map(ToString::to_string)),
        ("entrypoint", words(&runtime.entrypoint)),
        ("cmd", words(&runtime.cmd)),
        ("user", text(&runtime.user)),
        ("workdir", text(&runtime.working_dir)),
        ("ports", list(&runtime.ports)),
        ("volumes", list(&runtime.volumes)),
    ];
    rows.extend(single.into_iter().filter_map(|(name, value)| Some((name, value?))));
    rows.extend(runtime.env.iter().map(|variable| ("env", variable.clone())));
    rows.extend(labels.map(|label| ("label", label)));
    let shared = match image.shared_bytes {
        0 => String::new(),
        bytes => format!(", {} of it shared with other images here", ui::size(bytes)),
    };
    let count = image.layers.len();
    let layers = if count == 1 { "1 layer".to_owned() } else { format!("{count} layers") };
    rows.push(("layers", format!("{layers}, {}{shared}", ui::size(image.size_bytes))));
    rows
}

/// Layers and how they were made, side by side; steps that made none have a dash.
fn steps(image: &Inspected) -> Vec<String> {
    let layer = |index: usize| {
        let layer = &image.layers[index];
        let size = layer.size_bytes.map_or_else(|| "missing".to_owned(), ui::size);
        let named = layer.digest.as_ref().or(layer.diff_id.as_ref().map(sealift::image::DiffId::digest));
        let named = named.map(|digest| format!("sha256:{}", digest.short())).unwrap_or_default();
        format!("{:>4}  {named:<19}  {size:>10}", index + 1)
    };
    let mut lines: Vec<String> = Vec::new();
    let mut told = 0;
    for step in &image.history {
        let what = step.entry.created_by.split_whitespace().collect::<Vec<_>>().join(" ");
        let what: String = what.chars().take(100).collect();
        lines.push(match step.layer {
            Some(number) => {
                told = number;
                format!("{}  {what}", layer(number - 1))
            }
            None => format!("{:>4}  {:<19}  {:>10}  {what}", "-", "", ""),
        });
    }
    lines.extend((told..image.layers.len()).map(layer));
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}
