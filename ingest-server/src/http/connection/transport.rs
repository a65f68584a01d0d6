//! The bytes of a connection, plain or in TLS.

use crate::limits;
use socket2::SockRef;
use std::io::{self, Read};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// The bytes of a connection.
pub(super) enum Transport {
    Plain(TcpStream),
    /// Before the end of the handshake.
    Handshake(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Begins with a connection of a client, in TLS if there is an acceptor.
    pub(super) fn new(socket: TcpStream, acceptor: Option<&TlsAcceptor>) -> Self {
        match acceptor {
            None => Self::Plain(socket),
            Some(acceptor) => Self::Handshake(Box::new(acceptor.accept_with(socket, |tls| {
                // What a client that does not read may hold, beside the buffer of the dispatcher.
                tls.set_buffer_limit(Some(limits::UNSENT_BYTES_MAX));
            }))),
        }
    }

    /// The socket; `None` after a failed handshake.
    pub(super) fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Handshake(accept) => accept.get_ref(),
            Self::Tls(stream) => Some(stream.get_ref().0),
        }
    }

    pub(super) const fn is_handshaking(&self) -> bool {
        matches!(self, Self::Handshake(_))
    }

    /// Ready at the end of the handshake, which needs to be polled.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Handshake(accept) = self {
            let stream = ready!(Pin::new(&mut **accept).poll(cx))?;
            *self = Self::Tls(Box::new(stream));
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            // Reads nothing: the connection polls the handshake first.
            Self::Handshake(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Handshake(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
            Self::Plain(_) | Self::Handshake(_) => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Handshake(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }

    /// Ready when the client has sent something, or closed its side (`false`). Takes nothing from what the client sent.
    pub(super) fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match self {
            Self::Plain(socket) => {
                let mut byte = [0];
                let peeked = ready!(socket.poll_peek(cx, &mut ReadBuf::new(&mut byte)))?;
                Poll::Ready(Ok(peeked > 0))
            }
            Self::Handshake(_) => Poll::Ready(Ok(true)),
            Self::Tls(stream) => {
                let (socket, tls) = stream.get_mut();
                loop {
                    // `close_notify` arrives as data.
                    let state = tls.process_new_packets().map_err(io::Error::other)?;
                    if state.plaintext_bytes_to_read() > 0 {
                        return Poll::Ready(Ok(true));
                    }
                    if state.peer_has_closed() {
                        return Poll::Ready(Ok(false));
                    }
                    ready!(socket.poll_read_ready(cx))?;
                    match tls.read_tls(&mut NonBlocking(socket)) {
                        Ok(0) => return Poll::Ready(Ok(false)),
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
            }
        }
    }

    /// Sends what the socket takes at once, and shuts down the sending side.
    pub(super) fn end(&mut self, last: Option<&[u8]>) {
        let mut cx = Context::from_waker(Waker::noop());
        // Nobody is left to hear of an error.
        if let Some(last) = last {
            let _ = self.poll_write(&mut cx, last);
        }
        let _ = self.poll_shutdown(&mut cx);
        if let Some(socket) = self.socket() {
            let _ = SockRef::from(socket).shutdown(Shutdown::Write);
        }
    }
}

/// Reads what has arrived.
struct NonBlocking<'a>(&'a TcpStream);

impl Read for NonBlocking<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}
