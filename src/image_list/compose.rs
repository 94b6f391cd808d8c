//! Compose files: the `image` of every service, whatever its profile. Follows the compose specification: services,
//! merges and anchors, interpolation.

use super::variables::{VariableError, substitute};
use super::yaml::Node;
use super::{Found, ListError, Note, check_length};

pub(super) fn read(root: Node<'_>, found: &mut Found<'_>) -> Result<(), ListError> {
    if let Some(include) = root.field("include") {
        let place = found.place(include.line(), None);
        found.notes.push(Note::NotFollowed { place, key: "include" });
    }
    let Some(services) = root.field("services").filter(|services| !services.is_null()) else {
        return Ok(());
    };
    let shape = |found: &Found<'_>, node: Node<'_>, within: Option<&str>, expected| {
        let place = found.place(node.line(), within.map(service));
        ListError::Shape { place, expected }
    };
    if !services.is_mapping() {
        return Err(shape(found, services, None, "`services` is a mapping of names to services"));
    }
    for (name, node) in services.entries() {
        let name = name.text().unwrap_or_default();
        if name.starts_with("x-") {
            continue;
        }
        if !node.is_mapping() {
            return Err(shape(found, node, Some(name), "a service is a mapping"));
        }
        read_service(name, node, found)?;
        for volume in node.field("volumes").into_iter().flat_map(Node::items) {
            let is_image = volume.field("type").and_then(Node::text) == Some("image");
            if let Some(source) = volume.field("source").filter(|_| is_image) {
                read_image(name, source, found)?;
            }
        }
    }
    Ok(())
}

fn read_service(name: &str, node: Node<'_>, found: &mut Found<'_>) -> Result<(), ListError> {
    if let Some(image) = node.field("image").filter(|image| !image.is_null()) {
        return read_image(name, image, found);
    }
    let place = found.place(node.line(), Some(service(name)));
    found.notes.push(match node.field("extends") {
        _ if node.field("build").is_some() => Note::OnlyBuilt { place },
        // What it extends in this file is a service of its own.
        Some(extends) if extends.field("file").is_some() => Note::NotFollowed { place, key: "extends" },
        Some(_) => return Ok(()),
        None => Note::WithoutImage { place },
    });
    Ok(())
}

fn read_image(name: &str, image: Node<'_>, found: &mut Found<'_>) -> Result<(), ListError> {
    let place = found.place(image.line(), Some(service(name)));
    let Some(text) = image.text() else {
        return Err(ListError::Shape { place, expected: "an `image` is a text" });
    };
    check_length(&place, text)?;
    let substituted = match substitute(text) {
        Ok(substituted) => substituted,
        Err(VariableError::Unset { variable, asked }) => {
            return Err(ListError::Unresolved { place, variable, asked });
        }
        Err(VariableError::Malformed) => {
            return Err(ListError::Shape {
                place,
                expected: "a variable is `$NAME`, `${NAME}` or `${NAME:-default}`, a dollar `$$`",
            });
        }
    };
    for (variable, value) in substituted.defaults {
        let note = Note::DefaultApplied { place: place.clone(), variable, value };
        found.notes.push(note);
    }
    found.add_resolved(place, substituted.text.trim())
}

fn service(name: &str) -> String {
    format!("service `{name}`")
}
