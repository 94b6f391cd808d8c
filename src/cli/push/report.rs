//! What becomes, or would become, of each image: lines for people and for programs.

use sealift::image::Digest;
use sealift::push::{ImageToPush, Pushed, SourceImage, Survey};
use serde::Serialize;

use crate::cli::progress::Mode;
use crate::cli::report::Failure;
use crate::cli::ui;

#[derive(Serialize)]
struct Line<'a> {
    image: &'a str,
    destination: String,
    digest: &'a Digest,
    /// True where the archive has no registry's manifest.
    digest_is_new: bool,
    size_bytes: u64,
    #[serde(flatten)]
    what: What,
}

/// What happened, or would.
#[derive(Serialize)]
#[serde(untagged)]
enum What {
    Pushed { already_there: bool, sent_bytes: u64, mounted_blobs: usize },
    Survey { already_there: bool, send_bytes: u64, send_blobs: usize },
}

impl<'a> Line<'a> {
    fn of(image: &'a ImageToPush, from: &SourceImage, what: What) -> Self {
        Self {
            image: &image.name,
            destination: image.to.to_string(),
            digest: image.digest(),
            digest_is_new: from.is_made,
            size_bytes: image.size_bytes(),
            what,
        }
    }
}

/// The name and digest by which an image is had from there.
fn name_at_registry(image: &ImageToPush) -> String {
    match image.to.digest() {
        Some(_) => image.to.to_string(),
        None => format!("{}@{}", image.to, image.digest()),
    }
}

/// Prints what a push of the image would do.
pub(super) fn survey(
    image: &ImageToPush,
    survey: &Survey,
    from: &SourceImage,
    as_json: bool,
) -> Result<(), Failure> {
    let Survey { is_there, missing } = survey;
    let send_bytes = missing.iter().map(|blob| blob.size_bytes).sum();
    if as_json {
        let what = What::Survey { already_there: *is_there, send_bytes, send_blobs: missing.len() };
        return ui::json(&Line::of(image, from, what));
    }
    let what = match (is_there, missing.len(), image.blobs.len()) {
        (true, ..) => "already there".to_owned(),
        (false, 0, _) => "only the manifest is to be sent".to_owned(),
        (false, some, all) => format!("{some} of {all} blobs to send, {}", ui::size(send_bytes)),
    };
    let (name, to) = (&image.name, name_at_registry(image));
    let size = ui::size(image.size_bytes());
    ui::data(&ui::printable(&format!("{name} -> {to}  {size}  {what}")))
}

/// How a push of several images ended: a table, and the first failure's exit code.
pub(super) struct Outcome {
    of: usize,
    rows: Vec<(&'static str, String)>,
    failures: Vec<Failure>,
}

impl Outcome {
    pub(super) fn new(of: usize) -> Self {
        Self { of, rows: Vec::new(), failures: Vec::new() }
    }

    pub(super) fn pushed(
        &mut self,
        image: &ImageToPush,
        pushed: &Pushed,
        from: &SourceImage,
        as_json: bool,
    ) -> Result<(), Failure> {
        let Pushed { was_there, sent_bytes, mounted } = *pushed;
        if as_json {
            let what = What::Pushed { already_there: was_there, sent_bytes, mounted_blobs: mounted };
            ui::json(&Line::of(image, from, what))?;
        } else {
            ui::data(&ui::printable(&name_at_registry(image)))?;
        }
        let how = if was_there { "already there" } else { "pushed" };
        self.rows.push((how, format!("{}  {}", image.to, words(pushed))));
        Ok(())
    }

    pub(super) fn failed(&mut self, image: &ImageToPush, error: sealift::Error) {
        self.rows.push(("failed", format!("{}  {error}", image.to)));
        self.failures.push(error.into());
    }

    /// Says how it went. With one image that failed, the error says it.
    pub(super) fn end(mut self, mode: Mode) -> Result<(), Failure> {
        if self.of == 1 && !self.failures.is_empty() {
            return Err(self.failures.swap_remove(0));
        }
        if mode.has_words() {
            for (how, what) in &self.rows {
                ui::talk(format!("{how:<13}  {what}").trim_end());
            }
        }
        if self.failures.is_empty() {
            Ok(())
        } else {
            Err(Failure::Several { of: self.of, failures: self.failures })
        }
    }
}

fn words(pushed: &Pushed) -> String {
    let mounted = match pushed.mounted {
        0 => String::new(),
        1 => ", 1 blob from another repository there".to_owned(),
        several => format!(", {several} blobs from other repositories there"),
    };
    match (pushed.was_there, pushed.sent_bytes) {
        (true, _) => String::new(),
        (false, 0) if pushed.mounted == 0 => "only the manifest was new".to_owned(),
        (false, sent_bytes) => format!("{} sent{mounted}", ui::size(sent_bytes)),
    }
}
