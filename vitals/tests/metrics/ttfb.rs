use super::*;

fn ttfb(response_start: f64, activation_start: f64, now: f64) -> Option<f64> {
    let item = Item::Navigation(Navigation {
        response_start,
        activation_start,
        dom_content_loaded_end: 0.0,
        navigation_type: Some(NavigationType::Reload),
        response_end: 0.0,
        dom_complete: 0.0,
    });
    number(&views(&[item], now)[0], Metric::Ttfb)
}

#[test]
fn it_is_the_start_of_the_response() {
    assert_eq!(ttfb(1_234.5, 0.0, 2_000.0), Some(1_234.5));
}

#[test]
fn before_activation_nobody_waited() {
    assert_eq!(ttfb(1_200.0, 1_000.0, 2_000.0), Some(200.0));
    assert_eq!(ttfb(400.0, 1_000.0, 2_000.0), Some(0.0));
}

#[test]
fn an_impossible_start_is_no_value() {
    assert_eq!(ttfb(0.0, 0.0, 2_000.0), None, "no response yet, or withheld");
    assert_eq!(ttfb(-1.0, 0.0, 2_000.0), None);
    assert_eq!(ttfb(2_001.0, 0.0, 2_000.0), None, "in the future");
    assert_eq!(ttfb(1e308, 0.0, 2_000.0), None);
}

#[test]
fn a_restore_takes_no_time_and_a_soft_navigation_has_none() {
    let items = [navigation(), restore(5_000.0, 1), soft(9_000.0, 2)];
    assert_eq!(numbers(Metric::Ttfb, &items), [Some(120.0), Some(0.0), None]);
}

#[test]
fn a_page_opened_in_the_background_has_one() {
    assert_eq!(numbers(Metric::Ttfb, &[hidden(0.0), navigation()]), [Some(120.0)]);
}
