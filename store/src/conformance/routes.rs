//! Route groups, counts by URL, and page views that get other routes.

use super::cases::{cells, counts, fold};
use super::{DAY0_MS, load, site, update};
use crate::dimension::OTHER;
use crate::limits;
use crate::rollup::DAY_MS;
use crate::{
    CellQuery, Dimension, GroupBy, Reroute, RouteGroups, Site, SiteId, Store, StoreError, ViewUpdate,
};
use std::sync::Arc;
use vitals::metric::Metric;
use vitals::view::ViewId;

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

/// A page view of a page with this path, under this route.
fn view(number: usize, path: &str, route: &str) -> ViewUpdate {
    let mut update = update(DAY0_MS + number as i64, number as u128, &[(Metric::Lcp, number as f64)]);
    update.url = format!("https://shop.example{path}");
    update.route = route.to_owned();
    update.release = Some(format!("r{}", number % 3));
    update
}

/// Groups are replaced only by somebody who knows them; their names always have places.
///
/// # Panics
/// If groups are lost, or a name of theirs has no place.
pub async fn groups_of_routes_are_kept_and_have_places(store: Arc<dyn Store>) {
    let blog = site(&store, "blog").await;
    let new = store.sites().await.unwrap()[0].route_groups.clone();
    assert_eq!(new, RouteGroups::of_new_site());
    let groups = RouteGroups {
        auto: false,
        groups: texts(&["/blog/:slug"]),
        apart: texts(&["/blog/archive", "/blog/hello"]),
        removed: texts(&["/x/:slug"]),
    };
    let changed = store.site_route_groups(blog, &new, &groups).await.unwrap();
    assert_eq!(changed.route_groups, groups);
    let late = store.site_route_groups(blog, &new, &RouteGroups::default()).await.unwrap();
    assert_eq!(late.route_groups, groups, "somebody changed them meanwhile");
    assert_eq!(store.site_update(blog, "blog", &[], &[]).await.unwrap().route_groups, groups);
    let copy = Site { name: "copy".to_owned(), keys: Vec::new(), ..changed };
    assert_eq!(store.site_put(&copy).await.unwrap().route_groups, groups);
    let refused = store.site_route_groups(SiteId(999_999), &new, &groups).await;
    assert!(matches!(refused, Err(StoreError::NoSuchSite)), "{refused:?}");

    let made_up = (0..limits::ROUTES_PER_SITE_MAX).map(|i| view(i, &format!("/m{i}"), &format!("/m{i}")));
    load(&store, blog, 1, made_up.collect()).await.unwrap();
    let routes = ["/blog/:slug", "/blog/archive", "/blog/hello", "/other"];
    let more = (0..).zip(routes).map(|(i, route)| view(limits::ROUTES_PER_SITE_MAX + i, route, route));
    load(&store, blog, 1, more.collect()).await.unwrap();
    let known = store.routes(blog, DAY0_MS, DAY0_MS + DAY_MS).await.unwrap();
    let has = |name: &str| known.iter().any(|route| route == name);
    assert!(routes[..3].iter().all(|route| has(route)) && has(OTHER) && !has("/other"));
}

/// # Panics
/// If a count by URL differs from the page views.
pub async fn page_views_are_counted_by_url(store: Arc<dyn Store>) {
    let [blog, other] = [site(&store, "blog").await, site(&store, "other").await];
    let paths = ["/blog/a", "/blog/b", "/blog/a", "/blog/a", "/p/17"];
    let routes = ["/blog/a", "/blog/b", OTHER, "/blog/a", "/p/:id"];
    let views = (0..).zip(paths.into_iter().zip(routes)).map(|(i, (path, route))| view(i, path, route));
    load(&store, blog, 1, views.collect()).await.unwrap();
    load(&store, other, 1, vec![view(9, "/else", "/else")]).await.unwrap();
    for folded in [false, true] {
        if folded {
            fold(&store).await;
        }
        let counted = store.urls(blog, DAY0_MS..DAY0_MS + DAY_MS).await.unwrap();
        assert_eq!(counted.scanned.sample, None);
        let mut rows: Vec<(&str, &str, u64)> =
            counted.rows.iter().map(|row| (row.url.as_str(), row.route.as_str(), row.views)).collect();
        rows.sort_unstable();
        let expected = [
            ("https://shop.example/blog/a", OTHER, 1),
            ("https://shop.example/blog/a", "/blog/a", 2),
            ("https://shop.example/blog/b", "/blog/b", 1),
            ("https://shop.example/p/17", "/p/:id", 1),
        ];
        assert_eq!(rows, expected);
    }
    let nothing = store.urls(blog, DAY0_MS + DAY_MS..DAY0_MS + DAY_MS).await.unwrap();
    assert_eq!(nothing.rows, []);
}

/// # Panics
/// If a page view, its URL or a rollup does not follow, or if a view that changed meanwhile is moved.
pub async fn page_views_get_other_routes_with_their_counts(store: Arc<dyn Store>) {
    const POSTS: usize = 700;
    let blog = site(&store, "blog").await;
    let path = |i: usize| format!("/blog/post-{}", i % 90);
    let mut views: Vec<ViewUpdate> = (0..POSTS).map(|i| view(i, &path(i), &path(i))).collect();
    views.push(view(POSTS, "/about", "/about"));
    let ids: Vec<ViewId> = views.iter().map(|view| view.id).collect();
    load(&store, blog, 1, views).await.unwrap();
    fold(&store).await;
    let version = store.version(blog).await.unwrap();
    let moves = |from: &dyn Fn(usize) -> String, to: &dyn Fn(usize) -> String| -> Vec<Reroute> {
        (0..POSTS).map(|i| Reroute { id: ids[i], from: from(i), to: to(i) }).collect()
    };
    let group = |_: usize| "/blog/:slug".to_owned();
    let moved = store.reroute(blog, moves(&path, &group)).await.unwrap();
    assert_eq!(moved, POSTS as u64);
    assert_ne!(store.version(blog).await.unwrap(), version, "answers change");
    assert_eq!(store.reroute(blog, moves(&path, &group)).await.unwrap(), 0, "no view has the old route");
    let query = CellQuery::new(blog, DAY0_MS, DAY0_MS + DAY_MS);
    for folded in [false, true] {
        if folded {
            fold(&store).await;
        }
        let found = cells(&store, &query).await;
        assert_eq!(counts(&found), [("/about", 1), ("/blog/:slug", POSTS as i64)]);
        assert_eq!(store.verify_day(blog, DAY0_MS).await.unwrap(), []);
    }
    let releases = store.breakdown(&query, GroupBy::Rolled(Dimension::Release)).await.unwrap();
    assert_eq!(releases.rows.iter().map(|row| row.cell.views).sum::<i64>(), POSTS as i64 + 1);
    let one = store.view(blog, ids[5]).await.unwrap().unwrap().update;
    assert_eq!((one.url.as_str(), one.route.as_str()), ("https://shop.example/blog/post-5", "/blog/:slug"));
    // A later snapshot of a moved view is counted once.
    let mut later = view(5, &path(5), "/blog/:slug");
    later.source = crate::Source::Own { seq: 2 };
    load(&store, blog, 1, vec![later]).await.unwrap();
    assert_eq!(counts(&cells(&store, &query).await), [("/about", 1), ("/blog/:slug", POSTS as i64)]);
    // Back again, as after the removal of a group.
    assert_eq!(store.reroute(blog, moves(&group, &path)).await.unwrap(), POSTS as u64);
    fold(&store).await;
    assert_eq!(cells(&store, &query).await.len(), 91);
    assert_eq!(store.verify_day(blog, DAY0_MS).await.unwrap(), []);
    store.free_names(blog).await.unwrap();
    assert_eq!(store.route_names(blog).await.unwrap().len(), 91);
    let nobody = store.reroute(SiteId(999_999), moves(&path, &group)).await;
    assert!(matches!(nobody, Err(StoreError::NoSuchSite)), "{nobody:?}");
}
