//! Beacons that tests send.

use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use vitals::view::ViewId;

/// Returns the current time in UTC milliseconds.
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Returns the id of a page view that started 1 s ago; `number` makes it unique.
#[must_use]
pub fn view_id(number: u128) -> ViewId {
    ViewId::new(now_ms() - 1_000, number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// Builds a beacon with one page view.
#[must_use]
pub fn beacon(site: &str, id: ViewId, url: &str, values: &Value) -> Value {
    json!({
        "v": 1, "site": site, "seq": 1, "url": url, "device": "desktop", "connection": "4g",
        "views": [{"id": id.to_string(), "nav": "navigate", "values": values}],
    })
}
