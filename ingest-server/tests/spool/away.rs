//! The store is away.

use crate::place::{Place, assert_law, until};
use fieldvitals_server::spool::{Bounds, Spool};
use fieldvitals_store::Sites as _;
use fieldvitals_store::conformance::DAY0_MS;
use futures_util::future::join_all;
use std::time::Duration;
use tokio::sync::watch;

#[tokio::test]
async fn why_nothing_is_loaded_is_shown_until_it_goes_on() {
    let place = Place::new().await;
    let running = place.start().await;
    assert_eq!(running.spool.stalled(), None);
    place.store.away(u64::MAX);
    place.append(&running.spool, 0..3).await;
    until(async || running.spool.stalled().is_some()).await;
    let stalled = running.spool.stalled().unwrap();
    assert!(stalled.since_ms > DAY0_MS && stalled.error.contains("the database is away"), "{stalled:?}");
    place.store.away(0);
    until(async || running.spool.stats().waiting == 0 && running.spool.stalled().is_none()).await;
    assert_law(&running.stop().await);
}

#[tokio::test]
async fn a_store_that_is_away_loses_and_doubles_nothing() {
    let place = Place::new().await;
    let running = place.start().await;
    for round in 0..10_u32 {
        place.store.away(7);
        place.append(&running.spool, round * 4..round * 4 + 4).await;
        assert_law(&running.spool.stats());
    }
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!((stats.appended, stats.loaded), (40, 40));
    place.assert_has(0..40).await;
}

#[tokio::test]
async fn a_store_that_goes_away_between_two_sites_counts_nothing_twice() {
    for deleted in [false, true] {
        let place = Place::new().await;
        let bounds = Bounds { retry: Duration::from_millis(1), ..Bounds::default() };
        let (spool, loader) = Spool::open_with(&place.path(), place.store(), bounds).await.unwrap();
        let appended = join_all((0..10).map(|number| spool.append(place.record(number)))).await;
        assert!(appended.iter().all(Result::is_ok));
        if deleted {
            place.store.site_delete(place.sites[0]).await.unwrap();
        }
        // The first pass is refused as too large, and one half of it is loaded; the next calls of the store fail.
        place.store.slow(6);
        place.store.away_after(2, 3);
        let (_stop, stopped) = watch::channel(true);
        loader.run(stopped).await;
        let stats = spool.stats();
        assert_law(&stats);
        let expected = if deleted { (5, 5) } else { (10, 0) };
        assert_eq!((stats.loaded, stats.discarded), expected, "{stats:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_at_the_start_does_not_keep_the_spool_closed() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..4).await;
    spool.close().await;
    place.store.away(5);
    let running = place.start().await;
    place.append(&running.spool, 4..8).await;
    assert_eq!(running.stop().await.loaded, 8);
    place.assert_has(0..8).await;
}

#[tokio::test]
async fn a_store_that_comes_and_goes_at_the_start_does_not_make_the_spool_an_older_copy() {
    let place = Place::new().await;
    // The store fails when the spool opens and at the loader's first check, but not after that.
    place.store.away(2);
    let running = place.start().await;
    for number in 0..3 {
        place.append(&running.spool, number..number + 1).await;
        until(async || running.spool.stats().waiting == 0 || running.spool.is_failed()).await;
        assert!(!running.spool.is_failed(), "{}", running.spool.failed().await);
    }
    assert_eq!(running.stop().await.loaded, 3);
    place.assert_has(0..3).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_store_that_stays_away() {
    let place = Place::new().await;
    let drain = Duration::from_millis(20);
    let running =
        place.start_with(Bounds { drain, retry: Duration::from_millis(1), ..Bounds::default() }).await;
    place.store.away(u64::MAX);
    place.append(&running.spool, 0..4).await;
    let stats = running.stop().await;
    assert_eq!((stats.appended, stats.waiting), (4, 4));
    place.store.away(0);
    assert_eq!(place.start().await.stop().await.loaded, 4);
    place.assert_has(0..4).await;
}
