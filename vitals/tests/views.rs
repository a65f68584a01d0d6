//! Checks page views against a simple model that sees all facts at once, in any order of arrival.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use vitals::document::Document;
use vitals::entry::{Item, Navigation};
use vitals::limits::{CHANGES_MAX, REDIRECT_MS, VIEWS_PER_BEACON_MAX};
use vitals::view::{NavigationType, ViewId};

const FIRST: ViewId = id(0);

const fn id(number: u64) -> ViewId {
    ViewId::new(1_763_632_800_000 + number, 0)
}

/// The visible fields of a view: id, start, type, URL, route.
type Seen = (ViewId, f64, Option<NavigationType>, String, String);

fn seen(items: &[Item]) -> Vec<Seen> {
    let mut document = Document::new(FIRST);
    items.iter().for_each(|item| document.push(item));
    views_of(&document, items)
}

fn views_of(document: &Document, items: &[Item]) -> Vec<Seen> {
    let starts = document.later().iter().map(|view| view.start);
    let starts = std::iter::once(activation(items)).chain(starts);
    let views = document.snapshots(1e6).into_iter().zip(starts);
    views
        .map(|(view, start)| {
            let (url, route) = (view.url.unwrap_or_default(), view.route.unwrap_or_default());
            (view.id, start, view.navigation_type, url, route)
        })
        .collect()
}

fn activation(items: &[Item]) -> f64 {
    let of = |item: &Item| if let Item::Navigation(entry) = item { entry.activation_start } else { 0.0 };
    items.iter().map(of).fold(0.0, f64::max)
}

// ---- The model ----

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Restore,
    Move,
    Name,
}

#[derive(Clone)]
struct Step {
    at: f64,
    /// The earliest reported time: that of the click, if it was reported.
    clicked: f64,
    id: ViewId,
    kind: Kind,
    text: String,
}

/// The events of a view, in order; the first one began it.
#[derive(Clone)]
struct Story {
    id: ViewId,
    start: f64,
    settled: f64,
    events: Vec<(Kind, String)>,
    /// The URL of the previous view, and whether the view is a load or begun by a restore.
    url: String,
    route: String,
    load: bool,
}

impl Story {
    fn url(&self) -> String {
        self.last(Kind::Move).unwrap_or_else(|| self.url.clone())
    }

    fn route(&self) -> String {
        self.last(Kind::Name).unwrap_or_else(|| self.route.clone())
    }

    fn last(&self, kind: Kind) -> Option<String> {
        self.events.iter().rfind(|event| event.0 == kind).map(|event| event.1.clone())
    }
}

fn model(items: &[Item]) -> Vec<Seen> {
    let complete = items.iter().filter_map(|item| match item {
        Item::Navigation(entry) if entry.dom_complete > 0.0 => Some(entry.dom_complete),
        _ => None,
    });
    let complete = complete.reduce(f64::max);
    let inputs: Vec<f64> =
        items.iter().filter_map(|item| if let Item::Input(at) = item { Some(*at) } else { None }).collect();
    let acted = |from: f64, to: f64| inputs.iter().any(|&input| from < input && input <= to);

    let mut left = Vec::new();
    let mut view = Story {
        id: FIRST,
        start: activation(items),
        settled: activation(items),
        events: Vec::new(),
        url: String::new(),
        route: String::new(),
        load: true,
    };
    for step in steps(items) {
        let loading = view.load && complete.is_none_or(|complete| step.at <= complete);
        let settled = if view.load { complete.unwrap_or(step.at).max(view.settled) } else { view.settled };
        let untouched = !acted(view.start, step.at);
        let early = untouched && step.at <= settled + REDIRECT_MS;
        let (page, to) = (view.url(), step.text.trim_end_matches('/'));
        let absorbed = match step.kind {
            Kind::Restore => false,
            Kind::Move if !page.is_empty() && page.trim_end_matches('/') == to => continue,
            Kind::Move => early,
            Kind::Name => {
                let moved_last = view.events.last().is_some_and(|event| event.0 == Kind::Move);
                let never_named = view.load && view.events.is_empty();
                step.id == ViewId::NONE || loading || early || moved_last || (never_named && untouched)
            }
        };
        if absorbed {
            view.events.push((step.kind, step.text));
            continue;
        }
        let (start, url, route) = (view.start, view.url(), view.route());
        left.push(view);
        view = Story {
            id: step.id,
            start: if step.clicked < start { step.at } else { step.clicked },
            settled: step.at,
            events: if step.kind == Kind::Restore {
                vec![(Kind::Restore, String::new())]
            } else {
                vec![(step.kind, step.text)]
            },
            url,
            route: if step.kind == Kind::Restore { route } else { String::new() },
            load: false,
        };
    }
    let mut stories = left;
    stories.push(view);
    let dropped = stories.len().saturating_sub(VIEWS_PER_BEACON_MAX);
    stories.drain(1..1 + dropped);
    // Without a navigation entry, the type is unknown.
    let told = items.iter().any(|item| matches!(item, Item::Navigation(_)));
    let kind = |view: &Story| {
        Some(match view.events.first() {
            _ if view.load && view.start > 0.0 => NavigationType::Prerender,
            _ if view.load => return told.then_some(NavigationType::Navigate),
            Some((Kind::Restore, _)) => NavigationType::BackForwardCache,
            _ => NavigationType::SoftNavigation,
        })
    };
    stories.iter().map(|view| (view.id, view.start, kind(view), view.url(), view.route())).collect()
}

/// Returns the distinct changes, each at its latest time, clicked at its earliest, with the first text of its
/// reports.
fn steps(items: &[Item]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for item in items {
        let (at, id, kind, text) = match item {
            Item::Restore { at, id } => (at, id, Kind::Restore, ""),
            Item::Moved { at, id, url, .. } => (at, id, Kind::Move, url.as_str()),
            Item::Named { at, id, route } => (at, id, Kind::Name, route.as_str()),
            _ => continue,
        };
        if let Some(known) = steps.iter_mut().find(|step| step.id == *id && *id != ViewId::NONE) {
            known.at = known.at.max(*at);
            known.clicked = known.clicked.min(*at);
            if known.text.is_empty() && !text.is_empty() {
                (known.text, known.kind) = (text.to_owned(), kind);
            }
        } else {
            steps.push(Step { at: *at, clicked: *at, id: *id, kind, text: text.to_owned() });
        }
    }
    // At the same time: restore, then navigation, then name.
    let order = |kind: Kind| [Kind::Restore, Kind::Move, Kind::Name].iter().position(|&one| one == kind);
    steps.sort_by(|one, other| {
        let times = one.at.total_cmp(&other.at);
        let kinds = order(one.kind).cmp(&order(other.kind));
        times.then(kinds).then(one.id.cmp(&other.id)).then(one.text.cmp(&other.text))
    });
    steps
}

// ---- Facts ----

fn page() -> impl Strategy<Value = String> {
    select(vec![
        "https://a.example/",
        "https://a.example",
        "https://a.example/b",
        "https://a.example/b/",
        "https://a.example/c",
    ])
    .prop_map(str::to_owned)
}

fn route() -> impl Strategy<Value = String> {
    select(vec!["/one", "/two", "/three"]).prop_map(str::to_owned)
}

/// A time in quarters of a second, so that time bounds are met exactly; sometimes slightly more.
fn time() -> impl Strategy<Value = f64> {
    (0..50_u32, prop_oneof![4 => Just(0.0), 1 => Just(0.001)])
        .prop_map(|(quarters, hair)| f64::from(quarters) * 250.0 + hair)
}

fn navigation() -> impl Strategy<Value = Item> {
    let complete =
        prop_oneof![1 => Just(0.0), 3 => (1..16_u32).prop_map(|quarters| f64::from(quarters) * 250.0)];
    let activation =
        prop_oneof![4 => Just(0.0), 1 => (1..16_u32).prop_map(|quarters| f64::from(quarters) * 250.0)];
    (complete, activation).prop_map(|(dom_complete, activation_start)| {
        Item::Navigation(Navigation {
            response_start: 1.0,
            activation_start,
            dom_content_loaded_end: 1.0,
            navigation_type: Some(NavigationType::Navigate),
            response_end: 1.0,
            dom_complete,
        })
    })
}

/// A change; the caller sets its id, if it has one.
fn change() -> impl Strategy<Value = Item> {
    prop_oneof![
        1 => time().prop_map(|at| Item::Restore { at, id: FIRST }),
        5 => (time(), page()).prop_map(|(at, url)| Item::Moved { at, id: FIRST, url, route: String::new() }),
        5 => (time(), route()).prop_map(|(at, route)| Item::Named { at, id: FIRST, route }),
        3 => (time(), route()).prop_map(|(at, route)| Item::Named { at, id: ViewId::NONE, route }),
    ]
}

fn with_id(mut item: Item, number: usize) -> Item {
    if let Item::Restore { id: own, .. } | Item::Moved { id: own, .. } | Item::Named { id: own, .. } =
        &mut item
        && *own != ViewId::NONE
    {
        *own = id(number as u64 + 1);
    }
    item
}

/// The facts of one document, within all bounds.
fn facts() -> impl Strategy<Value = Vec<Item>> {
    let changes = vec((change(), proptest::option::weighted(0.2, 0..9_u32)), 0..VIEWS_PER_BEACON_MAX);
    (vec(navigation(), 0..3), changes, vec(time(), 0..8)).prop_map(|(entries, changes, inputs)| {
        let mut items = entries;
        items.extend(inputs.into_iter().map(Item::Input));
        for (number, (change, retold)) in changes.into_iter().enumerate() {
            let change = with_id(change, number);
            // The browser reports afterwards which click caused it.
            if let (Some(quarters), Item::Moved { at, id, .. } | Item::Named { at, id, .. }) =
                (retold, &change)
                && *id != ViewId::NONE
            {
                let at = (at - f64::from(quarters) * 250.0).max(0.0) + 0.001;
                let blank = String::new();
                items.push(Item::Moved {
                    at: at.min(at_of(&change)),
                    id: *id,
                    url: blank.clone(),
                    route: blank,
                });
            }
            items.push(change);
        }
        items
    })
}

fn at_of(item: &Item) -> f64 {
    match item {
        Item::Restore { at, .. } | Item::Moved { at, .. } | Item::Named { at, .. } | Item::Input(at) => *at,
        _ => 0.0,
    }
}

/// Regressions found by random searches.
#[test]
fn one_restore_at_the_start_is_judged_like_the_model() {
    let restore = with_id(Item::Restore { at: 1_000.001, id: FIRST }, 0);
    let items = [restore];
    assert_eq!(seen(&items), model(&items));
    assert_eq!(seen(&[]), model(&[]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn views_are_those_of_the_model_in_any_order_of_telling(
        (items, shuffled) in facts().prop_flat_map(|items| (Just(items.clone()), Just(items).prop_shuffle())),
    ) {
        let expected = model(&items);
        prop_assert_eq!(&seen(&items), &expected);
        prop_assert_eq!(&seen(&shuffled), &expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// With facts in order of time, dropping and absorbing changes does not alter the result.
    #[test]
    fn thousands_of_changes_are_judged_like_a_few_and_kept_in_bounds(
        entries in vec(navigation(), 0..2),
        rounds in vec((change(), 0..20_u32), 1..400),
        pace_ms in select(vec![0.01, 0.4, 5.0, 60.0, 700.0]),
        repeated in 1..8_u32,
    ) {
        let mut items = entries;
        let mut at = 1_000.0;
        for _ in 0..repeated {
            for (change, steps) in &rounds {
                at += f64::from(*steps) * pace_ms + 0.001;
                if *steps == 7 {
                    items.push(Item::Input(at));
                    at += 0.001;
                }
                let mut change = with_id(change.clone(), items.len());
                if let Item::Restore { at: own, .. } | Item::Moved { at: own, .. } | Item::Named { at: own, .. } = &mut change {
                    *own = at;
                }
                items.push(change);
            }
        }
        let mut document = Document::new(FIRST);
        for item in &items {
            document.push(item);
        }
        // About 300 characters per change and 150 per view.
        let kept = format!("{document:?}").len();
        prop_assert!(kept < 600 * CHANGES_MAX, "{kept}");
        prop_assert_eq!(views_of(&document, &items), model(&items));
    }
}
