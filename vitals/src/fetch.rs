//! Splits TTFB into parts, and holds the conditions of the document's fetch.
//!
//! The parts are those of web-vitals' TTFB attribution, with the start of a service worker as a part of its own.
//! Definition of the times: <https://www.w3.org/TR/navigation-timing-2/>, <https://www.w3.org/TR/resource-timing/>.

use crate::entry::Text;
use crate::metric::{Metric, Values, micros};
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
    /// Returns the class of a `nextHopProtocol`; `None` if the text is empty.
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
    /// The source of the document.
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
    /// Returns the source of the document. Browsers without `deliveryType` show the network by a `transferSize`, and
    /// the cache by a size without a transfer. A service worker's own response has no transfer either, so its source
    /// is `None`.
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
        /// The load is typical.
        High = 1 "high",
    }
}

/// The browser's estimate of whether a load is typical. The value is noise in a share of loads, so only sums of it
/// have meaning (`store::context`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// The value.
    pub level: ConfidenceLevel,
    /// The share of loads with a random value, 0 to 1 (`randomizedTriggerRate`).
    pub trigger_rate: f64,
}

/// An entry of the response's `Server-Timing` header; the site selects the entries.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTiming<T = String> {
    /// Its name.
    pub name: T,
    /// Its duration in milliseconds; 0 if absent.
    pub duration_ms: f64,
    /// Its description; may be empty.
    pub description: T,
}

/// The conditions of the document's fetch, where the browser reports them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fetch<T = String> {
    /// `nextHopProtocol`; empty if not reported.
    pub protocol: T,
    /// The source of the document.
    pub delivery: Option<Delivery>,
    /// Compressed bytes of the document; 0 if not reported.
    pub encoded_bytes: f64,
    /// At most [`SERVER_TIMINGS_MAX`](crate::limits::SERVER_TIMINGS_MAX).
    pub server_timings: Vec<ServerTiming<T>>,
    /// Reasons why the page was not restored from the back/forward cache, at most
    /// [`NOT_RESTORED_MAX`](crate::limits::NOT_RESTORED_MAX).
    pub not_restored: Vec<T>,
    /// Whether the load is typical.
    pub confidence: Option<Confidence>,
}

/// The parts of TTFB.
pub const PARTS: [&str; 6] = ["redirect", "service_worker", "cache", "dns", "connect", "request"];
/// The end times of all parts except the last.
pub type Edges = [f64; PARTS.len() - 1];

/// The attribution of TTFB.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TtfbCause<T = String> {
    /// The durations of [`PARTS`] in milliseconds. They sum to TTFB, except for rounding to microseconds.
    pub parts_ms: Option<[f64; PARTS.len()]>,
    /// The conditions of the fetch.
    pub fetch: Fetch<T>,
}

/// The parts of TTFB, if it has a value, and the conditions of the fetch.
pub type Caused<'a, T> = (Option<[f64; PARTS.len()]>, &'a Fetch<T>);

/// The fetch of a document.
#[derive(Clone, Debug)]
pub struct Fetched<T> {
    /// `workerStart` (0 without a service worker), `fetchStart`, `domainLookupStart`, `connectStart`, `connectEnd`.
    pub edges: Edges,
    /// The other conditions.
    pub fetch: Fetch<T>,
}

impl<T: Text> Fetched<T> {
    /// Returns the parts of a view's TTFB, if it has one, and the conditions of the fetch; `None` unless the view is a
    /// load.
    ///
    /// An edge that is 0, in the future or before the previous edge moves to the previous edge: its part took no
    /// time.
    #[must_use]
    pub fn cause(&self, span: &Span<'_>, values: &Values) -> Option<Caused<'_, T>> {
        if span.cause != Cause::Load {
            return None;
        }
        let parts_ms = values.get(Metric::Ttfb).map(|ttfb| {
            let ttfb = ttfb.number(Metric::Ttfb);
            let [worker, fetch, domain, connect, connected] = self.edges;
            // Without a service worker, no part lies between redirects and the fetch.
            let worker = if worker > 0.0 { worker } else { fetch };
            let mut from = 0.0_f64;
            [worker, fetch, domain, connect, connected, f64::INFINITY].map(|edge| {
                // `f64::max` ignores NaN.
                let to = span.since_start(edge).max(from).min(ttfb);
                let part = micros(to - from);
                from = to;
                part
            })
        });
        Some((parts_ms, &self.fetch))
    }
}
