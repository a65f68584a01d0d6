//! Encodes the conditions of a page view, which follow the other parts of its context.
//!
//! `[which parts follow (a byte), the parts in the order of their bits]`. The classes are two bytes: 3 bits the
//! protocol, 2 the delivery, 2 the visitor's engagement; 3 bits the round trip, 2 the memory, 2 the processor. Each
//! class is its number plus 1, or 0 if unknown. A confidence is its share of noise in percent; bit 7 is set if the
//! confidence is low.

use super::{list, many, number, numbers, take, text, texts};
use crate::context::conditions::Conditions;
use crate::context::texts::Code;
use vitals::fetch::{ConfidenceLevel, Delivery, Protocol};
use vitals::histogram::{EncodingError, write_varint};
use vitals::limits;
use vitals::view::{Rtt, Tier};

const PARTS: u8 = 1;
const SIZE: u8 = 1 << 1;
const SERVER: u8 = 1 << 2;
const NOT_RESTORED: u8 = 1 << 3;
const CONFIDENCE: u8 = 1 << 4;
const FIRST_INPUT: u8 = 1 << 5;
const CLASSES: u8 = 1 << 6;
/// The bit of a low confidence.
const LOW: u8 = 1 << 7;

pub(super) fn write(bytes: &mut Vec<u8>, conditions: &Conditions<Code>) {
    let place = bytes.len();
    let mut parts = 0;
    bytes.push(0);
    if let Some(parts_ms) = &conditions.ttfb_parts_ms {
        parts |= PARTS;
        numbers(bytes, parts_ms);
    }
    if let Some(kb) = conditions.document_kb {
        parts |= SIZE;
        numbers(bytes, &[kb]);
    }
    if !conditions.server_timings.is_empty() {
        parts |= SERVER;
        write_varint(bytes, conditions.server_timings.len() as u64);
        for &(name, ms, description) in &conditions.server_timings {
            texts(bytes, &[name, description]);
            numbers(bytes, &[ms]);
        }
    }
    if !conditions.not_restored.is_empty() {
        parts |= NOT_RESTORED;
        write_varint(bytes, conditions.not_restored.len() as u64);
        texts(bytes, &conditions.not_restored);
    }
    if let Some((level, noise_percent)) = conditions.confidence {
        parts |= CONFIDENCE;
        bytes.push(noise_percent | if level == ConfidenceLevel::Low { LOW } else { 0 });
    }
    if let Some(at_ms) = conditions.first_input_ms {
        parts |= FIRST_INPUT;
        numbers(bytes, &[at_ms]);
    }
    let Conditions { protocol, delivery, engaged, rtt, memory, cpu, .. } = *conditions;
    let of_load = class(protocol.map(|one| one as u8))
        | class(delivery.map(|one| one as u8)) << 3
        | class(engaged.map(u8::from)) << 5;
    let of_visitor = class(rtt.map(|one| one as u8))
        | class(memory.map(|one| one as u8)) << 3
        | class(cpu.map(|one| one as u8)) << 5;
    if (of_load, of_visitor) != (0, 0) {
        parts |= CLASSES;
        bytes.extend_from_slice(&[of_load, of_visitor]);
    }
    if let Some(byte) = bytes.get_mut(place) {
        *byte = parts;
    }
}

const fn class(number: Option<u8>) -> u8 {
    match number {
        Some(number) => number + 1,
        None => 0,
    }
}

pub(super) fn read(bytes: &mut &[u8]) -> Result<Conditions<Code>, EncodingError> {
    let [parts] = *take(bytes)?;
    let has = |part| parts & part != 0;
    let mut conditions = Conditions::default();
    if has(PARTS) {
        conditions.ttfb_parts_ms = Some(many(bytes)?);
    }
    if has(SIZE) {
        conditions.document_kb = Some(number(bytes)?);
    }
    if has(SERVER) {
        conditions.server_timings = list(bytes, limits::SERVER_TIMINGS_MAX, |bytes| {
            let (name, description) = (text(bytes)?, text(bytes)?);
            Ok((name, number(bytes)?, description))
        })?;
    }
    if has(NOT_RESTORED) {
        conditions.not_restored = list(bytes, limits::NOT_RESTORED_MAX, text)?;
    }
    if has(CONFIDENCE) {
        let [byte] = *take(bytes)?;
        let level = if byte & LOW == 0 { ConfidenceLevel::High } else { ConfidenceLevel::Low };
        conditions.confidence = Some((level, byte & !LOW));
    }
    if has(FIRST_INPUT) {
        conditions.first_input_ms = Some(number(bytes)?);
    }
    if has(CLASSES) {
        let [of_load, of_visitor] = *take(bytes)?;
        conditions.protocol = known(of_load & 7, Protocol::from_number)?;
        conditions.delivery = known(of_load >> 3 & 3, Delivery::from_number)?;
        conditions.engaged = known(of_load >> 5 & 3, |number| (number < 2).then_some(number == 1))?;
        conditions.rtt = known(of_visitor & 7, Rtt::from_number)?;
        conditions.memory = known(of_visitor >> 3 & 3, Tier::from_number)?;
        conditions.cpu = known(of_visitor >> 5 & 3, Tier::from_number)?;
    }
    Ok(conditions)
}

/// Returns the value of a class.
fn known<V>(class: u8, from_number: impl Fn(u8) -> Option<V>) -> Result<Option<V>, EncodingError> {
    match class.checked_sub(1) {
        None => Ok(None),
        Some(number) => from_number(number).map(Some).ok_or(EncodingError),
    }
}
