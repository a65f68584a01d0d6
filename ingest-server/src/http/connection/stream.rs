//! The stream that actix-http reads from and writes to.

use super::state::Conn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection's socket, behind its state.
pub(super) struct Stream(pub(super) Rc<Conn>);

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.0.with_stream(|stream| stream.poll_write(cx, bytes));
        match &written {
            Poll::Ready(Ok(sent)) => self.0.note_sent(*sent, bytes.len()),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.0.note_blocked(),
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.0.with_stream(|stream| stream.poll_flush(cx));
        match &flushed {
            // TLS has a buffer of its own, and is blocked here.
            Poll::Pending => self.0.note_blocked(),
            Poll::Ready(_) => self.0.note_sent(0, 0),
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.with_stream(|stream| stream.poll_shutdown(cx))
    }
}
