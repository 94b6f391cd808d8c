//! YAML documents as trees with lines, within bounds.
//!
//! Threats: nesting that exhausts the stack, aliases of aliases ("billion laughs"), merges of merges, keys said twice
//! so that two readers see two files. Defences: nothing here recurses over the text; an alias is a second way to the
//! same node, never a copy, and can only lead to what is complete, so there are no cycles; [`MAX_DEPTH`],
//! [`MAX_NODES`] and, for what readers of the tree walk through, [`MAX_STEPS`]; a key said twice is an error.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::ListError;

/// Schemas in custom resources nest some 60 levels.
const MAX_DEPTH: usize = 200;
/// In all documents of a file. The largest bundles of manifests have a third of it.
const MAX_NODES: usize = 500_000;
/// Nodes that may be walked through in one document, aliases and merges again each time.
const MAX_STEPS: usize = 20_000_000;

/// True if `text` is meant as YAML mappings rather than as a name a line: a line starts a document, a mapping in
/// braces or a key with its value. No image's name has a colon before a space.
pub(super) fn looks_like_mapping(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).peekable();
    while let Some(line) = lines.next() {
        if line.starts_with(['{', '%']) || line == "---" || line.starts_with("--- ") {
            return true;
        }
        let Some((key, value)) = line.split_once(':') else { continue };
        if line.starts_with([' ', '\t']) || key.contains(['#', '/', '@', '$']) {
            continue;
        }
        let is_key = if value.trim().is_empty() {
            lines.peek().is_some_and(|next| next.starts_with([' ', '-']))
        } else {
            value.starts_with([' ', '\t'])
        };
        if is_key {
            return true;
        }
    }
    false
}

/// The documents of a text, one after the other.
pub(super) struct Documents<'t> {
    events: Parser<'t, StrInput<'t>>,
    list: &'t str,
    nodes_left: usize,
    ended: bool,
}

/// One document.
pub(super) struct Document<'t> {
    nodes: Vec<NodeData<'t>>,
    root: usize,
    steps_left: Cell<usize>,
}

struct NodeData<'t> {
    value: Value<'t>,
    line: usize,
    column: usize,
}

enum Value<'t> {
    Scalar {
        text: Cow<'t, str>,
        is_plain: bool,
    },
    Sequence(Vec<usize>),
    Mapping {
        /// Keys and values, without the merge key.
        entries: Vec<(usize, usize)>,
        /// The value of `<<`.
        merge: Option<usize>,
    },
}

impl<'t> Documents<'t> {
    /// The documents of `text`, which stands in `list`.
    pub(super) fn of(text: &'t str, list: &'t str) -> Self {
        Self { events: Parser::new_from_str(text), list, nodes_left: MAX_NODES, ended: false }
    }

    fn invalid(&self, line: usize, column: usize, problem: String) -> ListError {
        ListError::Yaml { list: self.list.to_owned(), line, column, problem }
    }

    fn bound(&self, line: usize, bound: &'static str) -> ListError {
        ListError::Bound { list: self.list.to_owned(), line, bound }
    }

    fn event(&mut self) -> Result<(Event<'t>, Span), ListError> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.scan_error(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn scan_error(&self, error: &ScanError) -> ListError {
        let place = error.marker();
        self.invalid(place.line(), place.col() + 1, error.info().to_owned())
    }

    /// The next document, or none after the last.
    fn document(&mut self) -> Result<Option<Document<'t>>, ListError> {
        loop {
            match self.event()?.0 {
                Event::StreamEnd => return Ok(None),
                Event::DocumentStart(_) => return self.tree().map(Some),
                _ => {}
            }
        }
    }

    /// The nodes up to the document's end.
    fn tree(&mut self) -> Result<Document<'t>, ListError> {
        let mut nodes: Vec<NodeData<'t>> = Vec::new();
        let mut anchors: HashMap<usize, usize> = HashMap::new();
        // The collections that are open, outermost first, each with its anchor and the nodes in it.
        let mut open: Vec<(usize, usize, Vec<usize>)> = Vec::new();
        loop {
            let (event, span) = self.event()?;
            let (line, column) = (span.start.line(), span.start.col() + 1);
            let mut node = |value| {
                nodes.push(NodeData { value, line, column });
                nodes.len() - 1
            };
            let complete = match event {
                Event::Scalar(text, style, anchor, _) => {
                    let id = node(Value::Scalar { text, is_plain: style == ScalarStyle::Plain });
                    anchors.insert(anchor, id);
                    id
                }
                Event::Alias(anchor) => match anchors.get(&anchor) {
                    Some(id) => *id,
                    None => {
                        return Err(self.invalid(line, column, "an alias to what is not there yet".into()));
                    }
                },
                Event::SequenceStart(anchor, _) => {
                    open.push((node(Value::Sequence(vec![])), anchor, vec![]));
                    continue_within(self, open.len(), line)?;
                    continue;
                }
                Event::MappingStart(anchor, _) => {
                    open.push((node(Value::Mapping { entries: vec![], merge: None }), anchor, vec![]));
                    continue_within(self, open.len(), line)?;
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some((id, anchor, within)) = open.pop() else { continue };
                    nodes[id].value = match nodes[id].value {
                        Value::Mapping { .. } => self.mapping(&nodes, &within)?,
                        _ => Value::Sequence(within),
                    };
                    anchors.insert(anchor, id);
                    id
                }
                Event::DocumentEnd | Event::StreamEnd => {
                    return Err(self.invalid(line, column, "the document ends too soon".into()));
                }
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => continue,
            };
            continue_within(self, open.len(), line)?;
            match open.last_mut() {
                Some((_, _, within)) => within.push(complete),
                None => return Ok(Document { nodes, root: complete, steps_left: Cell::new(MAX_STEPS) }),
            }
        }
    }

    /// A mapping of `within`: keys and values in turn.
    fn mapping(&self, nodes: &[NodeData<'t>], within: &[usize]) -> Result<Value<'t>, ListError> {
        let mut entries = Vec::with_capacity(within.len() / 2);
        let mut merge = None;
        let mut known = HashSet::new();
        for pair in within.chunks_exact(2) {
            let (key, value) = (pair[0], pair[1]);
            if let NodeData { value: Value::Scalar { text, is_plain }, line, column } = &nodes[key] {
                if !known.insert(&**text) {
                    return Err(self.invalid(*line, *column, format!("the key `{text}` is there twice")));
                }
                if *is_plain && text == "<<" {
                    merge = Some(value);
                    continue;
                }
            }
            entries.push((key, value));
        }
        Ok(Value::Mapping { entries, merge })
    }
}

/// Counts an event and holds the bounds.
fn continue_within(documents: &mut Documents<'_>, depth: usize, line: usize) -> Result<(), ListError> {
    if depth > MAX_DEPTH {
        return Err(documents.bound(line, "nested deeper than any list of images"));
    }
    match documents.nodes_left.checked_sub(1) {
        Some(left) => documents.nodes_left = left,
        None => return Err(documents.bound(line, "more entries than any list of images has")),
    }
    Ok(())
}

impl<'t> Iterator for Documents<'t> {
    type Item = Result<Document<'t>, ListError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let document = self.document();
        self.ended = !matches!(document, Ok(Some(_)));
        document.transpose()
    }
}

impl Document<'_> {
    /// What the document is.
    pub(super) fn root(&self) -> Node<'_> {
        Node { document: self, id: self.root }
    }

    /// Refuses a document that took too many steps to walk through; what was found in it is not all.
    pub(super) fn check(&self, list: &str) -> Result<(), ListError> {
        if self.steps_left.get() > 0 {
            return Ok(());
        }
        let bound = "its aliases and merges stand for more than any list of images has";
        Err(ListError::Bound { list: list.to_owned(), line: self.root().line(), bound })
    }

    /// Counts steps; false when there are none left.
    fn step(&self, steps: usize) -> bool {
        self.steps_left.set(self.steps_left.get().saturating_sub(steps));
        self.steps_left.get() > 0
    }
}

/// A node, seen through merges.
#[derive(Clone, Copy)]
pub(super) struct Node<'d> {
    document: &'d Document<'d>,
    id: usize,
}

impl<'d> Node<'d> {
    fn data(self) -> &'d NodeData<'d> {
        &self.document.nodes[self.id]
    }

    fn at(self, id: usize) -> Self {
        Self { id, ..self }
    }

    /// The line it starts in, counted from 1.
    pub(super) fn line(self) -> usize {
        self.data().line
    }

    /// The text of a scalar.
    pub(super) fn text(self) -> Option<&'d str> {
        match &self.data().value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// True for nothing, `null` and `~`.
    pub(super) fn is_null(self) -> bool {
        matches!(&self.data().value, Value::Scalar { text, is_plain: true }
            if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// True for a mapping.
    pub(super) fn is_mapping(self) -> bool {
        matches!(self.data().value, Value::Mapping { .. })
    }

    /// The value of a key.
    pub(super) fn field(self, name: &str) -> Option<Self> {
        self.layers()
            .into_iter()
            .flatten()
            .find_map(|&(key, value)| (self.at(key).text() == Some(name)).then(|| self.at(value)))
    }

    /// All keys and values.
    pub(super) fn entries(self) -> Vec<(Self, Self)> {
        let mut known = HashSet::new();
        let all = self.layers().into_iter().flatten().map(|&(key, value)| (self.at(key), self.at(value)));
        all.filter(|(key, _)| key.text().is_none_or(|text| known.insert(text))).collect()
    }

    /// The items of a sequence; of anything else, none.
    pub(super) fn items(self) -> impl Iterator<Item = Self> {
        let items: &[usize] = match &self.data().value {
            Value::Sequence(items) if self.document.step(items.len()) => items,
            _ => &[],
        };
        items.iter().map(move |&id| self.at(id))
    }

    /// The entries of this mapping, then of what it merges, in the order in which they count.
    fn layers(self) -> Vec<&'d [(usize, usize)]> {
        let mut layers = Vec::new();
        let mut seen = HashSet::new();
        let mut waiting = vec![self.id];
        while let Some(id) = waiting.pop() {
            match &self.at(id).data().value {
                Value::Mapping { entries, merge } => {
                    if merge.is_some() && !seen.insert(id) {
                        continue;
                    }
                    if !self.document.step(entries.len() + 1) {
                        return vec![];
                    }
                    layers.push(&**entries);
                    waiting.extend(merge);
                }
                // Mappings to merge, where a merge led here.
                Value::Sequence(ids) if id != self.id => {
                    if !seen.insert(id) || !self.document.step(ids.len()) {
                        continue;
                    }
                    waiting.extend(ids.iter().rev());
                }
                _ => {}
            }
        }
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_told_from_lists() {
        for yaml in [
            "services:\n  web: {}",
            "# c\n\nservices:\n- x",
            "apiVersion: v1\nkind: Pod",
            "---\n",
            "{\"kind\": 1}",
            "nginx: 1",
        ] {
            assert!(looks_like_mapping(yaml), "{yaml}");
        }
        for list in [
            "",
            "nginx:1.25\nredis:7",
            "nginx # kind: web",
            "# kind: Pod\nnginx",
            "  name: x",
            "host:5000/x",
            "nginx:\nredis",
            "x@sha256: y",
        ] {
            assert!(!looks_like_mapping(list), "{list}");
        }
    }

    #[test]
    fn merges_and_aliases_are_seen_through() {
        let text = "a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: [*b, {z: 3, x: 9}], w: *a}";
        let document = Documents::of(text, "x").next().unwrap().unwrap();
        let c = document.root().field("c").unwrap();
        let text = |name| c.field(name).and_then(Node::text);
        assert_eq!((text("x"), text("y"), text("z")), (Some("1"), Some("2"), Some("3")));
        let keys: Vec<&str> = c.entries().iter().filter_map(|(key, _)| key.text()).collect();
        assert_eq!(keys, ["w", "y", "x", "z"]);
        assert_eq!(c.field("w").and_then(|w| w.field("x")).and_then(Node::text), Some("1"));
    }

    #[test]
    fn aliases_lead_to_what_is_complete() {
        for text in ["a: &a [*a]", "a: *b", "a: &a {<<: *a}"] {
            let error = Documents::of(text, "x").next().unwrap().err();
            assert!(matches!(error, Some(ListError::Yaml { line: 1, .. })), "{text}: {error:?}");
        }
    }
}
