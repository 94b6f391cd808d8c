//! Images chosen from several namespaces, and the names they can have in an archive.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::error::StoreError;
use super::image::StoredImage;
use super::names::is_pattern;
use super::store::Store;
use crate::image::Reference;

/// Images that were found, each with the number of its store.
#[derive(Debug, Default)]
pub struct FoundImages {
    /// The images.
    pub images: Vec<(usize, StoredImage)>,
    /// Why there may be more of a pattern: what can't be read.
    pub problems: Vec<StoreError>,
}

/// The images that `text` means in `stores`, which are of one root. Unless it is a pattern, it has to mean one image, under
/// whatever names; then it doesn't matter what can't be read besides.
pub fn find_images(stores: &[Store], text: &str) -> Result<FoundImages, StoreError> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let mut missing = None;
    for (number, store) in stores.iter().enumerate() {
        match store.look_for(text) {
            Ok((images, unread)) => {
                found.extend(images.into_iter().map(|image| (number, image)));
                problems.extend(unread);
            }
            Err(StoreError::NoSuchImage { name, root, near }) => {
                let known = missing.get_or_insert(StoreError::NoSuchImage { name, root, near: Vec::new() });
                if let StoreError::NoSuchImage { near: known, .. } = known {
                    known.extend(near);
                }
            }
            Err(error) => problems.push(error),
        }
    }
    let Some((first_store, first)) = found.first() else {
        if !problems.is_empty() {
            return Err(problems.swap_remove(0));
        }
        let nowhere = || StoreError::NoNamespace { name: text.to_owned() };
        return Err(missing.unwrap_or_else(nowhere));
    };
    if is_pattern(text) {
        return Ok(FoundImages { images: found, problems });
    }
    if found.iter().any(|(_, image)| image.target.digest != first.target.digest) {
        let described = |(number, image): &(usize, StoredImage)| match stores.len() {
            1 => image.name.clone(),
            _ => format!("{} in namespace {}", image.name, stores[*number].namespace()),
        };
        let images = found.iter().map(described).collect();
        return Err(StoreError::Ambiguous { name: text.to_owned(), images });
    }
    // The same image in another namespace is the same image.
    let first_store = *first_store;
    found.retain(|(number, _)| *number == first_store);
    Ok(FoundImages { images: found, problems: Vec::new() })
}

/// Images with the names they get, each with the number of its store.
#[derive(Debug, Default)]
pub struct NamedImages {
    /// The images.
    pub images: Vec<(usize, Reference, StoredImage)>,
    /// Those that get no name, and why.
    pub nameless: Vec<(StoredImage, StoreError)>,
}

/// The names by which an archive can have `images`, each once. containerd's CRI gives an image three: of name and tag, of
/// name and digest, and its ID; an archive needs the first, or else the second.
pub fn names_for_archive(images: Vec<(usize, StoredImage)>) -> NamedImages {
    let mut by_target: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (place, (number, image)) in images.into_iter().enumerate() {
        let of_target = by_target.entry((number, image.target.digest.clone())).or_default();
        of_target.push((place, number, image));
    }
    let mut wanted = Vec::new();
    for mut of_target in by_target.into_values() {
        let has = |image: &StoredImage, is_tagged: bool| {
            image.reference().is_some_and(|reference| !is_tagged || reference.tag().is_some())
        };
        if of_target.iter().any(|(.., image)| has(image, true)) {
            of_target.retain(|(.., image)| has(image, true));
        } else {
            let first = of_target.iter().position(|(.., image)| has(image, false)).unwrap_or(0);
            of_target = vec![of_target.swap_remove(first)];
        }
        wanted.extend(of_target);
    }
    wanted.sort_by_key(|(place, ..)| *place);
    let mut named = NamedImages::default();
    let mut by_name: HashMap<Reference, StoredImage> = HashMap::new();
    for (_, number, image) in wanted {
        let Some(reference) = image.reference() else {
            let error = StoreError::NoReference { name: image.name.clone() };
            named.nameless.push((image, error));
            continue;
        };
        // An archive, and a folder's files, have one image of a name.
        match by_name.get(&reference) {
            Some(other) if other.target.digest == image.target.digest => {}
            Some(other) => {
                let error = two_of_one_name(reference.to_string(), other, &image);
                named.nameless.push((image, error));
            }
            None => {
                by_name.insert(reference.clone(), image.clone());
                named.images.push((number, reference, image));
            }
        }
    }
    named
}

/// The error of two images that would have one name.
pub(crate) fn two_of_one_name(name: String, one: &StoredImage, other: &StoredImage) -> StoreError {
    let described = |image: &StoredImage| format!("{} ({})", image.name, image.target.digest.short());
    StoreError::Ambiguous { name, images: vec![described(one), described(other)] }
}

/// All the names of `images`, for what keeps them as they are. One that is no reference is found by its target alone.
pub fn names_for_mirror(images: Vec<(usize, StoredImage)>) -> Vec<(usize, Reference, StoredImage)> {
    let mut known = HashSet::new();
    let once = images.into_iter().filter(|(number, image)| known.insert((*number, image.name.clone())));
    once.filter_map(|(number, image)| Some((number, image.pinned()?, image))).collect()
}
