use super::*;
use vitals::limits::SHIFTS_MAX;

const PAINT: Item = Item::FirstContentfulPaint(300.0);

fn cls(items: &[Item]) -> Vec<Option<f64>> {
    numbers(Metric::Cls, &[&[EVERYTHING, navigation()], items].concat())
}

#[test]
fn it_is_0_where_nothing_moved() {
    assert_eq!(cls(&[PAINT]), [Some(0.0)]);
}

#[test]
fn a_window_ends_with_a_gap_of_one_second() {
    assert_eq!(cls(&[PAINT, shift(400.0, 0.25), shift(1_399.0, 0.25), shift(2_399.0, 0.125)]), [Some(0.5)]);
    assert_eq!(cls(&[PAINT, shift(400.0, 0.25), shift(1_400.0, 0.5)]), [Some(0.5)]);
}

#[test]
fn a_window_ends_after_five_seconds() {
    let steady: Vec<_> = (0..6).map(|i| shift(1_000.0 + 999.0 * f64::from(i), 0.125)).collect();
    assert_eq!(
        cls(&[&[PAINT], &steady[..]].concat()),
        [Some(0.75)],
        "the sixth lies 4,995 ms after the first"
    );
    let at_the_edge = [&[PAINT], &steady[..], &[shift(6_000.0, 0.5)]].concat();
    assert_eq!(cls(&at_the_edge), [Some(0.75)], "5,000 ms after the first a window of its own begins");
}

#[test]
fn it_is_the_largest_window_not_the_last() {
    let items =
        [PAINT, shift(400.0, 0.25), shift(9_000.0, 0.5), shift(9_500.0, 0.25), shift(20_000.0, 0.125)];
    assert_eq!(cls(&items), [Some(0.75)]);
}

#[test]
fn it_goes_on_after_the_page_was_hidden() {
    assert_eq!(
        cls(&[PAINT, shift(400.0, 0.25), hidden(1_000.0), visible(8_000.0), shift(8_100.0, 0.5)]),
        [Some(0.5)]
    );
}

#[test]
fn a_page_loaded_hidden_has_none() {
    assert_eq!(cls(&[hidden(0.0), visible(1_000.0), PAINT, shift(1_100.0, 0.25)]), [None]);
    assert_eq!(cls(&[shift(1_100.0, 0.25)]), [None], "nothing was painted yet");
}

#[test]
fn an_engine_that_cannot_tell_has_none() {
    let moved = [navigation(), PAINT, shift(400.0, 0.25)];
    assert_eq!(numbers(Metric::Cls, &moved), [None], "support was never told");
    assert_eq!(numbers(Metric::Cls, &[&[all_but(support::LAYOUT_SHIFT)], &moved[..]].concat()), [None]);
}

#[test]
fn what_moved_before_activation_is_not_seen() {
    let items = [
        EVERYTHING,
        prerendered(1_000.0),
        hidden(0.0),
        visible(1_002.0),
        PAINT,
        shift(400.0, 0.5),
        shift(1_100.0, 0.25),
    ];
    assert_eq!(numbers(Metric::Cls, &items), [Some(0.25)]);
}

#[test]
fn a_shift_belongs_to_the_view_in_whose_time_it_falls() {
    let items = [
        PAINT,
        shift(400.0, 0.25),
        soft(5_000.0, 1),
        // Less than 1 s apart, but two windows, because a new view begins between them.
        shift(4_900.0, 0.125),
        shift(5_000.0, 0.5),
        restore(9_000.0, 2),
        Item::RestorePaint(9_030.0),
        restore(12_000.0, 3),
    ];
    assert_eq!(cls(&items), [Some(0.25), Some(0.5), Some(0.0), None]);
}

#[test]
fn a_restore_counts_although_the_load_was_hidden() {
    let items = [
        hidden(0.0),
        PAINT,
        visible(400.0),
        restore(9_000.0, 1),
        Item::RestorePaint(9_030.0),
        shift(9_500.0, 0.5),
    ];
    assert_eq!(cls(&items), [None, Some(0.5)]);
}

#[test]
fn a_discarded_page_is_measured_under_its_own_type() {
    let Item::Navigation(loaded) = navigation() else { unreachable!() };
    let items = [
        EVERYTHING,
        Item::Navigation(Navigation { navigation_type: Some(NavigationType::Restore), ..loaded }),
        PAINT,
        shift(400.0, 0.25),
    ];
    let [view] = &views(&items, 1_000.0)[..] else { panic!() };
    assert_eq!(view.navigation_type, Some(NavigationType::Restore));
    assert_eq!(number(view, Metric::Cls), Some(0.25));
}

#[test]
fn past_the_bound_the_largest_window_stays() {
    let mut items = vec![PAINT, soft(50_000.0, 1)];
    // Windows of two shifts, 2 s apart, far more than are stored; two windows are larger.
    for i in 0..20_000 {
        let at = 1_000.0 + 2_000.0 * f64::from(i);
        items.push(shift(at, if i == 17 { 1.5 } else { 0.125 }));
        items.push(shift(at + 500.0, if i == 900 { 0.75 } else { 0.125 }));
    }
    assert_eq!(cls(&items), [Some(1.625), Some(0.875)]);
}

#[test]
fn past_the_bound_the_last_window_still_grows() {
    let mut items = vec![PAINT, shift(500.0, 0.5)];
    let last = 2_000.0 * SHIFTS_MAX as f64;
    for i in 1..SHIFTS_MAX - 1 {
        items.push(shift(2_000.0 * i as f64, 0.125));
    }
    items.extend([shift(last, 0.375), shift(last + 500.0, 0.375)]);
    assert_eq!(cls(&items), [Some(0.75)]);
}
