//! Intake of Umami's `/api/send`: its performance messages, and events that carry a metric of the web-vitals library.
//!
//! The shape is that of Umami 3, from the source of its tracker, which is not tested. The tracker (`data-performance`) sends
//! `{"type": "performance", "payload": {…}}` once a page, with `lcp`, `inp`, `cls`, `fcp`, `ttfb` and the page's `duration`.
//! `payload.website` is the site's key.

use super::foreign::{self, Decoded, Query, Reported, malformed};
use super::{Accepted, RefusedBody, Request, origin, web_vitals};
use crate::directory::Snapshot;
use crate::outcome::Invalid;
use serde_json::Value as Json;
use url::Url;
use vitals::metric::Metric;
use vitals::view::ViewId;

/// Processes a message of Umami.
///
/// # Errors
/// The reason for refusing the body.
pub fn take(request: &Request<'_>, directory: &Snapshot, query: &Query) -> Result<Accepted, RefusedBody> {
    let body = foreign::json(request.body)?;
    let payload = &body["payload"];
    if !payload.is_object() {
        return Err(malformed("`payload` is not an object".to_owned()));
    }
    let key = payload["website"].as_str().or(query.site.as_deref()).ok_or_else(|| {
        let message = "`payload.website` is missing or not a text; set data-website-id of the tracker to the site's key";
        RefusedBody::invalid(Invalid::UnknownSite, message)
    })?;
    foreign::admitted(request, directory, key, decode(request, &body, query), query)
}

fn decode(request: &Request<'_>, body: &Json, query: &Query) -> Result<Decoded, RefusedBody> {
    let payload = &body["payload"];
    let mut decoded = Decoded::new("Umami sends it as `payload.url`");
    decoded.page = Some(page_url(request, payload, query));
    match body["type"].as_str() {
        Some("performance") => performance(request, payload, &mut decoded),
        Some("event") => event(request, payload, query, &mut decoded),
        Some("identify") => {}
        _ => return Err(malformed("`type` is none of event, identify and performance".to_owned())),
    }
    Ok(decoded)
}

/// Reads the metrics of a page. One message has all of them, so the message is the page view.
fn performance(request: &Request<'_>, payload: &Json, decoded: &mut Decoded) {
    let id = view_id(request, payload);
    let url = decoded.page.clone().unwrap_or_default();
    let screen = payload["screen"].as_str().and_then(foreign::is_small);
    let device = foreign::device(request.sender.os, screen);
    for metric in [Metric::Lcp, Metric::Inp, Metric::Cls, Metric::Fcp, Metric::Ttfb] {
        let name = metric.name().to_lowercase();
        let place = format!("payload.{name}");
        let number = match &payload[&name] {
            Json::Null => continue,
            number => number.as_f64().ok_or_else(|| malformed(format!("`{place}` is not a number"))),
        };
        let read = number.and_then(|number| foreign::value(metric, number, &place));
        decoded.add(
            read.map(|value| Reported { device, ..Reported::new(&place, metric, value, id, url.clone()) }),
        );
    }
}

/// Reads an event whose data are a metric object of the web-vitals library: `umami.track('web-vitals', metric)`. Other
/// events have no metric.
fn event(request: &Request<'_>, payload: &Json, query: &Query, decoded: &mut Decoded) {
    let data = &payload["data"];
    if data["name"].as_str().and_then(Metric::from_name).is_none() || data["value"].is_null() {
        return;
    }
    let of_page = Query { url: decoded.page.clone(), ..query.clone() };
    let read = web_vitals::read("payload.data", data, request, &of_page, &mut decoded.dropped);
    decoded.add(read);
}

/// Returns the page view of a performance message. It starts `duration` before the message, which Umami stamps with
/// `timestamp` (in seconds) only if a program sends it. Equal messages of one millisecond are one page view.
fn view_id(request: &Request<'_>, payload: &Json) -> ViewId {
    let sent_ms = payload["timestamp"].as_i64().map(|seconds| seconds.saturating_mul(1_000));
    let sent_ms = u64::try_from(sent_ms.unwrap_or(request.received_ms)).unwrap_or_default();
    let mut hashed = request.body.to_vec();
    hashed.extend_from_slice(&sent_ms.to_be_bytes());
    let duration_ms = payload["duration"].as_f64().map_or(0, |ms| ms as u64);
    ViewId::new(sent_ms.saturating_sub(duration_ms), foreign::hash(hashed))
}

/// Returns the page's URL. A path, as Umami 2 sends it, is that of the request's origin, else of `hostname`.
fn page_url(request: &Request<'_>, payload: &Json, query: &Query) -> String {
    let Some(url) = payload["url"].as_str() else { return query.url.clone().unwrap_or_default() };
    if Url::parse(url).is_ok() {
        return url.to_owned();
    }
    let hostname = payload["hostname"].as_str().map(|host| format!("https://{host}"));
    let base = request.origin.filter(|origin| *origin != origin::NAMELESS).map(str::to_owned).or(hostname);
    let joined = base.and_then(|base| Url::parse(&base).ok()).and_then(|base| base.join(url).ok());
    joined.map_or_else(|| url.to_owned(), String::from)
}

#[cfg(test)]
mod tests {
    use super::super::browser::Sender;
    use super::super::foreign::tests::{NOW_MS, query, refusal, request};
    use super::super::tests::directory;
    use super::*;
    use crate::outcome::{Filtered, Outcome};
    use serde_json::json;
    use vitals::beacon::Field;
    use vitals::metric::Value;
    use vitals::view::{Device, Os};

    /// What the tracker of Umami 3.1 sends, by its source.
    fn performance(change: impl Fn(&mut Json)) -> Vec<u8> {
        let mut body = json!({"type": "performance", "payload": {
            "website": "new", "screen": "390x844", "language": "en-US", "title": "Shop", "hostname": "shop.example",
            "url": "https://shop.example/p/42?q=1", "referrer": "", "lcp": 912.4, "cls": 0.02, "fcp": 700, "ttfb": 120.5,
            "duration": 5_000,
        }});
        change(&mut body);
        serde_json::to_vec(&body).unwrap()
    }

    fn post(body: &[u8]) -> Result<Accepted, RefusedBody> {
        let sender = Sender { os: Some(Os::Ios), ..Sender::default() };
        take(&Request { sender, ..request(body) }, &directory(), &Query::default())
    }

    #[test]
    fn performance_message_is_one_page_view() {
        let accepted = post(&performance(|_| {})).unwrap();
        let [update] = &accepted.updates[..] else { panic!("{accepted:?}") };
        assert_eq!((update.url.as_str(), update.values.iter().count()), ("https://shop.example/p/42", 4));
        assert_eq!(update.values.get(Metric::Lcp), Value::new(Metric::Lcp, 912.4).ok());
        assert_eq!((update.id.start_ms(), update.device), (NOW_MS - 5_000, Some(Device::Phone)));
        assert_eq!(post(&performance(|_| {})).unwrap().updates[0].id, update.id);
        let other = post(&performance(|body| body["payload"]["title"] = "x".into())).unwrap();
        assert_ne!(other.updates[0].id, update.id);
        let fractional = post(&performance(|body| body["payload"]["duration"] = 5_000.7.into())).unwrap();
        assert_eq!(fractional.updates[0].id.start_ms(), NOW_MS - 5_000);
    }

    #[test]
    fn path_is_that_of_the_origin_or_the_hostname() {
        let body = performance(|body| body["payload"]["url"] = "/cart?x=1".into());
        for (origin, expected) in [
            (None, "https://shop.example/cart"),
            (Some("null"), "https://shop.example/cart"),
            (Some("https://shop.example"), "https://shop.example/cart"),
        ] {
            let update = take(&Request { origin, ..request(&body) }, &directory(), &query())
                .unwrap()
                .updates
                .remove(0);
            assert_eq!(update.url, expected, "{origin:?}");
        }
    }

    #[test]
    fn event_with_a_metric_is_kept_and_other_messages_filtered() {
        let metric =
            json!({"name": "INP", "value": 80, "id": format!("v6-{}-1234567890123", NOW_MS - 5_000)});
        let event = |data: &Json| {
            performance(|body| {
                body["type"] = "event".into();
                body["payload"]["data"] = data.clone();
            })
        };
        let accepted = post(&event(&metric)).unwrap();
        assert_eq!(accepted.updates[0].values.get(Metric::Inp), Value::new(Metric::Inp, 80.0).ok());
        let identify = performance(|body| body["type"] = "identify".into());
        let soft =
            performance(|body| body["payload"] = json!({"website": "new", "url": "https://shop.example/"}));
        for other in [event(&Json::Null), event(&json!({"name": "cart", "value": 3})), identify, soft] {
            assert_eq!(post(&other).unwrap_err().outcome, Outcome::Filtered(Filtered::NoMetric));
        }
    }

    #[test]
    fn invalid_metric_costs_itself() {
        let accepted = post(&performance(|body| body["payload"]["lcp"] = "fast".into())).unwrap();
        assert_eq!(
            (accepted.updates[0].values.iter().count(), accepted.dropped.count(Field::Values)),
            (3, 1)
        );
        assert_eq!(accepted.dropped.problem(), Some("`payload.lcp` is not a number"));
    }

    #[test]
    fn problems_are_named_in_terms_of_umami() {
        refusal(&post(b"{}"), "`payload` is not an object");
        refusal(&post(&performance(|body| body["type"] = "x".into())), "`type` is none of");
        refusal(&post(&performance(|body| body["payload"]["website"] = 7.into())), "data-website-id");
        let only = |payload: Json| {
            let body = serde_json::to_vec(&json!({"type": "performance", "payload": payload})).unwrap();
            take(
                &Request { origin: Some("https://shop.example"), ..request(&body) },
                &directory(),
                &Query::default(),
            )
        };
        refusal(&only(json!({"website": "new", "lcp": -1})), "payload.lcp: LCP: -1 is negative");
        refusal(&only(json!({"website": "new", "lcp": 1})), "`payload.url`");
        refusal(&only(json!({"website": "nobody", "lcp": 1})), "`nobody`");
    }
}
