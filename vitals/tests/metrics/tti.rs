use super::*;
use vitals::limits;
use vitals::view::TtiGap;

fn task(start: f64, duration: f64) -> Item {
    Item::LongTask { start, duration }
}

fn request(start: f64, end: f64) -> Item {
    Item::Resource { start, end, status: 200.0 }
}

/// TTI at `now` of a page with its first paint at 500 and `DOMContentLoaded` at 700.
fn tti(items: &[Item], now: f64) -> Result<f64, TtiGap> {
    let items = [&[EVERYTHING, navigation(), Item::FirstContentfulPaint(500.0)], items].concat();
    outcome(&views(&items, now)[0])
}

fn outcome(view: &Snapshot) -> Result<f64, TtiGap> {
    match (number(view, Metric::Tti), view.tti_gap) {
        (Some(number), None) => Ok(number),
        (None, Some(gap)) => Err(gap),
        both => panic!("{both:?}"),
    }
}

#[test]
fn a_quiet_page_is_interactive_when_loaded() {
    assert_eq!(tti(&[], 5_500.0), Ok(700.0));
    assert_eq!(tti(&[], 60_000.0), Ok(700.0));
}

#[test]
fn it_is_not_declared_before_the_window_is_over() {
    assert_eq!(tti(&[], 5_499.9), Err(TtiGap::Hidden));
    assert_eq!(tti(&[task(2_000.0, 100.0)], 7_099.0), Err(TtiGap::Cpu));
    assert_eq!(tti(&[task(2_000.0, 100.0)], 7_100.0), Ok(2_100.0));
}

#[test]
fn it_is_the_end_of_the_last_long_task_before_the_window() {
    let items = [task(400.0, 200.0), task(3_000.0, 100.0), task(8_000.0, 60.0), task(20_000.0, 500.0)];
    assert_eq!(tti(&items, 60_000.0), Ok(8_060.0), "4,900 ms between two tasks are not enough");
    let items = [task(3_000.0, 100.0), task(8_100.0, 900.0)];
    assert_eq!(tti(&items, 60_000.0), Ok(3_100.0), "the first window counts, not the last");
}

#[test]
fn short_tasks_do_not_count() {
    assert_eq!(tti(&[task(3_000.0, 49.9)], 60_000.0), Ok(700.0));
    assert_eq!(tti(&[task(3_000.0, 50.0)], 60_000.0), Ok(3_050.0));
}

#[test]
fn two_requests_may_be_in_flight() {
    let polls = [request(600.0, 60_000.0), request(600.0, 60_001.0)];
    assert_eq!(tti(&polls, 60_000.0), Ok(700.0));
    // A third one puts the window off, but not TTI: the main thread was free.
    let third = [&polls[..], &[request(600.0, 9_000.0)]].concat();
    assert_eq!(tti(&third, 13_999.0), Err(TtiGap::Network));
    assert_eq!(tti(&third, 14_000.0), Ok(700.0));
    let busy = [&third[..], &[task(8_000.0, 100.0)]].concat();
    assert_eq!(tti(&busy, 14_000.0), Ok(8_100.0));
}

#[test]
fn the_document_is_a_request_of_its_own() {
    let Item::Navigation(loaded) = navigation() else { unreachable!() };
    let streaming = Item::Navigation(Navigation { response_end: 9_000.0, ..loaded });
    let items = [streaming, request(600.0, 30_000.0), request(600.0, 30_001.0), task(8_000.0, 100.0)];
    assert_eq!(tti(&items[1..], 30_000.0), Ok(700.0));
    assert_eq!(tti(&items, 30_000.0), Ok(8_100.0));
    assert_eq!(tti(&items, 13_999.0), Err(TtiGap::Network));
}

#[test]
fn failed_requests_do_not_count() {
    let requests =
        |status| [600.0, 601.0, 602.0].map(|start| Item::Resource { start, end: 60_000.0, status });
    for status in [400.0, 404.0, 503.0] {
        assert_eq!(tti(&requests(status), 60_000.0), Ok(700.0), "{status}");
    }
    assert_eq!(tti(&requests(399.0), 60_000.0), Err(TtiGap::Network));
    let blocked = request(600.0, 0.0);
    assert_eq!(tti(&[blocked], 60_000.0), Ok(700.0));
}

#[test]
fn a_request_told_late_takes_it_back() {
    let polls = [request(600.0, 60_000.0), request(600.0, 60_001.0)];
    let mut document = Document::new(id(0));
    for item in [EVERYTHING, navigation(), Item::FirstContentfulPaint(500.0)].iter().chain(&polls) {
        document.push(item);
    }
    assert_eq!(outcome(&document.snapshots(10_000.0)[0]), Ok(700.0));
    document.push(&request(600.0, 9_990.0));
    assert_eq!(outcome(&document.snapshots(10_000.0)[0]), Err(TtiGap::Network));
}

#[test]
fn a_page_hidden_or_left_before_says_so() {
    assert_eq!(tti(&[hidden(3_000.0)], 60_000.0), Err(TtiGap::Hidden));
    assert_eq!(tti(&[soft(3_000.0, 1)], 60_000.0), Err(TtiGap::Hidden));
    assert_eq!(tti(&[hidden(400.0), visible(450.0)], 60_000.0), Err(TtiGap::Hidden), "no paint was seen");
    assert_eq!(tti(&[hidden(5_500.0)], 60_000.0), Ok(700.0));
}

#[test]
fn long_tasks_come_before_requests_as_the_cause() {
    let tasks: Vec<_> = (0..20).map(|i| task(1_000.0 + 1_000.0 * f64::from(i), 100.0)).collect();
    let polls: Vec<_> = (0..3).map(|i| request(600.0 + f64::from(i), 60_000.0)).collect();
    assert_eq!(tti(&tasks, 20_000.0), Err(TtiGap::Cpu));
    assert_eq!(tti(&polls, 20_000.0), Err(TtiGap::Network));
    assert_eq!(tti(&[&tasks[..], &polls].concat(), 20_000.0), Err(TtiGap::Cpu));
    assert_eq!(tti(&[&tasks[..], &polls].concat(), 5_000.0), Err(TtiGap::Hidden));
    // Neither alone leaves no window, both together do.
    let both = [task(5_600.0, 100.0), request(600.0, 800.0), request(601.0, 801.0), request(602.0, 802.0)];
    assert_eq!(tti(&both, 10_600.0), Err(TtiGap::Network));
}

#[test]
fn a_document_that_is_still_loading_is_not_interactive() {
    let Item::Navigation(loaded) = navigation() else { unreachable!() };
    let at = |dom_content_loaded_end| {
        let loading = Item::Navigation(Navigation { dom_content_loaded_end, ..loaded });
        outcome(&views(&[EVERYTHING, loading, Item::FirstContentfulPaint(500.0)], 9_000.0)[0])
    };
    assert_eq!(at(0.0), Err(TtiGap::Network));
    assert_eq!(at(8_000.0), Ok(8_000.0));
    assert_eq!(at(9_001.0), Err(TtiGap::Network));
}

#[test]
fn an_engine_that_cannot_tell_has_none_and_no_gap() {
    let items = [all_but(support::LONG_TASK), navigation(), Item::FirstContentfulPaint(500.0)];
    let [view] = &views(&items, 60_000.0)[..] else { panic!() };
    assert_eq!((number(view, Metric::Tti), view.tti_gap), (None, None));
}

#[test]
fn only_a_load_has_one() {
    let items = [
        EVERYTHING,
        navigation(),
        Item::FirstContentfulPaint(500.0),
        restore(20_000.0, 1),
        Item::RestorePaint(20_030.0),
        soft(40_000.0, 2),
    ];
    let views = views(&items, 60_000.0);
    let known: Vec<_> = views.iter().map(|view| (number(view, Metric::Tti), view.tti_gap)).collect();
    assert_eq!(known, [(Some(700.0), None), (None, None), (None, None)]);
}

#[test]
fn before_activation_nobody_waited() {
    let at = |more: &[Item], now| {
        let start = [EVERYTHING, prerendered(2_000.0), hidden(0.0), visible(2_004.0)];
        let paint = [Item::FirstContentfulPaint(500.0), task(900.0, 300.0)];
        outcome(&views(&[&start[..], &paint, more].concat(), now)[0])
    };
    assert_eq!(at(&[], 6_999.0), Err(TtiGap::Hidden));
    assert_eq!(at(&[], 7_000.0), Ok(0.0));
    assert_eq!(at(&[task(1_900.0, 300.0)], 7_200.0), Ok(200.0));
}

#[test]
fn past_the_bounds_it_is_not_guessed() {
    let tasks: Vec<_> = (0..limits::LONG_TASKS_MAX).map(|i| task(1_000.0 + 100.0 * i as f64, 60.0)).collect();
    assert_eq!(tti(&tasks, 600_000.0), Err(TtiGap::Cpu));
    assert_eq!(tti(&tasks[1..], 600_000.0), Ok(1_000.0 + 100.0 * (limits::LONG_TASKS_MAX - 1) as f64 + 60.0));
    let requests: Vec<_> = (0..limits::RESOURCES_MAX)
        .map(|i| request(1_000.0 + 10.0 * i as f64, 1_011.0 + 10.0 * i as f64))
        .collect();
    let early = [task(800.0, 400.0), task(6_000.0, 100.0)];
    assert_eq!(tti(&[&requests[..], &early].concat(), 600_000.0), Err(TtiGap::Network));
    assert_eq!(tti(&[&requests[1..], &early].concat(), 600_000.0), Ok(6_100.0));
}

#[test]
fn an_implausible_tti_is_not_kept_nor_is_its_blocking_time() {
    let Item::Navigation(loaded) = navigation() else { unreachable!() };
    for (dom_content_loaded_end, now) in
        [(1e129, f64::INFINITY), (600_500.0, 700_000.0), (f64::MAX, f64::MAX), (f64::INFINITY, f64::INFINITY)]
    {
        let late = Item::Navigation(Navigation { dom_content_loaded_end, ..loaded });
        let [view] = &views(&[EVERYTHING, late, Item::FirstContentfulPaint(500.0)], now)[..] else {
            panic!()
        };
        assert_eq!((number(view, Metric::Tti), view.tbt), (None, None), "{dom_content_loaded_end}");
    }
}

#[test]
fn an_implausible_blocking_time_is_not_kept_nor_is_its_tti() {
    // Tasks that overlap, as no main thread has them: together they block longer than a page may take.
    let overlapping = [task(600.0, 300_000.0), task(601.0, 300_000.0), task(602.0, 300_000.0)];
    let items = [&[EVERYTHING, navigation(), Item::FirstContentfulPaint(500.0)][..], &overlapping].concat();
    let [view] = &views(&items, 400_000.0)[..] else { panic!() };
    assert_eq!((number(view, Metric::Tti), view.tbt), (None, None));
    let [view] = &views(&items[..5], 400_000.0)[..] else { panic!() };
    assert_eq!((number(view, Metric::Tti), view.tbt.is_some()), (Some(300_601.0), true));
}
