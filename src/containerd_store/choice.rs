//! Images chosen from several namespaces, and the names they can have in an archive.

use std::collections::{BTreeMap, HashMap};

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

/// The names by which an archive can have `images`, each once. containerd's CRI gives an image three: of name and tag, of
/// name and digest, and its ID; an archive needs the first, or else the second.
pub fn names_for_archive(
    images: Vec<(usize, StoredImage)>,
) -> Result<Vec<(usize, Reference, StoredImage)>, StoreError> {
    let mut by_target: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (place, (number, image)) in images.into_iter().enumerate() {
        let of_target = by_target.entry((number, image.target.digest.clone())).or_default();
        of_target.push((place, number, image));
    }
    let mut named: Vec<(usize, usize, Reference, StoredImage)> = Vec::new();
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
        for (place, number, image) in of_target {
            let no_reference = || StoreError::NoReference { name: image.name.clone() };
            let reference = image.reference().ok_or_else(no_reference)?;
            named.push((place, number, reference, image));
        }
    }
    named.sort_by_key(|(place, ..)| *place);
    // An archive, and a folder's files, have one image of a name.
    let mut by_name: HashMap<&Reference, &StoredImage> = HashMap::new();
    for (.., reference, image) in &named {
        if let Some(other) = by_name.insert(reference, image)
            && other.target.digest != image.target.digest
        {
            let described = |image: &StoredImage| format!("{} ({})", image.name, image.target.digest.short());
            let images = vec![described(other), described(image)];
            return Err(StoreError::Ambiguous { name: reference.to_string(), images });
        }
    }
    let mut known = std::collections::HashSet::new();
    let once = named
        .into_iter()
        .filter(|(_, _, reference, image)| known.insert((reference.clone(), image.target.digest.clone())));
    Ok(once.map(|(_, number, reference, image)| (number, reference, image)).collect())
}

/// All the names of `images`, for what keeps them as they are. One that is no reference is found by its target alone.
pub fn names_for_mirror(images: Vec<(usize, StoredImage)>) -> Vec<(usize, Reference, StoredImage)> {
    let named = images.into_iter().filter_map(|(number, image)| {
        let digest = &image.target.digest;
        let name = image
            .reference()
            .map_or("containerd.invalid/image".to_owned(), |reference| reference.to_string());
        // By its digest: several namespaces may have one name for several images.
        let name = name.split_once('@').map_or(name.as_str(), |(name, _)| name);
        let reference = format!("{name}@{digest}").parse().ok()?;
        Some((number, reference, image))
    });
    let mut known = std::collections::HashSet::new();
    named.filter(|(number, _, image)| known.insert((*number, image.name.clone()))).collect()
}
