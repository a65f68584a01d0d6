//! Tests the promises of a store. Each case runs on a fresh store and panics if a promise is broken.

use super::{DAY0_MS, Model, explained, load, site, update};
use crate::dimension::OTHER;
use crate::limits;
use crate::rollup::{DAY_MS, HOUR_MS};
use crate::{
    AuditEntry, CellQuery, ClassViewsQuery, Dimension, Erase, Filters, GroupBy, Judgement, LoadBatch,
    LoadReport, NewSite, NewToken, Retention, RouteCell, Scope, Senders, SiteId, Source, SpoolId, Store,
    StoreError, StoredView, Tally, TallyQuery, ValueCell, ViewUpdate, Violation, Weight,
};
use std::sync::Arc;
use vitals::gate::{Block, ClassViews};
use vitals::metric::{Metric, Rating, Value};
use vitals::view::{Device, NavigationType, Os, TtiGap, ViewId};

const DAY1_MS: i64 = DAY0_MS + DAY_MS;

pub(super) async fn cells(store: &Arc<dyn Store>, query: &CellQuery) -> Vec<RouteCell> {
    store.cells(query).await.unwrap().rows
}

/// The routes of cells, with their numbers of page views.
pub(super) fn counts(cells: &[RouteCell]) -> Vec<(&str, i64)> {
    cells.iter().map(|cell| (cell.route.as_str(), cell.cell.views)).collect()
}

pub(super) async fn fold(store: &Arc<dyn Store>) {
    store.maintain(DAY1_MS, Retention::default()).await.unwrap();
}

/// Sites are unique by name, keep their keys when changed, and never share an id.
pub async fn sites_and_keys(store: Arc<dyn Store>) {
    let new = NewSite {
        name: "shop".to_owned(),
        key: "k1".to_owned(),
        origins: vec!["https://shop.example".to_owned(), "https://*.shop.example".to_owned()],
        created_ms: 5,
    };
    let shop = store.site_add(new.clone()).await.unwrap();
    assert_eq!((shop.name.as_str(), shop.created_ms, &shop.origins), ("shop", 5, &new.origins));
    assert_eq!(shop.keys.len(), 1);
    assert_eq!((shop.keys[0].key.as_str(), shop.keys[0].until_ms), ("k1", None));
    let again = store.site_add(NewSite { key: "k2".to_owned(), ..new }).await;
    assert!(matches!(again, Err(StoreError::SiteExists(name)) if name == "shop"));
    let blog = site(&store, "blog").await;
    let names: Vec<String> = store.sites().await.unwrap().into_iter().map(|site| site.name).collect();
    assert_eq!(names, ["blog", "shop"]);

    let renamed =
        store.site_update(shop.id, "store", &["*".to_owned()], &["/product/:id".to_owned()]).await.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.origins.as_slice()), ("store", &["*".to_owned()][..]));
    assert_eq!(renamed.keys, shop.keys);
    let clash = store.site_update(blog, "store", &[], &[]).await;
    assert!(matches!(clash, Err(StoreError::SiteExists(_))));
    assert!(
        store.site_update(blog, "blog", &[], &[]).await.unwrap().origins.is_empty(),
        "its own name is free"
    );

    let keys = |site: crate::Site| -> Vec<(String, Option<i64>)> {
        site.keys.into_iter().map(|key| (key.key, key.until_ms)).collect()
    };
    let rotated = store.site_rotate_key(shop.id, "k3", 10, 100).await.unwrap();
    assert_eq!(keys(rotated), [("k3".to_owned(), None), ("k1".to_owned(), Some(100))]);
    let rotated = store.site_rotate_key(shop.id, "k4", 20, 200).await.unwrap();
    assert_eq!(
        keys(rotated),
        [("k4".to_owned(), None), ("k3".to_owned(), Some(200)), ("k1".to_owned(), Some(100))],
        "a key keeps its earlier end"
    );

    let nobody = SiteId(999_999);
    assert!(matches!(store.site_update(nobody, "x", &[], &[]).await, Err(StoreError::NoSuchSite)));
    assert!(matches!(store.site_rotate_key(nobody, "x", 0, 0).await, Err(StoreError::NoSuchSite)));
    assert!(matches!(store.site_delete(nobody).await, Err(StoreError::NoSuchSite)));
    store.site_delete(blog).await.unwrap();
    assert!(site(&store, "blog").await > blog, "an id is never given again");
}

/// Tokens are kept by hash, oldest first, until they are revoked.
pub async fn tokens(store: Arc<dyn Store>) {
    assert!(store.tokens().await.unwrap().is_empty());
    let new = |name: &str, scope, byte, created_ms| NewToken {
        name: name.to_owned(),
        scope,
        sites: None,
        hash: [byte; 32],
        created_ms,
        rate_per_s: None,
    };
    let late = store.token_add(new("late", Scope::Read, 1, 20)).await.unwrap();
    let early = store.token_add(new("early", Scope::Admin, 2, 10)).await.unwrap();
    assert_eq!(store.tokens().await.unwrap(), [early.clone(), late.clone()]);
    assert_eq!((early.scope, early.hash), (Scope::Admin, [2; 32]));
    store.token_revoke(early.id).await.unwrap();
    assert_eq!(store.tokens().await.unwrap(), [late]);
    assert!(matches!(store.token_revoke(early.id).await, Err(StoreError::NoSuchToken)));
}

/// A token that is limited to sites stays limited, also when its sites are deleted.
pub async fn tokens_of_sites(store: Arc<dyn Store>) {
    let (shop, blog) = (site(&store, "shop").await, site(&store, "blog").await);
    let mut added = Vec::new();
    for (byte, sites) in [(1, None), (2, Some(vec![shop])), (3, Some(vec![blog, shop])), (4, Some(vec![]))] {
        let name = format!("token {byte}");
        let rate_per_s = (byte > 1).then_some(u32::from(byte));
        let created_ms = i64::from(byte);
        let new = NewToken { name, scope: Scope::Read, sites, hash: [byte; 32], created_ms, rate_per_s };
        let token = store.token_add(new.clone()).await.unwrap();
        assert_eq!((&token.sites, token.hash, token.rate_per_s), (&new.sites, new.hash, new.rate_per_s));
        added.push(token);
    }
    assert_eq!(store.tokens().await.unwrap(), added);
    store.site_delete(shop).await.unwrap();
    assert_eq!(store.tokens().await.unwrap(), added);
}

/// The audit log keeps the latest entries in order.
pub async fn audit_entries_are_kept_in_order(store: Arc<dyn Store>) {
    let entry = |number: i64| AuditEntry {
        at_ms: 100 - number,
        actor: "ci (token 3)".to_owned(),
        action: "site.update".to_owned(),
        target: format!("site {number}"),
        before: (number > 0).then(|| r#"{"name":"a"}"#.to_owned()),
        after: (number < 2).then(|| r#"{"name":"\u0000é"}"#.to_owned()),
    };
    assert_eq!(store.audit(None, 10).await.unwrap(), []);
    for number in 0..3 {
        store.audit_add(&entry(number)).await.unwrap();
    }
    let all = store.audit(None, 10).await.unwrap();
    let entries: Vec<AuditEntry> = all.iter().map(|(_, entry)| entry.clone()).collect();
    assert_eq!(entries, [entry(2), entry(1), entry(0)], "the latest first, whatever the clock said");
    assert_eq!(store.audit(None, 1).await.unwrap(), all[..1]);
    assert_eq!(store.audit(Some(all[0].0), 10).await.unwrap(), all[1..]);
}

/// If servers start together on a new store, one creates the site and the token; the others find them.
pub async fn servers_that_start_together_make_one_beginning(store: Arc<dyn Store>) {
    let start = |number: u8| {
        let store = Arc::clone(&store);
        let key = format!("k{number}");
        let site = NewSite { name: "default".to_owned(), key, origins: vec!["*".to_owned()], created_ms: 5 };
        let token = NewToken {
            name: "first".to_owned(),
            scope: Scope::Admin,
            sites: None,
            hash: [number; 32],
            created_ms: 5,
            rate_per_s: None,
        };
        tokio::spawn(async move { store.first_start(site, token).await.unwrap() })
    };
    let starts: Vec<_> = (0..6).map(start).collect();
    let (mut sites, mut tokens) = (Vec::new(), Vec::new());
    for start in starts {
        let (site, token) = start.await.unwrap();
        assert_eq!(site.is_some(), token.is_some(), "both are one server's");
        sites.extend(site);
        tokens.extend(token);
    }
    assert_eq!(sites, store.sites().await.unwrap());
    assert_eq!(tokens, store.tokens().await.unwrap());
    assert_eq!((sites.len(), tokens.len(), sites[0].keys.len()), (1, 1, 1));
    // Creates only what is missing.
    store.token_revoke(tokens[0].id).await.unwrap();
    let (site, token) = start(9).await.unwrap();
    assert!(site.is_none());
    assert_eq!(token.into_iter().collect::<Vec<_>>(), store.tokens().await.unwrap());
}

/// Every column of a view is read back, over more views than any statement takes at once.
pub async fn a_batch_of_many_views_is_read_back(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let mut updates = Vec::new();
    for i in 0_u32..311 {
        let number = f64::from(i);
        let mut update = update(
            DAY0_MS + i64::from(i) * 1_000,
            u128::from(i),
            &[
                (Metric::Lcp, number),
                (Metric::Inp, number + 1.0),
                (Metric::Cls, number / 100.0),
                (Metric::Fcp, number + 3.0),
                (Metric::Ttfb, number + 4.0),
                (Metric::Fid, number + 5.0),
                (Metric::Tti, number + 6.0),
            ],
        );
        update.source = if i % 3 == 0 { Source::Foreign } else { Source::Own { seq: u32::MAX - i } };
        update.received_ms = i64::from(i) - 5;
        update.url = format!("https://shop.example/{i}");
        update.route = format!("/{}", i % 7);
        update.navigation_type = NavigationType::ALL.get(i as usize % 8).copied();
        update.device = Device::ALL.get(i as usize % 4).copied();
        update.tti_gap = TtiGap::ALL.get(i as usize % 4).copied();
        update.os = Os::ALL.get(i as usize % 8).copied();
        update.connection = (i % 2 == 0).then(|| "4g".to_owned());
        update.country = (i % 5 == 0).then(|| "DE".to_owned());
        update.release = (i % 2 == 1).then(|| format!("v{i}"));
        if i % 4 == 0 {
            update.values.set(Metric::Cls, None);
        }
        updates.push(update);
    }
    let report = load(&store, site, 1, updates.clone()).await.unwrap();
    assert_eq!(report, LoadReport { loaded: 311, superseded: 0, ..LoadReport::default() });
    for update in updates {
        let id = update.id;
        assert_eq!(store.view(site, id).await.unwrap(), Some(StoredView::first(update)));
    }
    let unknown = ViewId::new(DAY0_MS.unsigned_abs(), 12_345);
    assert_eq!(store.view(site, unknown).await.unwrap(), None);
    let routes = store.routes(site, DAY0_MS, DAY0_MS + 3_000).await.unwrap();
    assert_eq!(routes, ["/0", "/1", "/2"]);
}

/// A load writes page views and cursor atomically.
pub async fn a_load_takes_place_whole_or_not(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let spool = SpoolId([1; 16]);
    assert_eq!(store.cursor(site, spool).await.unwrap(), 0);
    assert_eq!(store.cursor_max(spool).await.unwrap(), 0);
    let batch = LoadBatch {
        site,
        spool,
        after: 0,
        up_to: 42,
        beacons: vec![vec![update(DAY0_MS, 1, &[(Metric::Lcp, 1.0)])], Vec::new()],
        senders: Senders::Unknown,
    };
    let report = store.load(batch).await.unwrap();
    assert_eq!(
        report,
        LoadReport { loaded: 1, superseded: 1, ..LoadReport::default() },
        "an empty beacon says nothing new"
    );
    assert_eq!(store.cursor(site, spool).await.unwrap(), 42);
    assert_eq!(store.cursor(site, SpoolId([2; 16])).await.unwrap(), 0);
    assert_eq!(store.cursor_max(spool).await.unwrap(), 42);

    let nobody = SiteId(999_999);
    let refused = load(&store, nobody, 1, vec![update(DAY0_MS, 2, &[])]).await;
    assert!(matches!(refused, Err(StoreError::NoSuchSite)));
    assert_eq!(store.cursor(nobody, spool).await.unwrap(), 0);

    store.cursors_forget(spool).await.unwrap();
    assert_eq!(store.cursor(site, spool).await.unwrap(), 0);
    assert_eq!(store.cursor_max(spool).await.unwrap(), 0);
}

/// A load with a stale cursor is refused and changes nothing.
pub async fn a_stale_cursor_is_refused(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    for after in [0, 2] {
        let beacons = vec![vec![update(DAY0_MS, 2, &[])]];
        let batch =
            LoadBatch { site, spool: SpoolId([1; 16]), after, up_to: 9, beacons, senders: Senders::Unknown };
        let refused = store.load(batch).await;
        assert!(
            matches!(refused, Err(StoreError::CursorMoved { at: 1, expected }) if expected == after),
            "{refused:?}"
        );
    }
    assert_eq!(store.cursor(site, SpoolId([1; 16])).await.unwrap(), 1);
    assert_eq!(counts(&cells(&store, &CellQuery::new(site, DAY0_MS, DAY1_MS)).await), [("/", 1)]);
}

/// Loading the same beacons again changes nothing, from another spool or after the cursor was deleted.
pub async fn loading_again_changes_nothing(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let mut foreign = update(DAY0_MS, 3, &[(Metric::Inp, 80.0)]);
    foreign.source = Source::Foreign;
    let updates = vec![update(DAY0_MS, 1, &[(Metric::Lcp, 2_500.0)]), update(DAY0_MS + 1, 2, &[]), foreign];
    load(&store, site, 1, updates.clone()).await.unwrap();
    let before = cells(&store, &CellQuery::new(site, DAY0_MS, DAY1_MS)).await;
    for again in 0..4 {
        if again == 2 {
            fold(&store).await;
        }
        let spool = if again == 3 { 1 } else { 2 };
        store.cursors_forget(SpoolId([spool; 16])).await.unwrap();
        let report = load(&store, site, spool, updates.clone()).await.unwrap();
        assert_eq!(report, LoadReport { loaded: 0, superseded: 3, ..LoadReport::default() });
        assert_eq!(cells(&store, &CellQuery::new(site, DAY0_MS, DAY1_MS)).await, before);
    }
    assert_eq!(before[0].cell.views, 3);
    assert_eq!(before[0].cell.metric(Metric::Lcp).rated(Rating::Good), 1);
}

/// A later snapshot moves a view to another route and device, before and after folding.
pub async fn a_view_that_changes_route_leaves_its_old_cell(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let mut view = update(DAY0_MS, 1, &[(Metric::Lcp, 2_500.0), (Metric::Inp, 10.0)]);
    for (seq, folded) in [(1, false), (2, false), (3, true), (4, true)] {
        view.source = Source::Own { seq };
        view.route = format!("/{seq}");
        view.device = (seq % 2 == 0).then_some(Device::Phone);
        view.values.set(Metric::Inp, None);
        load(&store, site, 1, vec![view.clone()]).await.unwrap();
        if folded {
            fold(&store).await;
        }
        let found = cells(&store, &CellQuery::new(site, DAY0_MS, DAY1_MS)).await;
        assert_eq!(counts(&found), [(view.route.as_str(), 1)]);
        assert_eq!(found[0].cell.metric(Metric::Lcp).n(), 1);
        let phones = CellQuery {
            filters: Filters { device: Some(Device::Phone), ..Filters::NONE },
            ..CellQuery::new(site, DAY0_MS, DAY1_MS)
        };
        let on_phones = cells(&store, &phones).await.len();
        assert_eq!(on_phones, usize::from(seq % 2 == 0), "an unknown device is no phone");
        let route = CellQuery { route: Some("/1".to_owned()), ..CellQuery::new(site, DAY0_MS, DAY1_MS) };
        assert_eq!(cells(&store, &route).await.len(), usize::from(seq == 1));
    }
    assert_eq!(store.routes(site, DAY0_MS, DAY1_MS).await.unwrap(), ["/4"]);
}

/// Queries with two filters, which page views answer: about one route or all, over any time, before and after
/// maintenance.
pub async fn the_page_views_of_a_route_are_found(store: Arc<dyn Store>) {
    const SIX_HOURS_MS: i64 = DAY_MS / 4;
    let site = site(&store, "a").await;
    // One page view every 6 h over three days; the route changes after every third one.
    let mut views: Vec<ViewUpdate> = (0..36)
        .map(|i| {
            let mut view = update(DAY0_MS + i / 3 * SIX_HOURS_MS, i as u128, &[(Metric::Lcp, 1_000.0)]);
            view.route = format!("/{}", i % 2);
            view.device = Some(Device::Phone);
            view.os = Some(Os::Android);
            view
        })
        .collect();
    let holds = async |views: &[ViewUpdate]| {
        for from in 0..12 {
            for to in from + 1..=12 {
                let range = DAY0_MS + from * SIX_HOURS_MS..DAY0_MS + to * SIX_HOURS_MS;
                let filters = Filters { device: Some(Device::Phone), os: Some(Os::Android), ..Filters::NONE };
                for route in ["/0", "/1"] {
                    let query = CellQuery {
                        route: Some(route.to_owned()),
                        filters: filters.clone(),
                        ..CellQuery::new(site, range.start, range.end)
                    };
                    let found: i64 = cells(&store, &query).await.iter().map(|cell| cell.cell.views).sum();
                    let is_asked =
                        |view: &&ViewUpdate| view.route == route && range.contains(&view.id.start_ms());
                    let expected = views.iter().filter(is_asked).count();
                    assert_eq!(found, expected as i64, "{route} in quarters {from} to {to} of a day");
                }
            }
        }
    };
    for some in views.chunks(9) {
        load(&store, site, 1, some.to_vec()).await.unwrap();
    }
    holds(&views).await;
    fold(&store).await;
    holds(&views).await;
    // Changes the route of one view, erases one, and adds one: first among sorted rows, then among unsorted ones.
    for (changes, erased) in [(4, 6), (22, 20)] {
        views[changes].route = format!("/{}", (changes + 1) % 2);
        views[changes].source = Source::Own { seq: 2 };
        load(&store, site, 1, vec![views[changes].clone()]).await.unwrap();
        holds(&views).await;
        let at_ms = views[erased].id.start_ms();
        let erase = Erase { site, from_ms: at_ms, to_ms: at_ms + 1, url: None };
        store.erase(&erase).await.unwrap();
        views.retain(|view| view.id.start_ms() != at_ms);
        holds(&views).await;
        views.push(ViewUpdate {
            id: ViewId::new((DAY1_MS + 1).unsigned_abs(), 1_000 + erased as u128),
            ..views[0].clone()
        });
        load(&store, site, 2, views[views.len() - 1..].to_vec()).await.unwrap();
        holds(&views).await;
    }
    fold(&store).await;
    holds(&views).await;
}

/// Single metrics of another library, from different servers and batches, become one view. A snapshot of our own
/// collector replaces them.
pub async fn foreign_metrics_are_joined_over_loads(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let foreign = |received_ms, metric, number| {
        let mut update = update(DAY0_MS, 1, &[(metric, number)]);
        update.source = Source::Foreign;
        update.received_ms = received_ms;
        update
    };
    load(&store, site, 1, vec![foreign(30, Metric::Lcp, 900.0)]).await.unwrap();
    load(&store, site, 2, vec![foreign(20, Metric::Cls, 0.3)]).await.unwrap();
    fold(&store).await;
    load(&store, site, 1, vec![foreign(10, Metric::Lcp, 5_000.0)]).await.unwrap();
    let found = cells(&store, &CellQuery::new(site, DAY0_MS, DAY1_MS)).await;
    assert_eq!(counts(&found), [("/", 1)]);
    assert_eq!(found[0].cell.metric(Metric::Lcp).rated(Rating::Good), 1);
    assert_eq!(found[0].cell.metric(Metric::Cls).rated(Rating::Poor), 1);
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[(Metric::Fcp, 1.0)])]).await.unwrap();
    let found = cells(&store, &CellQuery::new(site, DAY0_MS, DAY1_MS)).await;
    assert_eq!(counts(&found), [("/", 1)]);
    assert_eq!(found[0].cell.metric(Metric::Lcp).n(), 0);
    assert_eq!(found[0].cell.metric(Metric::Fcp).n(), 1);
}

/// The same view id on two sites makes two page views.
pub async fn the_same_view_on_two_sites_is_two_views(store: Arc<dyn Store>) {
    let (a, b) = (site(&store, "a").await, site(&store, "b").await);
    let mut other = update(DAY0_MS, 1, &[(Metric::Lcp, 9_000.0)]);
    other.route = "/b".to_owned();
    load(&store, a, 1, vec![update(DAY0_MS, 1, &[(Metric::Lcp, 1.0)])]).await.unwrap();
    load(&store, b, 1, vec![other.clone()]).await.unwrap();
    for folded in [false, true] {
        if folded {
            fold(&store).await;
        }
        assert_eq!(counts(&cells(&store, &CellQuery::new(a, DAY0_MS, DAY1_MS)).await), [("/", 1)]);
        assert_eq!(counts(&cells(&store, &CellQuery::new(b, DAY0_MS, DAY1_MS)).await), [("/b", 1)]);
    }
    assert_eq!(store.view(b, other.id).await.unwrap(), Some(StoredView::first(other)));
    assert_eq!(store.routes(a, DAY0_MS, DAY1_MS).await.unwrap(), ["/"]);
}

/// Deleting a site removes its rows of every kind, and no row of another site.
pub async fn a_deleted_site_takes_everything_with_it(store: Arc<dyn Store>) {
    let (gone, stays) = (site(&store, "gone").await, site(&store, "stays").await);
    for site in [gone, stays] {
        let many = (0..2_500).map(|i| update(DAY0_MS + i, 1, &[(Metric::Lcp, 1.0)])).collect();
        load(&store, site, 1, many).await.unwrap();
        fold(&store).await;
        load(&store, site, 1, vec![update(DAY0_MS, 2, &[])]).await.unwrap();
        store.judgements(site, 1, &[judgement("b", Some(true))]).await.unwrap();
    }
    store.site_delete(gone).await.unwrap();
    let refused = load(&store, gone, 1, vec![update(DAY0_MS, 3, &[])]).await;
    assert!(matches!(refused, Err(StoreError::NoSuchSite)));
    let spool = SpoolId([1; 16]);
    assert!(cells(&store, &CellQuery::new(gone, DAY0_MS, DAY1_MS)).await.is_empty());
    assert!(store.routes(gone, DAY0_MS, DAY1_MS).await.unwrap().is_empty());
    assert!(store.violations(gone, false, 0, 10).await.unwrap().is_empty());
    assert_eq!(store.view(gone, update(DAY0_MS, 1, &[]).id).await.unwrap(), None);
    assert_eq!(store.cursor(gone, spool).await.unwrap(), 0);
    assert_eq!(store.sites().await.unwrap().len(), 1);
    assert_eq!(counts(&cells(&store, &CellQuery::new(stays, DAY0_MS, DAY1_MS)).await), [("/", 2_501)]);
    assert_eq!(store.cursor(stays, spool).await.unwrap(), 2_501);
    assert_eq!(store.violations(stays, false, 0, 10).await.unwrap().len(), 1);
}

/// A release is counted from page views, to the millisecond.
pub async fn releases_are_told_apart(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let mut updates = Vec::new();
    for (i, release) in [Some("v1"), Some("v2"), None, Some("v2")].into_iter().enumerate() {
        let mut update = update(DAY0_MS + i as i64, i as u128, &[(Metric::Lcp, 1.0)]);
        update.release = release.map(str::to_owned);
        updates.push(update);
    }
    load(&store, site, 1, updates).await.unwrap();
    let query = CellQuery {
        filters: Filters { release: Some("v2".to_owned()), ..Filters::NONE },
        exact: true,
        ..CellQuery::new(site, DAY0_MS, DAY1_MS)
    };
    assert_eq!(counts(&cells(&store, &query).await), [("/", 2)]);
    let query = CellQuery { to_ms: DAY0_MS + 3, ..query };
    assert_eq!(counts(&cells(&store, &query).await), [("/", 1)]);
    let query = CellQuery { filters: Filters { release: Some("v3".to_owned()), ..Filters::NONE }, ..query };
    assert!(cells(&store, &query).await.is_empty());
}

/// Columns that only page views have can be filtered and broken down, to the millisecond, within raw retention.
pub async fn systems_are_told_apart(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let systems = [Some(Os::Ios), Some(Os::Windows), None, Some(Os::Ios), Some(Os::Android), Some(Os::Other)];
    let mut updates = Vec::new();
    for (i, os) in systems.into_iter().enumerate() {
        let mut update = update(DAY0_MS + i as i64, i as u128, &[(Metric::Lcp, 1.0)]);
        update.os = os;
        update.country = (i < 2).then(|| "DE".to_owned());
        updates.push(update);
    }
    // The last snapshot counts.
    let mut moved = update(DAY0_MS + 5, 5, &[]);
    (moved.source, moved.os) = (Source::Own { seq: 2 }, Some(Os::Windows));
    load(&store, site, 1, updates).await.unwrap();
    load(&store, site, 1, vec![moved]).await.unwrap();
    let all = CellQuery::new(site, DAY0_MS, DAY1_MS);
    let with = |filters| CellQuery { filters, ..all.clone() };
    let ios = Filters { os: Some(Os::Ios), ..Filters::NONE };
    let values = |cells: Vec<ValueCell>| -> Vec<(Option<String>, i64)> {
        cells.into_iter().map(|one| (one.value, one.cell.views)).collect()
    };
    let named = |name: &str, views| (Some(name.to_owned()), views);
    for folded in [false, true] {
        if folded {
            fold(&store).await;
        }
        assert_eq!(counts(&cells(&store, &with(ios.clone())).await), [("/", 2)]);
        let first = CellQuery { to_ms: DAY0_MS + 1, ..with(ios.clone()) };
        assert_eq!(counts(&cells(&store, &first).await), [("/", 1)]);
        let linux = with(Filters { os: Some(Os::Linux), ..Filters::NONE });
        assert_eq!(cells(&store, &linux).await, []);
        let german = with(Filters { country: Some("DE".to_owned()), ..ios.clone() });
        assert_eq!(counts(&cells(&store, &german).await), [("/", 1)]);
        let by_os = store.breakdown(&all, GroupBy::Os).await.unwrap().rows;
        assert_eq!(
            values(by_os),
            [named("ios", 2), named("windows", 2), named("android", 1), (None, 1)],
            "most first, the unknown one last"
        );
        let by_country =
            store.breakdown(&with(ios.clone()), GroupBy::Rolled(Dimension::Country)).await.unwrap().rows;
        assert_eq!(values(by_country), [named("DE", 1), (None, 1)]);
    }
    // Past raw retention, the values of these columns are unknown; the rest is still answered.
    let retention = Retention { raw_days: 1, ..Retention::default() };
    store.maintain(DAY0_MS + 3 * DAY_MS, retention).await.unwrap();
    assert_eq!(counts(&cells(&store, &all).await), [("/", 6)]);
    assert_eq!(cells(&store, &with(ios)).await, []);
    assert_eq!(store.breakdown(&all, GroupBy::Os).await.unwrap().rows, []);
}

/// # Panics
/// If the retention is another one than was set last.
pub async fn retention_is_set_for_all_servers(store: Arc<dyn Store>) {
    assert_eq!(store.retention().await.unwrap(), None);
    for retention in [Retention { raw_days: 7, hourly_days: 3, daily_days: 90 }, Retention::default()] {
        store.set_retention(retention).await.unwrap();
        assert_eq!(store.retention().await.unwrap(), Some(retention));
    }
}

/// Routes may be texts of any script and length that a beacon allows. They sort by their bytes.
pub async fn routes_are_any_text(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let long = "/é".repeat(256);
    let mut routes = ["/", "/A", "/a", "/a'b\"c\\", "/ä", "/日本語/:id", "(other)", "", "/%", long.as_str()];
    let updates = routes.iter().enumerate().map(|(i, route)| {
        let mut update = update(DAY0_MS, i as u128, &[]);
        update.route = (*route).to_owned();
        update
    });
    load(&store, site, 1, updates.collect()).await.unwrap();
    fold(&store).await;
    routes.sort_unstable();
    assert_eq!(store.routes(site, DAY0_MS, DAY1_MS).await.unwrap(), routes);
    let found = cells(&store, &CellQuery::new(site, DAY0_MS, DAY1_MS)).await;
    assert_eq!(found.iter().map(|cell| cell.route.as_str()).collect::<Vec<_>>(), routes);
    for route in routes {
        let query = CellQuery { route: Some(route.to_owned()), ..CellQuery::new(site, DAY0_MS, DAY1_MS) };
        assert_eq!(counts(&cells(&store, &query).await), [(route, 1)]);
    }
}

/// Past the bound, page views are counted under one route, and keep it however often they are loaded.
pub async fn routes_have_a_bound(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let count = limits::ROUTES_PER_SITE_MAX + 50;
    let of_route = |i: usize, seq: u32| {
        let mut update = update(DAY0_MS, i as u128, &[]);
        update.source = Source::Own { seq };
        update.route = format!("/r{i}");
        update
    };
    load(&store, site, 1, (0..count).map(|i| of_route(i, 1)).collect()).await.unwrap();
    for folded in [false, true] {
        if folded {
            fold(&store).await;
        }
        let found = cells(&store, &CellQuery::new(site, DAY0_MS, DAY1_MS)).await;
        assert_eq!(found.len(), limits::ROUTES_PER_SITE_MAX + 1);
        let other: Vec<i64> =
            found.iter().filter(|row| row.route == OTHER).map(|row| row.cell.views).collect();
        assert_eq!(other, [50]);
        // Loads the first and the last again, and one more page view of a known route.
        let mut more = of_route(count + usize::from(folded), 1);
        more.route = "/r0".to_owned();
        let seq = if folded { 3 } else { 2 };
        load(&store, site, 1, vec![of_route(0, seq), of_route(count - 1, seq), more]).await.unwrap();
    }
    let query = CellQuery { route: Some("/r0".to_owned()), ..CellQuery::new(site, DAY0_MS, DAY1_MS) };
    assert_eq!(counts(&cells(&store, &query).await), [("/r0", 3)]);
    let query = CellQuery { route: Some(OTHER.to_owned()), ..CellQuery::new(site, DAY0_MS, DAY1_MS) };
    assert_eq!(counts(&cells(&store, &query).await), [(OTHER, 50)]);
}

/// Queries with empty, reversed and endless ranges, and with ranges outside of all data, are answered.
pub async fn odd_ranges_are_answered(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let last_ms = (1 << 48) - 1;
    load(&store, site, 1, vec![update(0, 1, &[]), update(DAY0_MS, 2, &[]), update(last_ms, 3, &[])])
        .await
        .unwrap();
    for folded in [false, true] {
        if folded {
            // At the start of time, retention removes nothing.
            let retention = Retention { raw_days: 0, hourly_days: 0, daily_days: 0 };
            store.maintain(0, retention).await.unwrap();
        }
        for (from_ms, to_ms, expected) in [
            (i64::MIN, i64::MAX, 3),
            (0, i64::MAX, 3),
            (i64::MIN, DAY0_MS, 1),
            (DAY0_MS, DAY0_MS, 0),
            (DAY1_MS, DAY0_MS, 0),
            (i64::MAX, i64::MIN, 0),
            (DAY0_MS + HOUR_MS, DAY1_MS, 0),
            (DAY0_MS, DAY0_MS + HOUR_MS, 1),
            (DAY0_MS - 30 * DAY_MS, DAY0_MS + 5_000 * DAY_MS, 1),
        ] {
            for route in [None, Some("/".to_owned())] {
                let query = CellQuery { route, ..CellQuery::new(site, from_ms, to_ms) };
                let found: i64 = cells(&store, &query).await.iter().map(|cell| cell.cell.views).sum();
                assert_eq!(found, expected, "{query:?}, folded {folded}");
            }
            let routes = store.routes(site, from_ms, to_ms).await.unwrap();
            assert_eq!(routes.len(), usize::from(expected > 0));
        }
    }
}

/// Tallies count exactly at and around the value, with every filter.
pub async fn tallies_are_exact(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let mut updates = Vec::new();
    for (i, lcp) in [2_499.999, 2_500.0, 2_500.001, 0.0].into_iter().enumerate() {
        let mut update = update(DAY0_MS + i as i64, 1, &[(Metric::Lcp, lcp)]);
        update.device = Some(Device::Desktop);
        update.release = Some("v1".to_owned());
        updates.push(update);
    }
    updates[3].route = "/b".to_owned();
    updates[0].device = Some(Device::Phone);
    updates[1].release = None;
    updates[1].browser = Some("Firefox".to_owned());
    updates[1].os = Some(Os::Ios);
    updates[1].country = Some("DE".to_owned());
    updates[1].connection = Some("3g".to_owned());
    updates[1].navigation_type = Some(NavigationType::Reload);
    updates.push(update(DAY0_MS, 9, &[(Metric::Inp, 1.0)]));
    load(&store, site, 1, updates).await.unwrap();
    let all = TallyQuery {
        site,
        from_ms: DAY0_MS,
        to_ms: DAY1_MS,
        routes: vec!["/".to_owned(), "/b".to_owned(), "/none".to_owned()],
        filters: Filters::NONE,
        metric: Metric::Lcp,
        at_most: Value::new(Metric::Lcp, 2_500.0).unwrap(),
    };
    let tally = async |query: TallyQuery| {
        let Tally { n, within, .. } = store.tally(&query).await.unwrap();
        (n, within)
    };
    let by = |filters: Filters| TallyQuery { filters, ..all.clone() };
    assert_eq!(tally(all.clone()).await, (4, 3));
    assert_eq!(tally(TallyQuery { routes: vec!["/".to_owned()], ..all.clone() }).await, (3, 2));
    assert_eq!(tally(TallyQuery { routes: Vec::new(), ..all.clone() }).await, (0, 0));
    assert_eq!(tally(by(Filters { device: Some(Device::Phone), ..Filters::NONE })).await, (1, 1));
    assert_eq!(tally(by(Filters { release: Some("v1".to_owned()), ..Filters::NONE })).await, (3, 2));
    let both = Filters { device: Some(Device::Desktop), release: Some("v1".to_owned()), ..Filters::NONE };
    assert_eq!(tally(by(both)).await, (2, 1));
    for filters in [
        Filters { browser: Some("Firefox".to_owned()), ..Filters::NONE },
        Filters { os: Some(Os::Ios), ..Filters::NONE },
        Filters { country: Some("DE".to_owned()), ..Filters::NONE },
        Filters { connection: Some("3g".to_owned()), ..Filters::NONE },
        Filters { navigation_type: Some(NavigationType::Reload), ..Filters::NONE },
    ] {
        assert_eq!(tally(by(filters.clone())).await, (1, 1), "{filters:?}");
    }
    assert_eq!(tally(TallyQuery { from_ms: DAY0_MS + 1, to_ms: DAY0_MS + 3, ..all.clone() }).await, (2, 1));
    for metric in Metric::ALL {
        let n = match metric {
            Metric::Lcp => 4,
            Metric::Inp => 1,
            _ => 0,
        };
        assert_eq!(tally(TallyQuery { metric, ..all.clone() }).await.0, n, "{}", metric.name());
    }
}

/// A tally has every value in order, and the counts of each half hour.
pub async fn a_tally_has_every_value_by_half_hours(store: Arc<dyn Store>) {
    const HALF_HOUR_MS: i64 = HOUR_MS / 2;
    let site = site(&store, "a").await;
    let query = |metric| TallyQuery {
        site,
        from_ms: DAY0_MS,
        to_ms: DAY1_MS,
        routes: vec!["/".to_owned()],
        filters: Filters::NONE,
        metric,
        at_most: Value::new(Metric::Lcp, 2_050.0).unwrap(),
    };
    assert_eq!(store.tally(&query(Metric::Lcp)).await.unwrap(), Tally::default());
    // 2,001 to 2,100 ms, not in order: 50 in the first half hour, the last of them in its last millisecond, 50 in the
    // fourth.
    let lcp = |i: i64| (2_001 + i * 37 % 100) as f64;
    let start_ms = |i: i64| match i {
        0..49 => DAY0_MS + i,
        49 => DAY0_MS + HALF_HOUR_MS - 1,
        _ => DAY0_MS + 3 * HALF_HOUR_MS + i - 50,
    };
    let updates = (0..100).map(|i| update(start_ms(i), i as u128, &[(Metric::Lcp, lcp(i))]));
    load(&store, site, 1, updates.collect()).await.unwrap();
    let found = store.tally(&query(Metric::Lcp)).await.unwrap();
    let values: Vec<f64> = found.values.iter().map(|value| value.number(Metric::Lcp)).collect();
    assert_eq!(values, (2_001..=2_100).map(f64::from).collect::<Vec<_>>());
    assert_eq!((found.n, found.within), (100, 50));
    let first = DAY0_MS / HALF_HOUR_MS;
    let within = |from: i64| (from..from + 50).filter(|&i| lcp(i) <= 2_050.0).count() as u64;
    let expected = [(first, within(0)), (first + 3, within(50))];
    assert_eq!(found.blocks, expected.map(|(number, within)| Block { number, n: 50, within }));
    assert_eq!(store.tally(&query(Metric::Inp)).await.unwrap(), Tally::default());
}

/// The values of a metric are found by class in every window, in order.
pub async fn values_are_found_by_class(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let view = |hour: i64, number: u128, device, lcp: f64| {
        let mut view = update(DAY0_MS + hour * HOUR_MS, number, &[(Metric::Lcp, lcp)]);
        view.device = device;
        view
    };
    let mut german = view(1, 4, Some(Device::Phone), 900.0);
    german.country = Some("DE".to_owned());
    let views = vec![
        view(1, 1, Some(Device::Phone), 2_000.0),
        view(0, 2, Some(Device::Phone), 3_000.0),
        view(1, 3, None, 700.0),
        german,
        // Between the windows, and without the metric.
        view(2, 5, Some(Device::Phone), 1.0),
        update(DAY0_MS, 6, &[(Metric::Inp, 100.0)]),
    ];
    load(&store, site, 1, views).await.unwrap();
    let query = ClassViewsQuery {
        site,
        windows: vec![DAY0_MS..DAY0_MS + 2 * HOUR_MS, DAY0_MS + 3 * HOUR_MS..DAY1_MS],
        routes: vec!["/".to_owned()],
        filters: Filters::NONE,
        metric: Metric::Lcp,
    };
    let found = store.class_views(&query).await.unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|ClassViews { class, views }| {
            let first = (DAY0_MS / (HOUR_MS / 2)) as i32;
            let views: Vec<_> =
                views.iter().map(|view| (view.block - first, view.value.number(Metric::Lcp))).collect();
            (class.device, class.country.as_deref(), views)
        })
        .collect();
    let phone = Some(Device::Phone);
    assert_eq!(
        told,
        [
            (None, None, vec![(2, 700.0)]),
            (phone, None, vec![(0, 3_000.0), (2, 2_000.0)]),
            (phone, Some("DE"), vec![(2, 900.0)]),
        ]
    );
    let nowhere = ClassViewsQuery { routes: Vec::new(), ..query };
    assert_eq!(store.class_views(&nowhere).await.unwrap(), []);
}

/// An answer counts the queried hours, for every dimension, while page views are kept. Later it counts whole days,
/// and states that period.
pub async fn an_answer_counts_the_period_that_it_states(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let updates = (0..3 * 24).map(|hour| {
        let mut update = update(DAY0_MS + hour * HOUR_MS, 1, &[(Metric::Lcp, 1_000.0)]);
        (update.country, update.device) = (Some("DE".to_owned()), Some(Device::Phone));
        update
    });
    load(&store, site, 1, updates.collect()).await.unwrap();
    let by_country = Filters { country: Some("DE".to_owned()), ..Filters::NONE };
    let by_device = Filters { device: Some(Device::Phone), ..Filters::NONE };
    let filters = [Filters::NONE, by_device, by_country];
    let asked = async |filters: &Filters, from_hour: i64, to_hour: i64| {
        let query = CellQuery::new(site, DAY0_MS + from_hour * HOUR_MS, DAY0_MS + to_hour * HOUR_MS);
        let hours = |period: &std::ops::Range<i64>| {
            (period.start - DAY0_MS) / HOUR_MS..(period.end - DAY0_MS) / HOUR_MS
        };
        let mut answers = Vec::new();
        for route in [None, Some("/")] {
            let query =
                CellQuery { route: route.map(str::to_owned), filters: filters.clone(), ..query.clone() };
            let cells = store.cells(&query).await.unwrap();
            for (n, lcps) in cells.rows.iter().map(|row| (row.cell.views, row.cell.metric(Metric::Lcp).n())) {
                assert_eq!(n, lcps, "{query:?}");
            }
            answers.push((hours(&cells.period), cells.rows.iter().map(|row| row.cell.views).sum::<i64>()));
            let by = store.breakdown(&query, GroupBy::Rolled(Dimension::Country)).await.unwrap();
            let views = by.rows.iter().map(|row| row.cell.views).sum::<i64>();
            // A breakdown with a filter by device reads page views.
            let is_scan = filters.device.is_some();
            answers.extend((!is_scan).then(|| (hours(&by.period), views)));
        }
        answers
    };
    let ranges = [(1, 50), (1, 25), (24, 48), (49, 50), (30, 31), (20, 47)];
    let exact = async || {
        for filters in &filters {
            for (from, to) in ranges {
                for answer in asked(filters, from, to).await {
                    assert_eq!(answer, (from..to, to - from), "{filters:?}");
                }
            }
        }
    };
    exact().await;
    fold(&store).await;
    exact().await;
    // Keeps the hours of the third day only, and all page views.
    let retention = Retention { raw_days: 30, hourly_days: 1, daily_days: 700 };
    let done = store.maintain(DAY0_MS + 3 * DAY_MS, retention).await.unwrap();
    assert_eq!(
        (done.deltas_folded, done.rows_removed),
        (0, 2 * 48),
        "of views and of LCP; the hours of the site stay as long as page views"
    );
    exact().await;
    // Counts a late view of an old day, too.
    load(&store, site, 1, vec![update(DAY0_MS, 2, &[(Metric::Lcp, 1_000.0)])]).await.unwrap();
    assert_eq!(counts(&cells(&store, &CellQuery::new(site, DAY0_MS, DAY1_MS)).await), [("/", 25)]);
    // Keeps the page views of the third day only.
    let retention = Retention { raw_days: 1, hourly_days: 1, daily_days: 700 };
    store.maintain(DAY0_MS + 3 * DAY_MS, retention).await.unwrap();
    for filters in &filters[..2] {
        let more = i64::from(*filters == Filters::NONE);
        for ((from, to), (period, views)) in [
            ((1, 50), (0..50, 50 + more)),
            ((1, 25), (0..48, 48 + more)),
            ((24, 48), (24..48, 24)),
            ((30, 31), (24..48, 24)),
            ((49, 50), (49..50, 1)),
        ] {
            assert_eq!(asked(filters, from, to).await[0], (period, views), "{filters:?}");
        }
    }
}

/// Rollups outlive page views, until their own retention ends.
pub async fn cells_past_retention_are_gone(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let updates = (0..3).map(|day| update(DAY0_MS + day * DAY_MS, 1, &[(Metric::Lcp, 1.0)])).collect();
    load(&store, site, 1, updates).await.unwrap();
    let retention = Retention { raw_days: 1, hourly_days: 1, daily_days: 2 };
    let done = store.maintain(DAY0_MS + 3 * DAY_MS + 5, retention).await.unwrap();
    assert_eq!((done.views_removed, done.deltas_folded), (2, 3));
    let views =
        async |from_ms, to_ms| counts(&cells(&store, &CellQuery::new(site, from_ms, to_ms)).await).len();
    assert_eq!(views(DAY0_MS, DAY1_MS).await, 0, "the first day is past all retention");
    assert_eq!(views(DAY1_MS, DAY1_MS + DAY_MS).await, 1, "the second one is in daily rollups");
    let raw = |day: i64| store.view(site, update(DAY0_MS + day * DAY_MS, 1, &[]).id);
    assert_eq!(raw(1).await.unwrap(), None);
    assert!(raw(2).await.unwrap().is_some());
    assert_eq!(store.routes(site, DAY0_MS, DAY1_MS + DAY_MS).await.unwrap().len(), 0);
    assert_eq!(
        store.maintain(DAY0_MS + 3 * DAY_MS + 5, retention).await.unwrap(),
        crate::MaintenanceSummary::default()
    );
}

/// An update of a deleted view that rollups still count must not be counted again.
pub async fn updates_past_retention_change_nothing(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let mut view = update(DAY0_MS, 1, &[(Metric::Lcp, 1.0)]);
    load(&store, site, 1, vec![view.clone()]).await.unwrap();
    let retention = Retention { raw_days: 1, hourly_days: 30, daily_days: 30 };
    store.maintain(DAY0_MS + 2 * DAY_MS, retention).await.unwrap();
    view.source = Source::Own { seq: 2 };
    let report = load(&store, site, 1, vec![view]).await.unwrap();
    assert_eq!(report, LoadReport { loaded: 0, superseded: 1, ..LoadReport::default() });
    assert_eq!(counts(&cells(&store, &CellQuery::new(site, DAY0_MS, DAY1_MS)).await), [("/", 1)]);
}

fn judgement(key: &str, broken: Option<bool>) -> Judgement {
    Judgement {
        key: key.to_owned(),
        broken,
        route: "/*".to_owned(),
        metric: Metric::Cls,
        percentile: 75,
        at_most: Value::new(Metric::Cls, 0.1).unwrap(),
        device: Some(Device::Phone),
        release: Some("v1".to_owned()),
        measured: Value::new(Metric::Cls, 0.25).ok(),
        n: 100,
        within: 60,
    }
}

/// A budget has one open violation, from the first broken judgment to the first kept one.
pub async fn violations_open_and_close(store: Arc<dyn Store>) {
    let (site, other) = (site(&store, "a").await, site(&store, "b").await);
    let judge = async |now_ms, judged: &[Judgement]| store.judgements(site, now_ms, judged).await.unwrap();
    let list = async |open_only| store.violations(site, open_only, 0, 10).await.unwrap();
    judge(10, &[judgement("a", Some(true)), judgement("b", Some(false)), judgement("c", None)]).await;
    let first = list(false).await;
    assert_eq!(
        first,
        [Violation {
            id: first[0].id,
            judgement: judgement("a", Some(true)),
            opened_ms: 10,
            last_seen_ms: 10,
            resolved_ms: None,
            dismissed: None,
        }]
    );
    judge(20, &[Judgement { n: 200, measured: None, device: None, ..judgement("a", Some(true)) }]).await;
    let renewed = list(true).await;
    assert_eq!((renewed.len(), renewed[0].id), (1, first[0].id));
    assert_eq!((renewed[0].opened_ms, renewed[0].last_seen_ms, renewed[0].judgement.n), (10, 20, 200));
    assert_eq!((renewed[0].judgement.measured, renewed[0].judgement.device), (None, None));
    judge(30, &[judgement("a", None)]).await;
    assert_eq!(list(true).await, renewed, "an undecided judgement changes nothing");
    judge(40, &[judgement("a", Some(false)), judgement("b", Some(true))]).await;
    let both = list(false).await;
    assert_eq!(both.iter().map(|v| v.judgement.key.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!((both[1].resolved_ms, both[1].last_seen_ms), (Some(40), 20));
    judge(50, &[judgement("a", Some(true))]).await;
    let again = list(false).await;
    let order: Vec<(&str, i64)> = again.iter().map(|v| (v.judgement.key.as_str(), v.opened_ms)).collect();
    assert_eq!(order, [("a", 50), ("b", 40), ("a", 10)]);
    assert!(again[0].id > again[1].id && again[1].id > again[2].id);
    assert_eq!(list(true).await, again[..2]);
    assert_eq!(store.violations(site, false, 1, 1).await.unwrap(), again[1..2]);
    assert!(store.violations(other, false, 0, 10).await.unwrap().is_empty());
    let dismiss = async |id| store.violation_dismiss(site, id, 60, "ada").await.unwrap();
    assert_eq!([dismiss(again[0].id).await, dismiss(again[0].id).await], [true, false], "once");
    assert!(!dismiss(again[2].id).await && !dismiss(99).await, "only open ones");
    judge(70, &[judgement("a", Some(true))]).await;
    let left = list(false).await;
    let order: Vec<(i64, i64)> = left.iter().map(|v| (v.opened_ms, v.last_seen_ms)).collect();
    assert_eq!(order, [(40, 40), (50, 70), (10, 20)], "a dismissed one is renewed, after the open ones");
    assert_eq!(
        (left[1].dismissed.clone(), list(true).await),
        (Some((60, "ada".to_owned())), left[..1].to_vec())
    );
    judge(80, &[judgement("a", Some(false))]).await;
    judge(90, &[judgement("a", Some(true))]).await;
    let opened: Vec<i64> = list(true).await.iter().map(|v| v.opened_ms).collect();
    assert_eq!(opened, [90, 40], "after a kept judgement, the next violation is open");
    let opened: Vec<i64> = list(false).await.iter().map(|v| v.opened_ms).collect();
    assert_eq!(opened, [90, 40, 50, 10], "resolved ones are newest first, dismissed or not");
    assert!(dismiss(list(true).await[1].id).await);
    let opened: Vec<i64> = list(false).await.iter().map(|v| v.opened_ms).collect();
    assert_eq!(opened, [90, 40, 50, 10], "dismissed ones are before the resolved ones");
    let nobody = store.judgements(SiteId(999_999), 0, &[]).await;
    assert!(matches!(nobody, Err(StoreError::NoSuchSite)));
}

/// Two concurrent loaders with different updates of the same views produce the result of one.
pub async fn concurrent_loaders_agree(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let batch = |spool: u8, round: u32| -> Vec<_> {
        (0..40_u32)
            .map(|i| {
                let mut update = update(
                    DAY0_MS + i64::from(i % 20),
                    u128::from(i),
                    &[(Metric::Lcp, f64::from(round * 7 + i))],
                );
                update.source =
                    if i % 4 == 0 { Source::Foreign } else { Source::Own { seq: (round * 5 + i) % 9 } };
                update.received_ms = i64::from((round * 3 + u32::from(spool)) % 11);
                update.route = format!("/{}", (round + i + u32::from(spool)) % 5);
                update
            })
            .collect()
    };
    let loaders: Vec<_> = [1_u8, 2, 3]
        .into_iter()
        .map(|spool| {
            let store = Arc::clone(&store);
            let batches: Vec<_> = (0..12).map(|round| batch(spool, round)).collect();
            tokio::spawn(async move {
                for batch in batches {
                    load(&store, site, spool, batch).await.unwrap();
                }
            })
        })
        .collect();
    for loader in loaders {
        loader.await.unwrap();
    }
    let mut model = Model::default();
    model.site_add(site);
    for spool in [3, 1, 2] {
        let beacons =
            (0..12).rev().flat_map(|round| batch(spool, round)).map(|update| vec![update]).collect();
        model
            .load(LoadBatch {
                site,
                spool: SpoolId([spool; 16]),
                after: 0,
                up_to: 1,
                beacons,
                senders: Senders::Unknown,
            })
            .unwrap();
    }
    let query = CellQuery::new(site, DAY0_MS, DAY1_MS);
    assert_eq!(cells(&store, &query).await, model.cells(&query).rows);
    fold(&store).await;
    assert_eq!(cells(&store, &query).await, model.cells(&query).rows);
}

/// Each answer reads one snapshot while loads and maintenance run.
pub async fn a_question_beside_loads_and_maintenance_sees_one_state(store: Arc<dyn Store>) {
    const LOADS: i64 = 60;
    let site = site(&store, "a").await;
    let loader = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for i in 0..LOADS {
                // Three views at once, in different hours and days.
                let batch = [0, HOUR_MS, DAY_MS].map(|at| update(DAY0_MS + at + i, 1, &[(Metric::Lcp, 1.0)]));
                load(&store, site, 1, batch.into()).await.unwrap();
            }
        }
    });
    let maintainer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for _ in 0..LOADS / 3 {
                store.maintain(DAY1_MS, Retention::default()).await.unwrap();
            }
        }
    });
    let mut seen = 0;
    while seen < LOADS * 3 {
        let found = cells(&store, &CellQuery::new(site, DAY0_MS, DAY1_MS + 2 * HOUR_MS)).await;
        let views = found.iter().map(|cell| cell.cell.views).sum();
        let measured: i64 = found.iter().map(|cell| cell.cell.metric(Metric::Lcp).n()).sum();
        assert!(views >= seen, "what was counted stays counted: {seen}, then {views}");
        assert_eq!(views % 3, 0, "a load is seen whole");
        assert_eq!(views, measured);
        seen = views;
    }
    loader.await.unwrap();
    maintainer.await.unwrap();
}

/// Past its dimension's bound, a label is counted under `(other)`. Routes and labels without data free their places.
pub async fn labels_have_a_bound(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let max = limits::BROWSERS_PER_SITE_MAX;
    let of_browser = |i: usize, at_ms: i64| {
        let mut update = update(at_ms, i as u128, &[(Metric::Lcp, 1.0)]);
        update.browser = Some(format!("b{i}"));
        update
    };
    load(&store, site, 1, (0..max + 3).map(|i| of_browser(i, DAY0_MS)).collect()).await.unwrap();
    let query = CellQuery::new(site, DAY0_MS, DAY1_MS);
    for folded in [false, true] {
        if folded {
            fold(&store).await;
        }
        let found = store.breakdown(&query, GroupBy::Rolled(Dimension::Browser)).await.unwrap().rows;
        assert_eq!(found.len(), max + 1);
        assert_eq!((found[0].value.as_deref(), found[0].cell.views), (Some(OTHER), 3));
        let one = Filters { browser: Some("b3".to_owned()), ..Filters::NONE };
        assert_eq!(counts(&cells(&store, &CellQuery { filters: one, ..query.clone() }).await), [("/", 1)]);
    }
    // A month later, the old browsers no longer hold places.
    let later_ms = DAY0_MS + 40 * DAY_MS;
    store.maintain(later_ms, Retention::default()).await.unwrap();
    load(&store, site, 1, vec![of_browser(max + 1, later_ms)]).await.unwrap();
    let query = CellQuery::new(site, later_ms, later_ms + DAY_MS);
    let found = store.breakdown(&query, GroupBy::Rolled(Dimension::Browser)).await.unwrap().rows;
    assert_eq!(found[0].value, Some(format!("b{}", max + 1)));
    // A name is deleted with the last data that uses it.
    let retention = Retention { raw_days: 1, hourly_days: 1, daily_days: 2 };
    let done = store.maintain(later_ms + DAY_MS, retention).await.unwrap();
    assert!(done.names_removed >= max as u64, "{done:?}");
    assert_eq!(store.breakdown(&query, GroupBy::Rolled(Dimension::Browser)).await.unwrap().rows, found);
}

/// A copied site, with raw page views and old rollups, gives the same answers.
pub async fn a_copy_answers_as_the_original(store: Arc<dyn Store>) {
    let old = site(&store, "old").await;
    let mut model = Model::default();
    let mut updates = Vec::new();
    for i in 0..200_i64 {
        let mut update =
            update(DAY0_MS + i * HOUR_MS, i as u128, &[(Metric::Lcp, i as f64), (Metric::Cls, 0.1)]);
        update.route = format!("/{}", i % 3);
        update.country = (i % 4 > 0).then(|| format!("C{}", i % 4));
        update.device = Device::from_number((i % 4) as u8);
        update.os = Os::from_number((i % 8) as u8);
        update.url = format!("https://shop.example/{i}");
        update.weight = Weight::of_sample(if i % 2 == 0 { 0.3 } else { 1.0 });
        if i % 7 == 1 {
            update.context = explained(0, 0, &format!("#e{}", i % 3), "https://shop.example/app.js").context;
        }
        if i % 5 == 0 {
            update.source = Source::Foreign;
        }
        updates.push(update);
    }
    load(&store, old, 1, updates.clone()).await.unwrap();
    let now_ms = DAY0_MS + 9 * DAY_MS;
    let retention = Retention { raw_days: 4, hourly_days: 6, daily_days: 100 };
    store.maintain(now_ms, retention).await.unwrap();
    model.site_add(old);
    let beacons = updates.into_iter().map(|update| vec![update]).collect();
    model
        .load(LoadBatch {
            site: old,
            spool: SpoolId([1; 16]),
            after: 0,
            up_to: 1,
            beacons,
            senders: Senders::Unknown,
        })
        .unwrap();
    model.maintain(now_ms, retention);

    let original = store.sites().await.unwrap().remove(0);
    assert!(matches!(store.site_put(&original).await, Err(StoreError::SiteExists(_))));
    let keys =
        original.keys.iter().map(|key| crate::SiteKey { key: format!("new-{}", key.key), ..key.clone() });
    let renamed = crate::Site { name: "new".to_owned(), keys: keys.collect(), ..original.clone() };
    let copied = store.site_put(&renamed).await.unwrap();
    assert_eq!(copied, crate::Site { id: copied.id, ..renamed });

    let retained = store.retention_edges().await.unwrap();
    store.keep(retained).await.unwrap();
    assert_eq!(store.retention_edges().await.unwrap(), retained);
    let (mut after, mut count) = (None, 0);
    while let views = store.views(old, after, 7).await.unwrap()
        && !views.is_empty()
    {
        count += views.len() as u64;
        after = views.last().map(|view| view.update.id);
        assert_eq!(store.view_at(old, count).await.unwrap(), after);
        load(&store, copied.id, 2, views.iter().flat_map(StoredView::updates).collect()).await.unwrap();
    }
    assert_eq!(store.view_at(old, count + 1).await.unwrap(), None);
    let mut after = None;
    while let groups = store.rollups(old, after, 10).await.unwrap()
        && let Some(last) = groups.last()
    {
        after = Some((last.key.grain, last.key.start_ms));
        // Writes twice, as a resumed copy does.
        for _ in 0..2 {
            store.rollups_put(copied.id, groups.clone()).await.unwrap();
        }
    }
    let site_size = store.site_size(old).await.unwrap();
    assert_eq!((site_size.views, site_size.counted), (count, 200));
    assert_eq!(store.site_size(copied.id).await.unwrap(), site_size);
    for from_ms in [DAY0_MS, now_ms - 3 * DAY_MS, now_ms - 5 * DAY_MS + HOUR_MS] {
        let all = store.views(old, None, 1_000).await.unwrap();
        assert_eq!(store.views(copied.id, None, 1_000).await.unwrap(), all);
        for site in [old, copied.id] {
            let query = CellQuery::new(site, from_ms, now_ms);
            let expected = model.cells(&CellQuery { site: old, ..query.clone() }).rows;
            assert_eq!(cells(&store, &query).await, expected);
            let by_country = GroupBy::Rolled(Dimension::Country);
            let by = store.breakdown(&query, by_country).await.unwrap().rows;
            assert_eq!(by, model.breakdown(&CellQuery { site: old, ..query }, by_country).rows);
        }
    }
}

/// Rebuilding rollups during loads and folds counts nothing twice and loses nothing.
pub async fn rollups_are_rebuilt_beside_loads(store: Arc<dyn Store>) {
    const LOADS: i64 = 40;
    let site = site(&store, "a").await;
    let loader = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for i in 0..LOADS {
                let mut batch: Vec<_> =
                    (0..5).map(|j| update(DAY0_MS + j * HOUR_MS + i, 1, &[(Metric::Lcp, 1.0)])).collect();
                // One view changes with every load.
                let mut again = update(DAY0_MS, 7, &[(Metric::Lcp, i as f64)]);
                again.source = Source::Own { seq: i as u32 };
                batch.push(again);
                load(&store, site, 1, batch).await.unwrap();
            }
        }
    });
    let mut rounds = 0;
    while !loader.is_finished() || rounds < 3 {
        rounds += 1;
        store.rebuild_day(site, DAY0_MS).await.unwrap();
        assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
        fold(&store).await;
        assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
    }
    loader.await.unwrap();
    let rebuilt = store.rebuild_day(site, DAY0_MS).await.unwrap();
    assert_eq!(rebuilt.views, LOADS as u64 * 5 + 1);
    assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
    let found = cells(&store, &CellQuery::new(site, DAY0_MS, DAY1_MS)).await;
    assert_eq!(counts(&found), [("/", LOADS * 5 + 1)]);
}

/// Rebuilds a day while page views of it are erased and loaded.
///
/// # Panics
/// If the store behaves otherwise.
pub async fn rollups_are_rebuilt_beside_erasures(store: Arc<dyn Store>) {
    const HOURS: i64 = 12;
    let site = site(&store, "a").await;
    let view = |hour: i64, i: i64| update(DAY0_MS + hour * HOUR_MS + i, 1, &[(Metric::Lcp, 10.0 * i as f64)]);
    for hour in 0..2 * HOURS {
        load(&store, site, 1, (0..20).map(|i| view(hour, i)).collect()).await.unwrap();
    }
    let eraser = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for hour in 0..HOURS {
                let from_ms = DAY0_MS + hour * HOUR_MS;
                let erase = Erase { site, from_ms, to_ms: from_ms + HOUR_MS, url: None };
                while store.erase(&erase).await.unwrap().more {}
                load(&store, site, 1, vec![view(HOURS, 100 + hour)]).await.unwrap();
            }
        }
    });
    let mut rounds = 0;
    while !eraser.is_finished() || rounds < 3 {
        rounds += 1;
        store.rebuild_day(site, DAY0_MS).await.unwrap();
        assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
        fold(&store).await;
        assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
    }
    eraser.await.unwrap();
    let found = cells(&store, &CellQuery::new(site, DAY0_MS, DAY1_MS)).await;
    assert_eq!(counts(&found), [("/", HOURS * 20 + HOURS)]);
    assert_eq!(store.rebuild_day(site, DAY0_MS).await.unwrap().views, (HOURS * 20 + HOURS).unsigned_abs());
    assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
}

/// Loads weeks of more releases than the codes of years. `history` adds as many earlier releases as may be kept; its
/// arguments are the site, their number, and their first and last UTC day since 1970. Loads succeed, and the newest
/// releases get codes of their own.
pub async fn releases_come_and_go(store: Arc<dyn Store>, history: impl Fn(SiteId, usize, i64, i64)) {
    let site = site(&store, "a").await;
    let retention = Retention { raw_days: 2, hourly_days: 2, daily_days: 400 };
    store.maintain(DAY0_MS, retention).await.unwrap();
    let today = DAY0_MS / DAY_MS;
    history(site, limits::LABELS_KEPT_MAX, today - 400, today - 3);
    let (mut removed, mut own) = (0, Vec::new());
    for day in 0..8 {
        let start_ms = DAY0_MS + day * DAY_MS;
        let releases = (0..400).map(|i| {
            let mut update = update(start_ms, i, &[(Metric::Lcp, 1.0)]);
            update.release = Some(format!("r{day}-{i}"));
            update
        });
        load(&store, site, 1, releases.collect()).await.unwrap();
        let found = store
            .breakdown(&CellQuery::new(site, start_ms, start_ms + 1), GroupBy::Rolled(Dimension::Release))
            .await
            .unwrap();
        assert_eq!(found.rows.iter().map(|one| one.cell.views).sum::<i64>(), 400);
        own.push(found.rows.iter().filter(|one| one.value.as_deref() != Some(OTHER)).count());
        removed += store.maintain(start_ms + DAY_MS, retention).await.unwrap().names_removed;
    }
    assert!(removed > 700, "{removed}");
    // On the first day every code is taken. Later releases get the codes that the oldest days free.
    assert_eq!(own[0], 0);
    assert!(own[1..].windows(3).all(|days| days.iter().sum::<usize>() >= 200), "{own:?}");
}
