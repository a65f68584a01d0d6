//! Intake of metrics of the web-vitals library: one metric object, or an array of them.
//!
//! The shape is the library's `Metric` (versions 1 to 6): `name`, `value`, `id`, and in later versions
//! `navigationType`. The library's object has no page URL, so the client adds the URL to the query, or as `url` to the
//! object.

use super::page_url::PageUrl;
use super::{
    Accepted, RefusedBody, Request, admit, check_bot, check_clock, page_url, short_label, site_route,
};
use crate::directory::Snapshot;
use crate::intake::bounded_label;
use crate::limits;
use crate::outcome::Invalid;
use fieldvitals_store::{Context, Site, Source, ViewUpdate, Weight};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use vitals::beacon::{Dropped, Field, mended, too_deep, unknown_metric};
use vitals::metric::{Metric, Value, Values};
use vitals::view::{Device, NavigationType, ViewId};

/// The query of `POST /v1/web-vitals`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Query {
    /// The site's key.
    pub site: Option<String>,
    /// The page's URL, if the body has none.
    pub url: Option<String>,
    /// Joins the metrics of one page load into one page view.
    pub pageview: Option<String>,
    /// The release of the page.
    pub release: Option<String>,
    /// `phone`, `tablet` or `desktop`.
    pub device: Option<String>,
    /// The effective connection type.
    pub connection: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a metric object of the web-vitals library, or an array of them")]
enum Body {
    Many(Vec<serde_json::Value>),
    One(serde_json::Value),
}

/// A metric whose own object is valid.
struct Reported {
    /// Index in the body, from 0.
    place: usize,
    metric: Metric,
    value: Value,
    id: String,
    navigation_type: Option<NavigationType>,
    url: Option<String>,
    navigation_url: Option<String>,
}

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
    let mut dropped = Dropped::default();
    let reported = decode(request.body, &mut dropped)?;
    let url = |metric: &Reported| {
        metric
            .url
            .as_ref()
            .or(query.url.as_ref())
            .or(metric.navigation_url.as_ref())
            .cloned()
            .unwrap_or_default()
    };
    // The URL decides the origin if there is no `Origin` header.
    let first_url = reported.iter().map(url).find(|url| PageUrl::read(url).is_some()).unwrap_or_default();
    let (site, origin) = admit(request, directory, key, &first_url)?;
    let id = site.id;
    let updates = check_bot(request, false)
        .and_then(|()| updates(request, site, query, &reported, url, &mut dropped))
        .map_err(|refused| refused.of(id, &origin))?;
    Ok(Accepted { site: id, updates, dropped })
}

/// Returns the valid metrics of a body, at least one.
fn decode(body: &[u8], dropped: &mut Dropped) -> Result<Vec<Reported>, RefusedBody> {
    let text = std::str::from_utf8(body)
        .map_err(|_| RefusedBody::invalid(Invalid::NotUtf8, "the body is not UTF-8"))?;
    let malformed = |message: String| RefusedBody::invalid(Invalid::Malformed, message);
    if too_deep(text) {
        return Err(malformed(format!("nested more than {} deep", vitals::limits::JSON_DEPTH_MAX)));
    }
    let parsed = serde_json::from_str(text).or_else(|error| match mended(text) {
        Some((text, _)) => serde_json::from_str(&text),
        None => Err(error),
    });
    let metrics = match parsed.map_err(|error| malformed(error.to_string()))? {
        Body::Many(metrics) => metrics,
        Body::One(metric) => vec![metric],
    };
    if metrics.is_empty() || metrics.len() > limits::FOREIGN_METRICS_MAX {
        return Err(malformed(format!(
            "the body has {} metrics; 1 to {} are taken",
            metrics.len(),
            limits::FOREIGN_METRICS_MAX
        )));
    }
    let mut problem = None;
    let mut reported = Vec::with_capacity(metrics.len());
    for (place, metric) in metrics.into_iter().enumerate() {
        match Reported::read(place, &metric, dropped) {
            Ok(metric) => reported.push(metric),
            Err(what) => {
                dropped.note(Field::Values);
                problem.get_or_insert(what);
            }
        }
    }
    match problem {
        Some(refused) if reported.is_empty() => Err(refused),
        _ => Ok(reported),
    }
}

impl Reported {
    fn read(place: usize, found: &serde_json::Value, dropped: &mut Dropped) -> Result<Self, RefusedBody> {
        let malformed =
            |what: String| RefusedBody::invalid(Invalid::Malformed, format!("metric {place}: {what}"));
        let Some(fields) = found.as_object() else { return Err(malformed("not an object".to_owned())) };
        let Some(name) = fields.get("name").and_then(serde_json::Value::as_str) else {
            return Err(malformed("`name` is not a text".to_owned()));
        };
        let Some(metric) = Metric::from_name(name) else { return Err(malformed(unknown_metric(name))) };
        let Some(number) = fields.get("value").and_then(serde_json::Value::as_f64) else {
            return Err(malformed(format!("`value` of {name} is not a number")));
        };
        let value = Value::new(metric, number).map_err(|error| {
            RefusedBody::invalid(Invalid::Value, format!("metric {place}: {name}: {number} {error}"))
        })?;
        let navigation_type = text(fields, "navigationType", Field::Nav, dropped).and_then(|name| {
            let known = navigation_type(&name);
            if known.is_none() {
                dropped.note(Field::Nav);
            }
            known
        });
        let mut text = |name, field| text(fields, name, field, dropped);
        Ok(Self {
            place,
            metric,
            value,
            id: text("id", Field::Unknown).unwrap_or_default(),
            navigation_type,
            url: text("url", Field::Url),
            navigation_url: text("navigationURL", Field::Url),
        })
    }
}

/// Returns an optional text field.
fn text(
    fields: &serde_json::Map<String, serde_json::Value>,
    name: &str,
    field: Field,
    dropped: &mut Dropped,
) -> Option<String> {
    match fields.get(name)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        _ => {
            dropped.note(field);
            None
        }
    }
}

fn updates(
    request: &Request<'_>,
    site: &Site,
    query: &Query,
    reported: &[Reported],
    url: impl Fn(&Reported) -> String,
    dropped: &mut Dropped,
) -> Result<Vec<ViewUpdate>, RefusedBody> {
    let device = query.device.as_deref().filter(|name| !name.is_empty()).and_then(|name| {
        let device = Device::from_name(name);
        if device.is_none() {
            dropped.note(Field::Device);
        }
        device
    });
    let (mut updates, mut problem): (Vec<ViewUpdate>, _) = (Vec::new(), None);
    for metric in reported {
        let page = url(metric);
        let (id, url) = match place(request, query, metric, &page) {
            Ok(placed) => placed,
            Err(refused) => {
                dropped.note(Field::Values);
                problem.get_or_insert(refused);
                continue;
            }
        };
        // Merges the metrics of one page view into one update, so that its context is stored once. Of repeated metrics
        // the later value counts, because the library sends them in order.
        if let Some(update) = updates.iter_mut().find(|update| update.id == id) {
            update.values.set(metric.metric, Some(metric.value));
            continue;
        }
        let mut values = Values::EMPTY;
        values.set(metric.metric, Some(metric.value));
        updates.push(ViewUpdate {
            id,
            source: Source::Foreign,
            received_ms: request.received_ms,
            route: site_route::of_url(&url, site),
            url: url.text().into_owned(),
            navigation_type: metric.navigation_type,
            device,
            browser: request.sender.browser.map(str::to_owned),
            os: request.sender.os,
            connection: query.connection.clone().and_then(short_label),
            country: request.country.map(str::to_owned),
            release: query
                .release
                .clone()
                .and_then(|text| bounded_label(text, vitals::limits::RELEASE_BYTES_MAX)),
            values,
            tti_gap: None,
            weight: Weight::ONE,
            // Does not set the bit for dropped fields, because frameworks send their own metrics with every page.
            context: Context::NONE,
        });
    }
    match problem {
        Some(refused) if updates.is_empty() => Err(refused),
        _ => Ok(updates),
    }
}

/// Returns the page view and the page URL of a metric.
fn place<'a>(
    request: &Request<'_>,
    query: &Query,
    metric: &Reported,
    url: &'a str,
) -> Result<(ViewId, PageUrl<'a>), RefusedBody> {
    let place = metric.place;
    let invalid = |message: String| RefusedBody::invalid(Invalid::Value, message);
    if url.is_empty() {
        return Err(invalid(format!(
            "metric {place}: no page URL; add `url` to the body or the query: the library's object has none"
        )));
    }
    let url = page_url(url)?;
    let id = view_id(query.pageview.as_deref(), &metric.id, request.received_ms)
        .ok_or_else(|| invalid(format!("metric {place}: `id` is empty")))?;
    check_clock(id, request.received_ms)?;
    Ok((id, url))
}

/// Accepts underscores: versions 1 to 3 of the library wrote `back_forward`.
fn navigation_type(name: &str) -> Option<NavigationType> {
    NavigationType::from_name(&name.replace('_', "-"))
}

/// Returns the page view of a metric: shared by the same `pageview` if given, else one per metric `id`.
///
/// The page view starts at the time in `pageview`, else in the hour of the metric's `id`, which all reports of a
/// metric share, else in the hour of receipt. A `pageview` that is a fieldvitals id stays unchanged.
fn view_id(pageview: Option<&str>, id: &str, received_ms: i64) -> Option<ViewId> {
    const HOUR_MS: u64 = 3_600_000;
    let pageview = pageview.filter(|text| !text.is_empty());
    if let Some(id) = pageview.and_then(ViewId::parse) {
        return Some(id);
    }
    if id.is_empty() && pageview.is_none() {
        return None;
    }
    let hour = |ms: u64| ms.wrapping_sub(ms.wrapping_rem(HOUR_MS));
    let received = u64::try_from(received_ms).ok()?;
    let told = |text| told_ms(text, received);
    let start_ms = match pageview {
        Some(text) => told(text).unwrap_or_else(|| hour(told(id).unwrap_or(received))),
        None => told(id).unwrap_or_else(|| hour(received)),
    };
    Some(ViewId::new(start_ms, hash(pageview.unwrap_or(id))))
}

/// Parses UTC milliseconds from a text, in one of two forms.
///
/// - `v6-1763632800000-4823105571846`: an id of the library; its first versions have no `v6-`. Two numbers of 13 digits
///   are hardly a coincidence, so a time outside the clock's bounds means a late page view, which is refused.
/// - `1763632800000`, or `1763632800000-` and any text. The site's own ids may look the same (a barcode has 13 digits),
///   so a time outside the clock's bounds is ignored.
fn told_ms(text: &str, received_ms: u64) -> Option<u64> {
    let (version, unversioned) = text.split_once('-').unwrap_or(("", text));
    let is_version = version.strip_prefix('v').is_some_and(|number| {
        (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let (ms, rest) = if is_version { unversioned } else { text }.split_once('-').unwrap_or((text, ""));
    let told = digits_13(ms)?;
    let is_library = digits_13(rest).is_some();
    (is_library || received_ms.abs_diff(told) <= limits::CLOCK_SKEW_MS_MAX.unsigned_abs()).then_some(told)
}

/// A number of exactly 13 digits.
fn digits_13(text: &str) -> Option<u64> {
    (text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn hash(text: &str) -> u128 {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(16).fold(0, |number, &byte| (number << 8) | u128::from(byte))
}

#[cfg(test)]
mod tests {
    use super::super::browser::Sender;
    use super::super::tests::{NOW_MS, directory};
    use super::*;
    use crate::outcome::{Filtered, Outcome};
    use serde_json::json;

    fn query() -> Query {
        Query {
            site: Some("new".to_owned()),
            url: Some("https://shop.example/a?q=1".to_owned()),
            ..Query::default()
        }
    }

    fn metric(name: &str, value: f64, id: &str) -> serde_json::Value {
        json!({"name": name, "value": value, "delta": value, "rating": "good", "id": id,
               "navigationType": "back-forward", "entries": [{"startTime": 1}]})
    }

    fn id(random: u64) -> String {
        format!("v6-{}-{random:013}", NOW_MS - 5_000)
    }

    fn post(body: &serde_json::Value, query: &Query) -> Result<Accepted, RefusedBody> {
        let body = serde_json::to_vec(body).unwrap();
        take(
            &Request {
                body: &body,
                origin: None,
                host: None,
                sender: Sender::default(),
                left_alone: false,
                country: None,
                keep_bots: false,
                received_ms: NOW_MS,
            },
            &directory(),
            query,
        )
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
        let ids = (0_u32..4_096).map(|seed| format!("{:032x}", hash(&seed.to_string())));
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
        let request = Request {
            body: text.as_bytes(),
            origin: None,
            host: None,
            sender: Sender::default(),
            left_alone: false,
            country: None,
            keep_bots: false,
            received_ms: NOW_MS,
        };
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
            (json!(metric("LCP", 1.0, "")), query(), "`id` is empty"),
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
