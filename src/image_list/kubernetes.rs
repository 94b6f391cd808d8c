//! Kubernetes manifests: the containers of everything that makes pods. Other kinds, and kinds of the same name in
//! other API groups (custom resources), are passed over.

use super::yaml::Node;
use super::{Found, ListError};

/// Lists in lists in lists: no tool writes more.
const MAX_LISTS: usize = 4;

/// Where a kind has the pod's `spec`.
fn path_to_pod(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "Pod" => &["spec"],
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
            &["spec", "template", "spec"]
        }
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        "PodTemplate" => &["template", "spec"],
        _ => return None,
    })
}

pub(super) fn read(root: Node<'_>, found: &mut Found<'_>) -> Result<(), ListError> {
    read_object(root, None, 0, found)
}

/// Reads an object; `implied` is its kind if it has none, as the items of a `PodList`.
fn read_object(
    object: Node<'_>,
    implied: Option<&str>,
    lists: usize,
    found: &mut Found<'_>,
) -> Result<(), ListError> {
    let version = object.field("apiVersion").and_then(Node::text);
    let Some(kind) = object.field("kind").and_then(Node::text).or(implied) else { return Ok(()) };
    if version.is_some_and(|version| !is_built_in(version)) {
        return Ok(());
    }
    if let Some(item_kind) = kind.strip_suffix("List") {
        if lists == MAX_LISTS {
            let place = found.place(object.line(), None);
            return Err(ListError::Shape { place, expected: "lists stand in lists, too deep" });
        }
        let implied = Some(item_kind).filter(|kind| !kind.is_empty());
        for item in object.field("items").into_iter().flat_map(Node::items) {
            read_object(item, implied, lists + 1, found)?;
        }
        return Ok(());
    }
    let pod = path_to_pod(kind)
        .and_then(|path| path.iter().try_fold(object, |node: Node<'_>, key| node.field(key)));
    let Some(pod) = pod else { return Ok(()) };
    let name = object.field("metadata").and_then(|metadata| metadata.field("name")).and_then(Node::text);
    let object = name.map_or_else(|| kind.to_owned(), |name| format!("{kind} `{name}`"));
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in pod.field(list).into_iter().flat_map(Node::items) {
            let name = container.field("name").and_then(Node::text).unwrap_or_default();
            read_image(container.field("image"), &object, &format!("container `{name}`"), found)?;
        }
    }
    for volume in pod.field("volumes").into_iter().flat_map(Node::items) {
        let name = volume.field("name").and_then(Node::text).unwrap_or_default();
        let image = volume.field("image").and_then(|image| image.field("reference"));
        read_image(image, &object, &format!("volume `{name}`"), found)?;
    }
    Ok(())
}

fn read_image(
    image: Option<Node<'_>>,
    object: &str,
    part: &str,
    found: &mut Found<'_>,
) -> Result<(), ListError> {
    let Some(image) = image.filter(|image| !image.is_null()) else { return Ok(()) };
    let place = found.place(image.line(), Some(format!("{object}, {part}")));
    match image.text() {
        Some(text) => found.add(place, text.trim()),
        None => Err(ListError::Shape { place, expected: "an image is a text" }),
    }
}

/// True for the groups that the kinds above belong to, or once did.
fn is_built_in(version: &str) -> bool {
    version.split_once('/').is_none_or(|(group, _)| matches!(group, "apps" | "batch" | "extensions"))
}
