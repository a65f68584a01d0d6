//! Beacons that the server refused, for the owner of a site.

use crate::http::api::{Answer, json};
use crate::http::error::ErrorBody;
use crate::http::{State, auth};
use crate::report::time_text;
use actix_web::{HttpRequest, web};
use serde::Serialize;
use utoipa::ToSchema;

/// Refused beacons.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectionsReport {
    rejections: Vec<RejectionReport>,
}

/// Refused beacons of one reason and origin.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectionReport {
    /// The reason: the error's `code`.
    reason: &'static str,
    /// The page's origin; empty if unknown.
    origin: String,
    /// Refused beacons since the server started.
    count: u64,
    /// Time of the last refused beacon.
    last_seen: String,
    /// Error of the last refused beacon.
    message: String,
}

/// Beacons that this server refused since it started, by reason and origin, latest first. Contains beacons of the site
/// and beacons with an unknown site key.
#[utoipa::path(get, path = "/api/v1/sites/{site}/rejections", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")),
    responses((status = 200, body = RejectionsReport), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn rejections(state: web::Data<State>, request: HttpRequest, name: web::Path<String>) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let rejections = state
        .rejections
        .of(site.id)
        .into_iter()
        .map(|rejection| RejectionReport {
            reason: rejection.reason,
            origin: rejection.origin,
            count: rejection.count,
            last_seen: time_text(rejection.last_seen_ms),
            message: rejection.message,
        })
        .collect();
    Ok(json(RejectionsReport { rejections }))
}
