//! Beacons reach the store exactly once, whatever fails in between.

use crate::place::{Place, assert_law, until};
use fieldvitals_server::spool::Spool;
use fieldvitals_store::{Loading as _, Sites as _, Source, SpoolId};
use tokio::sync::watch;

#[tokio::test]
async fn what_was_appended_is_in_the_store_after_a_stop() {
    let place = Place::new().await;
    let running = place.start().await;
    place.append(&running.spool, 0..20).await;
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!((stats.appended, stats.loaded, stats.waiting, stats.bytes), (20, 20, 0, 0));
    place.assert_has(0..20).await;
    let mut raw = place.raw().await;
    let rows: i64 = sqlx::query_scalar("select count(*) from spool_row").fetch_one(&mut raw).await.unwrap();
    assert_eq!(rows, 0, "loaded rows are removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_right_after_an_append_still_loads_it() {
    let place = Place::new().await;
    for round in 0..20_u32 {
        let running = place.start().await;
        place.append(&running.spool, round * 2..round * 2 + 1).await;
        until(async || running.spool.stats().waiting == 0).await;
        place.append(&running.spool, round * 2 + 1..round * 2 + 2).await;
        assert_eq!(running.stop().await.waiting, 0, "round {round}");
    }
    place.assert_has(0..40).await;
}

#[tokio::test]
async fn what_a_killed_server_left_is_loaded_first() {
    let place = Place::new().await;
    for start in 0..3_u32 {
        let spool = place.still().await;
        assert_eq!(spool.stats().waiting, u64::from(start) * 5);
        place.append(&spool, start * 5..start * 5 + 5).await;
        spool.close().await;
    }
    let mut raw = place.raw().await;
    let left: Vec<Vec<u8>> = sqlx::query_scalar("select id from epoch").fetch_all(&mut raw).await.unwrap();
    assert_eq!(left.len(), 3);
    let running = place.start().await;
    place.append(&running.spool, 15..20).await;
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!((stats.appended, stats.loaded), (20, 20));
    place.assert_has(0..20).await;
    let epochs: i64 = sqlx::query_scalar("select count(*) from epoch").fetch_one(&mut raw).await.unwrap();
    assert_eq!(epochs, 1, "loaded epochs are forgotten");
    for id in left {
        let spool = SpoolId(id.try_into().unwrap());
        assert_eq!(place.store.cursor_max(spool).await.unwrap(), 0, "in the store too");
    }
}

#[tokio::test]
async fn a_crash_between_load_and_trim_doubles_nothing() {
    let place = Place::new().await;
    let (spool, loader) = Spool::open(&place.path(), place.store()).await.unwrap();
    place.append(&spool, 0..10).await;
    // Copies the file before its rows are loaded and removed. The copy contains the whole epoch.
    let mut raw = place.raw().await;
    let copy = place.directory.path().join("copy.db");
    sqlx::query("vacuum into ?").bind(copy.to_str().unwrap()).execute(&mut raw).await.unwrap();
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;
    place.assert_has(0..10).await;

    let (spool, loader) = Spool::open(&copy, place.store()).await.unwrap();
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;
    let stats = spool.stats();
    assert_law(&stats);
    assert_eq!((stats.loaded, stats.superseded, stats.waiting), (0, 10, 0));
    place.assert_has(0..10).await;
}

#[tokio::test]
async fn a_loader_that_is_killed_anywhere_loses_and_doubles_nothing() {
    let place = Place::new().await;
    for round in 0..30_u32 {
        let running = place.start().await;
        place.append(&running.spool, round * 4..round * 4 + 4).await;
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        running.kill().await;
    }
    let stats = place.start().await.stop().await;
    assert_law(&stats);
    assert_eq!(stats.waiting, 0);
    place.assert_has(0..120).await;
}

#[tokio::test]
async fn answers_are_found_again_that_were_lost() {
    let place = Place::new().await;
    let running = place.start().await;
    for round in 0..10_u32 {
        place.store.lose_answers(1);
        place.append(&running.spool, round * 4..round * 4 + 4).await;
        until(async || running.spool.stats().waiting == 0).await;
        assert_law(&running.spool.stats());
    }
    let stats = running.stop().await;
    assert_eq!((stats.appended, stats.loaded, stats.superseded), (40, 40, 0));
    place.assert_has(0..40).await;
}

#[tokio::test]
async fn beacons_are_counted_by_what_became_of_them() {
    let place = Place::new().await;
    let running = place.start().await;
    place.append(&running.spool, 0..4).await;
    // A repeated update, and an update from a worse source than the stored one.
    running.spool.append(place.record(0)).await.unwrap();
    let mut older = place.record(1);
    older.updates[0].source = Source::Foreign;
    running.spool.append(older).await.unwrap();
    until(async || running.spool.stats().waiting == 0).await;
    place.store.site_delete(place.sites[1]).await.unwrap();
    place.append(&running.spool, 10..13).await;
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!((stats.loaded, stats.superseded, stats.discarded), (6, 2, 1));
}

#[tokio::test]
async fn two_loaders_on_one_epoch_double_nothing() {
    // The copy is not behind the store: both contain the same rows of the same epoch.
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..30).await;
    spool.close().await;
    let copy = place.directory.path().join("copy.db");
    std::fs::copy(place.path(), &copy).unwrap();
    let first = place.start().await;
    let (second, loader) = Spool::open(&copy, place.store()).await.unwrap();
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;
    let (first, second) = (first.stop().await, second.stats());
    assert_law(&first);
    assert_law(&second);
    assert_eq!((first.waiting, second.waiting), (0, 0));
    assert_eq!(first.loaded + second.loaded, 30, "{first:?} {second:?}");
    place.assert_has(0..30).await;
}
