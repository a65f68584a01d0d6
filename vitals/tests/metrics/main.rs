//! Tests of the metrics with hand-written streams of browser data.

mod attribution;
mod cls;
mod engaged;
mod fcp;
mod fetch;
mod fid;
mod inp;
mod lcp;
mod ttfb;
mod tti;
mod views;

use vitals::document::Document;
use vitals::entry::{Event, Item, Navigation, support};
use vitals::metric::Metric;
use vitals::metrics::views::Cause;
use vitals::snapshot::Snapshot;
use vitals::view::{NavigationType, ViewId};

/// All entry types.
const EVERYTHING: Item = Item::Support(support::ALL);

fn id(number: u64) -> ViewId {
    ViewId::new(1_763_632_800_000 + number, number.into())
}

/// Snapshots at `now` of a document whose first view is `id(0)`.
fn views(items: &[Item], now: f64) -> Vec<Snapshot> {
    let mut document = Document::new(id(0));
    for item in items {
        document.push(item);
    }
    document.snapshots(now)
}

/// A metric of each view after 10 min.
fn numbers(metric: Metric, items: &[Item]) -> Vec<Option<f64>> {
    views(items, 600_000.0).iter().map(|view| number(view, metric)).collect()
}

fn number(view: &Snapshot, metric: Metric) -> Option<f64> {
    view.values.get(metric).map(|value| value.number(metric))
}

/// A navigation whose response begins at 120 ms and whose `DOMContentLoaded` ends at 700 ms.
fn navigation() -> Item {
    Item::Navigation(Navigation {
        response_start: 120.0,
        activation_start: 0.0,
        dom_content_loaded_end: 700.0,
        navigation_type: Some(NavigationType::Navigate),
        response_end: 300.0,
        dom_complete: 900.0,
    })
}

/// The navigation of a prerendered document.
fn prerendered(activation_start: f64) -> Item {
    let Item::Navigation(navigation) = navigation() else { unreachable!() };
    Item::Navigation(Navigation { activation_start, ..navigation })
}

fn hidden(at: f64) -> Item {
    Item::Visibility { at, hidden: true }
}

fn visible(at: f64) -> Item {
    Item::Visibility { at, hidden: false }
}

fn shift(start: f64, value: f64) -> Item {
    Item::LayoutShift { start, value }
}

fn restore(at: f64, number: u64) -> Item {
    Item::Restore { at, id: id(number) }
}

fn soft(at: f64, number: u64) -> Item {
    let url = format!("https://shop.example/{number}");
    Item::Moved { at, id: id(number), url, route: String::new() }
}

/// An event of an interaction, handled 10 ms after its start.
fn event(interaction: u32, start: f64, duration: f64) -> Item {
    Item::Event(Event {
        start,
        duration,
        processing_start: start + 10.0,
        // Browsers start at a random number and increase it by 7.
        interaction_id: f64::from(interaction) * 7.0 + 4_001.0,
    })
}

fn count(at: f64, count: f64) -> Item {
    Item::InteractionCount { at, count }
}

fn all_but(bit: u32) -> Item {
    Item::Support(support::ALL & !bit)
}

#[test]
fn an_engine_without_entry_types_measures_what_it_can() {
    // WebKitGTK reports no candidates, events, shifts or long tasks.
    let items = [
        Item::Support(support::PAINT),
        navigation(),
        Item::FirstContentfulPaint(400.0),
        Item::Input(900.0),
        hidden(20_000.0),
    ];
    let [view] = &views(&items, 20_000.0)[..] else { panic!() };
    let known: Vec<_> = view.values.iter().map(|(metric, value)| (metric, value.number(metric))).collect();
    assert_eq!(known, [(Metric::Fcp, 400.0), (Metric::Ttfb, 120.0)]);
    assert_eq!(view.tti_gap, None);
}

#[test]
fn a_visit_of_300_milliseconds_counts() {
    let items = [
        EVERYTHING,
        navigation(),
        Item::FirstContentfulPaint(210.0),
        Item::LargestContentfulPaint(210.0),
        hidden(300.0),
    ];
    let [view] = &views(&items, 300.0)[..] else { panic!() };
    let known: Vec<_> = view.values.iter().map(|(metric, value)| (metric, value.number(metric))).collect();
    assert_eq!(
        known,
        [(Metric::Lcp, 210.0), (Metric::Cls, 0.0), (Metric::Fcp, 210.0), (Metric::Ttfb, 120.0)]
    );
}

#[test]
fn an_empty_page_is_a_view_without_values() {
    let [view] = &views(&[], 1_000.0)[..] else { panic!() };
    assert_eq!(view.id, id(0));
    assert!(view.values.is_empty());
    assert_eq!(view.tti_gap, None);
    assert_eq!(view.navigation_type, None, "nobody has told");
}

#[test]
fn a_clock_that_is_not_a_number_proves_nothing() {
    let items = [EVERYTHING, navigation(), Item::FirstContentfulPaint(210.0)];
    let [view] = &views(&items, f64::NAN)[..] else { panic!() };
    assert_eq!(number(view, Metric::Ttfb), None);
    assert_eq!(number(view, Metric::Tti), None);
}

#[test]
fn a_page_that_is_hidden_when_its_first_script_runs_was_so_from_its_start() {
    let hidden = |bits| Item::Support(bits | support::HIDDEN_AT_START);
    let fcp = |items: &[Item]| number(&views(items, 9_000.0)[0], Metric::Fcp);
    let painted = Item::FirstContentfulPaint(500.0);
    let untold = support::ALL & !support::VISIBILITY_STATE;
    let prerendered = prerendered(400.0);
    for (items, expected) in [
        (vec![Item::Support(untold), painted.clone()], Some(500.0)),
        (vec![hidden(untold), painted.clone()], None),
        // A browser with `visibility-state` entries reports the time.
        (vec![hidden(support::ALL), painted.clone()], Some(500.0)),
        (vec![hidden(support::ALL), prerendered.clone(), painted.clone()], None),
        (vec![Item::Support(support::ALL), prerendered, painted], Some(100.0)),
    ] {
        assert_eq!(fcp(&items), expected, "{items:?}");
    }
}
