//! The releases of a site.

use crate::clock::now_ms;
use crate::closed_days::Reader;
use crate::http::answer::{Basis, ask_once};
use crate::http::api::Answer;
use crate::http::error::ErrorBody;
use crate::http::question::number;
use crate::http::{State, auth};
use crate::limits;
use crate::questions::Cost;
use crate::releases::{self, Release};
use crate::report::{Range, time_text};
use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Default number of releases in an answer.
const ROWS: usize = 20;

/// The size of the answer.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReleasesParams {
    /// Releases in the answer, 1 to 100; 20 when absent.
    limit: Option<String>,
}

/// The releases of a site.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReleasesReport {
    site: String,
    /// The latest start first.
    releases: Vec<ReleaseReport>,
}

/// A release.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReleaseReport {
    release: String,
    /// The first UTC day with page views (its start, RFC 3339), of the last 400; absent without page views.
    first_seen: Option<String>,
    /// The last UTC day with page views.
    last_seen: Option<String>,
    /// Page views received.
    views: i64,
    /// Time of the deploy, RFC 3339, UTC, if it was marked (`fieldvitals release add`).
    deployed: Option<String>,
}

impl From<Release> for ReleaseReport {
    fn from(release: Release) -> Self {
        Self {
            first_seen: release.seen.map(|[first_ms, _]| time_text(first_ms)),
            last_seen: release.seen.map(|[_, last_ms]| time_text(last_ms)),
            views: release.views,
            deployed: release.deployed_ms.map(time_text),
            release: release.name,
        }
    }
}

/// The releases that were seen or deployed last, with their first and last day and their page views.
#[utoipa::path(get, path = "/api/v1/sites/{site}/releases", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), ReleasesParams),
    responses((status = 304, description = "The client has the answer (`If-None-Match`)"), (status = 200, body = ReleasesReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, description = "The store is away (`store_away`), or too many questions are being answered (`busy`); try again", body = ErrorBody), (status = 504, description = "The question took too long (`too_slow`)", body = ErrorBody)))]
pub async fn releases(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    params: web::Query<ReleasesParams>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let limit = number("limit", &params.limit, [1, limits::RELEASE_ROWS_MAX], ROWS)?;
    let days = releases::range(now_ms());
    let range = Range { from_ms: days.start, to_ms: days.end };
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let releases = releases::releases(store.as_ref(), owned.id, days, limit).await?;
        Ok(ReleasesReport {
            site: owned.name.clone(),
            releases: releases.into_iter().map(Into::into).collect(),
        })
    };
    ask_once(&state, &request, (&site, range, Basis::Everything), Cost::Usual, question).await
}
