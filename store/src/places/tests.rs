use super::*;
use crate::context::Context;
use crate::view::Source;
use crate::{Retention, SiteId, Weight};
use std::collections::BTreeMap;
use vitals::metric::Values;
use vitals::view::ViewId;

const TODAY: i32 = 20_412;
const PLACES: usize = limits::ROUTES_PER_SITE_MAX;

fn update(route: &str, day: i32) -> ViewUpdate {
    let at_ms = i64::from(day) * DAY_MS;
    ViewUpdate {
        id: ViewId::new(at_ms.unsigned_abs(), 1),
        source: Source::Own { seq: 1 },
        received_ms: at_ms,
        url: String::new(),
        route: route.to_owned(),
        navigation_type: None,
        device: None,
        browser: None,
        os: None,
        connection: None,
        country: None,
        release: None,
        values: Values::EMPTY,
        tti_gap: None,
        weight: Weight::ONE,
        context: Context::NONE,
    }
}

fn network(number: u64) -> Network {
    Network::of(SiteId(1), number)
}

/// The routes of a site, as a store keeps them.
#[derive(Default)]
struct Routes {
    rows: BTreeMap<String, Stored>,
    rules: Vec<String>,
}

impl Routes {
    /// Loads a beacon a name; returns the names under which they are counted.
    fn load(&mut self, day: i32, named: &[(String, u64)]) -> Vec<String> {
        let mut beacons: Vec<Vec<ViewUpdate>> =
            named.iter().map(|(route, _)| vec![update(route, day)]).collect();
        let senders = Senders::Networks(named.iter().map(|&(_, number)| network(number)).collect());
        let asked: std::collections::BTreeSet<&String> = named.iter().map(|(route, _)| route).collect();
        let known = asked.iter().filter_map(|route| Some(((*route).clone(), *self.rows.get(*route)?)));
        let mut pool = Pool::new(day - 30, day, known);
        if pool.lacks_places(asked.len()) {
            pool.fill(Bounds::routes(&self.rules), self.rows.values().copied());
        }
        let others = pool.decide(&mut beacons, &senders, |update| Some(&mut update.route));
        let decided = Decided { routes: pool.given(), today: day, ..Decided::default() };
        let mut changes = Changes::default();
        for (route, given) in &decided.routes {
            let key = match self.rows.get(route) {
                Some(stored) => stored.key,
                None => {
                    let key = self.rows.len() as i64;
                    self.rows.insert(route.clone(), Stored { key, last_day: day, place: given.place });
                    key
                }
            };
            changes.put(key, Some(given), &decided);
        }
        let changes: BTreeMap<i64, Place> = changes.iter().collect();
        let counted: Vec<String> = beacons.into_iter().flatten().map(|update| update.route).collect();
        for (route, stored) in &mut self.rows {
            stored.place = changes.get(&stored.key).copied().unwrap_or(stored.place);
            if counted.contains(route) {
                stored.last_day = day;
            }
        }
        assert_eq!(counted.iter().filter(|name| *name == OTHER).count() as u64, others);
        let recent = self.rows.values().filter(|stored| stored.last_day >= day - 30);
        let held = recent.filter(|stored| stored.place.standing > Standing::None).count();
        assert!(held <= PLACES + self.rules.len(), "{held}");
        counted
    }

    fn one(&mut self, day: i32, route: &str, network: u64) -> bool {
        self.load(day, &[(route.to_owned(), network)]) == [route]
    }

    /// A flood of made-up names, from networks in turn, in some loads.
    fn flood(&mut self, day: i32, count: usize, networks: u64) {
        let names: Vec<(String, u64)> =
            (0..count).map(|i| (format!("/made-up/{day}/{i}"), 1_000 + i as u64 % networks)).collect();
        for part in names.chunks(500) {
            self.load(day, part);
        }
    }
}

#[test]
fn flood_from_any_few_networks_keeps_no_name_of_others_out() {
    for networks in [1, 2, 20] {
        let mut routes = Routes::default();
        routes.flood(TODAY, 2_240, networks);
        routes.flood(TODAY + 1, 2_240, networks);
        for visitor in 0..60 {
            let route = format!("/new/{visitor}");
            assert!(routes.one(TODAY + 1, &route, visitor), "{networks} networks, {route}");
            assert!(routes.one(TODAY + 1, &route, visitor + 1), "it stays");
        }
    }
}

#[test]
fn flood_displaces_no_earned_name() {
    let mut routes = Routes::default();
    let known: Vec<(String, u64)> = (0..100).map(|i| (format!("/known/{i}"), 1)).collect();
    routes.load(TODAY, &known);
    let again: Vec<(String, u64)> = known.iter().map(|(route, _)| (route.clone(), 2)).collect();
    routes.load(TODAY + 1, &again);
    for day in 1..40 {
        routes.flood(TODAY + day, 4_000, 50);
        for (route, _) in &known {
            let place = routes.rows[route].place;
            assert_eq!((place.standing, place.network), (Standing::Earned, None), "{route}");
        }
        routes.load(TODAY + day, &known);
    }
}

#[test]
fn network_gets_no_more_than_its_share_of_free_places() {
    let mut routes = Routes::default();
    routes.flood(TODAY, PLACES, 1);
    let held = routes.rows.values().filter(|stored| stored.place.standing > Standing::None).count();
    assert_eq!(held, PLACES * 3 / 4);
}

#[test]
fn frequent_name_displaces_one_of_its_own_network_that_was_seen_once() {
    let mut routes = Routes::default();
    routes.flood(TODAY, PLACES, 1);
    assert!(!routes.one(TODAY, "/new", 1_000), "behind one network a view is no better than another");
    let visits = vec![("/new".to_owned(), 1_000); limits::NAME_SIGHTINGS_MIN];
    assert_eq!(routes.load(TODAY, &visits), ["/new"; limits::NAME_SIGHTINGS_MIN]);
    assert!(routes.one(TODAY, "/new", 1_000));
    assert!(
        routes.one(TODAY + 1, "/next-day", 1_000),
        "names of an earlier day that were seen once are weak"
    );
}

#[test]
fn displacements_of_a_day_are_bounded() {
    let mut routes = Routes::default();
    routes.flood(TODAY, 3_000, 20);
    let given = (0..3_000).filter(|&visitor| routes.one(TODAY, &format!("/new/{visitor}"), visitor)).count();
    assert!(given <= limits::NAMES_DISPLACED_PER_DAY_MAX, "{given}");
    assert!(given > limits::NAMES_DISPLACED_PER_DAY_MAX / 2, "{given}");
    assert!(routes.one(TODAY + 1, "/tomorrow", 5_000));
}

#[test]
fn route_of_a_rule_has_a_place_in_a_full_site() {
    let mut routes = Routes { rules: vec!["/shop/:id".to_owned()], ..Routes::default() };
    routes.flood(TODAY, PLACES * 2, 1);
    assert!(routes.one(TODAY, "/shop/:id", 1_000));
    assert!(!routes.one(TODAY, "/shop/1", 1_000));
}

#[test]
fn name_that_was_not_seen_within_retention_leaves_its_place() {
    let mut routes = Routes::default();
    routes.flood(TODAY, PLACES, 40);
    assert_eq!(routes.load(TODAY + 31, &[("/new".to_owned(), 1_000)]), ["/new"]);
    let occupied = routes.rows.values().filter(|stored| stored.last_day > TODAY).count();
    assert_eq!(occupied, 1);
}

#[test]
fn effective_connection_types_have_places_among_made_up_ones() {
    let retained = RetentionEdges::EVERYTHING;
    let mut pool = Pool::new(TODAY - 30, TODAY, []);
    pool.fill(Bounds::labels(Dimension::Connection, &retained, 0, TODAY, &[]), []);
    let mut names: Vec<String> = (0..40).map(|i| format!("made-up-{i}")).collect();
    names.extend(CONNECTIONS.map(str::to_owned));
    let mut beacons: Vec<Vec<ViewUpdate>> = names
        .iter()
        .map(|name| vec![ViewUpdate { connection: Some(name.clone()), ..update("/", TODAY) }])
        .collect();
    pool.decide(&mut beacons, &Senders::Unknown, |update| update.connection.as_mut());
    let told: Vec<String> = beacons.into_iter().flatten().filter_map(|update| update.connection).collect();
    assert_eq!(told[40..], CONNECTIONS);
    assert_eq!(told.iter().filter(|name| *name != OTHER).count(), limits::CONNECTIONS_PER_SITE_MAX + 4);
}

#[test]
fn labels_find_codes_for_as_long_as_they_are_kept() {
    let today_ms = 20_000 * DAY_MS;
    for (raw_days, daily_days) in [(30, 762), (2, 762), (7, 365), (2, 3_660), (3_660, 3_660)] {
        let retention = Retention { raw_days, hourly_days: 1, daily_days };
        let retained = RetentionEdges::EVERYTHING.after(today_ms, retention);
        let max = labels_max(Dimension::Release, &retained, today_ms);
        let windows = daily_days.div_ceil(raw_days) as usize + 1;
        assert!(
            max > 0 && max * windows <= limits::LABELS_KEPT_MAX + max,
            "{raw_days} of {daily_days}: {max}"
        );
    }
    let retained = RetentionEdges::EVERYTHING.after(today_ms, Retention::default());
    for dimension in Dimension::LABELLED {
        assert_eq!(labels_max(dimension, &retained, today_ms), dimension.labels_max(), "by default");
    }
    assert_eq!(
        labels_max(Dimension::Release, &RetentionEdges::EVERYTHING, today_ms),
        limits::RELEASES_PER_SITE_MAX
    );
}
