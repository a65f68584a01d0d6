//! Tests the weights and contexts of page views.

use super::{DAY0_MS, load, site, update};
use crate::dimension::OTHER;
use crate::limits;
use crate::rollup::DAY_MS;
use crate::{
    AttributionMetric, CauseQuery, CellQuery, Context, Detail, Dimension, GroupBy, LoadReport, Retention,
    SiteId, Source, Store, ViewUpdate, Weight, estimate,
};
use std::sync::Arc;
use vitals::attribution::{Attribution, InpCause, LcpCause, LoadState};
use vitals::metric::{Metric, Value};
use vitals::view::{TtiGap, Viewport};

const DAY1_MS: i64 = DAY0_MS + DAY_MS;

/// A page view with an element of LCP and a script of INP.
#[must_use]
pub fn explained(start_ms: i64, random: u128, target: &str, script: &str) -> ViewUpdate {
    let mut update = update(start_ms, random, &[(Metric::Lcp, 1_000.0), (Metric::Inp, 200.0)]);
    let attribution = Attribution {
        lcp: Some(LcpCause {
            target: target.to_owned(),
            url: "https://shop.example/hero.avif".to_owned(),
            parts_ms: [100.0, 200.0, 300.0, 400.0],
        }),
        inp: Some(InpCause {
            target: "#buy".to_owned(),
            event: "click".to_owned(),
            at_ms: 9_000.0,
            parts_ms: [10.0, 150.0, 40.0],
            script: script.to_owned(),
            script_ms: 120.0,
            load_state: LoadState::Complete,
        }),
        ..Attribution::NONE
    };
    let (tags, marks) = (vec![("plan".to_owned(), "free".to_owned())], vec![("ready".to_owned(), 700)]);
    update.context = Context {
        viewport: Some(Viewport::Large),
        tbt: Value::new(Metric::Tti, 80.0).ok(),
        errors: vitals::beacon::errors::MODULE as u8,
        detail: Detail::new(attribution, tags, marks),
        conditions: None,
    };
    update
}

/// Page view counts use the weight, also after corrections; statistics count each page view once.
pub async fn sampled_page_views_count_as_those_they_stand_for(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let of = |random, seq, sample, country: &str| {
        let mut update = update(DAY0_MS + 5, random, &[(Metric::Lcp, 1.0)]);
        update.source = Source::Own { seq };
        update.weight = Weight::of_sample(sample);
        update.country = Some(country.to_owned());
        update
    };
    let first = vec![of(1, 1, 0.1, "DE"), of(2, 1, 1.0, "DE"), of(3, 1, 0.3, "FR")];
    load(&store, site, 1, first).await.unwrap();
    let query = CellQuery::new(site, DAY0_MS, DAY1_MS);
    let exact = CellQuery { exact: true, ..query.clone() };
    for (weights_milli, fr_milli) in [(10_000 + 1_000 + 3_333, 3_333), (2_000 + 1_000 + 3_333, 5_333)] {
        for folded in [false, true] {
            if folded {
                store.maintain(DAY1_MS, Retention::default()).await.unwrap();
            }
            for query in [&query, &exact] {
                let cells = store.cells(query).await.unwrap().rows;
                let cell = &cells[0].cell;
                assert_eq!((cells.len(), cell.views, cell.weight_milli), (1, 3, weights_milli));
                assert_eq!(cell.metric(Metric::Lcp).n(), 3);
                assert_eq!(estimate(cell.weight_milli), (weights_milli + 500) / 1_000);
                let by = store.breakdown(query, GroupBy::Rolled(Dimension::Country)).await.unwrap().rows;
                let fr = by.iter().find(|one| one.value.as_deref() == Some("FR")).unwrap();
                assert_eq!(fr.cell.weight_milli, fr_milli);
            }
            assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
        }
        // The page's sample rate is set to one half, and the country of the view becomes known.
        load(&store, site, 1, vec![of(1, 2, 0.5, "FR")]).await.unwrap();
    }
    store.rebuild_day(site, DAY0_MS).await.unwrap();
    assert_eq!(store.cells(&query).await.unwrap().rows[0].cell.weight_milli, 6_333);
    let erase = crate::Erase { site, from_ms: DAY0_MS, to_ms: DAY1_MS, url: None };
    while store.erase(&erase).await.unwrap().more {}
    assert_eq!(store.cells(&query).await.unwrap().rows, []);
}

/// The context of a page view is that of its last snapshot, completely, and explains its values.
pub async fn contexts_are_those_of_the_last_snapshot(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let mut first = explained(DAY0_MS + 7, 1, "img.old", "https://shop.example/old.js");
    first.tti_gap = Some(TtiGap::Network);
    let id = first.id;
    let last = ViewUpdate {
        source: Source::Own { seq: 2 },
        ..explained(DAY0_MS + 7, 1, "#hero>img", "https://shop.example/app.js")
    };
    let plain = update(DAY0_MS + 8, 2, &[]);
    load(&store, site, 1, vec![first.clone(), plain.clone()]).await.unwrap();
    assert_eq!(store.view(site, id).await.unwrap().unwrap().update, first);
    load(&store, site, 1, vec![last.clone(), first]).await.unwrap();
    assert_eq!(store.view(site, id).await.unwrap().unwrap().update, last);
    assert_eq!(store.view(site, plain.id).await.unwrap().unwrap().update, plain);

    let query = |explained| CauseQuery {
        views: CellQuery::new(site, DAY0_MS, DAY1_MS),
        explained,
        limit: 10,
        views_max: u64::MAX,
    };
    let lcp = store.causes(&query(AttributionMetric::Lcp)).await.unwrap();
    assert_eq!((lcp.views.count, lcp.measured, lcp.explained, lcp.found), (2, 1, 1, 1));
    let cause = &lcp.causes[0];
    assert_eq!((cause.target.as_str(), cause.what.as_str()), ("#hero>img", "https://shop.example/hero.avif"));
    assert_eq!((cause.p75_micros, cause.parts_ms.as_slice()), (1_000_000, [100, 200, 300, 400].as_slice()));
    assert_eq!((lcp.tbt.n, lcp.tbt.p50_micros, lcp.errors[2], lcp.tti_gaps), (1, 80_000, 1, [0; 3]));
    let inp = store.causes(&query(AttributionMetric::Inp)).await.unwrap();
    let script = inp.causes[0].script.clone().unwrap();
    assert_eq!(
        (script.url.as_str(), script.views, script.median_ms),
        ("https://shop.example/app.js", 1, 120)
    );
    assert_eq!((inp.causes[0].at_ms, inp.causes[0].load_states), (Some(9_000), [0, 0, 1]));
    let cls = store.causes(&query(AttributionMetric::Cls)).await.unwrap();
    assert_eq!((cls.measured, cls.causes.len()), (0, 0));
    // Past retention, contexts are no longer read.
    store.maintain(DAY0_MS + 40 * DAY_MS, Retention::default()).await.unwrap();
    let nothing = store.causes(&query(AttributionMetric::Lcp)).await.unwrap();
    assert!(nothing.period.is_empty());
    assert_eq!(crate::Causes { period: 0..0, ..nothing }, crate::Causes::default());
}

/// A site's texts of a kind are bounded per day. Further ones become `(other)` and stay so however often they are
/// loaded. Other kinds and days have their own bounds.
pub async fn texts_have_a_bound(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let max = limits::SCRIPTS_PER_DAY_MAX;
    let of_script = |i: usize, at_ms| {
        explained(at_ms, i as u128, &format!("#e{i}"), &format!("https://shop.example/{i}.js"))
    };
    let count = max + 5;
    load(&store, site, 1, (0..max).map(|i| of_script(i, DAY0_MS)).collect()).await.unwrap();
    load(&store, site, 1, (max..count).map(|i| of_script(i, DAY0_MS)).collect()).await.unwrap();
    let again = load(&store, site, 2, (0..count).map(|i| of_script(i, DAY0_MS)).collect()).await.unwrap();
    assert_eq!(again, LoadReport { loaded: 0, superseded: count as u64, ..LoadReport::default() });
    let found = texts(&store, site, (0..count).map(|i| of_script(i, DAY0_MS)).collect()).await;
    for (i, (target, script)) in found.iter().enumerate() {
        assert_eq!(*target, format!("#e{i}"));
        let own = format!("https://shop.example/{i}.js");
        assert_eq!(script.as_str(), if i < max { own.as_str() } else { OTHER });
    }
    let next_day = of_script(count, DAY1_MS);
    load(&store, site, 1, vec![next_day.clone()]).await.unwrap();
    assert_eq!(store.view(site, next_day.id).await.unwrap().unwrap().update, next_day);
}

/// Returns the LCP elements and INP scripts of page views.
async fn texts(store: &Arc<dyn Store>, site: SiteId, views: Vec<ViewUpdate>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for view in views {
        let stored = store.view(site, view.id).await.unwrap().unwrap();
        let detail = stored.update.context.detail.unwrap();
        found.push((detail.lcp.unwrap().target, detail.inp.unwrap().script));
    }
    found
}
