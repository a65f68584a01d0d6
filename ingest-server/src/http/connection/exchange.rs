//! A request and its answer, as their connection sees them.

use super::state::Conn;
use crate::limits;
use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::error::PayloadError;
use actix_http::{ConnectionType, Payload, Request, Response, h1};
use actix_web::HttpRequest;
use actix_web::web::Bytes;
use futures_util::Stream;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The body of a request. Shared, because actix-http reads and discards without end what nobody holds.
type Body = Rc<RefCell<h1::Payload>>;

/// A request that is in progress until the whole answer is in the connection's buffer.
pub(super) struct Exchange {
    conn: Rc<Conn>,
    body: Option<Body>,
}

impl Exchange {
    /// Begins with a request.
    pub(super) fn begin(request: &mut Request) -> Option<Self> {
        let conn = Rc::clone(request.conn_data::<Rc<Conn>>()?);
        conn.begin_request();
        let body = match request.take_payload() {
            Payload::H1 { payload } => {
                let body = Rc::new(RefCell::new(payload));
                let incoming = Incoming { conn: Rc::clone(&conn), body: Rc::clone(&body) };
                *request.payload() = Payload::Stream { payload: Box::pin(incoming) };
                Some(body)
            }
            other => {
                *request.payload() = other;
                None
            }
        };
        Some(Self { conn, body })
    }

    /// Whether the body has come whole; what has come is discarded.
    fn is_body_read(&self) -> bool {
        let Some(body) = &self.body else { return true };
        let mut body = body.borrow_mut();
        loop {
            match Pin::new(&mut *body).poll_next(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return true,
                Poll::Pending => return false,
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.conn.end_request();
    }
}

/// A client that waits for the answer to a question. While it exists, the connection ends as soon as the client closes
/// its side, and with it the future of the question's handler.
pub(in crate::http) struct Asker(Rc<Conn>);

impl Asker {
    /// Begins to wait.
    pub(in crate::http) fn of(request: &HttpRequest) -> Option<Self> {
        let conn = Rc::clone(request.conn_data::<Rc<Conn>>()?);
        conn.set_asking(true);
        Some(Self(conn))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.set_asking(false);
    }
}

/// The answer of an exchange.
pub(super) fn answer(exchange: Option<Exchange>, mut response: Response<BoxBody>) -> Response<Answer> {
    if let Some(exchange) = &exchange {
        if !exchange.is_body_read() {
            exchange.conn.leave_body_unread();
        }
        if exchange.conn.connections().is_draining() || exchange.conn.place().is_evicted() {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
    }
    response.map_body(|_, body| Answer { body, rest: Bytes::new(), _exchange: exchange })
}

/// The body of a request, for its handler.
struct Incoming {
    conn: Rc<Conn>,
    body: Body,
}

impl Stream for Incoming {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut *self.body.borrow_mut()).poll_next(cx);
        self.conn.want_body(next.is_pending());
        next
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.conn.want_body(false);
    }
}

/// The body of an answer, in pieces: the connection buffers one, and asks for the next when it is sent.
pub(super) struct Answer {
    body: BoxBody,
    rest: Bytes,
    /// Ends with the body.
    _exchange: Option<Exchange>,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                other => return other,
            }
        }
        let piece = self.rest.len().min(limits::UNSENT_BYTES_MAX);
        Poll::Ready(Some(Ok(self.rest.split_to(piece))))
    }
}
