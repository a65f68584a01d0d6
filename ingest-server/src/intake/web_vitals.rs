//! Intake of metrics of the web-vitals library: one metric object, or an array of them.
//!
//! The shape is the library's `Metric` (versions 1 to 6): `name`, `value`, `id`, and in later versions
//! `navigationType`. The library's object has no page URL, so the client adds the URL to the query, or as `url` to the
//! object.

use super::foreign::{self, Decoded, Query, Reported, malformed};
use super::{Accepted, RefusedBody, Request};
use crate::directory::Snapshot;
use crate::limits;
use crate::outcome::Invalid;
use serde_json::{Map, Value as Json};
use vitals::beacon::{Dropped, Field, unknown_metric};
use vitals::metric::Metric;

/// Processes a body of the web-vitals library. Drops invalid metrics, and metrics of frameworks.
///
/// # Errors
/// Refuses a body without a valid metric, with the problem of the first one.
pub fn take(request: &Request<'_>, directory: &Snapshot, query: &Query) -> Result<Accepted, RefusedBody> {
    let Some(key) = query.site.as_deref() else {
        return Err(RefusedBody::invalid(
            Invalid::UnknownSite,
            "the query has no `site`; send to /v1/web-vitals?site=KEY",
        ));
    };
    foreign::admitted(request, directory, key, decode(request, query), query)
}

/// Returns the valid metrics of a body.
fn decode(request: &Request<'_>, query: &Query) -> Result<Decoded, RefusedBody> {
    let metrics = match foreign::json(request.body)? {
        Json::Array(metrics) => metrics,
        metric => vec![metric],
    };
    if metrics.is_empty() || metrics.len() > limits::FOREIGN_METRICS_MAX {
        return Err(malformed(format!(
            "the body has {} metrics; 1 to {} are taken",
            metrics.len(),
            limits::FOREIGN_METRICS_MAX
        )));
    }
    let mut decoded = Decoded::new("add `url` to the body or the query: the library's object has none");
    for (place, metric) in metrics.iter().enumerate() {
        let read = read(&format!("metric {place}"), metric, request, query, &mut decoded.dropped);
        decoded.add(read);
    }
    Ok(decoded)
}

/// Reads a metric object at a place of the body. `query` has the page's URL and its load, unless the object has them.
pub(super) fn read(
    place: &str,
    found: &Json,
    request: &Request<'_>,
    query: &Query,
    dropped: &mut Dropped,
) -> Result<Reported, RefusedBody> {
    let at = |what: String| format!("{place}: {what}");
    let Some(fields) = found.as_object() else { return Err(malformed(at("not an object".to_owned()))) };
    let Some(name) = fields.get("name").and_then(Json::as_str) else {
        return Err(malformed(at("`name` is missing or not a text".to_owned())));
    };
    let Some(metric) = Metric::from_name(name) else { return Err(malformed(at(unknown_metric(name)))) };
    let Some(number) = fields.get("value").and_then(Json::as_f64) else {
        return Err(malformed(at(format!("`value` of {name} is not a number"))));
    };
    let value = foreign::value(metric, number, place)?;
    let navigation_type = text(fields, "navigationType", Field::Nav, dropped)
        .and_then(|name| foreign::navigation_type(&name, dropped));
    let mut text = |name, field| text(fields, name, field, dropped);
    let id = text("id", Field::Unknown).unwrap_or_default();
    let (url, navigation_url) = (text("url", Field::Url), text("navigationURL", Field::Url));
    let id = foreign::view_id(query.pageview.as_deref(), &id, request.received_ms)
        .ok_or_else(|| RefusedBody::invalid(Invalid::Value, at("`id` is missing or empty".to_owned())))?;
    let url = url.or_else(|| query.url.clone()).or(navigation_url).unwrap_or_default();
    Ok(Reported { navigation_type, ..Reported::new(place, metric, value, id, url) })
}

/// Returns an optional text field.
fn text(fields: &Map<String, Json>, name: &str, field: Field, dropped: &mut Dropped) -> Option<String> {
    match fields.get(name)? {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        _ => {
            dropped.note(field);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::foreign::hash;
    use super::super::foreign::tests::{NOW_MS, query, request};
    use super::super::tests::directory;
    use super::*;
    use crate::outcome::{Filtered, Outcome};
    use fieldvitals_store::Context;
    use serde_json::json;
    use vitals::metric::Value;
    use vitals::view::{NavigationType, ViewId};

    fn metric(name: &str, value: f64, id: &str) -> serde_json::Value {
        json!({"name": name, "value": value, "delta": value, "rating": "good", "id": id,
               "navigationType": "back-forward", "entries": [{"startTime": 1}]})
    }

    fn id(random: u64) -> String {
        format!("v6-{}-{random:013}", NOW_MS - 5_000)
    }

    fn post(body: &serde_json::Value, query: &Query) -> Result<Accepted, RefusedBody> {
        let body = serde_json::to_vec(body).unwrap();
        take(&request(&body), &directory(), query)
    }

    #[test]
    fn metrics_count_on_their_own_or_joined_by_pageview() {
        let both = json!([metric("LCP", 1200.0, &id(1)), metric("CLS", 0.1, &id(2))]);
        let apart = post(&both, &query()).unwrap();
        assert_eq!(apart.updates.len(), 2);
        assert_eq!(apart.updates[0].navigation_type, Some(NavigationType::BackForward));
        assert_eq!(apart.updates[0].id.start_ms(), NOW_MS - 5_000);
        assert_eq!(apart.updates[0].url, "https://shop.example/a");
        for pageview in ["page-1", &format!("{}-x", NOW_MS - 10), &ViewId::new(NOW_MS as u64, 5).to_string()]
        {
            let joined = Query { pageview: Some(pageview.to_owned()), ..query() };
            let together = post(&both, &joined).unwrap();
            assert_eq!(together.updates.len(), 1, "{pageview}");
            assert_eq!(together.updates[0].values.iter().count(), 2);
            let later = post(&metric("INP", 90.0, &id(3)), &joined).unwrap();
            assert_eq!(later.updates[0].id, together.updates[0].id, "{pageview}");
        }
    }

    #[test]
    fn the_same_id_is_the_same_page_view() {
        let first = post(&metric("LCP", 1200.0, &id(1)), &query()).unwrap();
        let again = post(&metric("LCP", 1300.0, &id(1)), &query()).unwrap();
        let other = post(&metric("LCP", 1300.0, &id(2)), &query()).unwrap();
        assert_eq!(first.updates[0].id, again.updates[0].id);
        assert_ne!(first.updates[0].id, other.updates[0].id);
        let custom = post(&metric("LCP", 1200.0, "abc"), &query()).unwrap();
        assert_eq!(custom.updates[0].id.start_ms(), NOW_MS - NOW_MS % 3_600_000);
    }

    #[test]
    fn digits_are_a_time_only_in_a_documented_form_within_the_clocks_bounds() {
        let (recent, hour_ms) = (NOW_MS - 5_000, NOW_MS - NOW_MS % 3_600_000);
        for (text, start_ms) in [
            (format!("{recent}-k3x9q"), recent),
            (recent.to_string(), recent),
            (format!("v6-{recent}-4823105571846"), recent),
            (format!("{recent}-0823105571846"), recent),
            // A hexadecimal id, a UUID, a barcode, an order number.
            ("f1600000000000ab".to_owned(), hour_ms),
            ("ab9763632800000f1600000000000cde".to_owned(), hour_ms),
            (format!("a{recent}b"), hour_ms),
            ("9fceb02d-1111-4222-8333-1600000000000".to_owned(), hour_ms),
            ("4006381333931".to_owned(), hour_ms),
            ("4006381333931-2".to_owned(), hour_ms),
            ("order-1600000000000-7".to_owned(), hour_ms),
            (format!("v6-{recent}0-4823105571846"), hour_ms),
            (format!("vv-{recent}-4823105571846"), hour_ms),
        ] {
            let joined = Query { pageview: Some(text.clone()), ..query() };
            let by_pageview = post(&metric("LCP", 1200.0, "abc"), &joined).unwrap();
            let by_id = post(&metric("LCP", 1200.0, &text), &query()).unwrap();
            for accepted in [by_pageview, by_id] {
                assert_eq!(accepted.updates[0].id.start_ms(), start_ms, "{text}");
            }
        }
        for late in ["v6-1600000000000-1234567890123", "1600000000000-1234567890123"] {
            let joined = Query { pageview: Some(late.to_owned()), ..query() };
            let refused = post(&metric("LCP", 1.0, "abc"), &joined).unwrap_err();
            assert_eq!(refused.outcome, Outcome::Filtered(Filtered::Late), "{late}");
        }
    }

    #[test]
    fn no_random_id_is_refused_for_the_digits_in_it() {
        // Of 4,096 ids of 32 hexadecimal digits, about 28 contain a run of 13 decimal digits.
        let ids = (0_u32..4_096).map(|seed| format!("{:032x}", hash(seed.to_string())));
        let (mut runs, hour_ms) = (0, NOW_MS - NOW_MS % 3_600_000);
        for id in ids {
            let is_run = |run: &str| run.len() == 13;
            runs += usize::from(id.split(|char: char| !char.is_ascii_digit()).any(is_run));
            let joined = Query { pageview: Some(id.clone()), ..query() };
            let accepted = post(&metric("LCP", 1200.0, &id), &joined).unwrap();
            assert_eq!(accepted.updates[0].id.start_ms(), hour_ms, "{id}");
        }
        assert!(runs > 10, "{runs}");
    }

    #[test]
    fn a_metric_that_is_not_usable_costs_the_others_nothing() {
        let good = metric("LCP", 900.0, &id(1));
        let mut odd_type = metric("CLS", 0.1, &id(2));
        odd_type["navigationType"] = "teleport".into();
        let late = metric("LCP", 1.0, "v6-1600000000000-1234567890123");
        let mut elsewhere = metric("LCP", 1.0, &id(3));
        elsewhere["url"] = "about:blank".into();
        for (other, updates, field) in [
            (metric("Next.js-hydration", 120.0, "1763632800000-1"), 1, "values"),
            (metric("Next.js-render", 1.0, &id(4)), 1, "values"),
            (metric("LCP", -1.0, &id(4)), 1, "values"),
            (metric("LCP", 1.0, ""), 1, "values"),
            (json!({"name": "CLS", "value": null, "id": "x"}), 1, "values"),
            (json!({"name": "CLS"}), 1, "values"),
            (json!({"value": 1}), 1, "values"),
            (json!(null), 1, "values"),
            (json!("LCP"), 1, "values"),
            (late, 1, "values"),
            (elsewhere, 1, "values"),
            (odd_type, 2, "nav"),
        ] {
            for body in [json!([good, other]), json!([other, good])] {
                let accepted = post(&body, &query()).unwrap_or_else(|refused| panic!("{refused:?}: {body}"));
                let lcp = accepted.updates.iter().find_map(|update| update.values.get(Metric::Lcp));
                assert_eq!(lcp, Value::new(Metric::Lcp, 900.0).ok(), "{body}");
                let dropped: Vec<_> = accepted.dropped.counts().map(|(field, n)| (field.name(), n)).collect();
                assert_eq!((accepted.updates.len(), dropped), (updates, vec![(field, 1)]), "{body}");
                assert!(accepted.updates.iter().all(|update| update.context == Context::NONE));
            }
        }
        let watch = Query { device: Some("watch".into()), ..query() };
        let accepted = post(&good, &watch).unwrap();
        assert_eq!((accepted.updates[0].device, accepted.dropped.count(Field::Device)), (None, 1));
    }

    #[test]
    fn half_of_an_emoji_costs_nothing() {
        let text = json!([metric("LCP", 900.0, &id(1))]).to_string().replace("good", "\\ud83d");
        let request = request(text.as_bytes());
        assert_eq!(take(&request, &directory(), &query()).unwrap().updates.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (json!(metric("TBT", 1.0, &id(1))), query(), "unknown metric `TBT`"),
            (json!(metric("LCP", -1.0, &id(1))), query(), "metric 0: LCP: -1 is negative"),
            (json!([metric("XYZ", 1.0, &id(1)), {"name": "CLS"}]), query(), "metric 0: unknown metric `XYZ`"),
            (
                json!({"name": "LCP", "value": null, "id": "x"}),
                query(),
                "metric 0: `value` of LCP is not a number",
            ),
            (json!([]), query(), "1 to 64"),
            (json!("LCP"), query(), "metric 0: not an object"),
            (json!(metric("LCP", 1.0, "")), query(), "`id` is missing or empty"),
            (json!(metric("LCP", 1.0, &id(1))), Query { url: None, ..query() }, "tells no origin"),
            (json!(metric("LCP", 1.0, &id(1))), Query { site: None, ..query() }, "?site=KEY"),
        ];
        for (body, query, expected) in cases {
            let refused = post(&body, &query).unwrap_err();
            assert!(refused.message.contains(expected), "{} / {expected}", refused.message);
            assert!(matches!(refused.outcome, Outcome::Invalid(_)));
        }
        let old = metric("LCP", 1.0, "v6-1600000000000-1234567890123");
        assert_eq!(post(&old, &query()).unwrap_err().outcome, Outcome::Filtered(Filtered::Late));
    }
}
