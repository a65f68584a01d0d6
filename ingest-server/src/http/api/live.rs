//! Changes of a site, as server-sent events.

use crate::http::api::Answer;
use crate::http::connection::Asker;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::{State, auth};
use crate::limits;
use crate::live::{Refused, Seen, Watch, fingerprint};
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream::unfold;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two comments, which keep proxies from closing the stream.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The client's pause before it connects again, as the event stream format has it.
const RETRY: &str = "retry: 2000\n\n";

/// Server-sent events: one `change` at the start and after each change of the site's data or refused beacons, within a
/// second. The data of an event is JSON. Its `version` equals the header `Data-Version` of answers that are still right.
/// The stream ends after ten minutes, and when the server stops; clients connect again.
#[utoipa::path(get, path = "/api/v1/sites/{site}/live", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")),
    responses((status = 200, body = Seen, content_type = "text/event-stream"), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, description = "Too many clients watch, or the server is stopping (`busy`)", body = ErrorBody)))]
pub async fn live(state: web::Data<State>, request: HttpRequest, name: web::Path<String>) -> Answer {
    let site = auth::site(&state, &request, &name).await?.id;
    let asked = state.clone();
    let look = move || {
        let state = asked.clone();
        async move {
            let store = state.store().ok()?;
            let version = state.questions.look(store.version(site)).await.ok()?.ok()?;
            Some(Seen { version: fingerprint(&version), refused: state.rejections.count(site) })
        }
    };
    let watch = state.live.watch(site, look).map_err(|Refused| ApiError::busy())?;
    let end = Instant::now() + Duration::from_millis(limits::LIVE_STREAM_MS_MAX);
    let stream = Stream { watch, end, is_begun: false, _asker: Asker::of(&request) };
    let pieces = unfold(stream, |mut stream| async move {
        let piece = stream.next().await?;
        Some((Ok::<_, Infallible>(piece), stream))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // nginx buffers answers otherwise.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(pieces))
}

/// The events of one client.
struct Stream {
    watch: Watch,
    end: Instant,
    is_begun: bool,
    _asker: Option<Asker>,
}

impl Stream {
    /// Returns the next bytes; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.is_begun, true) {
            return Some(Bytes::from_static(RETRY.as_bytes()));
        }
        let beat = Instant::now() + HEARTBEAT;
        tokio::select! {
            seen = self.watch.next() => event(&seen?),
            () = tokio::time::sleep_until(beat.min(self.end)) => {
                (Instant::now() < self.end).then(|| Bytes::from_static(b":\n\n"))
            }
        }
    }
}

fn event(seen: &Seen) -> Option<Bytes> {
    let data = serde_json::to_string(seen).ok()?;
    Some(format!("event: change\ndata: {data}\n\n").into())
}
