//! What to do next where a layer could not be grabbed.

use sealift::grab::GrabError;
use sealift::registry::server::StartError;

use crate::cli::ui;

pub(super) fn hint(error: &GrabError) -> Option<String> {
    let hint = match error {
        GrabError::Nothing { .. } => {
            "`docker images` shows what there is, `sealift grab --list IMAGE` the layers of an image".into()
        }
        GrabError::Ambiguous { .. } => "give more digits, or all".into(),
        GrabError::NoSuchLayer { image, .. } => {
            format!("`sealift grab --list {}` shows its layers", ui::shell_word(image.as_ref()))
        }
        GrabError::Remote { .. } => {
            "run it over there, or name an address of this machine that the daemon reaches: \
                                     `--listen IP`"
                .into()
        }
        GrabError::Start(StartError::Bind { .. }) => {
            "without `-p` any free port is taken; `--listen` takes an address of this machine".into()
        }
        GrabError::NotUntagged { .. } => {
            "the next `sealift grab` out of that daemon takes it away; `docker rmi` may take the image with it".into()
        }
        GrabError::TooLarge { .. } => {
            "if you trust the image, say how large its layers may be: `--max-layer-size 200GiB`".into()
        }
        GrabError::PackedAnew { .. } => {
            "without `--registry-format` you get what is in it, which is the same".into()
        }
        GrabError::NotSent { .. } => {
            "run it again with `--debug`, which shows what the daemon asked for".into()
        }
        _ => return None,
    };
    Some(hint)
}
