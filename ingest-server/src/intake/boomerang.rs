//! Intake of boomerang's beacons: parameters of a query (GET) or of a form (POST).
//!
//! The parameters are those of boomerang 1.8: `u` is the page's URL, `pid` its load, `rt.tstart` its start. Plugins add
//! `pt.*` (PaintTiming), `et.*` (EventTiming), `nt_*` (NavigationTiming), `c.*` (Continuity), `mob.*` and `scr.*`. A page
//! sends several beacons; the latest value of a metric counts.

use super::foreign::{self, Decoded, Query, Reported, malformed};
use super::{Accepted, RefusedBody, Request};
use crate::directory::Snapshot;
use crate::outcome::Invalid;
use std::borrow::Cow;
use std::collections::HashMap;
use url::form_urlencoded;
use vitals::metric::Metric;
use vitals::view::{NavigationType, ViewId};

/// Processes a beacon of boomerang: its query, or its body.
///
/// # Errors
/// The reason for refusing the beacon.
pub fn take(request: &Request<'_>, directory: &Snapshot, query: &Query) -> Result<Accepted, RefusedBody> {
    let Some(key) = query.site.as_deref() else {
        let message = "no site key; let boomerang's `beacon_url` be https://HOST/v1/boomerang?site=KEY";
        return Err(RefusedBody::invalid(Invalid::UnknownSite, message));
    };
    foreign::admitted(request, directory, key, decode(request, query), query)
}

/// The parameters of a beacon. Of repeated ones the last counts.
struct Beacon<'a>(HashMap<Cow<'a, str>, Cow<'a, str>>);

impl Beacon<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(AsRef::as_ref).filter(|text| !text.is_empty())
    }

    /// A number; `None` if the parameter is missing.
    fn number(&self, name: &str) -> Option<Result<f64, RefusedBody>> {
        let text = self.text(name)?;
        Some(text.parse().map_err(|_| malformed(format!("`{name}` is not a number"))))
    }

    /// UTC milliseconds.
    fn time_ms(&self, name: &str) -> Option<u64> {
        foreign::digits_13(self.text(name)?)
    }
}

fn decode(request: &Request<'_>, query: &Query) -> Result<Decoded, RefusedBody> {
    let beacon = Beacon(form_urlencoded::parse(request.body).collect());
    let mut decoded = Decoded::new("boomerang sends it as `u`");
    if !["u", "v", "n", "rt.start"].iter().any(|name| beacon.text(name).is_some()) {
        return Err(malformed(
            "expected boomerang's parameters, such as `u`, in the query or in a form".to_owned(),
        ));
    }
    decoded.page = beacon.text("u").map(str::to_owned);
    let initiator = beacon.text("http.initiator");
    let navigation_type = match initiator {
        None | Some("spa_hard") => match beacon.text("nt_nav_type") {
            Some("0") => Some(NavigationType::Navigate),
            Some("1") => Some(NavigationType::Reload),
            Some("2") => Some(NavigationType::BackForward),
            _ => None,
        },
        Some("spa") => Some(NavigationType::SoftNavigation),
        Some("bfcache") => Some(NavigationType::BackForwardCache),
        // Requests, clicks, errors and timers of the page.
        Some(_) => return Ok(decoded),
    };
    let metrics = metrics(&beacon, initiator);
    if metrics.is_empty() {
        return Ok(decoded);
    }
    let url = decoded.page.clone().or_else(|| query.url.clone()).unwrap_or_default();
    let device = foreign::device(request.sender.os, beacon.text("scr.xy").and_then(foreign::is_small));
    let connection = beacon.text("mob.etype").map(str::to_owned);
    let id = view_id(&beacon, request.received_ms);
    for (name, metric, number) in metrics {
        let id = id.ok_or_else(|| {
            let message = "`pid`, the id of the page load, is missing; boomerang 1.571 and later send it";
            RefusedBody::invalid(Invalid::Value, message)
        });
        let read = number.and_then(|number| Ok((foreign::value(metric, number, name)?, id?)));
        decoded.add(read.map(|(value, id)| Reported {
            navigation_type,
            device,
            connection: connection.clone(),
            ..Reported::new(name, metric, value, id, url.clone())
        }));
    }
    Ok(decoded)
}

type Found = (&'static str, Metric, Result<f64, RefusedBody>);

/// Returns the metrics of a beacon under boomerang's names.
fn metrics(beacon: &Beacon<'_>, initiator: Option<&str>) -> Vec<Found> {
    let is_unload = beacon.0.contains_key("rt.quit");
    let is_load = matches!(initiator, None | Some("spa_hard"));
    // `et.inp` is that of the whole page, on its last beacon; `et.inp.inc` is that since the beacon before.
    let inp = if beacon.text("et.inp").is_some() { "et.inp" } else { "et.inp.inc" };
    let mut found: Vec<Found> = [
        ("pt.lcp", Metric::Lcp),
        ("pt.fcp", Metric::Fcp),
        (inp, Metric::Inp),
        ("et.fid", Metric::Fid),
        ("c.tti", Metric::Tti),
        ("c.cls", Metric::Cls),
    ]
    .into_iter()
    // Boomerang counts interactions and shifts since the beacon before: those on the beacon of a soft navigation or restore
    // are of the page before. The last beacon's sum of shifts would replace that of the page load.
    .filter(|(_, metric)| match metric {
        Metric::Inp | Metric::Fid => is_load,
        Metric::Cls => is_load && !is_unload,
        _ => true,
    })
    .filter_map(|(name, metric)| Some((name, metric, beacon.number(name)?)))
    .collect();
    let start_ms = beacon.time_ms("nt_nav_st").max(beacon.time_ms("nt_act_st"));
    // Boomerang marks times that contradict each other.
    if let (Some(start), Some(end), None) = (start_ms, beacon.time_ms("nt_res_st"), beacon.text("nt_bad")) {
        // A prerendered page had its response before its activation.
        found.push(("nt_res_st", Metric::Ttfb, Ok(end.saturating_sub(start) as f64)));
    }
    found
}

/// Returns the page view: a page load, or a navigation within it, by its start.
fn view_id(beacon: &Beacon<'_>, received_ms: i64) -> Option<ViewId> {
    let load = beacon.text("pid").or_else(|| beacon.text("rt.si"))?;
    let start = beacon.text("rt.tstart").or_else(|| beacon.text("nt_nav_st")).unwrap_or_default();
    let received = u64::try_from(received_ms).ok()?;
    let start_ms = foreign::digits_13(start).unwrap_or_else(|| foreign::hour(received));
    Some(ViewId::new(start_ms, foreign::hash(format!("{load} {start}"))))
}

#[cfg(test)]
mod tests {
    use super::super::foreign::tests::{NOW_MS, query, refusal, request};
    use super::super::tests::directory;
    use super::*;
    use crate::outcome::{Filtered, Outcome};
    use fieldvitals_store::StoredView;
    use vitals::beacon::Field;
    use vitals::metric::Value;

    /// What boomerang 1.815 sends after the load event, shortened, with further parameters.
    fn load(more: &str) -> String {
        let start = NOW_MS - 5_000;
        format!(
            "mob.etype=4g&rt.start=navigation&rt.tstart={start}&nt_nav_st={start}&nt_res_st={}&nt_nav_type=0&\
             u=https%3A%2F%2Fshop.example%2Fp%2F42%3Fq%3D1&v=1.815.1&pid=dt56cdl4&n=1&pt.fcp=80&pt.lcp=84.5&c.cls=0.3&\
             scr.xy=800x600&c.e=mx42lt12{more}",
            start + 120
        )
    }

    fn post(body: &str) -> Result<Accepted, RefusedBody> {
        take(&request(body.as_bytes()), &directory(), &query())
    }

    fn values(accepted: &Accepted) -> Vec<(Metric, f64)> {
        accepted.updates[0].values.iter().map(|(metric, value)| (metric, value.number(metric))).collect()
    }

    #[test]
    fn load_and_unload_are_one_page_view() {
        let first = post(&load("")).unwrap();
        let update = &first.updates[0];
        let mut expected =
            vec![(Metric::Lcp, 84.5), (Metric::Cls, 0.3), (Metric::Fcp, 80.0), (Metric::Ttfb, 120.0)];
        let mut found = values(&first);
        expected.sort_by_key(|(metric, _)| metric.index());
        found.sort_by_key(|(metric, _)| metric.index());
        assert_eq!(found, expected);
        assert_eq!(
            (update.url.as_str(), update.connection.as_deref()),
            ("https://shop.example/p/42", Some("4g"))
        );
        assert_eq!(
            (update.id.start_ms(), update.navigation_type),
            (NOW_MS - 5_000, Some(NavigationType::Navigate))
        );
        let start = NOW_MS - 5_000;
        let quit = format!(
            "u=https://shop.example/p/42&pid=dt56cdl4&n=2&rt.tstart={start}&rt.quit=&et.inp=88&et.inp.inc=40&et.fid=4&c.cls=0"
        );
        let last = post(&quit).unwrap();
        assert_eq!(last.updates[0].id, update.id);
        assert_eq!(last.updates[0].values.get(Metric::Inp), Value::new(Metric::Inp, 88.0).ok());
        assert_eq!(last.updates[0].values.get(Metric::Cls), None, "the load's sum stays");
    }

    #[test]
    fn navigations_within_a_page_are_page_views() {
        let soft =
            format!("&http.initiator=spa&rt.tstart={}&et.inp=300&et.inp.inc=40&et.fid=3", NOW_MS - 1_000);
        let accepted = post(&load(&soft)).unwrap();
        let update = &accepted.updates[0];
        assert_eq!(
            (update.id.start_ms(), update.navigation_type),
            (NOW_MS - 1_000, Some(NavigationType::SoftNavigation))
        );
        let restored = post(&load("&http.initiator=bfcache&et.inp.inc=40&et.fid=3")).unwrap();
        assert_eq!(restored.updates[0].navigation_type, Some(NavigationType::BackForwardCache));
        for update in [update, &restored.updates[0]] {
            for metric in [Metric::Inp, Metric::Fid, Metric::Cls] {
                assert_eq!(update.values.get(metric), None, "{metric:?} is of the page before");
            }
            assert!(update.values.get(Metric::Lcp).is_some());
        }
        let hard = post(&load("&http.initiator=spa_hard&et.inp.inc=40&et.fid=3")).unwrap();
        assert_eq!(hard.updates[0].values.iter().count(), 6, "the load of a single-page app has all");
    }

    #[test]
    fn unload_at_another_url_keeps_the_page_of_the_load() {
        let load = post(&load("")).unwrap().updates.remove(0);
        let quit = format!(
            "u=https://shop.example/b&pid=dt56cdl4&n=2&rt.tstart={}&rt.quit=&et.inp=88",
            NOW_MS - 5_000
        );
        let mut quit = post(&quit).unwrap().updates.remove(0);
        quit.received_ms += 1_000;
        assert_eq!((quit.id, quit.url.as_str()), (load.id, "https://shop.example/b"));
        for [first, second] in [[&load, &quit], [&quit, &load]] {
            let mut view = StoredView::first(first.clone());
            assert!(view.apply(second.clone()));
            let found = view.update;
            assert_eq!(
                (&found.url, &found.route, found.navigation_type),
                (&load.url, &load.route, load.navigation_type)
            );
            assert!(found.values.get(Metric::Lcp).is_some() && found.values.get(Metric::Inp).is_some());
        }
    }

    #[test]
    fn beacons_of_other_things_are_filtered() {
        for body in [load("&http.initiator=xhr"), "u=https://shop.example/&n=3&pid=x".to_owned()] {
            assert_eq!(post(&body).unwrap_err().outcome, Outcome::Filtered(Filtered::NoMetric));
        }
    }

    #[test]
    fn invalid_parameter_costs_itself() {
        let accepted = post(&load("&pt.lcp=fast&nt_bad=1")).unwrap();
        assert_eq!((values(&accepted).len(), accepted.dropped.count(Field::Values)), (2, 1));
        assert_eq!(accepted.dropped.problem(), Some("`pt.lcp` is not a number"));
    }

    #[test]
    fn invalid_beacon_is_refused_with_boomerangs_parameter_names() {
        refusal(&post("{\"a\": 1}"), "boomerang's parameters");
        refusal(&post("u=https://shop.example/&pt.lcp=-1&pid=x"), "pt.lcp: LCP: -1 is negative");
        refusal(&post("u=https://shop.example/&pt.lcp=1"), "`pid`");
        let without = Query { url: None, ..query() };
        let of_page = Request { origin: Some("https://shop.example"), ..request(b"n=1&pt.lcp=1&pid=x") };
        refusal(&take(&of_page, &directory(), &without), "as `u`");
        refusal(&take(&of_page, &directory(), &Query::default()), "`beacon_url`");
    }
}
