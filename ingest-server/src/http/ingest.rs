//! The ingest endpoints, of our collector and of other libraries: receive beacons and answer with their outcome.

use crate::clock::now_ms;
use crate::directory::Snapshot;
use crate::http::State;
use crate::http::body::{BeaconBody, Body, BodyError};
use crate::http::error::{ApiError, ErrorBody, invalid_body, message_of};
use crate::http::measure::Measured;
use crate::intake::browser::{self, Sender};
use crate::intake::foreign::Query;
use crate::intake::{self, Accepted, RefusedBody, Request, origin, scrub};
use crate::outcome::{Filtered, Invalid, Outcome};
use crate::spool::{AppendError, SpoolBeacon};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};
use fieldvitals_store::Network;
use ipnet::IpNet;
use std::pin::Pin;
use std::task::{Context, Poll};
use vitals::beacon::{Dropped, Field};
use vitals::limits;

/// Accepts a beacon of the collector.
///
/// `204` confirms that the beacon is on disk. The body is JSON (docs/wire-format.md), as `text/plain`, so that
/// browsers send no preflight, or as `application/json`. The server removes and counts unusable fields
/// (`dropped_fields` of `/api/v1/status`). With `Sec-GPC: 1` or `DNT: 1` it keeps no attribution, tags or marks.
#[utoipa::path(
    post, path = "/v1/beacon", tag = "ingest",
    request_body(content = String, content_type = "text/plain", description = "A beacon, wire format v1"),
    responses(
        (status = 204, description = "Taken, durably"),
        (status = 400, description = "Not JSON, not UTF-8, of an unknown version, or without a value that can be kept", body = super::error::ErrorBody),
        (status = 403, description = "The page's origin is not allowed", body = super::error::ErrorBody),
        (status = 404, description = "No site has this key", body = super::error::ErrorBody),
        (status = 408, description = "The body stopped for longer than the timeout", body = super::error::ErrorBody),
        (status = 413, description = "Over 64 KiB", body = super::error::ErrorBody),
        (status = 415, description = "With a content encoding", body = super::error::ErrorBody),
        (status = 422, description = "The view starts too far from the server's clock (`clock`, `late`), or a program makes the visit (`bot`)", body = super::error::ErrorBody),
        (status = 429, description = "More than one client network may send; the message names it", body = super::error::ErrorBody),
        (status = 503, description = "Overloaded, the spool cannot be written, or the server is starting; the message says which. Try again", body = super::error::ErrorBody),
    )
)]
pub async fn beacon(state: web::Data<State>, request: HttpRequest, body: BeaconBody) -> HttpResponse {
    take(state, &request, body, Format::Own).await
}

/// Accepts metrics of the web-vitals library.
///
/// The body is one metric object of the library, or an array of them. The server removes and counts unusable metrics,
/// such as a framework's own metrics (`dropped_fields` of `/api/v1/status`).
#[utoipa::path(
    post, path = "/v1/web-vitals", tag = "ingest",
    params(
        ("site" = String, Query, description = "The site's key"),
        ("url" = Option<String>, Query, description = "The page's URL, where the body has no `url`"),
        ("pageview" = Option<String>, Query, description = "Joins the metrics of one page load; best `${Math.round(performance.timeOrigin)}-${random}`"),
        ("release" = Option<String>, Query, description = "The release of the page"),
        ("device" = Option<String>, Query, description = "phone, tablet or desktop"),
        ("connection" = Option<String>, Query, description = "The effective connection type"),
    ),
    request_body(content = String, content_type = "text/plain", description = "A metric object, or an array of them"),
    responses(
        (status = 204, description = "Taken, durably"),
        (status = 400, description = "Not JSON, or without a metric that can be kept", body = super::error::ErrorBody),
        (status = 403, description = "The page's origin is not allowed", body = super::error::ErrorBody),
        (status = 404, description = "No site has this key", body = super::error::ErrorBody),
        (status = 408, description = "The body stopped for longer than the timeout", body = super::error::ErrorBody),
        (status = 413, description = "Over 64 KiB", body = super::error::ErrorBody),
        (status = 415, description = "With a content encoding", body = super::error::ErrorBody),
        (status = 422, description = "The view starts too far from the server's clock (`clock`, `late`), or a program makes the visit (`bot`)", body = super::error::ErrorBody),
        (status = 429, description = "More than one client network may send; the message names it", body = super::error::ErrorBody),
        (status = 503, description = "Overloaded, the spool cannot be written, or the server is starting; the message says which. Try again", body = super::error::ErrorBody),
    )
)]
pub async fn web_vitals(state: web::Data<State>, request: HttpRequest, body: BeaconBody) -> HttpResponse {
    take(state, &request, body, Format::Foreign(Library::WebVitals, query(&request))).await
}

/// Accepts the bodies of Grafana Faro; keeps their web vitals.
///
/// Set `url` of Faro to this path, or to `/collect` with the site's key as `apiKey`. Other measurements, events, logs,
/// exceptions and traces are not kept. See docs/formats.md.
#[utoipa::path(
    post, path = "/collect/{key}", tag = "ingest",
    params(("key" = String, Path, description = "The site's key"), Query),
    request_body(content = serde_json::Value, description = "Faro's `TransportBody`"),
    responses(
        (status = 202, description = "Taken, durably; or without a web vital"),
        Refusals,
    )
)]
pub async fn faro(state: web::Data<State>, request: HttpRequest, body: BeaconBody) -> HttpResponse {
    let query = query(&request).map(|query| {
        let in_path = request.match_info().get("key").map(str::to_owned);
        Query { site: in_path.or(query.site).or_else(|| key_in_header(&request)), ..query }
    });
    take(state, &request, body, Format::Foreign(Library::Faro, query)).await
}

/// Accepts OpenTelemetry logs, OTLP/HTTP in JSON; keeps events of the name `browser.web_vital`.
///
/// The key is in the query, or in the header `x-api-key`. Each event needs the attribute `url.full`, or its resource.
/// Other logs are not kept. See docs/formats.md.
#[utoipa::path(
    post, path = "/v1/logs", tag = "ingest",
    params(Query),
    request_body(content = serde_json::Value, description = "An `ExportLogsServiceRequest`"),
    responses(
        (status = 200, description = "Taken, durably; or without a web vital. `partialSuccess` counts events that could not be kept", body = serde_json::Value),
        Refusals,
    )
)]
pub async fn otlp(state: web::Data<State>, request: HttpRequest, body: BeaconBody) -> HttpResponse {
    let query =
        query(&request).map(|query| Query { site: query.site.or_else(|| key_in_header(&request)), ..query });
    take(state, &request, body, Format::Foreign(Library::Otlp, query)).await
}

/// Accepts messages of Umami: performance messages, and events with a metric of the web-vitals library.
///
/// `payload.website` is the site's key. Page views and other events are not kept. See docs/formats.md.
#[utoipa::path(
    post, path = "/api/send", tag = "ingest",
    params(Query),
    request_body(content = serde_json::Value, description = "`{\"type\", \"payload\"}`"),
    responses(
        (status = 200, description = "Taken, durably; or without a web vital", body = serde_json::Value),
        Refusals,
    )
)]
pub async fn umami(state: web::Data<State>, request: HttpRequest, body: BeaconBody) -> HttpResponse {
    take(state, &request, body, Format::Foreign(Library::Umami, query(&request))).await
}

/// Accepts beacons of boomerang as forms.
///
/// Beacons without a web vital, such as those of requests and clicks, are not kept. See docs/formats.md.
#[utoipa::path(
    post, path = "/v1/boomerang", tag = "ingest",
    params(Query),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "Boomerang's parameters"),
    responses(
        (status = 204, description = "Taken, durably; or without a web vital"),
        Refusals,
    )
)]
pub async fn boomerang(state: web::Data<State>, request: HttpRequest, body: BeaconBody) -> HttpResponse {
    take(state, &request, body, Format::Foreign(Library::Boomerang, query(&request))).await
}

/// Accepts beacons of boomerang as images: its parameters are in the query.
#[utoipa::path(
    get, path = "/v1/boomerang", tag = "ingest",
    params(Query),
    responses(
        (status = 204, description = "Taken, durably; or without a web vital"),
        Refusals,
    )
)]
pub async fn boomerang_image(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let parameters = request.query_string();
    let body = Body(match parameters.len() {
        0..=limits::BODY_BYTES_MAX => Ok(Bytes::copy_from_slice(parameters.as_bytes())),
        _ => Err(BodyError::TooLarge),
    });
    take(state, &request, body, Format::Foreign(Library::Boomerang, query(&request))).await
}

/// The answers of every endpoint for other libraries, beside its own success.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes the answers in OpenAPI")]
enum Refusals {
    /// Without a metric that can be kept; the message says why
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// The page's origin is not allowed
    #[response(status = 403)]
    Origin(ErrorBody),
    /// No site has this key
    #[response(status = 404)]
    UnknownSite(ErrorBody),
    /// The body stopped for longer than the timeout
    #[response(status = 408)]
    Timeout(ErrorBody),
    /// Over 64 KiB
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// With a content encoding
    #[response(status = 415)]
    Encoding(ErrorBody),
    /// The view starts too far from the server's clock (`clock`, `late`), or a program makes the visit (`bot`)
    #[response(status = 422)]
    Filtered(ErrorBody),
    /// More than one client network may send; the message names it
    #[response(status = 429)]
    RateLimited(ErrorBody),
    /// Overloaded, the spool cannot be written, or the server is starting; the message says which. Try again
    #[response(status = 503)]
    Shed(ErrorBody),
}

fn query(request: &HttpRequest) -> Result<Query, String> {
    let query = web::Query::<Query>::from_query(request.query_string());
    query.map(web::Query::into_inner).map_err(|error| error.to_string())
}

/// The header that names the site: Faro sends its `apiKey` in it.
static KEY: HeaderName = HeaderName::from_static("x-api-key");

fn key_in_header(request: &HttpRequest) -> Option<String> {
    request.headers().get(&KEY)?.to_str().ok().map(str::to_owned)
}

/// The headers that a page may send: those of Faro, of OpenTelemetry and of Umami, beside our own.
const ALLOWED_HEADERS: &str = "content-type, x-api-key, x-faro-session-id, idempotency-key, traceparent, tracestate, \
                               x-umami-cache, user-agent";

/// Answers a preflight. Browsers send one before a body of JSON; `sendBeacon` always asks for credentials.
///
/// A preflight can name its site only in the path or the query, because it has no body. Allows credentials to pages of an allowed
/// origin. Allows other pages to send without credentials, so that they can read the refusal.
pub async fn preflight(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "POST"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"))
        .finish();
    let mut with_credentials = false;
    if let Some(origin) = origin_of(&request) {
        let in_path = request.match_info().get("key").map(str::to_owned);
        let key = in_path.or_else(|| query(&request).ok()?.site);
        let taken = |directory: &Snapshot| takes_from(directory, &origin, key.as_deref()).then_some(());
        with_credentials = state.directory.find(taken).await.is_some();
        if !with_credentials {
            // The browser sends no beacon with credentials after this answer, so no other place would record the
            // refusal.
            let message =
                format!("pages of {origin} ask before they send (a preflight), and no site takes them");
            state.rejections.note(None, Invalid::Origin.name(), &origin, &message, now_ms());
        }
    }
    allow_reading(&mut response, &request, with_credentials);
    response
}

/// The `Origin` header.
fn origin_of(request: &HttpRequest) -> Option<String> {
    let origin = request.headers().get(header::ORIGIN)?.to_str().ok()?;
    Some(scrub::label(origin, limits::URL_BYTES_MAX).into_owned())
}

/// Returns whether the site of a key allows an origin; without a known key, whether any site does.
fn takes_from(directory: &Snapshot, origin: &str, key: Option<&str>) -> bool {
    match key.and_then(|key| directory.by_key(key, now_ms())) {
        Some(site) => origin::may_be_allowed(origin, &site.origins),
        None => directory.sites().iter().any(|site| origin::may_be_allowed(origin, &site.origins)),
    }
}

/// Lets the page read the answer. Browsers require the exact origin for requests with credentials. The server never
/// reads credentials here.
fn allow_reading(response: &mut HttpResponse, request: &HttpRequest, with_credentials: bool) {
    let origin = request.headers().get(header::ORIGIN).filter(|_| with_credentials).cloned();
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if origin.is_some() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    let origin = origin.unwrap_or_else(|| HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
}

/// Client hints: the browser's brands, and its system.
static BRANDS: HeaderName = HeaderName::from_static("sec-ch-ua");
static PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");
/// Global Privacy Control.
static GPC: HeaderName = HeaderName::from_static("sec-gpc");
/// The host that the browser asked, from a proxy that asks another one.
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Format of a body.
enum Format {
    /// A beacon of the fieldvitals collector.
    Own,
    /// Metrics of another library, with the parsed query or its error.
    Foreign(Library, Result<Query, String>),
}

/// A library whose metrics are accepted.
#[derive(Clone, Copy)]
enum Library {
    WebVitals,
    Faro,
    Otlp,
    Umami,
    Boomerang,
}

impl Format {
    fn decide(&self, request: &Request<'_>, directory: &Snapshot) -> Result<Accepted, RefusedBody> {
        let (library, query) = match self {
            Self::Own => return intake::own(request, directory),
            Self::Foreign(library, Ok(query)) => (library, query),
            Self::Foreign(_, Err(problem)) => {
                let message = format!("the query cannot be read: {problem}");
                return Err(RefusedBody::invalid(Invalid::Malformed, message));
            }
        };
        match library {
            Library::WebVitals => intake::web_vitals::take(request, directory, query),
            Library::Faro => intake::faro::take(request, directory, query),
            Library::Otlp => intake::otlp::take(request, directory, query),
            Library::Umami => intake::umami::take(request, directory, query),
            Library::Boomerang => intake::boomerang::take(request, directory, query),
        }
    }

    /// The answer that the library expects, for an accepted body or one without a metric. OTLP counts the events that were
    /// dropped. Umami's tracker parses JSON.
    fn success(&self, dropped: &Dropped) -> HttpResponse {
        match self {
            Self::Foreign(Library::Faro, _) => HttpResponse::Accepted().finish(),
            Self::Foreign(Library::Umami, _) => HttpResponse::Ok().json(serde_json::json!({})),
            Self::Foreign(Library::Otlp, _) => {
                let rejected = dropped.count(Field::Values);
                let partial = match dropped.problem() {
                    Some(problem) if rejected > 0 => {
                        serde_json::json!({"rejectedLogRecords": rejected.to_string(), "errorMessage": problem})
                    }
                    _ => serde_json::json!({}),
                };
                HttpResponse::Ok().json(serde_json::json!({"partialSuccess": partial}))
            }
            Self::Own | Self::Foreign(Library::WebVitals | Library::Boomerang, _) => {
                HttpResponse::NoContent().finish()
            }
        }
    }
}

/// The endpoint for boomerang, the only one that takes GET.
pub const BOOMERANG: &str = "/v1/boomerang";

async fn take(
    state: web::Data<State>,
    request: &HttpRequest,
    body: BeaconBody,
    format: Format,
) -> HttpResponse {
    let measured = Measured::beacon(&state);
    let origin = origin_of(request);
    let text = |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let sender = browser::sender(&browser::Agent {
        brands: text(&BRANDS),
        platform: text(&PLATFORM),
        user_agent: text(&header::USER_AGENT),
    });
    let left_alone =
        [&GPC, &header::DNT].into_iter().any(|name| text(name).is_some_and(|value| value.trim() == "1"));
    let country = state.country_header.country(request);
    // Each proxy appends its host.
    let forwarded = text(&FORWARDED_HOST).and_then(|hosts| hosts.split(',').next());
    let host = forwarded.or_else(|| text(&header::HOST)).map(|host| host.trim().to_owned());
    let limited = state.client_rate.check(request).err();
    let prefix = state.client_rate.prefix(request);
    let directory = state.directory.current();
    // actix drops this future when the client disconnects. The beacon must still be stored and counted.
    let taken = ToItsEnd::new(async move {
        state.outcomes.receive();
        let visitor = (origin, host, sender, left_alone, country);
        let taken = decide_and_keep(&state, body, visitor, (limited, prefix), &format).await;
        match taken {
            Ok(dropped) => {
                state.outcomes.count(Outcome::Accepted);
                Ok(format.success(&dropped))
            }
            // Libraries that measure more send many such bodies, which are neither errors nor worth a record.
            Err(refused) if refused.outcome == Outcome::Filtered(Filtered::NoMetric) => {
                state.outcomes.count(refused.outcome);
                Ok(format.success(&Dropped::default()))
            }
            Err(refused) => {
                refuse(&state, &refused);
                Err(refused)
            }
        }
    })
    .await;
    let (mut response, with_credentials) = match taken {
        // The site allows the origin.
        Ok(response) => (response, true),
        Err(refused) => {
            let takes = |origin: String| takes_from(&directory, &origin, None);
            (ApiError::from(&refused).error_response(), origin_of(request).is_some_and(takes))
        }
    };
    // A page of any origin may read why its beacon was refused.
    allow_reading(&mut response, request, with_credentials);
    measured.end(response.status().as_u16());
    response
}

/// A future that completes even if it is dropped: on drop it becomes a task. A task for every beacon would cost too
/// much.
struct ToItsEnd<F: Future + 'static>(Option<Pin<Box<F>>>)
where
    F::Output: 'static;

impl<F: Future + 'static> ToItsEnd<F> {
    fn new(future: F) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<F: Future + 'static> Future for ToItsEnd<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Moves the future out while polling, so that it is not polled again after a panic.
        let Some(mut future) = self.0.take() else { return Poll::Pending };
        let polled = future.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(future);
        }
        polled
    }
}

impl<F: Future + 'static> Drop for ToItsEnd<F> {
    fn drop(&mut self) {
        if let Some(future) = self.0.take() {
            actix_web::rt::spawn(future);
        }
    }
}

/// The headers of a beacon: `Origin`, the host, the browser, whether the visitor opts out, and the country.
type Visitor = (Option<String>, Option<String>, Sender, bool, Option<&'static str>);

async fn decide_and_keep(
    state: &State,
    body: BeaconBody,
    (origin, host, sender, left_alone, country): Visitor,
    (limited, prefix): (Option<IpNet>, u64),
    format: &Format,
) -> Result<Dropped, RefusedBody> {
    let because = |outcome, message: &str| {
        let mut refused = RefusedBody::new(outcome, message);
        refused.origin.clone_from(&origin);
        refused
    };
    if let Some(network) = limited {
        if let Some(refused) = state.client_rate.count_refused(now_ms()) {
            tracing::warn!(
                %network,
                refused,
                "a client network sends more beacons than --client-rate allows; if it is a proxy of yours, name it \
                 with --trusted-proxy"
            );
        }
        let message = format!("the network {network} sends more beacons than one may");
        return Err(because(Outcome::RateLimited, &message));
    }
    let body = body.0.map_err(|error| because(Outcome::Invalid(invalid_body(error)), message_of(error)))?;
    let request = Request {
        body: &body,
        origin: origin.as_deref(),
        host: host.as_deref(),
        sender,
        left_alone,
        country,
        keep_bots: state.keep_bots,
        received_ms: now_ms(),
    };
    let Accepted { site, updates, dropped } = decide_or_refresh(state, &request, format).await?;
    // Frees the part of the connection's read buffer, for reuse.
    drop(body);
    let network = Network::of(site, prefix);
    state.spool.append(SpoolBeacon { site, network, updates }).await.map_err(|error| {
        let message = match error {
            AppendError::Full => "the server holds as many beacons as it may; try again".to_owned(),
            AppendError::Refused(_) => format!("{error}; try again"),
            AppendError::Failed(_) => "the server cannot keep beacons now; see its log".to_owned(),
        };
        RefusedBody { site: Some(site), ..because(Outcome::Shed, &message) }
    })?;
    state.outcomes.count_dropped(&dropped);
    Ok(dropped)
}

/// Decides with the cached sites. If the key is unknown or its origin is not allowed, decides again with fresh sites:
/// either may have just been added.
async fn decide_or_refresh(
    state: &State,
    request: &Request<'_>,
    format: &Format,
) -> Result<Accepted, RefusedBody> {
    let may_be_new = |decided: &Result<Accepted, RefusedBody>| {
        let outcome = decided.as_ref().err().map(|refused| refused.outcome);
        matches!(outcome, Some(Outcome::Invalid(Invalid::UnknownSite | Invalid::Origin)))
    };
    let first = format.decide(request, &state.directory.current());
    if !may_be_new(&first) {
        return first;
    }
    let again = state.directory.find(|directory| {
        let decided = format.decide(request, directory);
        (!may_be_new(&decided)).then_some(decided)
    });
    again.await.unwrap_or(first)
}

/// Refuses a method other than POST, or than those of boomerang, and counts the request as a beacon.
pub async fn wrong_method(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    state.outcomes.receive();
    let refused = RefusedBody::invalid(Invalid::Method, format!("{} is not taken here", request.method()));
    refuse(&state, &refused);
    let mut response = ApiError::from(&refused).error_response();
    let allowed = if request.path() == BOOMERANG { "GET, POST" } else { "POST" };
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Counts a refused beacon and records the reason.
fn refuse(state: &State, refused: &RefusedBody) {
    state.outcomes.count(refused.outcome);
    if let Some(kind) = refused.bot {
        state.outcomes.count_bot(kind);
    }
    let reason = match refused.outcome {
        Outcome::Invalid(reason) => reason.name(),
        Outcome::Filtered(reason) => reason.name(),
        Outcome::RateLimited => "rate_limited",
        Outcome::Shed | Outcome::Accepted => "overloaded",
    };
    let origin = refused.origin.as_deref().unwrap_or_default();
    tracing::debug!(reason, origin, message = refused.message, "beacon refused");
    state.rejections.note(refused.site, reason, origin, &refused.message, now_ms());
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    #[actix_web::test]
    async fn what_has_begun_comes_to_its_end_though_nobody_waits() {
        let (go_on, held) = oneshot::channel::<()>();
        let (ended, end) = oneshot::channel();
        let mut future = ToItsEnd::new(async move {
            held.await.unwrap();
            ended.send(()).unwrap();
        });
        assert!((&mut future).now_or_never().is_none());
        drop(future);
        go_on.send(()).unwrap();
        end.await.unwrap();
    }
}
