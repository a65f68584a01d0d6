//! Shared code of the intakes of other libraries.
//!
//! A format's module decodes a body to [`Decoded`]; [`admitted`] makes page view updates of it. An invalid metric costs
//! itself. A body without a metric, such as a log or a click of the same library, is filtered.

use super::page_url::PageUrl;
use super::{
    Accepted, RefusedBody, Request, admit, bounded_label, check_bot, check_clock, page_url, short_label,
    site_route,
};
use crate::directory::Snapshot;
use crate::limits;
use crate::outcome::{Filtered, Invalid};
use fieldvitals_store::{Context, Site, Source, ViewUpdate, Weight};
use serde::Deserialize;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use vitals::beacon::{Dropped, Field, mended, too_deep};
use vitals::metric::{Metric, Value, Values};
use vitals::view::{Device, NavigationType, Os, ViewId};

/// The query of the endpoints for other libraries. Other parameters are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
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

/// A valid metric of a body.
pub(super) struct Reported {
    /// Its place in the body, for messages: `metric 0`.
    pub place: String,
    pub metric: Metric,
    pub value: Value,
    /// Its page view.
    pub id: ViewId,
    /// The page's URL, as sent; empty if the body has none.
    pub url: String,
    pub navigation_type: Option<NavigationType>,
    pub device: Option<Device>,
    pub connection: Option<String>,
    pub release: Option<String>,
}

impl Reported {
    pub(super) fn new(place: &str, metric: Metric, value: Value, id: ViewId, url: String) -> Self {
        Self {
            place: place.to_owned(),
            metric,
            value,
            id,
            url,
            navigation_type: None,
            device: None,
            connection: None,
            release: None,
        }
    }
}

/// A decoded body.
pub(super) struct Decoded {
    /// The valid metrics, at most [`limits::FOREIGN_METRICS_MAX`].
    metrics: Vec<Reported>,
    /// Counts of the invalid fields.
    pub dropped: Dropped,
    /// Why the first invalid metric is not usable.
    problem: Option<RefusedBody>,
    /// The page of the whole body. It decides the origin of a body without a metric.
    pub page: Option<String>,
    /// Advice for a missing page URL.
    url_hint: &'static str,
}

impl Decoded {
    pub(super) fn new(url_hint: &'static str) -> Self {
        Self { metrics: Vec::new(), dropped: Dropped::default(), problem: None, page: None, url_hint }
    }

    /// Keeps a metric, or counts it as dropped.
    pub(super) fn add(&mut self, read: Result<Reported, RefusedBody>) {
        match read {
            Ok(metric) if self.is_full() => self.drop_further(&metric.place),
            Ok(metric) => self.metrics.push(metric),
            Err(refused) => self.drop_value(refused),
        }
    }

    /// Whether further metrics are dropped.
    pub(super) fn is_full(&self) -> bool {
        self.metrics.len() >= limits::FOREIGN_METRICS_MAX
    }

    /// Counts a metric past the bound as dropped.
    pub(super) fn drop_further(&mut self, place: &str) {
        let max = limits::FOREIGN_METRICS_MAX;
        self.drop_value(malformed(format!(
            "{place}: the body has more than {max} metrics; send smaller batches"
        )));
    }

    /// Returns the first text that is the URL of a page.
    fn first_url(&self) -> Option<&str> {
        let mut urls = self.metrics.iter().map(|metric| metric.url.as_str()).chain(self.page.as_deref());
        urls.find(|url| PageUrl::read(url).is_some())
    }

    /// Refuses a body whose metrics are all invalid.
    fn checked(mut self) -> Result<Self, RefusedBody> {
        match self.problem.take() {
            Some(refused) if self.metrics.is_empty() => Err(refused),
            problem => Ok(Self { problem, ..self }),
        }
    }

    fn drop_value(&mut self, refused: RefusedBody) {
        self.dropped.because(Field::Values, || refused.message.clone());
        self.problem.get_or_insert(refused);
    }
}

/// Makes page view updates of the metrics that a site admits. A refusal of a known site's body is of the site, so that only
/// its readers see it.
///
/// # Errors
/// The reason for refusing all metrics. `no_metric` if the body has none, not even an invalid one.
pub(super) fn admitted(
    request: &Request<'_>,
    directory: &Snapshot,
    key: &str,
    decoded: Result<Decoded, RefusedBody>,
    query: &Query,
) -> Result<Accepted, RefusedBody> {
    // The URL decides the origin if there is no `Origin` header.
    let of_body = decoded.as_ref().ok().and_then(Decoded::first_url);
    let of_query = query.url.as_deref().filter(|url| PageUrl::read(url).is_some());
    let admission = admit(request, directory, key, of_body.or(of_query).unwrap_or_default());
    let mut decoded = decoded.and_then(Decoded::checked).map_err(|refused| match &admission {
        Ok((site, origin)) => refused.of(site.id, origin),
        Err(RefusedBody { site: Some(site), origin, .. }) => {
            refused.of(*site, origin.as_deref().unwrap_or_default())
        }
        Err(_) => refused,
    })?;
    let (site, origin) = admission?;
    let (id, origin) = (site.id, origin.into_owned());
    let updates = check_bot(request, false)
        .and_then(|()| updates(request, site, &mut decoded, query))
        .map_err(|refused| refused.of(id, &origin))?;
    Ok(Accepted { site: id, updates, dropped: decoded.dropped })
}

fn updates(
    request: &Request<'_>,
    site: &Site,
    decoded: &mut Decoded,
    query: &Query,
) -> Result<Vec<ViewUpdate>, RefusedBody> {
    let metrics = std::mem::take(&mut decoded.metrics);
    if metrics.is_empty() {
        let message = "the body has no web vital; its events, logs and other measurements are not kept";
        return Err(RefusedBody::filtered(Filtered::NoMetric, message));
    }
    let named_device = query.device.as_deref().filter(|name| !name.is_empty()).and_then(|name| {
        let device = Device::from_name(name);
        if device.is_none() {
            decoded.dropped.note(Field::Device);
        }
        device
    });
    let mut updates: Vec<ViewUpdate> = Vec::new();
    for mut metric in metrics {
        let release = query.release.clone().or_else(|| metric.release.take());
        let connection = query.connection.clone().or_else(|| metric.connection.take());
        let url = match page(&metric, request.received_ms, decoded.url_hint) {
            Ok(url) => url,
            Err(refused) => {
                decoded.drop_value(refused);
                continue;
            }
        };
        // Merges the metrics of one page view into one update, so that its context is stored once. Of repeated metrics
        // the later value counts, because the libraries send them in order.
        if let Some(update) = updates.iter_mut().find(|update| update.id == metric.id) {
            update.values.set(metric.metric, Some(metric.value));
            continue;
        }
        let mut values = Values::EMPTY;
        values.set(metric.metric, Some(metric.value));
        updates.push(ViewUpdate {
            id: metric.id,
            source: Source::Foreign,
            received_ms: request.received_ms,
            route: site_route::of_url(&url, site),
            url: url.text().into_owned(),
            navigation_type: metric.navigation_type,
            device: named_device.or(metric.device),
            browser: request.sender.browser.map(str::to_owned),
            os: request.sender.os,
            connection: connection.and_then(short_label),
            country: request.country.map(str::to_owned),
            release: release.and_then(|text| bounded_label(text, vitals::limits::RELEASE_BYTES_MAX)),
            values,
            tti_gap: None,
            weight: Weight::ONE,
            // Does not set the bit for dropped fields, because frameworks send their own metrics with every page.
            context: Context::NONE,
        });
    }
    match decoded.problem.take() {
        Some(refused) if updates.is_empty() => Err(refused),
        _ => Ok(updates),
    }
}

/// Returns the page's URL of a metric whose page view is in time.
fn page<'a>(metric: &'a Reported, received_ms: i64, url_hint: &str) -> Result<PageUrl<'a>, RefusedBody> {
    let place = &metric.place;
    if metric.url.is_empty() {
        let message = format!("{place}: no page URL; {url_hint}");
        return Err(RefusedBody::invalid(Invalid::Value, message));
    }
    let url = page_url(&metric.url)?;
    check_clock(metric.id, received_ms)?;
    Ok(url)
}

/// Parses a body of JSON.
///
/// # Errors
/// If the body is not UTF-8, not JSON, or nested too deep.
pub(super) fn json(body: &[u8]) -> Result<Json, RefusedBody> {
    let text = std::str::from_utf8(body)
        .map_err(|_| RefusedBody::invalid(Invalid::NotUtf8, "the body is not UTF-8"))?;
    if too_deep(text) {
        return Err(malformed(format!("nested more than {} deep", vitals::limits::JSON_DEPTH_MAX)));
    }
    let parsed = serde_json::from_str(text).or_else(|error| match mended(text) {
        Some((text, _)) => serde_json::from_str(&text),
        None => Err(error),
    });
    parsed.map_err(|error| malformed(error.to_string()))
}

pub(super) fn malformed(message: String) -> RefusedBody {
    RefusedBody::invalid(Invalid::Malformed, message)
}

/// Checks the value of a metric at a place of the body.
///
/// # Errors
/// If the number is out of the metric's range.
pub(super) fn value(metric: Metric, number: f64, place: &str) -> Result<Value, RefusedBody> {
    Value::new(metric, number).map_err(|error| {
        RefusedBody::invalid(Invalid::Value, format!("{place}: {}: {number} {error}", metric.name()))
    })
}

/// Returns the navigation type of the web-vitals library's name, and counts an unknown one. Accepts underscores: versions 1
/// to 3 of the library wrote `back_forward`.
pub(super) fn navigation_type(name: &str, dropped: &mut Dropped) -> Option<NavigationType> {
    let known = NavigationType::from_name(&name.replace('_', "-"));
    if known.is_none() {
        dropped.note(Field::Nav);
    }
    known
}

/// Returns the class of a device by its operating system, and by whether its screen is small, if known.
pub(super) const fn device(os: Option<Os>, is_small: Option<bool>) -> Option<Device> {
    match (os, is_small) {
        (Some(Os::Android | Os::Ios), Some(true)) => Some(Device::Phone),
        (Some(Os::Android | Os::Ios), Some(false)) => Some(Device::Tablet),
        (Some(Os::Windows | Os::Macos | Os::Linux | Os::Chromeos), _) => Some(Device::Desktop),
        _ => None,
    }
}

/// Returns whether a screen, `WIDTHxHEIGHT` in CSS pixels, is that of a phone: its shorter side is under 600.
pub(super) fn is_small(screen: &str) -> Option<bool> {
    const PHONE_PX_MAX: u32 = 600;
    let (width, height) = screen.split_once('x')?;
    let shorter = width.parse::<u32>().ok()?.min(height.parse().ok()?);
    (shorter > 0).then_some(shorter < PHONE_PX_MAX)
}

/// Returns the page view of a metric: shared by the same `pageview` if given, else one per metric `id`. `None` if both
/// are empty.
///
/// The page view starts at the time in `pageview`, else in the hour of the metric's `id`, which all reports of a
/// metric share, else in the hour of receipt. A `pageview` that is a fieldvitals id stays unchanged.
pub(super) fn view_id(pageview: Option<&str>, id: &str, received_ms: i64) -> Option<ViewId> {
    let pageview = pageview.filter(|text| !text.is_empty());
    if let Some(id) = pageview.and_then(ViewId::parse) {
        return Some(id);
    }
    if id.is_empty() && pageview.is_none() {
        return None;
    }
    let received = u64::try_from(received_ms).ok()?;
    let told = |text| told_ms(text, received);
    let start_ms = match pageview {
        Some(text) => told(text).unwrap_or_else(|| hour(told(id).unwrap_or(received))),
        None => told(id).unwrap_or_else(|| hour(received)),
    };
    Some(ViewId::new(start_ms, hash(pageview.unwrap_or(id))))
}

/// The start of the hour of a time, UTC milliseconds.
pub(super) const fn hour(ms: u64) -> u64 {
    const HOUR_MS: u64 = 3_600_000;
    ms.wrapping_sub(ms.wrapping_rem(HOUR_MS))
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
pub(super) fn digits_13(text: &str) -> Option<u64> {
    (text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Hashes a text to the random part of a page view's id.
pub(super) fn hash(text: impl AsRef<[u8]>) -> u128 {
    let digest = Sha256::digest(text);
    digest.iter().take(16).fold(0, |number, &byte| (number << 8) | u128::from(byte))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::browser::Sender;
    pub(in super::super) use super::super::tests::NOW_MS;
    use super::super::tests::directory;
    use super::super::{boomerang, faro, otlp, umami, web_vitals};
    use super::*;
    use crate::outcome::Outcome;
    use fieldvitals_store::SiteId;
    use proptest::prelude::*;
    use serde_json::json;

    pub(in super::super) fn query() -> Query {
        Query {
            site: Some("new".to_owned()),
            url: Some("https://shop.example/a?q=1".to_owned()),
            ..Query::default()
        }
    }

    pub(in super::super) fn request(body: &[u8]) -> Request<'_> {
        Request {
            body,
            origin: None,
            host: None,
            sender: Sender { os: Some(Os::Linux), ..Sender::default() },
            left_alone: false,
            country: None,
            keep_bots: false,
            received_ms: NOW_MS,
        }
    }

    /// Checks that a body is refused as invalid, with this text in its message.
    pub(in super::super) fn refusal(taken: &Result<Accepted, RefusedBody>, expected: &str) {
        let refused = taken.as_ref().expect_err(expected);
        assert!(matches!(refused.outcome, Outcome::Invalid(_)), "{refused:?}");
        assert!(refused.message.contains(expected), "{} / {expected}", refused.message);
    }

    #[test]
    fn device_is_told_by_system_and_screen() {
        assert_eq!(device(Some(Os::Android), is_small("390x844")), Some(Device::Phone));
        assert_eq!(device(Some(Os::Ios), is_small("820x1180")), Some(Device::Tablet));
        assert_eq!(device(Some(Os::Windows), None), Some(Device::Desktop));
        assert_eq!(device(Some(Os::Android), is_small("wide")), None);
        assert_eq!((is_small("0x0"), is_small("99999999999x1")), (None, None));
    }

    #[test]
    fn metrics_past_the_bound_are_dropped_and_counted() {
        let measurement = |number: usize| json!({"type": "web-vitals", "values": {"lcp": 1}, "context": {"id": format!("m{number}")}});
        let measurements: Vec<Json> = (0..limits::FOREIGN_METRICS_MAX + 3).map(measurement).collect();
        let body = serde_json::to_vec(&json!({"measurements": measurements})).unwrap();
        let accepted = faro::take(&request(&body), &directory(), &query()).unwrap();
        assert_eq!(accepted.updates.len(), limits::FOREIGN_METRICS_MAX);
        assert_eq!(accepted.dropped.count(Field::Values), 3);
    }

    #[test]
    fn refusal_of_an_invalid_body_is_of_its_site() {
        let invalid = json!({"meta": {"page": {"url": "https://shop.example/a"}},
            "measurements": [{"type": "web-vitals", "values": {"lcp": -1}, "context": {"id": "x"}}]});
        let invalid = invalid.to_string();
        for (body, outcome) in [(invalid.as_str(), Invalid::Value), ("[]", Invalid::Malformed)] {
            for (site, origin, expected) in [
                ("new", None, (Some(SiteId(7)), Some("https://shop.example"))),
                ("new", Some("https://other.example"), (Some(SiteId(7)), Some("https://other.example"))),
                ("nobody", None, (None, None)),
            ] {
                let request = Request { origin, ..request(body.as_bytes()) };
                let query = Query { site: Some(site.to_owned()), ..query() };
                let refused = faro::take(&request, &directory(), &query).unwrap_err();
                assert_eq!(refused.outcome, Outcome::Invalid(outcome), "{body} of {site}");
                assert_eq!((refused.site, refused.origin.as_deref()), expected, "{body} of {site}");
            }
        }
    }

    /// Any JSON with the names that the formats read.
    fn any_json() -> impl Strategy<Value = Json> {
        let names = prop::sample::select(vec![
            "meta",
            "page",
            "url",
            "measurements",
            "type",
            "values",
            "context",
            "lcp",
            "cls",
            "id",
            "resourceLogs",
            "resource",
            "attributes",
            "key",
            "value",
            "stringValue",
            "intValue",
            "scopeLogs",
            "logRecords",
            "eventName",
            "payload",
            "website",
            "data",
            "name",
            "duration",
            "timestamp",
            "screen",
            "attributes",
            "pageview",
        ]);
        let texts = prop::sample::select(vec![
            "web-vitals",
            "browser.web_vital",
            "browser.web_vital.name",
            "browser.web_vital.value",
            "performance",
            "event",
            "https://shop.example/a",
            "/a",
            "new",
            "LCP",
            "cls",
            "-1",
            "1e999",
            "390x844",
            "\u{0}",
            "é",
        ]);
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            texts.prop_map(Json::from),
            ".{0,8}".prop_map(Json::from),
        ];
        leaf.prop_recursive(7, 48, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
                prop::collection::hash_map(names.clone().prop_map(str::to_owned), inner, 0..8)
                    .prop_map(|fields| fields.into_iter().collect::<Json>()),
            ]
        })
    }

    /// A query of the names that boomerang has.
    fn any_form() -> impl Strategy<Value = String> {
        let names = prop::sample::select(vec![
            "u",
            "v",
            "n",
            "pid",
            "rt.tstart",
            "rt.quit",
            "nt_nav_st",
            "nt_res_st",
            "nt_act_st",
            "pt.lcp",
            "c.cls",
            "et.inp",
            "et.inp.inc",
            "http.initiator",
            "scr.xy",
            "mob.etype",
        ]);
        let values = prop_oneof![
            any::<f64>().prop_map(|number| number.to_string()),
            (0_u64..9_999_999_999_999).prop_map(|number| format!("{number:013}")),
            prop::sample::select(vec!["https%3A%2F%2Fshop.example%2F", "spa", "%ff%00", "", "1x1", "NaN"])
                .prop_map(str::to_owned),
            "[^&]{0,9}",
        ];
        prop::collection::vec((names, values), 0..24).prop_map(|pairs| {
            pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
        })
    }

    fn take_all(body: &[u8]) {
        let (request, directory, query) = (request(body), directory(), query());
        for taken in [
            web_vitals::take(&request, &directory, &query),
            faro::take(&request, &directory, &query),
            otlp::take(&request, &directory, &query),
            umami::take(&request, &directory, &query),
            boomerang::take(&request, &directory, &query),
        ] {
            match taken {
                Ok(accepted) => {
                    assert!(!accepted.updates.is_empty());
                    assert!(accepted.updates.iter().all(|update| update.values.iter().count() > 0));
                }
                Err(refused) => assert_ne!(refused.outcome, Outcome::Accepted),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn garbage_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            take_all(&body);
        }

        #[test]
        fn json_of_known_names_never_panics(body in any_json()) {
            take_all(body.to_string().as_bytes());
        }

        #[test]
        fn form_of_known_names_never_panics(body in any_form()) {
            take_all(body.as_bytes());
        }
    }
}
