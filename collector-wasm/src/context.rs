//! How the document came and on what device: read before the first report. Not for who asks to be left alone.

use crate::explain::{cut_characters, split};
use crate::options::Options;
use crate::page::{browser, call_with, get, list, number, text};
use crate::state::Collector;
use vitals::fetch::{Confidence, ConfidenceLevel, Delivery, Edges, Fetch, Fetched, ServerTiming};
use vitals::limits::{NOT_RESTORED_MAX, SERVER_TIMINGS_MAX, TAG_NAME_UNITS_MAX, TAG_VALUE_UNITS_MAX};
use vitals::view::Tier;
use wasm_bindgen::prelude::JsValue;

/// The times of a navigation entry at which a part of TTFB ends, in the order of [`Edges`].
const EDGES: [&str; 5] = ["workerStart", "fetchStart", "domainLookupStart", "connectStart", "connectEnd"];

impl Collector {
    /// Reads how the document came, once.
    pub fn read_fetch(&mut self) {
        if self.is_fetch_read || self.consent.quiet {
            return;
        }
        let entry = get(&call_with(&browser().performance, "getEntriesByType", "navigation"), "0");
        self.is_fetch_read = entry.is_object();
        let edges: Edges = EDGES.map(|name| number(&entry, name));
        let encoded_bytes = number(&entry, "encodedBodySize");
        let mut server_timings = Vec::new();
        for timing in list(&entry, "serverTiming").iter() {
            let name = text(&timing, "name");
            if server_timings.len() < SERVER_TIMINGS_MAX && wants(&name) {
                server_timings.push(ServerTiming {
                    name: self.texts.place(cut_characters(name, TAG_NAME_UNITS_MAX)),
                    duration_ms: number(&timing, "duration"),
                    description: self
                        .texts
                        .place(cut_characters(text(&timing, "description"), TAG_VALUE_UNITS_MAX)),
                });
            }
        }
        let mut not_restored = Vec::new();
        self.reasons(&get(&entry, "notRestoredReasons"), &mut not_restored);
        let confidence = get(&entry, "confidence");
        let fetch = Fetch {
            protocol: self.texts.place(text(&entry, "nextHopProtocol")),
            delivery: Delivery::of(
                Delivery::from_name(&text(&entry, "deliveryType")),
                number(&entry, "transferSize"),
                encoded_bytes,
                edges[0] > 0.0,
            ),
            encoded_bytes,
            server_timings,
            not_restored,
            confidence: ConfidenceLevel::from_name(&text(&confidence, "value")).map(|level| Confidence {
                level,
                trigger_rate: number(&confidence, "randomizedTriggerRate"),
            }),
        };
        self.document.fetched(Fetched { edges, fetch });
    }

    /// Adds the reasons of a frame and the frames in it.
    fn reasons(&mut self, frame: &JsValue, reasons: &mut Vec<u32>) {
        for reason in list(frame, "reasons").iter() {
            let reason = self.texts.place(text(&reason, "reason"));
            if reasons.len() < NOT_RESTORED_MAX && !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        for child in list(frame, "children").iter() {
            self.reasons(&child, reasons);
        }
    }
}

/// Whether the page asks for a `Server-Timing` entry of this name.
fn wants(name: &str) -> bool {
    let names = Options::text("serverTiming");
    let mut rest = Some(names.as_str());
    while let Some(names) = rest {
        let (wanted, others) = split(names, b',');
        if wanted.trim_ascii() == name {
            return true;
        }
        rest = others;
    }
    false
}

/// The class of the device's memory.
pub fn memory() -> Option<Tier> {
    Tier::of_memory(number(&browser().navigator, "deviceMemory"))
}

/// The class of its processor.
pub fn cpu() -> Option<Tier> {
    let navigator = &browser().navigator;
    Tier::of_cpu_tier(number(navigator, "cpuPerformance"))
        .or_else(|| Tier::of_cores(number(navigator, "hardwareConcurrency")))
}
