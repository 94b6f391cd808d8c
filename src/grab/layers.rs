//! The layers of an image, for people to choose one: which step of the build made which is told as far as it is known.

use super::Grab;
use crate::daemon::{DaemonImage, Step};
use crate::error::Result;
use crate::image::DiffId;

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRow {
    /// Its place, from 0.
    pub number: usize,
    /// Its diff ID.
    pub diff_id: DiffId,
    /// How large it is, as the daemon tells it; none where it is not known which step of the build made it.
    pub size_bytes: Option<u64>,
    /// What made it, likewise.
    pub created_by: Option<String>,
}

impl Grab<'_> {
    /// The layers of an image, the lowest first.
    pub async fn layers(&self, image: &DaemonImage) -> Result<Vec<LayerRow>> {
        let steps = makers(&self.daemon.history(image).await?, image.diff_ids.len());
        let rows = image.diff_ids.iter().enumerate().map(|(number, diff_id)| {
            let step = steps.as_ref().and_then(|steps| steps.get(number));
            LayerRow {
                number,
                diff_id: diff_id.clone(),
                size_bytes: step.and_then(|step| step.size_bytes),
                created_by: step.map(|step| step.created_by.clone()).filter(|text| !text.is_empty()),
            }
        });
        Ok(rows.collect())
    }
}

/// The steps that made the layers, each one. Docker doesn't tell which step made a layer without files: then it is told by
/// its words, and where that gives another number of layers than there are, nothing is known.
fn makers(steps: &[Step], layers: usize) -> Option<Vec<Step>> {
    let surely = |step: &Step| step.made_layer == Some(true);
    let likely = |step: &Step| step.made_layer.unwrap_or_else(|| !is_of_metadata(&step.created_by));
    let rules: [&dyn Fn(&Step) -> bool; 2] = [&surely, &likely];
    rules.iter().find_map(|rule| {
        let made: Vec<_> = steps.iter().filter(|step| rule(step)).cloned().collect();
        (made.len() == layers).then_some(made)
    })
}

/// True for instructions that change the config alone.
fn is_of_metadata(created_by: &str) -> bool {
    const INSTRUCTIONS: [&str; 14] = [
        "ARG",
        "CMD",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "FROM",
    ];
    let text = created_by.trim();
    let text = text.split_once("#(nop)").map_or(text, |(_, instruction)| instruction.trim());
    let word = text.split_whitespace().next().unwrap_or_default();
    INSTRUCTIONS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(created_by: &str, size_bytes: u64) -> Step {
        let made_layer = (size_bytes > 0).then_some(true);
        Step { created_by: created_by.to_owned(), size_bytes: Some(size_bytes), made_layer }
    }

    fn made(steps: &[Step], layers: usize) -> Option<Vec<String>> {
        Some(makers(steps, layers)?.into_iter().map(|step| step.created_by).collect())
    }

    #[test]
    fn steps_with_files_made_the_layers() {
        let steps =
            [step("/bin/sh -c #(nop) ADD file:1 in /", 100), step("/bin/sh -c #(nop)  CMD [\"sh\"]", 0)];
        assert_eq!(made(&steps, 1).unwrap(), ["/bin/sh -c #(nop) ADD file:1 in /"]);
    }

    #[test]
    fn layers_without_files_are_told_by_the_words_of_their_steps() {
        let steps = [
            step("ADD x / # buildkit", 100),
            step("ENV A=b", 0),
            step("RUN /bin/sh -c true # buildkit", 0),
            step("CMD [\"sh\"]", 0),
        ];
        assert_eq!(made(&steps, 2).unwrap(), ["ADD x / # buildkit", "RUN /bin/sh -c true # buildkit"]);
    }

    #[test]
    fn what_does_not_add_up_is_not_known() {
        assert_eq!(made(&[step("ADD x", 1)], 3), None);
        assert_eq!(made(&[], 1), None);
    }
}
