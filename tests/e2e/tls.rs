//! Registries whose certificates nobody knows, or that want one from the client: told by options, and by the folders
//! that docker and podman look into, which are tried by docker and podman themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::certificates::{Authority, Certificate, self_signed};
use crate::command::{failure_of, output_of, said_by};
use crate::daemon::free_site_address;
use crate::docker::Docker;
use crate::docker_registry::DockerRegistry;
use crate::images::push_small;
use crate::loader::Loader;
use crate::nginx::{Nginx, server, tls};
use crate::podman::Podman;
use crate::sealift::{at_home, sealift};
use crate::session::{Set, session};

/// A registry behind nginx, with a certificate of its own authority.
struct Site {
    home: PathBuf,
    address: String,
    name: String,
    authority: Authority,
    _nginx: Nginx,
}

impl Site {
    /// `settings` are nginx's, where the files of the authority are.
    fn start(test: &str, settings: &str) -> Self {
        let (home, address) = (session().work_folder(test), free_site_address());
        let authority = Authority::new(&home);
        let certificate = authority.issue("server", &format!("IP:{}", session().site));
        let settings = format!("{} {settings}", tls(&certificate));
        let front = server(&format!("{address} ssl"), &settings, &session().registry);
        let nginx = Nginx::start(&home, &front);
        let name = push(test, &address);
        Self { home, address, name, authority, _nginx: nginx }
    }

    fn pull(&self, options: &[&str]) -> Command {
        pull(&self.home, &self.name, options)
    }

    /// Lays files into the folder of this registry in a `certs.d`.
    fn lay(&self, certs: &Path, files: &[(&str, &Path)]) {
        lay(certs, &self.address, files);
    }
}

/// An image's name at this address.
fn push(test: &str, address: &str) -> String {
    let repository = format!("e2e/{test}");
    push_small(&repository, "v1");
    format!("{address}/{repository}:v1")
}

fn pull(home: &Path, name: &str, options: &[&str]) -> Command {
    let mut command = sealift(&["pull", name, "-o", "image.tar", "--no-clobber"]);
    at_home(command.args(options), home);
    command
}

/// Fails unless the pull makes the archive.
fn succeeds(home: &Path, pull: &mut Command) {
    output_of(pull);
    fs::remove_file(home.join("image.tar")).unwrap();
}

fn lay(certs: &Path, address: &str, files: &[(&str, &Path)]) {
    let folder = certs.join(address);
    fs::create_dir_all(&folder).unwrap();
    for (name, file) in files {
        fs::copy(file, folder.join(name)).unwrap();
    }
}

/// Docker's folder, which its daemon of the old set looks into.
fn dockers() -> &'static Path {
    Path::new("/etc/docker/certs.d")
}

/// The folder of containers/image that is a user's own.
fn podmans(home: &Path) -> PathBuf {
    home.join(".config/containers/certs.d")
}

fn docker_pulls(name: &str) -> bool {
    let docker = Docker(Set::Old);
    let pulls = docker.docker(&["pull", name]).output().unwrap().status.success();
    if pulls {
        docker.remove(name);
    }
    pulls
}

fn podman_pulls(home: &Path, name: &str) -> bool {
    let podman = Podman(Set::Old);
    let pulls = at_home(&mut podman.podman(&["pull", name]), home).output().unwrap().status.success();
    if pulls {
        podman.remove(name);
    }
    pulls
}

#[test]
fn a_private_authority_is_trusted_where_it_was_named() {
    let site = Site::start("tls-authority", "");
    let said = failure_of(&mut site.pull(&[]), 6);
    assert!(said.contains("--ca") && said.contains("certificate"), "{said}");
    succeeds(&site.home, &mut site.pull(&["--ca", "ca.pem"]));
    failure_of(&mut site.pull(&[]), 6);
}

#[test]
fn a_private_authority_is_trusted_by_the_folder_that_docker_has() {
    let site = Site::start("tls-docker-certs", "");
    assert!(!docker_pulls(&site.name), "docker trusts anybody");
    site.lay(dockers(), &[("ca.crt", site.authority.certificate())]);
    assert!(docker_pulls(&site.name));
    succeeds(&site.home, &mut site.pull(&[]));
}

#[test]
fn a_private_authority_is_trusted_by_the_folder_that_podman_has() {
    let site = Site::start("tls-podman-certs", "");
    assert!(!podman_pulls(&site.home, &site.name), "podman trusts anybody");
    site.lay(&podmans(&site.home), &[("ca.crt", site.authority.certificate())]);
    assert!(podman_pulls(&site.home, &site.name));
    succeeds(&site.home, &mut site.pull(&[]));
}

/// A registry that lets nobody in without a certificate of its own authority, and one of those.
fn for_members(test: &str) -> (Site, Certificate) {
    let site = Site::start(test, "ssl_client_certificate ca.pem; ssl_verify_client on;");
    let member = site.authority.issue("member", "DNS:member.site.test");
    (site, member)
}

#[test]
fn a_client_certificate_is_shown_where_it_was_named() {
    let (site, member) = for_members("tls-member");
    let said = failure_of(&mut site.pull(&["--ca", "ca.pem"]), 6);
    assert!(said.contains("--cert"), "{said}");
    let key = member.key.to_str().unwrap();
    succeeds(&site.home, &mut site.pull(&["--ca", "ca.pem", "--cert", "member.pem", "--key", key]));

    let stranger = session().work_folder("tls-stranger");
    let stranger = Authority::new(&stranger).issue("stranger", "DNS:stranger.site.test");
    let [certificate, key] = [&stranger.certificate, &stranger.key].map(|file| file.to_str().unwrap());
    failure_of(&mut site.pull(&["--ca", "ca.pem", "--cert", certificate, "--key", key]), 6);
}

#[test]
fn a_client_certificate_is_shown_that_lies_where_docker_and_podman_have_it() {
    let (site, member) = for_members("tls-member-certs");
    let files = [
        ("ca.crt", site.authority.certificate()),
        ("client.cert", &member.certificate),
        ("client.key", &member.key),
    ];
    site.lay(&podmans(&site.home), &files);
    assert!(podman_pulls(&site.home, &site.name));
    succeeds(&site.home, &mut site.pull(&[]));
    fs::remove_dir_all(site.home.join(".config")).unwrap();
    failure_of(&mut site.pull(&[]), 6);
    assert!(!docker_pulls(&site.name));
    site.lay(dockers(), &files);
    assert!(docker_pulls(&site.name));
    succeeds(&site.home, &mut site.pull(&[]));
}

#[test]
fn a_certificate_that_vouches_for_itself_is_believed_once_it_is_given() {
    let test = "tls-self-signed";
    let (home, address) = (session().work_folder(test), free_site_address());
    let own = self_signed(&home, "domain", &format!("IP:{}", session().site));
    let settings =
        format!("  tls: {{certificate: {}, key: {}}}\n", own.certificate.display(), own.key.display());
    let _registry =
        DockerRegistry::start(&home, &session().state.join("registry"), address.clone(), &settings);
    let name = push(test, &address);
    failure_of(&mut pull(&home, &name, &[]), 6);
    succeeds(&home, &mut pull(&home, &name, &["--ca", "domain.pem"]));
    succeeds(&home, &mut pull(&home, &name, &["--insecure", &address]));
    lay(dockers(), &address, &[("ca.crt", &own.certificate)]);
    assert!(docker_pulls(&name));
    succeeds(&home, &mut pull(&home, &name, &[]));
}

#[test]
fn an_insecure_host_is_that_one_alone() {
    let (site, other) = (Site::start("tls-insecure", ""), Site::start("tls-insecure-other", ""));
    succeeds(&site.home, &mut site.pull(&["--insecure", &site.address]));
    failure_of(&mut site.pull(&["--insecure", &other.address]), 6);
    let said = said_by(&mut site.pull(&["--insecure", &session().site]));
    assert!(!said.contains("error"), "{said}");
}
