//! How the document came and on what device: read before the first report. Not for who asks to be left alone.

use crate::explain::trim;
use crate::names;
use crate::page::{Js, call_with, get, item, items, matched, number, one_of, place, same, text};
use crate::state::Collector;
use vitals::fetch::{Confidence, ConfidenceLevel, Delivery, Edges, Fetch, Fetched, ServerTiming};
use vitals::limits::{NOT_RESTORED_MAX, SERVER_TIMINGS_MAX};
use vitals::view::Tier;

impl Collector {
    /// Reads how the document came, once.
    pub fn read_fetch(&mut self) {
        if self.is_fetch_read || self.consent.quiet {
            return;
        }
        let entry = item(call_with(Js::PERFORMANCE, names::GET_ENTRIES_BY_TYPE, names::NAVIGATION), 0);
        if !entry.exists() {
            return;
        }
        self.is_fetch_read = true;
        let edges: Edges = std::array::from_fn(|edge| number(entry, names::WORKER_START.plus(edge as i32)));
        let encoded_bytes = number(entry, names::ENCODED_BODY_SIZE);
        let mut server_timings = Vec::new();
        for timing in items(entry, names::SERVER_TIMING) {
            let name = text(timing, names::NAME);
            if server_timings.len() < SERVER_TIMINGS_MAX && wants(name) {
                server_timings.push(ServerTiming {
                    name: place(matched(name, names::TAG_NAME)),
                    duration_ms: number(timing, names::DURATION),
                    description: place(matched(text(timing, names::DESCRIPTION), names::TAG_VALUE)),
                });
            }
        }
        let mut not_restored = Vec::new();
        reasons(get(entry, names::NOT_RESTORED_REASONS), &mut not_restored);
        let confidence = get(entry, names::CONFIDENCE);
        let fetch = Fetch {
            protocol: place(text(entry, names::NEXT_HOP_PROTOCOL)),
            delivery: Delivery::of(
                one_of(Delivery::ALL, text(entry, names::DELIVERY_TYPE)),
                number(entry, names::TRANSFER_SIZE),
                encoded_bytes,
                edges[0] > 0.0,
            ),
            encoded_bytes,
            server_timings,
            not_restored,
            confidence: one_of(ConfidenceLevel::ALL, text(confidence, names::VALUE)).map(|level| {
                Confidence { level, trigger_rate: number(confidence, names::RANDOMIZED_TRIGGER_RATE) }
            }),
        };
        self.document.fetched(Fetched { edges, fetch });
    }
}

/// Adds the reasons of a frame and the frames in it.
fn reasons(frame: Js, known: &mut Vec<u32>) {
    for reason in items(frame, names::REASONS) {
        let reason = place(text(reason, names::REASON));
        if known.len() < NOT_RESTORED_MAX && !known.contains(&reason) {
            known.push(reason);
        }
    }
    for child in items(frame, names::CHILDREN) {
        reasons(child, known);
    }
}

/// Whether the page asks for a `Server-Timing` entry of this name.
fn wants(name: Js) -> bool {
    let wanted = call_with(text(Js::DATA, names::SERVER_TIMING), names::SPLIT, names::COMMA);
    items(wanted, Js::ITSELF).any(|wanted| same(trim(wanted), name))
}

/// The class of the device's memory.
pub fn memory(navigator: Js) -> Option<Tier> {
    Tier::of_memory(number(navigator, names::DEVICE_MEMORY))
}

/// The class of its processor.
pub fn cpu(navigator: Js) -> Option<Tier> {
    Tier::of_cpu_tier(number(navigator, names::CPU_PERFORMANCE))
        .or_else(|| Tier::of_cores(number(navigator, names::HARDWARE_CONCURRENCY)))
}
