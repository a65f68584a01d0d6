//! A connection's task: actix-http's dispatcher, its deadline, and its end.

use super::exchange::{self, Answer, Exchange};
use super::fault::Fault;
use super::registry::Connections;
use super::state::{Conn, Phase};
use super::stream::Stream;
use super::transport::Transport;
use crate::http::base_path::BasePath;
use crate::limits;
use crate::tls::Tls;
use actix_http::body::BoxBody;
use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpService, KeepAlive, Request, Response};
use actix_service::{IntoServiceFactory, Service as _, ServiceFactory, apply_fn_factory};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};

/// Serves connections with an application.
pub(in crate::http) fn factory<A, F>(
    app: A,
    connections: Arc<Connections>,
    tls: Option<Arc<Tls>>,
    base_path: BasePath,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    A: IntoServiceFactory<F, Request>,
    F: ServiceFactory<Request, Config = (), Error = Response<BoxBody>> + 'static,
    F::Response: Into<Response<BoxBody>>,
    F::InitError: std::fmt::Debug,
{
    let exchanges = apply_fn_factory(app, move |mut request: Request, app: &F::Service| {
        let exchange = Exchange::begin(&mut request);
        base_path.strip(&mut request);
        let answering = app.call(request);
        async move {
            let response = answering.await.map_or_else(|response| response, Into::into);
            Ok::<Response<Answer>, Response<BoxBody>>(exchange::answer(exchange, response))
        }
    });
    // Deadlines are this module's: one timer a connection, not one a request.
    let http = HttpService::build()
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(Duration::ZERO)
        .h1_write_buffer_size(limits::UNSENT_BYTES_MAX)
        .on_connect_ext(|stream: &Stream, data: &mut Extensions| {
            data.insert(Rc::clone(&stream.0));
        })
        .h1(exchanges);
    apply_fn_factory(http, move |stream: TcpStream, http| {
        let connection = stream.peer_addr().ok().and_then(|peer| {
            let place = connections.admit(peer.ip())?;
            let transport = Transport::new(stream, tls.as_ref().map(|tls| tls.acceptor()));
            let conn = Rc::new(Conn::new(transport, place));
            let dispatcher = Box::pin(http.call((Stream(Rc::clone(&conn)), Some(peer))));
            Some(Connection { conn, dispatcher: Some(dispatcher), timer: None })
        });
        async move {
            if let Some(connection) = connection {
                connection.await;
            }
            Ok(())
        }
    })
}

/// The task of a connection.
struct Connection<D> {
    conn: Rc<Conn>,
    /// None once it lingers.
    dispatcher: Option<Pin<Box<D>>>,
    /// Fires at the deadline or before: a deadline that moves back leaves it alone.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<D: Future<Output = Result<(), DispatchError>>> Connection<D> {
    /// Lets the dispatcher work, and discards after its end. Ready when the connection can be closed.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(dispatcher) = &mut self.dispatcher {
            match dispatcher.as_mut().poll(cx) {
                Poll::Pending => match self.conn.take_fault() {
                    None => return Poll::Pending,
                    Some(fault) => self.fail(fault),
                },
                Poll::Ready(Err(DispatchError::Parse(_))) => self.fail(Fault::BadRequest),
                Poll::Ready(Ok(())) if self.conn.is_unread() => self.linger(None),
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
        self.conn.poll_discard(cx)
    }

    fn fail(&mut self, fault: Fault) {
        self.conn.connections().count(fault);
        self.linger(fault.answer());
    }

    fn linger(&mut self, answer: Option<&[u8]>) {
        self.dispatcher = None;
        self.conn.linger(answer);
    }

    /// Ready when the deadline has passed.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(deadline) = self.conn.deadline() else { return Poll::Pending };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
            if timer.deadline().into_std() > deadline {
                timer.as_mut().reset(deadline.into());
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline.into());
        }
    }
}

impl<D: Future<Output = Result<(), DispatchError>>> Future for Connection<D> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.conn.begin_turn(cx.waker());
        if this.poll_work(cx).is_ready() {
            return Poll::Ready(());
        }
        let phase = this.conn.phase();
        if this.conn.place().is_evicted() && phase != Phase::Handling {
            return Poll::Ready(());
        }
        if this.conn.connections().is_ending() && phase == Phase::Idle {
            return Poll::Ready(());
        }
        while this.poll_deadline(cx).is_ready() {
            match this.conn.phase() {
                Phase::Head => {
                    let is_handshaking = this.conn.is_handshaking();
                    this.fail(if is_handshaking { Fault::Handshake } else { Fault::SlowHead });
                    if this.conn.poll_discard(cx).is_ready() {
                        return Poll::Ready(());
                    }
                }
                Phase::Sending => {
                    this.conn.connections().count(Fault::UnreadAnswer);
                    return Poll::Ready(());
                }
                _ => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}

impl<D> Drop for Connection<D> {
    fn drop(&mut self) {
        // The state may outlive the task, in a request that is still held somewhere.
        self.conn.close();
    }
}
