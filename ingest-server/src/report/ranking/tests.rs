//! Tests rankings of planted routes.

use super::*;
use fieldvitals_store::Weight;
use vitals::histogram::Sum;
use vitals::metric::{Value, Values};

/// A route with so many page views, `not_good` of them with an LCP of 3 s, the others of 0.5 s.
fn route(name: &str, views: u32, not_good: u32) -> RouteCell {
    let mut cell = Cell::default();
    for number in 0..views {
        let mut values = Values::EMPTY;
        let lcp = if number < not_good { 3_000.0 } else { 500.0 };
        values.set(Metric::Lcp, Value::new(Metric::Lcp, lcp).ok());
        cell.add(&values, Weight::ONE, 1);
    }
    RouteCell { route: name.to_owned(), cell }
}

/// A route with page views but without values.
fn unmeasured(name: &str, views: i64) -> RouteCell {
    let mut cell = Cell::default();
    for _ in 0..views {
        cell.add(&Values::EMPTY, Weight::ONE, 1);
    }
    RouteCell { route: name.to_owned(), cell }
}

fn ranking(sort: Sort) -> Ranking {
    Ranking {
        metric: None,
        sort,
        order: if sort == Sort::Route { Order::Asc } else { Order::Desc },
        limit: 100,
        min_n: None,
        search: None,
        pattern: None,
        by_section: false,
        question: 0,
        after: None,
    }
}

fn names(page: &RankedPage) -> Vec<&str> {
    page.rows.iter().map(|row| row.route.route.as_str()).collect()
}

#[test]
fn few_terrible_views_do_not_lead_a_ranking_by_values() {
    let cells = || vec![route("/rare", 17, 17), route("/big", 2_000, 700), route("/small", 150, 100)];
    let page = ranking(Sort::Impact).page(cells());
    assert_eq!(names(&page), ["/big", "/small"]);
    assert_eq!((page.min_n, page.found, page.hidden), (100, 2, 1));
    assert_eq!(names(&ranking(Sort::Poor).page(cells())), ["/big", "/small"]);
    let all = Ranking { min_n: Some(1), ..ranking(Sort::Impact) };
    let page = all.page(cells());
    assert_eq!((names(&page), page.hidden), (vec!["/big", "/small", "/rare"], 0));
    let all = Ranking { min_n: Some(1), ..ranking(Sort::P75) };
    assert_eq!(all.page(cells()).rows.len(), 3);
    assert_eq!(ranking(Sort::Views).page(cells()).hidden, 0, "views hide nothing");
}

#[test]
fn new_site_shows_its_few_views() {
    let page = ranking(Sort::Impact).page(vec![route("/b", 3, 1), route("/a", 9, 0)]);
    assert_eq!((names(&page), page.min_n, page.hidden), (vec!["/b", "/a"], 1, 0));
}

#[test]
fn metric_with_few_values_does_not_order() {
    let mut mixed = route("/mixed", 500, 100);
    let mut values = Values::EMPTY;
    values.set(Metric::Inp, Value::new(Metric::Inp, 9_000.0).ok());
    for _ in 0..50 {
        mixed.cell.add(&values, Weight::ONE, 1);
    }
    let impact = Impact::of(&mixed.cell, &Metric::CORE, 100).unwrap();
    assert_eq!(impact.metric, "LCP");
    assert_eq!(Impact::of(&mixed.cell, &[Metric::Inp], 100), None);
    let impact = Impact::of(&mixed.cell, &[Metric::Inp], 1).unwrap();
    assert!((impact.share - 1.0).abs() < 1e-9 && impact.views < 50.0, "{impact:?}");
    let by_inp = Ranking { metric: Some(Metric::Inp), ..ranking(Sort::P75) };
    let page = by_inp.page(vec![unmeasured("/large", 900), mixed]);
    assert_eq!(names(&page), ["/large", "/mixed"], "neither has 100 values: by page views");
}

#[test]
fn sampled_views_count_as_those_that_they_represent() {
    let mut sampled = Cell::default();
    let mut values = Values::EMPTY;
    values.set(Metric::Lcp, Value::new(Metric::Lcp, 3_000.0).ok());
    for _ in 0..200 {
        sampled.add(&values, Weight::of_sample(0.1), 1);
    }
    let sampled = RouteCell { route: "/sampled".to_owned(), cell: sampled };
    let page = ranking(Sort::Impact).page(vec![route("/whole", 1_000, 1_000), sampled]);
    assert_eq!(names(&page), ["/sampled", "/whole"]);
}

#[test]
fn routes_are_found_by_a_part_or_a_pattern_and_grouped_by_section() {
    let cells = || ["/c/Lamps", "/c/sofas", "/lamp-repair", "/"].map(|name| route(name, 200, 20)).to_vec();
    let found = |ranking: Ranking| {
        ranking.page(cells()).rows.iter().map(|row| (row.route.route.clone(), row.routes)).collect::<Vec<_>>()
    };
    let own = |names: &[&str]| names.iter().map(|&name| (name.to_owned(), 1)).collect::<Vec<_>>();
    let by = ranking(Sort::Route);
    assert_eq!(
        found(Ranking { search: Some("LAMP".to_owned()), ..by.clone() }),
        own(&["/c/Lamps", "/lamp-repair"])
    );
    assert_eq!(
        found(Ranking { pattern: Some("/c/*".to_owned()), ..by.clone() }),
        own(&["/c/Lamps", "/c/sofas"])
    );
    let grouped = found(Ranking { by_section: true, ..by });
    assert_eq!(grouped, [("/".to_owned(), 1), ("/c/*".to_owned(), 2), ("/lamp-repair".to_owned(), 1)]);
}

/// The page views and rating counts of a cell.
fn ratings(row: &RouteCell) -> RouteCell {
    let mut cell = Cell::default();
    cell.count(row.cell.views());
    for metric in Metric::ALL {
        let (mut bytes, mut sum) = (Vec::new(), Sum::default());
        row.cell.metric(metric).encode(&mut bytes);
        sum.add_encoded_ratings(&bytes).unwrap();
        cell.set_metric(metric, sum.finish_ratings());
    }
    RouteCell { route: row.route.clone(), cell }
}

#[test]
fn page_by_counts_is_the_page_by_whole_cells() {
    let cells = [
        route("/c/lamps", 900, 400),
        route("/c/sofas", 400, 300),
        unmeasured("/c/rugs", 500),
        route("/blog/a", 300, 20),
        route("/blog/b", 300, 250),
        route("/", 2_000, 500),
    ];
    let counts: Vec<RouteCell> = cells.iter().map(ratings).collect();
    let shown = |page: &RankedPage| {
        let row = |row: &Row| (row.route.route.clone(), row.routes, row.route.cell.clone());
        (page.rows.iter().map(row).collect::<Vec<_>>(), page.next.clone(), page.found, page.hidden)
    };
    for sort in Sort::ALL.into_iter().filter(|sort| ranking(*sort).is_by_counts()) {
        for (by_section, search) in [(false, None), (true, None), (false, Some("c/")), (true, Some("s"))] {
            let ranking =
                Ranking { by_section, search: search.map(str::to_owned), limit: 2, ..ranking(sort) };
            let page = ranking.page(counts.clone());
            let routes = ranking.routes_of(&page, counts.iter().map(|row| row.route.clone()).collect());
            assert!(routes.len() < cells.len(), "{sort:?}: {routes:?}");
            let read = cells.iter().filter(|row| routes.contains(&row.route)).cloned().collect();
            let page = page.with_rows(ranking.rows(read));
            assert_eq!(
                shown(&page),
                shown(&ranking.page(cells.to_vec())),
                "{sort:?} {by_section} {search:?}"
            );
        }
    }
    assert!(!ranking(Sort::P75).is_by_counts(), "a percentile needs the whole histogram");
    let gone = ranking(Sort::Views).page(counts).with_rows(vec![route("/", 1, 0).into()]);
    assert_eq!(names(&gone), ["/"], "routes that are gone have no row");
}

#[test]
fn ranking_is_paged_without_gap_or_repeat() {
    let cells: Vec<RouteCell> = (0..10)
        .map(|n| if n % 4 == 3 { unmeasured(&format!("/{n}"), 1) } else { route(&format!("/{n}"), 2, 0) })
        .chain([route("/slow", 1, 1)])
        .collect();
    for (sort, first) in [
        (Sort::Impact, "/slow"),
        (Sort::P75, "/slow"),
        (Sort::Views, "/0"),
        (Sort::Route, "/0"),
        (Sort::Poor, "/0"),
    ] {
        let mut ranking = Ranking { limit: 3, ..ranking(sort) };
        let mut seen = Vec::new();
        loop {
            let page = ranking.page(cells.clone());
            seen.extend(page.rows.into_iter().map(|row| row.route.route));
            let Some(next) = page.next else { break };
            ranking.after = Cursor::decode(&next.encode());
            assert!(ranking.after.is_some());
        }
        assert_eq!(seen.len(), cells.len(), "{sort:?}");
        assert_eq!(seen[0], first, "{sort:?}");
        if sort == Sort::P75 {
            assert!(["/3", "/7"].contains(&seen[10].as_str()), "without a value: last");
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), cells.len(), "{sort:?}");
    }
}
