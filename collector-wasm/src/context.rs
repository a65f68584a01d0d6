//! How the document came and on what device: read before the first report. Not for who asks to be left alone.

use crate::explain::{cut_characters, split, trim};
use crate::names;
use crate::page::{Js, call_with, get, item, items, number, text};
use crate::state::Collector;
use vitals::fetch::{Confidence, ConfidenceLevel, Delivery, Edges, Fetch, Fetched, ServerTiming};
use vitals::limits::{NOT_RESTORED_MAX, SERVER_TIMINGS_MAX, TAG_NAME_UNITS_MAX, TAG_VALUE_UNITS_MAX};
use vitals::view::Tier;

impl Collector {
    /// Reads how the document came, once.
    pub fn read_fetch(&mut self) {
        if self.is_fetch_read || self.consent.quiet {
            return;
        }
        let entry = item(call_with(Js::PERFORMANCE, names::GET_ENTRIES_BY_TYPE, names::NAVIGATION), 0);
        self.is_fetch_read = entry.exists();
        let edges: Edges = [0, 1, 2, 3, 4].map(|place| number(entry, names::WORKER_START.plus(place)));
        let encoded_bytes = number(entry, names::ENCODED_BODY_SIZE);
        let mut server_timings = Vec::new();
        for timing in items(entry, names::SERVER_TIMING) {
            let name = text(timing, names::NAME);
            if server_timings.len() < SERVER_TIMINGS_MAX && wants(&name) {
                server_timings.push(ServerTiming {
                    name: self.texts.place(cut_characters(name, TAG_NAME_UNITS_MAX)),
                    duration_ms: number(timing, names::DURATION),
                    description: self
                        .texts
                        .place(cut_characters(text(timing, names::DESCRIPTION), TAG_VALUE_UNITS_MAX)),
                });
            }
        }
        let mut not_restored = Vec::new();
        self.reasons(get(entry, names::NOT_RESTORED_REASONS), &mut not_restored);
        let confidence = get(entry, names::CONFIDENCE);
        let fetch = Fetch {
            protocol: self.texts.place(text(entry, names::NEXT_HOP_PROTOCOL)),
            delivery: Delivery::of(
                Delivery::from_name(&text(entry, names::DELIVERY_TYPE)),
                number(entry, names::TRANSFER_SIZE),
                encoded_bytes,
                edges[0] > 0.0,
            ),
            encoded_bytes,
            server_timings,
            not_restored,
            confidence: ConfidenceLevel::from_name(&text(confidence, names::VALUE)).map(|level| Confidence {
                level,
                trigger_rate: number(confidence, names::RANDOMIZED_TRIGGER_RATE),
            }),
        };
        self.document.fetched(Fetched { edges, fetch });
    }

    /// Adds the reasons of a frame and the frames in it.
    fn reasons(&mut self, frame: Js, reasons: &mut Vec<u32>) {
        for reason in items(frame, names::REASONS) {
            let reason = self.texts.place(text(reason, names::REASON));
            if reasons.len() < NOT_RESTORED_MAX && !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        for child in items(frame, names::CHILDREN) {
            self.reasons(child, reasons);
        }
    }
}

/// Whether the page asks for a `Server-Timing` entry of this name.
fn wants(name: &str) -> bool {
    let names = text(Js::DATA, names::SERVER_TIMING);
    let mut rest = Some(names.as_str());
    while let Some(names) = rest {
        let (wanted, others) = split(names, b',');
        if trim(wanted) == name {
            return true;
        }
        rest = others;
    }
    false
}

/// The class of the device's memory.
pub fn memory() -> Option<Tier> {
    Tier::of_memory(number(Js::NAVIGATOR, names::DEVICE_MEMORY))
}

/// The class of its processor.
pub fn cpu() -> Option<Tier> {
    Tier::of_cpu_tier(number(Js::NAVIGATOR, names::CPU_PERFORMANCE))
        .or_else(|| Tier::of_cores(number(Js::NAVIGATOR, names::HARDWARE_CONCURRENCY)))
}
