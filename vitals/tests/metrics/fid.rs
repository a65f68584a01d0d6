use super::*;

fn first_input(start: f64) -> Item {
    Item::FirstInput(Event { start, duration: 104.0, processing_start: start + 37.5, interaction_id: 0.0 })
}

#[test]
fn it_is_the_delay_before_the_first_handler() {
    assert_eq!(numbers(Metric::Fid, &[first_input(2_000.0)]), [Some(37.5)]);
    assert_eq!(numbers(Metric::Fid, &[]), [None]);
}

#[test]
fn a_handler_does_not_run_before_its_input() {
    let early = Event { start: 2_000.0, duration: 8.0, processing_start: 1_999.9, interaction_id: 0.0 };
    assert_eq!(numbers(Metric::Fid, &[Item::FirstInput(early)]), [Some(0.0)]);
}

#[test]
fn after_the_page_was_hidden_it_is_not_the_first_impression() {
    assert_eq!(numbers(Metric::Fid, &[hidden(1_000.0), visible(1_500.0), first_input(2_000.0)]), [None]);
}

#[test]
fn a_document_has_one_in_its_first_view() {
    assert_eq!(numbers(Metric::Fid, &[first_input(2_000.0), restore(5_000.0, 1)]), [Some(37.5), None]);
    assert_eq!(numbers(Metric::Fid, &[restore(1_000.0, 1), first_input(2_000.0)]), [None, None]);
}
