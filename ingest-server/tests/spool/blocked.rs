//! Sites that the store refuses.

use crate::place::{Place, assert_law, eager, raw, refuse, repair, until};
use fieldvitals_server::spool::{AppendError, Bounds, SpoolBeacon};
use fieldvitals_store::conformance::site;
use fieldvitals_store::{Reports as _, Sites as _};
use futures_util::future::join_all;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_the_store_refuses_holds_up_no_other() {
    let place = Place::new().await;
    refuse(&place, place.sites[0]).await;
    let mut appended = 0..0;
    // Held beacons stay held across starts, in several epochs.
    for start in 0..3_u64 {
        let running = place.start_with(eager()).await;
        let spool = &running.spool;
        for _ in 0..4 {
            // Appends concurrently, so that rows contain beacons of both sites.
            appended = appended.end..appended.end + 20;
            let answers = join_all(appended.clone().map(|number| spool.append(place.record(number)))).await;
            assert!(answers.iter().all(Result::is_ok));
        }
        until(async || spool.stats().loaded == 40).await;
        until(async || spool.held().iter().map(|held| held.beacons).sum::<u64>() == 40 * (start + 1)).await;
        assert_eq!(spool.stats().waiting, 40 * (start + 1));
        assert_law(&spool.stats());
        let held = spool.held();
        assert_eq!((held.len(), held[0].site), (1, place.sites[0]));
        assert!(held[0].error.contains("refused by a trigger"), "{held:?}");
        until(async || spool.stats().bytes == spool.stats().held_bytes).await;
        running.kill().await;
        let mut raw = place.raw().await;
        let left: i64 =
            sqlx::query_scalar("select sum(beacons) from spool_row").fetch_one(&mut raw).await.unwrap();
        assert_eq!(left as u64, 40 * (start + 1), "what others had in the same rows is gone");
    }
    let running = place.start_with(eager()).await;
    let spool = &running.spool;
    until(async || !spool.held().is_empty()).await;
    repair(&place, place.sites[0]).await;
    until(async || spool.stats().waiting == 0 && spool.held().is_empty()).await;
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!((stats.loaded, stats.bytes, stats.held_bytes), (120, 0, 0));
    place.assert_has(0..appended.end).await;
    let mut raw = place.raw().await;
    let epochs: i64 = sqlx::query_scalar("select count(*) from epoch").fetch_one(&mut raw).await.unwrap();
    assert_eq!(epochs, 1, "epochs end once nothing is held in them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_the_store_refuses_leaves_half_of_the_spool_to_others() {
    let place = Place::new().await;
    refuse(&place, place.sites[0]).await;
    let running = place.start_with(Bounds { spool_bytes: 8_000, ..eager() }).await;
    let spool = &running.spool;
    // Beacons of the first site have even numbers.
    let mut number = 1;
    let mut others = async || {
        number += 2;
        spool.append(place.record(number)).await
    };
    others().await.unwrap();
    let mut kept = 0;
    loop {
        others().await.unwrap();
        until(async || spool.stats().bytes == spool.stats().held_bytes).await;
        if spool.append(place.record(kept * 2)).await.is_err() {
            break;
        }
        kept += 1;
        // The site fails alone once another site is loaded after its refusal.
        until(async || !spool.held().is_empty() && spool.stats().waiting == u64::from(kept)).await;
    }
    let held = spool.stats().held_bytes;
    assert!((3_800..=4_100).contains(&held), "{held} bytes are held");
    // Other sites load many times the space left to them.
    for _ in 0..100 {
        others().await.unwrap();
        until(async || spool.stats().bytes == held).await;
        assert_eq!(spool.append(place.record(kept * 2)).await, Err(AppendError::Full));
    }
    let held = spool.held();
    assert!(held[0].refused == 101 && spool.refusal().is_none(), "others are taken: {held:?}");
    repair(&place, place.sites[0]).await;
    until(async || spool.held().is_empty() && spool.stats().bytes == 0).await;
    spool.append(place.record(kept * 2)).await.unwrap();
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!(stats.loaded, stats.appended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_that_was_full_of_a_site_which_the_store_refuses_takes_others() {
    let place = Place::new().await;
    refuse(&place, place.sites[0]).await;
    let bounds = Bounds { spool_bytes: 8_000, ..eager() };
    let running = place.start_with(bounds).await;
    let spool = &running.spool;
    // While the database is unreachable, and while no other site is loaded, the spool cannot tell whether the site is
    // at fault.
    place.store.away(u64::MAX);
    let mut kept = 0;
    while spool.append(place.record(kept * 2)).await.is_ok() {
        kept += 1;
    }
    assert!(spool.stats().bytes > 7_800);
    place.store.away(0);
    until(async || spool.held().first().is_some_and(|held| held.beacons == u64::from(kept))).await;
    assert_eq!(spool.append(place.record(kept * 2)).await, Err(AppendError::Full));
    for number in 0..100 {
        until(async || spool.stats().bytes == spool.stats().held_bytes).await;
        spool.append(place.record(number * 2 + 1)).await.unwrap();
        until(async || spool.stats().waiting == u64::from(kept)).await;
    }
    assert_law(&running.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_every_site_is_waited_for_with_the_whole_spool() {
    let place = Place::new().await;
    for &site in &place.sites {
        refuse(&place, site).await;
    }
    let running = place.start_with(Bounds { spool_bytes: 8_000, ..eager() }).await;
    let spool = &running.spool;
    let mut kept = 0;
    while spool.append(place.record(kept)).await.is_ok() {
        kept += 1;
        until(async || spool.held().iter().map(|held| held.beacons).sum::<u64>() == u64::from(kept)).await;
    }
    assert!(spool.stats().bytes > 7_800, "{:?}", spool.stats());
    for &site in &place.sites {
        repair(&place, site).await;
    }
    until(async || spool.stats().waiting == 0).await;
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!(stats.loaded, u64::from(kept));
    place.assert_has(0..kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_every_site_again_has_nothing_shed_of_those_that_wait() {
    let place = Place::new().await;
    for &site in &place.sites {
        refuse(&place, site).await;
    }
    let long = Duration::from_secs(3_600);
    let running = place.start_with(Bounds { spool_bytes: 8_000, site_retry: long, ..eager() }).await;
    let spool = &running.spool;
    let mut kept = 0;
    while spool.stats().bytes < 6_000 {
        place.append(spool, kept..kept + 1).await;
        kept += 1;
        until(async || spool.held().iter().map(|held| held.beacons).sum::<u64>() == u64::from(kept)).await;
    }
    for &site in &place.sites {
        repair(&place, site).await;
    }
    // The loader loads another site between two retries of held sites.
    let other = site(&place.store(), "c").await;
    let record = SpoolBeacon { site: other, ..place.record(0) };
    spool.append(record.clone()).await.unwrap();
    until(async || place.store.view(other, record.updates[0].id).await.unwrap().is_some()).await;
    place.append(spool, kept..kept + 2).await;
    until(async || spool.stats().waiting == 0 && spool.held().is_empty()).await;
    assert_law(&running.stop().await);
    place.assert_has(0..kept + 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refused_and_one_deleted_site_of_many_cost_the_others_few_passes() {
    const SITES: u32 = 200;
    let mut place = Place::new().await;
    for number in 2..SITES {
        place.sites.push(site(&place.store(), &format!("site {number}")).await);
    }
    let (refused, deleted) = (place.sites[70], place.sites[120]);
    let spool = place.still().await;
    place.append(&spool, 0..2 * SITES).await;
    spool.close().await;
    refuse(&place, refused).await;
    place.store.site_delete(deleted).await.unwrap();

    let running = place.start_with(Bounds { site_retry: Duration::from_secs(3_600), ..eager() }).await;
    let spool = &running.spool;
    until(async || spool.stats().waiting == 2 && spool.held().first().is_some_and(|held| held.beacons == 2))
        .await;
    assert_eq!((spool.stats().loaded, spool.stats().discarded), (u64::from(2 * SITES) - 4, 2));
    assert_eq!(spool.held()[0].site, refused);
    // Each pass with the refused site is split: about two passes for each halving of 200 sites.
    let passes = place.store.loads().len();
    assert!(passes <= 18, "{passes} passes");
    // From now on the other sites are loaded without it.
    place.append(spool, 2 * SITES..3 * SITES).await;
    until(async || spool.stats().waiting == 3).await;
    assert!(place.store.loads().len() <= passes + SITES as usize, "no pass is split again");
    assert_law(&running.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_that_were_refused_together_are_loaded_together_again() {
    const SITES: u32 = 50;
    let mut place = Place::new().await;
    for number in 2..SITES {
        place.sites.push(site(&place.store(), &format!("site {number}")).await);
    }
    for &site in &place.sites {
        refuse(&place, site).await;
    }
    let spool = place.still().await;
    place.append(&spool, 0..SITES).await;
    spool.close().await;
    let running = place.start_with(Bounds { site_retry: Duration::from_millis(500), ..eager() }).await;
    let spool = &running.spool;
    until(async || spool.held().len() == SITES as usize).await;
    for &site in &place.sites {
        repair(&place, site).await;
    }
    until(async || spool.stats().waiting == 0 && spool.held().is_empty()).await;
    assert_law(&running.stop().await);
    place.assert_has(0..SITES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_on_a_node_that_hangs_are_held_and_retried_in_smaller_loads() {
    const SITES: u32 = 20;
    let mut place = Place::new().await;
    for number in 2..SITES {
        place.sites.push(site(&place.store(), &format!("site {number}")).await);
    }
    let spool = place.still().await;
    place.append(&spool, 0..10 * SITES).await;
    spool.close().await;
    place.store.hang(place.sites.iter().skip(1).copied());
    let running = place.start_with(Bounds { site_retry: Duration::from_secs(60), ..eager() }).await;
    let spool = &running.spool;
    until(async || spool.stats().loaded == 10 && spool.held().len() == 19).await;
    until(async || place.store.loads().len() > 1).await;
    place.store.hang([]);
    let loads = place.store.loads();
    assert_eq!(loads[0], 200, "one pass finds all of them");
    assert!(loads[1] <= 19 * 5, "{loads:?}");
    until(async || spool.stats().waiting == 0 && spool.held().is_empty()).await;
    assert_law(&running.stop().await);
    place.assert_has(0..10 * SITES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_loaded_of_a_site_before_it_is_refused_again_waits_no_more() {
    let place = Place::new().await;
    refuse(&place, place.sites[0]).await;
    let running = place.start_with(eager()).await;
    let spool = &running.spool;
    for number in 0..20 {
        spool.append(place.record(number * 2)).await.unwrap();
    }
    until(async || spool.held().first().is_some_and(|held| held.beacons == 20)).await;
    // From now on batches are small, and the store refuses one page view.
    place.store.slow(3);
    let bad = place.record(24).updates[0].id;
    let mut raw = raw(&place.directory.path().join("store.db")).await;
    let sql = format!(
        "begin; drop trigger refuse_{0}; create trigger refuse_{0} before insert on page_view \
         when hex(new.id) = '{1}' begin select raise(abort, 'refused by a trigger'); end; commit",
        place.sites[0].0,
        bad.to_string().replace('-', "").to_uppercase()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut raw).await.unwrap();
    until(async || spool.stats().waiting < 12).await;
    until(async || spool.held().first().is_some_and(|held| held.beacons == spool.stats().waiting)).await;
    assert!(spool.stats().waiting >= 8, "{:?}", spool.stats());
    repair(&place, place.sites[0]).await;
    until(async || spool.stats().waiting == 0 && spool.held().is_empty()).await;
    assert_law(&running.stop().await);
}
