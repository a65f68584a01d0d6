//! Appending: group commits, their bounds, and refusals.

use crate::place::{Place, assert_law, until};
use fieldvitals_server::spool::{AppendError, Bounds, Cause, Spool};
use fieldvitals_store::conformance::{DAY0_MS, update};
use futures_util::future::join_all;
use sqlx::Connection as _;
use std::time::Duration;
use tokio::sync::watch;
use vitals::metric::Metric;

#[tokio::test]
async fn beacons_that_come_together_are_committed_together() {
    let place = Place::new().await;
    let spool = place.still().await;
    let appended = join_all((0..1_000).map(|number| spool.append(place.record(number)))).await;
    assert!(appended.iter().all(Result::is_ok));
    let most: i64 = sqlx::query_scalar("select max(beacons) from spool_row")
        .fetch_one(&mut place.raw().await)
        .await
        .unwrap();
    assert!(most > 1, "each beacon has a commit of its own");
    spool.close().await;
    let stats = place.start().await.stop().await;
    assert_law(&stats);
    assert_eq!(stats.loaded, 1_000);
    place.assert_has(0..1_000).await;
}

#[tokio::test]
async fn a_commit_and_a_load_keep_their_bounds() {
    let place = Place::new().await;
    let bounds = Bounds { commit_beacons: 8, load_views: 12, ..Bounds::default() };
    let (spool, loader) = Spool::open_with(&place.path(), place.store(), bounds).await.unwrap();
    let records = (0..100).map(|number| {
        let mut record = place.record(number);
        record.site = place.sites[0];
        // Each beacon has three page views, so twelve page views are four beacons.
        for more in 1..3 {
            record.updates.push(update(DAY0_MS + i64::from(number), 1 + more, &[(Metric::Lcp, 1.0)]));
        }
        record
    });
    let appended = join_all(records.map(|record| spool.append(record))).await;
    assert!(appended.iter().all(Result::is_ok));
    let mut raw = place.raw().await;
    let most: i64 =
        sqlx::query_scalar("select max(beacons) from spool_row").fetch_one(&mut raw).await.unwrap();
    assert_eq!(most, 4);
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;
    assert_eq!(spool.stats().loaded, 100);
    let loads = place.store.loads();
    assert!(loads.iter().all(|&beacons| beacons <= 4), "{loads:?}");
    assert_eq!(place.views().await, 300);
}

#[tokio::test]
async fn a_full_spool_sheds_and_takes_again_when_it_is_loaded() {
    let place = Place::new().await;
    let bounds = Bounds { spool_bytes: 2_000, retry: Duration::from_millis(1), ..Bounds::default() };
    let running = place.start_with(bounds).await;
    place.store.away(u64::MAX);
    let mut kept = 0;
    while running.spool.append(place.record(kept)).await.is_ok() {
        kept += 1;
        assert!(kept < 100, "2000 bytes hold no 100 beacons");
    }
    assert!(kept > 5);
    assert_eq!(running.spool.append(place.record(kept)).await, Err(AppendError::Full));
    assert!(!running.spool.is_failed());
    let refusal = running.spool.refusal().unwrap();
    assert!(refusal.cause == Cause::Full && refusal.beacons == 2, "{refusal:?}");
    place.store.away(0);
    until(async || running.spool.append(place.record(kept)).await.is_ok()).await;
    let stats = running.stop().await;
    assert_law(&stats);
    place.assert_has(0..kept + 1).await;
}

#[tokio::test]
async fn memory_in_flight_is_bounded() {
    let place = Place::new().await;
    let bounds = Bounds { in_flight_bytes: 1_000, ..Bounds::default() };
    let (spool, _loader) = Spool::open_with(&place.path(), place.store(), bounds).await.unwrap();
    // The write lock keeps what is in flight there until the rest has been shed.
    let mut raw = place.raw().await;
    let held = raw.begin_with("begin immediate").await.unwrap();
    let appends = join_all((0..200).map(|number| spool.append(place.record(number))));
    let release = async {
        until(async || spool.refusal().is_some_and(|refusal| refusal.beacons >= 150)).await;
        held.rollback().await.unwrap();
    };
    let (appended, ()) = tokio::join!(appends, release);
    let full = appended.iter().filter(|answer| **answer == Err(AppendError::Full)).count();
    assert!((150..200).contains(&full), "{full} of 200 were shed");
    assert_eq!(spool.stats().appended as usize, 200 - full);
    let refusal = spool.refusal().unwrap();
    assert_eq!((refusal.cause, refusal.beacons), (Cause::InFlight, full as u64), "{refusal:?}");
    place.append(&spool, 300..301).await;
}

#[tokio::test]
async fn a_file_that_takes_nothing_for_a_while_sheds_and_recovers() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..3).await;
    // The write lock stands for any temporary failure.
    let mut raw = place.raw().await;
    let held = raw.begin_with("begin immediate").await.unwrap();
    let refused = spool.append(place.record(3)).await;
    assert!(
        matches!(&refused, Err(AppendError::Refused(reason)) if reason.contains("another process")),
        "{refused:?}"
    );
    assert!(!spool.is_failed());
    let refusal = spool.refusal().unwrap();
    assert!(refusal.beacons == 1 && refusal.trouble.error.contains("another process"), "{refusal:?}");
    held.rollback().await.unwrap();
    until(async || spool.refusal().is_none()).await;
    assert_eq!(spool.stats().appended, 3, "it is found out without beacons");
    place.append(&spool, 3..4).await;
    spool.close().await;
    place.start().await.stop().await;
    place.assert_has(0..4).await;
}

#[tokio::test]
async fn a_fault_of_the_file_ends_acknowledging() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..1).await;
    let mut raw = place.raw().await;
    sqlx::query("drop table spool_row").execute(&mut raw).await.unwrap();
    let answer = spool.append(place.record(1)).await;
    assert!(matches!(answer, Err(AppendError::Failed(_))), "{answer:?}");
    assert!(spool.is_failed());
    assert!(spool.failed().await.contains("spool_row"));
    let answer = spool.append(place.record(2)).await;
    assert!(matches!(answer, Err(AppendError::Failed(_))), "{answer:?}");
    assert_eq!(spool.stats().appended, 1);
}
