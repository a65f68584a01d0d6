//! Authorizes requests: by a bearer token, which is looked up by its hash, or by the dashboard's session cookie, which is
//! a [grant](crate::grant).

use crate::clock::now_ms;
use crate::directory::Snapshot;
use crate::grant::{Grant, Void};
use crate::http::State;
use crate::http::error::ApiError;
use crate::password::shown_name;
use actix_web::http::{Method, header};
use actix_web::{HttpMessage as _, HttpRequest};
use fieldvitals_store::{Scope, Site, SiteId, Token, TokenId};
use std::sync::Arc;

/// The session's cookie.
pub(super) const COOKIE: &str = "fieldvitals_session";

/// The header that requests with a cookie must have if they change something. A page of another origin cannot send it:
/// its browser would ask this server first, which allows no such origin.
pub(super) const OWN_PAGE: &str = "Fieldvitals-Dashboard";

/// What a request may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The token that allows it.
    pub token: TokenId,
    /// The scope.
    pub scope: Scope,
    /// The sites that its token is limited to; `None` for all.
    pub sites: Option<Vec<SiteId>>,
    /// The only site of a read-only link; `None` without a link.
    pub link: Option<SiteId>,
    /// End of a session, in UTC seconds; `None` for a token.
    pub until_s: Option<i64>,
    /// The rate of its token, in requests a second; `None` for the default.
    pub rate_per_s: Option<u32>,
}

impl Access {
    /// The only sites that the request may know of; `None` for all.
    #[must_use]
    pub fn only(&self) -> Option<Vec<SiteId>> {
        match self.link {
            Some(link) => Some(if self.sees(link) { vec![link] } else { Vec::new() }),
            None => self.sites.as_ref().map(|sites| sites.to_vec()),
        }
    }

    /// Whether the request may know of a site.
    #[must_use]
    pub fn sees(&self, site: SiteId) -> bool {
        self.sites.as_ref().is_none_or(|sites| sites.contains(&site))
            && self.link.is_none_or(|only| only == site)
    }
}

/// Marks a request that its token's rate limit has counted.
struct Counted;

/// Finds what a request may do, and counts it for the rate limit of its token.
///
/// # Errors
/// 401 without a known token or a valid session, 403 if a request with a session is not of the dashboard, 429 if its token
/// makes too many requests.
pub async fn access(state: &State, request: &HttpRequest) -> Result<Access, ApiError> {
    let access = allowed(state, request).await?;
    // Some endpoints ask several times.
    if !request.extensions().contains::<Counted>() {
        state.token_rates.check(access.token, access.rate_per_s)?;
        request.extensions_mut().insert(Counted);
    }
    Ok(access)
}

async fn allowed(state: &State, request: &HttpRequest) -> Result<Access, ApiError> {
    if let Some(header) = request.headers().get(header::AUTHORIZATION) {
        let secret = header
            .to_str()
            .ok()
            .and_then(|header| header.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, secret)| secret.trim())
            .ok_or_else(ApiError::no_token)?;
        return by_token(state, secret).await;
    }
    let text = cookie(request).ok_or_else(ApiError::no_token)?;
    let is_reading = [Method::GET, Method::HEAD].contains(request.method());
    if !is_reading && !request.headers().contains_key(OWN_PAGE) {
        return Err(ApiError::foreign_page(OWN_PAGE));
    }
    granted(state, text).await
}

/// Finds what the secret of a token allows.
async fn by_token(state: &State, secret: &str) -> Result<Access, ApiError> {
    let found = |token: &Token| Access {
        token: token.id,
        scope: token.scope,
        sites: token.sites.clone(),
        link: None,
        until_s: None,
        rate_per_s: token.rate_per_s,
    };
    let found = state.directory.find(|directory| directory.token(secret).map(found)).await;
    found.ok_or_else(ApiError::wrong_token)
}

/// Finds what a token or a grant allows, for requests that carry either as a key.
///
/// # Errors
/// 401 if it is unknown, or has expired, 429 if its token makes too many requests.
pub(super) async fn by_secret(state: &State, secret: &str) -> Result<Access, ApiError> {
    let access =
        if Grant::is_like(secret) { granted(state, secret).await } else { by_token(state, secret).await }?;
    state.token_rates.check(access.token, access.rate_per_s)?;
    Ok(access)
}

/// Finds what a grant allows.
///
/// # Errors
/// 401 if it has expired, or its token is revoked.
pub(super) async fn granted(state: &State, text: &str) -> Result<Access, ApiError> {
    let now_s = now_ms() / 1_000;
    let found =
        state.directory.find(|directory| match Grant::verify(text, now_s, |id| directory.token_by_id(id)) {
            Err(Void::Unknown) => None,
            Err(Void::Expired) => Some(Err(Void::Expired)),
            Ok(grant) => {
                let token = directory.token_by_id(grant.token)?;
                Some(Ok((grant, token.scope, token.sites.clone(), token.rate_per_s)))
            }
        });
    match found.await {
        Some(Ok((grant, scope, sites, rate_per_s))) => Ok(Access {
            token: grant.token,
            scope: if grant.site.is_some() { Scope::Read } else { scope },
            sites,
            link: grant.site,
            until_s: Some(grant.until_s),
            rate_per_s,
        }),
        Some(Err(_)) => Err(ApiError::session_over("it has expired")),
        None => Err(ApiError::session_over("its token was revoked, or it is not of this server")),
    }
}

/// Returns the session's cookie.
fn cookie(request: &HttpRequest) -> Option<&str> {
    let headers = request.headers().get_all(header::COOKIE).filter_map(|header| header.to_str().ok());
    headers
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE && !value.is_empty()).then_some(value))
}

/// Checks that the request has the scope `needed`, and is not made with a link.
///
/// # Errors
/// As [`access`], and 403 if the scope is too small or the request is made with a link.
pub async fn require(state: &State, request: &HttpRequest, needed: Scope) -> Result<Access, ApiError> {
    let access = access(state, request).await?;
    if access.link.is_some() {
        return Err(ApiError::one_site());
    }
    if access.scope < needed { Err(ApiError::scope(needed.name())) } else { Ok(access) }
}

/// Checks that the request has the scope `needed` of all sites.
///
/// # Errors
/// As [`require`], and 403 if the token is limited to sites.
pub async fn require_all(state: &State, request: &HttpRequest, needed: Scope) -> Result<Access, ApiError> {
    let access = require(state, request, needed).await?;
    if access.sites.is_some() { Err(ApiError::limited()) } else { Ok(access) }
}

/// Returns the name of the caller's token, as others see it. Empty if the token was just revoked.
pub fn caller_name(state: &State, access: &Access) -> String {
    let directory = state.directory.current();
    directory.token_by_id(access.token).map(|token| shown_name(&token.name).to_owned()).unwrap_or_default()
}

/// Finds a site by name or id, for a request that may read it.
///
/// # Errors
/// As [`access`], and 404 if the site does not exist or the token is limited to others. With a link, 403 for every other
/// name.
pub async fn site(state: &State, request: &HttpRequest, name: &str) -> Result<Arc<Site>, ApiError> {
    let access = access(state, request).await?;
    seen_site(state, &access, name).await
}

/// Finds a site by name or id, for a caller that sends the secret of a token in its body.
///
/// # Errors
/// As [`site`].
pub(super) async fn site_by_secret(state: &State, secret: &str, name: &str) -> Result<Arc<Site>, ApiError> {
    let access = by_token(state, secret).await?;
    state.token_rates.check(access.token, access.rate_per_s)?;
    seen_site(state, &access, name).await
}

async fn seen_site(state: &State, access: &Access, name: &str) -> Result<Arc<Site>, ApiError> {
    // A site that the request may not know of is looked up again like a missing one, so that the time tells nothing.
    let seen = |directory: &Snapshot| directory.by_name(name).filter(|site| access.sees(site.id)).cloned();
    let missing = || match access.link {
        Some(_) => ApiError::one_site(),
        None => ApiError::no_site(name),
    };
    state.directory.find(seen).await.ok_or_else(missing)
}
