//! The file of the spool: copies, damage, other releases, other servers.

use crate::place::{Place, assert_law, eager, until};
use fieldvitals_server::spool::{Bounds, Spool, SpoolError, lock_idle};
use fieldvitals_store::Sites as _;
use sqlx::Connection as _;
use std::time::Duration;
use tokio::sync::watch;

#[tokio::test]
async fn it_is_known_how_far_epochs_went_although_their_rows_are_gone() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..5).await;
    spool.close().await;
    let mut raw = place.raw().await;
    let mut lasts = async || -> Vec<i64> {
        sqlx::query_scalar("select last from epoch order by epoch").fetch_all(&mut raw).await.unwrap()
    };
    let spool = place.still().await;
    assert_eq!(lasts().await, [5, 5], "that of an epoch that has ended is written down");
    place.append(&spool, 5..7).await;
    spool.close().await;
    assert_eq!(place.start().await.stop().await.loaded, 7);
    assert_eq!(lasts().await, [7]);
    for start in 7..9 {
        let running = place.start().await;
        place.append(&running.spool, start..start + 1).await;
        assert_eq!(running.stop().await.waiting, 0);
        assert_eq!(lasts().await, [i64::from(start) + 1], "that of the current one when its rows go");
    }
    place.assert_has(0..9).await;
}

#[tokio::test]
async fn an_empty_file_is_small_again() {
    let place = Place::new().await;
    let spool = place.still().await;
    let mut record = place.record(0);
    record.updates[0].url = "u".repeat(1024 * 1024);
    for _ in 0..72 {
        spool.append(record.clone()).await.unwrap();
    }
    spool.close().await;
    let bytes = || std::fs::metadata(place.path()).unwrap().len();
    assert!(bytes() > 72 * 1024 * 1024);
    place.store.site_delete(place.sites[0]).await.unwrap();
    assert_eq!(place.start().await.stop().await.discarded, 72);
    assert!(bytes() < 1024 * 1024, "{} bytes", bytes());
    let running = place.start().await;
    place.append(&running.spool, 1..2).await;
    assert_eq!(running.stop().await.loaded, 1);
}

#[tokio::test]
async fn an_older_copy_of_the_file_is_refused() {
    let place = Place::new().await;
    let (spool, loader) = Spool::open(&place.path(), place.store()).await.unwrap();
    place.append(&spool, 0..2).await;
    let mut raw = place.raw().await;
    let copy = place.directory.path().join("copy.db");
    sqlx::query("vacuum into ?").bind(copy.to_str().unwrap()).execute(&mut raw).await.unwrap();
    place.append(&spool, 2..6).await;
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;

    let refused = Spool::open(&copy, place.store()).await.err();
    assert!(matches!(refused, Some(SpoolError::OlderThanStore { .. })), "{refused:?}");
    let message = refused.unwrap().to_string();
    assert!(message.contains("copy.db") && message.contains("move the file away"), "{message}");
    place.assert_has(0..6).await;
}

#[tokio::test]
async fn an_older_copy_is_refused_although_the_store_was_away_at_the_start() {
    let place = Place::new().await;
    let (spool, loader) = Spool::open(&place.path(), place.store()).await.unwrap();
    place.append(&spool, 0..2).await;
    let mut raw = place.raw().await;
    let copy = place.directory.path().join("copy.db");
    sqlx::query("vacuum into ?").bind(copy.to_str().unwrap()).execute(&mut raw).await.unwrap();
    place.append(&spool, 2..6).await;
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;

    place.store.away(1);
    let (copied, loader) = Spool::open(&copy, place.store()).await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    loader.run(stopped).await;
    assert!(copied.failed().await.contains("older than the store"));
    assert_eq!(copied.stats().waiting, 2);
}

#[tokio::test]
async fn older_copy_is_refused_although_a_node_was_gone_at_the_start() {
    let place = Place::new().await;
    let (spool, loader) = Spool::open(&place.path(), place.store()).await.unwrap();
    place.append(&spool, 0..2).await;
    let mut raw = place.raw().await;
    let copy = place.directory.path().join("copy.db");
    sqlx::query("vacuum into ?").bind(copy.to_str().unwrap()).execute(&mut raw).await.unwrap();
    place.append(&spool, 2..6).await;
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;

    place.store.node_gone(true);
    let (copied, loader) = Spool::open(&copy, place.store()).await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    loader.run(stopped).await;
    assert!(copied.failed().await.contains("older than the store"));
    assert_eq!(copied.stats().waiting, 2);
}

#[tokio::test]
async fn epoch_that_a_gone_node_keeps_holds_up_no_later_one() {
    let place = Place::new().await;
    let (spool, _) = Spool::open(&place.path(), place.store()).await.unwrap();
    place.append(&spool, 0..4).await;
    spool.close().await;
    drop(spool);
    place.store.node_gone(true);
    let running = place.start_with(Bounds { site_retry: Duration::from_millis(1), ..eager() }).await;
    place.append(&running.spool, 4..8).await;
    until(async || running.spool.stats().loaded == 8).await;
    let epochs = async || {
        let mut raw = place.raw().await;
        let count: i64 = sqlx::query_scalar("select count(*) from epoch").fetch_one(&mut raw).await.unwrap();
        count
    };
    assert_eq!(epochs().await, 2, "its cursors are yet to be forgotten");
    place.store.node_gone(false);
    place.append(&running.spool, 8..9).await;
    until(async || epochs().await == 1).await;
    assert_law(&running.stop().await);
    place.assert_has(0..9).await;
}

#[tokio::test]
async fn a_second_server_on_the_same_file_is_refused() {
    let place = Place::new().await;
    let spool = place.still().await;
    let refused = Spool::open(&place.path(), place.store()).await.err();
    assert!(matches!(refused, Some(SpoolError::InUse { .. })), "{refused:?}");
    spool.close().await;
    assert!(Spool::open(&place.path(), place.store()).await.is_ok());
}

#[tokio::test]
async fn a_spool_at_rest_says_what_is_in_it_and_keeps_servers_away() {
    let place = Place::new().await;
    let nothing = lock_idle(&place.path()).unwrap();
    assert_eq!((nothing.beacons, nothing.last), (0, None));
    assert!(!place.path().exists(), "looking makes no spool");
    drop(nothing);

    let spool = place.still().await;
    place.append(&spool, 0..3).await;
    let refused = lock_idle(&place.path()).err();
    assert!(matches!(refused, Some(SpoolError::InUse { .. })), "{refused:?}");
    spool.close().await;
    let waiting = lock_idle(&place.path()).unwrap();
    assert_eq!(waiting.beacons, 3);
    let kept_away = Spool::open(&place.path(), place.store()).await.err();
    assert!(matches!(kept_away, Some(SpoolError::InUse { .. })), "{kept_away:?}");
    let first = waiting.last;
    drop(waiting);

    place.start().await.stop().await;
    let empty = lock_idle(&place.path()).unwrap();
    assert_eq!(empty.beacons, 0, "a server that stops leaves nothing that is loaded");
    assert!(empty.last.is_some() && empty.last != first, "a server that ran is seen");
    drop(empty);
    let mut raw = place.raw().await;
    sqlx::query("pragma user_version = 7").execute(&mut raw).await.unwrap();
    let refused = lock_idle(&place.path()).err();
    assert!(matches!(refused, Some(SpoolError::OtherVersion { found: 7, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_file_of_another_release_is_refused() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..3).await;
    spool.close().await;
    for (change, back) in [
        ("pragma user_version = 7", "pragma user_version = 2"),
        (
            "update spool_row set payload = cast(x'09' || substr(payload, 2) as blob)",
            "update spool_row set payload = cast(x'05' || substr(payload, 2) as blob)",
        ),
    ] {
        let mut raw = place.raw().await;
        sqlx::query(change).execute(&mut raw).await.unwrap();
        let refused = Spool::open(&place.path(), place.store()).await.err();
        let Some(SpoolError::OtherVersion { beacons: 3, .. }) = &refused else { panic!("{refused:?}") };
        assert!(refused.unwrap().to_string().contains("start the release that wrote it"));
        sqlx::query(back).execute(&mut raw).await.unwrap();
    }
    // The format of the release before is read.
    let mut raw = place.raw().await;
    sqlx::query("update spool_row set payload = cast(x'04' || substr(payload, 2) as blob)")
        .execute(&mut raw)
        .await
        .unwrap();
    let spool = place.still().await;
    assert_eq!(spool.stats().waiting, 3);
    spool.close().await;
    drop(spool);
    sqlx::query("update spool_row set payload = cast(x'05' || substr(payload, 2) as blob)")
        .execute(&mut raw)
        .await
        .unwrap();
    assert_eq!(place.start().await.stop().await.loaded, 3);
    place.assert_has(0..3).await;
}

#[tokio::test]
async fn a_damaged_row_is_told_and_not_skipped() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..1).await;
    spool.close().await;
    let mut raw = place.raw().await;
    let mut payload: Vec<u8> =
        sqlx::query_scalar("select payload from spool_row").fetch_one(&mut raw).await.unwrap();
    *payload.last_mut().unwrap() ^= 1;
    sqlx::query("update spool_row set payload = ?").bind(payload).execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    let running = place.start().await;
    let reason = running.spool.failed().await;
    assert!(reason.contains("is damaged") && reason.contains("move it away"), "{reason}");
    assert_eq!(running.spool.stats().waiting, 1);
}

#[tokio::test]
async fn any_damage_to_the_file_is_an_error_and_no_panic() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..200).await;
    spool.close().await;
    let whole = std::fs::read(place.path()).unwrap();
    let mut refused = 0;
    for (round, at) in (0..whole.len()).step_by(whole.len() / 40).enumerate() {
        let damaged = place.directory.path().join(format!("damaged-{round}.db"));
        let mut bytes = whole.clone();
        if round % 4 == 0 {
            bytes.truncate(at.max(1));
        } else {
            bytes[at..].iter_mut().take(64).for_each(|byte| *byte = !*byte);
        }
        std::fs::write(&damaged, bytes).unwrap();
        match Spool::open(&damaged, place.store()).await {
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("damaged-"), "{error}");
            }
            Ok((spool, loader)) => {
                // The damage is harmless, or the loader reports it.
                let (_stop, stopped) = watch::channel(true);
                loader.run(stopped).await;
                let stats = spool.stats();
                assert!(spool.is_failed() || stats.waiting == 0, "{stats:?}");
                spool.close().await;
            }
        }
    }
    assert!(refused > 0, "some of this damage is to the file's structure");
}

#[tokio::test]
async fn a_file_that_is_no_spool_is_refused() {
    let place = Place::new().await;
    std::fs::write(place.path(), "These are not the pages of a database. ".repeat(100)).unwrap();
    let refused = Spool::open(&place.path(), place.store()).await.err();
    assert!(matches!(refused, Some(SpoolError::Damaged { .. })), "{refused:?}");
}
