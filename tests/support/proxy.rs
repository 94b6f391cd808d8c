//! A proxy that dies: a relay to a registry, which answers what is forwarded to it as a proxy would.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// How far it goes.
struct Life {
    /// What it still sends to its clients before it breaks off.
    left_bytes: usize,
    /// How many connections it turns away then.
    refuses: usize,
}

pub(crate) struct Proxy {
    pub(crate) address: String,
    life: Arc<Mutex<Life>>,
}

impl Proxy {
    /// A proxy before `registry` (`host:port`); it ends with the process.
    pub(crate) fn start(registry: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let life = Arc::new(Mutex::new(Life { left_bytes: usize::MAX, refuses: 0 }));
        let shared = Arc::clone(&life);
        thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                if turns_away(&shared) {
                    // What is not read would turn the end into a reset.
                    let _ = client.read(&mut [0; 16 << 10]);
                } else {
                    let server = TcpStream::connect(&registry).unwrap();
                    relay(client, server, &shared);
                }
            }
        });
        Self { address, life }
    }

    /// After so many more bytes to its clients it breaks off, and turns away so many connections.
    pub(crate) fn die_after(&self, left_bytes: usize, refuses: usize) {
        *self.life.lock().unwrap() = Life { left_bytes, refuses };
    }
}

/// True while it is dead; each time it is asked, one connection nearer to life.
fn turns_away(life: &Mutex<Life>) -> bool {
    let mut life = life.lock().unwrap();
    if life.left_bytes > 0 {
        return false;
    }
    if life.refuses == 0 {
        life.left_bytes = usize::MAX;
        return false;
    }
    life.refuses -= usize::from(life.refuses < usize::MAX);
    true
}

/// Carries both ways until one side ends, or the proxy.
fn relay(client: TcpStream, server: TcpStream, life: &Arc<Mutex<Life>>) {
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let life = Arc::clone(life);
    thread::spawn(move || {
        let _ = send(server, client.try_clone().unwrap(), &life);
        let _ = client.shutdown(Shutdown::Both);
    });
}

fn send(mut server: TcpStream, mut client: TcpStream, life: &Mutex<Life>) -> std::io::Result<()> {
    let mut chunk = [0; 16 << 10];
    loop {
        let read = server.read(&mut chunk)?;
        let sent = {
            let mut life = life.lock().unwrap();
            let sent = read.min(life.left_bytes);
            life.left_bytes -= if life.left_bytes < usize::MAX { sent } else { 0 };
            sent
        };
        client.write_all(&chunk[..sent])?;
        if read == 0 || sent < read {
            return server.shutdown(Shutdown::Both);
        }
    }
}
