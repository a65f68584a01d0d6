//! Scans of page views: filters of the context, samples, slow page views, names.

use super::contexts::explained;
use super::{DAY0_MS, load, site, update};
use crate::context::causes::conditions::Condition;
use crate::context::conditions::Conditions;
use crate::context::texts::TextKind;
use crate::rollup::DAY_MS;
use crate::scan::Scanned;
use crate::{
    Around, AttributionMetric, CauseQuery, CellQuery, ContextFilter, ContextProperty, Detail, Dimension,
    EngagementQuery, Filters, GroupBy, Retention, Sample, SampleQuery, Store, ViewUpdate,
};
use std::sync::Arc;
use vitals::fetch::Protocol;
use vitals::metric::{Metric, Value};
use vitals::view::{Device, Viewport};

const DAY1_MS: i64 = DAY0_MS + DAY_MS;

/// A page view of a device with a tag `plan`, a mark, and the conditions of its connection.
fn tagged(random: u128, device: Device, plan: &str, mark: &str, protocol: Protocol) -> ViewUpdate {
    let mut update = update(DAY0_MS + 7, random, &[(Metric::Lcp, 1_000.0 * random as f64)]);
    update.device = Some(device);
    update.browser = Some("Chrome".to_owned());
    update.context.viewport = Some(Viewport::Small);
    update.context.detail = Some(Box::new(Detail {
        lcp: None,
        inp: None,
        cls: None,
        tags: vec![("plan".to_owned(), plan.to_owned())],
        marks: vec![(mark.to_owned(), 70)],
    }));
    let server_timings = vec![("edge".to_owned(), 3, if plan == "pro" { "HIT" } else { "" }.to_owned())];
    let conditions = Conditions { protocol: Some(protocol), server_timings, ..Conditions::default() };
    update.context.conditions = Some(Box::new(conditions));
    update
}

fn crowd() -> Vec<ViewUpdate> {
    vec![
        tagged(1, Device::Phone, "pro", "order", Protocol::H3),
        tagged(2, Device::Phone, "pro", "cart", Protocol::H2),
        tagged(3, Device::Desktop, "free", "order", Protocol::H3),
        update(DAY0_MS + 8, 4, &[(Metric::Lcp, 4_000.0)]),
    ]
}

fn is(property: ContextProperty, value: &str) -> ContextFilter {
    ContextFilter { property, value: value.to_owned() }
}

/// Filters of the context select page views in every query, together with other filters; breakdowns by a property group
/// all page views.
pub async fn page_views_are_selected_by_their_context(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    load(&store, site, 1, crowd()).await.unwrap();
    let plan = || ContextProperty::Tag("plan".to_owned());
    let order = || ContextProperty::Mark("order".to_owned());
    let edge = || ContextProperty::ServerTiming("edge".to_owned());
    let protocol = || ContextProperty::Condition(Condition::Protocol);
    for (filters, expected) in [
        (vec![is(plan(), "pro")], 2),
        (vec![is(plan(), "pro"), is(order(), "yes")], 1),
        (vec![is(order(), "no")], 2),
        (vec![is(ContextProperty::Viewport, "small")], 3),
        (vec![is(ContextProperty::Viewport, "large")], 0),
        (vec![is(protocol(), "h3"), is(plan(), "free")], 1),
        (vec![is(edge(), "HIT")], 2),
        (vec![is(edge(), "")], 1),
        (vec![is(ContextProperty::Tag("click".to_owned()), "pro")], 0),
    ] {
        let filters = Filters { context: filters, ..Filters::NONE };
        let query = CellQuery { filters, ..CellQuery::new(site, DAY0_MS, DAY1_MS) };
        let total = store.total(&query).await.unwrap().cell;
        assert_eq!((total.views, total.metric(Metric::Lcp).n()), (expected, expected), "{query:?}");
        let routes = store.cells(&query).await.unwrap().rows;
        assert_eq!(routes.iter().map(|row| row.cell.views).sum::<i64>(), expected, "{query:?}");
        let by = store.breakdown(&query, GroupBy::Rolled(Dimension::Browser)).await.unwrap().rows;
        assert_eq!(by.iter().map(|row| row.cell.views).sum::<i64>(), expected, "{query:?}");
        let views_max = u64::MAX;
        let causes =
            CauseQuery { views: query.clone(), explained: AttributionMetric::Lcp, limit: 1, views_max };
        assert_eq!(store.causes(&causes).await.unwrap().views.count, expected, "{query:?}");
        let phones = Filters { device: Some(Device::Phone), ..query.filters.clone() };
        let phones = store.total(&CellQuery { filters: phones, ..query.clone() }).await.unwrap().cell;
        assert!(phones.views <= expected.min(2), "{query:?}");
    }
    let query = CellQuery::new(site, DAY0_MS, DAY1_MS);
    let split = async |property: ContextProperty| {
        let rows = store.split(&query, &property).await.unwrap().rows;
        rows.into_iter().map(|row| (row.value, row.cell.views)).collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(split(plan()).await, [(text("pro"), 2), (text("free"), 1), (None, 1)]);
    assert_eq!(split(order()).await, [(text("no"), 2), (text("yes"), 2)]);
    assert_eq!(split(edge()).await, [(text("HIT"), 2), (text(""), 1), (None, 1)]);
    assert_eq!(split(protocol()).await, [(text("h3"), 2), (text("h2"), 1), (None, 1)]);
    assert_eq!(split(ContextProperty::Viewport).await, [(text("small"), 3), (None, 1)]);
    // Past retention, contexts are no longer read; rollups remain.
    store.maintain(DAY0_MS + 40 * DAY_MS, Retention::default()).await.unwrap();
    assert_eq!(split(plan()).await, []);
    assert_eq!(store.total(&query).await.unwrap().cell.views, 4);
    let filters = Filters { context: vec![is(plan(), "pro")], ..Filters::NONE };
    let total = store.total(&CellQuery { filters, ..query.clone() }).await.unwrap();
    assert!(total.cell.is_empty() && total.period.is_empty());
}

/// Slow page views are returned with everything that is stored of them, the slowest first.
pub async fn slow_page_views_are_found_whole(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let views: Vec<ViewUpdate> = (1..=200)
        .map(|number| {
            let url = format!("https://shop.example/{number}.js");
            let mut view = explained(DAY0_MS + 7 * number, number as u128, "img", &url);
            view.values.set(Metric::Lcp, Value::new(Metric::Lcp, 10.0 * number as f64).ok());
            view
        })
        .collect();
    load(&store, site, 1, views.clone()).await.unwrap();
    let query = |around| SampleQuery {
        views: CellQuery::new(site, DAY0_MS, DAY1_MS),
        metric: Metric::Lcp,
        around,
        limit: 4,
        views_max: u64::MAX,
    };
    for (around, percentile, numbers) in [
        (Around::Percentile(75), 1_500.0, [152, 151, 150, 149]),
        (Around::Worst, 1_980.0, [198, 197, 196, 195]),
    ] {
        let samples = store.samples(&query(around)).await.unwrap();
        assert_eq!((samples.views.count, samples.measured, samples.sample), (200, 200, None));
        assert_eq!(samples.percentile, Value::new(Metric::Lcp, percentile).ok());
        let found: Vec<ViewUpdate> = samples.found.into_iter().map(|view| view.update).collect();
        assert_eq!(found, numbers.map(|number| views[number - 1].clone()));
    }
    let nobody = Filters { device: Some(Device::Phone), ..Filters::NONE };
    let mut nothing = query(Around::Worst);
    nothing.views.filters = nobody;
    let samples = store.samples(&nothing).await.unwrap();
    assert_eq!((samples.measured, samples.percentile, samples.found), (0, None, vec![]));
}

/// Of many page views, a question reads a sample: at most the limit, in the planned windows, of a site and of a route.
pub async fn sample_of_page_views_is_bounded_and_even(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let (days, count) = (4, 4_000);
    let step = days * DAY_MS / count;
    let views: Vec<ViewUpdate> = (0..count)
        .map(|number| {
            let mut view = update(DAY0_MS + number * step, number as u128, &[(Metric::Lcp, number as f64)]);
            view.route = match number % 20 {
                1 => "/small",
                odd if odd % 2 == 1 => "/b",
                _ => "/",
            }
            .to_owned();
            view
        })
        .collect();
    load(&store, site, 1, views.clone()).await.unwrap();
    store.maintain(DAY0_MS + days * DAY_MS, Retention::default()).await.unwrap();
    let whole = CellQuery::new(site, DAY0_MS, DAY0_MS + days * DAY_MS);
    let routes = [(Some("/b"), 1_800, 1_000), (Some("/b"), 1_800, 300), (Some("/small"), 200, 150)];
    for (route, of, max) in [(None, 4_000, 1_000)].into_iter().chain(routes) {
        let route = route.map(str::to_owned);
        let query = CellQuery { route, ..whole.clone() };
        let planned = Scanned::plan(whole.from_ms..whole.to_ms, of, max);
        let ranges = planned.ranges();
        let expected = views
            .iter()
            .filter(|view| query.takes(view))
            .filter(|view| ranges.iter().any(|range| range.contains(&view.id.start_ms())))
            .count();
        assert!((max as usize * 7 / 10..=max as usize).contains(&expected), "{expected} of {max}");
        let (explained, limit) = (AttributionMetric::Lcp, 1);
        let causes = CauseQuery { views: query.clone(), explained, limit, views_max: max };
        let causes = store.causes(&causes).await.unwrap();
        assert_eq!((causes.views.count, causes.sample), (expected as i64, planned.sample.clone()));
        let (metric, around) = (Metric::Lcp, Around::Percentile(50));
        let samples = SampleQuery { views: query.clone(), metric, around, limit: 1, views_max: max };
        let samples = store.samples(&samples).await.unwrap();
        assert_eq!((samples.measured, samples.sample), (expected as i64, planned.sample.clone()));
        let median = samples.percentile.unwrap().number(Metric::Lcp);
        assert!((1_700.0..=2_300.0).contains(&median), "the sample is of the whole period: {median}");
        let engagement =
            EngagementQuery { views: query, metric, mark: None, ends: Vec::new(), views_max: max };
        let engagement = store.engagement(&engagement).await.unwrap();
        assert_eq!((engagement.measured, engagement.sample), (expected as i64, planned.sample));
    }
}

/// A sample whose windows have more page views than its limit ends there, and says so.
pub async fn sample_that_reaches_its_limit_is_cut(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let (of, max) = (40, 10);
    let planned = Scanned::plan(DAY0_MS..DAY1_MS, of, max);
    let window = planned.ranges()[500].clone();
    assert!(window.end - window.start >= of as i64, "the window holds all page views");
    let at = |number: u64| update(window.start + number as i64, number.into(), &[(Metric::Lcp, 1.0)]);
    load(&store, site, 1, (0..of).map(at).collect()).await.unwrap();
    for route in [None, Some("/".to_owned())] {
        let query = CellQuery { route, ..CellQuery::new(site, DAY0_MS, DAY1_MS) };
        let causes = |views_max| {
            let (explained, limit) = (AttributionMetric::Lcp, 1);
            CauseQuery { views: query.clone(), explained, limit, views_max }
        };
        let cut = store.causes(&causes(max)).await.unwrap();
        assert_eq!((cut.views.count, cut.sample), (max as i64, Some(Sample { of, max, is_cut: true })));
        let whole = store.causes(&causes(of)).await.unwrap();
        assert_eq!((whole.views.count, whole.sample), (of as i64, None));
    }
}

/// Labels, texts, tags, marks and `Server-Timing` entries are listed for suggestions.
pub async fn known_names_and_texts_are_listed(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let mut views = crowd();
    views[0].browser = Some("Firefox".to_owned());
    views[1].country = Some("DE".to_owned());
    load(&store, site, 1, views).await.unwrap();
    assert_eq!(store.labels(site, Dimension::Browser).await.unwrap(), ["Chrome", "Firefox"]);
    assert_eq!(store.labels(site, Dimension::Country).await.unwrap(), ["DE"]);
    assert_eq!(store.labels(site, Dimension::Device).await.unwrap(), [""; 0]);
    assert_eq!(store.texts(site, TextKind::Word).await.unwrap(), ["cart", "edge", "order", "plan"]);
    assert_eq!(store.texts(site, TextKind::TagValue).await.unwrap(), ["HIT", "free", "pro"]);
    let said = store.said(site, DAY0_MS..DAY1_MS).await.unwrap();
    assert_eq!(format!("{:?}", said.tags), r#"{"plan": {"free", "pro"}}"#);
    assert_eq!(format!("{:?}", said.marks), r#"{"cart", "order"}"#);
    assert_eq!(format!("{:?}", said.server_timings), r#"{"edge": {"", "HIT"}}"#);
    let other = super::site(&store, "b").await;
    assert_eq!(store.texts(other, TextKind::Word).await.unwrap(), [""; 0]);
    assert_eq!(store.said(other, DAY0_MS..DAY1_MS).await.unwrap(), crate::Said::default());
}
