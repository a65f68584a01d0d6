use super::*;

fn inp(items: &[Item]) -> Vec<Option<f64>> {
    numbers(Metric::Inp, items)
}

/// Interactions 0 to `n`, one per second; number `i` takes 40 + 8 i milliseconds.
fn interactions(n: u32) -> Vec<Item> {
    (0..n).map(|i| event(i, 1_000.0 + 1_000.0 * f64::from(i), 40.0 + 8.0 * f64::from(i))).collect()
}

#[test]
fn without_an_interaction_there_is_none() {
    assert_eq!(inp(&[]), [None]);
    assert_eq!(inp(&[count(0.0, 0.0)]), [None]);
    assert_eq!(inp(&[count(0.0, 0.0), count(9_000.0, 3.0)]), [None], "a load's first input would have told");
    let hover = Event { start: 500.0, duration: 300.0, processing_start: 510.0, interaction_id: 0.0 };
    assert_eq!(inp(&[Item::Event(hover), Item::FirstInput(hover)]), [None], "no interaction id");
}

#[test]
fn an_interaction_is_its_longest_event() {
    assert_eq!(inp(&[event(1, 500.0, 48.0), event(1, 580.0, 96.0), event(1, 580.0, 16.0)]), [Some(96.0)]);
    assert_eq!(inp(&[event(1, 500.0, 48.0), event(2, 900.0, 40.0)]), [Some(48.0)]);
}

#[test]
fn the_first_input_is_an_interaction_however_fast() {
    let tap = Event { start: 500.0, duration: 16.0, processing_start: 501.0, interaction_id: 4_001.0 };
    assert_eq!(inp(&[Item::FirstInput(tap)]), [Some(16.0)]);
}

#[test]
fn of_fifty_interactions_one_is_left_out() {
    assert_eq!(inp(&interactions(49)), [Some(40.0 + 8.0 * 48.0)]);
    assert_eq!(inp(&interactions(50)), [Some(40.0 + 8.0 * 48.0)]);
    assert_eq!(inp(&interactions(99)), [Some(40.0 + 8.0 * 97.0)]);
    assert_eq!(inp(&interactions(100)), [Some(40.0 + 8.0 * 97.0)]);
}

#[test]
fn never_more_than_the_ten_longest_are_looked_at() {
    assert_eq!(inp(&interactions(5_000)), [Some(40.0 + 8.0 * 4_990.0)]);
}

#[test]
fn fast_interactions_without_an_entry_count() {
    // Two slow interactions; their ids show that 48 lay between them.
    assert_eq!(inp(&[event(0, 500.0, 200.0), event(49, 9_000.0, 100.0)]), [Some(100.0)]);
    assert_eq!(inp(&[event(0, 500.0, 200.0), event(48, 9_000.0, 100.0)]), [Some(200.0)]);
    assert_eq!(inp(&[event(0, 500.0, 200.0), event(1, 9_000.0, 100.0), count(9_500.0, 50.0)]), [Some(100.0)]);
    assert_eq!(inp(&[event(0, 500.0, 200.0), event(1, 9_000.0, 100.0), count(9_500.0, 49.0)]), [Some(200.0)]);
    assert_eq!(
        inp(&[event(0, 500.0, 200.0), count(9_500.0, 1e300)]),
        [Some(200.0)],
        "at least one is looked at"
    );
}

#[test]
fn each_view_has_its_own() {
    let items = [
        event(0, 500.0, 200.0),
        count(5_000.0, 100.0),
        restore(5_000.0, 1),
        event(101, 5_500.0, 80.0),
        event(102, 6_000.0, 60.0),
        count(8_999.0, 102.0),
        soft(9_000.0, 2),
        restore(12_000.0, 3),
    ];
    // No interaction of the second view is ignored as an outlier: the hundred before belong to the first view.
    assert_eq!(inp(&items), [Some(200.0), Some(80.0), None, None]);
}

#[test]
fn an_interaction_belongs_to_the_view_it_began_in() {
    assert_eq!(inp(&[navigation(), event(1, 4_990.0, 300.0), soft(5_000.0, 1)]), [Some(300.0), None]);
    let (press, click) = (event(1, 4_990.0, 304.0), event(1, 5_010.0, 304.0));
    for events in [[press.clone(), click.clone()], [click, press]] {
        assert_eq!(inp(&[&[navigation(), soft(5_000.0, 1)], &events[..]].concat()), [Some(304.0), None]);
    }
}

#[test]
fn after_a_restore_the_count_alone_proves_a_fast_interaction() {
    let restored = [EVERYTHING, restore(5_000.0, 1), count(5_000.0, 3.0)];
    assert_eq!(inp(&[&restored[..], &[count(9_000.0, 4.0)]].concat()), [None, Some(8.0)]);
    assert_eq!(inp(&[&restored[..], &[count(9_000.0, 3.0)]].concat()), [None, None]);
    assert_eq!(inp(&restored), [None, None]);
}

#[test]
fn after_a_soft_navigation_the_count_may_rise_for_its_own_click() {
    let navigated = [EVERYTHING, navigation(), soft(5_000.0, 1), count(5_000.0, 3.0)];
    assert_eq!(inp(&[&navigated[..], &[count(9_000.0, 4.0)]].concat()), [None, None]);
    assert_eq!(inp(&[&navigated[..], &[count(9_000.0, 5.0)]].concat()), [None, Some(8.0)]);
}

#[test]
fn fast_click_in_a_later_view_has_the_shortest_duration() {
    for begins in [restore(5_000.0, 1), soft(5_000.0, 1)] {
        let clicked = |at| [EVERYTHING, navigation(), Item::Input(4_990.0), begins.clone(), Item::Input(at)];
        assert_eq!(inp(&clicked(6_000.0)), [None, Some(8.0)], "{begins:?}");
        // The click that navigated belongs to the view before, even at the time of the navigation.
        assert_eq!(inp(&clicked(5_000.0)), [None, None], "{begins:?}");
        let slower = [&clicked(6_000.0)[..], &[event(1, 6_000.0, 48.0)]].concat();
        assert_eq!(inp(&slower), [None, Some(48.0)], "{begins:?}");
        let next = [&clicked(6_000.0)[..], &[soft(6_001.0, 2)]].concat();
        assert_eq!(inp(&next), [None, Some(8.0), None], "the click that left is a view's own, too");
        let untold = [&[Item::Support(support::ALL - support::EVENT)], &clicked(6_000.0)[1..]].concat();
        assert_eq!(inp(&untold), [None, None], "a browser that tells no events");
    }
    assert_eq!(inp(&[EVERYTHING, navigation(), Item::Input(6_000.0)]), [None], "a load has `first-input`");
}

#[test]
fn count_without_entries_proves_nothing_in_a_browser_that_tells_no_events() {
    let restored = [all_but(support::EVENT), restore(5_000.0, 1), count(5_000.0, 3.0), count(9_000.0, 9.0)];
    assert_eq!(inp(&restored), [None, None]);
}

#[test]
fn reading_at_a_navigation_ends_one_view_and_begins_the_next() {
    // Two slow interactions with near ids, among 55.
    let first = [EVERYTHING, navigation(), event(3, 1_000.0, 432.0), event(5, 2_000.0, 300.0)];
    let then = |more: &[Item]| inp(&[&first[..], more].concat());
    let left = [Item::Input(59_000.0), soft(60_000.0, 1)];
    assert_eq!(then(&[&[count(60_000.0, 55.0)], &left[..]].concat()), [Some(300.0), None]);
    assert_eq!(
        then(&[&[count(59_999.0, 55.0)], &left[..]].concat()),
        [Some(300.0), None],
        "none in the second"
    );
    assert_eq!(then(&[&[count(60_000.0, 49.0)], &left[..]].concat()), [Some(432.0), None]);
    let soon = [count(60_000.0, 49.0), count(61_000.0, 55.0)];
    assert_eq!(
        then(&[&left[..], &soon].concat()),
        [Some(432.0), Some(8.0)],
        "the second reading is the second view\'s"
    );
    // Sixty more in the second view, two of them slow; a reading before the page is hidden.
    let second = [event(70, 61_000.0, 200.0), event(71, 62_000.0, 120.0), count(90_000.0, 115.0)];
    let both = [&left[..], &[count(60_000.0, 55.0)], &second[..]].concat();
    assert_eq!(then(&both), [Some(300.0), Some(120.0)]);
    let few = [&left[..], &[count(60_000.0, 66.0)], &second[..]].concat();
    assert_eq!(then(&few), [Some(300.0), Some(200.0)], "49 in the second");
    // The end of the first view is unknown if the next reading is long after it.
    assert_eq!(then(&[&left[..], &[count(90_000.0, 115.0)]].concat()), [Some(432.0), None]);
}

#[test]
fn reading_at_a_navigation_whose_click_is_told_afterwards_ends_the_view_before() {
    let items = [
        EVERYTHING,
        navigation(),
        event(3, 1_000.0, 432.0),
        event(5, 2_000.0, 300.0),
        Item::Input(59_000.0),
        soft(60_000.0, 1),
        count(60_000.0, 55.0),
        soft(59_000.001, 1),
        event(70, 61_000.0, 200.0),
        event(71, 62_000.0, 120.0),
        count(90_000.0, 104.0),
    ];
    assert_eq!(inp(&items), [Some(300.0), Some(200.0)]);
}

#[test]
fn past_the_bound_the_longest_of_each_view_stay() {
    let mut items = vec![navigation(), event(0, 500.0, 900.0), soft(1_000_000.0, 1)];
    for i in 1..2_000 {
        items.push(event(i, 1_000.0 * f64::from(i), 48.0));
    }
    for i in 2_000..4_000 {
        items.push(event(i, 1_000.0 * f64::from(i), if i % 100 == 0 { f64::from(i) } else { 40.0 }));
    }
    items.push(count(999_000.0, 20.0));
    // First view: 999 interactions, only one above 48 ms. Second view: 3,000 interactions, twenty above 40 ms.
    assert_eq!(inp(&items), [Some(48.0), Some(3_000.0)]);
}

#[test]
fn impossible_entries_are_no_interactions() {
    for event in [
        Event { start: -1.0, duration: 100.0, processing_start: 0.0, interaction_id: 7.0 },
        Event { start: 1.0, duration: -100.0, processing_start: 0.0, interaction_id: 7.0 },
        Event { start: 1.0, duration: 100.0, processing_start: 0.0, interaction_id: -7.0 },
        Event { start: f64::NAN, duration: 100.0, processing_start: 0.0, interaction_id: 7.0 },
        Event { start: 1.0, duration: f64::INFINITY, processing_start: 0.0, interaction_id: 7.0 },
    ] {
        assert_eq!(inp(&[Item::Event(event)]), [None], "{event:?}");
    }
}
