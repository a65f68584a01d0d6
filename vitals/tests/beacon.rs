//! Wire format v1, read back and refused.

use vitals::attribution::{Attribution, ClsCause, InpCause, LcpCause, LoadState};
use vitals::beacon::{
    Beacon, Content, DecodeError, Mark, VERSION, Wire, WireDevice, WireView, decode, errors,
};
use vitals::entry::{Event, Item, Navigation};
use vitals::limits;
use vitals::metric::{Metric, Value, Values};
use vitals::view::{Device, NavigationType, Snapshot, TtiGap, ViewId, Viewport};

const ID: &str = "019a9f3c-1b7b-7fff-bfff-ffffffffffff";

fn snapshot() -> Snapshot {
    let mut values = Values::EMPTY;
    for (metric, number) in [(Metric::Lcp, 2_400.123), (Metric::Cls, 0.071_234), (Metric::Ttfb, 0.0)] {
        values.set(metric, Some(Value::new(metric, number).expect("a value")));
    }
    Snapshot {
        id: ViewId::parse(ID).expect("an id"),
        url: Some("https://shop.example/cart".to_owned()),
        route: Some("/cart".to_owned()),
        navigation_type: NavigationType::SoftNavigation,
        values,
        tti_gap: Some(TtiGap::Network),
        tbt: Value::new(Metric::Tti, 120.5).ok(),
        attribution: Attribution {
            lcp: Some(LcpCause {
                target: "#hero>img.wide".to_owned(),
                url: "https://shop.example/hero.avif".to_owned(),
                parts_ms: [0.0, 400.25, 1_500.0, 499.873],
            }),
            inp: Some(InpCause {
                target: "button.buy".to_owned(),
                event: "click".to_owned(),
                at_ms: 9_000_000.5,
                parts_ms: [8.0, 180.0, 20.0],
                script: "https://shop.example/app.js".to_owned(),
                script_ms: 150.0,
                load_state: LoadState::Complete,
            }),
            cls: Some(ClsCause {
                target: "div.ad".to_owned(),
                at_ms: 812.0,
                value: 0.05,
                load_state: LoadState::Loading,
            }),
        },
    }
}

fn wire(views: &[Snapshot]) -> Wire {
    Wire {
        v: VERSION.into(),
        site: "fv_site".to_owned(),
        seq: 7,
        url: "https://shop.example/".to_owned(),
        route: Some("/".to_owned()),
        device: Some(WireDevice(Device::Phone)),
        connection: Some("4g".to_owned()),
        release: Some("2026-11".to_owned()),
        viewport: Some(Viewport::Small),
        tags: [("plan".to_owned(), "free".to_owned())].into(),
        sample: Some(0.25),
        errors: 5,
        views: Some(views.iter().map(WireView::from).collect()),
        raw: None,
    }
}

/// A body with this in place of `views` and `raw`.
fn body(content: &str) -> String {
    format!(r#"{{"v":1,"site":"fv_site","seq":7,"url":"https://shop.example/",{content}}}"#)
}

fn raw(queue: &str) -> String {
    body(&format!(r#""raw":{{"id":"{ID}","now":9000.5,"queue":{queue}}}"#))
}

fn view(values: &str) -> String {
    body(&format!(r#""views":[{{"id":"{ID}","nav":"navigate","values":{values}}}]"#))
}

fn attributed(attribution: &str) -> String {
    body(&format!(r#""views":[{{"id":"{ID}","nav":"navigate","values":{{}},"attribution":{attribution}}}]"#))
}

fn problem(body: &str) -> String {
    decode(body.as_bytes()).expect_err(body).to_string()
}

#[test]
fn views_are_read_back() {
    let minimal = Snapshot {
        id: ViewId::new(1_763_632_800_000, 1),
        url: None,
        route: None,
        navigation_type: NavigationType::Navigate,
        values: Values::EMPTY,
        tti_gap: None,
        tbt: None,
        attribution: Attribution::NONE,
    };
    let views = vec![snapshot(), minimal];
    let beacon = decode(&serde_json::to_vec(&wire(&views)).unwrap()).unwrap();
    assert_eq!(
        beacon,
        Beacon {
            site: "fv_site".to_owned(),
            seq: 7,
            url: "https://shop.example/".to_owned(),
            route: Some("/".to_owned()),
            device: Some(Device::Phone),
            connection: Some("4g".to_owned()),
            release: Some("2026-11".to_owned()),
            viewport: Some(Viewport::Small),
            tags: [("plan".to_owned(), "free".to_owned())].into(),
            sample: 0.25,
            errors: 5,
            marks: Vec::new(),
            content: Content::Views(views.clone()),
        }
    );
    assert_eq!(beacon.snapshots(), views);
}

#[test]
fn every_value_is_read_back_exactly() {
    for metric in Metric::ALL {
        let max = Value::new(metric, metric.value_max().into()).unwrap().micros();
        for micros in (0..=max).step_by(99_991).chain([0, 1, 7, max - 1, max]) {
            let mut snapshot = snapshot();
            snapshot.values = Values::EMPTY;
            snapshot.values.set(metric, Value::from_micros(metric, micros));
            let bytes = serde_json::to_vec(&wire(std::slice::from_ref(&snapshot))).unwrap();
            assert_eq!(decode(&bytes).unwrap().snapshots(), [snapshot]);
        }
    }
}

#[test]
fn a_raw_queue_is_read_by_kind() {
    let body = raw(&format!(
        r#"[[0,120.5,0,700,1,300,900],[1,812.3],[2,900],[3,400,0.125],[4,2000,104,2037.5,4001],[5,2100,16,2101,4008],
            [6,3000,100],[7,600,900,404],[8,0],[8,5000,1],[9,2000],[10,6000,"{ID}"],[11,6030],
            [12,7000,"{ID}","https://shop.example/cart","/cart"],[13,7080],[14,1000],[15,3,8000],[16,127]]"#
    ));
    let Content::Raw(raw) = decode(body.as_bytes()).unwrap().content else { panic!() };
    let id = ViewId::parse(ID).unwrap();
    assert_eq!((raw.id, raw.now), (id, 9_000.5));
    let event = |start, duration, processing_start, interaction_id| Event {
        start,
        duration,
        processing_start,
        interaction_id,
    };
    assert_eq!(
        raw.queue,
        [
            Item::Navigation(Navigation {
                response_start: 120.5,
                activation_start: 0.0,
                dom_content_loaded_end: 700.0,
                navigation_type: NavigationType::Reload,
                response_end: 300.0,
                dom_complete: 900.0,
            }),
            Item::FirstContentfulPaint(812.3),
            Item::LargestContentfulPaint(900.0),
            Item::LayoutShift { start: 400.0, value: 0.125 },
            Item::FirstInput(event(2_000.0, 104.0, 2_037.5, 4_001.0)),
            Item::Event(event(2_100.0, 16.0, 2_101.0, 4_008.0)),
            Item::LongTask { start: 3_000.0, duration: 100.0 },
            Item::Resource { start: 600.0, end: 900.0, status: 404.0 },
            Item::Visibility { at: 0.0, hidden: false },
            Item::Visibility { at: 5_000.0, hidden: true },
            Item::Input(2_000.0),
            Item::Restore { at: 6_000.0, id },
            Item::RestorePaint(6_030.0),
            Item::Moved {
                at: 7_000.0,
                id,
                url: "https://shop.example/cart".to_owned(),
                route: "/cart".to_owned(),
            },
            Item::SoftPaint(7_080.0),
            Item::Activation(1_000.0),
            Item::InteractionCount { at: 8_000.0, count: 3.0 },
            Item::Support(127),
        ]
    );
}

#[test]
fn what_a_later_snippet_adds_is_passed_over() {
    let body = raw(
        r#"[[1,812.3,1,2,3,4,5,6,"a","b","c","d"],[99,1,"new"],[300,1],[0,120,0,0,77],[10,6000,"no id"]]"#,
    );
    let Content::Raw(raw) = decode(body.as_bytes()).unwrap().content else { panic!() };
    assert_eq!(raw.queue, [Item::FirstContentfulPaint(812.3)]);
    let with_more = body_with_unknown_fields();
    assert!(decode(with_more.as_bytes()).is_ok(), "{with_more}");
}

/// `JSON.stringify` writes NaN, Infinity and what is undefined as null.
#[test]
fn an_item_with_a_null_is_left_out_and_told() {
    for queue in [
        r#"[[1,812.3],[2,null],[6,1,2]]"#,
        r#"[[1,812.3],[19,1,0.5,null],[6,1,2]]"#,
        r#"[[1,812.3],[null,1],[6,1,2]]"#,
        r#"[[1,812.3],[99,null,"new"],[6,1,2,null],[6,1,2]]"#,
    ] {
        let beacon = decode(raw(queue).as_bytes()).unwrap();
        let Content::Raw(raw) = &beacon.content else { panic!() };
        assert_eq!(
            raw.queue,
            [Item::FirstContentfulPaint(812.3), Item::LongTask { start: 1.0, duration: 2.0 }],
            "{queue}"
        );
        assert_eq!(beacon.errors, errors::SNIPPET, "{queue}");
    }
    let also = raw("[[2,null]]").replace(r#""v":1"#, r#""v":1,"errors":4"#);
    assert_eq!(decode(also.as_bytes()).unwrap().errors, errors::SNIPPET | errors::MODULE);
    assert_eq!(decode(raw("[[2,1]]").as_bytes()).unwrap().errors, 0);
}

fn body_with_unknown_fields() -> String {
    format!(
        r#"{{"new":[1],"v":1,"site":"s","seq":0,"url":"u","views":[{{"id":"{ID}","nav":"reload","values":{{}},"new":1}}]}}"#
    )
}

#[test]
fn a_malformed_body_is_told_what_is_wrong() {
    for (body, expected) in [
        (String::new(), "EOF"),
        ("beacon".to_owned(), "expected value at line 1 column 1"),
        ("[]".to_owned(), "a beacon object"),
        ("7".to_owned(), "a beacon object"),
        ("{}".to_owned(), "missing field `v`"),
        (r#"{"v":1}"#.to_owned(), "missing field `site`"),
        (r#"{"v":"1"}"#.to_owned(), "expected u64"),
        (r#"{"v":1,"v":1}"#.to_owned(), "duplicate field `v`"),
        (r#"{"v":1,"site":7}"#.to_owned(), "expected a string"),
        (r#"{"v":1,"site":"s","seq":-1}"#.to_owned(), "expected u32"),
        (r#"{"v":1,"site":"s","seq":4294967296}"#.to_owned(), "expected u32"),
        (body(r#""device":"watch","views":[]"#), "expected `phone`, `tablet`, `desktop`"),
        (body(r#""device":true,"views":[]"#), "or a touch screen's shorter side"),
        (body(r#""sample":0,"views":[]"#), "`sample` is 0"),
        (body(r#""sample":1.5,"views":[]"#), "`sample` is 1.5"),
        (body(r#""sample":-0.1,"views":[]"#), "`sample` is -0.1"),
        (body(r#""sample":"1","views":[]"#), "expected f64"),
        (body(r#""tags":{"a":7},"views":[]"#), "expected a string"),
        (body(r#""viewport":"huge","views":[]"#), "unknown variant `huge`"),
        (attributed(r#"{"lcp":{"parts":[1,2,3]}}"#), "invalid length 3"),
        (attributed(r#"{"lcp":{"parts":[1,2,3,-4]}}"#), "-4 is no time"),
        (attributed(r#"{"inp":{"parts":[1,2,3],"at":1e300,"load":"complete"}}"#), "is no time"),
        (attributed(r#"{"inp":{"parts":[1,2,3],"at":1,"load":"asleep"}}"#), "`load` is none of"),
        (attributed(r#"{"cls":{"at":1,"value":-1,"load":"complete"}}"#), "the shift -1 is negative"),
        (body(r#""views":[]"#), "`views` has 0 page views"),
        (body(r#""route":"/""#), "exactly one of `views` and `raw`"),
        (body(&format!(r#""views":[],"raw":{{"id":"{ID}","now":1,"queue":[]}}"#)), "exactly one of"),
        (body(r#""views":7"#), "expected a sequence"),
        (body(r#""views":[7]"#), "a page view object"),
        (body(r#""views":[{"id":7}]"#), "a page view id"),
        (body(r#""views":[{"id":"7"}]"#), "a page view id"),
        (body(&format!(r#""views":[{{"id":"{ID}","nav":"teleport"}}]"#)), "unknown variant `teleport`"),
        (body(&format!(r#""views":[{{"id":"{ID}","nav":"navigate"}}]"#)), "missing field `values`"),
        (
            body(&format!(r#""views":[{{"id":"{ID}","nav":"navigate","values":{{}},"tti_gap":"lunch"}}]"#)),
            "unknown variant `lunch`",
        ),
        (view("[]"), "an object of metric names and numbers"),
        (view(r#"{"TBT":7}"#), "unknown metric `TBT`"),
        (view(r#"{"LCP":"12"}"#), "expected f64"),
        (view(r#"{"LCP":null}"#), "expected f64"),
        (view(r#"{"LCP":true}"#), "expected f64"),
        (view(r#"{"LCP":1e999}"#), "number out of range"),
        (view(r#"{"LCP":-1}"#), "LCP: -1 is negative"),
        (view(r#"{"LCP":600001}"#), "LCP: 600001 is beyond what is plausible"),
        (view(r#"{"CLS":1e300}"#), "CLS: "),
        (view(r#"{"LCP":9223372036854775808}"#), "is beyond what is plausible"),
        (view(r#"{"LCP":NaN}"#), "expected value"),
        (body(r#""raw":7"#), "a raw queue object"),
        (body(r#""raw":{"id":"7"}"#), "a page view id"),
        (body(&format!(r#""raw":{{"id":"{ID}","now":"12","queue":[]}}"#)), "expected f64"),
        (body(&format!(r#""raw":{{"id":"{ID}","now":null,"queue":[]}}"#)), "expected f64"),
        (body(&format!(r#""raw":{{"id":"{ID}","now":1e999,"queue":[]}}"#)), "number out of range"),
        (body(&format!(r#""raw":{{"id":"{ID}","now":1}}"#)), "missing field `queue`"),
        (raw("{}"), "an array of items"),
        (raw("[7]"), "an item: an array"),
        (raw("[[]]"), "an item: an array"),
        (raw(r#"[["1"]]"#), "expected u64"),
        (raw("[null]"), "an item: an array"),
        (raw("[[1,true]]"), "neither number nor text"),
        (raw("[[null,[2]]]"), "neither number nor text"),
        (raw("[[1,[2]]]"), "neither number nor text"),
        (raw("[[1,1e999]]"), "number out of range"),
        (raw("[[-1,2]]"), "expected u64"),
        (raw("[[1,2]"), "expected `,` or `]`"),
        (format!("{} true", raw("[]")), "trailing characters"),
    ] {
        let problem = problem(&body);
        assert!(problem.contains(expected), "{body}\n  says: {problem}\n  not: {expected}");
    }
}

#[test]
fn the_problem_is_told_with_its_place() {
    assert!(problem(&raw("[[1,true]]")).contains("line 1 column"), "{}", problem(&raw("[[1,true]]")));
}

#[test]
fn a_body_cut_off_anywhere_is_an_error() {
    for whole in [serde_json::to_string(&wire(&[snapshot()])).unwrap(), raw(r#"[[1,812.3],[16,127]]"#)] {
        for len in 0..whole.len() {
            assert!(
                matches!(decode(&whole.as_bytes()[..len]), Err(DecodeError::Malformed(_))),
                "{}",
                &whole[..len]
            );
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_an_error() {
    let mut bytes = raw("[]").into_bytes();
    bytes[20] = 0xff;
    assert_eq!(decode(&bytes), Err(DecodeError::NotUtf8));
}

#[test]
fn another_version_is_named_whatever_its_shape() {
    assert_eq!(decode(br#"{"v":2,"pages":{}}"#), Err(DecodeError::Version(2)));
    assert_eq!(decode(raw("[]").replace(r#""v":1"#, r#""v":0"#).as_bytes()), Err(DecodeError::Version(0)));
    assert_eq!(decode(br#"{"v":18446744073709551615}"#), Err(DecodeError::Version(u64::MAX)));
    assert!(problem(r#"{"v":2}"#).contains("version 2 is not known here; this server reads 1 to 1"));
}

#[test]
fn deep_nesting_is_an_error() {
    const DEPTH: usize = 100_000;
    let (open, close) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
    let objects = format!("{}7{}", r#"{"a":"#.repeat(DEPTH), "}".repeat(DEPTH));
    for deep in [
        open.clone(),
        format!("{open}{close}"),
        objects.clone(),
        body(&format!(r#""new":{open}{close}"#)),
        body(&format!(r#""views":{open}{close}"#)),
        raw(&format!("{open}{close}")),
        raw(&format!("[[1,{open}{close}]]")),
        view(&format!(r#"{{"LCP":{open}{close}}}"#)),
        view(&objects),
        raw(&format!("[[1,{objects}]]")),
    ] {
        assert!(matches!(decode(deep.as_bytes()), Err(DecodeError::Malformed(_))));
    }
}

#[test]
fn more_than_the_bounds_is_an_error() {
    let views = vec![snapshot(); limits::VIEWS_PER_BEACON_MAX];
    assert!(decode(&serde_json::to_vec(&wire(&views)).unwrap()).is_ok());
    let views = vec![snapshot(); limits::VIEWS_PER_BEACON_MAX + 1];
    assert!(problem(&serde_json::to_string(&wire(&views)).unwrap()).contains("17 page views; 1 to 16"));
    let queue = |len| raw(&format!("[{}]", vec!["[1,2]"; len].join(",")));
    assert!(decode(queue(limits::QUEUE_ITEMS_MAX).as_bytes()).is_ok());
    assert!(problem(&queue(limits::QUEUE_ITEMS_MAX + 1)).contains("`queue` has more than 1500 items"));
}

#[test]
fn a_share_is_no_smaller_than_its_bound() {
    for (told, share) in
        [("1e-300", limits::SAMPLE_MIN), ("0.00005", limits::SAMPLE_MIN), ("0.5", 0.5), ("1", 1.0)]
    {
        let body = body(&format!(r#""sample":{told},"raw":{{"id":"{ID}","now":1,"queue":[]}}"#));
        assert_eq!(decode(body.as_bytes()).unwrap().sample, share, "{told}");
    }
}

#[test]
fn a_device_may_be_told_by_its_screen() {
    for (told, device) in [
        ("false", Device::Desktop),
        ("599", Device::Phone),
        ("600", Device::Tablet),
        ("411.4", Device::Phone),
    ] {
        let body = body(&format!(r#""device":{told},"raw":{{"id":"{ID}","now":1,"queue":[]}}"#));
        assert_eq!(decode(body.as_bytes()).unwrap().device, Some(device), "{told}");
    }
}

#[test]
fn marks_belong_to_their_view() {
    let marked = |marks: &str| {
        body(&format!(r#""views":[{{"id":"{ID}","nav":"navigate","values":{{}},"marks":{marks}}}]"#))
    };
    let beacon = decode(marked(r#"{"cart":812.5}"#).as_bytes()).unwrap();
    let at = Value::new(Metric::Tti, 812.5).unwrap();
    assert_eq!(beacon.marks, [Mark { view: ViewId::parse(ID).unwrap(), name: "cart".to_owned(), at }]);
    let many: Vec<String> = (0..=limits::MARKS_MAX).map(|n| format!(r#""m{n}":1"#)).collect();
    assert!(problem(&marked(&format!("{{{}}}", many.join(",")))).contains("`marks` has more than 16"));
    let tags: Vec<String> = (0..=limits::TAGS_MAX).map(|n| format!(r#""t{n}":"v""#)).collect();
    let tagged = body(&format!(r#""tags":{{{}}},"views":[]"#, tags.join(",")));
    assert!(problem(&tagged).contains("`tags` has more than 8"));
}
