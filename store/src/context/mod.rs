//! Defines the context of a page view: its attribution, conditions, tags and marks, which rollups do not count.
//!
//! The context is stored and deleted with the page view. [`conditions`] describes the environment of the view,
//! [`code`] the encoding, [`texts`] the dictionary of texts. [`property`] and [`values`] select page views by their
//! contexts. Queries: [`causes`], [`engagement`], [`lcp_elements`], [`samples`], `split` (breakdowns), [`said`] (names and
//! values).

pub mod causes;
pub mod code;
pub mod conditions;
pub mod engagement;
pub mod lcp_elements;
pub mod property;
pub mod said;
pub mod samples;
pub(crate) mod split;
pub mod texts;
pub mod values;

use conditions::Conditions;
use serde::{Deserialize, Serialize};
use texts::TextKind;
use vitals::attribution::{Attribution, LoadState};
use vitals::limits;
use vitals::metric::Value;
use vitals::view::Viewport;

/// The context of a page view. A text is a [`String`], or its code in storage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Context<T = String> {
    /// The class of the window's width.
    pub viewport: Option<Viewport>,
    /// Total Blocking Time, if there is a TTI.
    pub tbt: Option<Value>,
    /// The failed parts of the collector, as a sum of [`vitals::beacon::errors`].
    pub errors: u8,
    /// Boxed, so that a page view without details is small.
    pub detail: Option<Box<Detail<T>>>,
    /// The conditions of the page view. Spool rows hold them behind the page views (`spool::payload` of the server),
    /// so that rows of releases without conditions remain readable.
    #[serde(skip)]
    pub conditions: Option<Box<Conditions<T>>>,
}

/// The fields with texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Detail<T = String> {
    /// The attribution of LCP.
    pub lcp: Option<LcpDetail<T>>,
    /// The attribution of INP.
    pub inp: Option<InpDetail<T>>,
    /// The attribution of CLS.
    pub cls: Option<ClsDetail<T>>,
    /// The page's tags, as names and values; at most [`limits::TAGS_MAX`].
    pub tags: Vec<(T, T)>,
    /// The page's marks: names and times in milliseconds since the view's start; at most [`limits::MARKS_MAX`].
    pub marks: Vec<(T, u32)>,
}

/// The attribution of LCP, in whole milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LcpDetail<T = String> {
    /// The element.
    pub target: T,
    /// The image's URL.
    pub url: T,
    /// TTFB, load delay, load duration, render delay.
    pub parts_ms: [u32; 4],
}

/// The attribution of INP, in whole milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InpDetail<T = String> {
    /// The element.
    pub target: T,
    /// The event's type.
    pub event: T,
    /// Time since the view's start.
    pub at_ms: u32,
    /// Input delay, processing, presentation.
    pub parts_ms: [u32; 3],
    /// The URL of the longest script.
    pub script: T,
    /// The duration of the script.
    pub script_ms: u32,
    /// The load state of the document.
    pub load_state: LoadState,
}

/// The attribution of CLS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClsDetail<T = String> {
    /// The element.
    pub target: T,
    /// Time since the view's start, in milliseconds.
    pub at_ms: u32,
    /// The largest shift's score in millionths.
    pub value_micros: u32,
    /// The load state of the document.
    pub load_state: LoadState,
}

impl<T> Default for Context<T> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<T> Context<T> {
    /// The empty context.
    pub const NONE: Self = Self { viewport: None, tbt: None, errors: 0, detail: None, conditions: None };

    /// Whether the context is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.viewport.is_none()
            && self.tbt.is_none()
            && self.errors == 0
            && self.detail.is_none()
            && self.conditions.is_none()
    }

    /// Whether the context has texts.
    #[must_use]
    pub fn has_texts(&self) -> bool {
        self.detail.is_some() || self.conditions.as_ref().is_some_and(|conditions| conditions.has_texts())
    }

    /// Converts each text by `to`.
    pub fn map<U>(&self, mut to: impl FnMut(TextKind, &T) -> U) -> Context<U> {
        Context {
            viewport: self.viewport,
            tbt: self.tbt,
            errors: self.errors,
            detail: self.detail.as_ref().map(|detail| Box::new(detail.map(&mut to))),
            conditions: self.conditions.as_ref().map(|conditions| Box::new(conditions.map(&mut to))),
        }
    }
}

impl Context {
    /// Passes each text that is not empty to `take`.
    pub fn texts<'a>(&'a self, mut take: impl FnMut(TextKind, &'a str)) {
        let mut filled = |kind, text: &'a str| {
            if !text.is_empty() {
                take(kind, text);
            }
        };
        if let Some(conditions) = &self.conditions {
            for (name, _, description) in &conditions.server_timings {
                filled(TextKind::Word, name);
                filled(TextKind::TagValue, description);
            }
            for reason in &conditions.not_restored {
                filled(TextKind::Word, reason);
            }
        }
        let Some(detail) = &self.detail else { return };
        if let Some(lcp) = &detail.lcp {
            filled(TextKind::Selector, &lcp.target);
            filled(TextKind::Image, &lcp.url);
        }
        if let Some(inp) = &detail.inp {
            filled(TextKind::Selector, &inp.target);
            filled(TextKind::Word, &inp.event);
            filled(TextKind::Script, &inp.script);
        }
        if let Some(cls) = &detail.cls {
            filled(TextKind::Selector, &cls.target);
        }
        for (name, value) in &detail.tags {
            filled(TextKind::Word, name);
            filled(TextKind::TagValue, value);
        }
        for (name, _) in &detail.marks {
            filled(TextKind::Word, name);
        }
    }
}

impl<T> Detail<T> {
    fn map<U>(&self, to: &mut impl FnMut(TextKind, &T) -> U) -> Detail<U> {
        Detail {
            lcp: self.lcp.as_ref().map(|lcp| LcpDetail {
                target: to(TextKind::Selector, &lcp.target),
                url: to(TextKind::Image, &lcp.url),
                parts_ms: lcp.parts_ms,
            }),
            inp: self.inp.as_ref().map(|inp| InpDetail {
                target: to(TextKind::Selector, &inp.target),
                event: to(TextKind::Word, &inp.event),
                at_ms: inp.at_ms,
                parts_ms: inp.parts_ms,
                script: to(TextKind::Script, &inp.script),
                script_ms: inp.script_ms,
                load_state: inp.load_state,
            }),
            cls: self.cls.as_ref().map(|cls| ClsDetail {
                target: to(TextKind::Selector, &cls.target),
                at_ms: cls.at_ms,
                value_micros: cls.value_micros,
                load_state: cls.load_state,
            }),
            tags: self
                .tags
                .iter()
                .map(|(name, value)| (to(TextKind::Word, name), to(TextKind::TagValue, value)))
                .collect(),
            marks: self.marks.iter().map(|(name, at_ms)| (to(TextKind::Word, name), *at_ms)).collect(),
        }
    }
}

impl Detail {
    /// Returns the context of a page view, or `None` if it would be empty. The caller must have scrubbed the
    /// attribution of LCP, INP and CLS, the tags and the marks. Times become whole milliseconds; rounded parts sum to
    /// the rounded total.
    #[must_use]
    pub fn new(
        attribution: Attribution,
        tags: Vec<(String, String)>,
        marks: Vec<(String, u32)>,
    ) -> Option<Box<Self>> {
        let Attribution { lcp, inp, cls, .. } = attribution;
        if lcp.is_none() && inp.is_none() && cls.is_none() && tags.is_empty() && marks.is_empty() {
            return None;
        }
        Some(Box::new(Self {
            lcp: lcp.map(|cause| LcpDetail {
                target: cause.target,
                url: cause.url,
                parts_ms: whole_ms(cause.parts_ms),
            }),
            inp: inp.map(|cause| InpDetail {
                target: cause.target,
                event: cause.event,
                at_ms: moment_ms(cause.at_ms),
                parts_ms: whole_ms(cause.parts_ms),
                script: cause.script,
                script_ms: time_ms(cause.script_ms),
                load_state: cause.load_state,
            }),
            cls: cls.map(|cause| ClsDetail {
                target: cause.target,
                at_ms: moment_ms(cause.at_ms),
                value_micros: (cause.value * 1e6).round().clamp(0.0, f64::from(limits::CLS_MAX) * 1e6) as u32,
                load_state: cause.load_state,
            }),
            tags,
            marks,
        }))
    }
}

/// Rounds parts to whole milliseconds. Each part lasts from one rounded edge to the next, so the sum is exact.
fn whole_ms<const N: usize>(parts_ms: [f64; N]) -> [u32; N] {
    let (mut sum, mut before) = (0.0, 0);
    parts_ms.map(|part| {
        sum += part;
        let edge = time_ms(sum).max(before);
        edge - std::mem::replace(&mut before, edge)
    })
}

fn time_ms(ms: f64) -> u32 {
    moment_ms(ms).min(limits::TIME_MS_MAX)
}

/// Rounds a time since the view's start, and saturates, because a page may be open for days.
fn moment_ms(ms: f64) -> u32 {
    // The cast saturates: a number that is too large becomes the maximum, NaN becomes 0.
    ms.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitals::attribution::LcpCause;

    #[test]
    fn parts_sum_to_the_whole_after_rounding() {
        assert_eq!(whole_ms([0.4, 0.4, 0.4, 0.4]), [0, 1, 0, 1]);
        assert_eq!(whole_ms([100.5, 0.0, 200.25, 1.0]), [101, 0, 200, 1]);
        assert_eq!(whole_ms([8.64e9, 8.64e9]), [limits::TIME_MS_MAX, 0]);
        assert_eq!(whole_ms([f64::NAN, 1.0]), [0, 0]);
        assert_eq!(moment_ms(1e300), u32::MAX);
    }

    #[test]
    fn what_says_nothing_takes_no_room() {
        assert_eq!(Detail::new(Attribution::NONE, Vec::new(), Vec::new()), None);
        let lcp = LcpCause { target: "img".to_owned(), url: String::new(), parts_ms: [1.0; 4] };
        let attribution = Attribution { lcp: Some(lcp), ..Attribution::NONE };
        let context = Context { detail: Detail::new(attribution, Vec::new(), Vec::new()), ..Context::NONE };
        let mut texts = Vec::new();
        context.texts(|kind, text| texts.push((kind, text)));
        assert_eq!(texts, [(TextKind::Selector, "img")], "an empty text is none");
    }
}
