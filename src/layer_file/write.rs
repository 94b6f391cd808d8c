//! A layer file is written: in one go, packed or not, at its name when all of it is on the disk.

use std::io::{self, Write};
use std::path::Path;

use super::error::LayerFileError;
use super::metadata::{About, LayerTar, LeftOutOfFile, Metadata, VERSION};
use super::outer::{self, END_BYTES, LAYER, METADATA, METADATA_DIGEST};
use super::seal::{Packer, Seal};
use crate::blob::HashThread;
use crate::foreign::shown;
use crate::fsio::{Existing, PartialFile};
use crate::overlay::{LeftOut, Plan, Watch};

/// What is set aside for all but the layer.
const OTHER_BYTES: u64 = 64 << 10;
/// Sockets that are named.
const NAMED_SOCKETS: usize = 1000;

/// A file that was written, on disk under its name.
#[derive(Clone, Debug)]
pub struct WrittenFile {
    /// Its size.
    pub size_bytes: u64,
    /// What it says of itself.
    pub metadata: Metadata,
}

/// Writes the directory of `plan` as a layer file, for its owner's eyes only (0600). Blocks. `watch` is told of the bytes of `layer.tar`
/// ([`Plan::size_bytes`] in all). On any error nothing stays.
pub fn write(
    target: &Path,
    existing: Existing,
    plan: &Plan,
    seal: Option<Seal>,
    about: About,
    watch: Watch<'_>,
) -> Result<WrittenFile, LayerFileError> {
    let layer_bytes = plan.size_bytes();
    // How far it packs shows at its end.
    let set_aside_bytes = if seal.is_none() { layer_bytes.saturating_add(OTHER_BYTES) } else { 0 };
    // Keys, passwords and databases are in it that nobody but root could read where they were.
    let file = PartialFile::create_private(target, set_aside_bytes, existing)?;
    let mut packer = Packer::new(seal, file.handle()).map_err(LayerFileError::writing)?;
    let put = |packer: &mut Packer, name: &str, content: &[u8]| {
        packer.write_all(&outer::header(name, content.len() as u64))?;
        packer.write_all(content)?;
        pad(packer, content.len() as u64)
    };
    packer.write_all(&outer::header(LAYER, layer_bytes)).map_err(LayerFileError::writing)?;
    let (layer_tar, layer_checksum) = write_layer(&mut packer, plan, watch)?;
    let metadata = Metadata {
        version: VERSION.to_owned(),
        created: about.created,
        container_metadata: about.container,
        docker_info: about.docker,
        layer_checksum,
        compressed: seal.is_some(),
        platform: about.platform,
        layer_tar: Some(layer_tar),
        tree: Some(plan.tree().clone()),
        left_out: Some(left_out(plan)),
    };
    let mut rest = || -> io::Result<()> {
        pad(&mut packer, layer_bytes)?;
        let mut json = serde_json::to_vec_pretty(&metadata).map_err(io::Error::other)?;
        json.push(b'\n');
        put(&mut packer, METADATA, &json)?;
        put(&mut packer, METADATA_DIGEST, &outer::digest_line(&json))?;
        packer.write_all(&[0; END_BYTES])
    };
    rest().map_err(LayerFileError::writing)?;
    let size_bytes = packer.finish().map_err(LayerFileError::writing)?;
    file.resize(size_bytes)?;
    file.sync()?;
    file.commit()?;
    Ok(WrittenFile { size_bytes, metadata })
}

/// Writes `layer.tar`, and gives what it and its contents hash to.
fn write_layer(
    packer: &mut Packer,
    plan: &Plan,
    watch: Watch<'_>,
) -> Result<(LayerTar, String), LayerFileError> {
    let mut layer = Hashed { packer, hash: HashThread::new() };
    let mut contents = HashThread::new();
    plan.write(&mut layer, &mut |bytes| contents.update(bytes), watch)?;
    let layer_tar = LayerTar { sha256: layer.hash.finish(), size_bytes: plan.size_bytes() };
    Ok((layer_tar, contents.finish().hex().to_owned()))
}

fn pad(packer: &mut Packer, size_bytes: u64) -> io::Result<()> {
    packer.write_all(&vec![0; outer::padding_bytes(size_bytes)])
}

fn left_out(plan: &Plan) -> LeftOutOfFile {
    let sockets = || {
        plan.left_out().iter().filter_map(|one| match one {
            LeftOut::Socket(path) => Some(path),
            _ => None,
        })
    };
    let named = sockets().take(NAMED_SOCKETS).map(|path| shown(&path.to_string_lossy()));
    LeftOutOfFile { sockets: sockets().count() as u64, socket_paths: named.collect() }
}

/// What goes on to the packer, hashed.
struct Hashed<'a> {
    packer: &'a mut Packer,
    hash: HashThread,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.packer.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
