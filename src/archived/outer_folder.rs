//! The folder that all of an archive stands in, where somebody packed the folder and not what is in it (`tar cf x.tar folder`).

use super::docker::MANIFEST_JSON;
use super::index::INDEX_JSON;
use crate::archive::names::Names;

/// Nobody packs a folder from further above.
const MAX_DEPTH: usize = 8;

/// The folder, with a slash behind it; none if images are named by what stands outside of all folders, or nowhere.
pub(super) fn outer_folder(names: &Names) -> Option<String> {
    let (first, last) = (names.paths().next()?, names.paths().last()?);
    // Names are sorted, so what these two share all others do.
    let shared = first.bytes().zip(last.bytes()).take_while(|(one, other)| one == other).count();
    let slashes = first.match_indices('/').map(|(at, _)| at + 1).take_while(|end| *end <= shared);
    let folders = std::iter::once(0).chain(slashes).take(MAX_DEPTH).map(|end| &first[..end]);
    let outer = folders.into_iter().find(|folder| has_images(names, folder))?;
    (!outer.is_empty()).then(|| outer.to_owned())
}

/// True if something in this folder names images.
fn has_images(names: &Names, folder: &str) -> bool {
    let is_layer = |path: &str| {
        let id = path.strip_prefix(folder).and_then(|path| path.strip_suffix("/layer.tar"));
        id.is_some_and(|id| !id.contains('/'))
    };
    let is_there = |document: &str| names.kind(&format!("{folder}{document}")).is_some();
    is_there(MANIFEST_JSON) || is_there(INDEX_JSON) || names.paths().any(is_layer)
}
