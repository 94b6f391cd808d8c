//! `certs.d`: certificates by registry, in the folders of Docker (dockerd "certs.d") and containers/image
//! (containers-certs.d(5)).
//!
//! `<folder>/<host[:port]>/` holds `*.crt` (CA certificates for that host), `*.cert` with `*.key` (a client certificate).
//! The first folder that has the host is the one; of several client certificates the first by name. A port that is the
//! scheme's own may be left out. Names are made of a host and a port, so they lead nowhere else.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use url::Url;

use crate::config::Environment;

use super::client_certificate::{ClientCertificate, ClientCertificateProblem};
use super::error::RegistryError;

/// The folders that are looked into, in order. The default has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertsFolders(Vec<PathBuf>);

/// What there is for one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostCertificates {
    /// The folder.
    pub folder: PathBuf,
    /// Files of CA certificates.
    pub ca_files: Vec<PathBuf>,
    /// The client certificate.
    pub client: Option<ClientCertificate>,
}

impl CertsFolders {
    /// Those of podman and docker: the user's, then the system's.
    pub fn of_environment(environment: &Environment) -> Self {
        let home = environment.path("HOME");
        let settings = environment
            .path("XDG_CONFIG_HOME")
            .or_else(|| home.as_ref().map(|home| home.join(".config")))
            .into_iter()
            .flat_map(|folder| [folder.join("containers"), folder.join("docker")]);
        let docker = home.map(|home| home.join(".docker"));
        let system = ["/etc/containers", "/etc/docker"].map(PathBuf::from);
        Self(settings.chain(docker).chain(system).map(|folder| folder.join("certs.d")).collect())
    }

    /// These folders alone.
    pub fn of(folders: Vec<PathBuf>) -> Self {
        Self(folders)
    }

    /// What there is for the host of `url`; folders that can't be read have nothing.
    pub(super) fn find(&self, url: &Url) -> Result<Option<HostCertificates>, RegistryError> {
        let names = names_of(url);
        for folder in self.0.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))) {
            let mut files: Vec<PathBuf> = match std::fs::read_dir(&folder) {
                Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
                    ) =>
                {
                    continue;
                }
                Err(error) => {
                    let problem = ClientCertificateProblem::Unreadable(error);
                    return Err(RegistryError::ClientCertificate { path: folder, problem });
                }
            };
            files.sort();
            return read(folder, &files).map(Some);
        }
        Ok(None)
    }
}

fn read(folder: PathBuf, files: &[PathBuf]) -> Result<HostCertificates, RegistryError> {
    let of_kind = |extension: &'static str| {
        files.iter().filter(move |file| file.extension().is_some_and(|found| found == extension))
    };
    let alone = |path: &Path, missing: &Path| RegistryError::ClientCertificate {
        path: path.to_owned(),
        problem: ClientCertificateProblem::Alone(
            missing.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        ),
    };
    let mut client = None;
    for certificate in of_kind("cert") {
        let key = certificate.with_extension("key");
        if !files.contains(&key) {
            return Err(alone(certificate, &key));
        }
        client.get_or_insert(ClientCertificate { certificate: certificate.clone(), key });
    }
    for key in of_kind("key") {
        let certificate = key.with_extension("cert");
        if !files.contains(&certificate) {
            return Err(alone(key, &certificate));
        }
    }
    Ok(HostCertificates { folder, ca_files: of_kind("crt").cloned().collect(), client })
}

/// What the folder of a host may be called. Docker Hub goes by its name, not by that of its API.
fn names_of(url: &Url) -> Vec<String> {
    let Some(host) = url.host_str() else { return Vec::new() };
    let port = url.port_or_known_default();
    // Windows has no colons in names; Docker leaves them out there.
    let with_port =
        port.map(|port| if cfg!(windows) { format!("{host}{port}") } else { format!("{host}:{port}") });
    let bare = url.port().is_none().then(|| host.to_owned());
    let hub = (host == "registry-1.docker.io" && url.port().is_none()).then(|| "docker.io".to_owned());
    with_port.into_iter().chain(bare).chain(hub).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(names: &[&str]) -> (tempfile::TempDir, CertsFolders) {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        }
        let folders = CertsFolders::of(vec![folder.path().join("none"), folder.path().join("certs.d")]);
        (folder, folders)
    }

    #[test]
    fn a_folder_is_for_its_host_and_port() {
        let (_kept, folders) = folder_with(&[
            "certs.d/reg.example/ca.crt",
            "certs.d/reg.example:5000/b.cert",
            "certs.d/reg.example:5000/b.key",
            "certs.d/reg.example:5000/a.cert",
            "certs.d/reg.example:5000/a.key",
            "certs.d/reg.example:5000/a.txt",
            "certs.d/port.example:443/ca.crt",
            "certs.d/docker.io/ca.crt",
        ]);
        let found = |url: &str| {
            let found = folders.find(&Url::parse(url).unwrap()).unwrap()?;
            let client = found.client.map(|client| client.key.file_name().unwrap().to_owned());
            Some((found.ca_files.len(), client.map(|name| name.into_string().unwrap())))
        };
        assert_eq!(found("https://reg.example/v2/"), Some((1, None)));
        assert_eq!(found("https://reg.example:5000/v2/"), Some((0, Some("a.key".into()))));
        assert_eq!(found("https://reg.example:5001/v2/"), None);
        assert_eq!(found("https://a.reg.example/v2/"), None);
        assert_eq!(found("https://port.example/v2/"), Some((1, None)));
        assert_eq!(found("https://registry-1.docker.io/v2/"), Some((1, None)));
    }

    #[test]
    fn a_key_without_its_certificate_is_an_error_and_the_other_way_round() {
        for (file, missing) in [("x.key", "x.cert"), ("x.cert", "x.key")] {
            let (_kept, folders) = folder_with(&[&format!("certs.d/reg.example/{file}")]);
            let error = folders.find(&Url::parse("https://reg.example/").unwrap()).unwrap_err();
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(error.to_string().contains(file) && source.contains(missing), "{error}: {source}");
        }
    }

    #[test]
    fn the_users_folders_go_before_the_systems() {
        let folders = |pairs: &[(&str, &str)]| {
            let CertsFolders(folders) = CertsFolders::of_environment(&pairs.iter().copied().collect());
            folders.iter().map(|folder| folder.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"];
        assert_eq!(folders(&[]), system);
        assert_eq!(
            folders(&[("HOME", "/h")]),
            [
                &["/h/.config/containers/certs.d", "/h/.config/docker/certs.d", "/h/.docker/certs.d"],
                &system[..]
            ]
            .concat()
        );
    }
}
