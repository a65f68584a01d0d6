//! Beacons as tests send them.

use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use vitals::view::ViewId;

/// UTC milliseconds now.
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The id of a page view that started a second ago; `number` makes it unique.
#[must_use]
pub fn view_id(number: u128) -> ViewId {
    ViewId::new(now_ms() - 1_000, number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// A beacon with one page view.
#[must_use]
pub fn beacon(site: &str, id: ViewId, url: &str, values: &Value) -> Value {
    json!({
        "v": 1, "site": site, "seq": 1, "url": url, "device": "desktop", "connection": "4g",
        "views": [{"id": id.to_string(), "nav": "navigate", "values": values}],
    })
}
