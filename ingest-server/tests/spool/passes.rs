//! The size of loads.

use crate::place::{Place, assert_law, eager, until};
use fieldvitals_server::spool::Spool;
use fieldvitals_store::Reports as _;
use futures_util::future::join_all;
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_takes_too_long_is_tried_with_fewer_beacons() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..200).await;
    spool.close().await;
    // Half of the beacons are of one site. The loader halves its batches until seven beacons fit.
    place.store.slow(7);
    let running = place.start_with(eager()).await;
    until(async || running.spool.stats().waiting == 0).await;
    assert!(running.spool.held().is_empty());
    let loads = place.store.loads();
    assert!(loads.first().is_some_and(|&beacons| beacons > 7), "{loads:?}");
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!(stats.loaded, 200);
    place.assert_has(0..200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pass_that_gets_no_answer_is_split_by_sites() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..200).await;
    spool.close().await;
    // A pass of both sites has too few beacons to be halved.
    place.store.slow(110);
    place.store.silent();
    let running = place.start_with(eager()).await;
    until(async || running.spool.stats().waiting == 0).await;
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!(stats.loaded, 200);
    place.assert_has(0..200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_which_a_load_takes_too_long_holds_up_no_other() {
    let place = Place::new().await;
    let (spool, loader) = Spool::open_with(&place.path(), place.store(), eager()).await.unwrap();
    // One beacon alone in its row, the others together in the next rows.
    spool.append(place.record(0)).await.unwrap();
    let many = join_all((0..20).map(|number| spool.append(place.record(2 + number * 2)))).await;
    assert!(many.iter().all(Result::is_ok));
    place.append(&spool, 101..102).await;
    place.store.slow(1);
    let (stop, stopped) = watch::channel(false);
    let loader = tokio::spawn(loader.run(stopped));
    let other = place.record(101);
    until(async || place.store.view(other.site, other.updates[0].id).await.unwrap().is_some()).await;
    until(async || !spool.held().is_empty()).await;
    assert!(spool.held()[0].error.contains("it took too long"), "{:?}", spool.held());
    place.store.slow(u64::MAX);
    until(async || spool.stats().waiting == 0).await;
    assert_eq!(spool.stats().loaded, 22);
    stop.send(true).unwrap();
    loader.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_takes_all_commits_that_wait() {
    let place = Place::new().await;
    let spool = place.still().await;
    // One commit for each beacon.
    place.append(&spool, 0..600).await;
    spool.close().await;
    let stats = place.start().await.stop().await;
    assert_eq!((stats.loaded, place.store.loads()), (600, vec![600]));
}
