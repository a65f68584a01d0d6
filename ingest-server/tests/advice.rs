//! Advice about more page views than it reads is that of a sample of the whole period.

#![allow(clippy::unwrap_used)]

use fieldvitals_server::advice::AdviceReport;
use fieldvitals_server::closed_days::{ClosedDays, Reader};
use fieldvitals_server::limits::ADVICE_VIEWS_MAX;
use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
use fieldvitals_store::context::conditions::Conditions;
use fieldvitals_store::context::{ClsDetail, LcpDetail};
use fieldvitals_store::rollup::DAY_MS;
use fieldvitals_store::{CellQuery, Context, Detail, Store, ViewUpdate};
use fieldvitals_store_sqlite::SqliteStore;
use serde_json::{Value, json};
use std::sync::Arc;
use vitals::attribution::LoadState;
use vitals::metric::Metric;
use vitals::view::NavigationType;

/// Page views of the day: a fifth more than advice reads.
const VIEWS: i64 = ADVICE_VIEWS_MAX as i64 * 12 / 10;

/// One page view of so many names the element of its shift: a sample has less than advice needs, the whole day has enough.
const SHIFT_EVERY: i64 = VIEWS / 32;

/// A page view at a place of the day. Every second one is slow: in the first half of the day by its image, in the second
/// half by its document. Of ten, one is restored from the back/forward cache, and two miss it. Every fifth one has a shift,
/// of which few name an element.
fn view(place: i64) -> ViewUpdate {
    let is_slow = place % 2 == 0;
    let parts_ms = match (is_slow, place < VIEWS / 2) {
        (false, _) => [200, 100, 500, 100],
        (true, true) => [200, 100, 3_500, 100],
        (true, false) => [3_000, 100, 500, 100],
    };
    let kind = match place % 10 {
        1 => NavigationType::BackForwardCache,
        3 | 5 => NavigationType::BackForward,
        _ => NavigationType::Navigate,
    };
    let lcp = LcpDetail { target: "#hero".to_owned(), url: String::new(), parts_ms };
    let cls = (place % SHIFT_EVERY == 0).then(|| ClsDetail {
        target: "#banner".to_owned(),
        at_ms: 900,
        value_micros: 200_000,
        load_state: LoadState::Complete,
    });
    let detail = Detail { lcp: Some(lcp), inp: None, cls, tags: Vec::new(), marks: Vec::new() };
    let is_missed = kind == NavigationType::BackForward;
    let not_restored = if is_missed { vec!["unload-listener".to_owned()] } else { Vec::new() };
    let conditions = Conditions { not_restored, ..Conditions::default() };
    let (detail, conditions) = (Some(Box::new(detail)), Some(Box::new(conditions)));
    let lcp = f64::from(parts_ms.iter().sum::<u32>());
    let cls = if place % 5 == 0 { 0.2 } else { 0.0 };
    ViewUpdate {
        navigation_type: Some(kind),
        context: Context { detail, conditions, ..Context::NONE },
        ..update(
            DAY0_MS + place * DAY_MS / VIEWS,
            place.unsigned_abs().into(),
            &[(Metric::Lcp, lcp), (Metric::Cls, cls), (Metric::Ttfb, 200.0)],
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_about_many_views_is_of_a_stated_sample_of_the_whole_period() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("store.db")).await.unwrap());
    let site = site(&store, "shop").await;
    for from in (0..VIEWS).step_by(4_000) {
        load(&store, site, 1, (from..VIEWS.min(from + 4_000)).map(view).collect()).await.unwrap();
    }
    let version = store.version(site).await.unwrap();
    let now_ms = DAY0_MS + 2 * DAY_MS;
    let reader = Reader::new(Arc::clone(&store), Arc::new(ClosedDays::new(64 << 20)), version, now_ms);
    let ask = async |query: &CellQuery| {
        let whole = store.total(query).await.unwrap().cell;
        serde_json::to_value(AdviceReport::of(&reader, query, &whole).await.unwrap()).unwrap()
    };
    let whole = CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS);
    let advice = ask(&whole).await;
    let of = |code: &str| -> Value {
        let all = advice["recommendations"].as_array().unwrap();
        all.iter().find(|one| one["code"] == code).unwrap_or_else(|| panic!("no {code}: {advice}")).clone()
    };
    for code in ["lcp-load-duration", "lcp-ttfb"] {
        let one = of(code);
        // Each cause is that of half of the day. The ratings are those of all page views.
        assert!((one["share_of_slow"].as_f64().unwrap() - 0.5).abs() < 0.02, "{one}");
        assert_eq!(one["n"], json!(VIEWS), "{one}");
        let slow = one["slow_explained"].as_i64().unwrap();
        assert!(slow > VIEWS / 4 && slow < VIEWS / 2, "a sample: {one}");
        assert_eq!(one["sample"]["max"], json!(ADVICE_VIEWS_MAX), "{one}");
        assert!(one["evidence"].as_str().unwrap().contains("sampled slow ones"), "{one}");
    }
    // The first sample explains too few shifts, so more page views are read: here all of them.
    let explained = (0..VIEWS).filter(|place| place % SHIFT_EVERY == 0).count();
    let recommendations = advice["recommendations"].as_array().unwrap();
    let shifts =
        recommendations.iter().find(|one| one["metric"] == "CLS").unwrap_or_else(|| panic!("{advice}"));
    assert_eq!((&shifts["slow_explained"], &shifts["sample"]), (&json!(explained), &Value::Null), "{shifts}");
    // All three counts of the back/forward cache are of the same sample.
    let cache = of("back-forward-cache");
    assert!((cache["share_of_slow"].as_f64().unwrap() - 2.0 / 3.0).abs() < 0.02, "{cache}");
    assert!((cache["affected_share"].as_f64().unwrap() - 0.2).abs() < 0.01, "{cache}");
    assert!(cache["n"].as_i64().unwrap() < VIEWS * 3 / 10, "a sample: {cache}");

    // Few page views are read all, and no sample is stated.
    let few = CellQuery { to_ms: DAY0_MS + DAY_MS / 2, ..whole };
    let advice = ask(&few).await;
    let one = &advice["recommendations"][0];
    assert_eq!((&one["code"], &one["sample"]), (&json!("lcp-load-duration"), &Value::Null), "{advice}");
    assert_eq!((&one["slow_explained"], &one["dominated"]), (&json!(VIEWS / 4), &json!(VIEWS / 4)));
    assert!(!one["evidence"].as_str().unwrap().contains("sampled"), "{one}");
    store.close().await;
}
