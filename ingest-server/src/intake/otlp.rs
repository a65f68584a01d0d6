//! Intake of OpenTelemetry logs, OTLP/HTTP in JSON: events named `browser.web_vital`.
//!
//! The event is that of the semantic conventions, as `@opentelemetry/browser-instrumentation` emits it: attributes
//! `browser.web_vital.name`, `.value`, `.id` and `.navigation_type`. The page's URL is the attribute `url.full` of the
//! record, or of its resource; the instrumentation leaves it to the page. Records of other names are ignored.

use super::foreign::{self, Decoded, Query, Reported, malformed};
use super::{Accepted, RefusedBody, Request};
use crate::directory::Snapshot;
use crate::outcome::Invalid;
use serde_json::Value as Json;
use vitals::beacon::unknown_metric;
use vitals::metric::Metric;

/// The name of the event.
const EVENT: &str = "browser.web_vital";
/// The attribute that joins the metrics of a page load.
const PAGEVIEW: &str = "fieldvitals.pageview";
/// The attribute with the page's URL.
const URL: &str = "url.full";

/// Processes an `ExportLogsServiceRequest`.
///
/// # Errors
/// The reason for refusing the body.
pub fn take(request: &Request<'_>, directory: &Snapshot, query: &Query) -> Result<Accepted, RefusedBody> {
    let Some(key) = query.site.as_deref() else {
        let message = "no site key; let the exporter's `url` be https://HOST/v1/logs?site=KEY, or send the header \
                       `x-api-key: KEY`";
        return Err(RefusedBody::invalid(Invalid::UnknownSite, message));
    };
    foreign::admitted(request, directory, key, decode(request, query), query)
}

fn decode(request: &Request<'_>, query: &Query) -> Result<Decoded, RefusedBody> {
    let expected = "expected OTLP logs as JSON (`http/json`), not as protobuf";
    let body = foreign::json(request.body).map_err(|refused| {
        let message = format!("{}; {expected}", refused.message);
        RefusedBody::new(refused.outcome, message)
    })?;
    let Some(resources) = body["resourceLogs"].as_array() else {
        return Err(malformed(format!("`resourceLogs` is missing or not an array; {expected}")));
    };
    let mut decoded =
        Decoded::new("set the attribute `url.full` in `applyCustomLogRecordData` of the instrumentation");
    let mut place = 0_usize;
    for logs in resources {
        let resource = Resource::read(&Attributes(&logs["resource"]["attributes"]));
        let scopes = logs["scopeLogs"].as_array().into_iter().flatten();
        for record in scopes.flat_map(|scope| scope["logRecords"].as_array().into_iter().flatten()) {
            let attributes = Attributes(&record["attributes"]);
            let name = record["eventName"].as_str().or_else(|| attributes.text("event.name"));
            if name == Some(EVENT) {
                let at = format!("log record {place}");
                if decoded.is_full() {
                    decoded.drop_further(&at);
                } else {
                    let read = read(&at, &attributes, &resource, request, query);
                    let read = read.map(|(reported, navigation)| Reported {
                        navigation_type: navigation
                            .and_then(|name| foreign::navigation_type(name, &mut decoded.dropped)),
                        ..reported
                    });
                    decoded.add(read);
                }
            }
            place = place.saturating_add(1);
        }
    }
    Ok(decoded)
}

/// Reads an event; returns the name of its navigation type beside it.
fn read<'a>(
    place: &str,
    attributes: &Attributes<'a>,
    resource: &Resource<'_>,
    request: &Request<'_>,
    query: &Query,
) -> Result<(Reported, Option<&'a str>), RefusedBody> {
    let missing =
        |name: &str, kind: &str| malformed(format!("{place}: attribute `{EVENT}.{name}` is not {kind}"));
    let name = attributes.text("browser.web_vital.name").ok_or_else(|| missing("name", "a text"))?;
    let metric =
        Metric::from_name(name).ok_or_else(|| malformed(format!("{place}: {}", unknown_metric(name))))?;
    let number = attributes.number("browser.web_vital.value").ok_or_else(|| missing("value", "a number"))?;
    let value = foreign::value(metric, number, place)?;
    let pageview = query.pageview.as_deref().or_else(|| attributes.text(PAGEVIEW)).or(resource.pageview);
    let id = attributes.text("browser.web_vital.id").unwrap_or_default();
    let id = foreign::view_id(pageview, id, request.received_ms).ok_or_else(|| missing("id", "a text"))?;
    let url = attributes.text(URL).or(resource.url).or(query.url.as_deref()).unwrap_or_default().to_owned();
    let reported = Reported {
        device: foreign::device(request.sender.os, resource.is_mobile),
        release: resource.release.map(str::to_owned),
        ..Reported::new(place, metric, value, id, url)
    };
    Ok((reported, attributes.text("browser.web_vital.navigation_type")))
}

/// The attributes of a resource that events have in common. Read once, because a resource may have thousands of both.
struct Resource<'a> {
    url: Option<&'a str>,
    pageview: Option<&'a str>,
    is_mobile: Option<bool>,
    release: Option<&'a str>,
}

impl<'a> Resource<'a> {
    fn read(attributes: &Attributes<'a>) -> Self {
        Self {
            url: attributes.text(URL),
            pageview: attributes.text(PAGEVIEW),
            is_mobile: attributes.flag("browser.mobile"),
            release: attributes.text("service.version"),
        }
    }
}

/// A list of `{"key", "value": {"stringValue" | "intValue" | "doubleValue" | "boolValue"}}`.
struct Attributes<'a>(&'a Json);

impl<'a> Attributes<'a> {
    fn get(&self, key: &str) -> Option<&'a Json> {
        self.0.as_array()?.iter().find(|attribute| attribute["key"] == key).map(|found| &found["value"])
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key)?["stringValue"].as_str()
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?["boolValue"].as_bool()
    }

    /// A number. Protobuf's JSON writes 64-bit integers as texts; some exporters write numbers.
    fn number(&self, key: &str) -> Option<f64> {
        let value = self.get(key)?;
        let integer = &value["intValue"];
        value["doubleValue"]
            .as_f64()
            .or_else(|| integer.as_f64())
            .or_else(|| integer.as_str()?.parse::<i64>().ok().map(|number| number as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::super::foreign::tests::{NOW_MS, query, refusal, request};
    use super::super::tests::directory;
    use super::*;
    use crate::limits;
    use crate::outcome::{Filtered, Outcome};
    use serde_json::json;
    use vitals::beacon::Field;
    use vitals::metric::Value;
    use vitals::view::{Device, NavigationType};

    fn text(key: &str, value: &str) -> Json {
        json!({"key": key, "value": {"stringValue": value}})
    }

    fn record(name: &str, value: &Json, random: u64) -> Json {
        json!({"timeUnixNano": "1796091664368500000", "severityNumber": 9, "body": {}, "eventName": EVENT, "attributes": [
            text("browser.web_vital.name", name), {"key": "browser.web_vital.value", "value": value},
            text("browser.web_vital.id", &format!("v5-{}-{random:013}", NOW_MS - 5_000)),
            text("browser.web_vital.navigation_type", "navigate"), text("url.full", "https://shop.example/p/42?q"),
        ]})
    }

    fn body(records: &[Json]) -> Vec<u8> {
        let resource = json!({"attributes": [text("service.version", "1.4.2")]});
        let scope = json!({"scope": {"name": "x"}, "logRecords": records});
        serde_json::to_vec(&json!({"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]})).unwrap()
    }

    fn post(records: &[Json]) -> Result<Accepted, RefusedBody> {
        take(&request(&body(records)), &directory(), &query())
    }

    #[test]
    fn events_are_kept_and_other_records_ignored() {
        let log = json!({"body": {"stringValue": "hello"}, "attributes": []});
        let records = [
            log,
            record("ttfb", &json!({"doubleValue": 8.5}), 1),
            record("fcp", &json!({"intValue": 76}), 2),
            record("lcp", &json!({"intValue": "912"}), 3),
        ];
        let accepted = post(&records).unwrap();
        assert_eq!(accepted.updates.len(), 3);
        assert_eq!(accepted.updates[2].values.get(Metric::Lcp), Value::new(Metric::Lcp, 912.0).ok());
        let first = &accepted.updates[0];
        assert_eq!(
            (first.url.as_str(), first.release.as_deref()),
            ("https://shop.example/p/42", Some("1.4.2"))
        );
        assert_eq!(first.navigation_type, Some(NavigationType::Navigate));
        assert!(accepted.dropped.is_empty());
    }

    #[test]
    fn events_of_a_load_are_joined_by_the_attribute() {
        let mut records =
            [record("cls", &json!({"intValue": 0}), 1), record("inp", &json!({"intValue": 80}), 2)];
        for record in &mut records {
            record["attributes"].as_array_mut().unwrap().push(text(PAGEVIEW, "load-1"));
        }
        assert_eq!(post(&records).unwrap().updates.len(), 1);
    }

    #[test]
    fn attributes_of_the_resource_apply_to_its_events() {
        let mut records =
            [record("cls", &json!({"intValue": 0}), 1), record("inp", &json!({"intValue": 80}), 2)];
        for record in &mut records {
            record["attributes"].as_array_mut().unwrap().pop();
        }
        let mut body: Json = serde_json::from_slice(&body(&records)).unwrap();
        let resource = body["resourceLogs"][0]["resource"]["attributes"].as_array_mut().unwrap();
        resource.extend([
            text(URL, "https://shop.example/cart"),
            text(PAGEVIEW, "load-1"),
            json!({"key": "browser.mobile", "value": {"boolValue": false}}),
        ]);
        let body = serde_json::to_vec(&body).unwrap();
        let accepted = take(&request(&body), &directory(), &query()).unwrap();
        let [update] = &accepted.updates[..] else { panic!("{accepted:?}") };
        assert_eq!((update.url.as_str(), update.values.iter().count()), ("https://shop.example/cart", 2));
        assert_eq!((update.release.as_deref(), update.device), (Some("1.4.2"), Some(Device::Desktop)));
    }

    #[test]
    fn events_past_the_bound_are_not_read_and_counted() {
        let mut records: Vec<Json> = (0..=limits::FOREIGN_METRICS_MAX as u64)
            .map(|number| record("lcp", &json!({"intValue": 9}), number))
            .collect();
        let last = records.last_mut().unwrap();
        last["attributes"][3] = text("browser.web_vital.navigation_type", "sideways");
        let accepted = post(&records).unwrap();
        assert_eq!(accepted.updates.len(), limits::FOREIGN_METRICS_MAX);
        assert_eq!((accepted.dropped.count(Field::Values), accepted.dropped.count(Field::Nav)), (1, 0));
    }

    #[test]
    fn logs_without_events_are_filtered() {
        for records in [&[][..], &[json!({"eventName": "browser.navigation"})]] {
            let refused = post(records).unwrap_err();
            assert_eq!(refused.outcome, Outcome::Filtered(Filtered::NoMetric));
        }
    }

    #[test]
    fn invalid_event_costs_itself() {
        let accepted = post(&[
            record("lcp", &json!({"stringValue": "9"}), 1),
            record("fcp", &json!({"intValue": 9}), 2),
        ]);
        let accepted = accepted.unwrap();
        assert_eq!((accepted.updates.len(), accepted.dropped.count(Field::Values)), (1, 1));
        let problem = "log record 0: attribute `browser.web_vital.value` is not a number";
        assert_eq!(accepted.dropped.problem(), Some(problem));
    }

    #[test]
    fn problems_are_named_in_terms_of_otlp() {
        refusal(&take(&request(b"\x0a\xff\x01"), &directory(), &query()), "not as protobuf");
        refusal(
            &take(&request(b"{\"resourceSpans\":[]}"), &directory(), &query()),
            "`resourceLogs` is missing or not an array",
        );
        refusal(&post(&[record("tbt", &json!({"intValue": 1}), 1)]), "log record 0: unknown metric `tbt`");
        let mut no_url = record("lcp", &json!({"intValue": 1}), 1);
        no_url["attributes"].as_array_mut().unwrap().pop();
        let body = body(&[no_url]);
        let without = Query { url: None, ..query() };
        let of_page = Request { origin: Some("https://shop.example"), ..request(&body) };
        refusal(&take(&of_page, &directory(), &without), "`url.full`");
        refusal(&take(&request(&body), &directory(), &Query::default()), "/v1/logs?site=KEY");
    }
}
