use super::*;

#[test]
fn it_is_the_first_paint() {
    let items = [Item::FirstContentfulPaint(812.3)];
    assert_eq!(numbers(Metric::Fcp, &items), [Some(812.3)]);
}

#[test]
fn a_paint_nobody_saw_does_not_count() {
    let paint = Item::FirstContentfulPaint(800.0);
    for items in [
        vec![hidden(0.0), visible(500.0), paint.clone()],
        vec![hidden(799.0), paint.clone()],
        vec![hidden(800.0), paint.clone()],
    ] {
        assert_eq!(numbers(Metric::Fcp, &items), [None], "{items:?}");
    }
    assert_eq!(numbers(Metric::Fcp, &[visible(0.0), paint, hidden(801.0)]), [Some(800.0)]);
}

#[test]
fn a_prerendered_paint_is_waited_for_since_activation() {
    let at = |paint| [prerendered(1_000.0), hidden(0.0), visible(1_004.0), Item::FirstContentfulPaint(paint)];
    assert_eq!(numbers(Metric::Fcp, &at(300.0)), [Some(0.0)]);
    assert_eq!(numbers(Metric::Fcp, &at(1_250.0)), [Some(250.0)]);
    let hidden_later = [&at(1_250.0)[..], &[hidden(5_000.0)]].concat();
    assert_eq!(numbers(Metric::Fcp, &hidden_later), [Some(250.0)]);
}

#[test]
fn an_activation_may_be_told_by_itself() {
    let items = [Item::Activation(1_000.0), Item::FirstContentfulPaint(1_250.0)];
    assert_eq!(numbers(Metric::Fcp, &items), [Some(250.0)]);
    // The navigation entry has the exact time.
    let items = [Item::Activation(1_010.0), prerendered(1_000.0), Item::FirstContentfulPaint(1_250.0)];
    assert_eq!(numbers(Metric::Fcp, &items), [Some(250.0)]);
}

#[test]
fn activated_in_the_background_is_hidden_from_the_start() {
    let paint = Item::FirstContentfulPaint(300.0);
    for told in [vec![hidden(1_000.0)], vec![hidden(0.0), hidden(1_006.0)]] {
        let items = [&[prerendered(1_000.0), paint.clone()], &told[..]].concat();
        assert_eq!(numbers(Metric::Fcp, &items), [None], "{told:?}");
    }
}

#[test]
fn after_a_restore_it_is_the_first_frame() {
    let items = [
        Item::FirstContentfulPaint(300.0),
        hidden(4_000.0),
        visible(9_000.0),
        restore(9_000.0, 1),
        Item::RestorePaint(9_030.0),
    ];
    assert_eq!(numbers(Metric::Fcp, &items), [Some(300.0), Some(30.0)]);
}

#[test]
fn a_restore_is_seen_although_the_load_was_hidden() {
    let items = [
        hidden(0.0),
        Item::FirstContentfulPaint(300.0),
        visible(1_000.0),
        hidden(4_000.0),
        restore(9_000.0, 1),
        Item::RestorePaint(9_030.0),
    ];
    assert_eq!(numbers(Metric::Fcp, &items), [None, Some(30.0)]);
}

#[test]
fn a_restore_in_the_background_has_none() {
    let items = [restore(9_000.0, 1), hidden(9_001.0), visible(12_000.0), Item::RestorePaint(12_016.0)];
    assert_eq!(numbers(Metric::Fcp, &items), [None, None]);
}

#[test]
fn of_a_soft_navigation_it_is_its_first_contentful_paint() {
    let items = [
        navigation(),
        Item::FirstContentfulPaint(300.0),
        soft(5_000.0, 1),
        Item::SoftPaint(5_080.0),
        Item::SoftPaint(5_400.0),
        Item::Input(6_990.0),
        soft(7_000.0, 2),
    ];
    assert_eq!(numbers(Metric::Fcp, &items), [Some(300.0), Some(80.0), None]);
}

#[test]
fn a_soft_navigation_of_a_hidden_page_is_not_seen() {
    let items = [navigation(), hidden(4_000.0), soft(5_000.0, 1), visible(5_010.0), Item::SoftPaint(5_080.0)];
    assert_eq!(numbers(Metric::Fcp, &items), [None, None]);
}
