//! Is a layer file whole, and would a container of this Docker take it?

use std::path::Path;
use std::sync::Arc;

use super::awaited;
use super::docker::Docker;
use super::error::ContainerLayerError;
use super::import::verify;
use super::upper::{driver_of, is_overlayfs};
use super::users::user_namespace;
use crate::event::Reporter;
use crate::foreign::shown;
use crate::image::Platform;
use crate::layer_file::{Metadata, Part, Problem, Verdict};
use crate::overlay::{Counts, Tree, kernel_version};

/// What is checked, and against what.
pub struct Check<'a> {
    /// The file.
    pub file: &'a Path,
    /// The Docker that is to take it, or why there is none.
    pub docker: Result<&'a Docker, String>,
    /// What is not compared.
    pub skip: Skip,
    /// Who is told what happens.
    pub reporter: Arc<dyn Reporter>,
}

/// What is not compared.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Skip {
    /// The image.
    pub image: bool,
    /// The storage driver, and whose owners' numbers are.
    pub storage: bool,
    /// The operating system and its kernel.
    pub os: bool,
    /// The architecture.
    pub architecture: bool,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// Of the file itself, a line for each part; then of the Docker.
    pub lines: Vec<Line>,
    /// What the file says of itself, where that could be read.
    pub metadata: Option<Box<Metadata>>,
    /// What was lost when the file was made.
    pub lost: Vec<String>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub what: &'static str,
    /// True for what is of the file itself.
    pub is_of_file: bool,
    /// How it is.
    pub outcome: Outcome,
    /// The same in words, fit to show.
    pub words: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it has to be.
    Pass,
    /// Otherwise.
    Fail,
    /// Nobody wanted to know.
    Skipped,
    /// There was nothing to hold it against.
    NotChecked,
}

impl Report {
    /// True if a line says so.
    pub fn has(&self, is_of_file: bool, outcome: Outcome) -> bool {
        self.lines.iter().any(|line| (line.is_of_file, line.outcome) == (is_of_file, outcome))
    }
}

impl Check<'_> {
    /// Checks. An error is what keeps from reading the file, or Docker from answering.
    pub async fn run(self) -> Result<Report, ContainerLayerError> {
        let (path, reporter) = (self.file.to_owned(), Arc::clone(&self.reporter));
        let verdict = awaited(move |is_awaited| verify(&path, None, u64::MAX, &reporter, is_awaited)).await?;
        let (mut lines, metadata, lost, tree) = match verdict {
            Verdict::Whole(file) => {
                let lost = file.lost().to_vec();
                let (metadata, tree) = (file.metadata().clone(), file.tree().clone());
                (of_whole(&metadata, &tree), Some(Box::new(metadata)), lost, Some(tree))
            }
            Verdict::Broken { problems, metadata } => (of_broken(&problems), metadata, Vec::new(), None),
        };
        lines.extend(self.against_docker(metadata.as_deref(), tree.as_ref()).await?);
        Ok(Report { lines, metadata, lost })
    }

    /// What is compared with the Docker: only what a whole file says of itself counts.
    async fn against_docker(
        &self,
        metadata: Option<&Metadata>,
        tree: Option<&Tree>,
    ) -> Result<Vec<Line>, ContainerLayerError> {
        let Skip { image, storage, os, architecture } = self.skip;
        let all = [
            ("image", image),
            ("storage driver", storage),
            ("owners", storage),
            ("operating system", os),
            ("kernel", os),
            ("architecture", architecture),
        ];
        let mut lines = Vec::new();
        for (what, is_skipped) in all {
            let (outcome, words) = match (is_skipped, metadata.zip(tree), &self.docker) {
                (true, ..) => (Outcome::Skipped, String::new()),
                (_, None, _) => (Outcome::NotChecked, "the file is not whole".to_owned()),
                (.., Err(why)) => (Outcome::NotChecked, why.clone()),
                (_, Some((metadata, tree)), Ok(docker)) => {
                    let (passes, words) = match what {
                        "image" => of_image(docker, metadata).await?,
                        "storage driver" => of_driver(docker, metadata),
                        "owners" => of_users(docker, metadata),
                        "operating system" => of_os(docker, metadata),
                        "kernel" => of_kernel(docker, tree),
                        _ => of_architecture(docker, metadata),
                    };
                    (if passes { Outcome::Pass } else { Outcome::Fail }, words)
                }
            };
            lines.push(Line { what, is_of_file: false, outcome, words });
        }
        Ok(lines)
    }
}

const PARTS: [(Part, &str); 5] = [
    (Part::Packing, "packing"),
    (Part::Structure, "structure"),
    (Part::Metadata, "metadata"),
    (Part::MetadataDigest, "metadata's digest"),
    (Part::Layer, "layer"),
];

fn of_whole(metadata: &Metadata, tree: &Tree) -> Vec<Line> {
    let words = |part| match part {
        Part::Packing if metadata.compressed => "unpacks, and its seal is right".to_owned(),
        Part::Packing => "not packed".to_owned(),
        Part::Structure => "every header and every padding".to_owned(),
        Part::Metadata => format!("version {}, made {}", shown(&metadata.version), shown(&metadata.created)),
        Part::MetadataDigest => "right".to_owned(),
        Part::Layer => {
            format!("{} entries, {} bytes in files", tree.counts.entries, tree.counts.content_bytes)
        }
    };
    let line = |(part, what)| Line { what, is_of_file: true, outcome: Outcome::Pass, words: words(part) };
    PARTS.map(line).into()
}

/// What is wrong is told for each part. Where packing or structure are broken, nobody knows what else there would be.
fn of_broken(problems: &[Problem]) -> Vec<Line> {
    let is_read = !problems.iter().any(|problem| matches!(problem.part, Part::Packing | Part::Structure));
    let line = |(part, what)| {
        let of_part: Vec<_> = problems.iter().filter(|problem| problem.part == part).collect();
        let words = of_part.iter().map(|problem| problem.what.as_str()).collect::<Vec<_>>().join("; ");
        let outcome = match (of_part.is_empty(), is_read) {
            (false, _) => Outcome::Fail,
            (true, true) => Outcome::Pass,
            (true, false) => Outcome::NotChecked,
        };
        Line { what, is_of_file: true, outcome, words }
    };
    PARTS.map(line).into()
}

type Found = (bool, String);

async fn of_image(docker: &Docker, metadata: &Metadata) -> Result<Found, ContainerLayerError> {
    let of_layer = &metadata.container_metadata;
    let (name, id) = (shown(&of_layer.image), shown(&of_layer.image_id));
    if docker.image(&of_layer.image_id).await?.is_some() {
        return Ok((true, format!("`{name}`, {id}, is there")));
    }
    Ok(match docker.image(&of_layer.image).await? {
        Some(held) if has_layers(held.diff_ids.as_deref(), metadata) => {
            (true, format!("`{name}` is there with the same layers, as {}", held.id))
        }
        Some(held) => (false, format!("`{name}` is {} there, not {id}", held.id)),
        None => (false, format!("there is no `{name}`, {id}")),
    })
}

/// Does an image have the layers of the one that the container was made of?
pub(super) fn has_layers(diff_ids: Option<&[crate::image::Digest]>, metadata: &Metadata) -> bool {
    let layers = &metadata.container_metadata.image_layers;
    !layers.is_empty() && diff_ids == Some(layers.as_slice())
}

fn of_driver(docker: &Docker, metadata: &Metadata) -> Found {
    let (of_layer, here) = (driver_of(metadata), &docker.info.driver);
    let words = format!("the layer's is `{}`, this Docker's `{}`", shown(of_layer), shown(here));
    (is_overlayfs(of_layer) && is_overlayfs(here), words)
}

fn of_users(docker: &Docker, metadata: &Metadata) -> Found {
    let (of_layer, here) = (metadata.docker_info.user_namespace.clone(), user_namespace(docker));
    let is_same = of_layer == here;
    let words = match &here {
        None if is_same => "the system's users".to_owned(),
        Some(range) if is_same => format!("the same user namespace, {}", shown(range)),
        _ => ContainerLayerError::OtherUsers { of_layer, here }.to_string(),
    };
    (is_same, words)
}

fn of_os(docker: &Docker, metadata: &Metadata) -> Found {
    let of_layer = match metadata.platform.as_deref().and_then(|text| text.parse::<Platform>().ok()) {
        Some(platform) => platform.os,
        None if metadata.docker_info.os_type.is_empty() => "linux".to_owned(),
        None => metadata.docker_info.os_type.clone(),
    };
    let here = docker.engine.platform().os.clone();
    let words = format!("the layer's is {}, this Docker's {}", shown(&of_layer), shown(&here));
    (of_layer == here, words)
}

fn of_architecture(docker: &Docker, metadata: &Metadata) -> Found {
    let here = docker.engine.platform().architecture.clone();
    let of_layer = match metadata.platform.as_deref().and_then(|text| text.parse::<Platform>().ok()) {
        Some(platform) => platform.architecture,
        None => as_go_says(&metadata.docker_info.architecture).to_owned(),
    };
    let words = format!("the layer's is {}, this Docker's {}", shown(&of_layer), shown(&here));
    (of_layer == here, words)
}

/// The kernel has one word for an architecture, Docker another.
fn as_go_says(architecture: &str) -> &str {
    match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" => "386",
        "armv6l" | "armv7l" => "arm",
        other => other,
    }
}

/// Is the kernel new enough for what is in the layer?
fn of_kernel(docker: &Docker, tree: &Tree) -> Found {
    let kernel = &docker.info.kernel;
    let (needed, why) = needed_kernel(&tree.counts);
    let is_enough = kernel_version(kernel).is_some_and(|version| version >= needed);
    (is_enough, format!("Linux {}.{} is needed{why}, this is {}", needed.0, needed.1, shown(kernel)))
}

/// Directories that were renamed are followed from Linux 4.10 on, whiteouts that are attributes are known from 6.7 on; all
/// else, overlayfs had from the start.
fn needed_kernel(counts: &Counts) -> ((u32, u32), &'static str) {
    match counts {
        Counts { marked_whiteouts: 1.., .. } => ((6, 7), " for whiteouts that are attributes"),
        Counts { redirects: 1.., .. } => ((4, 10), " for renamed directories"),
        _ => ((4, 0), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_has_to_know_what_is_in_the_layer() {
        let counts = Counts::default();
        assert_eq!(needed_kernel(&counts).0, (4, 0));
        assert_eq!(needed_kernel(&Counts { redirects: 1, ..counts }).0, (4, 10));
        assert_eq!(needed_kernel(&Counts { redirects: 1, marked_whiteouts: 2, ..counts }).0, (6, 7));
    }
}
