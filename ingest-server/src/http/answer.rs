//! Answers a question to the store: runs it on the threads of questions, and drops it if its client disconnects.
//!
//! An answer about page views depends on the question, on the version of the site's data and on the server's release. Its
//! tag is a hash of them: a client that has the answer gets `304`, and an answer in memory is served again. An answer
//! about past days depends on the loads of these days only.

use crate::answers::Key;
use crate::clock::now_ms;
use crate::closed_days::Reader;
use crate::http::State;
use crate::http::api::Answer;
use crate::http::compress;
use crate::http::connection::Asker;
use crate::http::error::ApiError;
use crate::http::known;
use crate::http::measure;
use crate::live::fingerprint;
use crate::questions::{Busy, Cost};
use crate::report::Range;
use crate::telemetry::{QuestionKind, Telemetry};
use actix_web::http::header::{self, EntityTag, Header as _, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldvitals_store::rollup::{DAY_MS, day_of};
use fieldvitals_store::{Site, Store, Version};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Instant;

/// Clients may keep the answer, and ask whether it is still right before they use it.
const KEPT_BY_CLIENTS: &str = "private, no-cache";

/// The fingerprint of the version that an answer is of, as the events of `live` have it.
const DATA_VERSION: &str = "Data-Version";

/// Asks `question`, which returns the body of the answer.
///
/// # Errors
/// Those of the question; 503 while the store is unreachable or the queue is full.
pub(super) async fn ask<T, F>(
    state: &State,
    request: &HttpRequest,
    cost: Cost,
    question: impl FnOnce(Arc<dyn Store>) -> F + Send + 'static,
) -> Answer
where
    T: Serialize,
    F: Future<Output = Result<T, ApiError>> + Send,
{
    let store = Arc::clone(state.store()?);
    let _asker = Asker::of(request);
    let body = written(state, request, cost, || question(store)).await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(compress::send(request, response, body))
}

/// The page views that an answer follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// Those that start before the end of the range, or on its last UTC day.
    BeforeEnd,
    /// All of the site.
    Everything,
}

/// Asks `question` about page views of a site that start in `range`, unless the client or the server has the answer. The
/// answer must follow from the site, the range, the URL of the request and the page views of `basis`. Only the routes
/// that it proposes instead of an unknown one may be older.
///
/// # Errors
/// As [`ask`]; 400 if no page view of the site has a value of the filters ([`known`]).
pub(super) async fn ask_once<T, F>(
    state: &State,
    request: &HttpRequest,
    (site, range, basis): (&Site, Range, Basis),
    cost: Cost,
    question: impl FnOnce(Reader) -> F + Send + 'static,
) -> Answer
where
    T: Serialize,
    F: Future<Output = Result<T, ApiError>> + Send,
{
    let store = Arc::clone(state.store()?);
    let _asker = Asker::of(request);
    // Read before the answer, so that the answer is at least as new.
    let read = async {
        let _timed = Timed::begin(state, request, QuestionKind::Version);
        store.version(site.id).await
    };
    let version = state.questions.look(read).await.map_err(|Busy| ApiError::busy())??;
    let fingerprint = fingerprint(&version);
    let key = key(request, (site, range, basis), &version);
    let tag = EntityTag::new_weak(URL_SAFE_NO_PAD.encode(key));
    if has_it(request, &tag) {
        state.answers.count_unchanged();
        return Ok(HttpResponse::NotModified()
            .insert_header((header::CACHE_CONTROL, KEPT_BY_CLIENTS))
            .insert_header((DATA_VERSION, fingerprint))
            .insert_header((header::VARY, "Accept-Encoding"))
            .insert_header(header::ETag(tag))
            .finish());
    }
    let reader = Reader::new(store, Arc::clone(&state.closed_days), version, now_ms());
    let (site, query) = (site.id, request.query_string().to_owned());
    let checked = move || async move {
        known::check(reader.as_ref(), site, &query).await?;
        question(reader).await
    };
    let body = state.answers.get(key, written(state, request, cost, checked)).await?;
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CACHE_CONTROL, KEPT_BY_CLIENTS))
        .insert_header((DATA_VERSION, fingerprint))
        .insert_header(header::ETag(tag));
    Ok(compress::send(request, response, body))
}

/// Answers a question, writes the answer and compresses it, on the threads of questions.
async fn written<T, F>(
    state: &State,
    request: &HttpRequest,
    cost: Cost,
    question: impl FnOnce() -> F + Send + 'static,
) -> Result<Arc<[u8]>, ApiError>
where
    T: Serialize,
    F: Future<Output = Result<T, ApiError>> + Send,
{
    let kind = match cost {
        Cost::Usual => QuestionKind::Usual,
        Cost::Large => QuestionKind::Large,
    };
    let asked = Instant::now();
    let timed = Timed::new(state, request, kind);
    let written = async move {
        let _timed = timed.started(asked);
        let answer = question().await?;
        let plain = serde_json::to_vec(&answer).map_err(|error| ApiError::unwritable(&error))?;
        Ok(compress::packed(plain).into())
    };
    state.questions.ask(cost, written).await.map_err(|Busy| ApiError::busy())?
}

/// The time of a question, from its turn to its answer, or to the disconnection of its client.
struct Timed {
    telemetry: Arc<Telemetry>,
    kind: QuestionKind,
    route: String,
    site: String,
    /// `None` in the queue.
    began: Option<Instant>,
}

impl Timed {
    fn new(state: &State, request: &HttpRequest, kind: QuestionKind) -> Self {
        let telemetry = Arc::clone(&state.telemetry);
        let (route, site) = (request.match_pattern().unwrap_or_default(), measure::site(request.path()));
        Self { telemetry, kind, route, site, began: None }
    }

    fn begin(state: &State, request: &HttpRequest, kind: QuestionKind) -> Self {
        let mut timed = Self::new(state, request, kind);
        timed.began = Some(Instant::now());
        timed
    }

    /// Begins after the queue.
    fn started(mut self, asked: Instant) -> Self {
        self.telemetry.waited.record(asked.elapsed());
        self.began = Some(Instant::now());
        self
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let Some(took) = self.began.map(|began| began.elapsed()) else { return };
        self.telemetry.question(self.kind, took);
        if let Some(slow) = self.telemetry.slow_questions.line(took, now_ms) {
            tracing::warn!(
                kind = self.kind.name(),
                route = self.route,
                site = self.site,
                took_ms = slow.took_ms,
                left_out = slow.left_out,
                "slow question"
            );
        }
    }
}

/// Hashes everything that an answer depends on. Name, routes and time zone of the site shape answers, and `period` in the
/// URL ends with the current minute or hour.
fn key(request: &HttpRequest, (site, range, basis): (&Site, Range, Basis), version: &Version) -> Key {
    let version = match basis {
        Basis::Everything => version.as_bytes().to_vec(),
        Basis::BeforeEnd => {
            version.of_days(&(i64::MIN..day_of(range.to_ms.saturating_sub(1)).saturating_add(DAY_MS)))
        }
    };
    let numbers = [site.id.0, range.from_ms, range.to_ms].map(i64::to_be_bytes).concat();
    let routes = site
        .routes
        .iter()
        .chain(site.route_groups.names())
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("\0");
    let pattern = request.match_pattern().unwrap_or_default();
    let parts: [&[u8]; 8] = [
        env!("CARGO_PKG_VERSION").as_bytes(),
        pattern.as_bytes(),
        request.query_string().as_bytes(),
        &numbers,
        site.name.as_bytes(),
        routes.as_bytes(),
        site.timezone.as_bytes(),
        &version,
    ];
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps the end of a part from being the start of the next.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut key = Key::default();
    key.copy_from_slice(&hash.finalize()[..16]);
    key
}

/// Whether the client has the answer with this tag.
fn has_it(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(tag)),
        Ok(IfNoneMatch::Any) | Err(_) => false,
    }
}
