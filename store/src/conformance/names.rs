//! Cases about names and their places.

use super::cases::{cells, fold};
use super::{DAY0_MS, load, load_from, site, update};
use crate::dimension::OTHER;
use crate::limits;
use crate::place::{Name, Network, Overflow, Senders, Standing};
use crate::rollup::DAY_MS;
use crate::{CellQuery, DeployMark, Dimension, Erase, GroupBy, SiteId, Store, StoredView};
use std::sync::Arc;
use vitals::metric::Metric;

const DAY1_MS: i64 = DAY0_MS + DAY_MS;

/// The networks of beacons, one each.
fn networks(site: SiteId, numbers: impl IntoIterator<Item = u64>) -> Senders {
    Senders::Networks(numbers.into_iter().map(|number| Network::of(site, number)).collect())
}

/// A flood of made-up routes and releases from few networks keeps no name of another network out; erasing it frees
/// its places.
pub async fn flood_of_names_keeps_no_other_name_out(store: Arc<dyn Store>) {
    const NETWORKS: usize = 20;
    let site = site(&store, "a").await;
    let of = |number: usize, name: &str| {
        let mut update = update(DAY0_MS + number as i64, number as u128, &[(Metric::Lcp, 1.0)]);
        update.route = format!("/{name}");
        update.release = Some(name.to_owned());
        update
    };
    let count = limits::ROUTES_PER_SITE_MAX + 240;
    let numbers: Vec<usize> = (0..count).collect();
    for part in numbers.chunks(700) {
        let flood = part.iter().map(|&number| of(number, &format!("made-up-{number}"))).collect();
        let senders = networks(site, part.iter().map(|&number| (number % NETWORKS) as u64));
        load_from(&store, site, 1, flood, senders).await.unwrap();
    }
    // Names of other networks, a load each; and one of a network of the flood, in one load often enough.
    for visitor in 0..5 {
        let new = of(count + visitor, &format!("new-{visitor}"));
        let report =
            load_from(&store, site, 1, vec![new], networks(site, [100 + visitor as u64])).await.unwrap();
        assert_eq!(report.overflow, Overflow::default(), "visitor {visitor}");
    }
    // Of two releases from a network of the flood, the one with a deploy mark has a place.
    store
        .deploy_marks_put(site, &[DeployMark { release: "deployed".to_owned(), at_ms: DAY0_MS }])
        .await
        .unwrap();
    for (number, name, others) in [(20, "unknown", 1), (21, "deployed", 0)] {
        let mut new = of(count + number, name);
        new.route = "/new-0".to_owned();
        let report = load_from(&store, site, 1, vec![new], networks(site, [0])).await.unwrap();
        assert_eq!(report.overflow.labels[Dimension::Release.index()], others, "{name}");
    }
    let often = (0..limits::NAME_SIGHTINGS_MIN).map(|i| of(count + 10 + i, "often"));
    let senders = networks(site, [0; limits::NAME_SIGHTINGS_MIN]);
    load_from(&store, site, 1, often.collect(), senders).await.unwrap();
    for folded in [false, true] {
        if folded {
            fold(&store).await;
        }
        let routes = store.routes(site, DAY0_MS, DAY1_MS).await.unwrap();
        let query = CellQuery::new(site, DAY0_MS, DAY1_MS);
        let releases = store.breakdown(&query, GroupBy::Rolled(Dimension::Release)).await.unwrap();
        assert!(releases.rows.iter().any(|one| one.value.as_deref() == Some("deployed")));
        for name in ["new-0", "new-1", "new-2", "new-3", "new-4", "often"] {
            assert!(routes.contains(&format!("/{name}")), "{name}");
            assert!(releases.rows.iter().any(|one| one.value.as_deref() == Some(name)), "{name}");
        }
        assert!(routes.iter().any(|route| route == OTHER));
        assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
    }
    // The same beacons again change nothing, whatever happened to their names.
    let again = load(&store, site, 2, vec![of(0, "made-up-0"), of(count, "new-0")]).await.unwrap();
    assert_eq!((again.loaded, again.superseded), (0, 2));

    let end_ms = DAY0_MS + count as i64;
    let erase = Erase { site, url: None, from_ms: DAY0_MS, to_ms: end_ms };
    while store.erase(&erase).await.unwrap().more {}
    let held = |names: &[Name]| names.iter().filter(|name| name.place.standing > Standing::None).count();
    let names = store.names(site).await.unwrap();
    assert_eq!(held(&names), 13, "six routes and seven releases are left");
    // As many names of one batch have places as at the beginning.
    let more = (0..1_000).map(|i| of(count + 100 + i, &format!("more-{i}"))).collect();
    let report = load_from(&store, site, 1, more, networks(site, [7; 1_000])).await.unwrap();
    assert_eq!(report.overflow, Overflow::default());
    assert_eq!(held(&store.names(site).await.unwrap()), 13 + 2_000);
    assert_eq!(store.free_names(site).await.unwrap(), 0, "each of them has a page view");
    assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
}

/// A store with more names than places is copied name by name, in loads of any size.
pub async fn copy_of_a_crowded_site_has_the_same_names(store: Arc<dyn Store>) {
    let old = site(&store, "old").await;
    let count = limits::ROUTES_PER_SITE_MAX + 100;
    let of = |number: usize| {
        let mut update = update(DAY0_MS + number as i64, number as u128, &[]);
        update.route = format!("/r{number}");
        update.connection = Some(format!("c{}", number % 20));
        update.release = Some(format!("v{number}"));
        update
    };
    let senders = networks(old, (0..count).map(|number| number as u64 % 30));
    load_from(&store, old, 1, (0..count).map(of).collect(), senders).await.unwrap();
    let new = site(&store, "new").await;
    let names = store.names(old).await.unwrap();
    for names in names.chunks(999) {
        // Twice, as when a copy is resumed.
        store.names_put(new, names).await.unwrap();
        store.names_put(new, names).await.unwrap();
    }
    assert_eq!(store.names(new).await.unwrap(), names);
    let mut after = None;
    while let views = store.views(old, after, 700).await.unwrap()
        && !views.is_empty()
    {
        after = views.last().map(|view| view.update.id);
        let updates = views.iter().flat_map(StoredView::updates).collect();
        load_from(&store, new, 2, updates, Senders::Store).await.unwrap();
    }
    assert_eq!(store.names(new).await.unwrap(), names);
    let of_site = |site| CellQuery::new(site, DAY0_MS, DAY1_MS);
    let routes = cells(&store, &of_site(old)).await;
    assert!(routes.iter().any(|one| one.route == OTHER));
    assert_eq!(cells(&store, &of_site(new)).await, routes);
    for dimension in Dimension::ALL {
        let by = GroupBy::Rolled(dimension);
        assert_eq!(
            store.breakdown(&of_site(new), by).await.unwrap(),
            store.breakdown(&of_site(old), by).await.unwrap(),
            "{}",
            dimension.name()
        );
    }
}
