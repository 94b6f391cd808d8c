//! A server that answers by script: a function from request to reply, over plain HTTP or TLS on loopback.
//!
//! It frames bodies as it is told, true or not, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, copy_bidirectional,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// The header's value; names in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.header("authorization")
    }
}

/// How a reply's body is framed.
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
    /// A byte now and then, without end.
    Trickle,
}

pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    framing: Framing,
    stall: Duration,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let framing = Framing::Length(body.len() as u64);
        Self { status, headers: Vec::new(), body, framing, stall: Duration::ZERO }
    }

    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, body)
    }

    pub(crate) fn redirect(to: impl Into<String>) -> Self {
        Self::new(307, "").with("Location", to)
    }

    pub(crate) fn challenge(challenge: impl Into<String>) -> Self {
        Self::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
            .with("WWW-Authenticate", challenge)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn chunked(self) -> Self {
        Self { framing: Framing::Chunked, ..self }
    }

    pub(crate) fn until_close(self) -> Self {
        Self { framing: Framing::UntilClose, ..self }
    }

    /// Sends the body's bytes one by one, slowly, again and again.
    pub(crate) fn trickling(self) -> Self {
        Self { framing: Framing::Trickle, ..self }
    }

    /// States a length whatever the body's is; the connection is closed after the body.
    pub(crate) fn stating(self, length: u64) -> Self {
        Self { framing: Framing::Length(length), ..self }
    }

    /// Waits before the first byte.
    pub(crate) fn after(self, stall: Duration) -> Self {
        Self { stall, ..self }
    }
}

type Script = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// A running server; it ends with the test's runtime.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
}

impl Scripted {
    pub(crate) async fn plain(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(script)).await
    }

    pub(crate) async fn tls(
        config: Arc<rustls::ServerConfig>,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(TlsAcceptor::from(config)), Arc::new(script)).await
    }

    async fn start(tls: Option<TlsAcceptor>, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let (tls, script, log) = (tls.clone(), Arc::clone(&script), Arc::clone(&log));
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => match tls.accept(stream).into_fallible().await {
                            Ok(stream) => serve(stream, script, log).await,
                            // Whoever closes with bytes unread resets the connection, and the alert is lost.
                            Err((_, mut stream)) => {
                                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                            }
                        },
                        None => serve(stream, script, log).await,
                    }
                });
            }
        });
        Self { address, requests, connections }
    }

    /// What it was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How many connections it was asked over.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests had a target that starts with `prefix`.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.requests().iter().filter(|request| request.target.starts_with(prefix)).count()
    }
}

/// A proxy that sends every CONNECT to `target`, if the credentials (`user:password` in base64) are right.
pub(crate) async fn connect_proxy(
    target: SocketAddr,
    credentials: Option<&'static str>,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&log);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let Some(request) = read_request(&mut stream).await else { return };
                asked.lock().unwrap().push(format!("{} {}", request.method, request.target));
                let expected = credentials.map(|credentials| format!("Basic {credentials}"));
                if expected.as_deref() != request.header("proxy-authorization") {
                    let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
                    let _ = stream.write_all(refusal).await;
                    return;
                }
                let mut server = TcpStream::connect(target).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    (address, log)
}

/// A SOCKS5 proxy (RFC 1928, 1929) that sends every connection to `target`; returns what names it was asked for.
pub(crate) async fn socks_proxy(
    target: SocketAddr,
    user: &'static str,
    password: &'static str,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&log);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let methods = read_counted(&mut stream, 1).await;
            assert!(methods.contains(&2), "user and password are offered");
            stream.write_all(&[5, 2]).await.unwrap();
            let given = (read_counted(&mut stream, 1).await, read_counted(&mut stream, 0).await);
            assert_eq!(given, (user.into(), password.into()));
            stream.write_all(&[1, 0]).await.unwrap();
            let name = read_counted(&mut stream, 4).await;
            let port = stream.read_u16().await.unwrap();
            asked.lock().unwrap().push(format!("{}:{port}", String::from_utf8(name).unwrap()));
            let mut server = TcpStream::connect(target).await.unwrap();
            stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut stream, &mut server).await });
        }
    });
    (address, log)
}

/// Skips `skipped` bytes, then reads a length and that many bytes.
async fn read_counted(stream: &mut TcpStream, skipped: usize) -> Vec<u8> {
    let mut skip = vec![0; skipped];
    stream.read_exact(&mut skip).await.unwrap();
    let mut bytes = vec![0; stream.read_u8().await.unwrap().into()];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, script: Script, log: Arc<Mutex<Vec<Request>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        // What is no text is a TLS hello: answer as HTTP servers do.
        match stream.fill_buf().await {
            Ok(start) if start.first().is_some_and(u8::is_ascii_uppercase) => {}
            Ok([_, ..]) => {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
                return;
            }
            _ => return,
        }
        let Some(request) = read_request(&mut stream).await else { return };
        log.lock().unwrap().push(request.clone());
        let reply = script(&request);
        tokio::time::sleep(reply.stall).await;
        let keep = matches!(reply.framing, Framing::Length(length) if length == reply.body.len() as u64);
        if write_reply(&mut stream, reply).await.is_err() || !keep {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|&count| count > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|&count| count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { method, target, body: String::new(), headers };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}

async fn write_reply<S: AsyncWrite + Unpin>(stream: &mut S, reply: Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    match reply.framing {
        Framing::Length(length) => head += &format!("Content-Length: {length}\r\n\r\n"),
        Framing::Chunked => head += "Transfer-Encoding: chunked\r\n\r\n",
        Framing::UntilClose | Framing::Trickle => head += "Connection: close\r\n\r\n",
    }
    stream.write_all(head.as_bytes()).await?;
    if matches!(reply.framing, Framing::Trickle) {
        for byte in reply.body.iter().cycle() {
            stream.write_all(&[*byte]).await?;
            stream.flush().await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    if matches!(reply.framing, Framing::Chunked) {
        for part in reply.body.chunks(64 << 10) {
            stream.write_all(format!("{:x}\r\n", part.len()).as_bytes()).await?;
            stream.write_all(part).await?;
            stream.write_all(b"\r\n").await?;
        }
        stream.write_all(b"0\r\n\r\n").await?;
    } else {
        stream.write_all(&reply.body).await?;
    }
    stream.flush().await
}
