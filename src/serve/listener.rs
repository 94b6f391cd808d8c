//! Connections: taken in up to a number, with TLS or without, and cut when nothing goes on.
//!
//! Threats: who opens many connections and says little. The head of a request has a time from its first byte, or from
//! the connection's; an answer that nobody takes ends; a handshake is waited for beside the others. Who has too many
//! connections waits in the system's queue.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Connections at a time.
pub(super) const MAX_CONNECTIONS: usize = 2048;
/// How long the head of a request may take.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a connection may be without a request.
const IDLE_TIME: Duration = Duration::from_secs(75);
/// How long an answer may wait for its reader.
const WRITE_TIME: Duration = Duration::from_mins(1);
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    awaits_head: Arc<AtomicBool>,
}

impl Peer {
    /// A request's head is whole; its body has limits of its own.
    pub(super) fn head_came(&self) {
        self.awaits_head.store(false, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, Connections>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        Self { address: *stream.remote_addr(), awaits_head: Arc::clone(&stream.io().awaits_head) }
    }
}

/// Connections as they come in.
pub(super) struct Connections {
    address: SocketAddr,
    incoming: mpsc::Receiver<(Connection, SocketAddr)>,
}

impl Connections {
    pub(super) fn new(listener: TcpListener, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, incoming) = mpsc::channel(1);
        tokio::spawn(take_in(listener, tls, sender));
        Ok(Self { address, incoming })
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.incoming.recv().await {
            Some(connection) => connection,
            // The task that takes them in ends only with this receiver.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn take_in(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    sender: mpsc::Sender<(Connection, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sender.closed() => return,
        };
        let Ok((stream, address)) = accepted else {
            // Mostly too many open files: others have to close theirs first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // Without it the last small segment of a response waits for an acknowledgement; failing costs only time.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls.clone() else {
            if sender.send((Connection::new(Line::Plain(stream), place), address)).await.is_err() {
                return;
            }
            continue;
        };
        let sender = sender.clone();
        tokio::spawn(async move {
            let handshake = tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)).await;
            if let Ok(Ok(stream)) = handshake {
                let _ = sender.send((Connection::new(Line::Tls(Box::new(stream)), place), address)).await;
            }
        });
    }
}

enum Line {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection that ends when nothing goes on.
pub(super) struct Connection {
    line: Line,
    /// True from the first byte of a request to the end of its head.
    awaits_head: Arc<AtomicBool>,
    read_limit: Pin<Box<Sleep>>,
    head_began: bool,
    write_limit: Pin<Box<Sleep>>,
    is_writing: bool,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(line: Line, place: OwnedSemaphorePermit) -> Self {
        let limit = || Box::pin(sleep_until(Instant::now() + HEAD_TIME));
        Self {
            line,
            awaits_head: Arc::new(AtomicBool::new(true)),
            read_limit: limit(),
            // A connection is made to ask something.
            head_began: true,
            write_limit: limit(),
            is_writing: false,
            _place: place,
        }
    }

    /// What was written is the end of an answer, or part of one: what comes next is another head.
    fn wrote(&mut self) {
        self.is_writing = false;
        self.head_began = false;
        self.awaits_head.store(true, Ordering::Release);
        self.read_limit.as_mut().reset(Instant::now() + IDLE_TIME);
    }

    fn poll_write_with(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut (dyn AsyncWrite + Unpin)>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.line {
            Line::Plain(stream) => write(Pin::new(stream), context),
            Line::Tls(stream) => write(Pin::new(&mut **stream), context),
        };
        if written.is_ready() {
            self.wrote();
            return written;
        }
        if !std::mem::replace(&mut self.is_writing, true) {
            self.write_limit.as_mut().reset(Instant::now() + WRITE_TIME);
        }
        match self.write_limit.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = match &mut self.line {
            Line::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Line::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
        };
        let awaits_head = self.awaits_head.load(Ordering::Acquire);
        if read.is_ready() {
            if awaits_head && !self.head_began {
                self.head_began = true;
                self.read_limit.as_mut().reset(Instant::now() + HEAD_TIME);
            }
            return read;
        }
        if awaits_head && self.read_limit.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |line, context| line.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |line, context| line.poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.line {
            Line::Plain(stream) => stream.is_write_vectored(),
            Line::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line {
            Line::Plain(stream) => Pin::new(stream).poll_flush(context),
            Line::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line {
            Line::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Line::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
        }
    }
}
