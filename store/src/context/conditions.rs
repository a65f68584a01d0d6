//! Defines the conditions of a page view: the fetch of its document, the connection, the device, and the visitor's
//! engagement.

use super::texts::TextKind;
use super::{code, moment_ms, time_ms, whole_ms};
use crate::limits;
use serde::{Deserialize, Serialize};
use vitals::fetch::{Confidence, ConfidenceLevel, Delivery, PARTS, Protocol, TtfbCause};
use vitals::view::{Rtt, Tier};

/// The conditions of a page view. A text is a [`String`], or its code in storage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Conditions<T = String> {
    /// The parts of TTFB ([`PARTS`]), in whole milliseconds.
    pub ttfb_parts_ms: Option<[u32; PARTS.len()]>,
    /// The protocol.
    pub protocol: Option<Protocol>,
    /// The source of the document.
    pub delivery: Option<Delivery>,
    /// The document's compressed size in whole kilobytes, rounded up.
    pub document_kb: Option<u32>,
    /// Name, duration in whole milliseconds and description of `Server-Timing` entries; at most
    /// [`vitals::limits::SERVER_TIMINGS_MAX`].
    pub server_timings: Vec<(T, u32, T)>,
    /// Reasons why the page was not restored from the back/forward cache; at most [`vitals::limits::NOT_RESTORED_MAX`].
    pub not_restored: Vec<T>,
    /// Whether the load is typical, and the share of loads for which this value is noise, in percent.
    pub confidence: Option<(ConfidenceLevel, u8)>,
    /// The class of the connection's round trip.
    pub rtt: Option<Rtt>,
    /// The class of the device's memory.
    pub memory: Option<Tier>,
    /// The class of its processor.
    pub cpu: Option<Tier>,
    /// Whether the visitor engaged.
    pub engaged: Option<bool>,
    /// The visitor's first key press or click, in milliseconds since the view's start.
    pub first_input_ms: Option<u32>,
}

/// A field's name, and the function that removes it.
type Droppable = (&'static str, fn(&mut Conditions));

/// The fields removed from a context larger than [`limits::CONTEXT_BYTES_MAX`], the least useful first. Attribution,
/// tags and marks always fit.
pub const DROP_ORDER: [Droppable; 5] = [
    ("document size", |conditions| conditions.document_kb = None),
    ("first input", |conditions| conditions.first_input_ms = None),
    ("reasons of a missed back/forward cache", |conditions| conditions.not_restored.clear()),
    ("Server-Timing", |conditions| conditions.server_timings.clear()),
    ("parts of TTFB", |conditions| conditions.ttfb_parts_ms = None),
];

impl<T> Default for Conditions<T> {
    fn default() -> Self {
        Self {
            ttfb_parts_ms: None,
            protocol: None,
            delivery: None,
            document_kb: None,
            server_timings: Vec::new(),
            not_restored: Vec::new(),
            confidence: None,
            rtt: None,
            memory: None,
            cpu: None,
            engaged: None,
            first_input_ms: None,
        }
    }
}

impl<T> Conditions<T> {
    /// Converts each text by `to`.
    pub fn map<U>(&self, to: &mut impl FnMut(TextKind, &T) -> U) -> Conditions<U> {
        let mut server_timings = Vec::with_capacity(self.server_timings.len());
        for (name, ms, description) in &self.server_timings {
            server_timings.push((to(TextKind::Word, name), *ms, to(TextKind::TagValue, description)));
        }
        Conditions {
            ttfb_parts_ms: self.ttfb_parts_ms,
            protocol: self.protocol,
            delivery: self.delivery,
            document_kb: self.document_kb,
            server_timings,
            not_restored: self.not_restored.iter().map(|reason| to(TextKind::Word, reason)).collect(),
            confidence: self.confidence,
            rtt: self.rtt,
            memory: self.memory,
            cpu: self.cpu,
            engaged: self.engaged,
            first_input_ms: self.first_input_ms,
        }
    }

    /// Whether the conditions have texts.
    #[must_use]
    pub const fn has_texts(&self) -> bool {
        !self.server_timings.is_empty() || !self.not_restored.is_empty()
    }
}

impl Conditions {
    /// Adds the fetch of the document; the caller must have scrubbed its texts. Rounded parts of TTFB sum to the
    /// rounded total.
    #[must_use]
    pub fn with_fetch(mut self, cause: Option<TtfbCause>) -> Self {
        let Some(TtfbCause { parts_ms, fetch }) = cause else { return self };
        self.ttfb_parts_ms = parts_ms.map(whole_ms);
        self.protocol = Protocol::of(&fetch.protocol);
        self.delivery = fetch.delivery;
        // The cast saturates.
        self.document_kb = (fetch.encoded_bytes > 0.0).then(|| {
            (fetch.encoded_bytes.min(f64::from(vitals::limits::DOCUMENT_BYTES_MAX)) / 1e3).ceil() as u32
        });
        let timings = fetch.server_timings.into_iter().take(vitals::limits::SERVER_TIMINGS_MAX);
        self.server_timings =
            timings.map(|timing| (timing.name, time_ms(timing.duration_ms), timing.description)).collect();
        self.not_restored = fetch.not_restored.into_iter().take(vitals::limits::NOT_RESTORED_MAX).collect();
        self.confidence = fetch.confidence.map(|Confidence { level, trigger_rate }| {
            (level, (trigger_rate * 100.0).round().clamp(0.0, 100.0) as u8)
        });
        self
    }

    /// Adds the visitor's first key press or click, in milliseconds since the view's start.
    #[must_use]
    pub fn with_first_input(mut self, at_ms: Option<f64>) -> Self {
        self.first_input_ms = at_ms.map(moment_ms);
        self
    }

    /// Returns the conditions; `None` if none is known.
    #[must_use]
    pub fn filled(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl super::Context {
    /// Removes fields by [`DROP_ORDER`] until the context fits into [`limits::CONTEXT_BYTES_MAX`]. Runs before page
    /// views are merged, so that a repeated beacon gives the same context.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        // Without tags and marks, every context fits.
        if self.detail.as_ref().is_none_or(|detail| detail.tags.is_empty() && detail.marks.is_empty()) {
            return self;
        }
        for (_, leave_out) in DROP_ORDER {
            if code::bytes_of(&self) <= limits::CONTEXT_BYTES_MAX {
                break;
            }
            if let Some(conditions) = &mut self.conditions {
                leave_out(conditions);
            }
        }
        self
    }
}
