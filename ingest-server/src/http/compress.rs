//! Compresses answers of JSON. Response only: nothing here inflates the body of a request (SECURITY.md).

use crate::http::assets;
use crate::limits;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponseBuilder};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

/// The first bytes of gzip (RFC 1952). No JSON begins with them.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Compresses a body, unless it is small.
#[must_use]
pub(super) fn packed(plain: Vec<u8>) -> Vec<u8> {
    if plain.len() < limits::COMPRESS_BYTES_MIN {
        return plain;
    }
    let mut gzip = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::default());
    // Writing to memory never fails.
    gzip.write_all(&plain).and_then(|()| gzip.finish()).unwrap_or(plain)
}

/// Adds a body that may be [`packed`] to an answer, in a form that the client accepts.
pub(super) fn send(
    request: &HttpRequest,
    mut response: HttpResponseBuilder,
    body: Arc<[u8]>,
) -> actix_web::HttpResponse {
    response.content_type("application/json").insert_header((header::VARY, "Accept-Encoding"));
    if !body.starts_with(&MAGIC) {
        return response.body(Bytes::from_owner(body));
    }
    let (_, is_gzip_accepted) = assets::accepted(request.headers());
    if is_gzip_accepted {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
        return response.body(Bytes::from_owner(body));
    }
    let mut plain = Vec::with_capacity(body.len() * 4);
    match GzDecoder::new(&*body).read_to_end(&mut plain) {
        Ok(_) => response.body(plain),
        // The server compressed the body itself, so this is memory that changed.
        Err(_) => response.status(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR).finish(),
    }
}

/// Compresses JSON that its handler did not.
///
/// # Errors
/// That of the handler.
pub(super) async fn compress(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let (_, is_gzip_accepted) = assets::accepted(request.headers());
    let response = next.call(request).await?.map_into_boxed_body();
    let headers = response.headers();
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json || headers.contains_key(header::VARY) || headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(response);
    }
    let (request, mut response) = response.into_parts();
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if !is_gzip_accepted {
        return Ok(ServiceResponse::new(request, response));
    }
    let response = response.map_body(|head, body: BoxBody| match body.try_into_bytes() {
        Ok(bytes) => {
            let body = packed(bytes.into());
            if body.starts_with(&MAGIC) {
                head.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            BoxBody::new(body)
        }
        Err(body) => body,
    });
    Ok(ServiceResponse::new(request, response))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::HttpResponse;
    use actix_web::body::to_bytes;
    use actix_web::test::TestRequest;

    fn inflated(bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
        plain
    }

    #[tokio::test]
    async fn kept_answer_is_sent_as_the_client_accepts_it() {
        let plain = br#"{"a":[1,2,3]}"#.repeat(200);
        let kept: Arc<[u8]> = packed(plain.clone()).into();
        assert!(kept.len() < plain.len() / 10);
        for (accepts, is_packed) in [("gzip, br", true), ("br", false), ("gzip;q=0", false), ("", false)] {
            let request =
                TestRequest::default().insert_header((header::ACCEPT_ENCODING, accepts)).to_http_request();
            let response = send(&request, HttpResponse::Ok(), Arc::clone(&kept));
            assert_eq!(response.headers().contains_key(header::CONTENT_ENCODING), is_packed, "{accepts}");
            let body = to_bytes(response.into_body()).await.unwrap();
            assert_eq!(if is_packed { inflated(&body) } else { body.to_vec() }, plain);
        }
    }

    #[test]
    fn small_answer_stays_plain() {
        assert_eq!(packed(b"{}".to_vec()), b"{}");
    }
}
