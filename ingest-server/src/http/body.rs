//! Reads request bodies: bounded in bytes and time, never decompressed. All handlers read bodies here. `error.rs` chooses
//! the status of each [`BodyError`]: 413, 408, 415 or 400.

use crate::limits;
use actix_web::dev::Payload;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, http::header};
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Reason for which a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The body exceeds the byte limit.
    TooLarge,
    /// The body did not arrive in time.
    Timeout,
    /// The body has a content encoding. The size of a decompressed body could not be bounded.
    Encoding,
    /// The connection broke.
    Aborted,
}

/// A body of at most `BYTES_MAX` bytes, or the error that the handler answers.
pub struct Body<const BYTES_MAX: usize>(pub Result<Bytes, BodyError>);

/// The body of a beacon.
pub type BeaconBody = Body<{ vitals::limits::BODY_BYTES_MAX }>;
/// The body of an authenticated API request.
pub type ApiBody = Body<{ vitals::limits::API_BODY_BYTES_MAX }>;

impl<const BYTES_MAX: usize> FromRequest for Body<BYTES_MAX> {
    type Error = ActixNever;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let headers = request.headers();
        let encoded = headers
            .get(header::CONTENT_ENCODING)
            .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok())
            .and_then(|length| length.parse::<usize>().ok());
        let payload = payload.take();
        Box::pin(async move {
            if encoded {
                return Ok(Self(Err(BodyError::Encoding)));
            }
            if announced.is_some_and(|bytes| bytes > BYTES_MAX) {
                return Ok(Self(Err(BodyError::TooLarge)));
            }
            let mut reading = pin!(read(payload, announced, BYTES_MAX));
            // Most bodies arrive with their head and need no timer.
            let read = match poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await {
                Poll::Ready(read) => read,
                Poll::Pending => {
                    let time = Duration::from_millis(limits::BODY_TIME_MS_MAX);
                    tokio::time::timeout(time, reading).await.unwrap_or(Err(BodyError::Timeout))
                }
            };
            Ok(Self(read))
        })
    }
}

/// Reads a payload of at most `bytes_max` bytes. A payload that arrives whole, like most beacons, is not copied. Others
/// are, because a chunk holds the connection's buffer of 8 KiB while a slow client sends the rest.
async fn read(mut payload: Payload, announced: Option<usize>, bytes_max: usize) -> Result<Bytes, BodyError> {
    let mut whole = Bytes::new();
    let mut joined = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| BodyError::Aborted)?;
        if chunk.len() > bytes_max - joined.len() {
            return Err(BodyError::TooLarge);
        }
        if announced == Some(chunk.len()) {
            whole = chunk;
        } else {
            joined.extend_from_slice(&chunk);
        }
    }
    Ok(if joined.is_empty() { whole } else { joined.into() })
}

/// The extractor's error. It never occurs, because handlers answer every [`BodyError`].
#[derive(Debug)]
pub struct ActixNever(Infallible);

impl From<ActixNever> for actix_web::Error {
    fn from(never: ActixNever) -> Self {
        match never.0 {}
    }
}
