//! Answers a question to the store: runs it on the threads of questions, and drops it if its client disconnects.
//!
//! An answer about page views depends on the question, on the version of the site's data and on the server's release. Its
//! tag is a hash of them: a client that has the answer gets `304`, and an answer in memory is served again.

use crate::answers::Key;
use crate::clock::now_ms;
use crate::closed_days::Reader;
use crate::http::State;
use crate::http::api::Answer;
use crate::http::compress;
use crate::http::connection::Asker;
use crate::http::error::ApiError;
use crate::http::known;
use crate::live::fingerprint;
use crate::questions::{Busy, Cost};
use crate::report::Range;
use actix_web::http::header::{self, EntityTag, Header as _, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldvitals_store::{Site, Store, Version};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

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
    let body = written(state, cost, || question(store)).await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(compress::send(request, response, body))
}

/// Asks `question` about page views of a site that start in `range`, unless the client or the server has the answer. The
/// answer must follow from the site, the range, the URL of the request and the site's page views.
///
/// # Errors
/// As [`ask`]; 400 if no page view of the site has a value of the filters ([`known`]).
pub(super) async fn ask_once<T, F>(
    state: &State,
    request: &HttpRequest,
    (site, range): (&Site, Range),
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
    let version = state.questions.look(store.version(site.id)).await.map_err(|Busy| ApiError::busy())??;
    let fingerprint = fingerprint(&version);
    let key = key(request, site, range, &version);
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
    let body = state.answers.get(key, written(state, cost, checked)).await?;
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
    cost: Cost,
    question: impl FnOnce() -> F + Send + 'static,
) -> Result<Arc<[u8]>, ApiError>
where
    T: Serialize,
    F: Future<Output = Result<T, ApiError>> + Send,
{
    let written = async move {
        let answer = question().await?;
        let plain = serde_json::to_vec(&answer).map_err(|error| ApiError::unwritable(&error))?;
        Ok(compress::packed(plain).into())
    };
    state.questions.ask(cost, written).await.map_err(|Busy| ApiError::busy())?
}

/// Hashes everything that an answer depends on. Name, routes and time zone of the site shape answers, and `period` in the
/// URL ends with the current minute or hour.
fn key(request: &HttpRequest, site: &Site, range: Range, version: &Version) -> Key {
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
        version.as_bytes(),
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
