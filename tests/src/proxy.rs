//! A TCP proxy before Postgres that injects network faults.
//!
//! It forwards bytes, cuts connections, stalls them (as a stalled network or a hanging database would), delays them,
//! and drops the answers to commits.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// State of the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// Bytes are forwarded.
    Pass,
    /// Connections stay open; no bytes are forwarded.
    Hold,
    /// Open connections are closed, and new ones immediately.
    Cut,
}

#[derive(Clone, Copy, Debug)]
struct Control {
    flow: Flow,
    /// Connections with a smaller number are held unless the flow is [`Flow::Cut`].
    held_below: u64,
}

impl Control {
    const fn of(self, connection: u64) -> Flow {
        match self.flow {
            Flow::Cut => Flow::Cut,
            _ if connection < self.held_below => Flow::Hold,
            flow => flow,
        }
    }
}

#[derive(Debug)]
struct State {
    upstream: PathBuf,
    control: watch::Sender<Control>,
    connections: AtomicU64,
    delay_up_ms: AtomicU64,
    delay_down_ms: AtomicU64,
    /// Number of answers to commits still to drop.
    to_swallow: AtomicU64,
    swallowed: AtomicU64,
    bytes_up: AtomicU64,
}

/// The proxy. Dropping it closes its connections.
pub struct Proxy {
    /// Listening address.
    pub address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy before the Postgres of this Unix socket.
    ///
    /// # Panics
    /// If no local port is free.
    pub async fn start(socket: &Path) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State {
            upstream: socket.to_owned(),
            control: watch::Sender::new(Control { flow: Flow::Pass, held_below: 0 }),
            connections: AtomicU64::new(0),
            delay_up_ms: AtomicU64::new(0),
            delay_down_ms: AtomicU64::new(0),
            to_swallow: AtomicU64::new(0),
            swallowed: AtomicU64::new(0),
            bytes_up: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// Returns the URL of the database `postgres` behind the proxy.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address)
    }

    fn set(&self, flow: Flow) {
        self.state.control.send_modify(|control| control.flow = flow);
    }

    /// Forwards on all connections, except those held for good.
    pub fn pass(&self) {
        self.set(Flow::Pass);
    }

    /// Closes all connections, and new ones immediately.
    pub fn cut(&self) {
        self.set(Flow::Cut);
    }

    /// Stalls all connections, including new ones.
    pub fn hold(&self) {
        self.set(Flow::Hold);
    }

    /// Stalls the current connections for good; forwards on new ones.
    pub fn hold_these_for_good(&self) {
        let next = self.state.connections.load(Ordering::SeqCst);
        self.state.control.send_modify(|control| control.held_below = next);
    }

    /// Delays forwarded bytes, per direction.
    pub fn delay(&self, up: Duration, down: Duration) {
        self.state.delay_up_ms.store(up.as_millis() as u64, Ordering::SeqCst);
        self.state.delay_down_ms.store(down.as_millis() as u64, Ordering::SeqCst);
    }

    /// Drops the answers to the next `n` commits and closes their connections. The commits take effect.
    pub fn swallow(&self, n: u64) {
        self.state.to_swallow.store(n, Ordering::SeqCst);
    }

    /// Returns the number of dropped answers to commits.
    #[must_use]
    pub fn swallowed(&self) -> u64 {
        self.state.swallowed.load(Ordering::SeqCst)
    }

    /// Returns the number of accepted connections.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Returns the number of bytes received from clients.
    #[must_use]
    pub fn bytes_up(&self) -> u64 {
        self.state.bytes_up.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Flow::Cut);
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let number = state.connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(client, number, Arc::clone(&state)));
    }
}

async fn serve(client: TcpStream, number: u64, state: Arc<State>) {
    let mut gate = Gate { number, control: state.control.subscribe() };
    if !gate.open().await {
        return;
    }
    // Without a database, closes the client's connection, as a refusal would.
    let Ok(server) = UnixStream::connect(&state.upstream).await else { return };
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let losing = AtomicU64::new(0);
    let mut frames = Frames::default();
    let up = pump(client_in, server_out, gate.clone(), &state.delay_up_ms, |chunk| {
        state.bytes_up.fetch_add(chunk.len() as u64, Ordering::SeqCst);
        let less = |left: u64| left.checked_sub(1);
        if frames.has_commit(chunk)
            && state.to_swallow.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
        {
            losing.store(1, Ordering::SeqCst);
        }
        true
    });
    let down = pump(server_in, client_out, gate.clone(), &state.delay_down_ms, |_| {
        // The server's first message after a commit is its answer, so the commit has taken effect.
        let lost = losing.load(Ordering::SeqCst) == 1;
        if lost {
            state.swallowed.fetch_add(1, Ordering::SeqCst);
        }
        !lost
    });
    // The end of either direction closes both.
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// The current permission of one connection.
#[derive(Clone)]
struct Gate {
    number: u64,
    control: watch::Receiver<Control>,
}

impl Gate {
    /// Waits while the connection is held; returns false if it is cut.
    async fn open(&mut self) -> bool {
        let number = self.number;
        let waited = self.control.wait_for(|control| control.of(number) != Flow::Hold).await;
        waited.is_ok_and(|control| control.of(number) == Flow::Pass)
    }

    /// Waits until the connection is cut.
    async fn cut(&mut self) {
        let number = self.number;
        // An error means that the proxy was dropped.
        let _ = self.control.wait_for(|control| control.of(number) == Flow::Cut).await;
    }
}

/// Forwards bytes in one direction until `look` returns false.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut gate: Gate,
    delay_ms: &AtomicU64,
    mut look: impl FnMut(&[u8]) -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut watching = gate.clone();
    let carry = async {
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let delay_ms = delay_ms.load(Ordering::SeqCst);
            if delay_ms > 0 {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            }
            if !gate.open().await
                || !look(&buffer[..length])
                || to.write_all(&buffer[..length]).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = carry => {}
        () = watching.cut() => {}
    }
}

/// Parser of a client's messages. Only the messages before the start-up completes have no type byte
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
#[derive(Default)]
struct Frames {
    buffer: Vec<u8>,
    started: bool,
}

impl Frames {
    /// Returns whether these bytes complete a `COMMIT` query.
    fn has_commit(&mut self, bytes: &[u8]) -> bool {
        const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
        self.buffer.extend_from_slice(bytes);
        let mut found = false;
        loop {
            let head = usize::from(self.started);
            let Some(length) = self.buffer.get(head..head + 4) else { return found };
            let length = head + u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
            let Some(message) = self.buffer.get(..length) else { return found };
            if self.started {
                let text = message[5..].strip_suffix(&[0]).unwrap_or_default();
                found |= message[0] == b'Q' && text.eq_ignore_ascii_case(b"commit");
            } else {
                self.started = message.get(4..8) != Some(SSL_REQUEST.as_slice());
            }
            self.buffer.drain(..length.max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut message = vec![kind];
        message.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        message.extend_from_slice(body);
        message
    }

    #[test]
    fn a_commit_is_found_however_the_bytes_come() {
        let mut session = vec![0, 0, 0, 8, 4, 210, 22, 47];
        session.extend_from_slice(&[0, 0, 0, 9, 0, 3, 0, 0, 0]);
        session.extend(message(b'Q', b"begin\0"));
        session.extend(message(b'P', b"commit\0"));
        let before = session.len();
        session.extend(message(b'Q', b"COMMIT\0"));
        let mut frames = Frames::default();
        let found: Vec<usize> =
            (0..session.len()).filter(|&at| frames.has_commit(&session[at..=at])).collect();
        assert_eq!(found, [session.len() - 1], "{before}");
        assert!(Frames::default().has_commit(&session));
    }
}
