//! API tokens: lists, adds and revokes them.

use crate::directory::Snapshot;
use crate::http::api::settings::{Change, SettingsBody, read, to_its_end};
use crate::http::api::{Answer, json};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::{State, auth};
use crate::password::shown_name;
use crate::report::time_text;
use actix_web::{HttpRequest, HttpResponse, web};
use fieldvitals_store::{Scope, SiteId, Token, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenReport {
    id: i64,
    /// A name for people; `password` for the password of the dashboard.
    name: String,
    /// `read`, `write` or `admin`.
    scope: &'static str,
    /// The sites that it is limited to, a deleted one as `#ID`; absent for all sites.
    sites: Option<Vec<String>>,
    created: String,
    /// Requests a second; absent for the default, 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    /// The secret, in the answer that adds the token and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenReport {
    fn new(token: &Token, directory: &Snapshot) -> Self {
        let name = |id: &SiteId| {
            let site = directory.sites().iter().find(|site| site.id == *id);
            site.map_or_else(|| format!("#{}", id.0), |site| site.name.clone())
        };
        Self {
            id: token.id.0,
            name: shown_name(&token.name).to_owned(),
            scope: token.scope.name(),
            sites: token.sites.as_ref().map(|sites| sites.iter().map(name).collect()),
            created: time_text(token.created_ms),
            rate: token.rate_per_s,
            token: None,
        }
    }
}

/// All tokens.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokensReport {
    /// Oldest first.
    tokens: Vec<TokenReport>,
}

/// A new token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    /// A name for people, which no other token has.
    name: String,
    /// `read`, `write` or `admin`.
    #[schema(value_type = String)]
    scope: Scope,
    /// Names or ids of sites that the token is limited to; absent for all sites.
    sites: Option<Vec<String>>,
    /// Requests a second, with bursts of ten times as many; 100 when absent.
    #[schema(minimum = 1, maximum = 100_000)]
    rate: Option<u32>,
}

/// The tokens of this server. Needs the scope `admin` of all sites.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "settings", security(("token" = [])),
    responses((status = 200, body = TokensReport), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub async fn tokens(state: web::Data<State>, request: HttpRequest) -> Answer {
    auth::require_all(&state, &request, Scope::Admin).await?;
    let directory = state.directory.current();
    let mut tokens: Vec<&Token> = directory.tokens().collect();
    tokens.sort_by_key(|token| (token.created_ms, token.id));
    let tokens = tokens.into_iter().map(|token| TokenReport::new(token, &directory)).collect();
    Ok(json(TokensReport { tokens }))
}

/// Adds a token. Its secret is in this answer and nowhere else. Needs the scope `admin` of all sites.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "settings", security(("token" = [])), request_body(content = TokenBody),
    responses((status = 200, body = TokenReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, description = "A site does not exist", body = ErrorBody), (status = 409, description = "Another token has the name (`token_exists`)", body = ErrorBody)))]
pub async fn add(state: web::Data<State>, request: HttpRequest, body: SettingsBody) -> Answer {
    let access = auth::require_all(&state, &request, Scope::Admin).await?;
    let TokenBody { name, scope, sites, rate } = read(body)?;
    // An empty list is refused below: it must not become a token of all sites.
    let mut limited = sites.as_ref().map(|_| Vec::new());
    for site in sites.into_iter().flatten() {
        let id = auth::site(&state, &request, &site).await?.id;
        limited.get_or_insert_with(Vec::new).push(id);
    }
    let change = Change::new(&state, &access)?;
    let add = async move { change.administration().token_add(&name, scope, limited, rate).await };
    let (token, secret) = to_its_end(&state, add).await?;
    let report = TokenReport::new(&token, &state.directory.current());
    Ok(json(TokenReport { token: Some(secret), ..report }))
}

/// Revokes a token, with its sessions and links. Needs the scope `admin` of all sites.
#[utoipa::path(delete, path = "/api/v1/tokens/{token}", tag = "settings", security(("token" = [])),
    params(("token" = String, Path, description = "The token's id")),
    responses((status = 204, description = "Revoked"), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, description = "There is no such token (`no_token`)", body = ErrorBody)))]
pub async fn revoke(state: web::Data<State>, request: HttpRequest, id: web::Path<String>) -> Answer {
    let access = auth::require_all(&state, &request, Scope::Admin).await?;
    let id = id.parse().map(TokenId).map_err(|_| ApiError::no_such_token())?;
    let change = Change::new(&state, &access)?;
    to_its_end(&state, async move { change.administration().token_revoke(id).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}
