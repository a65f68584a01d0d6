//! The sites of the server.

use crate::http::api::retention::RetentionReport;
use crate::http::api::{Answer, json};
use crate::http::error::ErrorBody;
use crate::http::{State, auth, demo};
use crate::report::time_text;
use crate::routes::PresentReport;
use actix_web::{HttpRequest, web};
use fieldvitals_store::Site;
use serde::Serialize;
use utoipa::ToSchema;

/// A site.
#[derive(Debug, Serialize, ToSchema)]
pub struct SiteReport {
    id: i64,
    name: String,
    keys: Vec<KeyReport>,
    origins: Vec<String>,
    /// Route patterns, in matching order.
    routes: Vec<String>,
    /// Groups of routes that no pattern matches.
    route_groups: PresentReport,
    /// Whether servers add route groups by themselves.
    auto_routes: bool,
    /// IANA name of the time zone in which days and weeks of series begin.
    timezone: String,
    created: String,
}

/// A site key.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyReport {
    key: String,
    /// Time of expiry; absent for the current key.
    until: Option<String>,
}

impl From<&Site> for SiteReport {
    fn from(site: &Site) -> Self {
        Self {
            id: site.id.0,
            name: site.name.clone(),
            keys: site
                .keys
                .iter()
                .map(|key| KeyReport { key: key.key.clone(), until: key.until_ms.map(time_text) })
                .collect(),
            origins: site.origins.clone(),
            routes: site.routes.clone(),
            route_groups: site.into(),
            auto_routes: site.route_groups.auto,
            timezone: site.timezone.clone(),
            created: time_text(site.created_ms),
        }
    }
}

/// The sites that the request may know of.
#[derive(Debug, Serialize, ToSchema)]
pub struct SitesReport {
    sites: Vec<SiteReport>,
    /// Whether this server serves the demo site under `/demo/`, and the demo's visits are taken.
    demo: bool,
    /// The scope of the token or session: `read`, `write` or `admin`.
    scope: &'static str,
    /// End of the session or link; absent for a token.
    until: Option<String>,
    /// Whether the request comes with a read-only link to one site.
    link: bool,
    retention: RetentionReport,
}

/// The sites of this server, or those that the token is limited to.
#[utoipa::path(get, path = "/api/v1/sites", tag = "read", security(("token" = [])),
    responses((status = 200, body = SitesReport), (status = 401, body = ErrorBody)))]
pub async fn sites(state: web::Data<State>, request: HttpRequest) -> Answer {
    let access = auth::access(&state, &request).await?;
    let directory = state.directory.current();
    Ok(json(SitesReport {
        sites: directory
            .sites()
            .iter()
            .filter(|site| access.sees(site.id))
            .map(|site| site.as_ref().into())
            .collect(),
        demo: state.demo && demo::answers(directory.sites(), request.connection_info().host()),
        scope: access.scope.name(),
        until: access.until_s.map(|until_s| time_text(until_s * 1_000)),
        link: access.link.is_some(),
        retention: state.keeping.current().into(),
    }))
}
