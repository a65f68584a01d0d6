//! Errors of all endpoints: a status and `{"error":{"code","message","hint"}}`.

use crate::administration::AdministrationError;
use crate::http::body::BodyError;
use crate::intake::RefusedBody;
use crate::outcome::{Invalid, Outcome};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use fieldvitals_store::{AppliedBudgets, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// Details of an error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// Stable name of the error, for programs.
    pub code: String,
    /// Description of the error, for people.
    pub message: String,
    /// Advice to fix the error.
    pub hint: String,
}

/// An error of an endpoint.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    code: String,
    message: String,
    hint: String,
    /// Seconds in `Retry-After`; `None` for those of the kind.
    retry_after_s: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, code: &str, message: impl Into<String>, hint: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            hint: hint.to_owned(),
            retry_after_s: None,
        }
    }

    /// Return `400 Bad Request`: invalid parameter.
    pub fn parameter(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "parameter",
            message,
            "See /api/v1/openapi.json for the parameters.",
        )
    }

    /// Return `400 Bad Request`: invalid budget file.
    pub fn budget(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "budget_invalid", message, vitals::budget::FORMAT)
    }

    /// Return `409 Conflict`: somebody has changed the budgets meanwhile.
    pub fn budgets_changed(replaced: i64, newest: &AppliedBudgets) -> Self {
        let AppliedBudgets { version, applied_by, .. } = newest;
        Self::new(
            StatusCode::CONFLICT,
            "budgets_changed",
            format!(
                "the file was made from version {replaced}, and version {version}, by {applied_by}, is the newest by now"
            ),
            "Read the newest version, and make the change in it.",
        )
    }

    /// Return `409 Conflict`: a verdict that halts a rollout.
    pub fn halted(verdict: &str, why: &str) -> Self {
        let hint = "POST the same question without `/flagger`, or `fieldvitals check`, shows the evidence.";
        Self::new(StatusCode::CONFLICT, verdict, why, hint)
    }

    /// Return `400 Bad Request`: wrong limits.
    pub fn thresholds(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "thresholds_invalid",
            message,
            "The body is JSON: {\"api_p95_ms\":{\"warning\":200,\"critical\":1000}}. Checks that it leaves out have their \
             defaults.",
        )
    }

    /// Return `409 Conflict`: the limits are in a file of the operator.
    pub fn thresholds_in_file() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "thresholds_in_file",
            "the thresholds of this server are in the file of --thresholds",
            "Edit that file and start the server again, or start it without --thresholds.",
        )
    }

    /// Return `409 Conflict`: the retention is in the options of this server.
    pub fn retention_in_options() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "retention_in_options",
            "the retention of this server is in its options",
            "Change --keep-views-days, --keep-hours-days and --keep-rollups-days (or their variables or file), or start the \
             server without them.",
        )
    }

    /// Return `500 Internal Server Error`: the limits cannot be written.
    pub fn thresholds_unwritten(error: &std::io::Error) -> Self {
        tracing::error!(%error, "the thresholds cannot be written to the data folder");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "thresholds_unwritten",
            "the thresholds cannot be kept, and stay as they were",
            "See the server's log; free some space on the disk of the data folder.",
        )
    }

    /// Return `401 Unauthorized`: no token.
    pub fn no_token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "token_missing",
            "this request needs an API token",
            "Send the header `Authorization: Bearer TOKEN`; `fieldvitals token add NAME --scope read` makes one.",
        )
    }

    /// Return `401 Unauthorized`: no key in a request of the CrUX API.
    pub fn no_key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "token_missing",
            "this request needs an API key",
            "Add `?key=TOKEN` to the address, or send the header `X-Goog-Api-Key: TOKEN`; `fieldvitals token add NAME --scope read` \
             makes one.",
        )
    }

    /// Return `404 Not Found`: no record for a request of the CrUX API.
    pub fn no_record(why: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "record_none",
            why,
            "`fieldvitals site list` shows the sites and their origins.",
        )
    }

    /// Return `404 Not Found`: the server has no key of Google's CrUX API.
    pub fn no_crux() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "crux_off",
            "this server does not ask Google's CrUX API: it has no key",
            "Start it with --crux-key-file FILE, or with FIELDVITALS_CRUX_KEY; see docs/crux.md.",
        )
    }

    /// Return `401 Unauthorized`: unknown token.
    pub fn wrong_token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "token_unknown",
            "the API token is not known; it may have been revoked",
            "`fieldvitals token add NAME --scope read` makes a new one.",
        )
    }

    /// Return `401 Unauthorized`: the session or link is over.
    pub fn session_over(why: &str) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "session_over",
            format!("this session or link is over: {why}"),
            "Sign in again, or ask for a new link.",
        )
    }

    /// Return `401 Unauthorized`: wrong password.
    pub fn wrong_password() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "password_wrong",
            "that is not the server's password",
            "`fieldvitals password set` sets a new one.",
        )
    }

    /// Return `401 Unauthorized`: the server has no password.
    pub fn no_password() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "password_none",
            "this server has no password",
            "Sign in with a token, or set a password with `fieldvitals password set`.",
        )
    }

    /// Return `429 Too Many Requests`: too many sign-ins of a network.
    pub fn sign_ins() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "sign_ins",
            "too many sign-ins from this network",
            "Try again in a minute. If the network is that of a proxy, give its address to the server with \
             --trusted-proxy.",
        )
    }

    /// Return `429 Too Many Requests`: the token makes more requests than it may.
    pub fn token_rate(rate_per_s: u32, retry_after_s: u64) -> Self {
        let requests = if rate_per_s == 1 { "request" } else { "requests" };
        let refused = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "token_rate",
            format!("the token makes more than {rate_per_s} {requests} a second"),
            "Try again after the time in Retry-After. `fieldvitals token add NAME --rate N` makes a token with another rate.",
        );
        Self { retry_after_s: Some(retry_after_s), ..refused }
    }

    /// Return `403 Forbidden`: a request with a cookie that may come from a page of another origin.
    pub fn foreign_page(header: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "foreign_page",
            format!("requests with a session need the header `{header}`"),
            "Programs send a token instead: `Authorization: Bearer TOKEN`.",
        )
    }

    /// Return `403 Forbidden`: the link is of one site.
    pub fn one_site() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "one_site",
            "this link reads one site only",
            "Sign in with a token or the password for more.",
        )
    }

    /// Return `403 Forbidden`: the token lacks the scope.
    pub fn scope(needed: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "token_scope",
            format!("the API token does not allow this; it needs the scope `{needed}`"),
            "`fieldvitals token add NAME --scope SCOPE` makes one.",
        )
    }

    /// Return `403 Forbidden`: the token is limited to sites.
    pub fn limited() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "token_limited",
            "the API token is limited to some sites, and this concerns all of them",
            "`fieldvitals token add NAME --scope SCOPE` without --site makes a token for all sites.",
        )
    }

    /// Return `404 Not Found`: unknown token to revoke.
    pub fn no_such_token() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no_token",
            "there is no such token",
            "GET /api/v1/tokens, or `fieldvitals token list`, lists the tokens with their ids.",
        )
    }

    /// Return `500 Internal Server Error`: a request ended by a fault of the server.
    pub fn broken() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "broken",
            "the request ended by a fault of the server",
            "See the server's log.",
        )
    }

    /// Return `404 Not Found`: unknown site.
    pub fn no_site(name: &str) -> Self {
        let shown: String = name.chars().take(64).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            "site_unknown",
            format!("there is no site `{shown}`"),
            "GET /api/v1/sites lists the sites; `--site NAME` of the commands names one.",
        )
    }

    /// Return `404 Not Found`: unknown alert, or one that has ended.
    pub fn no_violation(id: i64) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "violation_unknown",
            format!("there is no open violation {id} of this site"),
            "GET /api/v1/sites/{site}/violations lists the open ones.",
        )
    }

    /// No open alert has this id.
    #[must_use]
    pub fn no_alert(id: i64) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "alert_unknown",
            format!("there is no open alert {id} of this site"),
            "GET /api/v1/sites/{site}/alerts, or `fieldvitals alert list`, lists the open ones.",
        )
    }

    /// Return `404 Not Found`: unknown channel.
    pub fn no_channel(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "channel_unknown",
            message,
            "GET /api/v1/channels, or `fieldvitals alert channels`, lists the channels; the file of --alerts has them.",
        )
    }

    /// Return `422 Unprocessable Entity`: a test notice was not delivered.
    pub fn undelivered(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "undelivered",
            message,
            "Check the channel in the file of --alerts, and its receiver; a restart of the server reads the file again.",
        )
    }

    /// Return `404 Not Found`: unknown path.
    pub fn no_path(path: &str) -> Self {
        let shown: String = path.chars().take(128).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is nothing at {shown}"),
            "See /api/v1/openapi.json for the API.",
        )
    }

    /// Return `404 Not Found`: the collector's module was not built into this server.
    pub fn no_collector() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "collector_missing",
            "this server was built without the collector's wasm module; v.js measures in raw-queue mode",
            "Build with `cargo xtask dist`, or run `cargo xtask serve`.",
        )
    }

    /// Return `503 Service Unavailable`: the server has not opened its store yet.
    pub fn starting() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "starting",
            "the server is starting: it opens its store, or waits for its database",
            "Try again after the time in Retry-After; the server's log says what it waits for.",
        )
    }

    /// Return `503 Service Unavailable`: the store is unreachable.
    pub fn store_away() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_away",
            "the store cannot be reached now; beacons are taken all the same",
            "Try again after the time in Retry-After.",
        )
    }

    /// Return `503 Service Unavailable`: the queue of questions is full.
    pub fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "too many questions are being answered now; beacons are taken all the same",
            "Try again after the time in Retry-After; `questions` of /api/v1/status counts them.",
        )
    }

    /// Return `500 Internal Server Error`: the answer cannot be written as JSON.
    pub fn unwritable(error: &serde_json::Error) -> Self {
        tracing::error!(%error, "an answer cannot be written as JSON");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "answer",
            "the answer cannot be written",
            "See the server's log.",
        )
    }

    /// Return `404 Not Found`: the demo's site does not allow this server's origin.
    pub fn demo_off(site: &str, origin: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "demo_off",
            format!("the demo is off: its visits go to site `{site}`, which takes no beacons from {origin}"),
            &format!("`fieldvitals site update {site} --origin {origin} --origin …` allows it."),
        )
    }

    /// Return `405 Method Not Allowed`.
    pub fn method(method: &str, allowed: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            format!("{method} is not taken here"),
            &format!("Use {allowed}."),
        )
    }

    /// The stable name of the error.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The advice to fix the error.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// The time until a retry may succeed, in seconds. A queue of questions is shorter than the outage of a store.
    fn retry_after_s(&self) -> u64 {
        self.retry_after_s.unwrap_or(if self.code == "busy" { 1 } else { 5 })
    }

    /// Returns the error for an unreadable body of an API request.
    pub fn body(error: BodyError) -> Self {
        let refused = invalid_body(error);
        Self::new(status_of(refused), refused.name(), message_of(error), refused.hint())
    }
}

/// Returns the outcome of a beacon with an unreadable body.
#[must_use]
pub fn invalid_body(error: BodyError) -> Invalid {
    match error {
        BodyError::TooLarge => Invalid::TooLarge,
        BodyError::Timeout => Invalid::Timeout,
        BodyError::Encoding => Invalid::Encoding,
        BodyError::Aborted => Invalid::Aborted,
    }
}

/// Returns the message for an unreadable body.
#[must_use]
pub fn message_of(error: BodyError) -> &'static str {
    match error {
        BodyError::TooLarge => "the body is larger than is taken here",
        BodyError::Timeout => "the body did not arrive in time",
        BodyError::Encoding => "a compressed body is not taken",
        BodyError::Aborted => "the body broke off",
    }
}

/// Chooses the status of a refused body, such as 413 for one over the limit.
fn status_of(reason: Invalid) -> StatusCode {
    match reason {
        Invalid::Malformed | Invalid::NotUtf8 | Invalid::Version | Invalid::Value | Invalid::Aborted => {
            StatusCode::BAD_REQUEST
        }
        Invalid::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Invalid::Timeout => StatusCode::REQUEST_TIMEOUT,
        Invalid::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Invalid::Method => StatusCode::METHOD_NOT_ALLOWED,
        Invalid::UnknownSite => StatusCode::NOT_FOUND,
        Invalid::Origin => StatusCode::FORBIDDEN,
    }
}

impl From<&RefusedBody> for ApiError {
    fn from(refused: &RefusedBody) -> Self {
        match refused.outcome {
            Outcome::Invalid(reason) => {
                Self::new(status_of(reason), reason.name(), refused.message.clone(), reason.hint())
            }
            Outcome::Filtered(reason) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                reason.name(),
                refused.message.clone(),
                reason.hint(),
            ),
            Outcome::RateLimited => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                refused.message.clone(),
                "Send less often; the server's owner can raise --client-rate. If the network is that of a proxy, give its \
                 address to the server with --trusted-proxy.",
            ),
            Outcome::Shed | Outcome::Accepted => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                refused.message.clone(),
                "Try again after the time in Retry-After.",
            ),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSuchSite => return Self::no_site(""),
            StoreError::NoSuchToken => return Self::no_such_token(),
            StoreError::SiteExists(_) => {
                return Self::new(
                    StatusCode::CONFLICT,
                    "site_exists",
                    error.to_string(),
                    "Choose another name.",
                );
            }
            StoreError::TooManyViews { .. } => {
                return Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "too_many_views",
                    error.to_string(),
                    "Ask for a shorter range or one route. One filter by a dimension, such as `device`, is answered from \
                     rollups, whatever the range.",
                );
            }
            _ => {}
        }
        // Logs the database's error for the server's owner, but does not send it to the client.
        tracing::error!(%error, "the store failed to answer");
        match error {
            StoreError::TooSlow { answered: true, .. } => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "too_slow",
                "the database did not answer this question within the time that it may take",
                "Ask for less: a shorter range, fewer metrics (`metrics=`), one route, one filter at a time. Where small \
                 questions take as long, the database is busy; its server's log says with what.",
            ),
            StoreError::Database { transient: true, .. }
            | StoreError::TooSlow { .. }
            | StoreError::Node { .. } => Self::store_away(),
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "store",
                "the store could not answer",
                "See the server's log.",
            ),
        }
    }
}

impl From<AdministrationError> for ApiError {
    fn from(error: AdministrationError) -> Self {
        match error {
            AdministrationError::Invalid(message) => Self::parameter(message),
            AdministrationError::TokenExists { .. } => Self::new(
                StatusCode::CONFLICT,
                "token_exists",
                error.to_string(),
                "Choose another name, or revoke that token first with `fieldvitals token revoke ID`.",
            ),
            AdministrationError::Store(error) => error.into(),
            AdministrationError::Random(_) => {
                tracing::error!(%error, "a key or token cannot be made");
                Self::broken()
            }
            AdministrationError::Unrecorded(_) => {
                tracing::error!(%error, "a change is not in the audit log");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "unrecorded",
                    "the change took place, but its entry in the audit log could not be written",
                    "Look at the settings before you try again.",
                )
            }
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.insert_header((header::RETRY_AFTER, self.retry_after_s()));
        }
        response.json(ErrorBody {
            error: ErrorDetail {
                code: self.code.clone(),
                message: self.message.clone(),
                hint: self.hint.clone(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_took_too_long_is_told_from_a_store_that_is_away() {
        let slow = |answered| StoreError::TooSlow { what: "reading", reason: "57014".to_owned(), answered };
        let away = StoreError::Database { what: "reading", reason: "away".to_owned(), transient: true };
        let told = |error: StoreError| {
            let error = ApiError::from(error);
            (error.status.as_u16(), error.code, error.hint)
        };
        let (status, code, hint) = told(slow(true));
        assert_eq!((status, code.as_str()), (504, "too_slow"));
        assert!(hint.contains("a shorter range, fewer metrics"), "{hint}");
        let node = StoreError::Node { what: "reading", reason: "08006".to_owned() };
        for error in [slow(false), away, node] {
            let (status, code, _) = told(error);
            assert_eq!((status, code.as_str()), (503, "store_away"));
        }
    }
}
