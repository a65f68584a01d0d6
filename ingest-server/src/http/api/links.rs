//! Read-only links to one site, with an expiry.

use crate::clock::now_ms;
use crate::grant::Grant;
use crate::http::api::{Answer, json};
use crate::http::body::Body;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::{State, auth};
use crate::limits;
use crate::report::time_text;
use actix_web::{HttpRequest, web};
use fieldvitals_store::Scope;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A new link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLink {
    /// Days until the link expires, 1 to 400.
    days: i64,
}

/// A read-only link.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkReport {
    /// Add `#link=` and this to the address of any view of the dashboard.
    link: String,
    /// Its expiry. It also ends when the token of its maker is revoked.
    until: String,
}

/// Makes a read-only link to a site. Whoever has it reads this site until it expires, and nothing else.
#[utoipa::path(post, path = "/api/v1/sites/{site}/links", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")), request_body(content = NewLink),
    responses((status = 200, body = LinkReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, description = "A link makes no links (`one_site`)", body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn links(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    body: Body<{ limits::SIGN_IN_BYTES_MAX }>,
) -> Answer {
    let access = auth::require(&state, &request, Scope::Read).await?;
    let site = auth::site(&state, &request, &name).await?;
    let body = body.0.map_err(ApiError::body)?;
    let days = serde_json::from_slice::<NewLink>(&body).ok().map(|link| link.days);
    let days = days.filter(|days| (1..=limits::LINK_DAYS_MAX).contains(days)).ok_or_else(|| {
        ApiError::parameter(format!(
            "the body must be {{\"days\": N}} with N from 1 to {}",
            limits::LINK_DAYS_MAX
        ))
    })?;
    let directory = state.directory.current();
    let token = directory.token_by_id(access.token).ok_or_else(ApiError::wrong_token)?;
    let until_s = now_ms() / 1_000 + days * 86_400;
    let link = Grant { token: token.id, site: Some(site.id), until_s }.sign(token);
    Ok(json(LinkReport { link, until: time_text(until_s * 1_000) }))
}
