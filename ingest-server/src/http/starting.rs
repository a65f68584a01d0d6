//! The start-up server: answers 503 until the store is open.
//!
//! Does not use actix: its threads would have to end before the real server's begin, and connections between them
//! would be lost.

use crate::http::error::ApiError;
use crate::limits;
use actix_web::ResponseError as _;
use actix_web::body::MessageBody as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Maximum number of concurrent connections; others wait in the system's queue.
const ANSWERS_MAX: usize = 64;

/// Pause after a failed accept, for example without free file handles.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A server that answers 503 to every request.
pub struct Starting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<TcpListener>,
}

impl Starting {
    /// Stops and returns the socket. Loses no accepted connection.
    ///
    /// # Errors
    /// If the task has panicked or the socket cannot be converted.
    pub async fn stop(self) -> io::Result<std::net::TcpListener> {
        // Fails only if the task has ended; the next line reports that.
        let _ = self.stop.send(());
        self.task.await.map_err(io::Error::other)?.into_std()
    }
}

/// Answers 503 until stopped, in TLS if there is an acceptor.
///
/// # Errors
/// If the socket cannot be served.
pub fn serve(listener: std::net::TcpListener, tls: Option<TlsAcceptor>) -> io::Result<Starting> {
    let listener = TcpListener::from_std(listener)?;
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        tokio::select! {
            () = answer_all(&listener, tls) => {}
            _ = stopped => {}
        }
        listener
    });
    Ok(Starting { stop, task })
}

async fn answer_all(listener: &TcpListener, tls: Option<TlsAcceptor>) {
    let answer: Arc<[u8]> = not_yet().into();
    let places = Arc::new(Semaphore::new(ANSWERS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        let answer = Arc::clone(&answer);
        let tls = tls.clone();
        tokio::spawn(async move {
            let answering = async {
                match tls {
                    Some(tls) => respond(tls.accept(stream).await?, &answer).await,
                    None => respond(stream, &answer).await,
                }
            };
            // A slow or disconnected client gets no answer.
            let _ = timeout(Duration::from_millis(limits::HEAD_TIME_MS_MAX), answering).await;
            drop(place);
        });
    }
}

/// Answers once the request head has arrived, then discards further data until the client closes.
async fn respond(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) -> io::Result<()> {
    let mut head = vec![0; limits::HEAD_BYTES_MAX];
    let mut got = 0;
    loop {
        match stream.read(head.get_mut(got..).unwrap_or_default()).await? {
            0 => break,
            more => got += more,
        }
        let head = head.get(..got).unwrap_or_default();
        if head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            break;
        }
    }
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    let mut left = limits::LINGER_BYTES_MAX;
    let discarding = async {
        while let Ok(read @ 1..) = stream.read(&mut head).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    };
    // Ignores the timeout: the connection ends here in any case.
    let _ = timeout(Duration::from_millis(limits::LINGER_MS_MAX), discarding).await;
    Ok(())
}

/// Returns the response as bytes. A page of any origin may read it, like any response to a beacon.
fn not_yet() -> Vec<u8> {
    let response = ApiError::starting().error_response();
    let mut text = format!("HTTP/1.1 {}\r\n", response.status());
    for (name, value) in response.headers() {
        if let Ok(value) = value.to_str() {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    let body = response.into_body().try_into_bytes().unwrap_or_default();
    text.push_str("access-control-allow-origin: *\r\nconnection: close\r\n");
    text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [text.as_bytes(), &body].concat()
}
