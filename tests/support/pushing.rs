//! How a Docker with a graph driver pushes, by script: it asks for blobs that it knows, uploads all others packed, and sends
//! the manifest last.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use sealift::image::Digest;
use serde_json::{Value, json};

/// A layer as the daemon has it.
#[derive(Clone)]
pub(crate) struct PushedLayer {
    /// What it packs the layer to.
    pub(crate) blob: Vec<u8>,
    /// The digests that it knows the layer by: it asks for these, and if one of them is there sends nothing.
    pub(crate) known: Vec<Digest>,
}

/// The layers of the one image there is to push, lowest first, and what goes wrong.
#[derive(Clone, Default)]
pub(crate) struct Pushing {
    pub(crate) layers: Vec<PushedLayer>,
    pub(crate) config: Vec<u8>,
    pub(crate) history: Value,
    /// Said instead of pushing.
    pub(crate) refusal: Option<&'static str>,
    /// An image that gets a name when the push begins: somebody else's work.
    pub(crate) renames: Option<(String, Value)>,
    /// True if nothing is said until the client goes away.
    pub(crate) stalls: bool,
    /// The config of another platform, whose manifest comes last.
    pub(crate) other_config: Option<Vec<u8>>,
    /// True if the image goes before it is given a name.
    pub(crate) goes: bool,
    /// True if somebody else tries to get at the registry first; it fails if that is let in.
    pub(crate) has_stranger: bool,
}

impl Pushing {
    /// Pushes, and says how it went as Docker does.
    pub(super) fn push(&self, image: &str, tag: &str, is_there: bool) -> String {
        if !is_there {
            return failure(&format!("An image does not exist locally with the tag: {image}"));
        }
        if let Some(refusal) = self.refusal {
            return failure(refusal);
        }
        let (address, repository) = image.split_once('/').unwrap();
        let registry = Registry { address, repository };
        match self.push_to(&registry, tag) {
            Ok(()) => json!({"status": "latest: digest: sha256:x size: 1"}).to_string(),
            Err(error) => failure(&error.to_string()),
        }
    }

    fn push_to(&self, registry: &Registry<'_>, tag: &str) -> io::Result<()> {
        if self.has_stranger {
            for (method, path) in
                [("GET", "/v2/_catalog"), ("POST", "/v2/other/blobs/uploads/"), ("GET", "/")]
            {
                let (status, _) = registry.ask(method, path, &[])?;
                assert_eq!(status, 404, "{method} {path}");
            }
        }
        expect(registry.ask("GET", "/v2/", &[])?, 200)?;
        let mut layers = Vec::new();
        for layer in self.layers.iter().rev() {
            let known = layer.known.iter().find(|digest| registry.has(digest).unwrap());
            let digest = match known {
                Some(digest) => digest.clone(),
                None => registry.upload(&layer.blob)?,
            };
            layers.push(json!({"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                               "size": layer.blob.len(), "digest": digest}));
        }
        layers.reverse();
        let path = |reference: &str| registry.path(&format!("manifests/{reference}"));
        let manifest = manifest(registry, &self.config, &layers)?;
        let Some(other) = &self.other_config else {
            return expect(registry.ask("PUT", &path(tag), &manifest)?, 201).map(drop);
        };
        let manifests = [manifest, self::manifest(registry, other, &layers)?];
        for manifest in &manifests {
            expect(registry.ask("PUT", &path(&Digest::of(manifest).to_string()), manifest)?, 201)?;
        }
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let entries = manifests.map(
            |manifest| json!({"mediaType": kind, "size": manifest.len(), "digest": Digest::of(&manifest)}),
        );
        let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                           "manifests": entries});
        expect(registry.ask("PUT", &path(tag), index.to_string().as_bytes())?, 201).map(drop)
    }
}

/// The manifest of an image whose config is there then.
fn manifest(registry: &Registry<'_>, config: &[u8], layers: &[Value]) -> io::Result<Vec<u8>> {
    let digest = Digest::of(config);
    if !registry.has(&digest)? {
        registry.upload(config)?;
    }
    let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json",
                   "size": config.len(), "digest": digest},
        "layers": layers,
    });
    Ok(manifest.to_string().into_bytes())
}

fn failure(message: &str) -> String {
    json!({"errorDetail": {"message": message}, "error": message}).to_string()
}

fn expect((status, location): (u16, Option<String>), expected: u16) -> io::Result<Option<String>> {
    if status == expected { Ok(location) } else { Err(io::Error::other(format!("status {status}"))) }
}

struct Registry<'a> {
    address: &'a str,
    repository: &'a str,
}

impl Registry<'_> {
    fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository)
    }

    fn has(&self, digest: &Digest) -> io::Result<bool> {
        Ok(self.ask("HEAD", &self.path(&format!("blobs/{digest}")), &[])?.0 == 200)
    }

    fn upload(&self, blob: &[u8]) -> io::Result<Digest> {
        let begun = expect(self.ask("POST", &self.path("blobs/uploads/"), &[])?, 202)?;
        let place = expect(self.ask("PATCH", &begun.unwrap(), blob)?, 202)?;
        let digest = Digest::of(blob);
        expect(self.ask("PUT", &format!("{}?digest={digest}", place.unwrap()), &[])?, 201)?;
        Ok(digest)
    }

    /// The status, and where to go on.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Option<String>)> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        )?;
        stream.write_all(body)?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no answer"))?;
        let mut location = None;
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("location") {
                location = Some(value.trim().to_owned());
            }
        }
        reader.read_to_end(&mut Vec::new())?;
        Ok((status, location))
    }
}
