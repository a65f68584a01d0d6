//! Cases of passes: loads of many sites.

use super::cases::{cells, counts, fold};
use super::{DAY0_MS, site, update};
use crate::rollup::DAY_MS;
use crate::{
    CellQuery, Context, Detail, LoadBatch, LoadReport, Network, Senders, SiteId, Source, SpoolId, Store,
    StoreError, ViewUpdate,
};
use std::sync::Arc;
use vitals::attribution::Attribution;
use vitals::metric::Metric;

const SPOOL: SpoolId = SpoolId([1; 16]);

fn batch(site: SiteId, (after, up_to): (u64, u64), updates: Vec<ViewUpdate>) -> LoadBatch {
    // One network for all sites, so that their names are equal.
    let senders = Senders::Networks(updates.iter().map(|_| Network::of(SiteId(0), 1)).collect());
    let beacons = updates.into_iter().map(|update| vec![update]).collect();
    LoadBatch { site, spool: SPOOL, after, up_to, beacons, senders }
}

/// One day of views of a site: names, texts and values differ from site to site.
fn views(number: usize, seq: u32) -> Vec<ViewUpdate> {
    let of = |i: usize| {
        let mut view = update(DAY0_MS + i as i64, i as u128, &[(Metric::Lcp, (number * 100 + i) as f64)]);
        view.source = Source::Own { seq };
        view.route = format!("/{}/{}", number % 3, (i + seq as usize) % 2);
        view.browser = Some(format!("b{}", number % 2));
        view.release = Some(format!("r{}", i % 2));
        let tags = vec![("plan".to_owned(), format!("p{number}"))];
        view.context = Context { detail: Detail::new(Attribution::NONE, tags, Vec::new()), ..Context::NONE };
        view
    };
    (0..3).map(of).collect()
}

/// A pass loads every site but those that were deleted or whose cursor is elsewhere, and names these.
pub async fn pass_loads_all_sites_but_those_that_it_names(store: Arc<dyn Store>) {
    let mut sites = Vec::new();
    for name in ["a", "b", "c", "d"] {
        sites.push(site(&store, name).await);
    }
    store.load(batch(sites[1], (0, 7), views(1, 1))).await.unwrap();
    store.site_delete(sites[2]).await.unwrap();
    // Not in the order of the sites.
    let order = [3, 2, 1, 0];
    let pass = order.map(|place| batch(sites[place], (0, 9), views(place, 2))).to_vec();
    let outcomes = store.load_pass(pass).await.unwrap();
    let whole = LoadReport { loaded: 3, ..LoadReport::default() };
    assert!(matches!(outcomes[0], Ok(report) if report == whole), "{outcomes:?}");
    assert!(matches!(outcomes[1], Err(StoreError::NoSuchSite)), "{outcomes:?}");
    assert!(matches!(outcomes[2], Err(StoreError::CursorMoved { at: 7, expected: 0 })), "{outcomes:?}");
    assert!(matches!(outcomes[3], Ok(report) if report == whole), "{outcomes:?}");
    for (place, expected) in [(0, 9), (1, 7), (2, 0), (3, 9)] {
        assert_eq!(store.cursor(sites[place], SPOOL).await.unwrap(), expected, "site {place}");
    }
    let seq_1 = store.view(sites[1], views(1, 1)[0].id).await.unwrap().unwrap();
    assert_eq!(seq_1.update, views(1, 1)[0], "the site with another cursor is as it was");

    // A pass in which no site is loaded.
    let outcomes = store.load_pass(vec![batch(sites[2], (0, 9), views(2, 1))]).await.unwrap();
    assert!(matches!(outcomes[..], [Err(StoreError::NoSuchSite)]), "{outcomes:?}");
    assert!(store.load_pass(Vec::new()).await.unwrap().is_empty());
}

/// A store that was loaded in passes of all sites answers as one that was loaded site by site.
pub async fn pass_of_many_sites_equals_loads_of_each(store: Arc<dyn Store>) {
    const SITES: usize = 20;
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    for number in 0..SITES {
        together.push(site(&store, &format!("together {number}")).await);
        alone.push(site(&store, &format!("alone {number}")).await);
    }
    // The second round replaces views, and moves them to other routes.
    for round in 1..=2_u32 {
        let cursor = (u64::from(round) - 1, u64::from(round));
        let pass = (0..SITES).map(|number| batch(together[number], cursor, views(number, round))).collect();
        let outcomes = store.load_pass(pass).await.unwrap();
        for number in 0..SITES {
            let expected = store.load(batch(alone[number], cursor, views(number, round))).await.unwrap();
            assert!(matches!(outcomes[number], Ok(report) if report == expected), "{number}: {outcomes:?}");
        }
        for folded in [false, true] {
            if folded {
                fold(&store).await;
            }
            for number in 0..SITES {
                let of = |site| CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS);
                let found = cells(&store, &of(together[number])).await;
                assert_eq!(found, cells(&store, &of(alone[number])).await, "site {number}, round {round}");
                assert_eq!(counts(&found).iter().map(|(_, views)| views).sum::<i64>(), 3);
                for view in views(number, round) {
                    let stored = store.view(together[number], view.id).await.unwrap();
                    assert_eq!(stored.map(|stored| stored.update), Some(view));
                }
                let names = store.names(together[number]).await.unwrap();
                assert_eq!(names, store.names(alone[number]).await.unwrap());
            }
        }
    }
}

/// A pass that cannot be written leaves all of its sites as they were.
pub async fn pass_with_a_fault_changes_nothing(store: Arc<dyn Store>) {
    let sites = [site(&store, "a").await, site(&store, "b").await];
    // No column takes such a position.
    let pass = vec![batch(sites[0], (0, 1), views(0, 1)), batch(sites[1], (0, u64::MAX), views(1, 1))];
    assert!(matches!(store.load_pass(pass).await, Err(StoreError::Database { transient: false, .. })));
    for site in sites {
        assert_eq!(store.cursor(site, SPOOL).await.unwrap(), 0);
        assert_eq!(cells(&store, &CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS)).await, []);
    }
}
