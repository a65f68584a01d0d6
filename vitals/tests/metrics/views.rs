use super::*;
use vitals::limits::VIEWS_PER_BEACON_MAX;

fn soft_to(at: f64, number: u64, url: &str, route: &str) -> Item {
    Item::SoftNavigation { at, id: id(number), url: url.to_owned(), route: route.to_owned() }
}

#[test]
fn views_come_in_order_with_their_types() {
    let items =
        [restore(9_000.0, 2), soft_to(5_000.0, 1, "https://shop.example/cart", "/cart"), navigation()];
    let views = views(&items, 10_000.0);
    let known: Vec<_> = views.iter().map(|view| (view.id, view.navigation_type.unwrap())).collect();
    assert_eq!(
        known,
        [
            (id(0), NavigationType::Navigate),
            (id(1), NavigationType::SoftNavigation),
            (id(2), NavigationType::BackForwardCache),
        ]
    );
    assert_eq!(views[0].url, None);
    assert_eq!(views[1].url.as_deref(), Some("https://shop.example/cart"));
    assert_eq!(views[1].route.as_deref(), Some("/cart"));
    // What comes back from the cache is the page that was left.
    assert_eq!(views[2].url, views[1].url);
    assert_eq!(views[2].route, views[1].route);
}

#[test]
fn a_restored_document_has_the_documents_url() {
    let views = views(&[restore(9_000.0, 1)], 10_000.0);
    assert_eq!((&views[1].url, &views[1].route), (&None, &None));
    let unnamed = [soft_to(1_000.0, 1, "https://shop.example/cart", "/cart"), soft_to(2_000.0, 2, "", "")];
    assert_eq!(super::views(&unnamed, 3_000.0)[2].url, None);
}

#[test]
fn a_prerendered_view_says_so() {
    assert_eq!(views(&[prerendered(1_000.0)], 2_000.0)[0].navigation_type, Some(NavigationType::Prerender));
    assert_eq!(
        views(&[navigation(), Item::Activation(1_000.0)], 2_000.0)[0].navigation_type,
        Some(NavigationType::Prerender)
    );
}

#[test]
fn a_type_that_the_browser_rewrites_at_a_restore_is_that_of_the_load() {
    let Item::Navigation(loaded) = navigation() else { unreachable!() };
    let typed = |navigation_type| Item::Navigation(Navigation { navigation_type, ..loaded });
    use NavigationType::{BackForward, Navigate, Reload, Restore};
    for (told, right) in [
        (&[Navigate, BackForward][..], Navigate),
        (&[Reload, BackForward], Reload),
        (&[BackForward, BackForward], BackForward),
        // The collector itself says that the page had been discarded.
        (&[Reload, Restore, BackForward], Restore),
    ] {
        let mut items: Vec<_> = told.iter().map(|&told| typed(told)).collect();
        assert_eq!(views(&items, 2_000.0)[0].navigation_type, Some(right));
        items.reverse();
        assert_eq!(views(&items, 2_000.0)[0].navigation_type, Some(right), "in any order");
    }
}

#[test]
fn a_view_told_twice_is_one() {
    let items = [soft(5_000.0, 1), soft(6_000.0, 1), soft(5_000.0, 1), restore(7_000.0, 0), navigation()];
    let views = views(&items, 10_000.0);
    assert_eq!(views.iter().map(|view| view.id).collect::<Vec<_>>(), [id(0), id(1)]);
}

#[test]
fn a_route_may_be_named_after_its_view_began() {
    let unnamed = soft_to(5_000.0, 1, "https://shop.example/cart", "");
    let named = soft_to(5_000.0, 1, "https://shop.example/cart", "/cart");
    for items in [[unnamed.clone(), named.clone()], [named, unnamed]] {
        assert_eq!(views(&items, 10_000.0)[1].route.as_deref(), Some("/cart"));
    }
}

#[test]
fn of_many_views_the_first_and_the_latest_stay() {
    let mut items = vec![EVERYTHING, navigation(), Item::FirstContentfulPaint(300.0), shift(400.0, 0.125)];
    for number in 1..=40_u32 {
        let start = 10_000.0 * f64::from(number);
        items.push(soft(start, number.into()));
        items.push(shift(start + 100.0, f64::from(number)));
        items.push(event(number, start + 200.0, f64::from(number) * 8.0));
        items.push(Item::SoftPaint(start + f64::from(number)));
    }
    let views = views(&items, 500_000.0);
    assert_eq!(views.len(), VIEWS_PER_BEACON_MAX);
    assert_eq!(number(&views[0], Metric::Cls), Some(0.125), "the first ends where the second began");
    assert_eq!(number(&views[0], Metric::Inp), None);
    for (view, n) in views[1..].iter().zip(26_u32..) {
        assert_eq!(view.id, id(n.into()));
        assert_eq!(number(view, Metric::Cls), Some(f64::from(n)));
        assert_eq!(number(view, Metric::Inp), Some(f64::from(n) * 8.0));
        assert_eq!(number(view, Metric::Fcp), Some(f64::from(n)));
    }
}

#[test]
fn a_restore_keeps_its_page_when_the_view_before_is_dropped() {
    let mut items = vec![soft_to(1_000.0, 1, "https://shop.example/cart", "/cart"), restore(2_000.0, 2)];
    for number in 3..=16 {
        items.push(restore(1_000.0 * number as f64, number));
    }
    let all = views(&items, 100_000.0);
    assert_eq!(all[1].id, id(2));
    assert!(all[1..].iter().all(|view| view.url.as_deref() == Some("https://shop.example/cart")));
    assert!(all[1..].iter().all(|view| view.route.as_deref() == Some("/cart")));
}
