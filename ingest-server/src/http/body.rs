//! The only way in which a request's body is read: bounded in bytes and in time, never inflated.

use actix_web::dev::Payload;
use actix_web::web::{self, Bytes};
use actix_web::{FromRequest, HttpRequest, http::header};
use futures_util::future::LocalBoxFuture;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use vitals::limits;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// More bytes than are taken.
    TooLarge,
    /// It did not arrive in time.
    Timeout,
    /// It has a content encoding; an inflated body could not be bounded.
    Encoding,
    /// The connection broke.
    Aborted,
}

/// A body of at most `BYTES_MAX`, or the reason why not, which the handler answers.
pub struct Body<const BYTES_MAX: usize>(pub Result<Bytes, BodyError>);

/// The body of a beacon.
pub type BeaconBody = Body<{ limits::BODY_BYTES_MAX }>;
/// The body of an authenticated API request.
pub type ApiBody = Body<{ limits::API_BODY_BYTES_MAX }>;

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
        let payload = web::Payload::from_request(request, payload);
        Box::pin(async move {
            if encoded {
                return Ok(Self(Err(BodyError::Encoding)));
            }
            if announced.is_some_and(|bytes| bytes > BYTES_MAX) {
                return Ok(Self(Err(BodyError::TooLarge)));
            }
            let Ok(payload) = payload.await else { return Ok(Self(Err(BodyError::Aborted))) };
            let mut reading = pin!(payload.to_bytes_limited(BYTES_MAX));
            // Most bodies have come with their head, and need no clock.
            let read = match poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await {
                Poll::Ready(read) => Ok(read),
                Poll::Pending => {
                    let time = Duration::from_millis(limits::BODY_TIME_MS_MAX);
                    tokio::time::timeout(time, reading).await
                }
            };
            Ok(Self(match read {
                Ok(Ok(Ok(bytes))) => Ok(bytes),
                Ok(Ok(Err(_))) => Err(BodyError::Aborted),
                Ok(Err(_)) => Err(BodyError::TooLarge),
                Err(_) => Err(BodyError::Timeout),
            }))
        })
    }
}

/// The extractor's error: there is none, as every reason is the handler's to answer.
#[derive(Debug)]
pub struct ActixNever(Infallible);

impl From<ActixNever> for actix_web::Error {
    fn from(never: ActixNever) -> Self {
        match never.0 {}
    }
}
