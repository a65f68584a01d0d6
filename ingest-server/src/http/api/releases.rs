//! The releases of a site.

use crate::clock::now_ms;
use crate::closed_days::Reader;
use crate::http::answer::{Basis, ask_once};
use crate::http::api::settings::{Change, SettingsBody, read, to_its_end};
use crate::http::api::{Answer, json};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::question::{number, short};
use crate::http::{State, auth};
use crate::limits;
use crate::questions::Cost;
use crate::releases::{self, Release};
use crate::report::{Range, time_text};
use actix_web::{HttpRequest, web};
use fieldvitals_store::Scope;
use jiff::Timestamp;
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

/// A deploy of a release.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployBody {
    /// The release, as pages name it (`data-release`).
    release: String,
    /// Time of the deploy, RFC 3339; now when absent.
    deployed: Option<String>,
}

/// A marked deploy.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeployReport {
    site: String,
    release: String,
    deployed: String,
}

/// Marks the deploy of a release. A second mark of a release replaces the first. Needs the scope `write`.
#[utoipa::path(post, path = "/api/v1/sites/{site}/releases", tag = "settings", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")), request_body(content = DeployBody),
    responses((status = 200, body = DeployReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn mark(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    body: SettingsBody,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let access = auth::require(&state, &request, Scope::Write).await?;
    let DeployBody { release, deployed } = read(body)?;
    let at_ms = deployed.map(|text| {
        text.parse().map(Timestamp::as_millisecond).map_err(|_| {
            ApiError::parameter(format!(
                "`deployed` is `{}`: expected a time such as 2026-11-21T00:00:00Z",
                short(&text)
            ))
        })
    });
    let at_ms = at_ms.transpose()?;
    let change = Change::new(&state, &access)?;
    let of = Arc::clone(&site);
    let mark = async move { change.administration().deploy_mark(&of, &release, at_ms).await };
    let mark = to_its_end(&state, mark).await?;
    let deployed = time_text(mark.at_ms);
    Ok(json(DeployReport { site: site.name.clone(), release: mark.release, deployed }))
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
