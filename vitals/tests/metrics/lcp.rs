use super::*;

fn candidates() -> Vec<Item> {
    [900.0, 1_500.0, 2_600.0].map(Item::LargestContentfulPaint).to_vec()
}

fn lcp(more: &[Item]) -> Option<f64> {
    let items = [&[EVERYTHING, navigation()], &candidates()[..], more].concat();
    numbers(Metric::Lcp, &items)[0]
}

#[test]
fn it_is_the_last_candidate() {
    assert_eq!(lcp(&[]), Some(2_600.0));
}

#[test]
fn the_first_input_makes_it_final() {
    assert_eq!(lcp(&[Item::Input(2_000.0)]), Some(1_500.0));
    assert_eq!(lcp(&[Item::Input(2_800.0), Item::Input(2_000.0)]), Some(1_500.0));
    assert_eq!(lcp(&[Item::Input(1_500.0)]), Some(1_500.0), "the paint came before the input");
    assert_eq!(lcp(&[Item::Input(899.0)]), None);
}

#[test]
fn hiding_makes_it_final() {
    assert_eq!(lcp(&[hidden(2_000.0)]), Some(1_500.0));
    assert_eq!(lcp(&[hidden(1_500.0)]), Some(900.0), "painted when nobody saw it any more");
    assert_eq!(lcp(&[hidden(2_000.0), visible(2_100.0)]), Some(1_500.0));
    assert_eq!(lcp(&[hidden(0.0), visible(100.0)]), None);
}

#[test]
fn a_candidate_delivered_late_counts() {
    assert_eq!(lcp(&[Item::Input(2_000.0), Item::LargestContentfulPaint(1_999.0)]), Some(1_999.0));
    assert_eq!(lcp(&[Item::Input(2_000.0), Item::LargestContentfulPaint(2_001.0)]), Some(1_500.0));
}

#[test]
fn a_prerendered_page_is_waited_for_since_activation() {
    let at = |start: f64| {
        let items = [&[prerendered(start), hidden(0.0), visible(start + 3.0)], &candidates()[..]].concat();
        numbers(Metric::Lcp, &items)[0]
    };
    assert_eq!(at(1_000.0), Some(1_600.0));
    assert_eq!(at(3_000.0), Some(0.0));
}

#[test]
fn after_a_restore_it_is_the_first_frame() {
    let restored = [restore(9_000.0, 1), Item::RestorePaint(9_030.0), Item::RestorePaint(9_060.0)];
    assert_eq!(
        numbers(Metric::Lcp, &[&[EVERYTHING], &candidates()[..], &restored].concat()),
        [Some(2_600.0), Some(30.0)]
    );
    assert_eq!(
        numbers(Metric::Lcp, &[&[all_but(support::LCP)], &restored[..]].concat()),
        [None, None],
        "an engine that has no LCP of loads has none of restores"
    );
}

#[test]
fn a_soft_navigation_ends_one_and_begins_another() {
    let items = [
        &candidates()[..],
        &[
            Item::Input(4_990.0),
            soft(5_000.0, 1),
            Item::LargestContentfulPaint(5_010.0),
            Item::SoftPaint(5_080.0),
            Item::SoftPaint(5_400.0),
            Item::Input(5_500.0),
            Item::SoftPaint(5_600.0),
            soft(7_000.0, 2),
        ],
    ]
    .concat();
    assert_eq!(numbers(Metric::Lcp, &items), [Some(2_600.0), Some(400.0), None]);
}

#[test]
fn what_is_painted_in_a_later_view_is_not_the_loads() {
    let items = [&candidates()[..], &[Item::Input(1_900.0), soft(2_000.0, 1)]].concat();
    assert_eq!(numbers(Metric::Lcp, &items), [Some(1_500.0), None]);
}

#[test]
fn the_click_of_a_soft_navigation_is_not_an_input_in_it() {
    let items = [Item::Input(5_000.0), soft(5_000.0, 1), Item::SoftPaint(5_080.0)];
    assert_eq!(numbers(Metric::Lcp, &items), [None, Some(80.0)]);
}

#[test]
fn an_implausible_one_is_none() {
    assert_eq!(numbers(Metric::Lcp, &[Item::LargestContentfulPaint(600_001.0)]), [None]);
}
