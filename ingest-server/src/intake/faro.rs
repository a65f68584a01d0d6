//! Intake of the collect endpoint of Grafana Faro: measurements of the type `web-vitals`.
//!
//! The shape is `TransportBody` of `@grafana/faro-core` 2. A measurement has `values`, such as `{"lcp": 812, "delta":
//! 812}`, and a `context` with the web-vitals library's `id` and `navigation_type`. `meta` describes the page. Faro does
//! not name the page load, so `meta.page.attributes.pageview` joins its metrics, else each counts on its own.

use super::foreign::{self, Decoded, Query, Reported, malformed};
use super::{Accepted, RefusedBody, Request};
use crate::directory::Snapshot;
use crate::outcome::Invalid;
use serde_json::Value as Json;
use vitals::metric::Metric;

/// The type of Faro's measurements that are taken.
const TYPE: &str = "web-vitals";

/// Processes a body of Faro.
///
/// # Errors
/// The reason for refusing the body.
pub fn take(request: &Request<'_>, directory: &Snapshot, query: &Query) -> Result<Accepted, RefusedBody> {
    let Some(key) = query.site.as_deref() else {
        let message = "no site key; let Faro's `url` be https://HOST/collect/KEY, or set its `apiKey` to KEY";
        return Err(RefusedBody::invalid(Invalid::UnknownSite, message));
    };
    foreign::admitted(request, directory, key, decode(request, query), query)
}

fn decode(request: &Request<'_>, query: &Query) -> Result<Decoded, RefusedBody> {
    let body = foreign::json(request.body)?;
    if !body.is_object() {
        return Err(malformed("expected Faro's object with `meta` and `measurements`".to_owned()));
    }
    let meta = &body["meta"];
    let text = |value: &Json| value.as_str().map(str::to_owned);
    let mut decoded = Decoded::new("Faro sends it as `meta.page.url`, unless `metas` is set without it");
    decoded.page = text(&meta["page"]["url"]);
    let measurements = match &body["measurements"] {
        Json::Null => return Ok(decoded),
        Json::Array(measurements) => measurements,
        _ => return Err(malformed("`measurements` is not an array".to_owned())),
    };
    let pageview = query.pageview.as_deref().or_else(|| meta["page"]["attributes"]["pageview"].as_str());
    let url = decoded.page.clone().or_else(|| query.url.clone()).unwrap_or_default();
    let device = foreign::device(request.sender.os, meta["browser"]["mobile"].as_bool());
    let release = text(&meta["app"]["version"]);
    for (place, measurement) in measurements.iter().enumerate() {
        if measurement["type"] != TYPE {
            continue;
        }
        let place = format!("measurements[{place}]");
        let context = &measurement["context"];
        let navigation_type = context["navigation_type"]
            .as_str()
            .and_then(|name| foreign::navigation_type(name, &mut decoded.dropped));
        let id = context["id"].as_str().unwrap_or_default();
        let id = foreign::view_id(pageview, id, request.received_ms);
        for read in values(&place, &measurement["values"]) {
            decoded.add(read.and_then(|(metric, number)| {
                let value = foreign::value(metric, number, &place)?;
                let id = id.ok_or_else(|| {
                    RefusedBody::invalid(Invalid::Value, format!("{place}: `context.id` is missing or empty"))
                })?;
                let reported = Reported::new(&place, metric, value, id, url.clone());
                Ok(Reported { navigation_type, device, release: release.clone(), ..reported })
            }));
        }
    }
    Ok(decoded)
}

/// Returns the web vitals in `values`, or why there is none. Faro adds parts of a metric under other names.
fn values(place: &str, values: &Json) -> Vec<Result<(Metric, f64), RefusedBody>> {
    let Some(values) = values.as_object() else {
        return vec![Err(malformed(format!("{place}: `values` is not an object")))];
    };
    let found: Vec<_> = values
        .iter()
        .filter_map(|(name, number)| Some((Metric::from_name(name)?, number)))
        .map(|(metric, number)| match number.as_f64() {
            Some(number) => Ok((metric, number)),
            None => {
                let name = metric.name().to_lowercase();
                Err(malformed(format!("{place}: `values.{name}` is not a number")))
            }
        })
        .collect();
    if found.is_empty() {
        return vec![Err(malformed(format!("{place}: `values` has no web vital, such as `lcp`")))];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::foreign::tests::{NOW_MS, query, refusal, request};
    use super::super::tests::directory;
    use super::*;
    use crate::outcome::{Filtered, Outcome};
    use serde_json::json;
    use vitals::beacon::Field;
    use vitals::metric::Value;
    use vitals::view::{Device, NavigationType};

    /// What Faro 2.12 sends, shortened.
    fn body(change: impl Fn(&mut Json)) -> Vec<u8> {
        let id = |random: u64| format!("v6-{}-{random:013}", NOW_MS - 5_000);
        let mut body = json!({
            "meta": {
                "app": {"name": "shop", "version": "1.4.2"}, "session": {"id": "2KNXzAnJJw"},
                "browser": {"mobile": false}, "page": {"url": "https://shop.example/p/42?q=1"},
            },
            "measurements": [
                {"type": "web-vitals", "values": {"fcp": 232, "delta": 232, "first_byte_to_fcp": 198.7},
                 "context": {"id": id(1), "navigation_type": "reload", "rating": "good"}},
                {"type": "web-vitals", "values": {"cls": 0.02, "delta": 0.02}, "context": {"id": id(2)}},
                {"type": "custom", "values": {"cart": 3}},
            ],
            "events": [{"name": "session_start"}],
        });
        change(&mut body);
        serde_json::to_vec(&body).unwrap()
    }

    fn post(body: &[u8]) -> Result<Accepted, RefusedBody> {
        take(&request(body), &directory(), &query())
    }

    #[test]
    fn web_vitals_are_kept_and_the_page_is_that_of_meta() {
        let accepted = post(&body(|_| {})).unwrap();
        let first = &accepted.updates[0];
        assert_eq!(accepted.updates.len(), 2, "each metric counts on its own");
        assert_eq!((first.url.as_str(), first.route.as_str()), ("https://shop.example/p/42", "/p/:id"));
        assert_eq!(first.values.get(Metric::Fcp), Value::new(Metric::Fcp, 232.0).ok());
        assert_eq!(first.navigation_type, Some(NavigationType::Reload));
        assert_eq!((first.release.as_deref(), first.device), (Some("1.4.2"), Some(Device::Desktop)));
        assert_eq!(first.id.start_ms(), NOW_MS - 5_000);
        assert!(accepted.dropped.is_empty());
    }

    #[test]
    fn metrics_of_a_load_are_joined_by_the_attribute() {
        let load = format!("{}-x1", NOW_MS - 9_000);
        let joined = |body: &mut Json| body["meta"]["page"]["attributes"] = json!({"pageview": load});
        let accepted = post(&body(joined)).unwrap();
        assert_eq!((accepted.updates.len(), accepted.updates[0].id.start_ms()), (1, NOW_MS - 9_000));
        assert_eq!(accepted.updates[0].values.iter().count(), 2);
    }

    #[test]
    fn body_without_web_vitals_is_filtered() {
        for change in [
            (|body: &mut Json| drop(body.as_object_mut().unwrap().remove("measurements"))) as fn(&mut Json),
            |body| body["measurements"] = json!([{"type": "custom", "values": {"cart": 3}}]),
        ] {
            let refused = post(&body(change)).unwrap_err();
            assert_eq!(refused.outcome, Outcome::Filtered(Filtered::NoMetric), "{}", refused.message);
        }
    }

    #[test]
    fn invalid_measurement_costs_itself() {
        let accepted = post(&body(|body| body["measurements"][0]["values"]["fcp"] = "fast".into())).unwrap();
        assert_eq!((accepted.updates.len(), accepted.dropped.count(Field::Values)), (1, 1));
        assert_eq!(accepted.dropped.problem(), Some("measurements[0]: `values.fcp` is not a number"));
    }

    #[test]
    fn problems_are_named_in_terms_of_faro() {
        let only = |measurement: Json| move |body: &mut Json| body["measurements"] = json!([measurement]);
        for (measurement, expected) in [
            (json!({"type": "web-vitals"}), "measurements[0]: `values` is not an object"),
            (json!({"type": "web-vitals", "values": {"delta": 1}}), "`values` has no web vital"),
            (
                json!({"type": "web-vitals", "values": {"lcp": -1}, "context": {"id": "x"}}),
                "LCP: -1 is negative",
            ),
            (json!({"type": "web-vitals", "values": {"lcp": 1}}), "`context.id` is missing or empty"),
        ] {
            refusal(&post(&body(only(measurement))), expected);
        }
        refusal(&post(b"[]"), "`meta` and `measurements`");
        refusal(&post(&body(|body| body["measurements"] = 7.into())), "`measurements` is not an array");
        let no_page = |body: &mut Json| body["meta"] = json!({"page": {}});
        refusal(
            &take(
                &Request { origin: Some("https://shop.example"), ..request(&body(no_page)) },
                &directory(),
                &Query { url: None, ..query() },
            ),
            "`meta.page.url`",
        );
        refusal(&take(&request(&body(|_| {})), &directory(), &Query::default()), "/collect/KEY");
    }
}
