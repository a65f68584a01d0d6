//! Beacons as the collector sends them, prepared so that sending one costs a copy.

use crate::{Random, Traffic};
use std::time::{SystemTime, UNIX_EPOCH};
use vitals::attribution::Attribution;
use vitals::beacon::{Wire, write};
use vitals::metric::Metric;
use vitals::snapshot::Snapshot;
use vitals::view::ViewId;

/// One beacon in 20 is a later snapshot of the view before it of the same sender.
pub const UPDATE_EVERY: u64 = 20;
/// A browser of a visitor. Servers filter programs.
pub const USER_AGENT: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/142.0.0.0 Mobile Safari/537.36";
/// Number of different bodies.
const BODIES: usize = 2_048;
/// Characters of an id.
const ID_CHARS: usize = 36;

/// Prepared bodies. Only the id and the sequence number of the page view are missing.
#[derive(Clone, Debug)]
pub struct Beacons {
    bodies: Vec<Body>,
    /// Mean size of a body, in bytes.
    pub body_bytes: f64,
}

#[derive(Clone, Debug)]
struct Body {
    bytes: Vec<u8>,
    id_at: usize,
    seq_at: usize,
}

impl Beacons {
    /// Prepares beacons of page views with all seven metrics, for the sites of some keys in turn. Needs a key. `head` comes
    /// before each body, such as the head of a request; it is made from the body's size in bytes.
    ///
    /// # Errors
    /// A page view cannot be written as JSON.
    pub fn of(keys: &[String], head: impl Fn(usize) -> String) -> Result<Self, serde_json::Error> {
        let mut traffic = Traffic::new(1, BODIES as u64, 0, 3_600_000);
        let mut bodies = Vec::with_capacity(BODIES);
        let mut body_bytes = 0;
        let mut keys = keys.iter().cycle();
        while bodies.len() < BODIES {
            let view = traffic.next_view();
            if view.values.iter().count() < Metric::COUNT {
                continue;
            }
            let snapshot = Snapshot::<String> {
                id: view.id,
                url: None,
                route: None,
                navigation_type: view.navigation_type,
                values: view.values,
                tti_gap: None,
                tbt: None,
                attribution: Attribution::NONE,
                engaged: None,
                first_input_ms: None,
            };
            let id = view.id.to_string();
            let wire = Wire {
                site: keys.next().map_or("", String::as_str),
                seq: 1,
                url: view.url.as_str(),
                device: view.device,
                connection: view.connection.as_deref().unwrap_or_default(),
                release: view.release.as_deref().unwrap_or_default(),
                views: vec![write::view(&snapshot.written(), &id, &[])],
                ..Wire::default()
            };
            let body = serde_json::to_string(&wire.json())?;
            body_bytes += body.len();
            let text = head(body.len()) + &body;
            let places = (text.find(&id), text.find("\"seq\":1").map(|at| at + 6));
            if let (Some(id_at), Some(seq_at)) = places {
                bodies.push(Body { bytes: text.into_bytes(), id_at, seq_at });
            }
        }
        Ok(Self { bodies, body_bytes: body_bytes as f64 / BODIES as f64 })
    }

    /// Writes the next beacon of a sender into a buffer, in the place of its content.
    pub fn fill(&self, buffer: &mut Vec<u8>, sender: &mut Sender) {
        let body = self.bodies.get(sender.number as usize % self.bodies.len().max(1));
        let (id, seq) = sender.next();
        buffer.clear();
        let Some(body) = body else { return };
        buffer.extend_from_slice(&body.bytes);
        if let Some(place) = buffer.get_mut(body.seq_at) {
            *place = seq;
        }
        if let Some(place) = buffer.get_mut(body.id_at..body.id_at + ID_CHARS) {
            write_id(place, id);
        }
    }
}

/// A sender of beacons, such as a connection. Most of its page views are new, and some are updates.
#[derive(Clone, Debug)]
pub struct Sender {
    random: Random,
    number: u64,
    last: ViewId,
}

impl Sender {
    /// Creates a sender whose ids no other sender and no other run has.
    #[must_use]
    pub fn new(number: usize) -> Self {
        // The seed contains the time, so that every run and sender has its own ids.
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        Self {
            random: Random::new(nanos ^ ((number as u64) << 50)),
            number: number as u64 * 31,
            last: ViewId::new(0, 0),
        }
    }

    fn next(&mut self) -> (ViewId, u8) {
        self.number += 1;
        if self.number.is_multiple_of(UPDATE_EVERY) && self.last.start_ms() > 0 {
            return (std::mem::replace(&mut self.last, ViewId::new(0, 0)), b'2');
        }
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let random = (u128::from(self.random.bits()) << 64) | u128::from(self.random.bits());
        self.last = ViewId::new(now_ms, random);
        (self.last, b'1')
    }
}

/// Writes an id without an allocation, because a client shares the machine with the measured server.
fn write_id(place: &mut [u8], id: ViewId) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut at = 0;
    for (number, &byte) in id.as_bytes().iter().enumerate() {
        if matches!(number, 4 | 6 | 8 | 10) {
            place[at] = b'-';
            at += 1;
        }
        place[at] = DIGITS[usize::from(byte >> 4)];
        place[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_body_is_a_whole_beacon_with_an_id_of_its_own() {
        let beacons = Beacons::of(&["key".to_owned()], |bytes| format!("{bytes}\r\n\r\n")).unwrap();
        let mut sender = Sender::new(3);
        let mut buffer = Vec::new();
        let (mut ids, mut updates) = (std::collections::HashSet::new(), 0);
        for _ in 0..1_000 {
            beacons.fill(&mut buffer, &mut sender);
            let at = buffer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
            let (head, body) = (std::str::from_utf8(&buffer[..at]).unwrap(), &buffer[at + 4..]);
            assert_eq!(head.parse(), Ok(body.len()));
            let beacon = vitals::beacon::decode(body).unwrap();
            let (seq, snapshots) = (beacon.seq, beacon.snapshots());
            assert_eq!(snapshots[0].values.iter().count(), Metric::COUNT);
            let new = ids.insert(snapshots[0].id);
            assert_eq!(new, seq == 1);
            updates += u32::from(!new);
        }
        assert_eq!(updates, 50);
    }
}
