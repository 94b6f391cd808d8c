//! A daemon by script behind a socket: the few calls of the Docker Engine API that sealift makes, with what goes wrong in
//! them.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use sealift::image::Digest;
use serde_json::{Value, json};

use super::pushing::Pushing;

/// What comes of an archive.
#[derive(Clone)]
pub(crate) enum Loading {
    /// All of it is read, then this is said, and the images are there.
    Take(&'static str),
    /// This is said after so many bytes, and the rest is not read.
    Say(&'static str, usize),
    /// So many bytes are read, and the connection ends without a word.
    HangUp(usize),
    /// This status, with this message, and nothing is read.
    Status(u16, &'static str),
}

/// The script, and what happened.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) version: Value,
    pub(crate) info: Value,
    pub(crate) images: HashMap<String, Value>,
    /// By their names.
    pub(crate) containers: HashMap<String, Value>,
    /// What is answered to orders to containers (`pause`), other than that it is done.
    pub(crate) orders: HashMap<String, (u16, Value)>,
    /// What is there besides, once an archive was taken.
    pub(crate) brings: HashMap<String, Value>,
    pub(crate) loading: Loading,
    pub(crate) pushing: Pushing,
    /// True if no name is taken away.
    pub(crate) keeps_names: bool,
}

impl Default for Script {
    /// A Docker 28 without any image.
    fn default() -> Self {
        Self {
            version: json!({"Version": "28.5.2", "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Os": "linux",
                            "Arch": "amd64", "Components": [{"Name": "Engine"}]}),
            info: json!({"DockerRootDir": "/nowhere/docker", "DriverStatus": [["Backing Filesystem", "extfs"]]}),
            images: HashMap::new(),
            containers: HashMap::new(),
            orders: HashMap::new(),
            brings: HashMap::new(),
            loading: Loading::Take("{\"stream\":\"Loaded image: x\\n\"}\r\n"),
            pushing: Pushing::default(),
            keeps_names: false,
        }
    }
}

pub(crate) struct TestEngine {
    pub(crate) socket: PathBuf,
    state: Arc<Mutex<State>>,
    asked: Arc<Condvar>,
}

struct State {
    script: Script,
    requests: Vec<String>,
    archive: Option<Digest>,
}

/// What `inspect` says of an image.
pub(crate) fn inspected(id: &Digest, platform: &str, diff_ids: &[Digest]) -> Value {
    let (os, architecture) = platform.split_once('/').unwrap();
    json!({"Id": id, "Os": os, "Architecture": architecture, "RootFS": {"Type": "layers", "Layers": diff_ids}})
}

impl TestEngine {
    /// Listens on a socket in this folder, as long as the test runs.
    pub(crate) fn start(folder: &Path, script: Script) -> Self {
        let socket = folder.join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let state = Arc::new(Mutex::new(State { script, requests: Vec::new(), archive: None }));
        let asked = Arc::new(Condvar::new());
        let shared = (Arc::clone(&state), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, (state, asked)) = (stream.unwrap(), shared.clone());
                // A client that goes away is none of the script's business.
                thread::spawn(move || serve(&stream, &state, &asked));
            }
        });
        Self { socket, state, asked }
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// What was asked so far: method and target.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Waits until something was asked that has these words; that it never is is a failure.
    pub(crate) fn await_request(&self, words: &str) {
        let is_missing = |state: &mut State| !state.requests.iter().any(|request| request.contains(words));
        let state = self.state.lock().unwrap();
        let (state, waited) =
            self.asked.wait_timeout_while(state, Duration::from_mins(1), is_missing).unwrap();
        assert!(!waited.timed_out(), "{words} among {:#?}", state.requests);
    }

    /// What it has now: names, and IDs of images without one.
    pub(crate) fn images(&self) -> HashMap<String, Value> {
        self.state.lock().unwrap().script.images.clone()
    }

    pub(crate) fn was_sent(&self) -> bool {
        self.requests().iter().any(|request| request.contains("/images/load"))
    }

    /// The digest of the archive that came in whole.
    pub(crate) fn archive(&self) -> Option<Digest> {
        self.state.lock().unwrap().archive.clone()
    }
}

fn serve(stream: &UnixStream, state: &Mutex<State>, asked: &Condvar) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
        }
        state.lock().unwrap().requests.push(format!("{method} {target}"));
        asked.notify_all();
        if target.contains("/images/load") {
            return load(reader, length, stream, state);
        }
        reader.read_exact(&mut vec![0; length])?;
        if let Some((image, tag)) = pushed_name(&target) {
            let (pushing, is_there) = {
                let script = &mut state.lock().unwrap().script;
                if let Some((name, other)) = script.pushing.renames.clone() {
                    script.give(name, other);
                }
                (script.pushing.clone(), script.images.contains_key(&format!("{image}:{tag}")))
            };
            if pushing.stalls {
                // Until the client goes away.
                return reader.read_to_end(&mut Vec::new()).map(drop);
            }
            return write(stream, 200, &pushing.push(&image, &tag, is_there));
        }
        let (status, body) = answer(&method, &target, &mut state.lock().unwrap().script);
        write(stream, status, &body.to_string())?;
    }
}

impl Script {
    /// An image gets a name. One that had it stays, without a name if that was the last.
    fn give(&mut self, name: String, image: Value) {
        if let Some(before) = self.images.insert(name, image)
            && !self.images.values().any(|image| image["Id"] == before["Id"])
        {
            self.images.insert(before["Id"].as_str().unwrap().to_owned(), before);
        }
    }

    /// A name is taken away, and with the last one its image; or an image without a name, by its ID.
    fn take_away(&mut self, name: &str) -> (u16, Value) {
        if self.keeps_names {
            return (500, json!({"message": "the disk is read-only"}));
        }
        let Some(id) = image(self, name).map(|image| image["Id"].as_str().unwrap().to_owned()) else {
            return (404, json!({"message": format!("No such image: {name}")}));
        };
        self.images.remove(name);
        let named = |(key, image): (&String, &Value)| image["Id"] == *id && *key != id;
        match self.images.iter().any(named) {
            true if name == id => (409, json!({"message": "image is referenced in multiple repositories"})),
            true => (200, json!([])),
            false => {
                self.images.remove(&id);
                (200, json!([]))
            }
        }
    }
}

/// A name's own image, or that of an ID.
fn image<'a>(script: &'a Script, name: &str) -> Option<&'a Value> {
    let named = script.images.get(name);
    named.or_else(|| script.images.values().find(|image| image["Id"] == name))
}

fn answer(method: &str, target: &str, script: &mut Script) -> (u16, Value) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.trim_start_matches('/');
    if path == "version" {
        return (200, script.version.clone());
    }
    let Some((_, call)) = path.split_once('/') else { return (404, json!({"message": "page not found"})) };
    let missing = |name: &str| (404, json!({"message": format!("No such image: {name}")}));
    if let Some(rest) = call.strip_prefix("containers/") {
        if let Some((_, order)) = rest.rsplit_once('/').filter(|_| method == "POST") {
            return script.orders.get(order).cloned().unwrap_or((200, Value::Null));
        }
        let name = rest.strip_suffix("/json").unwrap();
        let missing = || (404, json!({"message": format!("No such container: {name}")}));
        return script.containers.get(name).map_or_else(missing, |container| (200, container.clone()));
    }
    let Some(rest) = call.strip_prefix("images/") else { return (200, script.info.clone()) };
    let value = |key: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).unwrap();
        value.replace("%2F", "/").replace("%3A", ":")
    };
    if rest == "json" {
        return (200, listed(script));
    }
    if rest == "create" {
        let nothing = inspected(&Digest::of(b"nothing"), "linux/amd64", &[Digest::of(&[0; 1024])]);
        script.give(format!("{}:{}", value("repo"), value("tag")), nothing);
        return (200, json!({"status": Digest::of(b"nothing")}));
    }
    if let Some(name) = rest.strip_suffix("/history") {
        return image(script, name).map_or_else(|| missing(name), |_| (200, script.pushing.history.clone()));
    }
    if method == "DELETE" {
        return script.take_away(rest);
    }
    if let Some(name) = rest.strip_suffix("/json") {
        return image(script, name).map_or_else(|| missing(name), |image| (200, named(script, image)));
    }
    let name = rest.strip_suffix("/tag").unwrap();
    let found = image(script, name).filter(|_| !script.pushing.goes).cloned();
    let Some(found) = found else { return missing(name) };
    script.give(format!("{}:{}", value("repo"), value("tag")), found);
    (201, Value::Null)
}

/// The image with the names that it has now.
fn named(script: &Script, image: &Value) -> Value {
    let names = script.images.iter().filter(|(name, other)| other["Id"] == image["Id"] && name.contains(':'));
    let mut names: Vec<_> = names.map(|(name, _)| name).filter(|name| !name.starts_with("sha256:")).collect();
    names.sort();
    let mut image = image.clone();
    image["RepoTags"] = json!(names);
    image
}

fn listed(script: &Script) -> Value {
    let mut images: Vec<_> = script.images.values().map(|image| named(script, image)).collect();
    images.sort_by_key(|image| image["Id"].as_str().unwrap().to_owned());
    images.dedup();
    json!(images)
}

/// The name and tag of the image that a request wants to be pushed.
fn pushed_name(target: &str) -> Option<(String, String)> {
    let (path, query) = target.split_once('?')?;
    let (_, image) = path.strip_suffix("/push")?.split_once("/images/")?;
    let tag = query.split('&').find_map(|pair| pair.strip_prefix("tag="))?;
    Some((image.to_owned(), tag.to_owned()))
}

fn load(
    mut reader: BufReader<&UnixStream>,
    length: usize,
    stream: &UnixStream,
    state: &Mutex<State>,
) -> io::Result<()> {
    let loading = state.lock().unwrap().script.loading.clone();
    match loading {
        Loading::Take(said) => {
            let mut archive = vec![0; length];
            reader.read_exact(&mut archive)?;
            let mut state = state.lock().unwrap();
            state.archive = Some(Digest::of(&archive));
            let brought = state.script.brings.clone();
            state.script.images.extend(brought);
            write(stream, 200, said)
        }
        Loading::Say(said, bytes) => {
            reader.read_exact(&mut vec![0; bytes])?;
            write(stream, 200, said)?;
            end_answer(stream)
        }
        Loading::HangUp(bytes) => reader.read_exact(&mut vec![0; bytes]),
        Loading::Status(status, message) => {
            write(stream, status, &json!({"message": message}).to_string())?;
            end_answer(stream)
        }
    }
}

/// As Go's server does with a request that it doesn't read to its end: nothing more is said, and the connection stays for
/// a while, here as long as the test, so that what was said gets through.
fn end_answer(stream: &UnixStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    std::mem::forget(stream.try_clone()?);
    Ok(())
}

fn write(mut stream: &UnixStream, status: u16, body: &str) -> io::Result<()> {
    let kind = if body.starts_with('<') { "text/html" } else { "application/json" };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Scripted\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}
