//! How the document came to the browser: the parts of TTFB, and what explains them.
//!
//! The parts are those of web-vitals' TTFB attribution, with the start of a service worker apart. Definition of the
//! times: <https://www.w3.org/TR/navigation-timing-2/>, <https://www.w3.org/TR/resource-timing/>.

use crate::attribution::micros;
use crate::entry::Text;
use crate::metric::{Metric, Values};
use crate::metrics::lifecycle::Span;
use crate::metrics::views::Cause;
use crate::view::names;
use serde::{Deserialize, Serialize};

names! {
    /// The protocol of the connection.
    Protocol {
        /// HTTP/1.0 and HTTP/1.1.
        Http1 = 0 "http/1.1",
        /// HTTP/2.
        H2 = 1 "h2",
        /// HTTP/3.
        H3 = 2 "h3",
        /// Any other.
        Other = 3 "other",
    }
}

impl Protocol {
    /// The class of a `nextHopProtocol`; none of an empty text.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "" => None,
            "http/1.0" | "http/1.1" => Some(Self::Http1),
            "h2" | "h2c" => Some(Self::H2),
            _ if text.starts_with("h3") => Some(Self::H3),
            _ => Some(Self::Other),
        }
    }
}

names! {
    /// Where the document was taken from.
    Delivery {
        /// The network.
        Network = 0 "network",
        /// The browser's HTTP cache.
        Cache = 1 "cache",
        /// A prefetch for this navigation (speculation rules).
        NavigationalPrefetch = 2 "navigational-prefetch",
    }
}

impl Delivery {
    /// What a `deliveryType` says. Browsers without it tell a document from the network by its `transferSize`, and one
    /// from the cache by a size without a transfer. A service worker's own response has no transfer either, so it has no
    /// delivery.
    #[must_use]
    pub fn of(
        delivery_type: Option<Self>,
        transfer_bytes: f64,
        encoded_bytes: f64,
        has_worker: bool,
    ) -> Option<Self> {
        if delivery_type.is_some() {
            delivery_type
        } else if transfer_bytes > 0.0 {
            Some(Self::Network)
        } else if encoded_bytes > 0.0 && !has_worker {
            Some(Self::Cache)
        } else {
            None
        }
    }
}

names! {
    /// Whether a load is typical of the page (`PerformanceTimingConfidence.value`).
    ConfidenceLevel {
        /// Something outside of the page slowed it down: the browser had just started, or restored its session.
        Low = 0 "low",
        /// It is typical.
        High = 1 "high",
    }
}

/// What the browser says of how typical a load is. The value is noise in a share of loads, so it counts only in sums
/// (`store::context`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// The value.
    pub level: ConfidenceLevel,
    /// The share of loads whose value is a coin's, 0 to 1 (`randomizedTriggerRate`).
    pub trigger_rate: f64,
}

/// An entry of the response's `Server-Timing` header that the site asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTiming<T = String> {
    /// Its name.
    pub name: T,
    /// Its duration in milliseconds; 0 where it has none.
    pub duration_ms: f64,
    /// Its description; may be empty.
    pub description: T,
}

/// How the document came, as far as the browser tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fetch<T = String> {
    /// `nextHopProtocol`; empty where it is not told.
    pub protocol: T,
    /// Where it was taken from.
    pub delivery: Option<Delivery>,
    /// Bytes of the document as they were sent, compressed; 0 where they are not told.
    pub encoded_bytes: f64,
    /// At most [`SERVER_TIMINGS_MAX`](crate::limits::SERVER_TIMINGS_MAX).
    pub server_timings: Vec<ServerTiming<T>>,
    /// Why the page was not restored from the back/forward cache: at most
    /// [`NOT_RESTORED_MAX`](crate::limits::NOT_RESTORED_MAX) reasons.
    pub not_restored: Vec<T>,
    /// How typical the load is.
    pub confidence: Option<Confidence>,
}

/// The parts of TTFB.
pub const PARTS: [&str; 6] = ["redirect", "service_worker", "cache", "dns", "connect", "request"];
/// The times at which a part but the last ends.
pub type Edges = [f64; PARTS.len() - 1];

/// What explains TTFB.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TtfbCause<T = String> {
    /// The durations of [`PARTS`] in milliseconds, which sum to TTFB but for the rounding to microseconds.
    pub parts_ms: Option<[f64; PARTS.len()]>,
    /// How the document came.
    pub fetch: Fetch<T>,
}

/// The fetch of a document.
#[derive(Clone, Debug)]
pub struct Fetched<T> {
    /// `workerStart` (0 without a service worker), `fetchStart`, `domainLookupStart`, `connectStart`, `connectEnd`.
    pub edges: Edges,
    /// Beside these times.
    pub fetch: Fetch<T>,
}

impl<T: Text> Fetched<T> {
    /// What explains the TTFB of a view; nothing of a view that is no load.
    ///
    /// An edge that is 0, in the future or before another is at the one before it: its part took no time.
    #[must_use]
    pub fn cause(&self, span: &Span<'_>, values: &Values) -> Option<TtfbCause<T>> {
        if span.cause != Cause::Load {
            return None;
        }
        let parts_ms = values.get(Metric::Ttfb).map(|ttfb| {
            let ttfb = ttfb.number(Metric::Ttfb);
            let mut edges = self.edges;
            // Without a service worker nothing comes between redirects and the fetch.
            if let [worker, fetch, ..] = &mut edges
                && (worker.is_nan() || *worker <= 0.0)
            {
                *worker = *fetch;
            }
            let mut from = 0.0_f64;
            let mut parts = [0.0; PARTS.len()];
            for (part, edge) in parts.iter_mut().zip(edges.into_iter().chain([f64::INFINITY])) {
                // A maximum with what is not a number is the other one.
                let to = span.since_start(edge).max(from).min(ttfb);
                *part = micros(to - from);
                from = to;
            }
            parts
        });
        Some(TtfbCause { parts_ms, fetch: self.fetch.clone() })
    }
}
