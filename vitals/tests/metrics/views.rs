use super::*;
use vitals::limits::{CHANGES_MAX, REDIRECT_MS, VIEWS_PER_BEACON_MAX};

const START: &str = "https://shop.example/";
const CART: &str = "https://shop.example/cart";
const ENGLISH: &str = "https://shop.example/en";

fn soft_to(at: f64, number: u64, url: &str, route: &str) -> Item {
    Item::Moved { at, id: id(number), url: url.to_owned(), route: route.to_owned() }
}

fn to(at: f64, number: u64, url: &str) -> Item {
    soft_to(at, number, url, "")
}

fn named(at: f64, number: u64, route: &str) -> Item {
    Item::Named { at, id: id(number), route: route.to_owned() }
}

/// Replays a load with `domComplete` at 900 ms, then these facts. Returns each view's number, URL and route.
fn known(items: &[Item]) -> Vec<(u64, Option<String>, Option<String>)> {
    let items = [&[navigation()], items].concat();
    pages(&items)
}

fn pages(items: &[Item]) -> Vec<(u64, Option<String>, Option<String>)> {
    let of = |view: Snapshot| (view.id.start_ms() as u64 - id(0).start_ms() as u64, view.url, view.route);
    views(items, 600_000.0).into_iter().map(of).collect()
}

/// One result of [`known`]; an empty text means `None`.
fn view(number: u64, url: &str, route: &str) -> (u64, Option<String>, Option<String>) {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    (number, text(url), text(route))
}

#[test]
fn move_early_in_a_load_is_a_redirect() {
    let redirected = [view(0, ENGLISH, "")];
    for at in [0.0, 300.0, 900.0, 1_150.0, 900.0 + REDIRECT_MS] {
        assert_eq!(known(&[to(at, 1, ENGLISH)]), redirected, "{at}");
    }
    assert_eq!(known(&[to(900.1 + REDIRECT_MS, 1, ENGLISH)]), [view(0, "", ""), view(1, ENGLISH, "")]);
}

#[test]
fn move_after_an_input_begins_a_view() {
    let moved = [view(0, "", ""), view(1, ENGLISH, "")];
    for input in [1.0, 999.9, 1_000.0] {
        assert_eq!(known(&[Item::Input(input), to(1_000.0, 1, ENGLISH)]), moved, "{input}");
    }
    assert_eq!(
        known(&[Item::Input(1_000.1), to(1_000.0, 1, ENGLISH)]),
        [view(0, ENGLISH, "")],
        "a later input"
    );
}

#[test]
fn move_before_the_load_is_complete_is_a_redirect_however_late() {
    let loading = [to(9_000.0, 1, ENGLISH)];
    assert_eq!(pages(&loading), [view(0, ENGLISH, "")]);
    let clicked = [Item::Input(8_000.0), to(9_000.0, 1, ENGLISH)];
    assert_eq!(pages(&clicked), [view(0, "", ""), view(1, ENGLISH, "")]);
    // Before the load event, `domComplete` is 0.
    let Item::Navigation(loaded) = navigation() else { unreachable!() };
    let early = Item::Navigation(Navigation { dom_complete: 0.0, ..loaded });
    assert_eq!(pages(&[early.clone(), to(9_000.0, 1, ENGLISH)]), [view(0, ENGLISH, "")]);
    assert_eq!(pages(&[early, to(9_000.0, 1, ENGLISH), navigation()]).len(), 2, "told later that it was");
}

#[test]
fn prerendered_page_settles_when_it_is_activated() {
    let activated = [prerendered(60_000.0), Item::Input(50.0)];
    let moved = |at| pages(&[&activated[..], &[to(at, 1, ENGLISH)]].concat()).len();
    assert_eq!((moved(30_000.0), moved(60_000.0 + REDIRECT_MS), moved(60_001.0 + REDIRECT_MS)), (1, 1, 2));
}

#[test]
fn redirected_view_keeps_its_start_and_its_metrics() {
    let items = [
        EVERYTHING,
        navigation(),
        Item::FirstContentfulPaint(400.0),
        Item::LargestContentfulPaint(400.0),
        shift(700.0, 0.125),
        to(1_200.0, 1, ENGLISH),
        Item::LargestContentfulPaint(1_700.0),
        shift(1_600.0, 0.25),
        event(1, 4_000.0, 96.0),
    ];
    let [view] = &views(&items, 20_000.0)[..] else { panic!() };
    assert_eq!((view.id, view.navigation_type), (id(0), Some(NavigationType::Navigate)));
    assert_eq!(number(view, Metric::Fcp), Some(400.0));
    assert_eq!(number(view, Metric::Lcp), Some(1_700.0));
    assert_eq!(number(view, Metric::Cls), Some(0.375));
    assert_eq!(number(view, Metric::Inp), Some(96.0));
}

#[test]
fn move_early_in_a_later_view_redirects_it() {
    let clicked = [Item::Input(9_990.0), to(10_000.0, 1, CART)];
    let then = |more: &[Item]| known(&[&clicked[..], more].concat());
    let redirected = [view(0, "", ""), view(1, ENGLISH, "")];
    assert_eq!(then(&[to(10_000.1, 2, ENGLISH)]), redirected);
    assert_eq!(then(&[to(10_250.0, 2, START), to(10_000.0 + REDIRECT_MS, 3, ENGLISH)]), redirected);
    assert_eq!(then(&[to(10_000.1 + REDIRECT_MS, 2, ENGLISH)]).len(), 3, "a slideshow");
    assert_eq!(then(&[Item::Input(10_100.0), to(10_200.0, 2, ENGLISH)]).len(), 3, "another click");
    let restored = [restore(10_000.0, 1), to(10_200.0, 2, ENGLISH)];
    assert_eq!(known(&restored), redirected);
    let restored =
        [Item::Input(9_000.0), restore(10_000.0, 1), Item::Input(10_100.0), to(10_200.0, 2, ENGLISH)];
    assert_eq!(known(&restored).len(), 3);
}

#[test]
fn click_at_the_very_start_of_a_view_belongs_to_the_view_before() {
    let items = [Item::Input(10_000.0), to(10_000.0, 1, CART), to(10_200.0, 2, ENGLISH)];
    assert_eq!(known(&items), [view(0, "", ""), view(1, ENGLISH, "")]);
}

#[test]
fn click_that_is_told_afterwards_moves_the_start_and_decides_nothing_else() {
    // The page's data took 3 s; then the router redirects.
    let mut items = vec![Item::Input(7_000.0), to(10_000.0, 1, CART), to(10_300.0, 2, ENGLISH)];
    items.push(Item::Moved { at: 7_000.001, id: id(1), url: String::new(), route: String::new() });
    let redirected = [view(0, "", ""), view(1, ENGLISH, "")];
    assert_eq!(known(&items), redirected);
    items.reverse();
    assert_eq!(known(&items), redirected);
    items.push(navigation());
    let mut document = Document::new(id(0));
    items.iter().for_each(|item| document.push(item));
    assert_eq!(document.current(), (id(1), 7_000.001));
    // A name that began a view is reported again in the same way.
    let wizard = [Item::Input(7_000.0), named(7_100.0, 1, "/step"), to(7_000.5, 1, "")];
    assert_eq!(known(&wizard), [view(0, "", ""), view(1, "", "/step")]);
}

#[test]
fn click_that_is_told_afterwards_reorders_no_moves() {
    let early =
        |number: u64, at: f64| Item::Moved { at, id: id(number), url: String::new(), route: String::new() };
    // The browser's entry is attributed to the redirect: the visitor still arrives at its target.
    let items = [Item::Input(9_990.0), to(10_000.0, 1, CART), to(10_200.0, 2, ENGLISH), early(2, 9_990.001)];
    assert_eq!(known(&items), [view(0, "", ""), view(1, ENGLISH, "")]);
    // The data of the first click arrives after the page of the second click.
    let crossed = [
        navigation(),
        Item::Input(7_000.0),
        Item::Input(9_000.0),
        to(9_010.0, 1, CART),
        Item::Input(9_500.0),
        to(10_000.0, 2, ENGLISH),
        early(2, 7_000.001),
    ];
    let mut document = Document::new(id(0));
    crossed.iter().for_each(|item| document.push(item));
    assert_eq!(pages(&crossed)[1..], [view(1, CART, ""), view(2, ENGLISH, "")]);
    assert_eq!(document.current(), (id(2), 10_000.0));
    // The same after the view before is dropped.
    for number in 3..=16 {
        document.push(&restore(10_000.0 * number as f64, number));
    }
    let oldest = document.later().first().map(|view| (view.id, view.start));
    assert_eq!(oldest, Some((id(2), 10_000.0)));
}

#[test]
fn trailing_slashes_make_no_other_page() {
    let at_cart = [Item::Input(9_990.0), to(10_000.0, 1, CART)];
    for (at, url) in [(10_100.0, "https://shop.example/cart/"), (60_000.0, "https://shop.example/cart//")] {
        let items = [&at_cart[..], &[Item::Input(at - 1.0), to(at, 2, url)]].concat();
        assert_eq!(known(&items), [view(0, "", ""), view(1, CART, "")], "{url}");
    }
    let other =
        [&at_cart[..], &[Item::Input(20_000.0), to(20_000.0, 2, "https://shop.example/carts")]].concat();
    assert_eq!(known(&other).len(), 3);
    // If the document's own URL is unknown, its first move goes to another page; then the URL is known.
    let redirected = [to(100.0, 1, CART), to(60_000.0, 2, "https://shop.example/cart/")];
    assert_eq!(known(&redirected), [view(0, CART, "")]);
}

#[test]
fn move_to_the_documents_own_url_is_no_move() {
    let views = |own: &str| {
        let mut document = Document::new(id(0)).at(own.to_owned());
        let back = [Item::Input(59_000.0), to(60_000.0, 1, "https://shop.example/cart/")];
        back.iter().for_each(|item| document.push(item));
        document.snapshots(70_000.0).len()
    };
    assert_eq!((views(CART), views("https://shop.example/")), (1, 2));
}

#[test]
fn move_to_the_same_page_leaves_the_name_final() {
    let items = [
        to(10_000.0, 1, CART),
        named(10_000.5, 2, "/cart"),
        Item::Input(20_000.0),
        to(20_001.0, 3, "https://shop.example/cart/"),
        named(20_002.0, 4, "/step"),
    ];
    assert_eq!(known(&items), [view(0, "", ""), view(1, CART, "/cart"), view(4, CART, "/step")]);
}

#[test]
fn name_in_the_load_names_the_load_whatever_the_visitor_does() {
    let home = [view(0, "", "/home")];
    // In an attribute of the tag; before the load event; at its very end.
    for at in [0.0, 400.0, 900.0] {
        for input in [200.0, 5_000.0] {
            assert_eq!(known(&[named(at, 1, "/home"), Item::Input(input)]), home, "{at} {input}");
        }
    }
    assert_eq!(known(&[named(0.0, 1, "/"), named(800.0, 2, "/home")]), home, "the last one counts");
    assert_eq!(pages(&[Item::Input(1.0), named(9_000.0, 1, "/home")]), home, "loading still");
}

#[test]
fn first_view_takes_its_first_name_until_it_is_used() {
    let home = [view(0, "", "/home")];
    assert_eq!(known(&[named(60_000.0, 1, "/home")]), home);
    assert_eq!(known(&[named(60_000.0, 1, "/home"), Item::Input(60_001.0)]), home);
    let used = [Item::Input(59_000.0), named(60_000.0, 1, "/home")];
    assert_eq!(known(&used), [view(0, "", ""), view(1, "", "/home")]);
    let second = [named(60_000.0, 1, "/home"), named(60_001.0, 2, "/step")];
    assert_eq!(known(&second), [view(0, "", "/home"), view(2, "", "/step")]);
}

#[test]
fn name_early_renames() {
    let renamed = [named(0.0, 1, "/"), named(900.0 + REDIRECT_MS, 2, "/home")];
    assert_eq!(known(&renamed), [view(0, "", "/home")]);
    let late = [named(0.0, 1, "/"), named(901.0 + REDIRECT_MS, 2, "/home")];
    assert_eq!(known(&late).len(), 2);
    let used = [named(0.0, 1, "/"), Item::Input(950.0), named(1_000.0, 2, "/home")];
    assert_eq!(known(&used), [view(0, "", "/"), view(2, "", "/home")]);
}

#[test]
fn redirect_keeps_the_name_until_the_next() {
    let redirected = [named(100.0, 1, "/"), to(300.0, 2, ENGLISH)];
    assert_eq!(known(&redirected), [view(0, ENGLISH, "/")]);
    // The name belongs to the redirect's target, however late, and after any input.
    let renamed = [&redirected[..], &[Item::Input(30_000.0), named(60_000.0, 3, "/:language")]].concat();
    assert_eq!(known(&renamed), [view(0, ENGLISH, "/:language")]);
    let next = [&renamed[..], &[named(60_001.0, 4, "/step")]].concat();
    assert_eq!(known(&next), [view(0, ENGLISH, "/:language"), view(4, ENGLISH, "/step")]);
}

#[test]
fn click_that_moves_and_names_makes_one_view() {
    let one = [view(0, "", ""), view(1, CART, "/cart")];
    assert_eq!(known(&[Item::Input(9_000.0), to(9_001.0, 1, CART), named(9_002.0, 2, "/cart")]), one);
    // A clock with coarse steps: the name follows the move.
    for (moves, names) in [(1, 2), (2, 1)] {
        let items = [Item::Input(9_000.0), to(9_000.0, moves, CART), named(9_000.0, names, "/cart")];
        assert_eq!(known(&items), [view(0, "", ""), view(moves, CART, "/cart")]);
    }
    // A router that names before it moves.
    let before = [Item::Input(9_000.0), named(9_001.0, 1, "/cart"), to(9_002.0, 2, CART)];
    assert_eq!(known(&before), one);
    // The name comes late, after a further input.
    let late =
        [Item::Input(9_000.0), to(9_001.0, 1, CART), Item::Input(9_500.0), named(20_000.0, 2, "/cart")];
    assert_eq!(known(&late), one);
}

#[test]
fn wizard_that_names_its_steps_makes_views() {
    let items = [
        named(0.0, 1, "/start"),
        Item::Input(5_000.0),
        named(5_010.0, 2, "/address"),
        Item::Input(9_000.0),
        named(9_010.0, 3, "/pay"),
        // Within 2 s, but by the visitor.
        Item::Input(9_500.0),
        named(9_510.0, 4, "/done"),
    ];
    let routes = ["/start", "/address", "/pay", "/done"];
    let numbers = [0, 2, 3, 4];
    let expected: Vec<_> =
        numbers.iter().zip(routes).map(|(&number, route)| view(number, "", route)).collect();
    assert_eq!(known(&items), expected);
}

#[test]
fn name_without_an_id_names_the_current_view_and_begins_none() {
    let route = |at: f64, route: &str| Item::Named { at, id: ViewId::NONE, route: route.to_owned() };
    // Late, after an input, and again.
    let first =
        [named(0.0, 1, "/"), Item::Input(50_000.0), route(60_000.0, "/home"), route(61_000.0, "/home")];
    assert_eq!(known(&first), [view(0, "", "/home")]);
    let moved = [&first[..], &[to(70_000.0, 2, CART), route(90_000.0, "/cart")]].concat();
    let two = [view(0, "", "/home"), view(2, CART, "/cart")];
    assert_eq!(known(&moved), two);
    // A query changes the URL and no path.
    let query =
        [&moved[..], &[Item::Input(95_000.0), to(95_001.0, 3, CART), route(95_002.0, "/cart")]].concat();
    assert_eq!(known(&query), two);
    let unnamed = [&moved[..], &[route(96_000.0, "")]].concat();
    assert_eq!(known(&unnamed), [view(0, "", "/home"), view(2, CART, "")]);
    let restored = [&moved[..], &[restore(99_000.0, 3), route(120_000.0, "/:page")]].concat();
    assert_eq!(known(&restored)[2..], [view(3, CART, "/:page")]);
}

#[test]
fn names_without_an_id_past_the_bound_leave_the_last_one() {
    let route =
        |number: usize| Item::Named { at: number as f64, id: ViewId::NONE, route: format!("/{number}") };
    let items: Vec<Item> = (0..3 * CHANGES_MAX).map(route).collect();
    assert_eq!(known(&items), [view(0, "", &format!("/{}", 3 * CHANGES_MAX - 1))]);
}

#[test]
fn restored_view_keeps_the_name_of_its_page() {
    let left = [to(10_000.0, 1, CART), named(10_000.5, 2, "/cart"), restore(50_000.0, 3)];
    assert_eq!(known(&left)[2], view(3, CART, "/cart"));
    // The next step is another view, but a renaming when the page is shown again is not.
    let stepped = [&left[..], &[Item::Input(50_100.0), named(50_200.0, 4, "/step")]].concat();
    assert_eq!(known(&stepped)[2..], [view(3, CART, "/cart"), view(4, CART, "/step")]);
    let late = [&left[..], &[named(50_001.0 + REDIRECT_MS, 4, "/step")]].concat();
    assert_eq!(known(&late).len(), 4);
    let again = [&left[..], &[named(50_200.0, 4, "/basket")]].concat();
    assert_eq!(known(&again)[2..], [view(3, CART, "/basket")]);
    // A page without a name counts as named, too.
    let unnamed = [restore(50_000.0, 1), Item::Input(50_100.0), named(50_200.0, 2, "/step")];
    assert_eq!(known(&unnamed), [view(0, "", ""), view(1, "", ""), view(2, "", "/step")]);
}

#[test]
fn restore_after_a_redirect_shows_where_it_led() {
    let items = [named(100.0, 1, "/home"), to(300.0, 2, ENGLISH), restore(9_000.0, 3)];
    assert_eq!(known(&items), [view(0, ENGLISH, "/home"), view(3, ENGLISH, "/home")]);
}

#[test]
fn queue_of_an_older_snippet_names_in_its_moves() {
    let clicked = [Item::Input(9_000.0), soft_to(9_001.0, 1, CART, "/cart")];
    assert_eq!(known(&clicked), [view(0, "", ""), view(1, CART, "/cart")]);
    // `navigate` of an older snippet sent the URL again if the path did not change.
    let step = [&clicked[..], &[Item::Input(20_000.0), soft_to(20_001.0, 2, CART, "/step")]].concat();
    assert_eq!(known(&step)[2], view(2, CART, "/step"));
    assert_eq!(known(&[soft_to(300.0, 1, ENGLISH, "/en")]), [view(0, ENGLISH, "/en")]);
}

#[test]
fn change_with_the_first_views_id_may_name_it_and_begins_nothing() {
    let items = [named(0.0, 0, "/home"), restore(7_000.0, 0), Item::Input(8_000.0), to(9_000.0, 0, CART)];
    let alone = |item: &Item| known(&[Item::Input(1.0), item.clone()]);
    assert_eq!(alone(&items[0]), [view(0, "", "/home")]);
    for item in &items[1..] {
        assert_eq!(alone(item), [view(0, "", "")]);
    }
}

#[test]
fn current_view_and_later_views_are_told() {
    let mut document = Document::new(id(0));
    document.push(&prerendered(500.0));
    assert_eq!((document.current(), document.begun()), ((id(0), 500.0), 0));
    for item in [restore(9_000.0, 1), Item::Input(20_000.0), to(20_010.0, 2, CART), to(20_020.0, 3, ENGLISH)]
    {
        document.push(&item);
    }
    assert_eq!((document.current(), document.begun()), ((id(2), 20_010.0), 2));
    let later: Vec<_> = document.later().iter().map(|view| (view.id, view.start, view.cause)).collect();
    assert_eq!(later, [(id(1), 9_000.0, Cause::Restore), (id(2), 20_010.0, Cause::Soft)]);
    for number in 1..=40 {
        document.push(&restore(30_000.0 + 1_000.0 * number as f64, 100 + number));
    }
    assert_eq!((document.begun(), document.later().len()), (42, VIEWS_PER_BEACON_MAX - 1));
    assert_eq!(document.current(), (id(140), 70_000.0));
}

#[test]
fn what_was_absorbed_is_bounded_and_the_last_of_it_stays() {
    let mut document = Document::new(id(0));
    document.push(&navigation());
    document.push(&Item::Input(9_000.0));
    document.push(&to(9_001.0, 1, CART));
    let rounds = 50 * CHANGES_MAX as u64;
    for round in 0..rounds {
        // Two pages that redirect to each other for 1 s, named each time.
        let at = 9_002.0 + round as f64 / rounds as f64 * 1_000.0;
        document.push(&to(at, 2 + 2 * round, if round % 2 == 0 { START } else { ENGLISH }));
        document.push(&named(at + 0.01, 3 + 2 * round, if round % 2 == 0 { "/" } else { "/en" }));
    }
    // About 200 characters per change.
    assert!(format!("{document:?}").len() < 600 * CHANGES_MAX);
    let views = document.snapshots(20_000.0);
    assert_eq!(views.len(), 2);
    assert_eq!((views[1].id, views[1].url.as_deref()), (id(1), Some(ENGLISH)));
    assert_eq!(views[1].route.as_deref(), Some("/en"));
    // Later changes are judged as before.
    document.push(&Item::Input(30_000.0));
    document.push(&to(30_001.0, 900_000, CART));
    assert_eq!(document.current(), (id(900_000), 30_001.0));
}

/// A document with only changes: its first view takes every move and name that is not clearly of another view. Then
/// twenty restores, each with a move that is too late to be a redirect.
fn long_lived() -> Vec<Item> {
    let visit = |number: u64| {
        let at = 10_000.0 * number as f64;
        [restore(at, 2 * number), to(at + 3_000.0, 2 * number + 1, &format!("https://shop.example/{number}"))]
    };
    (1..=20).flat_map(visit).collect()
}

#[test]
fn fact_from_the_time_of_dropped_views_changes_nothing() {
    for whole in [long_lived(), [&long_lived()[..], &[restore(210_000.0, 42)]].concat()] {
        let mut document = Document::new(id(0));
        whole.iter().for_each(|item| document.push(item));
        let before = document.snapshots(500_000.0);
        assert_eq!(before.len(), VIEWS_PER_BEACON_MAX);
        let oldest = document.later()[0].start;
        let late = [to(50_500.0, 900, CART), named(oldest - 0.1, 901, "/late"), restore(50_500.0, 902)];
        let earlier = [
            to(50_000.0, 2, ""),
            to(oldest - 1.0, before[1].id.start_ms() as u64 - id(0).start_ms() as u64, ""),
        ];
        // Repeats all changes.
        for again in late.iter().chain(&earlier).chain(&whole) {
            document.push(again);
            assert_eq!(document.snapshots(500_000.0), before, "{again:?}");
        }
    }
}

#[test]
fn view_told_late_from_before_the_dropped_ones_ends_the_first() {
    let first = [EVERYTHING, navigation(), Item::FirstContentfulPaint(1.0), shift(9_000.0, 0.125)];
    // A move or a restore begins the oldest stored view.
    for more in [&[][..], &[restore(210_000.0, 42)]] {
        let mut document = Document::new(id(0));
        let whole = [&first[..], &long_lived()[..], more].concat();
        whole.iter().for_each(|item| document.push(item));
        let before = document.snapshots(500_000.0);
        document.push(&soft_to(8_000.0, 900, CART, "/cart"));
        let after = document.snapshots(500_000.0);
        assert_eq!(after[1..], before[1..]);
        let cls = |views: &[Snapshot]| number(&views[0], Metric::Cls);
        assert_eq!((cls(&before), cls(&after)), (Some(0.125), Some(0.0)));
    }
}

#[test]
fn zero_and_minus_zero_are_one_time() {
    let one = [named(0.0, 1, "/a"), named(-0.0, 2, "/b")];
    assert_eq!(pages(&one), pages(&[named(-0.0, 1, "/a"), named(0.0, 2, "/b")]));
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
    // A restore shows the page that was left.
    assert_eq!(views[2].url, views[1].url);
    assert_eq!(views[2].route, views[1].route);
}

#[test]
fn a_restored_document_has_the_documents_url() {
    let views = views(&[restore(9_000.0, 1)], 10_000.0);
    assert_eq!((&views[1].url, &views[1].route), (&None, &None));
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
    let typed =
        |navigation_type| Item::Navigation(Navigation { navigation_type: Some(navigation_type), ..loaded });
    use NavigationType::{BackForward, Navigate, Reload, Restore};
    for (told, right) in [
        (&[Navigate, BackForward][..], Navigate),
        (&[Reload, BackForward], Reload),
        (&[BackForward, BackForward], BackForward),
        // The collector itself reports that the page had been discarded.
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
    for items in [[navigation(), unnamed.clone(), named.clone()], [navigation(), named, unnamed]] {
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
fn name_is_kept_when_the_view_before_is_dropped() {
    // A step of a wizard under a URL that only a dropped view has reported, then redirects and names as usual.
    let mut items = vec![
        named(0.0, 101, "/home"),
        Item::Input(9_999.0),
        soft_to(10_000.0, 1, CART, "/cart"),
        Item::Input(20_000.0),
        named(20_001.0, 2, "/step"),
        named(20_002.0, 102, "/step-two"),
    ];
    for number in 3..=16 {
        items.push(restore(10_000.0 * number as f64, number));
    }
    let all = known(&items);
    assert_eq!(all.len(), VIEWS_PER_BEACON_MAX);
    assert_eq!(all[..3], [view(0, "", "/home"), view(2, CART, "/step-two"), view(3, CART, "/step-two")]);
    items.push(restore(170_000.0, 17));
    assert_eq!(known(&items)[..2], [view(0, "", "/home"), view(3, CART, "/step-two")]);
}

#[test]
fn restore_of_a_page_without_a_name_takes_none_when_that_is_dropped() {
    let mut items = vec![named(0.0, 101, "/home"), Item::Input(9_999.0), to(10_000.0, 1, CART)];
    items.extend([restore(20_000.0, 2), Item::Input(20_100.0), named(20_200.0, 200, "/step")]);
    for number in 3..=16 {
        items.push(restore(10_000.0 * number as f64, number));
        // First the moved view is dropped, then the restored view.
        match known(&items) {
            all if number == 15 => {
                let kept = [view(0, "", "/home"), view(2, CART, ""), view(200, CART, "/step")];
                assert_eq!(all[..3], kept);
            }
            all if number == 16 => assert_eq!(all[..2], [view(0, "", "/home"), view(200, CART, "/step")]),
            all => assert_eq!(all[1], view(1, CART, "")),
        }
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
