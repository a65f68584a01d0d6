//! Versions: everything that changes an answer about a site changes its version, and nothing else does.

use super::{DAY0_MS, load, site, update};
use crate::rollup::DAY_MS;
use crate::{Erase, Retention, Source, SpoolId, Store, Version};
use std::sync::Arc;
use vitals::metric::Metric;

/// Every change makes a version that the site never had, also if the rows of a spool's cursors come and go.
///
/// # Panics
/// If the store behaves otherwise.
pub async fn what_changes_an_answer_makes_a_new_version(store: Arc<dyn Store>) {
    let (shop, other) = (site(&store, "shop").await, site(&store, "other").await);
    let lcp = [(Metric::Lcp, 900.0)];
    let mut seen: Vec<(&str, Version)> = vec![("nothing", store.version(shop).await.unwrap())];
    let mut is_new = async |change: &'static str| {
        let version = store.version(shop).await.unwrap();
        let before = seen.iter().find(|(_, known)| *known == version);
        assert!(before.is_none(), "{change}: the version of {before:?}");
        seen.push((change, version));
    };
    load(&store, shop, 1, vec![update(DAY0_MS, 1, &lcp)]).await.unwrap();
    is_new("a load").await;
    load(&store, shop, 2, vec![update(DAY0_MS + DAY_MS, 2, &lcp)]).await.unwrap();
    is_new("a load from another spool").await;
    store.cursors_forget(SpoolId([2; 16])).await.unwrap();
    is_new("forgotten cursors").await;
    store.rebuild_day(shop, DAY0_MS).await.unwrap();
    is_new("a rebuild").await;
    let names = store.names(shop).await.unwrap();
    store.names_put(shop, &names).await.unwrap();
    is_new("copied names").await;
    store.maintain(DAY0_MS + DAY_MS, Retention::default()).await.unwrap();
    is_new("the first edges of kept data").await;
    let erase = Erase { site: shop, from_ms: DAY0_MS, to_ms: DAY0_MS + 1, url: None };
    let mut before_erasing = store.version(shop).await.unwrap();
    while store.erase(&erase).await.unwrap().more {
        let version = store.version(shop).await.unwrap();
        assert_ne!(version, before_erasing, "a step of an erasure");
        before_erasing = version;
    }
    is_new("an erasure").await;
    store.free_names(shop).await.unwrap();
    is_new("freed names").await;
    store.maintain(DAY0_MS + 100 * DAY_MS, Retention::default()).await.unwrap();
    is_new("retention").await;
    let groups = store.rollups(shop, None, 10).await.unwrap();
    assert!(!groups.is_empty());
    store.rollups_put(shop, groups).await.unwrap();
    is_new("copied rollups").await;

    let (early, late) =
        (DAY0_MS + 98 * DAY_MS..DAY0_MS + 99 * DAY_MS, DAY0_MS + 99 * DAY_MS..DAY0_MS + 100 * DAY_MS);
    let days = async || {
        let version = store.version(shop).await.unwrap();
        (version.of_days(&early), version.of_days(&late))
    };
    let before = days().await;
    load(&store, shop, 1, vec![update(late.start, 5, &lcp)]).await.unwrap();
    let after = days().await;
    assert!(after.0 == before.0 && after.1 != before.1, "a load changes the version of its day only");
    let mut again = update(late.start, 5, &lcp);
    (again.source, again.context.errors) = (Source::Own { seq: 2 }, 1);
    load(&store, shop, 1, vec![again]).await.unwrap();
    assert_ne!(days().await.1, after.1, "a page view whose counts stay as they were");
    let after = days().await;
    load(&store, shop, 2, vec![update(late.end - 1, 6, &lcp)]).await.unwrap();
    assert_ne!(days().await.1, after.1, "a load from another spool");
    store.rebuild_day(shop, late.start).await.unwrap();
    assert_ne!(days().await.0, before.0, "a rebuild changes the version of every day");

    let version = store.version(shop).await.unwrap();
    load(&store, other, 1, vec![update(DAY0_MS + 99 * DAY_MS, 3, &lcp)]).await.unwrap();
    assert_eq!(store.version(shop).await.unwrap(), version, "a load of another site");
    load(&store, shop, 1, vec![update(DAY0_MS + 99 * DAY_MS, 4, &lcp)]).await.unwrap();
    let version = store.version(shop).await.unwrap();
    store.maintain(DAY0_MS + 100 * DAY_MS, Retention::default()).await.unwrap();
    assert_eq!(store.version(shop).await.unwrap(), version, "a fold");
}
