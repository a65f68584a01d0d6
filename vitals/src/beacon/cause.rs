//! Attribution on the wire: `{"lcp":{…},"inp":{…},"cls":{…}}`, each with `parts` or `at` in milliseconds.

use crate::attribution::{Attribution, ClsCause, InpCause, LcpCause, LoadState};
use crate::metric::{Metric, Value};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The JSON object that explains a page view's values.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(expecting = "an attribution object")]
pub struct WireAttribution {
    /// See [`Attribution::lcp`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lcp: Option<WireLcp>,
    /// See [`Attribution::inp`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inp: Option<WireInp>,
    /// See [`Attribution::cls`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cls: Option<WireCls>,
}

/// See [`LcpCause`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireLcp {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    target: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    url: String,
    parts: [Ms; 4],
}

/// See [`InpCause`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireInp {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    target: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    event: String,
    at: Ms,
    parts: [Ms; 3],
    #[serde(default, skip_serializing_if = "String::is_empty")]
    script: String,
    #[serde(default)]
    script_ms: Ms,
    load: WireLoad,
}

/// See [`ClsCause`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireCls {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    target: String,
    at: Ms,
    value: Shift,
    load: WireLoad,
}

/// A time that a browser may tell. It may lie further from the view's start than any metric: a page can be
/// open for days before its slowest click.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(transparent)]
struct Ms(f64);

/// A layout shift's score.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
struct Shift(f64);

#[derive(Clone, Copy, Debug)]
struct WireLoad(LoadState);

impl<'de> Deserialize<'de> for Ms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A hundred days.
        const MAX: f64 = 8.64e9;
        let number = f64::deserialize(deserializer)?;
        if (0.0..=MAX).contains(&number) {
            return Ok(Self(number));
        }
        Err(D::Error::custom(format_args!("attribution: {number} is no time in milliseconds")))
    }
}

impl<'de> Deserialize<'de> for Shift {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        match Value::new(Metric::Cls, number) {
            Ok(_) => Ok(Self(number)),
            Err(error) => Err(D::Error::custom(format_args!("attribution: the shift {number} {error}"))),
        }
    }
}

impl Serialize for WireLoad {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for WireLoad {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        LoadState::from_name(&name).map(Self).ok_or_else(|| {
            D::Error::custom("attribution: `load` is none of loading, dom-content-loaded, complete")
        })
    }
}

impl From<&Attribution> for WireAttribution {
    fn from(attribution: &Attribution) -> Self {
        let Attribution { lcp, inp, cls } = attribution.clone();
        Self {
            lcp: lcp.map(|cause| WireLcp {
                target: cause.target,
                url: cause.url,
                parts: cause.parts_ms.map(Ms),
            }),
            inp: inp.map(|cause| WireInp {
                target: cause.target,
                event: cause.event,
                at: Ms(cause.at_ms),
                parts: cause.parts_ms.map(Ms),
                script: cause.script,
                script_ms: Ms(cause.script_ms),
                load: WireLoad(cause.load_state),
            }),
            cls: cls.map(|cause| WireCls {
                target: cause.target,
                at: Ms(cause.at_ms),
                value: Shift(cause.value),
                load: WireLoad(cause.load_state),
            }),
        }
    }
}

impl From<WireAttribution> for Attribution {
    fn from(wire: WireAttribution) -> Self {
        Self {
            lcp: wire.lcp.map(|wire| LcpCause {
                target: wire.target,
                url: wire.url,
                parts_ms: wire.parts.map(|Ms(ms)| ms),
            }),
            inp: wire.inp.map(|wire| InpCause {
                target: wire.target,
                event: wire.event,
                at_ms: wire.at.0,
                parts_ms: wire.parts.map(|Ms(ms)| ms),
                script: wire.script,
                script_ms: wire.script_ms.0,
                load_state: wire.load.0,
            }),
            cls: wire.cls.map(|wire| ClsCause {
                target: wire.target,
                at_ms: wire.at.0,
                value: wire.value.0,
                load_state: wire.load.0,
            }),
        }
    }
}
