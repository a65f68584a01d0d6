//! `POST /v1/beacon` and `POST /v1/web-vitals`: a body in, its outcome out.

use crate::http::body::{BeaconBody, BodyError};
use crate::http::error::{ApiError, invalid_body, message_of};
use crate::http::{State, now_ms};
use crate::intake::web_vitals::Query;
use crate::intake::{self, Accepted, Refused, Request};
use crate::outcome::{Invalid, Outcome};
use crate::spool::{AppendError, Record};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

/// Take a beacon of the collector.
///
/// `204` says that it is on disk. The body is JSON (docs/wire-format.md), as `text/plain` so that
/// browsers ask no preflight, or as `application/json`.
#[utoipa::path(
    post, path = "/v1/beacon", tag = "ingest",
    request_body(content = String, content_type = "text/plain", description = "A beacon, wire format v1"),
    responses(
        (status = 204, description = "Taken, durably"),
        (status = 400, description = "Malformed, not UTF-8, unknown version, or a value out of range", body = super::error::ErrorBody),
        (status = 403, description = "The page's origin is not allowed", body = super::error::ErrorBody),
        (status = 404, description = "No site has this key", body = super::error::ErrorBody),
        (status = 413, description = "Over 64 KiB", body = super::error::ErrorBody),
        (status = 415, description = "With a content encoding", body = super::error::ErrorBody),
        (status = 422, description = "The view starts too far from the server's clock", body = super::error::ErrorBody),
        (status = 429, description = "More than one client network may send", body = super::error::ErrorBody),
        (status = 503, description = "Overloaded; try again", body = super::error::ErrorBody),
    )
)]
pub async fn beacon(state: web::Data<State>, request: HttpRequest, body: BeaconBody) -> HttpResponse {
    take(&state, &request, body, intake::own).await
}

/// Take what the web-vitals library reports.
///
/// The body is one metric object of the library, or an array of them, taken whole or not at all.
#[utoipa::path(
    post, path = "/v1/web-vitals", tag = "ingest",
    params(
        ("site" = String, Query, description = "The site's key"),
        ("url" = Option<String>, Query, description = "The page's URL, where the body has no `url`"),
        ("pageview" = Option<String>, Query, description = "Joins the metrics of one page load; best `${Math.round(performance.timeOrigin)}-${random}`"),
        ("release" = Option<String>, Query, description = "The release of the page"),
        ("device" = Option<String>, Query, description = "phone, tablet or desktop"),
        ("connection" = Option<String>, Query, description = "The effective connection type"),
        ("country" = Option<String>, Query, description = "ISO 3166-1 alpha-2"),
    ),
    request_body(content = String, content_type = "text/plain", description = "A metric object, or an array of them"),
    responses(
        (status = 204, description = "Taken, durably"),
        (status = 400, description = "Malformed, unknown metric, or a value out of range", body = super::error::ErrorBody),
        (status = 403, description = "The page's origin is not allowed", body = super::error::ErrorBody),
        (status = 404, description = "No site has this key", body = super::error::ErrorBody),
        (status = 413, description = "Over 64 KiB", body = super::error::ErrorBody),
        (status = 422, description = "The view starts too far from the server's clock", body = super::error::ErrorBody),
        (status = 429, description = "More than one client network may send", body = super::error::ErrorBody),
        (status = 503, description = "Overloaded; try again", body = super::error::ErrorBody),
    )
)]
pub async fn web_vitals(state: web::Data<State>, request: HttpRequest, body: BeaconBody) -> HttpResponse {
    let query = web::Query::<Query>::from_query(request.query_string());
    take(&state, &request, body, |request, directory| match &query {
        Ok(query) => intake::web_vitals::take(request, directory, query),
        Err(error) => Err(Refused {
            outcome: Outcome::Invalid(Invalid::Malformed),
            site: None,
            origin: None,
            message: format!("the query cannot be read: {error}"),
        }),
    })
    .await
}

/// The answer to a preflight: any page may ask, and the site's allowed origins decide.
pub async fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "POST"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"))
        .finish()
}

async fn take(
    state: &State,
    request: &HttpRequest,
    body: BeaconBody,
    decide: impl Fn(&Request<'_>, &crate::directory::Snapshot) -> Result<Accepted, Refused>,
) -> HttpResponse {
    state.outcomes.receive();
    let origin = request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let decided = match &body.0 {
        _ if !state.client_rate.allows(request) => Err(Refused {
            outcome: Outcome::RateLimited,
            site: None,
            origin: origin.map(str::to_owned),
            message: "this network sends more beacons than one may".to_owned(),
        }),
        Ok(body) => {
            let request = Request { body, origin, received_ms: now_ms() };
            decide_or_refresh(state, &request, decide).await
        }
        Err(error) => Err(unread(*error, origin)),
    };
    let kept = match decided {
        Ok(accepted) => keep(state, accepted, origin).await,
        Err(refused) => Err(refused),
    };
    let mut response = match kept {
        Ok(()) => {
            state.outcomes.count(Outcome::Accepted);
            HttpResponse::NoContent().finish()
        }
        Err(refused) => {
            state.outcomes.count(refused.outcome);
            note(state, &refused);
            actix_web::ResponseError::error_response(&ApiError::from(&refused))
        }
    };
    // A page on any origin may read why its beacon was refused; no credentials are ever allowed.
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, header::HeaderValue::from_static("*"));
    response
}

/// Decides with the sites in memory, and again with fresh ones where the key is not among them: it may
/// have been added a moment ago.
async fn decide_or_refresh(
    state: &State,
    request: &Request<'_>,
    decide: impl Fn(&Request<'_>, &crate::directory::Snapshot) -> Result<Accepted, Refused>,
) -> Result<Accepted, Refused> {
    let first = decide(request, &state.directory.current());
    match &first {
        Err(Refused { outcome: Outcome::Invalid(Invalid::UnknownSite | Invalid::Origin), .. }) => {
            let again = state.directory.find(|directory| match decide(request, directory) {
                Err(Refused {
                    outcome: Outcome::Invalid(Invalid::UnknownSite | Invalid::Origin), ..
                }) => None,
                decided => Some(decided),
            });
            again.await.unwrap_or(first)
        }
        _ => first,
    }
}

async fn keep(state: &State, accepted: Accepted, origin: Option<&str>) -> Result<(), Refused> {
    let site = accepted.site;
    let record = Record { site, updates: accepted.updates };
    state.spool.append(record).await.map_err(|error| Refused {
        outcome: Outcome::Shed,
        site: Some(site),
        origin: origin.map(str::to_owned),
        message: match error {
            AppendError::Full => "the server holds as many beacons as it may; try again".to_owned(),
            AppendError::Failed(_) => "the server cannot keep beacons now; see its log".to_owned(),
        },
    })
}

fn unread(error: BodyError, origin: Option<&str>) -> Refused {
    Refused {
        outcome: Outcome::Invalid(invalid_body(error)),
        site: None,
        origin: origin.map(str::to_owned),
        message: message_of(error).to_owned(),
    }
}

fn note(state: &State, refused: &Refused) {
    let reason = match refused.outcome {
        Outcome::Invalid(reason) => reason.name(),
        Outcome::Filtered(reason) => reason.name(),
        Outcome::RateLimited => "rate_limited",
        Outcome::Shed | Outcome::Accepted => "overloaded",
    };
    let origin = refused.origin.as_deref().unwrap_or_default();
    tracing::debug!(reason, origin, message = refused.message, "beacon refused");
    state.rejections.note(refused.site, reason, origin, &refused.message, now_ms());
}
