//! Layer files written by docs/formats.md, entry by entry, with nothing of sealift's but a hash: whole ones, and such as do harm.

use std::fs;

use sealift::image::Digest;
use sealift::layer_file::{Problem, Verdict};
use serde_json::{Value, json};

use super::tree::Site;

/// An entry of a `layer.tar`, USTAR with what there is room for.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) target: Vec<u8>,
    pub(crate) device: (u32, u32),
    /// PAX records before it.
    pub(crate) records: Vec<(Vec<u8>, Vec<u8>)>,
    /// What stands behind the header, and how much of it is no content.
    pub(crate) content: Vec<u8>,
    pub(crate) map_bytes: usize,
    /// The name in the header, where it is another.
    pub(crate) block_name: Option<Vec<u8>>,
}

impl Entry {
    pub(crate) fn new(name: &str, kind: u8) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            kind,
            mode: 0o755,
            owner: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            target: Vec::new(),
            device: (0, 0),
            records: Vec::new(),
            content: Vec::new(),
            map_bytes: 0,
            block_name: None,
        }
    }

    pub(crate) fn folder(name: &str) -> Self {
        Self::new(name, b'5')
    }

    pub(crate) fn file(name: &str, content: &str) -> Self {
        Self { content: content.as_bytes().to_vec(), mode: 0o644, ..Self::new(name, b'0') }
    }

    pub(crate) fn symlink(name: &str, target: &str) -> Self {
        Self { target: target.as_bytes().to_vec(), mode: 0o777, ..Self::new(name, b'2') }
    }

    pub(crate) fn link(name: &str, target: &str) -> Self {
        Self { target: target.as_bytes().to_vec(), mode: 0o644, ..Self::new(name, b'1') }
    }

    pub(crate) fn device(name: &str, major: u32, minor: u32) -> Self {
        Self { device: (major, minor), ..Self::new(name, b'3') }
    }

    pub(crate) fn record(mut self, key: &str, value: &str) -> Self {
        self.records.push((key.as_bytes().to_vec(), value.as_bytes().to_vec()));
        self
    }

    pub(crate) fn attribute(self, name: &str, value: &str) -> Self {
        self.record(&format!("SCHILY.xattr.{name}"), value)
    }

    /// The header's blocks, and the map's.
    fn blocks(&self) -> Vec<u8> {
        let mut blocks = Vec::new();
        if !self.records.is_empty() {
            let mut data = Vec::new();
            for (key, value) in &self.records {
                let rest = key.len() + value.len() + 3;
                let length =
                    (1..9).find(|digits| (rest + digits).to_string().len() == *digits).unwrap() + rest;
                data.extend([length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat());
            }
            let name = self.name.rsplitn(2, |byte| *byte == b'/').collect::<Vec<_>>();
            let shown = match name[..] {
                [base, folder] if !base.is_empty() => [folder, b"/PaxHeaders.0/", base].concat(),
                [_, folder] => [folder, b"/PaxHeaders.0"].concat(),
                _ => [b"PaxHeaders.0/", name[0]].concat(),
            };
            blocks.extend(header(&shown, b'x', 0, (0, 0), data.len(), b"", (0, 0), true));
            data.resize(data.len().next_multiple_of(512), 0);
            blocks.extend(data);
        }
        let size = self.content.len();
        let name = self.block_name.as_ref().unwrap_or(&self.name);
        blocks.extend(header(name, self.kind, self.mode, self.owner, size, &self.target, self.device, false));
        blocks.extend(&self.content[..self.map_bytes]);
        blocks
    }
}

#[allow(clippy::too_many_arguments, reason = "a header has many fields")]
pub(crate) fn header(
    name: &[u8],
    kind: u8,
    mode: u32,
    owner: (u32, u32),
    size: usize,
    target: &[u8],
    device: (u32, u32),
    is_records: bool,
) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, &name[..name.len().min(100)]);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, format!("{:07o}", owner.0).as_bytes());
    put(116, format!("{:07o}", owner.1).as_bytes());
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(156, &[kind]);
    put(157, target);
    put(257, b"ustar\x0000");
    if !is_records {
        put(329, format!("{:07o}", device.0).as_bytes());
        put(337, format!("{:07o}", device.1).as_bytes());
    }
    put(148, b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A `layer.tar` of these entries after the root's, with what is to be said of it.
pub(crate) struct Layer {
    pub(crate) tar: Vec<u8>,
    checksum: Vec<u8>,
    digests: Vec<u8>,
    counts: [u64; 12],
}

impl Layer {
    pub(crate) fn of(entries: &[Entry]) -> Self {
        Self::of_all(&[&[Entry::folder("./")], entries].concat())
    }

    pub(crate) fn of_all(entries: &[Entry]) -> Self {
        let mut layer = Self { tar: Vec::new(), checksum: Vec::new(), digests: Vec::new(), counts: [0; 12] };
        for entry in entries {
            let blocks = entry.blocks();
            layer.digests.extend(bytes_of(&Digest::of(&blocks)));
            layer.tar.extend(blocks);
            let data = &entry.content[entry.map_bytes..];
            layer.tar.extend(data);
            layer.tar.resize(layer.tar.len().next_multiple_of(512), 0);
            let name = entry.name.strip_suffix(b"/").unwrap_or(&entry.name);
            layer.checksum.extend(if name == b"." { b"" } else { name });
            layer.checksum.extend(data);
            let is_whiteout = entry.kind == b'3' && entry.device == (0, 0);
            let place = match entry.kind {
                b'0' => 1,
                b'5' => 2,
                b'2' => 3,
                b'1' => 4,
                b'6' => 5,
                _ if is_whiteout => 7,
                _ => 6,
            };
            layer.counts[0] += 1;
            layer.counts[place] += 1;
            layer.counts[9] += u64::from(entry.map_bytes > 0);
            layer.counts[10] +=
                entry.records.iter().filter(|(key, _)| key.starts_with(b"SCHILY")).count() as u64;
            layer.counts[11] += data.len() as u64;
        }
        layer.tar.extend([0; 1024]);
        layer
    }

    /// `metadata.json`, true to the layer.
    pub(crate) fn metadata(&self) -> Value {
        let [
            entries,
            files,
            directories,
            symlinks,
            hard_links,
            fifos,
            devices,
            whiteouts,
            _,
            sparse,
            attributes,
            content,
        ] = self.counts;
        json!({
            "version": "2.0", "created": "", "compressed": false, "layer_checksum": Digest::of(&self.checksum).hex(),
            "container_metadata": {}, "docker_info": {},
            "layer_tar": {"sha256": Digest::of(&self.tar).to_string(), "size_bytes": self.tar.len()},
            "tree": {
                "sha256": Digest::of(&self.digests).to_string(), "entries": entries, "files": files,
                "directories": directories, "symlinks": symlinks, "hard_links": hard_links, "fifos": fifos,
                "devices": devices, "whiteouts": whiteouts, "opaque": 0, "redirects": 0, "sparse": sparse,
                "attributes": attributes, "content_bytes": content,
            },
        })
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        file_of(&self.tar, &self.metadata())
    }
}

fn bytes_of(digest: &Digest) -> Vec<u8> {
    digest
        .hex()
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The three entries of a layer file.
pub(crate) fn file_of(tar: &[u8], metadata: &Value) -> Vec<u8> {
    let json = metadata.to_string().into_bytes();
    let line = format!("{}  metadata.json\n", Digest::of(&json).hex()).into_bytes();
    let mut file = Vec::new();
    for (name, content) in [("layer.tar", tar), ("metadata.json", &json), ("metadata.json.sha256", &line)] {
        file.extend(header(name.as_bytes(), b'0', 0o644, (0, 0), content.len(), b"", (0, 0), false));
        file.extend(content);
        file.resize(file.len().next_multiple_of(512), 0);
    }
    file.extend([0; 1024]);
    file
}

/// What is wrong with a file of these bytes.
pub(crate) fn problems_of(bytes: &[u8]) -> Vec<Problem> {
    let site = Site::new();
    fs::write(site.file(), bytes).unwrap();
    match site.verdict() {
        Verdict::Whole(_) => Vec::new(),
        Verdict::Broken { problems, .. } => {
            assert!(!problems.is_empty());
            problems
        }
    }
}

#[test]
fn a_file_written_by_its_description_is_whole_and_becomes_a_tree() {
    let site = Site::new();
    let map = format!("{:\0<512}", "2\n0\n512\n2048\n0\n");
    let holes = Entry {
        content: [map.into_bytes(), vec![1; 512]].concat(),
        map_bytes: 512,
        block_name: Some(b"GNUSparseFile.0/holes".to_vec()),
        ..Entry::file("holes", "")
    };
    let layer = Layer::of(&[
        Entry::folder("a/"),
        Entry::file("a/file", "content").attribute("user.note", "x"),
        Entry::link("a/link", "a/file"),
        Entry::symlink("b", "/etc/passwd"),
        Entry::device("gone", 0, 0),
        holes
            .record("GNU.sparse.major", "1")
            .record("GNU.sparse.minor", "0")
            .record("GNU.sparse.name", "holes")
            .record("GNU.sparse.realsize", "2048"),
        Entry { mode: 0o644, ..Entry::new("pipe", b'6') },
    ]);
    fs::write(site.file(), layer.file()).unwrap();
    let tree = site.out_and_in();
    let names: Vec<_> = tree.keys().map(|name| str::from_utf8(name).unwrap()).collect();
    assert_eq!(names, ["", "a", "a/file", "a/link", "b", "gone", "holes", "pipe"]);
    assert!(tree[&b"b"[..]].ends_with("-> /etc/passwd"), "{}", tree[&b"b"[..]]);
    assert_eq!(tree[&b"a/file"[..]], tree[&b"a/link"[..]]);
}
