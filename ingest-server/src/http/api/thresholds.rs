//! The limits of the server's checks.

use crate::health::{Limits, Thresholds};
use crate::http::api::{Answer, json};
use crate::http::body::Body;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::{State, auth};
use crate::limits;
use actix_web::{HttpRequest, web};
use fieldvitals_store::Scope;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The limits of all checks.
#[derive(Debug, Serialize, ToSchema)]
pub struct ThresholdsReport {
    /// The source of the limits: `defaults`, `api` or `file` (`--thresholds`).
    from: &'static str,
    /// The limits by the name of their check.
    #[schema(value_type = std::collections::HashMap<String, Limits>)]
    thresholds: BTreeMap<&'static str, Limits>,
}

fn report(state: &State) -> ThresholdsReport {
    let (thresholds, source) = state.health.thresholds();
    ThresholdsReport { from: source.name(), thresholds: thresholds.named() }
}

/// The limits of the server's checks.
#[utoipa::path(get, path = "/api/v1/status/thresholds", tag = "read", security(("token" = [])),
    responses((status = 200, body = ThresholdsReport), (status = 401, body = ErrorBody)))]
pub async fn thresholds(state: web::Data<State>, request: HttpRequest) -> Answer {
    auth::require(&state, &request, Scope::Read).await?;
    Ok(json(report(&state)))
}

/// Replaces the limits of this server's checks, until the next `PUT`. Checks that the body leaves out have their defaults.
///
/// The token needs the scope `admin`. Other servers of the same store keep theirs.
#[utoipa::path(put, path = "/api/v1/status/thresholds", tag = "read", security(("token" = [])),
    request_body(content = std::collections::HashMap<String, Limits>, description = "Limits by the name of their check"),
    responses((status = 200, body = ThresholdsReport), (status = 400, description = "A name or limits are wrong (`thresholds_invalid`)", body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, description = "The scope is not `admin`", body = ErrorBody), (status = 409, description = "The limits are in the file of --thresholds (`thresholds_in_file`)", body = ErrorBody)))]
pub async fn set_thresholds(
    state: web::Data<State>,
    request: HttpRequest,
    body: Body<{ limits::THRESHOLDS_BYTES_MAX }>,
) -> Answer {
    auth::require_all(&state, &request, Scope::Admin).await?;
    if state.health.thresholds().1 == crate::health::Source::File {
        return Err(ApiError::thresholds_in_file());
    }
    let body = body.0.map_err(ApiError::body)?;
    let named: BTreeMap<String, Limits> = serde_json::from_slice(&body)
        .map_err(|error| ApiError::thresholds(format!("the body cannot be read: {error}")))?;
    let named = named.iter().map(|(name, &limits)| (name.as_str(), limits));
    let thresholds = Thresholds::from_named(named).map_err(ApiError::thresholds)?;
    let changed = state.clone();
    // Writes a file.
    let written = web::block(move || changed.health.set_thresholds(thresholds)).await;
    let written = written.map_err(std::io::Error::other).flatten();
    written.map_err(|error| ApiError::thresholds_unwritten(&error))?;
    tracing::info!("the thresholds of the server's health are set by the API");
    Ok(json(report(&state)))
}
