//! Tests that rollups count a large gate as page views do.

use super::counts::{Counter, Counts};
use super::{Question, not_evaluated};
use crate::report::Range;
use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
use fieldvitals_store::limits::SORT_VIEWS_MAX;
use fieldvitals_store::{Filters, Site, Store};
use fieldvitals_store_sqlite::SqliteStore;
use std::sync::Arc;
use vitals::budget::Budget;
use vitals::gate::{EffectSource, Looks};
use vitals::metric::Metric;
use vitals::view::Device;

const DAY_MS: i64 = 86_400_000;

async fn counted(
    store: &dyn Store,
    site: &Site,
    (budget, filters): (&Budget, &Filters),
    views_max: u64,
) -> Counts {
    let range = Range { from_ms: DAY0_MS, to_ms: DAY0_MS + 2 * DAY_MS };
    let question = Question { range, filters: Filters::NONE, looks: Looks::One, record: false };
    let routes = store.routes(site.id, range.from_ms, range.to_ms).await.unwrap();
    let mut counter = Counter::new(store, site, &question, 1, views_max).await.unwrap();
    let at_most = budget.limit.max().unwrap();
    counter.count((budget, at_most), filters.clone(), routes).await.unwrap()
}

#[tokio::test]
async fn rollups_count_a_large_gate_as_page_views_do() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&directory.path().join("store.sqlite")).await.unwrap());
    let id = site(&store, "shop").await;
    let updates = (0..400_i64).map(|number| {
        let lcp = 2_000.0 + (number * 37 % 1_000) as f64;
        let mut update = update(DAY0_MS + number * 400_000, number as u128, &[(Metric::Lcp, lcp)]);
        update.route = format!("/{}", number % 3);
        update.device = Some(if number % 4 == 0 { Device::Phone } else { Device::Desktop });
        update
    });
    load(&store, id, 1, updates.collect()).await.unwrap();
    let site = store.sites().await.unwrap().remove(0);
    let budget = |max: &str| {
        vitals::budget::parse(&format!("[[budget]]\nmetric = 'LCP'\nmax = {max}")).unwrap().budgets.remove(0)
    };
    let phones = Filters { device: Some(Device::Phone), ..Filters::NONE };
    for filters in [&Filters::NONE, &phones] {
        // A threshold; and a value inside a bucket, which only page views count.
        for (max, source) in [("2500", EffectSource::Max), ("2501", EffectSource::Hours)] {
            let budget = budget(max);
            let exact = counted(store.as_ref(), &site, (&budget, filters), SORT_VIEWS_MAX).await;
            let large = counted(store.as_ref(), &site, (&budget, filters), 50).await;
            assert_eq!(exact.effect.source, EffectSource::Hours, "{max}");
            assert_eq!(large.effect.source, source, "{max}");
            assert_eq!((large.routes, large.sample.n), (3, exact.sample.n), "{max}");
            assert_eq!(large.sample.within, exact.sample.within, "{max}");
            let (told, measured) = (large.percentile().unwrap(), exact.percentile().unwrap());
            assert!((told / measured - 1.0).abs() < 0.006, "{max}: {told} is not {measured}");
        }
    }
}

#[tokio::test]
async fn host_in_a_file_is_listed_unless_the_site_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&directory.path().join("store.sqlite")).await.unwrap());
    site(&store, "shop").await;
    let shop = store.sites().await.unwrap().remove(0);
    let text = r#"{"thresholds": {"browser_web_vital_lcp{url:https://shop.example/cart}": ["p(75)<2500", "avg<1"]}}"#;
    let file = vitals::budget::parse(text).unwrap();
    let listed = |origin: &str| {
        let site = Site { origins: vec![origin.to_owned()], ..shop.clone() };
        not_evaluated(&file, &site).into_iter().map(|one| one.what).collect::<Vec<_>>()
    };
    let name = "browser_web_vital_lcp{url:https://shop.example/cart}";
    for (origin, expected) in [
        ("https://shop.example", &[name][..]),
        ("https://*.example", &[name]),
        ("*", &[name]),
        ("https://blog.example", &["host shop.example", name]),
        ("https://shop.example:8443", &["host shop.example", name]),
    ] {
        assert_eq!(listed(origin), expected, "{origin}");
    }
}
