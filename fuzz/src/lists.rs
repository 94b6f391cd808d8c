//! Lists of images: plain, compose, Kubernetes. Their time and memory are bounded by the fuzzer's limits.

use std::collections::HashSet;

use sealift::image_list::{ImageList, ListError};

use crate::references::check_reference;
use crate::text::{check_error, check_message};

/// The input is a file that names images.
pub fn lists(input: &[u8]) {
    let read = ImageList::read("list", input);
    assert_eq!(read, ImageList::read("list", input), "the same bytes are the same list");
    match read {
        Ok(list) => check_list(&list),
        Err(error) => {
            if let ListError::Empty { notes, .. } = &error {
                for note in notes {
                    check_message(note);
                }
            }
            check_error(&error);
        }
    }
}

/// Every image once, and a plain list of them all reads as the same images.
fn check_list(list: &ImageList) {
    assert!(!list.references.is_empty());
    assert_eq!(list.references.iter().collect::<HashSet<_>>().len(), list.references.len());
    list.references.iter().for_each(check_reference);
    for note in &list.notes {
        check_message(note);
    }
    let names: Vec<String> = list.references.iter().map(ToString::to_string).collect();
    let plain = ImageList::read("list", names.join("\n").as_bytes()).expect("a plain list");
    assert_eq!(plain.references, list.references);
}
