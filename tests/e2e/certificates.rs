//! Certificates that openssl makes: of the tests' own authorities, and such as vouch for themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::output_of;

const ELLIPTIC: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

/// A certificate and its key, as PEM files.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// An authority that nobody trusts who was not told to.
pub(crate) struct Authority(Certificate);

impl Authority {
    /// Makes one, with its files in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self(request(folder, "ca", ELLIPTIC, &["-x509", "-subj", "/CN=sealift test CA"]))
    }

    pub(crate) fn certificate(&self) -> &Path {
        &self.0.certificate
    }

    /// A certificate for these names (`DNS:…`, `IP:…`), in files called `name` beside the authority's.
    pub(crate) fn issue(&self, name: &str, alternative_names: &str) -> Certificate {
        let folder = self.0.certificate.parent().unwrap();
        let names = format!("subjectAltName={alternative_names}");
        let made = request(folder, name, ELLIPTIC, &["-subj", &format!("/CN={name}"), "-addext", &names]);
        let request = folder.join(name).with_extension("csr");
        fs::rename(&made.certificate, &request).unwrap();
        let mut sign = Command::new("openssl");
        sign.args(["x509", "-req", "-days", "7", "-copy_extensions", "copy", "-CAcreateserial"]);
        sign.arg("-CA").arg(&self.0.certificate).arg("-CAkey").arg(&self.0.key);
        output_of(sign.arg("-in").arg(request).arg("-out").arg(&made.certificate));
        made
    }
}

/// A certificate that vouches for itself, as docker's documentation of registries makes it, in files called `name`.
pub(crate) fn self_signed(folder: &Path, name: &str, alternative_names: &str) -> Certificate {
    let names = format!("subjectAltName = {alternative_names}");
    let options = ["-x509", "-sha256", "-subj", "/CN=sealift test", "-addext", &names];
    request(folder, name, &["-newkey", "rsa:4096"], &options)
}

/// A new key, and what `openssl req` makes with it: by these options a request, or a certificate.
fn request(folder: &Path, name: &str, key: &[&str], options: &[&str]) -> Certificate {
    let file = |extension: &str| folder.join(name).with_extension(extension);
    let made = Certificate { certificate: file("pem"), key: file("key") };
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-nodes", "-days", "7"]).args(key).args(options);
    output_of(openssl.arg("-keyout").arg(&made.key).arg("-out").arg(&made.certificate));
    made
}
