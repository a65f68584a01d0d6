use super::*;

/// Whether the visitor engaged in each view, and when they first did something.
fn engaged(items: &[Item], now: f64) -> Vec<(Option<bool>, Option<f64>)> {
    views(items, now).into_iter().map(|view| (view.engaged, view.first_input_ms)).collect()
}

#[test]
fn visitor_is_engaged_after_ten_seconds_in_sight() {
    assert_eq!(engaged(&[], 9_999.0), [(Some(false), None)]);
    assert_eq!(engaged(&[], 10_000.0), [(Some(true), None)]);
    // In sight for 4 and 6 seconds.
    let away = [hidden(4_000.0), visible(60_000.0)];
    assert_eq!(engaged(&away, 65_999.0), [(Some(false), None)]);
    assert_eq!(engaged(&away, 66_000.0), [(Some(true), None)]);
    assert_eq!(engaged(&[hidden(4_000.0)], 600_000.0), [(Some(false), None)]);
    // Opened in the background, and looked at for 9 and 10 seconds.
    let background = [hidden(0.0), visible(50_000.0)];
    assert_eq!(engaged(&background, 59_000.0), [(Some(false), None)]);
    assert_eq!(engaged(&background, 60_000.0), [(Some(true), None)]);
}

#[test]
fn first_key_press_or_click_engages() {
    assert_eq!(engaged(&[Item::Input(900.0), Item::Input(700.0)], 1_000.0), [(Some(true), Some(700.0))]);
    // The browser knows of an input before our listeners.
    let items = [
        Item::FirstInput(Event { start: 300.0, duration: 8.0, processing_start: 301.0, interaction_id: 7.0 }),
        Item::Input(900.0),
    ];
    assert_eq!(engaged(&items, 1_000.0), [(Some(true), Some(300.0))]);
}

#[test]
fn each_view_is_engaged_by_its_own_time_and_input() {
    let items =
        [navigation(), Item::Input(4_990.0), soft(5_000.0, 1), soft(30_000.0, 2), Item::Input(31_000.5)];
    assert_eq!(
        engaged(&items, 32_000.0),
        [(Some(true), Some(4_990.0)), (Some(true), None), (Some(true), Some(1_000.5))],
        "the click that navigates belongs to the view that it leaves"
    );
}

#[test]
fn time_before_an_activation_is_not_in_sight() {
    let items = [prerendered(20_000.0), Item::Activation(20_000.0), visible(20_000.0), hidden(0.0)];
    assert_eq!(engaged(&items, 29_000.0), [(Some(false), None)]);
    assert_eq!(engaged(&items, 30_000.0), [(Some(true), None)]);
}

#[test]
fn clock_that_says_nothing_engages_nobody() {
    for now in [f64::NAN, -1.0, f64::NEG_INFINITY] {
        assert_eq!(engaged(&[hidden(f64::NAN)], now), [(Some(false), None)], "{now}");
    }
}
