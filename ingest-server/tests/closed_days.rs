//! Answers with kept cells of closed days equal those of the store, whatever happened before.

#![allow(clippy::unwrap_used)]

use fieldvitals_server::closed_days::{ClosedDays, Reader};
use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
use fieldvitals_store::rollup::{DAY_MS, HOUR_MS};
use fieldvitals_store::{
    CellQuery, Dimension, Erase, GroupBy, Retention, Selection, SiteId, Source, Store, ViewUpdate,
};
use fieldvitals_store_sqlite::SqliteStore;
use proptest::prelude::*;
use std::sync::Arc;
use vitals::metric::Metric;
use vitals::view::Device;

const DAYS: i64 = 9;
const NOW_MS: i64 = DAY0_MS + DAYS * DAY_MS + 5 * HOUR_MS;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Op {
    /// Page views are loaded, new ones and later snapshots of stored ones.
    Load(Vec<(i64, u128, u32)>),
    /// Hours are erased.
    Erase { from_hour: i64, hours: i64 },
    /// A day's rollups are made again.
    Rebuild(i64),
    /// Deltas are folded, and data past retention removed.
    Maintain { raw_days: u32, daily_days: u32 },
    /// A spool's cursors are forgotten.
    Forget(u8),
}

fn any_op() -> impl Strategy<Value = Op> {
    let view = (0..DAYS * 24 + 5, 0_u128..2, 1_u32..5);
    prop_oneof![
        6 => prop::collection::vec(view, 1..6).prop_map(Op::Load),
        1 => (0..DAYS * 24, 1_i64..40).prop_map(|(from_hour, hours)| Op::Erase { from_hour, hours }),
        1 => (0..DAYS).prop_map(Op::Rebuild),
        2 => (select_days(), select_days()).prop_map(|(a, b)| Op::Maintain { raw_days: a, daily_days: a.max(b) }),
        1 => (0_u8..2).prop_map(Op::Forget),
    ]
}

fn select_days() -> impl Strategy<Value = u32> {
    prop::sample::select(&[4_u32, 7, 30, 30, 30][..])
}

fn view((hour, random, seq): (i64, u128, u32)) -> ViewUpdate {
    let start_ms = DAY0_MS + hour * HOUR_MS + 7;
    let lcp = f64::from(seq) * 1_100.0 + hour as f64;
    ViewUpdate {
        source: Source::Own { seq },
        route: format!("/{}", hour % 3),
        device: Some(if hour % 2 == 0 { Device::Phone } else { Device::Desktop }),
        release: (hour % 5 != 0).then(|| format!("r{}", hour % 4)),
        ..update(start_ms, random, &[(Metric::Lcp, lcp), (Metric::Cls, 0.01 * f64::from(seq))])
    }
}

async fn happens(store: &Arc<dyn Store>, site: SiteId, op: Op, spool: u8) {
    match op {
        Op::Load(views) => {
            load(store, site, spool, views.into_iter().map(view).collect()).await.unwrap();
        }
        Op::Erase { from_hour, hours } => {
            let from_ms = DAY0_MS + from_hour * HOUR_MS;
            let erase = Erase { site, from_ms, to_ms: from_ms + hours * HOUR_MS, url: None };
            while store.erase(&erase).await.unwrap().more {}
        }
        Op::Rebuild(day) => drop(store.rebuild_day(site, DAY0_MS + day * DAY_MS).await),
        Op::Maintain { raw_days, daily_days } => {
            let retention = Retention { raw_days, hourly_days: raw_days.min(7), daily_days };
            drop(store.maintain(NOW_MS, retention).await.unwrap());
        }
        Op::Forget(spool) => {
            store.cursors_forget(fieldvitals_store::SpoolId([spool; 16])).await.unwrap();
        }
    }
}

fn questions(site: SiteId) -> Vec<CellQuery> {
    let mut questions = Vec::new();
    for (from_ms, to_ms) in [
        (DAY0_MS, NOW_MS),
        (DAY0_MS + 7 * HOUR_MS, NOW_MS - HOUR_MS),
        (DAY0_MS + DAY_MS, DAY0_MS + 6 * DAY_MS),
        (DAY0_MS + 30 * HOUR_MS, NOW_MS + 3 * DAY_MS),
        (NOW_MS - 20 * HOUR_MS, NOW_MS),
        (DAY0_MS - 20 * DAY_MS, NOW_MS),
    ] {
        let all = CellQuery::new(site, from_ms, to_ms);
        let mut released = all.clone();
        released.filters.release = Some("r1".to_owned());
        let route = CellQuery { route: Some("/1".to_owned()), ..all.clone() };
        questions.extend([all, released, route]);
    }
    questions
}

/// Compares all questions; the reader is new, the kept cells are those of the whole history.
async fn compare(store: &Arc<dyn Store>, days: &Arc<ClosedDays>, site: SiteId) {
    let version = store.version(site).await.unwrap();
    let reader = Reader::new(Arc::clone(store), Arc::clone(days), version, NOW_MS);
    for query in questions(site) {
        assert_eq!(reader.cells(&query).await.unwrap(), store.cells(&query).await.unwrap(), "{query:?}");
        for selection in [Selection::Ratings, Selection::Routes(["/1".to_owned()].into())] {
            let (read, stored) = (reader.cells_of(&query, &selection), store.cells_of(&query, &selection));
            assert_eq!(read.await.unwrap(), stored.await.unwrap(), "{query:?} {selection:?}");
        }
        assert_eq!(reader.total(&query).await.unwrap(), store.total(&query).await.unwrap(), "{query:?}");
        for by in [Dimension::Release, Dimension::Device].map(GroupBy::Rolled) {
            let (read, stored) = (reader.breakdown(&query, by).await, store.breakdown(&query, by).await);
            assert_eq!(read.unwrap(), stored.unwrap(), "{query:?} by {by:?}");
        }
    }
}

#[test]
fn answers_with_kept_days_equal_answers_of_the_store() {
    let config = ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    proptest!(config, |(ops in prop::collection::vec((any_op(), 0_u8..2), 1..14))| {
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store: Arc<dyn Store> =
                Arc::new(SqliteStore::open(&folder.path().join("store.db")).await.unwrap());
            let site = site(&store, "shop").await;
            let days = Arc::new(ClosedDays::new(64 << 20));
            for (op, spool) in ops {
                happens(&store, site, op, spool).await;
                compare(&store, &days, site).await;
            }
            store.close().await;
        });
    });
}

/// The cells of days that nothing changed come from memory, and a late beacon makes its day anew.
#[tokio::test(flavor = "multi_thread")]
async fn late_beacon_reads_its_day_again_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("store.db")).await.unwrap());
    let site = site(&store, "shop").await;
    let days = Arc::new(ClosedDays::new(64 << 20));
    let query = CellQuery::new(site, DAY0_MS, NOW_MS);
    let computed = async || {
        let version = store.version(site).await.unwrap();
        let reader = Reader::new(Arc::clone(&store), Arc::clone(&days), version, NOW_MS);
        let before = serde_json::to_value(days.report().await).unwrap()["computed"].as_u64().unwrap();
        assert_eq!(reader.total(&query).await.unwrap(), store.total(&query).await.unwrap());
        serde_json::to_value(days.report().await).unwrap()["computed"].as_u64().unwrap() - before
    };
    load(&store, site, 1, (0..DAYS * 24).map(|hour| view((hour, 0, 1))).collect()).await.unwrap();
    assert_eq!(computed().await, 4, "the days before, and each of the last three");
    assert_eq!(computed().await, 0, "nothing changed");
    load(&store, site, 1, vec![view((DAYS * 24 + 1, 0, 1))]).await.unwrap();
    assert_eq!(computed().await, 0, "a beacon of today");
    load(&store, site, 1, vec![view((DAYS * 24 - 30, 9, 1))]).await.unwrap();
    assert_eq!(computed().await, 1, "a beacon of the day before yesterday");
    load(&store, site, 2, vec![view((3, 9, 1))]).await.unwrap();
    assert_eq!(computed().await, 1, "a beacon of the first day");
    store.maintain(NOW_MS, Retention::default()).await.unwrap();
    computed().await;
    store.maintain(NOW_MS, Retention::default()).await.unwrap();
    assert_eq!(computed().await, 0, "a fold");
}
