//! Deploy marks and the time zone of a site.

use super::{DAY0_MS, site};
use crate::limits::DEPLOY_MARKS_PER_SITE_MAX;
use crate::{DeployMark, SiteId, Store, StoreError};
use std::sync::Arc;

fn mark(release: &str, at_ms: i64) -> DeployMark {
    DeployMark { release: release.to_owned(), at_ms }
}

/// # Panics
/// If a mark is lost, doubled, or outlives its site.
pub async fn deploy_marks_are_kept_once_a_release(store: Arc<dyn Store>) {
    let [a, b] = [site(&store, "a").await, site(&store, "b").await];
    let before = store.version(a).await.unwrap();
    store.deploy_marks_put(a, &[]).await.unwrap();
    assert_eq!(store.version(a).await.unwrap(), before);
    store.deploy_marks_put(a, &[mark("1.0", DAY0_MS), mark("1.1", DAY0_MS + 1)]).await.unwrap();
    assert_ne!(store.version(a).await.unwrap(), before, "answers show marks");
    store.deploy_marks_put(a, &[mark("1.0", DAY0_MS + 2)]).await.unwrap();
    assert_eq!(store.deploy_marks(a).await.unwrap(), [mark("1.0", DAY0_MS + 2), mark("1.1", DAY0_MS + 1)]);
    assert_eq!(store.deploy_marks(b).await.unwrap(), []);
    let many: Vec<_> =
        (0..DEPLOY_MARKS_PER_SITE_MAX as i64).map(|at| mark(&format!("n{at}"), DAY0_MS + 10 + at)).collect();
    store.deploy_marks_put(a, &many).await.unwrap();
    let left = store.deploy_marks(a).await.unwrap();
    assert!(left.len() == DEPLOY_MARKS_PER_SITE_MAX && left.iter().all(|mark| mark.release.starts_with('n')));
    let refused = store.deploy_marks_put(SiteId(999_999), &[mark("1.0", 0)]).await;
    assert!(matches!(refused, Err(StoreError::NoSuchSite)), "{refused:?}");
    store.site_delete(a).await.unwrap();
    assert_eq!(store.deploy_marks(a).await.unwrap(), []);
}

/// # Panics
/// If the time zone is not kept or not copied.
pub async fn time_zone_of_a_site_is_kept(store: Arc<dyn Store>) {
    let shop = site(&store, "shop").await;
    assert_eq!(store.sites().await.unwrap()[0].timezone, "UTC");
    assert_eq!(store.site_timezone(shop, "Europe/Berlin").await.unwrap().timezone, "Europe/Berlin");
    let berlin = store.site_update(shop, "shop", &[], &[]).await.unwrap();
    assert_eq!(berlin.timezone, "Europe/Berlin");
    let copy = crate::Site { name: "copy".to_owned(), keys: Vec::new(), ..berlin };
    assert_eq!(store.site_put(&copy).await.unwrap().timezone, "Europe/Berlin");
    let refused = store.site_timezone(SiteId(999_999), "UTC").await;
    assert!(matches!(refused, Err(StoreError::NoSuchSite)), "{refused:?}");
}
