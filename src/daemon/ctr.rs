//! containerd, spoken to by its own `ctr`: its API is gRPC, and a library for that needs a compiler of its own to build.
//!
//! Written for the `ctr` of containerd 1.6 to 2.1. Arguments hold names, sockets and namespaces, never a secret. What `ctr`
//! prints is read in words, as its tables have no other form.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::error::DaemonError;
use super::freight::Freight;
use super::held::Held;
use crate::config::Environment;
use crate::event::Reporter;
use crate::foreign::shown;
use crate::image::manifest::{MAX_MANIFEST_BYTES, Parsed};
use crate::image::{Descriptor, Digest, Document, Manifest, MediaType, Platform, Reference};

/// containerd's own socket, and that of the one in k3s and RKE2.
const SOCKETS: [&str; 2] = ["/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock"];
/// Where `ctr` puts images if it isn't told.
const NAMESPACE: &str = "default";

/// A containerd, and a namespace in it.
pub struct Ctr {
    program: PathBuf,
    address: PathBuf,
    namespace: String,
    environment: Environment,
    platform: Platform,
    folder: Option<PathBuf>,
}

impl Ctr {
    /// Finds containerd and its `ctr`, and learns what it runs.
    pub async fn connect(
        address: Option<PathBuf>,
        namespace: Option<String>,
        environment: &Environment,
    ) -> Result<Self, DaemonError> {
        let usual = || {
            let there = SOCKETS.map(PathBuf::from).into_iter().find(|socket| socket.exists());
            there.unwrap_or_else(|| SOCKETS[0].into())
        };
        let address = address.or_else(|| environment.path("CONTAINERD_ADDRESS")).unwrap_or_else(usual);
        if !address.exists() {
            return Err(DaemonError::NoContainerd(address));
        }
        let namespace = namespace.or_else(|| environment.text("CONTAINERD_NAMESPACE").map(str::to_owned));
        let mut ctr = Self {
            program: environment.program("ctr").ok_or(DaemonError::NoCtr)?,
            address,
            namespace: namespace.unwrap_or_else(|| NAMESPACE.to_owned()),
            environment: environment.clone(),
            platform: Platform::linux_amd64(),
            folder: None,
        };
        let plugins = ctr.run("tell its plugins", &["plugins", "list", "--detailed"]).await;
        let plugins = plugins.map_err(|error| match error {
            DaemonError::CtrFailed { said, .. } => {
                DaemonError::ContainerdUnreachable { address: ctr.address.clone(), said }
            }
            other => other,
        })?;
        let Plugins { platform, folder } = Plugins::read(&plugins);
        ctr.platform = platform.ok_or_else(|| DaemonError::CtrFailed {
            action: "tell which platform it runs".to_owned(),
            said: "it has no snapshotter".to_owned(),
        })?;
        ctr.folder = folder;
        Ok(ctr)
    }

    /// Who it is and where.
    pub fn description(&self) -> String {
        format!("containerd at {}, namespace {}", self.address.display(), shown(&self.namespace))
    }

    /// What it runs.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Where it keeps content.
    pub fn folder(&self) -> Option<&PathBuf> {
        self.folder.as_ref().filter(|folder| folder.is_dir())
    }

    /// The image that has this full name; none if there is none.
    pub async fn find(&self, name: &str) -> Result<Option<Held>, DaemonError> {
        // Its `images check` fails for images of other platforms (containerd 1.6).
        let Some(id) = self.target(name).await? else { return Ok(None) };
        let content = self.run(&format!("tell about {name}"), &["content", "list", "--quiet"]).await?;
        let content: HashSet<&str> = content.lines().map(str::trim).collect();
        let leads_to = self.whole_parts(&id, &content).await?;
        let is_whole = !leads_to.is_empty();
        Ok(Some(Held { id, leads_to, platform: self.platform.clone(), diff_ids: None, is_whole }))
    }

    /// What `digest` leads to and is there whole: a manifest's config, an index's manifests.
    async fn whole_parts(
        &self,
        digest: &Digest,
        content: &HashSet<&str>,
    ) -> Result<Vec<Digest>, DaemonError> {
        match self.document(digest, content).await? {
            Some(Parsed::Manifest(manifest)) if is_whole(&manifest, content) => {
                Ok(vec![manifest.config.digest])
            }
            Some(Parsed::Index(index)) => {
                let mut whole = Vec::new();
                for Descriptor { digest, .. } in index.manifests {
                    if let Some(Parsed::Manifest(manifest)) = self.document(&digest, content).await?
                        && is_whole(&manifest, content)
                    {
                        whole.push(digest);
                    }
                }
                Ok(whole)
            }
            _ => Ok(Vec::new()),
        }
    }

    async fn document(
        &self,
        digest: &Digest,
        content: &HashSet<&str>,
    ) -> Result<Option<Parsed>, DaemonError> {
        if !content.contains(digest.to_string().as_str()) {
            return Ok(None);
        }
        // Garbage collection may have taken it since it was listed: of an index, platforms that nobody wanted.
        let document = self.content(digest, MAX_MANIFEST_BYTES).await?;
        Ok(document.and_then(|document| document.parse().ok()))
    }

    /// What a name stands for.
    pub(super) async fn target(&self, name: &str) -> Result<Option<Digest>, DaemonError> {
        let filter = format!("name==\"{}\"", name.replace(['\\', '"'], ""));
        let table = self.run(&format!("tell about {name}"), &["images", "list", &filter]).await?;
        let mut rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|row| row.first() == Some(&name));
        Ok(row.and_then(|row| row.get(2)?.parse().ok()))
    }

    /// A small blob; none where there is none, or one that is larger or damaged.
    pub(super) async fn content(
        &self,
        digest: &Digest,
        most_bytes: u64,
    ) -> Result<Option<Document>, DaemonError> {
        let text = digest.to_string();
        let mut command = self.command(&["content", "get", &text]);
        let mut child = command.stdin(Stdio::null()).spawn().map_err(DaemonError::Ctr)?;
        let mut bytes = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(most_bytes + 1).read_to_end(&mut bytes).await.map_err(DaemonError::Ctr)?;
        }
        if bytes.len() as u64 > most_bytes {
            return Ok(None);
        }
        let output = child.wait_with_output().await.map_err(DaemonError::Ctr)?;
        match checked(&format!("show {text}"), &output) {
            Ok(_) => Ok(Document::verified(bytes.into(), MediaType::OciManifest, digest).ok()),
            Err(DaemonError::CtrFailed { said, .. }) if said.contains("not found") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the image `source` the name `name`.
    pub async fn tag(&self, source: &str, name: &Reference) -> Result<(), DaemonError> {
        let name = name.to_string();
        let arguments = ["images", "tag", "--force", source, &name];
        self.run(&format!("name {source} {name}"), &arguments).await.map(drop)
    }

    /// Loads an archive; of an image for several platforms this one, or, with none, all, and leaves them packed.
    pub async fn load(
        &self,
        freight: Freight,
        platform: Option<&Platform>,
        reporter: &dyn Reporter,
    ) -> Result<(), DaemonError> {
        let mut command = self.command(&["images", "import"]);
        match platform {
            Some(platform) => command.arg("--platform").arg(platform.to_string()),
            None => command.args(["--all-platforms", "--no-unpack"]),
        };
        let mut child = command.arg("-").stdin(Stdio::piped()).spawn().map_err(DaemonError::Ctr)?;
        let stdin = child.stdin.take();
        let mut progress = freight.progress(reporter);
        let mut chunks = freight.chunks();
        let sending = async move {
            let Some(mut stdin) = stdin else { return Ok(()) };
            while let Some(chunk) = chunks.recv().await {
                let chunk = chunk?;
                if stdin.write_all(&chunk).await.is_err() {
                    // It wants no more, and will say why.
                    return Ok(());
                }
                progress.sent(chunk.len() as u64);
            }
            Ok::<_, DaemonError>(())
        };
        let ending = child.wait_with_output();
        tokio::pin!(ending);
        let output = tokio::select! {
            biased;
            output = &mut ending => output,
            sent = sending => {
                sent?;
                ending.await
            }
        };
        checked("load the archive", &output.map_err(DaemonError::Ctr)?).map(drop)
    }

    pub(super) async fn run(&self, action: &str, arguments: &[&str]) -> Result<String, DaemonError> {
        let output = self.command(arguments).stdin(Stdio::null()).output().await.map_err(DaemonError::Ctr)?;
        checked(action, &output)
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--address").arg(&self.address).args(["--namespace", &self.namespace]).args(arguments);
        command.env_clear().envs(self.environment.variables_for_programs());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// What was printed, if it went well.
pub(super) fn checked(action: &str, output: &Output) -> Result<String, DaemonError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    // The last line is ctr's own.
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().lines().next_back().unwrap_or("it failed without a word");
    Err(DaemonError::CtrFailed { action: action.to_owned(), said: shown(said.trim_start_matches("ctr: ")) })
}

fn is_whole(manifest: &Manifest, content: &HashSet<&str>) -> bool {
    let mut blobs = std::iter::once(&manifest.config).chain(&manifest.layers);
    blobs.all(|blob| content.contains(blob.digest.to_string().as_str()))
}

/// What is of use in the list of containerd's plugins.
struct Plugins {
    platform: Option<Platform>,
    folder: Option<PathBuf>,
}

impl Plugins {
    /// Reads blocks of `Key: value` lines, one for each plugin.
    fn read(text: &str) -> Self {
        let (mut kind, mut platform, mut folder) = ("", None, None);
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("Type:"), Some(word)) => kind = word,
                (Some("Platforms:"), Some(word)) if kind == "io.containerd.snapshotter.v1" => {
                    platform = platform.or_else(|| word.parse().ok());
                }
                (Some("root"), Some(path)) if kind == "io.containerd.content.v1" => {
                    folder = Some(PathBuf::from(path));
                }
                _ => {}
            }
        }
        Self { platform, folder }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// As `ctr` of containerd 1.6 prints it.
    #[test]
    fn platform_and_folder_are_found_among_the_plugins() {
        let text = "Type:          io.containerd.content.v1\nID:            content\nExports:      \n\
                    \x20              root      /var/lib/containerd/io.containerd.content.v1.content\n\
                    \x20                           \n\
                    Type:          io.containerd.snapshotter.v1\nID:            overlayfs\n\
                    Platforms:     linux/arm64/v8\nExports:      \n\
                    \x20              root      /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs\n";
        let found = Plugins::read(text);
        assert_eq!(found.platform.unwrap().to_string(), "linux/arm64");
        let folder = Path::new("/var/lib/containerd/io.containerd.content.v1.content");
        assert_eq!(found.folder.as_deref(), Some(folder));
        assert!(Plugins::read("").platform.is_none());
    }
}
