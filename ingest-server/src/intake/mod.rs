//! Intake: turns a request's body into page view updates or a refusal. Pure: no I/O, no clock.
//!
//! Steps: decode → find the site → check the origin → filter bots → scrub → filter by clock → route. Every body ends
//! in exactly one [`Outcome`]; a refused body is data, not a failure. An accepted body may lack its invalid fields.

mod attribution;
pub mod boomerang;
pub mod bots;
pub mod browser;
pub mod country;
pub mod faro;
pub mod foreign;
pub mod lookup;
pub mod origin;
pub mod otlp;
pub mod page_url;
pub mod route;
pub mod scrub;
pub mod site_route;
pub mod spelling;
pub mod umami;
pub mod web_vitals;

use self::bots::Bot;
use self::browser::Sender;
use self::page_url::PageUrl;
use crate::directory::Snapshot;
use crate::limits;
use crate::outcome::{BotKind, Filtered, Invalid, Outcome};
use fieldvitals_store::context::conditions::Conditions;
use fieldvitals_store::{Context, Detail, Site, SiteId, Source, ViewUpdate, Weight};
use std::borrow::Cow;
use std::collections::BTreeMap;
use vitals::attribution::Attribution;
use vitals::beacon::{self, DecodeError, Dropped, Field, Mark, errors};
use vitals::view::ViewId;

/// A request to intake: the body and its metadata.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The body.
    pub body: &'a [u8],
    /// The `Origin` header.
    pub origin: Option<&'a str>,
    /// The host that the browser asked, which is that of the script tag. Our own scripts are never named as a page's.
    pub host: Option<&'a str>,
    /// The browser and the system that sent it; see [`browser::sender`].
    pub sender: Sender,
    /// Set if the visitor opts out (Global Privacy Control, Do Not Track).
    pub left_alone: bool,
    /// The country that a proxy named; see [`country::of_code`].
    pub country: Option<&'static str>,
    /// Keeps page views of bots.
    pub keep_bots: bool,
    /// Time of the request, UTC milliseconds.
    pub received_ms: i64,
}

/// An accepted body.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The site.
    pub site: SiteId,
    /// Page view updates, at least one.
    pub updates: Vec<ViewUpdate>,
    /// Counts of the invalid fields.
    pub dropped: Dropped,
}

/// A refused body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedBody {
    /// The outcome, never [`Outcome::Accepted`].
    pub outcome: Outcome,
    /// The site; `None` if its key is unknown.
    pub site: Option<SiteId>,
    /// The page's origin, if known.
    pub origin: Option<String>,
    /// The error, for the client and for the site's rejection report.
    pub message: String,
    /// The kind of bot, for [`Filtered::Bot`].
    pub bot: Option<BotKind>,
}

impl RefusedBody {
    /// Creates a refusal. Truncates the message, because it may quote untrusted input.
    pub(crate) fn new(outcome: Outcome, message: impl AsRef<str>) -> Self {
        let message = scrub::label(message.as_ref(), limits::MESSAGE_BYTES_MAX).into_owned();
        Self { outcome, site: None, origin: None, message, bot: None }
    }

    pub(crate) fn invalid(reason: Invalid, message: impl AsRef<str>) -> Self {
        Self::new(Outcome::Invalid(reason), message)
    }

    fn filtered(reason: Filtered, message: impl AsRef<str>) -> Self {
        Self::new(Outcome::Filtered(reason), message)
    }

    fn of(mut self, site: SiteId, origin: &str) -> Self {
        self.site = Some(site);
        self.origin = Some(origin.to_owned());
        self
    }
}

impl From<DecodeError> for RefusedBody {
    fn from(error: DecodeError) -> Self {
        let reason = match error {
            DecodeError::NotUtf8 => Invalid::NotUtf8,
            DecodeError::Malformed(_) => Invalid::Malformed,
            DecodeError::Version(_) => Invalid::Version,
        };
        Self::invalid(reason, error.to_string())
    }
}

/// Processes a beacon of the fieldvitals wire format.
///
/// # Errors
/// The reason for refusing the beacon.
pub fn own(request: &Request<'_>, directory: &Snapshot) -> Result<Accepted, RefusedBody> {
    let beacon = beacon::decode(request.body)?;
    let (site, origin) = admit(request, directory, &beacon.site, &beacon.url)?;
    let id = site.id;
    check_bot(request, beacon.webdriver)
        .and_then(|()| own_updates(request, site, beacon))
        .map_err(|refused| refused.of(id, &origin))
}

fn own_updates(
    request: &Request<'_>,
    site: &Site,
    mut beacon: beacon::Beacon,
) -> Result<Accepted, RefusedBody> {
    let url = std::mem::take(&mut beacon.url);
    let mut dropped = std::mem::take(&mut beacon.dropped);
    let document_url = page_url(&url);
    let mut is_url_lost = document_url.is_err();
    if is_url_lost && dropped.count(Field::Url) == 0 {
        dropped.note(Field::Url);
    }
    let named = beacon.route.as_deref().and_then(route::named);
    let connection = beacon.connection.take().and_then(short_label);
    let release =
        beacon.release.take().and_then(|text| bounded_label(text, vitals::limits::RELEASE_BYTES_MAX));
    let (seq, device, weight) = (beacon.seq, beacon.device, Weight::of_sample(beacon.sample));
    let (viewport, errors) = (beacon.viewport, errors_of(beacon.errors));
    let (mut tags, mut marks) = (tags(&beacon.tags), marks(&beacon.marks));
    let mut visitor =
        Conditions { rtt: beacon.rtt, memory: beacon.memory, cpu: beacon.cpu, ..Conditions::default() };
    let mut snapshots = beacon.snapshots();
    // The collector sends none of these fields after an opt-out. Clears them for other clients.
    if request.left_alone {
        tags.clear();
        marks.clear();
        visitor = Conditions::default();
        for snapshot in &mut snapshots {
            snapshot.attribution = Attribution::NONE;
            (snapshot.engaged, snapshot.first_input_ms) = (None, None);
        }
    }
    let mut updates = Vec::with_capacity(snapshots.len());
    let (mut out_of_time, mut without_url) = (None, None);
    for snapshot in snapshots {
        // A tab that is open for days sends its first page view again; its recent page views count.
        if let Err(refused) = check_clock(snapshot.id, request.received_ms) {
            out_of_time = Some(refused);
            dropped.note(Field::Views);
            continue;
        }
        if snapshot.url.as_deref() == Some(beacon::DROPPED_URL) {
            continue;
        }
        let own_url = snapshot.url.as_deref().and_then(|url| match page_url(url) {
            Ok(url) => Some(url),
            Err(_) => {
                is_url_lost = true;
                dropped.note(Field::Url);
                None
            }
        });
        let url = match own_url.as_ref().map_or(document_url.as_ref(), Ok) {
            Ok(url) => url,
            Err(refused) => {
                without_url = Some(refused.clone());
                dropped.note(Field::Views);
                continue;
            }
        };
        let route = snapshot.route.as_deref().and_then(route::named);
        // The document's route does not apply to later navigations within the document.
        let route = match (route, &own_url, &named) {
            (Some(route), _, _) => site_route::of_named(route, url, site),
            (None, None, Some(named)) => site_route::of_named(named.clone(), url, site),
            (None, _, _) => site_route::of_url(url, site),
        };
        let mut attribution = attribution::scrubbed(snapshot.attribution, request.host);
        let conditions = Conditions { engaged: snapshot.engaged, ..visitor.clone() }
            .with_fetch(attribution.ttfb.take())
            .with_first_input(snapshot.first_input_ms);
        updates.push(ViewUpdate {
            id: snapshot.id,
            source: Source::Own { seq },
            received_ms: request.received_ms,
            url: url.text().into_owned(),
            route,
            navigation_type: snapshot.navigation_type,
            device,
            browser: request.sender.browser.map(str::to_owned),
            os: request.sender.os,
            connection: None,
            country: request.country.map(str::to_owned),
            release: None,
            values: snapshot.values,
            tti_gap: snapshot.tti_gap,
            weight,
            context: Context {
                viewport,
                tbt: snapshot.tbt,
                errors,
                detail: Detail::new(
                    attribution,
                    tags.clone(),
                    marks
                        .iter()
                        .filter(|(id, ..)| *id == snapshot.id)
                        .map(|(_, name, ms)| (name.clone(), *ms))
                        .collect(),
                ),
                conditions: conditions.filled(),
            }
            .bounded(),
        });
    }
    if is_url_lost {
        for update in &mut updates {
            update.context.errors |= errors_of(errors::FIELD);
        }
    }
    let Some((last, others)) = updates.split_last_mut() else {
        let empty = || RefusedBody::invalid(Invalid::Malformed, "the beacon has no page view");
        return Err(out_of_time.or(without_url).unwrap_or_else(empty));
    };
    // Most beacons have one page view, which takes these texts without a clone.
    for update in others {
        update.connection.clone_from(&connection);
        update.release.clone_from(&release);
    }
    (last.connection, last.release) = (connection, release);
    Ok(Accepted { site: site.id, updates, dropped })
}

/// Refuses page views of bots, unless the server keeps them.
fn check_bot(request: &Request<'_>, webdriver: bool) -> Result<(), RefusedBody> {
    let bot = request.sender.bot.or(webdriver.then_some(bots::WEBDRIVER));
    let Some(Bot { kind, name }) = bot.filter(|_| !request.keep_bots) else { return Ok(()) };
    let message = format!("a program makes this visit, of the kind {}: it matches `{name}`", kind.name());
    Err(RefusedBody { bot: Some(kind), ..RefusedBody::filtered(Filtered::Bot, message) })
}

/// Returns the site of a key, if the site admits the request's origin.
///
/// The `Origin` header decides, because pages cannot forge it. If the header is missing or opaque (`null`), the
/// beacon's URL decides.
fn admit<'a>(
    request: &Request<'a>,
    directory: &'a Snapshot,
    key: &str,
    url: &str,
) -> Result<(&'a Site, Cow<'a, str>), RefusedBody> {
    let told = origin::told(request.origin, url);
    let origin = match told {
        Cow::Borrowed(origin) => scrub::label(origin, vitals::limits::URL_BYTES_MAX),
        Cow::Owned(origin) => origin.into(),
    };
    let Some(site) = directory.by_key(key, request.received_ms) else {
        let shown = scrub::label(key, limits::LABEL_BYTES_MAX);
        let mut refused =
            RefusedBody::invalid(Invalid::UnknownSite, format!("no site has the key `{shown}`"));
        refused.origin = Some(origin.into_owned());
        return Err(refused);
    };
    if !origin::allowed(&origin, &site.origins) {
        let message = if origin.is_empty() {
            format!("the request tells no origin and its URL has none; site `{}` needs one", site.name)
        } else {
            format!("pages of {origin} may not send to site `{}`", site.name)
        };
        return Err(RefusedBody::invalid(Invalid::Origin, message).of(site.id, &origin));
    }
    Ok((site, origin))
}

fn page_url(text: &str) -> Result<PageUrl<'_>, RefusedBody> {
    PageUrl::read(text).ok_or_else(|| {
        let shown = scrub::label(text, limits::LABEL_BYTES_MAX);
        let expected = "expected http, https, file or the scheme of an app";
        RefusedBody::invalid(Invalid::Value, format!("`{shown}` is not the URL of a page: {expected}"))
    })
}

/// A page view must start within 48 h of the server's clock: partitions and rollups of other days are closed or not
/// open yet.
fn check_clock(id: ViewId, received_ms: i64) -> Result<(), RefusedBody> {
    let age_ms = received_ms.saturating_sub(id.start_ms());
    let hours = age_ms.unsigned_abs() / 3_600_000;
    if age_ms > limits::CLOCK_SKEW_MS_MAX {
        return Err(RefusedBody::filtered(
            Filtered::Late,
            format!("the page view started {hours} hours ago"),
        ));
    }
    if age_ms < -limits::CLOCK_SKEW_MS_MAX {
        return Err(RefusedBody::filtered(Filtered::Clock, format!("the page view starts in {hours} hours")));
    }
    Ok(())
}

/// Returns the failed parts of the collector, without unknown bits.
const fn errors_of(bits: u32) -> u8 {
    (bits & (errors::SNIPPET | errors::GLUE | errors::MODULE | errors::PAGE | errors::FIELD)) as u8
}

/// Returns the page's tags. Skips a tag if its name or value is empty after scrubbing.
fn tags(tags: &BTreeMap<String, String>) -> Vec<(String, String)> {
    tags.iter().filter_map(|(name, value)| Some((scrub::word(name)?, scrub::word(value)?))).collect()
}

/// Returns the marks of pages, in milliseconds since the start of the page view.
fn marks(marks: &[Mark]) -> Vec<(ViewId, String, u32)> {
    marks
        .iter()
        .filter_map(|mark| Some((mark.view, scrub::word(&mark.name)?, mark.at.micros() / 1_000)))
        .collect()
}

fn short_label(text: String) -> Option<String> {
    bounded_label(text, limits::LABEL_BYTES_MAX)
}

fn bounded_label(text: String, bytes_max: usize) -> Option<String> {
    let label = scrub::label(text, bytes_max);
    (!label.is_empty()).then(|| label.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::{RouteGroups, SiteKey};
    use vitals::fetch::{ConfidenceLevel, Delivery, Protocol};
    use vitals::metric::{Metric, Value};
    use vitals::view::Os;
    use vitals::view::{Rtt, Tier};

    pub(super) const NOW_MS: i64 = 1_763_632_800_000;
    const SENDER: Sender = Sender { browser: Some("Firefox"), os: Some(Os::Linux), bot: None };

    pub(super) fn directory() -> Snapshot {
        let site = Site {
            id: SiteId(7),
            name: "shop".to_owned(),
            keys: vec![
                SiteKey { key: "new".to_owned(), until_ms: None },
                SiteKey { key: "old".to_owned(), until_ms: Some(NOW_MS + 10) },
                SiteKey { key: "gone".to_owned(), until_ms: Some(NOW_MS) },
            ],
            origins: vec!["https://shop.example".to_owned()],
            routes: vec!["/blog/:slug".to_owned()],
            route_groups: RouteGroups {
                groups: vec!["/wiki/:slug".to_owned()],
                apart: vec!["/wiki/main".to_owned()],
                ..RouteGroups::default()
            },
            timezone: Site::TIMEZONE_DEFAULT.to_owned(),
            created_ms: 0,
        };
        Snapshot::new(vec![site], Vec::new())
    }

    fn beacon(change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
        let mut beacon = serde_json::json!({
            "v": 1, "site": "new", "seq": 3, "url": "https://shop.example/p/42?q=secret#top",
            "device": "phone", "connection": "4g", "release": "1.2.3",
            "views": [{
                "id": ViewId::new(NOW_MS as u64 - 5_000, 1).to_string(), "nav": "navigate",
                "values": {"LCP": 1234.5, "CLS": 0.05},
            }],
        });
        change(&mut beacon);
        serde_json::to_vec(&beacon).unwrap()
    }

    fn request<'a>(body: &'a [u8], origin: Option<&'a str>) -> Request<'a> {
        Request {
            body,
            origin,
            host: Some("vitals.example"),
            sender: SENDER,
            left_alone: false,
            country: Some("DE"),
            keep_bots: false,
            received_ms: NOW_MS,
        }
    }

    fn take(body: &[u8], origin: Option<&str>) -> Result<Accepted, RefusedBody> {
        own(&request(body, origin), &directory())
    }

    fn refusal(change: impl Fn(&mut serde_json::Value)) -> (Outcome, String) {
        let refused = take(&beacon(change), Some("https://shop.example")).unwrap_err();
        (refused.outcome, refused.message)
    }

    #[test]
    fn a_beacon_becomes_an_update_without_query() {
        let accepted = take(&beacon(|_| {}), Some("https://shop.example")).unwrap();
        assert_eq!(accepted.site, SiteId(7));
        let update = &accepted.updates[0];
        assert_eq!(update.url, "https://shop.example/p/42");
        assert_eq!(update.route, "/p/:id");
        assert_eq!(update.source, Source::Own { seq: 3 });
        assert_eq!(update.values.get(Metric::Lcp), Value::new(Metric::Lcp, 1234.5).ok());
        assert_eq!(update.values.get(Metric::Inp), None);
        assert_eq!(update.release.as_deref(), Some("1.2.3"));
        assert_eq!((update.browser.as_deref(), update.os), (Some("Firefox"), Some(Os::Linux)));
    }

    #[test]
    fn what_a_beacon_carries_is_kept_and_scrubbed() {
        let body = beacon(|beacon| {
            beacon["sample"] = 0.25.into();
            beacon["errors"] = 0xff04.into();
            beacon["viewport"] = "small".into();
            beacon["tags"] =
                serde_json::json!({"plan": "free", "user": "jo@mail.example", "": "x", "empty": ""});
            beacon["views"][0]["tbt"] = 120.5.into();
            beacon["views"][0]["marks"] = serde_json::json!({"ready": 1234.9});
            beacon["views"][0]["attribution"] = serde_json::json!({
                "lcp": {"target": "#hero>img", "url": "https://cdn.example/a.avif?secret=1", "parts": [100, 200.4, 300.4, 634]},
            });
        });
        let accepted = take(&body, None).unwrap();
        let update = &accepted.updates[0];
        assert_eq!((update.weight.milli(), update.country.as_deref()), (4_000, Some("DE")));
        let context = &update.context;
        assert_eq!((context.viewport, context.errors), (Some(vitals::view::Viewport::Small), 4));
        assert_eq!(context.tbt, Value::new(Metric::Tti, 120.5).ok());
        let detail = context.detail.as_deref().unwrap();
        let tags: Vec<_> = detail.tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(tags, [("plan", "free"), ("user", ":redacted")]);
        assert_eq!(detail.marks, [("ready".to_owned(), 1_234)]);
        let lcp = detail.lcp.as_ref().unwrap();
        assert_eq!((lcp.target.as_str(), lcp.url.as_str()), ("#hero>img", "https://cdn.example/a.avif"));
        assert_eq!(lcp.parts_ms, [100, 200, 301, 634]);

        let conditioned = beacon(|beacon| {
            beacon["rtt"] = 150.into();
            beacon["memory"] = "low".into();
            beacon["views"][0]["engaged"] = true.into();
            beacon["views"][0]["first_input"] = serde_json::json!(700.4);
            beacon["views"][0]["attribution"] = serde_json::json!({"ttfb": {
                "parts": [0.4, 0.4, 0.4, 0.4, 0.4, 100.4], "protocol": "h3-29", "delivery": "cache", "bytes": 1001,
                "server": [["user", 3.6, "jo@mail.example"], ["edge", 1e9]], "not_restored": ["masked"],
                "confidence": "low", "trigger_rate": 0.499_4,
            }});
        });
        let update = take(&conditioned, None).unwrap().updates.remove(0);
        assert_eq!(update.context.detail, None);
        let expected = Conditions {
            ttfb_parts_ms: Some([0, 1, 0, 1, 0, 100]),
            protocol: Some(Protocol::H3),
            delivery: Some(Delivery::Cache),
            document_kb: Some(2),
            server_timings: vec![
                ("user".to_owned(), 4, ":redacted".to_owned()),
                ("edge".to_owned(), vitals::limits::TIME_MS_MAX, String::new()),
            ],
            not_restored: vec!["masked".to_owned()],
            confidence: Some((ConfidenceLevel::Low, 50)),
            rtt: Some(Rtt::Under200),
            memory: Some(Tier::Low),
            cpu: None,
            engaged: Some(true),
            first_input_ms: Some(700),
        };
        assert_eq!(update.context.conditions.as_deref(), Some(&expected));

        let plain = take(&beacon(|_| {}), None).unwrap();
        assert_eq!((&plain.updates[0].context, plain.updates[0].weight), (&Context::NONE, Weight::ONE));
    }

    #[test]
    fn of_a_visitor_who_asks_to_be_left_alone_only_the_values_are_kept() {
        let views = beacon(|beacon| {
            beacon["tags"] = serde_json::json!({"plan": "free"});
            beacon["viewport"] = "small".into();
            beacon["memory"] = "low".into();
            beacon["cpu"] = "high".into();
            beacon["rtt"] = 50.into();
            beacon["views"][0]["marks"] = serde_json::json!({"ready": 1234});
            beacon["views"][0]["engaged"] = true.into();
            beacon["views"][0]["first_input"] = 9.into();
            beacon["views"][0]["attribution"] = serde_json::json!({
                "lcp": {"target": "#hero", "parts": [100, 200, 300, 634.5]}, "ttfb": {"protocol": "h2"},
            });
        });
        let raw = beacon(|beacon| {
            let id = beacon["views"][0]["id"].clone();
            beacon["tags"] = serde_json::json!({"plan": "free"});
            let queue = serde_json::json!([
                [0, 20],
                [2, 900],
                [17, 900, 30, 40, "#hero", "https://a.example/x"],
                [16, 255]
            ]);
            beacon["raw"] = serde_json::json!({"id": id, "now": 5000, "queue": queue});
            beacon.as_object_mut().unwrap().remove("views");
        });
        for body in [views, raw] {
            let asked = request(&body, None);
            let all = &own(&asked, &directory()).unwrap().updates[0];
            assert!(
                all.context
                    .detail
                    .as_ref()
                    .is_some_and(|detail| detail.lcp.is_some() && !detail.tags.is_empty())
            );
            let left = &own(&Request { left_alone: true, ..asked }, &directory()).unwrap().updates[0];
            assert_eq!((&left.context.detail, left.values), (&None, all.values));
            assert!(all.context.conditions.is_some());
            assert_eq!(left.context.conditions, None);
            assert!(left.values.get(Metric::Lcp).is_some());
            assert_eq!(left.context.viewport, all.context.viewport);
        }
    }

    #[test]
    fn context_that_is_full_leaves_out_the_least_useful() {
        let full = beacon(|beacon| {
            let words = |count: usize, value: serde_json::Value| {
                (0..count).map(|number| (format!("n{number}"), value.clone())).collect::<serde_json::Value>()
            };
            let parts = |count| serde_json::Value::from(vec![100_000; count]);
            beacon["tags"] = words(vitals::limits::TAGS_MAX, "x".into());
            beacon["views"][0]["tbt"] = 600_000.into();
            beacon["views"][0]["first_input"] = 8e9.into();
            beacon["views"][0]["marks"] = words(vitals::limits::MARKS_MAX, 600_000.into());
            beacon["views"][0]["attribution"] = serde_json::json!({
                "lcp": {"target": "a", "url": "https://a.example/b", "parts": parts(4)},
                "inp": {"target": "c", "event": "click", "at": 8e9, "parts": parts(3), "script": "https://a.example/d",
                        "script_ms": 600_000, "load": "complete"},
                "cls": {"target": "e", "at": 8e9, "value": 100, "load": "complete"},
                "ttfb": {"parts": parts(6), "bytes": 1e9, "server": vec![("x", 600_000, "y"); 4], "protocol": "h2",
                         "not_restored": ["r1", "r2", "r3", "r4"]},
            });
        });
        let update = take(&full, None).unwrap().updates.remove(0);
        let (detail, conditions) = (update.context.detail.unwrap(), update.context.conditions.unwrap());
        assert_eq!(
            (detail.tags.len(), detail.marks.len()),
            (vitals::limits::TAGS_MAX, vitals::limits::MARKS_MAX)
        );
        assert!(detail.lcp.is_some() && detail.inp.is_some() && detail.cls.is_some());
        assert_eq!((conditions.document_kb, conditions.first_input_ms), (None, None));
        assert_eq!(conditions.server_timings.len(), vitals::limits::SERVER_TIMINGS_MAX);
        assert!(conditions.ttfb_parts_ms.is_some() && conditions.protocol.is_some());
    }

    #[test]
    fn marks_are_those_of_their_own_view() {
        let body = beacon(|beacon| {
            let mut second = beacon["views"][0].clone();
            second["id"] = ViewId::new(NOW_MS as u64 - 1_000, 2).to_string().into();
            second["marks"] = serde_json::json!({"second": 5});
            beacon["views"].as_array_mut().unwrap().push(second);
        });
        let updates = take(&body, None).unwrap().updates;
        assert_eq!(updates[0].context.detail, None);
        assert_eq!(updates[1].context.detail.as_ref().unwrap().marks, [("second".to_owned(), 5)]);
    }

    #[test]
    fn a_rule_of_the_site_names_the_route_unless_the_page_does() {
        let at = |route: Option<&str>| {
            let body = beacon(|beacon| {
                beacon["url"] = "https://shop.example/blog/hello".into();
                if let Some(route) = route {
                    beacon["route"] = route.into();
                }
            });
            take(&body, None).unwrap().updates[0].route.clone()
        };
        assert_eq!((at(None).as_str(), at(Some("/mine")).as_str()), ("/blog/:slug", "/mine"));
    }

    #[test]
    fn group_of_the_site_names_the_route_unless_it_is_apart() {
        for (path, route) in [("/wiki/moon", "/wiki/:slug"), ("/wiki/main", "/wiki/main"), ("/wiki", "/wiki")]
        {
            let body = beacon(|beacon| beacon["url"] = format!("https://shop.example{path}").into());
            assert_eq!(take(&body, None).unwrap().updates[0].route, route);
        }
    }

    #[test]
    fn a_soft_navigation_has_its_own_url_and_route() {
        let accepted = take(
            &beacon(|beacon| {
                beacon["route"] = "/named".into();
                let mut second = beacon["views"][0].clone();
                second["id"] = ViewId::new(NOW_MS as u64 - 1_000, 2).to_string().into();
                second["url"] = "https://shop.example/cart?x=1".into();
                second["nav"] = "soft-navigation".into();
                beacon["views"].as_array_mut().unwrap().push(second);
            }),
            None,
        )
        .unwrap();
        let routes: Vec<&str> = accepted.updates.iter().map(|update| update.route.as_str()).collect();
        assert_eq!(routes, ["/named", "/cart"]);
        assert_eq!(accepted.updates[1].url, "https://shop.example/cart");
    }

    #[test]
    fn a_view_that_the_page_has_dropped_is_left_out() {
        let body = beacon(|beacon| {
            let mut dropped = beacon["views"][0].clone();
            dropped["id"] = ViewId::new(NOW_MS as u64 - 1_000, 2).to_string().into();
            dropped["url"] = "about:blank".into();
            beacon["views"].as_array_mut().unwrap().push(dropped);
        });
        let accepted = take(&body, None).unwrap();
        assert_eq!(accepted.updates.len(), 1);
        assert_eq!(accepted.updates[0].url, "https://shop.example/p/42");
    }

    #[test]
    fn keys_and_origins_are_checked() {
        assert!(take(&beacon(|beacon| beacon["site"] = "old".into()), None).is_ok());
        let (outcome, message) = refusal(|beacon| beacon["site"] = "gone".into());
        assert_eq!(outcome, Outcome::Invalid(Invalid::UnknownSite));
        assert!(message.contains("`gone`"), "{message}");
        let foreign = take(&beacon(|_| {}), Some("https://evil.example")).unwrap_err();
        assert_eq!(foreign.outcome, Outcome::Invalid(Invalid::Origin));
        assert_eq!(
            (foreign.site, foreign.origin.as_deref()),
            (Some(SiteId(7)), Some("https://evil.example"))
        );
        // Some browsers send an opaque origin for a page with the referrer policy `no-referrer`.
        assert!(take(&beacon(|_| {}), Some("null")).is_ok());
        let elsewhere = beacon(|beacon| beacon["url"] = "https://evil.example/".into());
        for header in [None, Some("null")] {
            assert_eq!(take(&elsewhere, header).unwrap_err().outcome, Outcome::Invalid(Invalid::Origin));
        }
    }

    #[test]
    fn a_view_must_start_near_the_servers_clock() {
        let hour_ms = 3_600_000;
        for (age_ms, outcome) in [
            (48 * hour_ms, None),
            (48 * hour_ms + 1, Some(Outcome::Filtered(Filtered::Late))),
            (-48 * hour_ms, None),
            (-48 * hour_ms - 1, Some(Outcome::Filtered(Filtered::Clock))),
        ] {
            let body = beacon(|beacon| {
                beacon["views"][0]["id"] = ViewId::new((NOW_MS - age_ms) as u64, 1).to_string().into();
            });
            assert_eq!(take(&body, None).err().map(|refused| refused.outcome), outcome, "{age_ms}");
        }
    }

    /// Returns the only accepted page view of a beacon, and the dropped fields.
    fn kept(body: &[u8]) -> (ViewUpdate, Vec<(&'static str, u16)>) {
        let Accepted { mut updates, dropped, .. } = take(body, None).unwrap();
        assert_eq!(updates.len(), 1);
        (updates.remove(0), dropped.counts().map(|(field, count)| (field.name(), count)).collect())
    }

    #[test]
    fn a_field_that_is_left_out_is_told_with_the_view() {
        let body = beacon(|beacon| {
            beacon["release"] = 7.into();
            beacon["views"][0]["values"]["XYZ"] = 1.into();
            beacon["views"][0]["nav"] = "teleport".into();
        });
        let (update, dropped) = kept(&body);
        assert_eq!(dropped, [("release", 1), ("nav", 1), ("values", 1)]);
        assert_eq!((update.release, update.navigation_type), (None, None));
        assert_eq!(u32::from(update.context.errors), errors::FIELD);
        assert_eq!(update.values.get(Metric::Lcp), Value::new(Metric::Lcp, 1234.5).ok());
        let (update, dropped) = kept(&beacon(|_| {}));
        assert_eq!((update.context.errors, dropped), (0, Vec::new()));
    }

    #[test]
    fn a_url_that_is_none_costs_the_views_that_need_it() {
        let two = |first: &str, second: &str| {
            beacon(|beacon| {
                beacon["url"] = first.into();
                let mut view = beacon["views"][0].clone();
                view["id"] = ViewId::new(NOW_MS as u64 - 1_000, 2).to_string().into();
                view["url"] = second.into();
                beacon["views"].as_array_mut().unwrap().push(view);
            })
        };
        // The document's URL has no origin, so the header decides.
        let body = two("about:srcdoc", "https://shop.example/cart");
        let accepted = take(&body, Some("https://shop.example")).unwrap();
        let urls: Vec<&str> = accepted.updates.iter().map(|update| update.url.as_str()).collect();
        assert_eq!(urls, ["https://shop.example/cart"]);
        assert_eq!(u32::from(accepted.updates[0].context.errors), errors::FIELD);
        assert_eq!((accepted.dropped.count(Field::Url), accepted.dropped.count(Field::Views)), (1, 1));
        let accepted = take(&two("https://shop.example/a", "about:srcdoc"), None).unwrap();
        let urls: Vec<&str> = accepted.updates.iter().map(|update| update.url.as_str()).collect();
        assert_eq!(urls, ["https://shop.example/a", "https://shop.example/a"]);
        assert_eq!(accepted.dropped.count(Field::Url), 1);
    }

    #[test]
    fn programs_are_filtered_unless_they_are_kept() {
        let crawler = Bot { kind: BotKind::SearchEngine, name: "bingbot" };
        let plain = beacon(|_| {});
        let driven = beacon(|beacon| beacon["webdriver"] = true.into());
        for (body, bot, expected) in [
            (&plain, None, None),
            (&driven, None, Some(BotKind::Webdriver)),
            (&plain, Some(crawler), Some(BotKind::SearchEngine)),
            (&driven, Some(crawler), Some(BotKind::SearchEngine)),
        ] {
            let request = Request { sender: Sender { bot, ..SENDER }, ..request(body, None) };
            let refused = own(&request, &directory()).err();
            assert_eq!(refused.as_ref().and_then(|refused| refused.bot), expected);
            if let Some(refused) = refused {
                assert_eq!(refused.outcome, Outcome::Filtered(Filtered::Bot));
                assert_eq!(
                    (refused.site, refused.origin.as_deref()),
                    (Some(SiteId(7)), Some("https://shop.example"))
                );
                let kind = expected.unwrap().name();
                assert!(refused.message.contains(kind), "{}", refused.message);
            }
            assert!(own(&Request { keep_bots: true, ..request }, &directory()).is_ok());
        }
    }

    #[test]
    fn pages_of_apps_and_files_are_taken_where_the_site_allows_them() {
        let site = |origins: &[&str]| {
            let site = directory().sites()[0].as_ref().clone();
            let origins = origins.iter().map(|origin| origin::check_pattern(origin).unwrap()).collect();
            Snapshot::new(vec![Site { origins, ..site }], Vec::new())
        };
        for (allowed, header, url, kept) in [
            ("capacitor://localhost", Some("capacitor://localhost"), "capacitor://localhost/tabs/7?x", true),
            ("capacitor://localhost", None, "capacitor://localhost/tabs/7", true),
            ("capacitor://localhost", Some("ionic://localhost"), "ionic://localhost/tabs/7", false),
            ("file://", Some("null"), "file:///android_asset/www/index.html", true),
            ("file://", Some("file://"), "file:///android_asset/www/index.html", true),
            ("file://", None, "file:///android_asset/www/index.html", true),
            // A sandboxed frame on any page.
            ("file://", Some("null"), "https://evil.example/", false),
            ("https://shop.example", Some("null"), "file:///index.html", false),
            ("*", Some("null"), "file:///index.html", true),
        ] {
            let body = beacon(|beacon| beacon["url"] = url.into());
            let taken = own(&request(&body, header), &site(&[allowed]));
            assert_eq!(taken.is_ok(), kept, "{allowed} {header:?} {url}: {taken:?}");
            if let Err(refused) = taken {
                assert_eq!(refused.outcome, Outcome::Invalid(Invalid::Origin), "{url}");
            }
        }
        let body = beacon(|beacon| beacon["url"] = "file:///Users/jo/www/index.html#/cart".into());
        let update = &own(&request(&body, Some("null")), &site(&["file://"])).unwrap().updates[0];
        assert_eq!((update.url.as_str(), update.route.as_str()), ("file:///index.html", "/index.html"));
    }

    #[test]
    fn an_old_view_does_not_take_a_fresh_one_with_it() {
        let body = beacon(|beacon| {
            let mut old = beacon["views"][0].clone();
            old["id"] = ViewId::new((NOW_MS - 49 * 3_600_000) as u64, 9).to_string().into();
            beacon["views"].as_array_mut().unwrap().insert(0, old);
        });
        let (update, dropped) = kept(&body);
        // The start time is the browser's.
        assert_eq!((update.id.start_ms(), dropped), (NOW_MS - 5_000, vec![("views", 1)]));
        assert_eq!(update.context.errors, 0, "nothing of the beacon was broken");
    }

    #[test]
    fn a_message_never_quotes_at_length() {
        let body = beacon(|beacon| beacon["views"][0]["id"] = "x".repeat(50_000).into());
        assert!(take(&body, None).unwrap_err().message.len() <= limits::MESSAGE_BYTES_MAX);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (outcome, expected, change) in [
            (Invalid::Version, "version 2", (|beacon| beacon["v"] = 2.into()) as fn(&mut serde_json::Value)),
            (Invalid::Malformed, "unknown metric `XYZ`", |beacon| {
                beacon["views"][0]["values"] = serde_json::json!({"XYZ": 1});
            }),
            (Invalid::Malformed, "LCP: -1 is negative", |beacon| {
                beacon["views"][0]["values"] = serde_json::json!({"LCP": -1});
            }),
            (Invalid::Malformed, "`views`", |beacon| beacon["views"] = serde_json::json!([])),
            (Invalid::Malformed, "site", |beacon| {
                beacon.as_object_mut().unwrap().remove("site");
            }),
            (Invalid::Malformed, "`id` is not a page view id", |beacon| beacon["views"][0]["id"] = 7.into()),
            (Invalid::Value, "`about:blank` is not the URL of a page", |beacon| {
                beacon["url"] = "about:blank".into();
            }),
            (Invalid::Value, "`` is not the URL of a page", |beacon| beacon["url"] = 7.into()),
        ] {
            let body = beacon(change);
            let refused = take(&body, Some("https://shop.example")).unwrap_err();
            assert_eq!(refused.outcome, Outcome::Invalid(outcome), "{}", refused.message);
            assert!(refused.message.contains(expected), "{}", refused.message);
        }
        assert_eq!(take(b"\xff", None).unwrap_err().outcome, Outcome::Invalid(Invalid::NotUtf8));
        assert_eq!(take(b"{\"v\":1", None).unwrap_err().outcome, Outcome::Invalid(Invalid::Malformed));
    }
}
