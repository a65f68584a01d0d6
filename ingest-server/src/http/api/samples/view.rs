//! Reports one page view without anything that identifies its visitor.

use super::waterfall::{SpanReport, spans};
use crate::http::api::attribution::ERRORS;
use crate::http::api::attribution::cause::{INP_PARTS, LCP_PARTS};
use crate::report::time_text;
use fieldvitals_store::context::conditions::Conditions;
use fieldvitals_store::{Context, ViewUpdate};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use vitals::attribution::LoadState;
use vitals::fetch::{Delivery, PARTS, Protocol};
use vitals::metric::{Metric, Value};
use vitals::view::{Device, NavigationType, Os, Rtt, Tier, TtiGap, Viewport};

/// Milliseconds to which the start of a page view is rounded down.
const MINUTE_MS: i64 = 60_000;

/// A page view. Fields are absent if the browser does not report them.
#[derive(Debug, Serialize, ToSchema)]
pub struct ViewReport {
    /// The value of the metric.
    value: f64,
    /// Rating of the value: `good`, `needs-improvement` or `poor`.
    rating: &'static str,
    /// The minute in which the page view started, RFC 3339, UTC.
    started: String,
    route: String,
    device: Option<&'static str>,
    browser: Option<String>,
    os: Option<&'static str>,
    country: Option<String>,
    connection: Option<String>,
    navigation_type: Option<&'static str>,
    release: Option<String>,
    viewport: Option<&'static str>,
    /// All metrics of the page view.
    #[schema(value_type = std::collections::HashMap<String, RatedReport>)]
    metrics: BTreeMap<&'static str, RatedReport>,
    /// The parts of the page view in time.
    waterfall: Vec<SpanReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lcp: Option<LcpReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inp: Option<InpReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cls: Option<ClsReport>,
    /// The parts of TTFB in milliseconds.
    #[schema(value_type = std::collections::HashMap<String, u32>)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ttfb_parts_ms: BTreeMap<&'static str, u32>,
    /// Total Blocking Time in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    tbt: Option<f64>,
    /// Why there is no TTI: `hidden`, `network` or `cpu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    tti_gap: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conditions: Option<ViewConditionsReport>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    /// Times of marks, in milliseconds since the start of the page view.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    marks: BTreeMap<String, u32>,
    /// Failed parts of the collector: `snippet`, `glue`, `module`, `page` or `field`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    collector_errors: Vec<&'static str>,
}

/// A value with its rating.
#[derive(Debug, Serialize, ToSchema)]
pub struct RatedReport {
    value: f64,
    /// `good`, `needs-improvement` or `poor`.
    rating: &'static str,
}

/// What explains LCP.
#[derive(Debug, Serialize, ToSchema)]
pub struct LcpReport {
    /// The element, as a selector; absent if unknown.
    target: Option<String>,
    /// The image's URL without query; absent for text.
    url: Option<String>,
    /// `ttfb`, `load_delay`, `load_duration`, `render_delay`, in milliseconds; they sum to LCP.
    #[schema(value_type = std::collections::HashMap<String, u32>)]
    parts_ms: BTreeMap<&'static str, u32>,
}

/// What explains INP.
#[derive(Debug, Serialize, ToSchema)]
pub struct InpReport {
    /// The element, as a selector; absent if unknown.
    target: Option<String>,
    /// The event's type.
    event: String,
    /// Milliseconds since the start of the page view.
    at_ms: u32,
    /// `input_delay`, `processing`, `presentation`, in milliseconds; they sum to INP.
    #[schema(value_type = std::collections::HashMap<String, u32>)]
    parts_ms: BTreeMap<&'static str, u32>,
    /// The URL of the longest script; absent if the browser does not report scripts.
    script: Option<String>,
    /// The duration of that script.
    script_ms: Option<u32>,
    /// `loading`, `dom-content-loaded` or `complete`.
    load_state: &'static str,
}

/// What explains CLS: the largest shift.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClsReport {
    /// The element that moved, as a selector; absent if unknown.
    target: Option<String>,
    /// Milliseconds since the start of the page view.
    at_ms: u32,
    /// The score of the shift.
    shift: f64,
    /// `loading`, `dom-content-loaded` or `complete`.
    load_state: &'static str,
}

/// The conditions of a page view. The browser's `confidence` is left out, because it is partly random.
#[derive(Debug, Serialize, ToSchema)]
pub struct ViewConditionsReport {
    protocol: Option<&'static str>,
    delivery: Option<&'static str>,
    rtt: Option<&'static str>,
    memory: Option<&'static str>,
    cpu: Option<&'static str>,
    engaged: Option<bool>,
    /// Time of the first key press or click, in milliseconds since the start of the page view.
    first_input_ms: Option<u32>,
    /// The compressed size of the document, in kilobytes.
    document_kb: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    server_timings: Vec<ServerTimingReport>,
    /// Why the page was not restored from the back/forward cache.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_restored: Vec<String>,
}

/// A `Server-Timing` entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerTimingReport {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    duration_ms: u32,
}

/// Reports a page view; `None` if it lost its value of the metric meanwhile.
pub(super) fn report(metric: Metric, view: &ViewUpdate) -> Option<ViewReport> {
    let RatedReport { value, rating } = rated(metric, view.values.get(metric)?);
    let started_ms = view.id.start_ms().div_euclid(MINUTE_MS) * MINUTE_MS;
    let Context { viewport, tbt, errors, detail, conditions } = view.context.clone();
    let detail = detail.map(|detail| *detail);
    let (lcp, inp, cls, tags, marks) = match detail {
        Some(detail) => (detail.lcp, detail.inp, detail.cls, detail.tags, detail.marks),
        None => (None, None, None, Vec::new(), Vec::new()),
    };
    let parts_ms = conditions.as_ref().and_then(|conditions| conditions.ttfb_parts_ms);
    Some(ViewReport {
        value,
        rating,
        started: time_text(started_ms),
        route: view.route.clone(),
        device: view.device.map(Device::name),
        browser: view.browser.clone(),
        os: view.os.map(Os::name),
        country: view.country.clone(),
        connection: view.connection.clone(),
        navigation_type: view.navigation_type.map(NavigationType::name),
        release: view.release.clone(),
        viewport: viewport.map(Viewport::name),
        metrics: view.values.iter().map(|(metric, value)| (metric.name(), rated(metric, value))).collect(),
        waterfall: spans(view),
        lcp: lcp.map(|lcp| LcpReport {
            target: filled(lcp.target),
            url: filled(lcp.url),
            parts_ms: LCP_PARTS.into_iter().zip(lcp.parts_ms).collect(),
        }),
        inp: inp.map(|inp| InpReport {
            target: filled(inp.target),
            event: inp.event,
            at_ms: inp.at_ms,
            parts_ms: INP_PARTS.into_iter().zip(inp.parts_ms).collect(),
            script_ms: (!inp.script.is_empty()).then_some(inp.script_ms),
            script: filled(inp.script),
            load_state: LoadState::name(inp.load_state),
        }),
        cls: cls.map(|cls| ClsReport {
            target: filled(cls.target),
            at_ms: cls.at_ms,
            shift: Value::from_micros(Metric::Cls, cls.value_micros)
                .unwrap_or(Value::ZERO)
                .number(Metric::Cls),
            load_state: LoadState::name(cls.load_state),
        }),
        ttfb_parts_ms: parts_ms.map(|parts_ms| PARTS.into_iter().zip(parts_ms).collect()).unwrap_or_default(),
        tbt: tbt.map(|tbt| tbt.number(Metric::Tti)),
        tti_gap: view.tti_gap.map(TtiGap::name),
        conditions: conditions.map(|conditions| of_view(*conditions)),
        // Of several with the same name, the first counts, as in filters.
        tags: tags.into_iter().rev().collect(),
        marks: marks.into_iter().rev().collect(),
        collector_errors: failed(errors),
    })
}

fn rated(metric: Metric, value: Value) -> RatedReport {
    RatedReport { value: value.number(metric), rating: metric.rate(value).name() }
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn of_view(conditions: Conditions) -> ViewConditionsReport {
    let entry = |(name, duration_ms, description)| ServerTimingReport {
        name,
        description: filled(description),
        duration_ms,
    };
    ViewConditionsReport {
        protocol: conditions.protocol.map(Protocol::name),
        delivery: conditions.delivery.map(Delivery::name),
        rtt: conditions.rtt.map(Rtt::name),
        memory: conditions.memory.map(Tier::name),
        cpu: conditions.cpu.map(Tier::name),
        engaged: conditions.engaged,
        first_input_ms: conditions.first_input_ms,
        document_kb: conditions.document_kb,
        server_timings: conditions.server_timings.into_iter().map(entry).collect(),
        not_restored: conditions.not_restored,
    }
}

/// The names of failed parts of the collector.
fn failed(bits: u8) -> Vec<&'static str> {
    let failed = ERRORS.into_iter().filter(|(_, bit)| u32::from(bits) & bit != 0);
    failed.map(|(name, _)| name).collect()
}
