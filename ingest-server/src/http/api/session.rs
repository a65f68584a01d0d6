//! The dashboard's session: a cookie that is a grant.

use crate::clock::now_ms;
use crate::grant::Grant;
use crate::http::State;
use crate::http::api::{Answer, json};
use crate::http::auth::{self, COOKIE, OWN_PAGE};
use crate::http::body::Body;
use crate::http::error::{ApiError, ErrorBody};
use crate::limits;
use crate::password::is_password;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use fieldvitals_store::TokenId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One way to sign in.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SignIn {
    /// An API token.
    Token(String),
    /// The server's password (`fieldvitals password set`).
    Password(String),
    /// A read-only link: the part of its URL after `#link=`.
    Link(String),
}

/// The ways to sign in.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionReport {
    /// Whether the server has a password.
    password: bool,
}

/// The ways to sign in. Needs no authorization.
#[utoipa::path(get, path = "/api/v1/session", tag = "read", responses((status = 200, body = SessionReport)))]
pub async fn ways(state: web::Data<State>) -> Answer {
    let directory = state.directory.current();
    Ok(json(SessionReport { password: directory.tokens().any(is_password) }))
}

/// Signs in to the dashboard: sets a cookie that scripts cannot read (`HttpOnly`, `SameSite=Strict`). The header
/// `Fieldvitals-Dashboard` is required, which pages of other origins cannot send.
#[utoipa::path(post, path = "/api/v1/session", tag = "read", request_body(content = SignIn),
    responses((status = 204, description = "Signed in"), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 429, description = "Too many attempts of the client's network (`sign_ins`)", body = ErrorBody)))]
pub async fn sign_in(
    state: web::Data<State>,
    request: HttpRequest,
    body: Body<{ limits::SIGN_IN_BYTES_MAX }>,
) -> Answer {
    own_page(&request)?;
    state.sign_ins.attempt(&state.client_rate, &request)?;
    let body = body.0.map_err(ApiError::body)?;
    let sign_in = serde_json::from_slice(&body).map_err(|_| {
        ApiError::parameter("the body is not one of {\"token\"}, {\"password\"} and {\"link\"}")
    })?;
    let now_s = now_ms() / 1_000;
    let text = match sign_in {
        SignIn::Link(text) => {
            auth::granted(&state, &text).await?;
            text
        }
        SignIn::Token(secret) => {
            let id = state.directory.find(|directory| Some(directory.token(&secret)?.id)).await;
            session(&state, id.ok_or_else(ApiError::wrong_token)?, now_s)?
        }
        SignIn::Password(password) => session(&state, by_password(&state, password).await?, now_s)?,
    };
    Ok(HttpResponse::NoContent()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::SET_COOKIE, cookie(&state, &request, &text, limits::SESSION_DAYS * 86_400)))
        .finish())
}

/// Signs out: removes the cookie.
#[utoipa::path(delete, path = "/api/v1/session", tag = "read",
    responses((status = 204, description = "Signed out"), (status = 403, body = ErrorBody)))]
pub async fn sign_out(state: web::Data<State>, request: HttpRequest) -> Answer {
    own_page(&request)?;
    Ok(HttpResponse::NoContent()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::SET_COOKIE, cookie(&state, &request, "", 0)))
        .finish())
}

fn own_page(request: &HttpRequest) -> Result<(), ApiError> {
    if request.headers().contains_key(OWN_PAGE) { Ok(()) } else { Err(ApiError::foreign_page(OWN_PAGE)) }
}

/// Finds the token of the server's password.
async fn by_password(state: &State, password: String) -> Result<TokenId, ApiError> {
    let directory = state.directory.current();
    let token = directory.tokens().find(|token| is_password(token)).ok_or_else(ApiError::no_password)?;
    if state.sign_ins.is_password(token.clone(), password).await? {
        Ok(token.id)
    } else {
        Err(ApiError::wrong_password())
    }
}

/// Signs a session of a token.
fn session(state: &State, id: TokenId, now_s: i64) -> Result<String, ApiError> {
    let directory = state.directory.current();
    let token = directory.token_by_id(id).ok_or_else(ApiError::wrong_token)?;
    let until_s = now_s + limits::SESSION_DAYS * 86_400;
    Ok(Grant { token: id, site: None, until_s }.sign(token))
}

/// Returns the header that sets the cookie. Browsers send a `Secure` cookie over https only, so http servers set none.
fn cookie(state: &State, request: &HttpRequest, text: &str, max_age_s: i64) -> String {
    let is_secure = state.tls.is_some() || request.connection_info().scheme() == "https";
    let secure = if is_secure { "; Secure" } else { "" };
    // A first-party path shares its host with the site's own pages, which have no use for the cookie.
    let path = state.base_path.folder();
    format!("{COOKIE}={text}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}")
}
