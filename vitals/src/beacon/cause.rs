//! Attribution on the wire: `{"lcp":{…},"inp":{…},"cls":{…}}`, each with `parts` or `at` in milliseconds.

use crate::attribution::{Attribution, ClsCause, InpCause, LcpCause};
use crate::entry::Text;
use serde::Serialize;

/// The JSON object that explains a page view's values. Empty texts are absent.
#[derive(Clone, Debug, Serialize)]
pub struct WireAttribution<T = String> {
    #[serde(skip_serializing_if = "Option::is_none")]
    lcp: Option<WireLcp<T>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inp: Option<WireInp<T>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cls: Option<WireCls<T>>,
}

/// See [`LcpCause`].
#[derive(Clone, Debug, Serialize)]
struct WireLcp<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<T>,
    parts: [f64; 4],
}

/// See [`InpCause`].
#[derive(Clone, Debug, Serialize)]
struct WireInp<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<T>,
    at: f64,
    parts: [f64; 3],
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_ms: Option<f64>,
    load: &'static str,
}

/// See [`ClsCause`].
#[derive(Clone, Debug, Serialize)]
struct WireCls<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<T>,
    at: f64,
    value: f64,
    load: &'static str,
}

impl<T: Text> From<&Attribution<T>> for WireAttribution<T> {
    fn from(attribution: &Attribution<T>) -> Self {
        let Attribution { lcp, inp, cls } = attribution;
        Self {
            lcp: lcp.as_ref().map(WireLcp::from),
            inp: inp.as_ref().map(WireInp::from),
            cls: cls.as_ref().map(WireCls::from),
        }
    }
}

impl<T: Text> From<&LcpCause<T>> for WireLcp<T> {
    fn from(cause: &LcpCause<T>) -> Self {
        Self { target: cause.target.filled(), url: cause.url.filled(), parts: cause.parts_ms }
    }
}

impl<T: Text> From<&InpCause<T>> for WireInp<T> {
    fn from(cause: &InpCause<T>) -> Self {
        Self {
            target: cause.target.filled(),
            event: cause.event.filled(),
            at: cause.at_ms,
            parts: cause.parts_ms,
            script: cause.script.filled(),
            script_ms: (cause.script_ms > 0.0).then_some(cause.script_ms),
            load: cause.load_state.name(),
        }
    }
}

impl<T: Text> From<&ClsCause<T>> for WireCls<T> {
    fn from(cause: &ClsCause<T>) -> Self {
        Self {
            target: cause.target.filled(),
            at: cause.at_ms,
            value: cause.value,
            load: cause.load_state.name(),
        }
    }
}
