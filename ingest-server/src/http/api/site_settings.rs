//! Changes sites: adds, updates and deletes them, and rotates their keys.

use crate::administration::SiteChange;
use crate::http::api::settings::{Change, SettingsBody, read, to_its_end};
use crate::http::api::sites::SiteReport;
use crate::http::api::{Answer, json};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::question::short;
use crate::http::{State, auth};
use actix_web::{HttpRequest, HttpResponse, web};
use fieldvitals_store::Scope;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// A new site.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteBody {
    /// Lower-case letters, digits, `-`, `_` and `.`.
    name: String,
    /// Origins whose pages may send: `https://shop.example`, `https://*.shop.example`, or `*` for any.
    origins: Vec<String>,
}

/// New values of settings; absent ones stay.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteChangeBody {
    /// The new name.
    name: Option<String>,
    /// The origins, replacing the old ones.
    origins: Option<Vec<String>>,
    /// The route patterns, replacing the old ones.
    routes: Option<Vec<String>>,
    /// The time zone: an IANA name.
    timezone: Option<String>,
    /// Whether servers add route groups by themselves.
    auto_routes: Option<bool>,
}

/// How long old keys stay valid.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyBody {
    /// Hours for which old keys stay valid; 24 when absent.
    keep_old_hours: Option<u32>,
}

/// Confirms a deletion.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ConfirmParam {
    /// The site's name, because a deletion cannot be undone.
    confirm: Option<String>,
}

/// Hours for which old keys stay valid by default.
const KEEP_OLD_HOURS: u32 = 24;

/// Adds a site with a key. Needs the scope `admin` of all sites.
#[utoipa::path(post, path = "/api/v1/sites", tag = "settings", security(("token" = [])), request_body(content = SiteBody),
    responses((status = 200, body = SiteReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 409, description = "The name is taken (`site_exists`)", body = ErrorBody)))]
pub async fn add(state: web::Data<State>, request: HttpRequest, body: SettingsBody) -> Answer {
    let access = auth::require_all(&state, &request, Scope::Admin).await?;
    let SiteBody { name, origins } = read(body)?;
    let change = Change::new(&state, &access)?;
    let add = async move { change.administration().site_add(&name, &origins).await };
    let site = to_its_end(&state, add).await?;
    Ok(json(SiteReport::from(&site)))
}

/// Changes the name, origins, route patterns or time zone of a site. Needs the scope `write`; for the name, of all sites.
#[utoipa::path(patch, path = "/api/v1/sites/{site}", tag = "settings", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")), request_body(content = SiteChangeBody),
    responses((status = 200, body = SiteReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, description = "The name is taken (`site_exists`)", body = ErrorBody)))]
pub async fn update(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    body: SettingsBody,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let access = auth::require(&state, &request, Scope::Write).await?;
    let SiteChangeBody { name, origins, routes, timezone, auto_routes } = read(body)?;
    if name.is_some() {
        // A taken name would tell of a hidden site, and channels of alerts find sites by their names.
        auth::require_all(&state, &request, Scope::Write).await?;
    }
    let settings = SiteChange { name, origins, routes, timezone, auto_routes };
    if settings == SiteChange::default() {
        return Err(ApiError::parameter(
            "the body changes nothing: give name, origins, routes, timezone or auto_routes",
        ));
    }
    let change = Change::new(&state, &access)?;
    let update = async move { change.administration().site_update(&site, settings).await };
    let site = to_its_end(&state, update).await?;
    Ok(json(SiteReport::from(&site)))
}

/// Gives a site a new key. Needs the scope `write`.
#[utoipa::path(post, path = "/api/v1/sites/{site}/keys", tag = "settings", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")), request_body(content = KeyBody),
    responses((status = 200, body = SiteReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn rotate_key(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    body: SettingsBody,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let access = auth::require(&state, &request, Scope::Write).await?;
    let KeyBody { keep_old_hours } = read(body)?;
    let hours = keep_old_hours.unwrap_or(KEEP_OLD_HOURS);
    let change = Change::new(&state, &access)?;
    let rotate = async move { change.administration().site_rotate_key(&site, hours).await };
    let site = to_its_end(&state, rotate).await?;
    Ok(json(SiteReport::from(&site)))
}

/// Removes a site and everything measured on it, for good. Needs the scope `admin`.
#[utoipa::path(delete, path = "/api/v1/sites/{site}", tag = "settings", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), ConfirmParam),
    responses((status = 204, description = "Removed"), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn delete(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    confirm: web::Query<ConfirmParam>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let access = auth::require(&state, &request, Scope::Admin).await?;
    let confirmed = confirm.confirm.as_deref().unwrap_or_default();
    if confirmed != site.name {
        return Err(ApiError::parameter(format!(
            "`confirm` is `{}`: this removes site `{}` and everything measured on it, for good; confirm its name",
            short(confirmed),
            site.name
        )));
    }
    let change = Change::new(&state, &access)?;
    let delete = async move { change.administration().site_delete(&site).await };
    to_its_end(&state, delete).await?;
    Ok(HttpResponse::NoContent().finish())
}
