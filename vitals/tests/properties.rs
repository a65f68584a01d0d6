//! Checks laws of the document, for any facts in any order.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value as Json, json};
use vitals::beacon::{Beacon, Content, decode, errors};
use vitals::document::Document;
use vitals::entry::{Detail, DetailKind, Event, Item, NUMBERS_MAX, Navigation, support};
use vitals::fetch::{Fetch, Fetched};
use vitals::limits;
use vitals::metric::{Metric, Value};
use vitals::snapshot::Snapshot;
use vitals::view::{NavigationType, ViewId};

const FIRST: ViewId = ViewId::new(1_763_632_800_000, 0);

fn snapshots(items: &[Item], now: f64) -> Vec<Snapshot> {
    let mut document = Document::new(FIRST);
    for item in items {
        document.push(item);
    }
    document.snapshots(now)
}

/// A time within half a minute, often equal to that of another fact.
fn time() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0..=60_u32).prop_map(|half_seconds| f64::from(half_seconds) * 500.0),
        (0..300_000_u32).prop_map(|tenths| f64::from(tenths) / 10.0),
        0.0..30_000.0,
    ]
}

fn event() -> impl Strategy<Value = Event> {
    (time(), 0..60_u32, 0.0..300.0, 0..80_u32).prop_map(|(start, steps, delay, interaction)| Event {
        start,
        duration: f64::from(steps) * 8.0,
        processing_start: start + delay,
        interaction_id: f64::from(interaction) * 7.0,
    })
}

fn view_id() -> impl Strategy<Value = ViewId> {
    (0..8_u64).prop_map(|number| ViewId::new(1_763_632_800_000 + number, 0))
}

fn navigation() -> impl Strategy<Value = Item> {
    let read = (time(), prop_oneof![3 => Just(0.0), 1 => time()], time(), time());
    (read, select(NavigationType::ALL)).prop_map(|((response_start, activation_start, dcl, end), kind)| {
        Item::Navigation(Navigation {
            response_start,
            activation_start,
            dom_content_loaded_end: dcl,
            navigation_type: Some(kind),
            response_end: end,
            dom_complete: end,
        })
    })
}

/// A detail of the entries above, often at one of their times.
fn detail() -> impl Strategy<Value = Detail> {
    let name = || "[a-c]{0,1}";
    prop_oneof![
        (time(), time(), time(), name(), name()).prop_map(
            |(start, request_start, response_end, target, url)| Detail::paint(
                start,
                request_start,
                response_end,
                target,
                url
            )
        ),
        (event(), 0.0..300.0, name(), name()).prop_map(|(event, took, target, name)| {
            let processing = [event.processing_start, event.processing_start + took];
            Detail::event(event.start, event.duration, processing, target, name)
        }),
        (time(), 0.0..0.4, name()).prop_map(|(start, value, target)| Detail::shift(start, value, target)),
        (time(), 0.0..400.0, 0.0..400.0, name()).prop_map(|(start, duration, script_duration, url)| {
            Detail::script(start, duration, script_duration, url)
        }),
    ]
}

/// Any item that a browser could report.
fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        1 => navigation(),
        2 => time().prop_map(Item::FirstContentfulPaint),
        4 => time().prop_map(Item::LargestContentfulPaint),
        6 => (time(), 0.0..0.4).prop_map(|(start, value)| Item::LayoutShift { start, value }),
        1 => event().prop_map(Item::FirstInput),
        8 => event().prop_map(Item::Event),
        4 => (time(), 0.0..400.0).prop_map(|(start, duration)| Item::LongTask { start, duration }),
        6 => (time(), 0.0..9_000.0, select(vec![0.0, 200.0, 404.0]))
            .prop_map(|(start, took, status)| Item::Resource { start, end: start + took, status }),
        1 => (time(), any::<bool>()).prop_map(|(at, hidden)| Item::Visibility { at, hidden }),
        1 => time().prop_map(Item::Input),
        1 => (time(), view_id()).prop_map(|(at, id)| Item::Restore { at, id }),
        1 => time().prop_map(Item::RestorePaint),
        2 => (time(), view_id(), "[a-c]{0,1}/{0,2}", "[a-z]{0,1}")
            .prop_map(|(at, id, url, route)| Item::Moved { at, id, url, route }),
        2 => (time(), view_id(), "[a-z]{0,1}").prop_map(|(at, id, route)| Item::Named { at, id, route }),
        1 => (time(), "[a-z]{0,1}").prop_map(|(at, route)| Item::Named { at, id: ViewId::NONE, route }),
        2 => time().prop_map(Item::SoftPaint),
        1 => time().prop_map(Item::Activation),
        2 => (time(), 0..200_u32).prop_map(|(at, count)| Item::InteractionCount { at, count: count.into() }),
        1 => prop_oneof![Just(u32::MAX), 0..256_u32].prop_map(Item::Support),
        6 => detail().prop_map(Item::Detail),
    ]
}

/// Any number, with a bias to edge cases.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        time(),
        select(vec![
            0.0,
            -0.0,
            -1.0,
            f64::MIN,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e300,
            9_007_199_254_740_993.0,
        ]),
    ]
}

/// Items with numbers that no browser reports, beyond those that `from_fields` accepts.
fn garbage() -> impl Strategy<Value = Item> {
    let event = || {
        [number(), number(), number(), number()].prop_map(
            |[start, duration, processing_start, interaction_id]| Event {
                start,
                duration,
                processing_start,
                interaction_id,
            },
        )
    };
    prop_oneof![
        ([number(), number(), number(), number()], select(NavigationType::ALL)).prop_map(
            |([a, b, c, d], kind)| {
                Item::Navigation(Navigation {
                    response_start: a,
                    activation_start: b,
                    dom_content_loaded_end: c,
                    navigation_type: Some(kind),
                    response_end: d,
                    dom_complete: d,
                })
            }
        ),
        number().prop_map(Item::FirstContentfulPaint),
        number().prop_map(Item::LargestContentfulPaint),
        [number(), number()].prop_map(|[start, value]| Item::LayoutShift { start, value }),
        event().prop_map(Item::FirstInput),
        event().prop_map(Item::Event),
        [number(), number()].prop_map(|[start, duration]| Item::LongTask { start, duration }),
        [number(), number(), number()].prop_map(|[start, end, status]| Item::Resource { start, end, status }),
        (number(), any::<bool>()).prop_map(|(at, hidden)| Item::Visibility { at, hidden }),
        number().prop_map(Item::Input),
        (number(), any::<u128>()).prop_map(|(at, random)| Item::Restore { at, id: ViewId::new(0, random) }),
        number().prop_map(Item::RestorePaint),
        (number(), any::<u128>(), any::<String>(), any::<String>()).prop_map(|(at, random, url, route)| {
            Item::Moved { at, id: ViewId::new(0, random), url, route }
        }),
        (number(), any::<u128>(), any::<String>()).prop_map(|(at, random, route)| Item::Named {
            at,
            id: ViewId::new(0, random),
            route
        }),
        number().prop_map(Item::SoftPaint),
        number().prop_map(Item::Activation),
        [number(), number()].prop_map(|[at, count]| Item::InteractionCount { at, count }),
        any::<u32>().prop_map(Item::Support),
        item(),
    ]
}

/// Returns an item in the snippet's format.
fn wire(item: &Item) -> Json {
    match item {
        Item::Navigation(n) => json!([
            0,
            n.response_start,
            n.activation_start,
            n.dom_content_loaded_end,
            n.navigation_type.map_or(-1, |kind| kind as i8),
            n.response_end,
            n.dom_complete
        ]),
        Item::FirstContentfulPaint(at) => json!([1, at]),
        Item::LargestContentfulPaint(at) => json!([2, at]),
        Item::LayoutShift { start, value } => json!([3, start, value]),
        Item::FirstInput(e) => json!([4, e.start, e.duration, e.processing_start, e.interaction_id]),
        Item::Event(e) => json!([5, e.start, e.duration, e.processing_start, e.interaction_id]),
        Item::LongTask { start, duration } => json!([6, start, duration]),
        Item::Resource { start, end, status } => json!([7, start, end, status]),
        Item::Visibility { at, hidden } => json!([8, at, u8::from(*hidden)]),
        Item::Input(at) => json!([9, at]),
        Item::Restore { at, id } => json!([10, at, id.to_string()]),
        Item::RestorePaint(at) => json!([11, at]),
        Item::Moved { at, id, url, route } => json!([12, at, id.to_string(), url, route]),
        Item::SoftPaint(at) => json!([13, at]),
        Item::Activation(at) => json!([14, at]),
        Item::InteractionCount { at, count } => json!([15, count, at]),
        Item::Support(bits) => json!([16, bits]),
        Item::Named { at, id: ViewId::NONE, route } => json!([22, at, FIRST.to_string(), route]),
        Item::Named { at, id, route } => json!([21, at, id.to_string(), route]),
        Item::Detail(Detail { kind, numbers: [a, b, c, d], texts: [first, second] }) => match kind {
            DetailKind::Paint => json!([17, a, c, d, first, second]),
            DetailKind::Event => json!([18, a, b, c, d, first, second]),
            DetailKind::Shift => json!([19, a, b, first]),
            DetailKind::Script => json!([20, a, c, b, first]),
        },
    }
}

/// Returns the same fact, `ms` later.
fn later(item: &Item, ms: f64, round: u32) -> Item {
    let event = |event: &Event| Event {
        start: event.start + ms,
        interaction_id: event.interaction_id + 7.0 * f64::from(round),
        ..*event
    };
    let view = |id: ViewId| ViewId::new(id.start_ms() as u64 + u64::from(round), 0);
    match item {
        Item::FirstContentfulPaint(at) => Item::FirstContentfulPaint(at + ms),
        Item::LargestContentfulPaint(at) => Item::LargestContentfulPaint(at + ms),
        Item::LayoutShift { start, value } => Item::LayoutShift { start: start + ms, value: *value },
        Item::FirstInput(input) => Item::FirstInput(event(input)),
        Item::Event(input) => Item::Event(event(input)),
        Item::LongTask { start, duration } => Item::LongTask { start: start + ms, duration: *duration },
        Item::Resource { start, end, status } => {
            Item::Resource { start: start + ms, end: end + ms, status: *status }
        }
        Item::Visibility { at, hidden } => Item::Visibility { at: at + ms, hidden: *hidden },
        Item::Input(at) => Item::Input(at + ms),
        Item::Restore { at, id } => Item::Restore { at: at + ms, id: view(*id) },
        Item::RestorePaint(at) => Item::RestorePaint(at + ms),
        Item::Moved { at, id, url, route } => {
            Item::Moved { at: at + ms, id: view(*id), url: url.clone(), route: route.clone() }
        }
        Item::Named { at, id: ViewId::NONE, route } => {
            Item::Named { at: at + ms, id: ViewId::NONE, route: route.clone() }
        }
        Item::Named { at, id, route } => Item::Named { at: at + ms, id: view(*id), route: route.clone() },
        Item::SoftPaint(at) => Item::SoftPaint(at + ms),
        Item::InteractionCount { at, count } => Item::InteractionCount { at: at + ms, count: *count },
        Item::Navigation(_) | Item::Activation(_) | Item::Support(_) | Item::Detail(_) => item.clone(),
    }
}

fn decode_queue(queue: &[Json], now: f64) -> Beacon {
    let body = json!({
        "v": 1, "site": "s", "seq": 0, "url": "https://shop.example/",
        "raw": { "id": FIRST.to_string(), "now": now, "queue": queue },
    });
    decode(body.to_string().as_bytes()).expect("a beacon")
}

const IDS: [&str; 2] = ["019a9f3c-1b7b-7fff-bfff-ffffffffffff", "019a9f3c-1b7b-7fff-bfff-fffffffffff0"];

/// A beacon with every field; each value is 7.
fn decorated() -> Json {
    let values: serde_json::Map<_, _> =
        Metric::ALL.iter().map(|metric| (metric.name().to_owned(), json!(7))).collect();
    let view = |id: &str| {
        json!({
            "id": id, "url": "https://shop.example/cart", "route": "/cart", "nav": "reload", "values": values,
            "tti_gap": "cpu", "tbt": 12.5, "marks": {"ready": 812.5}, "engaged": true, "first_input": 700,
            "attribution": {
                "lcp": {"target": "#hero", "url": "https://shop.example/a", "parts": [1, 2, 3, 4]},
                "inp": {"target": "a", "event": "click", "at": 9, "parts": [1, 2, 3], "script": "s", "script_ms": 1,
                        "load": "complete"},
                "cls": {"target": "p", "at": 9, "value": 0.1, "load": "loading"},
                "ttfb": {"parts": [1, 2, 3, 4, 5, 6], "protocol": "h2", "delivery": "cache", "bytes": 9,
                         "server": [["edge", 1, "HIT"]], "not_restored": ["masked"], "confidence": "low",
                         "trigger_rate": 0.5},
            },
        })
    };
    json!({
        "v": 1, "site": "s", "seq": 3, "url": "https://shop.example/", "route": "/", "device": "phone",
        "connection": "4g", "rtt": 50, "memory": "low", "cpu": "high", "release": "1", "viewport": "small", "tags": {"plan": "free"}, "sample": 0.5, "errors": 0,
        "webdriver": false, "views": IDS.map(view),
    })
}

/// Collects the paths of the fields that may be changed: all but those required of a beacon.
fn fields_of(value: &Json, path: &mut String, paths: &mut Vec<String>) {
    let structure = ["", "/v", "/site", "/views", "/views/0", "/views/1", "/views/0/id", "/views/1/id"];
    if !structure.contains(&path.as_str()) {
        paths.push(path.clone());
    }
    let length = path.len();
    let children: Vec<(String, &Json)> = match value {
        Json::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Json::Array(items) => {
            items.iter().enumerate().map(|(place, value)| (place.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (name, value) in children {
        path.push('/');
        path.push_str(&name);
        fields_of(value, path, paths);
        path.truncate(length);
    }
}

/// Any JSON of small depth.
fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "\\PC{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::from),
            vec(("[a-zA-Z]{0,6}", inner), 0..4).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// Checks the invariants of any result.
fn assert_sound(views: &[Snapshot]) {
    assert!((1..=limits::VIEWS_PER_BEACON_MAX).contains(&views.len()));
    assert_eq!(views[0].id, FIRST);
    for (place, view) in views.iter().enumerate() {
        assert!(views[..place].iter().all(|other| other.id != view.id), "{} twice", view.id);
        for (metric, value) in view.values.iter() {
            assert_eq!(Value::new(metric, value.number(metric)), Ok(value), "{}", metric.name());
        }
        let load = place == 0;
        assert!(load || view.values.get(Metric::Fid).is_none());
        assert!(load || (view.values.get(Metric::Tti).is_none() && view.tti_gap.is_none()));
        assert!(view.values.get(Metric::Tti).is_none() || view.tti_gap.is_none());
        assert_eq!(view.tbt.is_some(), view.values.get(Metric::Tti).is_some());
        let number = |metric| view.values.get(metric).map(|value| value.number(metric));
        if let Some(cause) = &view.attribution.lcp {
            let sum: f64 = cause.parts_ms.iter().sum();
            assert!(cause.parts_ms.iter().all(|part| *part >= 0.0), "{cause:?}");
            assert!((sum - number(Metric::Lcp).unwrap_or_default()).abs() < 0.003, "{cause:?}");
        }
        if let Some(cause) = &view.attribution.inp {
            let sum: f64 = cause.parts_ms.iter().sum();
            assert!(cause.parts_ms.iter().all(|part| *part >= 0.0), "{cause:?}");
            assert!((sum - number(Metric::Inp).unwrap_or_default()).abs() < 0.003, "{cause:?}");
        }
        if let Some(cause) = &view.attribution.cls {
            assert!(cause.value <= number(Metric::Cls).unwrap_or_default() + 0.4, "{cause:?}");
        }
        if let Some(parts_ms) = view.attribution.ttfb.as_ref().and_then(|cause| cause.parts_ms) {
            let sum: f64 = parts_ms.iter().sum();
            assert!(parts_ms.iter().all(|part| *part >= 0.0), "{parts_ms:?}");
            assert!((sum - number(Metric::Ttfb).unwrap_or_default()).abs() < 0.004, "{parts_ms:?}");
        }
        assert!(view.first_input_ms.is_none_or(|at| at >= 0.0 && view.engaged == Some(true)));
        // LCP is never before FCP in views other than loads, because both are paints of the same kind.
        if let (false, Some(fcp), Some(lcp)) =
            (load, view.values.get(Metric::Fcp), view.values.get(Metric::Lcp))
        {
            assert!(fcp <= lcp);
        }
    }
}

/// Regressions found by random searches.
mod found {
    use super::*;

    fn navigation(kind: NavigationType, times: [f64; 4]) -> Item {
        let [response_start, dom_content_loaded_end, response_end, dom_complete] = times;
        Item::Navigation(Navigation {
            response_start,
            activation_start: 0.0,
            dom_content_loaded_end,
            navigation_type: Some(kind),
            response_end,
            dom_complete,
        })
    }

    #[test]
    fn navigations_of_several_types_are_the_same_in_any_order() {
        let items = [
            navigation(NavigationType::SoftNavigation, [0.0, 0.0, 367.2, 367.2]),
            navigation(
                NavigationType::Restore,
                [27_873.6, 9_500.0, 25_117.961_149_143_575, 25_117.961_149_143_575],
            ),
            navigation(NavigationType::BackForwardCache, [29_000.0, 2_256.0, 17_121.0, 17_121.0]),
        ];
        let expected = snapshots(&items, 21_578.114_150_281_21);
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let shuffled = order.map(|place| items[place].clone());
            assert_eq!(snapshots(&shuffled, 21_578.114_150_281_21), expected, "{order:?}");
        }
    }

    #[test]
    fn a_paint_at_the_end_of_time_gives_no_value() {
        let items = [
            navigation(NavigationType::Navigate, [0.0, 500.0, 0.0, 0.0]),
            Item::Support(436_093_856),
            Item::FirstContentfulPaint(f64::MAX),
        ];
        assert_sound(&snapshots(&items, f64::INFINITY));
    }

    #[test]
    fn content_loaded_past_every_bound_gives_no_value() {
        for late in [1e129, f64::MAX] {
            let items = [
                navigation(NavigationType::Navigate, [0.0, late, 0.0, 0.0]),
                Item::Support(support::ALL),
                Item::FirstContentfulPaint(500.0),
            ];
            assert_sound(&snapshots(&items, f64::INFINITY));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_order_of_delivery_does_not_matter(
        (items, shuffled) in vec(item(), 0..80).prop_flat_map(|items| (Just(items.clone()), Just(items).prop_shuffle())),
        now in time(),
    ) {
        prop_assert_eq!(snapshots(&items, now), snapshots(&shuffled, now));
    }

    #[test]
    fn a_fact_told_twice_is_one_fact(
        items in vec(item(), 0..60),
        again in vec(any::<prop::sample::Index>(), 0..60),
        now in time(),
    ) {
        let mut twice = items.clone();
        twice.extend(again.iter().filter(|_| !items.is_empty()).map(|index| index.get(&items).clone()));
        prop_assert_eq!(snapshots(&items, now), snapshots(&twice, now));
    }

    #[test]
    fn asking_changes_nothing(items in vec(item(), 0..60), cut in any::<prop::sample::Index>(), now in time()) {
        let mut document = Document::new(FIRST);
        for (place, item) in items.iter().enumerate() {
            if place == cut.index(items.len()) {
                let _ = document.snapshots(now);
            }
            document.push(item);
        }
        prop_assert_eq!(document.snapshots(now), snapshots(&items, now));
        prop_assert_eq!(document.snapshots(now), document.snapshots(now));
    }

    #[test]
    fn a_page_without_facts_has_no_values(now in number()) {
        let views = snapshots(&[], now);
        assert_sound(&views);
        prop_assert!(views[0].values.is_empty());
    }

    #[test]
    fn a_raw_queue_measures_as_the_items_themselves(items in vec(item(), 0..80), now in time()) {
        let beacon = decode_queue(&items.iter().map(wire).collect::<Vec<_>>(), now);
        let Content::Raw(raw) = &beacon.content else { panic!() };
        prop_assert_eq!(&raw.queue, &items);
        prop_assert_eq!(raw.now.map(f64::to_bits), Some(now.to_bits()));
        prop_assert_eq!(beacon.snapshots(), snapshots(&items, now));
    }

    /// A null removes only its own item.
    #[test]
    fn a_null_in_a_raw_queue_takes_its_item_alone(
        items in vec((item(), option::of(any::<Index>())), 0..40),
        now in time(),
    ) {
        prop_assume!(items.is_empty() || items.iter().any(|(_, null)| null.is_none()));
        let broken = items.iter().any(|(_, null)| null.is_some());
        let queue: Vec<Json> = items
            .iter()
            .map(|(item, null)| {
                let mut fields = wire(item);
                if let (Some(null), Json::Array(fields)) = (null, &mut fields) {
                    let place = null.index(fields.len());
                    fields[place] = Json::Null;
                }
                fields
            })
            .collect();
        let left: Vec<Item> =
            items.into_iter().filter(|(_, null)| null.is_none()).map(|(item, _)| item).collect();
        let beacon = decode_queue(&queue, now);
        prop_assert_eq!(beacon.errors, if broken { errors::FIELD } else { 0 });
        prop_assert_eq!(beacon.snapshots(), snapshots(&left, now));
    }

    #[test]
    fn garbage_never_panics_and_gives_only_values(items in vec(garbage(), 0..120), now in number()) {
        assert_sound(&snapshots(&items, now));
    }

    #[test]
    fn garbage_of_a_fetch_never_panics_and_its_parts_sum_to_ttfb(
        edges in [number(), number(), number(), number(), number()],
        items in vec(prop_oneof![navigation(), garbage()], 0..20),
        now in number(),
    ) {
        let mut document = Document::new(FIRST);
        document.fetched(Fetched { edges, fetch: Fetch::default() });
        for item in &items {
            document.push(item);
        }
        let views = document.snapshots(now);
        assert_sound(&views);
        prop_assert_eq!(
            views[0].attribution.ttfb.as_ref().and_then(|cause| cause.parts_ms).is_some(),
            views[0].values.get(Metric::Ttfb).is_some()
        );
    }

    /// An engaged visitor stays engaged.
    #[test]
    fn time_alone_never_takes_engagement_back(items in vec(item(), 0..60), now in time(), later in time()) {
        let (now, later) = (now.min(later), now.max(later));
        for (view, then) in snapshots(&items, now).iter().zip(snapshots(&items, later)) {
            prop_assert!(view.engaged != Some(true) || then.engaged == Some(true), "{:?} {:?}", view, then);
        }
    }

    #[test]
    fn garbage_in_any_order_is_the_same_garbage(
        (items, shuffled) in
            vec(garbage(), 0..40).prop_flat_map(|items| (Just(items.clone()), Just(items).prop_shuffle())),
        now in number(),
    ) {
        // Past the bound on views, the result depends on the order of their times alone.
        let views = items.iter().filter(|item| matches!(item, Item::Restore { .. } | Item::Moved { .. } | Item::Named { .. }));
        prop_assume!(views.count() < limits::VIEWS_PER_BEACON_MAX);
        prop_assert_eq!(snapshots(&items, now), snapshots(&shuffled, now));
    }

    #[test]
    fn any_fields_are_an_item_or_none(
        kind in any::<u8>(),
        numbers in [number(), number(), number(), number(), number(), number()],
        texts in [any::<String>(), any::<String>(), any::<String>()],
        now in number(),
    ) {
        let _: [f64; NUMBERS_MAX] = numbers;
        let id = ViewId::parse(&texts[0]);
        if let Some(item) = Item::from_fields(kind, &numbers, id, texts) {
            prop_assert!(numbers.iter().all(|number| number.is_finite()));
            assert_sound(&snapshots(&[item], now));
        }
    }

    #[test]
    fn any_body_is_a_beacon_or_an_error(bytes in vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes).map(|beacon| assert_sound(&beacon.snapshots()));
    }

    /// A field of any wrong value leaves all others intact.
    #[test]
    fn a_changed_field_costs_no_other_value(
        changes in vec((any::<Index>(), json()), 1..4),
        added in option::of(("[a-zA-Z_]{1,8}", json())),
    ) {
        let mut body = decorated();
        if let (Some((name, value)), Some(fields)) = (added, body.as_object_mut()) {
            fields.entry(name).or_insert(value);
        }
        let mut paths = Vec::new();
        fields_of(&body, &mut String::new(), &mut paths);
        let mut touched = Vec::new();
        for (place, value) in changes {
            let path = place.get(&paths);
            // An earlier change may have removed the field.
            if let Some(field) = body.pointer_mut(path) {
                *field = value;
                touched.push(path.clone());
            }
        }
        let is_untouched = |path: &str| !touched.iter().any(|touched| path.starts_with(touched.as_str()));
        let decoded = decode(body.to_string().as_bytes());
        for (place, id) in IDS.iter().enumerate() {
            for metric in Metric::ALL {
                let path = format!("/views/{place}/values/{}", metric.name());
                if is_untouched(&path) {
                    let views = decoded.as_ref().map(|beacon| beacon.clone().snapshots());
                    let views = views.map_err(|error| TestCaseError::fail(format!("{error}: {body}")))?;
                    let view = views.iter().find(|view| view.id.to_string() == *id);
                    let value = view.and_then(|view| view.values.get(metric));
                    prop_assert_eq!(value.map(|value| value.number(metric)), Some(7.0), "{} in {}", path, body);
                }
            }
        }
    }

    /// A beacon with any change to its text is accepted or refused; decoding never panics.
    #[test]
    fn a_changed_text_never_panics(
        cut in any::<Index>(),
        put in "[\"\\\\{}\\[\\],:0-9eE+-]{0,6}|\\\\u[dD][89a-fA-F][0-9a-f]{2}|\\PC{0,3}",
        taken in 0..8_usize,
    ) {
        let text = decorated().to_string();
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
        let from = cut.index(places.len());
        let to = places.get(from + taken).copied().unwrap_or(text.len());
        let changed = format!("{}{put}{}", &text[..places[from]], &text[to..]);
        let _ = decode(changed.as_bytes()).map(|beacon| beacon.snapshots());
    }

    /// A reached TTI stays: a later observation does not undo it.
    #[test]
    fn time_alone_never_takes_tti_back(items in vec(item(), 0..60), now in time(), later in time()) {
        let (now, later) = (now.min(later), now.max(later));
        let tti = |now| snapshots(&items, now)[0].values.get(Metric::Tti);
        if let Some(reached) = tti(now) {
            prop_assert_eq!(tti(later), Some(reached));
        }
    }

    /// A slower search for TTI: tries every hundredth of a second as the window's start.
    #[test]
    fn tti_is_that_of_a_search_through_all_times(
        fcp in 0..400_u32,
        dcl in 1..900_u32,
        tasks in vec((0..2_000_u32, 5..200_u32), 0..6),
        requests in vec((0..2_000_u32, 1..900_u32), 0..16),
        now in 0..3_000_u32,
    ) {
        let ms = |hundredths: u32| f64::from(hundredths) * 10.0;
        let mut items = vec![
            Item::Support(support::ALL),
            Item::FirstContentfulPaint(ms(fcp)),
            Item::Navigation(Navigation {
                response_start: 1.0,
                activation_start: 0.0,
                dom_content_loaded_end: ms(dcl),
                navigation_type: Some(NavigationType::Navigate),
                response_end: 0.0,
                dom_complete: 0.0,
            }),
        ];
        let mut requests = requests;
        requests.sort_unstable();
        requests.dedup();
        items.extend(tasks.iter().map(|&(start, took)| Item::LongTask { start: ms(start), duration: ms(took) }));
        items.extend(requests.iter().map(|&(start, took)| Item::Resource {
            start: ms(start),
            end: ms(start + took),
            status: 200.0,
        }));
        // All times are whole hundredths, so the state changes only at hundredths.
        let busy = |at: u32| {
            let running = |&&(start, took): &&(u32, u32)| (start..start + took).contains(&at);
            tasks.iter().any(|task| running(&task)) || requests.iter().filter(running).count() > 2
        };
        let mut quiet = 0;
        let mut window = None;
        for at in fcp..now {
            quiet = if busy(at) { 0 } else { quiet + 1 };
            if quiet == 500 {
                window = Some(at + 1 - 500);
                break;
            }
        }
        let expected = window.filter(|_| dcl <= now).map(|window| {
            let free = tasks.iter().map(|&(start, took)| start + took).filter(|&end| end <= window).max();
            ms(free.unwrap_or(0).max(fcp).max(dcl))
        });
        let [view] = &snapshots(&items, ms(now))[..] else { panic!() };
        prop_assert_eq!(view.values.get(Metric::Tti).map(|value| value.number(Metric::Tti)), expected);
        prop_assert_eq!(view.tti_gap.is_some(), expected.is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_long_life_is_bounded_and_sound(
        kinds in vec(garbage(), 1..40),
        step in 0.1..2_000.0,
    ) {
        // Repeats the same facts, each time a little later: a document that lives for hours.
        let mut document = Document::new(FIRST);
        for round in 0..2_000_u32 {
            for item in &kinds {
                document.push(&later(item, f64::from(round) * step, round));
            }
        }
        assert_sound(&document.snapshots(2_000.0 * step));
    }
}
