//! Reports one cause of a metric's values.

use fieldvitals_store::{AttributionMetric, Cause};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use vitals::attribution::LoadState;
use vitals::fetch::PARTS;
use vitals::metric::Value;

/// The parts of LCP.
pub const LCP_PARTS: [&str; 4] = ["ttfb", "load_delay", "load_duration", "render_delay"];
/// The parts of INP.
pub const INP_PARTS: [&str; 3] = ["input_delay", "processing", "presentation"];

/// Page views of one cause.
#[derive(Debug, Serialize, ToSchema)]
pub struct CauseReport {
    /// The element, by its most frequent selector; absent if unknown, and for TTFB. `(other)` holds the elements beyond a
    /// day's limit.
    target: Option<String>,
    /// Other selectors of the same element, the most frequent first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    selectors: Vec<String>,
    /// LCP: the image's URL; absent for text.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// INP: the most frequent type of the interactions' longest events.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// INP: page views by the type of the longest event, the most frequent first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventReport>,
    /// TTFB: the longest part in these page views.
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_part: Option<String>,
    /// Page views of the cause.
    n: i64,
    /// Share of `explained`, 0 to 1.
    share: f64,
    /// The exact 75th percentile of the metric in these page views.
    p75: f64,
    /// Rating of `p75`: `good`, `needs-improvement` or `poor`.
    rating: &'static str,
    /// INP: `n` × `p75`, in milliseconds, which orders the causes.
    #[serde(skip_serializing_if = "Option::is_none")]
    impact: Option<f64>,
    /// `median`: the statistic of `parts_ms`, `at_ms`, `shift` and the script's time. Medians of parts do not sum to `p75`.
    statistic: &'static str,
    /// The parts in milliseconds. LCP: `ttfb`, `load_delay`, `load_duration`, `render_delay`; INP:
    /// `input_delay`, `processing`, `presentation`; TTFB: `redirect`, `service_worker`, `cache`, `dns`, `connect`,
    /// `request`.
    #[schema(value_type = std::collections::HashMap<String, u32>)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parts_ms: BTreeMap<&'static str, u32>,
    /// INP and CLS: the time of the event, in milliseconds since the start of the page view.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<u32>,
    /// CLS: the score of the largest shift.
    #[serde(skip_serializing_if = "Option::is_none")]
    shift: Option<f64>,
    /// INP and CLS: page views by load state of the document at the event: `loading`, `dom-content-loaded`,
    /// `complete`.
    #[schema(value_type = std::collections::HashMap<String, i64>)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    load_states: BTreeMap<&'static str, i64>,
    /// INP: the script that was most often the longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<ScriptReport>,
}

/// An event's type.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventReport {
    event: String,
    n: i64,
}

/// A script that ran during the interaction.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScriptReport {
    url: String,
    /// Page views of the cause in which the script was the longest.
    n: i64,
    /// The median duration of the script in these page views, in milliseconds.
    median_ms: u32,
}

/// Reports a cause of `of` explained page views.
pub(super) fn report(explained: AttributionMetric, cause: Cause, of: i64) -> CauseReport {
    let metric = explained.metric();
    let p75 = Value::from_micros(metric, cause.p75_micros).unwrap_or(Value::ZERO);
    let filled = |text: String| (!text.is_empty()).then_some(text);
    let names: &[&str] = match explained {
        AttributionMetric::Lcp => &LCP_PARTS,
        AttributionMetric::Inp => &INP_PARTS,
        AttributionMetric::Cls => &[],
        AttributionMetric::Ttfb => &PARTS,
    };
    let states = LoadState::ALL.map(LoadState::name).into_iter().zip(cause.load_states);
    let what = filled(cause.what);
    let (url, event, longest_part) = match explained {
        AttributionMetric::Lcp => (what, None, None),
        AttributionMetric::Inp | AttributionMetric::Cls => (None, what, None),
        AttributionMetric::Ttfb => (None, None, what),
    };
    let has_states = matches!(explained, AttributionMetric::Inp | AttributionMetric::Cls);
    CauseReport {
        target: filled(cause.target),
        selectors: cause.selectors,
        url,
        event,
        events: cause.events.into_iter().map(|(event, n)| EventReport { event, n }).collect(),
        longest_part,
        n: cause.views,
        share: cause.views as f64 / of.max(1) as f64,
        p75: p75.number(metric),
        rating: metric.rate(p75).name(),
        impact: (explained == AttributionMetric::Inp).then(|| cause.views as f64 * p75.number(metric)),
        statistic: "median",
        parts_ms: names.iter().copied().zip(cause.parts_ms).collect(),
        at_ms: cause.at_ms,
        shift: cause.shift_micros.and_then(|micros| Some(Value::from_micros(metric, micros)?.number(metric))),
        load_states: if has_states { states.collect() } else { BTreeMap::new() },
        script: cause.script.map(|script| ScriptReport {
            url: script.url,
            n: script.views,
            median_ms: script.median_ms,
        }),
    }
}
