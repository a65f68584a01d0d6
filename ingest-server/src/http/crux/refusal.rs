//! Errors in the shape of Google's APIs.

use crate::http::error::ApiError;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError as _};
use serde::Serialize;
use utoipa::ToSchema;

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
pub struct CruxError {
    error: CruxStatus,
}

/// An error.
#[derive(Debug, Serialize, ToSchema)]
pub struct CruxStatus {
    /// The HTTP status.
    code: u16,
    /// The message; that of a missing record is CrUX's own.
    message: String,
    /// The name of the status, such as `NOT_FOUND`.
    status: &'static str,
    details: [CruxDetail; 1],
}

/// The reason of an error, and what to do.
#[derive(Debug, Serialize, ToSchema)]
pub struct CruxDetail {
    #[serde(rename = "@type")]
    kind: &'static str,
    locale: &'static str,
    message: String,
}

/// The message of a missing record, which clients know.
const NOT_FOUND: &str = "chrome ux report data not found";
/// The message of an unknown key, which clients know.
const WRONG_KEY: &str = "API key not valid. Please pass a valid API key.";

/// Returns the response of an error. Keeps its headers, such as `Retry-After`.
pub(super) fn response(error: &ApiError) -> HttpResponse {
    let text = error.to_string();
    let (code, status, message) = match (error.code(), error.status_code()) {
        ("token_missing", _) => (StatusCode::FORBIDDEN, "PERMISSION_DENIED", text.clone()),
        ("token_unknown" | "session_over", _) => {
            (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", WRONG_KEY.to_owned())
        }
        (_, StatusCode::NOT_FOUND) => (StatusCode::NOT_FOUND, "NOT_FOUND", NOT_FOUND.to_owned()),
        (_, StatusCode::UNPROCESSABLE_ENTITY) => {
            (StatusCode::BAD_REQUEST, "FAILED_PRECONDITION", text.clone())
        }
        (_, code @ StatusCode::TOO_MANY_REQUESTS) => (code, "RESOURCE_EXHAUSTED", text.clone()),
        (_, code @ StatusCode::SERVICE_UNAVAILABLE) => (code, "UNAVAILABLE", text.clone()),
        (_, code @ StatusCode::GATEWAY_TIMEOUT) => (code, "DEADLINE_EXCEEDED", text.clone()),
        (_, code) if code.is_client_error() => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", text.clone()),
        (_, code) => (code, "INTERNAL", text.clone()),
    };
    let detail = CruxDetail {
        kind: "type.googleapis.com/google.rpc.LocalizedMessage",
        locale: "en-US",
        message: format!("{text}. {}", error.hint()),
    };
    let body = CruxError { error: CruxStatus { code: code.as_u16(), message, status, details: [detail] } };
    // A structure of texts can be written.
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let mut response = error.error_response().set_body(BoxBody::new(body));
    *response.status_mut() = code;
    response
}
