//! The state of a connection, shared by its stream, its requests and its deadline on one thread.

use super::fault::Fault;
use super::head::end_of_first;
use super::registry::{Connections, Place};
use super::transport::Transport;
use crate::limits;
use actix_web::web::BytesMut;
use socket2::SockRef;
use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::io::ReadBuf;

/// Maximum number of reads per poll of the task: one read usually contains a whole request.
const READS_PER_TURN_MAX: u8 = 2;

/// Timeout of a blocked response.
const STALL: Duration = Duration::from_millis(limits::SEND_STALL_MS_MAX);

/// Maximum number of reads per poll while discarding.
const DISCARDS_PER_TURN_MAX: usize = 16;

/// Phase of a connection, which decides its timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for a request, the first or the next one.
    Idle,
    /// Waits for the end of the handshake, or for the rest of a request head.
    Head,
    /// A handler runs.
    Handling,
    /// A handler waits for the body, which has a timeout of its own (`http/body.rs`).
    Body,
    /// Waits for the client to read the response.
    Sending,
    /// All responses are sent; waits for the client to read them and to close.
    Lingering,
}

/// The state of a connection.
pub(super) struct Conn {
    stream: RefCell<Option<Transport>>,
    is_handshaking: Cell<bool>,
    /// Bytes read ahead, of later requests.
    held: RefCell<BytesMut>,
    /// The task, while it waits for permission to read.
    reader: Cell<Option<Waker>>,
    requests: Cell<u32>,
    wants_body: Cell<bool>,
    /// Set while a handler waits for the answer to a question.
    is_asking: Cell<bool>,
    /// Set if a request was answered before its body was read completely.
    is_body_unread: Cell<bool>,
    /// Deadline of a blocked response.
    send_deadline: Cell<Option<Instant>>,
    /// Time for which the next blocked response may wait. Waiting uses it up, and accepted bytes refill it.
    patience: Cell<Duration>,
    /// Bytes passed to the dispatcher since the last request began or ended.
    head_bytes: Cell<usize>,
    reads: Cell<u8>,
    is_lingering: Cell<bool>,
    discarded: Cell<usize>,
    fault: Cell<Option<Fault>>,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    place: Place,
}

impl Conn {
    pub(super) fn new(stream: Transport, place: Place) -> Self {
        let now = Instant::now();
        place.wait(Some(now));
        // Otherwise the last piece of a large answer waits for the client's delayed acknowledgement, 40 ms on Linux. It
        // arrives all the same if the system refuses.
        let _ = stream.socket().map(|socket| socket.set_nodelay(true));
        let is_handshaking = stream.is_handshaking();
        Self {
            stream: RefCell::new(Some(stream)),
            is_handshaking: Cell::new(is_handshaking),
            held: RefCell::default(),
            reader: Cell::default(),
            requests: Cell::new(0),
            wants_body: Cell::new(false),
            is_asking: Cell::new(false),
            is_body_unread: Cell::new(false),
            send_deadline: Cell::new(None),
            patience: Cell::new(STALL),
            head_bytes: Cell::new(0),
            reads: Cell::new(0),
            is_lingering: Cell::new(false),
            discarded: Cell::new(0),
            fault: Cell::new(None),
            phase: Cell::new(if is_handshaking { Phase::Head } else { Phase::Idle }),
            since: Cell::new(now),
            place,
        }
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.place.connections
    }

    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.is_handshaking.get()
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Returns the deadline of the current phase.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let after = |time| Some(self.since.get() + time);
        match self.phase.get() {
            Phase::Idle => after(self.connections().limits().keep_alive),
            Phase::Head => after(Duration::from_millis(limits::HEAD_TIME_MS_MAX)),
            Phase::Lingering => after(Duration::from_millis(limits::LINGER_MS_MAX)),
            Phase::Sending => self.send_deadline.get(),
            Phase::Handling | Phase::Body => None,
        }
    }

    /// Recomputes the phase, and wakes the dispatcher if it may read now.
    fn update(&self) {
        let phase = if self.send_deadline.get().is_some() {
            Phase::Sending
        } else if self.requests.get() > 0 {
            if self.wants_body.get() { Phase::Body } else { Phase::Handling }
        } else if self.is_lingering.get() {
            Phase::Lingering
        } else if self.is_handshaking.get() || self.head_bytes.get() > 0 {
            Phase::Head
        } else {
            Phase::Idle
        };
        if phase != self.phase.replace(phase) {
            let now = Instant::now();
            self.since.set(now);
            self.place.wait((phase != Phase::Handling).then_some(now));
        }
        if self.may_read()
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }

    /// Begins a poll of the connection's task.
    pub(super) fn begin_turn(&self, waker: &Waker) {
        self.place.register(waker);
        self.reads.set(0);
    }

    pub(super) fn begin_request(&self) {
        self.requests.set(self.requests.get() + 1);
        self.head_bytes.set(0);
        self.is_body_unread.set(false);
        self.update();
    }

    pub(super) fn end_request(&self) {
        self.requests.set(self.requests.get().saturating_sub(1));
        self.wants_body.set(false);
        self.head_bytes.set(0);
        self.update();
    }

    pub(super) fn want_body(&self, wants: bool) {
        if self.wants_body.replace(wants) != wants {
            self.update();
        }
    }

    /// Sets whether a handler waits for the answer to a question.
    pub(super) fn set_asking(&self, is_asking: bool) {
        self.is_asking.set(is_asking);
        // The client may have closed its side before, which wakes nobody again.
        if is_asking && let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn leave_body_unread(&self) {
        self.is_body_unread.set(true);
    }

    /// Returns whether the client may still be sending.
    pub(super) fn is_unread(&self) -> bool {
        self.is_body_unread.get() || !self.held.borrow().is_empty()
    }

    /// Takes the fault that ends the connection.
    pub(super) fn take_fault(&self) -> Option<Fault> {
        self.fault.take()
    }

    /// Returns whether the dispatcher may read: only when the last request is answered and its response sent, or for a
    /// body.
    fn may_read(&self) -> bool {
        self.send_deadline.get().is_none() && (self.requests.get() == 0 || self.wants_body.get())
    }

    /// Reads for the dispatcher, if it may read. Passes at most one whole request per poll, because the dispatcher
    /// parses everything that it gets.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.may_read() {
            return self.poll_reset(cx);
        }
        if self.reads.get() >= READS_PER_TURN_MAX {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.requests.get() == 0 && self.head_bytes.get() >= limits::HEAD_BYTES_MAX {
            if self.reads.get() > 0 {
                // The bytes of this poll are not parsed yet: they may be a head and its body.
                cx.waker().wake_by_ref();
            } else {
                self.fault.set(Some(Fault::HeadTooLarge));
            }
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let mut held = self.held.borrow_mut();
        if held.is_empty() {
            ready!(self.poll_stream(cx, buf))?;
            let read = buf.filled().get(before..).unwrap_or_default();
            if let Some(end) = end_of_first(read) {
                held.extend_from_slice(read.get(end..).unwrap_or_default());
                buf.set_filled(before + end);
                self.reads.set(READS_PER_TURN_MAX);
            }
        } else {
            let piece = held.get(..held.len().min(buf.remaining())).unwrap_or_default();
            let end = end_of_first(piece);
            if end.is_some() {
                self.reads.set(READS_PER_TURN_MAX);
            }
            let bytes = end.unwrap_or(piece.len());
            buf.put_slice(&held.split_to(bytes));
        }
        drop(held);
        self.reads.set(self.reads.get().saturating_add(1));
        if self.requests.get() == 0 {
            self.head_bytes.set(self.head_bytes.get() + buf.filled().len() - before);
            self.update();
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until the dispatcher may read, or the client resets the connection. The end of the client's side is a
    /// reset if a handler waits for the answer to a question: a client that leaves rarely resets. A beacon is stored
    /// whether its client waits or not.
    fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.borrow().is_empty() {
            match &mut *self.stream.borrow_mut() {
                Some(stream) => {
                    let has_sent = ready!(stream.poll_peek(cx))?;
                    if !has_sent && self.is_asking.get() {
                        return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                    }
                }
                None => return Poll::Ready(Ok(())),
            }
        }
        // Data is ready to read.
        self.reader.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn poll_stream(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_handshaking.get() {
            ready!(self.poll_handshake(cx))?;
        }
        match &mut *self.stream.borrow_mut() {
            Some(stream) => stream.poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Ready at the end of the handshake. A failed one is counted, and ends the connection. Checks of ports connect and
    /// close, which is no fault.
    fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = match &mut *self.stream.borrow_mut() {
            Some(stream) => ready!(stream.poll_handshake(cx)),
            None => Ok(()),
        };
        self.is_handshaking.set(false);
        if let Err(error) = &done
            && !matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
        {
            self.connections().count(Fault::Handshake);
        }
        self.update();
        Poll::Ready(done)
    }

    /// Runs a function with the bytes of the connection.
    pub(super) fn with_stream<T>(
        &self,
        act: impl FnOnce(&mut Transport) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *self.stream.borrow_mut() {
            Some(stream) => act(stream),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Records that the system accepted `sent` of `of` bytes.
    pub(super) fn note_sent(&self, sent: usize, of: usize) {
        let Some(deadline) = self.send_deadline.get() else {
            if self.patience.get() < STALL {
                self.patience.set(refilled(self.patience.get(), sent));
            }
            return;
        };
        let now = Instant::now();
        self.patience.set(refilled(deadline.saturating_duration_since(now), sent));
        if sent == of {
            self.send_deadline.set(None);
            self.update();
        } else {
            self.send_deadline.set(Some(now + self.patience.get()));
        }
    }

    /// Records that the system accepts no bytes, because the client does not read.
    pub(super) fn note_blocked(&self) {
        if self.send_deadline.get().is_none() {
            self.send_deadline.set(Some(Instant::now() + self.patience.get()));
            self.update();
        }
    }

    /// Shuts down the sending side, after a last response if given, and discards further input. Closing a socket with
    /// unread bytes resets the connection, and the client may lose the response.
    pub(super) fn linger(&self, answer: Option<&[u8]>) {
        if self.is_handshaking.get() {
            // There is no way to answer yet.
            self.stream.take();
        }
        if let Some(stream) = &mut *self.stream.borrow_mut() {
            stream.end(answer);
        }
        self.send_deadline.set(None);
        self.is_lingering.set(true);
        self.held.replace(BytesMut::new());
        self.update();
    }

    /// Discards input until the client closes or has sent too much.
    pub(super) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4_096];
        for _ in 0..DISCARDS_PER_TURN_MAX {
            let mut buf = ReadBuf::new(&mut scratch);
            let read = ready!(self.poll_stream(cx, &mut buf));
            let bytes = buf.filled().len();
            let discarded = self.discarded.get() + bytes;
            self.discarded.set(discarded);
            if read.is_err() || bytes == 0 || discarded > limits::LINGER_BYTES_MAX {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Closes the socket. Resets a socket with unread responses, because the system would otherwise keep them for
    /// minutes.
    pub(super) fn close(&self) {
        let Some(mut stream) = self.stream.take() else { return };
        if self.phase.get() == Phase::Sending {
            // Fails if the client has disconnected.
            let _ = stream.socket().map(|socket| SockRef::from(socket).set_linger(Some(Duration::ZERO)));
        } else if matches!(stream, Transport::Tls(_)) {
            // A client of TLS needs to hear that nothing is missing.
            stream.end(None);
        }
    }
}

/// The patience after the system has accepted more bytes. The bytes may only fill a buffer of the client's system, so they count
/// for no more than the time in which a client must read them.
fn refilled(patience: Duration, sent: usize) -> Duration {
    let more_ms = sent as u64 * 1_000 / limits::SEND_BYTES_PER_SECOND_MIN;
    (patience + Duration::from_millis(more_ms)).min(STALL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::connection::registry::ConnectionLimits;
    use crate::http::proxies::Proxies;
    use std::sync::Arc;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
    use tokio_rustls::rustls::sign::CertifiedKey;

    fn connections() -> Arc<Connections> {
        let limits = ConnectionLimits { all_max: 1, client_max: 0, keep_alive: STALL };
        Arc::new(Connections::new(limits, Proxies::new(Vec::new())))
    }

    /// Has no certificate, because no handshake of a test needs one.
    #[derive(Debug)]
    struct NoCertificate;

    impl ResolvesServerCert for NoCertificate {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            None
        }
    }

    /// Runs a handshake with a client that sends these bytes and closes. Returns the number of counted faults.
    async fn handshake_faults(sent: &[u8]) -> u64 {
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(NoCertificate));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let connections = connections();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(sent).await.unwrap();
        drop(client);
        let (stream, peer) = listener.accept().await.unwrap();
        let transport = Transport::new(stream, Some(&acceptor));
        let conn = Conn::new(transport, connections.admit(peer.ip()).unwrap());
        assert!(conn.is_handshaking());
        let mut bytes = [0; 64];
        let read = std::future::poll_fn(|cx| conn.poll_read(cx, &mut ReadBuf::new(&mut bytes))).await;
        assert!(read.is_err() && !conn.is_handshaking(), "{read:?}");
        connections.closed().find(|(name, _)| *name == "handshake").map_or(0, |(_, count)| count)
    }

    #[tokio::test]
    async fn connection_closed_before_its_handshake_is_no_fault() {
        assert_eq!(handshake_faults(b"").await, 0);
        assert_eq!(handshake_faults(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await, 1);
    }

    /// The number of seconds for which a client is served that reads so many bytes each second; at most 60.
    fn served_s(bytes_per_second: usize) -> u64 {
        let mut patience = STALL;
        let is_over = |_: &u64| {
            let left = patience.saturating_sub(Duration::from_secs(1));
            patience = refilled(left, bytes_per_second);
            left.is_zero()
        };
        (1..60).find(is_over).unwrap_or(60)
    }

    #[test]
    fn client_that_reads_slowly_is_served_for_longer_and_at_the_least_rate_without_end() {
        assert_eq!([0, 16, 64].map(|kib| served_s(kib * 1_024)), [6, 8, 60]);
    }

    #[tokio::test]
    async fn bytes_that_the_system_accepts_renew_no_deadline() {
        let connections = connections();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let conn = Conn::new(Transport::new(stream, None), connections.admit(peer.ip()).unwrap());
        conn.note_blocked();
        // The whole rest of a piece: the next piece is blocked again.
        conn.note_sent(1, 1);
        assert!(conn.patience.get() < STALL);
        conn.note_sent(limits::SEND_BYTES_PER_SECOND_MIN as usize, usize::MAX);
        assert_eq!(conn.patience.get(), STALL, "read bytes do");
    }

    #[tokio::test]
    async fn last_piece_of_an_answer_does_not_wait_for_an_acknowledgement() {
        let connections = connections();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let conn = Conn::new(Transport::new(stream, None), connections.admit(peer.ip()).unwrap());
        let is_sent_at_once = conn.with_stream(|stream| Poll::Ready(stream.socket().unwrap().nodelay()));
        assert!(matches!(is_sent_at_once, Poll::Ready(Ok(true))));
    }
}
