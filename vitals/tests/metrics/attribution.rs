use super::*;
use vitals::attribution::{Attribution, ClsCause, InpCause, LcpCause, LoadState};
use vitals::entry::Detail;
use vitals::limits::DETAILS_MAX;

fn paint(start: f64, [request_start, response_end]: [f64; 2], target: &str, url: &str) -> Item {
    let (target, url) = (target.to_owned(), url.to_owned());
    Item::Detail(Detail::paint(start, request_start, response_end, target, url))
}

/// Handlers of an event; `processing` is their start and end.
fn handled(start: f64, duration: f64, processing: [f64; 2], target: &str, name: &str) -> Item {
    Item::Detail(Detail::event(start, duration, processing, target.to_owned(), name.to_owned()))
}

fn script(start: f64, duration: f64, script_duration: f64, url: &str) -> Item {
    Item::Detail(Detail::script(start, duration, script_duration, url.to_owned()))
}

fn moved(start: f64, value: f64, target: &str) -> Item {
    Item::Detail(Detail::shift(start, value, target.to_owned()))
}

fn lcp(items: &[Item]) -> Vec<Option<LcpCause>> {
    views(items, 600_000.0).into_iter().map(|view| view.attribution.lcp).collect()
}

fn inp(items: &[Item]) -> Option<InpCause> {
    views(items, 600_000.0).remove(0).attribution.inp
}

/// CLS cause of a painted page, because CLS counts only visible shifts.
fn cls(items: &[Item]) -> Option<ClsCause> {
    let items = [items, &[Item::FirstContentfulPaint(210.0)]].concat();
    views(&items, 600_000.0).remove(0).attribution.cls
}

#[test]
fn what_is_not_told_explains_nothing() {
    let items = [EVERYTHING, navigation(), Item::LargestContentfulPaint(800.0), event(1, 2_000.0, 80.0)];
    assert!(views(&items, 9_000.0)[0].attribution == Attribution::NONE);
    // Details without a value explain nothing either.
    assert!(
        views(&[EVERYTHING, paint(800.0, [0.0; 2], "img", "")], 9_000.0)[0].attribution == Attribution::NONE
    );
}

#[test]
fn the_parts_of_lcp_are_those_of_its_image_and_sum_to_it() {
    let image = "https://shop.example/hero.avif";
    let items = [
        EVERYTHING,
        navigation(),
        Item::LargestContentfulPaint(400.0),
        paint(400.0, [0.0; 2], "h1", ""),
        Item::LargestContentfulPaint(800.0),
        paint(800.0, [200.0, 750.5], "#hero>img", image),
    ];
    let [Some(cause)] = &lcp(&items)[..] else { panic!() };
    assert_eq!((cause.target.as_str(), cause.url.as_str()), ("#hero>img", image));
    assert_eq!(cause.parts_ms, [120.0, 80.0, 550.5, 49.5]);
}

#[test]
fn text_has_no_load_and_a_clock_that_jumps_gives_no_negative_part() {
    let of = |request| {
        let painted = paint(400.0, request, "h1", "");
        let items = [EVERYTHING, navigation(), Item::LargestContentfulPaint(400.0), painted];
        lcp(&items).remove(0).unwrap().parts_ms
    };
    assert_eq!(of([0.0, 0.0]), [120.0, 0.0, 0.0, 280.0]);
    // An image from an earlier page's cache, and an image whose reported arrival is after its paint.
    assert_eq!(of([50.0, 60.0]), [120.0, 0.0, 0.0, 280.0]);
    assert_eq!(of([200.0, 900.0]), [120.0, 80.0, 200.0, 0.0]);
    assert_eq!(of([200.0, 150.0]), [120.0, 80.0, 0.0, 200.0]);
}

#[test]
fn a_prerendered_page_waited_for_nothing_before_its_activation() {
    let items = [
        EVERYTHING,
        prerendered(1_000.0),
        Item::Activation(1_000.0),
        Item::LargestContentfulPaint(1_300.0),
        paint(1_300.0, [400.0, 1_200.0], "img", "https://shop.example/a.png"),
    ];
    let [Some(cause)] = &lcp(&items)[..] else { panic!() };
    assert_eq!(cause.parts_ms, [0.0, 0.0, 200.0, 100.0]);
}

#[test]
fn a_view_is_explained_by_its_own_entries() {
    let items = [
        EVERYTHING,
        navigation(),
        Item::LargestContentfulPaint(400.0),
        paint(400.0, [0.0; 2], "h1", ""),
        soft(5_000.0, 1),
        Item::SoftPaint(5_400.0),
        paint(5_400.0, [0.0; 2], "h2", ""),
    ];
    let targets: Vec<Option<String>> =
        lcp(&items).into_iter().map(|cause| cause.map(|cause| cause.target)).collect();
    assert_eq!(targets, [Some("h1".to_owned()), Some("h2".to_owned())], "the same time since either start");
}

#[test]
fn the_parts_of_inp_are_those_of_its_frame() {
    // A press and a click shown by one frame: the visitor waits for the handlers of both.
    let items = [
        EVERYTHING,
        navigation(),
        event(1, 2_000.0, 200.0),
        handled(2_000.0, 200.0, [2_030.0, 2_060.0], "button", "pointerdown"),
        handled(2_008.0, 192.0, [2_020.0, 2_150.0], "button>span", "click"),
        handled(1_000.0, 40.0, [1_001.0, 1_039.0], "a", "click"),
        script(1_990.0, 220.0, 100.0, "https://shop.example/app.js"),
        script(1_990.0, 220.0, 40.0, "https://shop.example/other.js"),
        script(9_000.0, 500.0, 400.0, "https://shop.example/later.js"),
    ];
    let cause = inp(&items).unwrap();
    assert_eq!(
        (cause.target.as_str(), cause.event.as_str(), cause.at_ms),
        ("button", "pointerdown", 2_000.0)
    );
    assert_eq!(cause.parts_ms, [20.0, 130.0, 50.0]);
    assert_eq!((cause.script.as_str(), cause.script_ms), ("https://shop.example/app.js", 100.0));
    assert_eq!(cause.load_state, LoadState::Complete);
}

#[test]
fn an_element_that_is_gone_is_named_by_another_event_of_the_frame() {
    let items = [
        EVERYTHING,
        event(1, 2_000.0, 200.0),
        handled(2_000.0, 200.0, [2_010.0, 2_020.0], "", "pointerup"),
        handled(2_004.0, 192.0, [2_020.0, 2_030.0], "#menu", "click"),
    ];
    let cause = inp(&items).unwrap();
    assert_eq!((cause.target.as_str(), cause.event.as_str()), ("#menu", "pointerup"));
    assert_eq!((cause.script.as_str(), cause.script_ms), ("", 0.0), "nothing was told of scripts");
}

#[test]
fn parts_of_inp_lie_within_it_whatever_an_entry_says() {
    let items =
        [EVERYTHING, event(1, 2_000.0, 100.0), handled(2_000.0, 100.0, [1_500.0, 9_000.0], "a", "click")];
    assert_eq!(inp(&items).unwrap().parts_ms, [0.0, 100.0, 0.0]);
    let items = [EVERYTHING, event(1, 2_000.0, 100.0), handled(2_000.0, 100.0, [9_000.0, 0.0], "a", "click")];
    assert_eq!(inp(&items).unwrap().parts_ms, [100.0, 0.0, 0.0]);
}

#[test]
fn the_largest_shift_of_the_window_explains_cls() {
    let items = [
        EVERYTHING,
        navigation(),
        shift(500.0, 0.02),
        moved(500.0, 0.02, "#early"),
        // The largest window.
        shift(3_000.0, 0.05),
        moved(3_000.0, 0.05, "#small"),
        shift(3_400.0, 0.15),
        moved(3_400.0, 0.15, "#banner"),
        // The largest single shift, but alone in its window: 0.16 is less than 0.2.
        shift(60_000.0, 0.16),
        moved(60_000.0, 0.16, "#late"),
    ];
    let cause = cls(&items).unwrap();
    assert_eq!((cause.target.as_str(), cause.at_ms, cause.value), ("#banner", 3_400.0, 0.15));
    assert_eq!(cls(&[EVERYTHING, navigation()]), None, "a page on which nothing moved has no cause");
}

#[test]
fn the_load_state_is_that_of_the_moment() {
    // The navigation's `DOMContentLoaded` ends at 700 ms, and it is complete at 900 ms.
    for (at, state) in [
        (699.0, LoadState::Loading),
        (700.0, LoadState::DomContentLoaded),
        (899.0, LoadState::DomContentLoaded),
        (900.0, LoadState::Complete),
    ] {
        let cause = cls(&[EVERYTHING, navigation(), shift(at, 0.1), moved(at, 0.1, "p")]).unwrap();
        assert_eq!(cause.load_state, state, "{at}");
    }
    let untold = cls(&[EVERYTHING, shift(5_000.0, 0.1), moved(5_000.0, 0.1, "p")]).unwrap();
    assert_eq!(untold.load_state, LoadState::Loading, "nothing was told of the load");
}

#[test]
fn numbers_that_are_none_are_left_out() {
    for wrong in [f64::NAN, f64::INFINITY, -1.0] {
        let items = [EVERYTHING, shift(3_000.0, 0.1), moved(3_000.0, wrong, "p")];
        assert_eq!(cls(&items), None, "{wrong}");
    }
}

#[test]
fn past_the_bound_details_of_least_weight_go() {
    let mut items = vec![EVERYTHING, shift(3_000.0, 0.5), moved(3_000.0, 0.5, "#largest")];
    items.extend((0..3 * DETAILS_MAX).map(|i| moved(3_000.0 + i as f64 / 1_000.0, 0.001, "#small")));
    assert_eq!(cls(&items).unwrap().target, "#largest");
    // The order of arrival does not matter.
    items.reverse();
    assert_eq!(cls(&items).unwrap().target, "#largest");
    // Repeated details take only one place.
    let mut items = vec![EVERYTHING, shift(3_000.0, 0.5)];
    items.extend((0..3 * DETAILS_MAX).map(|_| moved(2_999.0, 0.9, "#again")));
    items.push(moved(3_000.0, 0.5, "#largest"));
    assert_eq!(cls(&items).unwrap().target, "#largest");
}

#[test]
fn details_of_one_view_take_no_place_from_another() {
    // The largest paint of the first view, and the slow click of a view with a few fast interactions. Other views have
    // hundreds of larger details.
    let mut items = vec![EVERYTHING, navigation()];
    items.extend([Item::LargestContentfulPaint(400.0), paint(400.0, [0.0; 2], "h1", "")]);
    let busy = |view: u64, from: f64| {
        let mut items = vec![Item::Input(from - 1.0), soft(from, view)];
        for i in 0..2 * DETAILS_MAX {
            let at = from + 10.0 * (i + 1) as f64;
            items.push(Item::SoftPaint(at));
            items.push(paint(at, [0.0; 2], "p", ""));
            items.push(event((view * 10_000) as u32 + i as u32, at, 480.0));
            items.push(handled(at, 480.0, [at, at], "a", "click"));
        }
        items
    };
    items.extend(busy(1, 100_000.0));
    items.extend([Item::Input(199_000.0), soft(200_000.0, 2)]);
    items.extend([event(5, 201_000.0, 48.0), handled(201_000.0, 48.0, [201_000.0; 2], "#mine", "keydown")]);
    items.extend(busy(3, 300_000.0));
    let check = |items: &[Item]| {
        let causes: Vec<_> = views(items, 600_000.0).into_iter().map(|view| view.attribution).collect();
        assert_eq!(causes[0].lcp.as_ref().unwrap().target, "h1");
        assert_eq!(causes[2].inp.as_ref().unwrap().target, "#mine");
        assert!(causes[1].inp.is_some() && causes[3].inp.is_some());
        assert!(causes[1].lcp.is_some() && causes[3].lcp.is_some());
    };
    check(&items);
    // In any order, after the views are known.
    items.sort_by_key(|item| !matches!(item, Item::Moved { .. } | Item::Input(_) | Item::Navigation(_)));
    check(&items);
    let views = items.iter().filter(|item| !matches!(item, Item::Detail(_))).count();
    items[views..].reverse();
    check(&items);
}

#[test]
fn script_ran_no_longer_than_its_interaction() {
    // A dialog in a click: the script waits for the dialog, but the interaction ends before.
    let items = [
        EVERYTHING,
        navigation(),
        event(1, 2_000.0, 24.0),
        handled(2_000.0, 24.0, [2_001.0, 2_020.0], "button", "click"),
        script(2_000.0, 1_510.0, 1_505.0, "https://shop.example/app.js"),
    ];
    let cause = inp(&items).unwrap();
    assert_eq!((cause.script.as_str(), cause.script_ms), ("https://shop.example/app.js", 24.0));
}
