//! Answers a question to the store: runs it on the threads of questions, and drops it if its client disconnects.

use crate::http::State;
use crate::http::api::Answer;
use crate::http::connection::Asker;
use crate::http::error::ApiError;
use crate::questions::{Busy, Cost};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use fieldvitals_store::Store;
use serde::Serialize;
use std::sync::Arc;

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
    let rendered = async move {
        let answer = question(store).await?;
        serde_json::to_vec(&answer).map_err(|error| ApiError::unwritable(&error))
    };
    let _asker = Asker::of(request);
    let body = state.questions.ask(cost, rendered).await.map_err(|Busy| ApiError::busy())??;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(body))
}
