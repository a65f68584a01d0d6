//! Measures requests: counts them by class and ending, and logs slow ones.
//!
//! [`measure`] wraps all routes but those of beacons, which [`super::ingest`] measures from the end of their body: the time
//! of an upload is the client's.

use crate::clock::now_ms;
use crate::http::State;
use crate::intake::scrub;
use crate::limits;
use crate::telemetry::{Ending, RequestClass, Telemetry};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web;
use std::sync::Arc;
use std::time::Instant;

/// A request in progress. A request that is dropped before its end has lost its client.
pub(super) struct Measured {
    telemetry: Arc<Telemetry>,
    class: RequestClass,
    began: Instant,
    /// The route and the path; `None` for beacons.
    place: Option<(String, String)>,
    is_done: bool,
}

impl Measured {
    /// Begins to measure a beacon.
    pub(super) fn beacon(state: &State) -> Self {
        Self::begin(state, RequestClass::Beacon, None)
    }

    fn begin(state: &State, class: RequestClass, place: Option<(String, String)>) -> Self {
        let telemetry = Arc::clone(&state.telemetry);
        Self { telemetry, class, began: Instant::now(), place, is_done: false }
    }

    /// Ends with an answer of this status.
    pub(super) fn end(mut self, status: u16) {
        self.finish(Ending::of(status));
    }

    fn finish(&mut self, ending: Ending) {
        self.is_done = true;
        let took = self.began.elapsed();
        self.telemetry.count(self.class, ending, took);
        if !matches!(self.class, RequestClass::Beacon | RequestClass::Api | RequestClass::Probe) {
            // The demo delays files, and a client ends a stream.
            return;
        }
        if let Some(slow) = self.telemetry.slow_requests.line(took, now_ms) {
            let (route, path) =
                self.place.as_ref().map_or(("", ""), |(route, path)| (route.as_str(), path.as_str()));
            tracing::warn!(
                class = self.class.name(),
                route,
                site = site(path),
                ending = ending.name(),
                took_ms = slow.took_ms,
                left_out = slow.left_out,
                "slow request"
            );
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if !self.is_done {
            self.finish(Ending::Gone);
        }
    }
}

/// Returns the site that a path of the API names; empty without one.
pub(super) fn site(path: &str) -> String {
    let rest = path.strip_prefix("/api/v1/sites/").unwrap_or_default();
    let site = rest.split('/').next().unwrap_or_default();
    scrub::label(site, limits::LABEL_BYTES_MAX).into_owned()
}

fn class(route: Option<&str>) -> RequestClass {
    match route {
        None => RequestClass::Unknown,
        Some("/healthz" | "/readyz" | "/metrics") => RequestClass::Probe,
        Some(route) if route.starts_with("/api/v1/status") => RequestClass::Probe,
        Some(route) if route.ends_with("/live") => RequestClass::Live,
        Some(route) if route.starts_with("/api/") => RequestClass::Api,
        Some(_) => RequestClass::File,
    }
}

/// Measures a request to its answer.
///
/// # Errors
/// Those of the request.
pub(super) async fn measure(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let route = request.match_pattern();
    let measured = request.app_data::<web::Data<State>>().map(|state| {
        let class = class(route.as_deref());
        let place = (class == RequestClass::Api || class == RequestClass::Probe)
            .then(|| (route.unwrap_or_default(), request.path().to_owned()));
        Measured::begin(state, class, place)
    });
    let answered = next.call(request).await;
    if let Some(measured) = measured {
        let status = match &answered {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        measured.end(status.as_u16());
    }
    answered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_follows_from_the_route_and_not_from_the_url() {
        for (route, expected) in [
            (None, RequestClass::Unknown),
            (Some("/readyz"), RequestClass::Probe),
            (Some("/api/v1/status/history"), RequestClass::Probe),
            (Some("/api/v1/sites/{site}/live"), RequestClass::Live),
            (Some("/api/v1/sites/{site}/report"), RequestClass::Api),
            (Some("/assets/{name}"), RequestClass::File),
        ] {
            assert_eq!(class(route), expected, "{route:?}");
        }
        assert_eq!(site("/api/v1/sites/shop/report"), "shop");
        assert_eq!(site("/healthz"), "");
    }
}
