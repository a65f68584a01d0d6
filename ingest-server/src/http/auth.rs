//! Authorizes requests by a bearer token, which is looked up by its hash.

use crate::http::State;
use crate::http::error::ApiError;
use actix_web::HttpRequest;
use actix_web::http::header;
use fieldvitals_store::{Scope, Site};
use std::sync::Arc;

/// Checks that the request's token has the scope `needed`.
///
/// # Errors
/// 401 without a known token, 403 if the token's scope is too small.
pub async fn require(state: &State, request: &HttpRequest, needed: Scope) -> Result<(), ApiError> {
    let secret = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|header| header.to_str().ok())
        .and_then(|header| header.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, secret)| secret.trim())
        .ok_or_else(ApiError::no_token)?;
    let scope =
        state.directory.find(|directory| directory.scope(secret)).await.ok_or_else(ApiError::wrong_token)?;
    if scope < needed { Err(ApiError::scope(needed.name())) } else { Ok(()) }
}

/// Finds a site by name or id, for a request whose token may read.
///
/// # Errors
/// As [`require`], and 404 if the site does not exist.
pub async fn site(state: &State, request: &HttpRequest, name: &str) -> Result<Arc<Site>, ApiError> {
    require(state, request, Scope::Read).await?;
    state
        .directory
        .find(|directory| directory.by_name(name).cloned())
        .await
        .ok_or_else(|| ApiError::no_site(name))
}
