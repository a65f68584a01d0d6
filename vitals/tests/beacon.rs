//! Wire format v1: written, read back, kept in part, refused.

use vitals::attribution::{Attribution, ClsCause, InpCause, LcpCause, LoadState};
use vitals::beacon::{Beacon, Content, DecodeError, Dropped, Field, Mark, Wire, decode, errors, write};
use vitals::entry::{Event, Item, Navigation};
use vitals::fetch::{Confidence, ConfidenceLevel, Delivery, Fetch, ServerTiming, TtfbCause};
use vitals::limits;
use vitals::metric::{Metric, Value, Values};
use vitals::snapshot::Snapshot;
use vitals::view::{Device, NavigationType, Rtt, Tier, TtiGap, ViewId, Viewport};

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
        navigation_type: Some(NavigationType::SoftNavigation),
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
            ttfb: Some(TtfbCause { parts_ms: Some([1.0, 0.0, 2.5, 4.0, 8.0, 16.125]), fetch: fetch() }),
        },
        engaged: Some(true),
        first_input_ms: Some(9_000_000.5),
    }
}

fn fetch() -> Fetch {
    let timing = |name: &str, duration_ms, description: &str| ServerTiming {
        name: name.to_owned(),
        duration_ms,
        description: description.to_owned(),
    };
    Fetch {
        protocol: "h2".to_owned(),
        delivery: Some(Delivery::Network),
        encoded_bytes: 34_567.0,
        server_timings: vec![timing("cdn-cache", 0.0, "HIT"), timing("edge", 12.5, "")],
        not_restored: vec!["unload-listener".to_owned(), "masked".to_owned()],
        confidence: Some(Confidence { level: ConfidenceLevel::Low, trigger_rate: 0.499_4 }),
    }
}

/// A view as the collector writes it.
fn written(view: &Snapshot, marks: &[(&str, Value)]) -> serde_json::Value {
    let marks: Vec<_> = marks.iter().map(|&(name, at)| (view.id, name, at)).collect();
    serde_json::to_value(write::view(&view.written(), &view.id.to_string(), &marks)).expect("JSON")
}

/// A beacon with these views.
fn wire(views: &[serde_json::Value]) -> serde_json::Value {
    let wire = Wire {
        site: "fv_site",
        seq: 7,
        url: "https://shop.example/",
        route: "/",
        device: Some(Device::Phone),
        connection: "4g",
        rtt_ms: Some(150.0),
        memory: Some(Tier::High),
        cpu: Some(Tier::Low),
        release: "2026-11",
        viewport: Some(Viewport::Small),
        tags: &[("plan", "free")],
        sample: Some(0.25),
        errors: 5,
        webdriver: true,
        views: Vec::new(),
    };
    let mut wire = serde_json::to_value(wire.json()).expect("JSON");
    wire["views"] = views.into();
    wire
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

fn problem(body: &str) -> String {
    decode(body.as_bytes()).expect_err(body).to_string()
}

/// The beacon, and what was left out of it.
fn kept(body: &str) -> (Beacon, Vec<(&'static str, u16)>) {
    let beacon = decode(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"));
    let dropped: Vec<_> = beacon.dropped.counts().map(|(field, count)| (field.name(), count)).collect();
    assert_eq!(beacon.errors & errors::FIELD != 0, !dropped.is_empty(), "{body}");
    (beacon, dropped)
}

fn values(beacon: &Beacon) -> Vec<(&'static str, f64)> {
    let views = beacon.clone().snapshots();
    let values = views.iter().flat_map(|view| view.values.iter().collect::<Vec<_>>());
    values.map(|(metric, value)| (metric.name(), value.number(metric))).collect()
}

#[test]
fn views_are_read_back() {
    let minimal = Snapshot {
        id: ViewId::new(1_763_632_800_000, 1),
        url: None,
        route: None,
        navigation_type: None,
        values: Values::EMPTY,
        tti_gap: None,
        tbt: None,
        attribution: Attribution::NONE,
        engaged: None,
        first_input_ms: None,
    };
    let views = vec![snapshot(), minimal];
    let at = Value::new(Metric::Tti, 812.5).unwrap();
    let wire = wire(&[written(&views[0], &[]), written(&views[1], &[("ready", at)])]);
    let beacon = decode(&serde_json::to_vec(&wire).unwrap()).unwrap();
    assert_eq!(
        beacon,
        Beacon {
            site: "fv_site".to_owned(),
            seq: 7,
            url: "https://shop.example/".to_owned(),
            route: Some("/".to_owned()),
            device: Some(Device::Phone),
            connection: Some("4g".to_owned()),
            rtt: Some(Rtt::Under200),
            memory: Some(Tier::High),
            cpu: Some(Tier::Low),
            release: Some("2026-11".to_owned()),
            viewport: Some(Viewport::Small),
            tags: [("plan".to_owned(), "free".to_owned())].into(),
            sample: 0.25,
            errors: 5,
            webdriver: true,
            marks: vec![Mark { view: views[1].id, name: "ready".to_owned(), at }],
            content: Content::Views(views.clone()),
            dropped: Dropped::default(),
        }
    );
    assert_eq!(beacon.snapshots(), views);
}

/// A raw beacon in the snippet's own form, with these fields from `connection` to `errors`.
fn snippets(fields: &str, queue: &str) -> String {
    format!(r#"[1,"fv_site",7,"https://shop.example/",false,{fields},1763632800123.5,0.25,9000.5,{queue}]"#)
}

#[test]
fn the_snippets_own_form_is_read() {
    let body = snippets(
        r#""4g","1.4.2","0.5",4"#,
        r#"[[1,812.3],[12,3000,1763632803123.5,0.5,"https://shop.example/cart"],[9,2900]]"#,
    );
    let (beacon, dropped) = kept(&body);
    assert_eq!(dropped, []);
    let head =
        (beacon.site.as_str(), beacon.seq, beacon.url.as_str(), beacon.device, beacon.sample, beacon.errors);
    assert_eq!(head, ("fv_site", 7, "https://shop.example/", Some(Device::Desktop), 0.5, 4));
    assert_eq!((beacon.connection.as_deref(), beacon.release.as_deref()), (Some("4g"), Some("1.4.2")));
    let Content::Raw(raw) = &beacon.content else { panic!("a queue: {beacon:?}") };
    assert_eq!((raw.id, raw.now), (ViewId::drawn(1_763_632_800_123.5, 0.25), Some(9_000.5)));
    let moved = ViewId::drawn(1_763_632_803_123.5, 0.5);
    assert!(
        matches!(&raw.queue[1], Item::Moved { at: 3_000.0, id, url, .. } if *id == moved && url.ends_with("/cart"))
    );
}

#[test]
fn nulls_and_mistakes_in_the_snippets_own_form_cost_their_field() {
    for (fields, sample, lost) in [
        (r#"null,null,null,0"#, 1.0, &[][..]),
        (r#"null,null,"10%",0"#, 1.0, &[]),
        (r#"null,null,"10",0"#, 1.0, &[]),
        (r#"null,null,"",0"#, 1.0, &[]),
        (r#"null,7,null,0"#, 1.0, &[("release", 1)]),
        (r#"null,null,null,"x""#, 1.0, &[("errors", 1)]),
        (r#"null,null,".00001",0"#, limits::SAMPLE_MIN, &[]),
    ] {
        let (beacon, dropped) = kept(&snippets(fields, "[[1,812.3]]"));
        assert_eq!((beacon.sample, dropped.as_slice()), (sample, lost), "{fields}");
        assert_eq!(values(&beacon), [("FCP", 812.3)], "{fields}");
    }
    for (broken, why) in [
        (r#"[1,"fv_site"]"#, "the queue has no page view id"),
        (r#"[1,7]"#, "`site` is not a text"),
        ("[]", "`v` is not a version"),
        (&snippets("null,null,null,0", "7"), "the queue is not an array of items"),
    ] {
        assert!(problem(broken).contains(why), "{broken}: {}", problem(broken));
    }
    assert_eq!(decode(br#"[2,"s"]"#), Err(DecodeError::Version(2)));
}

#[test]
fn absent_fields_are_not_written() {
    let view = Snapshot::<String> {
        id: ViewId::parse(ID).unwrap(),
        url: None,
        route: None,
        navigation_type: None,
        values: Values::EMPTY,
        tti_gap: None,
        tbt: None,
        attribution: Attribution::NONE,
        engaged: None,
        first_input_ms: None,
    };
    let id = view.id.to_string();
    let views = vec![write::view(&view.written(), &id, &[])];
    let wire = Wire { site: "s", url: "u", views, ..Wire::default() };
    let expected = format!(
        r#"{{"v":1,"site":"s","seq":0,"url":"u","errors":0,"views":[{{"id":"{ID}","values":{{}}}}]}}"#
    );
    assert_eq!(serde_json::to_string(&wire.json()).unwrap(), expected);
}

#[test]
fn listener_is_told_of_a_value_with_its_cause() {
    let view = written(&snapshot(), &[]);
    let cause = |name: &str| {
        assert!(view["attribution"][name].is_object(), "{view}");
        view["attribution"][name].clone()
    };
    let told = |metric: Metric, number: f64| {
        let (view, value) = (snapshot(), Value::new(metric, number).unwrap());
        serde_json::to_value(write::told(&view.written(), ID, (metric, value))).unwrap()
    };
    assert_eq!(
        told(Metric::Cls, 0.2),
        serde_json::json!({
            "name": "CLS", "value": 0.2, "rating": "needs-improvement", "id": ID, "navigationType": "soft-navigation",
            "attribution": cause("cls"),
        })
    );
    assert_eq!(told(Metric::Lcp, 812.5)["attribution"], cause("lcp"));
    assert_eq!(told(Metric::Inp, 104.0)["attribution"], cause("inp"));
    assert_eq!(told(Metric::Ttfb, 90.0)["attribution"], cause("ttfb"));
    assert_eq!(told(Metric::Fcp, 90.0).get("attribution"), None);
}

#[test]
fn invalid_field_of_a_fetch_costs_itself() {
    let whole = snapshot().attribution.ttfb.unwrap();
    let json = written(&snapshot(), &[])["attribution"]["ttfb"].clone();
    let read = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut ttfb = json.clone();
        change(&mut ttfb);
        let body = body(&format!(
            r#""views":[{{"id":"{ID}","values":{{"TTFB":31.625}},"attribution":{{"ttfb":{ttfb}}}}}]"#
        ));
        let (beacon, dropped) = kept(&body);
        (beacon.snapshots().remove(0).attribution.ttfb, dropped)
    };
    assert_eq!(read(&|_| {}), (Some(whole.clone()), vec![]));
    let lost = || vec![("attribution", 1)];
    for parts in
        ["[1,2,3,4,5]", "[1,2,3,4,5,6,7]", "[1,2,3,4,5,-6]", "[1,2,3,4,5,null]", "[1,2,3,4,5,1e999]", "7"]
    {
        let found = read(&|ttfb| ttfb["parts"] = serde_json::from_str(parts).unwrap_or_default());
        assert_eq!(found, (Some(TtfbCause { parts_ms: None, ..whole.clone() }), lost()), "{parts}");
    }
    let without = |change: &dyn Fn(&mut Fetch)| {
        let mut cause = whole.clone();
        change(&mut cause.fetch);
        (Some(cause), lost())
    };
    for wrong in
        [serde_json::json!(null), serde_json::json!(7), serde_json::json!({"a": 1}), serde_json::json!(["x"])]
    {
        let of = |name: &str| read(&|ttfb| ttfb[name] = wrong.clone());
        assert_eq!(of("protocol"), without(&|fetch| fetch.protocol.clear()), "{wrong}");
        assert_eq!(of("delivery"), without(&|fetch| fetch.delivery = None), "{wrong}");
        assert_eq!(of("confidence"), without(&|fetch| fetch.confidence = None), "{wrong}");
        assert_eq!(of("server"), without(&|fetch| fetch.server_timings.clear()), "{wrong}");
    }
    for bytes in [serde_json::json!(-1), serde_json::json!(1e300), serde_json::json!("34567")] {
        assert_eq!(
            read(&|ttfb| ttfb["bytes"] = bytes.clone()),
            without(&|fetch| fetch.encoded_bytes = 0.0),
            "{bytes}"
        );
    }
    for rate in [serde_json::json!(-0.1), serde_json::json!(1.1), serde_json::json!("0.5")] {
        assert_eq!(
            read(&|ttfb| ttfb["trigger_rate"] = rate.clone()),
            without(&|fetch| fetch.confidence = None)
        );
    }
    let level_alone = read(&|ttfb| _ = ttfb.as_object_mut().unwrap().remove("trigger_rate"));
    assert_eq!((level_alone.0.unwrap().fetch.confidence, level_alone.1), (None, vec![]));
}

#[test]
fn entry_of_a_list_that_is_invalid_or_beyond_the_bound_costs_itself() {
    let read = |field: &str, list: serde_json::Value| {
        let (beacon, dropped) = kept(&body(&format!(
            r#""views":[{{"id":"{ID}","values":{{}},"attribution":{{"ttfb":{{"{field}":{list}}}}}}}]"#
        )));
        (beacon.snapshots().remove(0).attribution.ttfb.unwrap().fetch, dropped)
    };
    let names = |fetch: Fetch| {
        let names: Vec<String> = fetch.server_timings.into_iter().map(|timing| timing.name).collect();
        names.join(" ")
    };
    let server = serde_json::json!([
        ["a"],
        ["b", 1],
        ["", 1, "x"],
        [7, 1],
        ["c", -1],
        ["d", "x"],
        ["e", 1, 7],
        "f",
        ["g", 1e300],
        ["h", 2, "hit", "new"],
    ]);
    let (fetch, dropped) = read("server", server);
    assert_eq!((names(fetch), dropped), ("a b h".to_owned(), vec![("attribution", 7)]));
    let many: Vec<_> =
        (0..limits::SERVER_TIMINGS_MAX + 3).map(|number| serde_json::json!([number.to_string()])).collect();
    let (fetch, dropped) = read("server", many.into());
    assert_eq!((names(fetch), dropped), ("0 1 2 3".to_owned(), vec![("attribution", 3)]));
    let reasons = serde_json::json!(["a", "", 7, "b", ["c"], "d", "e", "f"]);
    let (fetch, dropped) = read("not_restored", reasons);
    assert_eq!((fetch.not_restored.join(" "), dropped), ("a b d e".to_owned(), vec![("attribution", 4)]));
}

#[test]
fn class_of_a_visitor_that_is_none_costs_itself() {
    for (field, wrong) in
        [("rtt", "-1"), ("rtt", "1e999"), ("rtt", "\"50\""), ("memory", "8"), ("cpu", "\"ultra\"")]
    {
        let body = view(r#"{"FCP":7}"#).replace(r#""seq":7"#, &format!(r#""seq":7,"{field}":{wrong}"#));
        let (beacon, dropped) = kept(&body);
        assert_eq!((beacon.rtt, beacon.memory, beacon.cpu), (None, None, None), "{field} {wrong}");
        assert_eq!((values(&beacon), dropped), (vec![("FCP", 7.0)], vec![(field, 1)]), "{field} {wrong}");
    }
    for (field, wrong) in
        [("engaged", "1"), ("engaged", "null"), ("first_input", "-1"), ("first_input", "1e10")]
    {
        let body = view(r#"{"FCP":7}"#).replace(r#""nav":"#, &format!(r#""{field}":{wrong},"nav":"#));
        let (beacon, dropped) = kept(&body);
        let view = &beacon.snapshots()[0];
        assert_eq!(
            (view.engaged, view.first_input_ms, dropped),
            (None, None, vec![(field, 1)]),
            "{field} {wrong}"
        );
    }
}

#[test]
fn view_has_its_own_marks_alone() {
    let (view, at) = (snapshot(), Value::new(Metric::Tti, 812.5).unwrap());
    let (own, other) = (view.id.to_string(), ViewId::new(1, 1));
    let marks = [(view.id, own.as_str(), at), (other, "other", at)];
    let json = serde_json::to_value(write::view(&view.written(), ID, &marks)).unwrap();
    assert_eq!(json["marks"], serde_json::json!({ view.id.to_string(): 812.5 }));
}

#[test]
fn every_value_is_read_back_exactly() {
    for metric in Metric::ALL {
        let max = Value::new(metric, metric.value_max().into()).unwrap().micros();
        for micros in (0..=max).step_by(99_991).chain([0, 1, 7, max - 1, max]) {
            let mut snapshot = snapshot();
            snapshot.values = Values::EMPTY;
            snapshot.values.set(metric, Value::from_micros(metric, micros));
            let bytes = serde_json::to_vec(&wire(&[written(&snapshot, &[])])).unwrap();
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
    assert_eq!((raw.id, raw.now), (id, Some(9_000.5)));
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
                navigation_type: Some(NavigationType::Reload),
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
    let (beacon, dropped) = kept(&body);
    let Content::Raw(raw) = beacon.content else { panic!() };
    assert_eq!((raw.queue, dropped), (vec![Item::FirstContentfulPaint(812.3)], Vec::new()));
}

#[test]
fn a_field_of_a_later_version_is_counted_and_costs_nothing() {
    let (beacon, dropped) = kept(&format!(
        r#"{{"new":[1],"v":1,"site":"s","seq":0,"url":"u","views":[{{"id":"{ID}","nav":"reload","new":{{"a":[1]}},
            "values":{{"FCP":7}},"attribution":{{"new":1,"lcp":{{"parts":[1,2,3,4],"new":"x"}}}}}}]}}"#
    ));
    assert_eq!((values(&beacon), dropped), (vec![("FCP", 7.0)], vec![("unknown", 4)]));
    let views = beacon.snapshots();
    assert_eq!(views[0].attribution.lcp.as_ref().unwrap().parts_ms, [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(views[0].navigation_type, Some(NavigationType::Reload));
    let (beacon, dropped) = kept(&raw("[[1,7]]").replace(r#""now":"#, r#""new":{},"now":"#));
    assert_eq!((values(&beacon), dropped), (vec![("FCP", 7.0)], vec![("unknown", 1)]));
}

/// `JSON.stringify` writes NaN, Infinity and what is undefined as null.
#[test]
fn a_broken_item_costs_a_raw_queue_that_item() {
    for queue in [
        r#"[[1,812.3],[2,null],[6,1,2]]"#,
        r#"[[1,812.3],[19,1,0.5,null],[6,1,2]]"#,
        r#"[[1,812.3],[null,1],[6,1,2]]"#,
        r#"[[1,812.3],[99,null,"new"],[6,1,2]]"#,
        r#"[[1,812.3],[],[6,1,2]]"#,
        r#"[[1,812.3],{"a":[1]},[6,1,2]]"#,
        r#"[[1,812.3],["1"],[6,1,2]]"#,
        r#"[[1,812.3],[-1,2],[6,1,2]]"#,
        r#"[[1,812.3],[1.5,2],[6,1,2]]"#,
        r#"[[1,812.3],[1,true],[6,1,2]]"#,
        r#"[[1,812.3],[1,[2]],[6,1,2]]"#,
        r#"[[1,812.3],[1,1e999],[6,1,2]]"#,
        r#"[[1,812.3],7,[6,1,2]]"#,
    ] {
        let (beacon, dropped) = kept(&raw(queue));
        let Content::Raw(raw) = &beacon.content else { panic!() };
        assert_eq!(
            raw.queue,
            [Item::FirstContentfulPaint(812.3), Item::LongTask { start: 1.0, duration: 2.0 }],
            "{queue}"
        );
        assert_eq!((beacon.errors, dropped), (errors::FIELD, vec![("raw", 1)]), "{queue}");
    }
    let also = raw("[[1,1],[2,null]]").replace(r#""v":1"#, r#""v":1,"errors":4"#);
    assert_eq!(kept(&also).0.errors, errors::FIELD | errors::MODULE);
    assert_eq!(kept(&raw("[[2,1]]")).0.errors, 0);
}

#[test]
fn a_raw_queue_without_the_moment_of_sending_lacks_tti_alone() {
    let queue = "[[0,120,0,300],[1,200],[16,255]]";
    let whole = raw(queue);
    assert_eq!(values(&kept(&whole).0), [("CLS", 0.0), ("FCP", 200.0), ("TTFB", 120.0), ("TTI", 300.0)]);
    for now in ["null", "\"9000\"", "1e999"] {
        let (beacon, dropped) = kept(&whole.replace("9000.5", now));
        assert_eq!(values(&beacon), [("CLS", 0.0), ("FCP", 200.0), ("TTFB", 120.0)], "{now}");
        assert_eq!(dropped, [("raw", 1)], "{now}");
        let view = &beacon.snapshots()[0];
        assert_eq!((view.tti_gap, view.tbt, view.engaged), (None, None, None), "{now}");
    }
    let used = raw("[[9,700]]").replace("9000.5", "null");
    let view = &kept(&used).0.snapshots()[0];
    assert_eq!((view.engaged, view.first_input_ms), (Some(true), Some(700.0)));
    assert_eq!(kept(&raw("[[1,7]]")).0.snapshots()[0].engaged, Some(false), "after 9 seconds");
}

#[test]
fn a_bad_decoration_costs_itself_alone() {
    let cases = [
        ("seq", r#""seq":"7""#),
        ("seq", r#""seq":-1"#),
        ("seq", r#""seq":1.5"#),
        ("seq", r#""seq":4294967296"#),
        ("url", r#""url":7"#),
        ("route", r#""route":{"a":1}"#),
        ("device", r#""device":"watch""#),
        ("device", r#""device":true"#),
        ("device", r#""device":null"#),
        ("connection", r#""connection":4"#),
        ("release", r#""release":1.4"#),
        ("release", r#""release":null"#),
        ("viewport", r#""viewport":"huge""#),
        ("viewport", r#""viewport":[1]"#),
        ("tags", r#""tags":["a"]"#),
        ("tags", r#""tags":{"a":7,"b":"x"}"#),
        ("sample", r#""sample":0"#),
        ("sample", r#""sample":1.5"#),
        ("sample", r#""sample":"1""#),
        ("errors", r#""errors":-1"#),
        ("webdriver", r#""webdriver":"yes""#),
        ("raw", r#""raw":7"#),
        ("unknown", r#""later":{"a":[1,{"b":null}]}"#),
    ];
    let view = format!(r#"[{{"id":"{ID}","nav":"navigate","values":{{"LCP":7}}}}]"#);
    for (name, field) in cases {
        let body = format!(r#"{{"v":1,"site":"s",{field},"views":{view}}}"#);
        let (beacon, dropped) = kept(&body);
        assert_eq!((values(&beacon), dropped), (vec![("LCP", 7.0)], vec![(name, 1)]), "{field}");
        assert_eq!((beacon.seq, beacon.sample, beacon.webdriver), (0, 1.0, false), "{field}");
    }
    let of_a_view = [
        ("url", r#""url":null"#),
        ("route", r#""route":7"#),
        ("nav", r#""nav":"teleport""#),
        ("nav", r#""nav":2"#),
        ("tti_gap", r#""tti_gap":"lunch""#),
        ("tbt", r#""tbt":-1"#),
        ("tbt", r#""tbt":null"#),
        ("marks", r#""marks":[]"#),
        ("marks", r#""marks":{"a":"soon"}"#),
        ("attribution", r#""attribution":7"#),
        ("attribution", r#""attribution":{"lcp":{"parts":[1,2,3]}}"#),
        ("attribution", r#""attribution":{"lcp":{"parts":[1,2,3,4,5]}}"#),
        ("attribution", r#""attribution":{"lcp":{"parts":[1,2,3,-4]}}"#),
        ("attribution", r#""attribution":{"lcp":{"target":7,"parts":[1,2,3,4]}}"#),
        ("attribution", r#""attribution":{"lcp":null}"#),
        ("attribution", r#""attribution":{"inp":{"parts":[1,2,3],"at":1e300,"load":"complete"}}"#),
        ("attribution", r#""attribution":{"inp":{"parts":[1,2,3],"at":1,"load":"asleep"}}"#),
        ("attribution", r#""attribution":{"inp":{"parts":[1,2,3],"at":1,"load":"complete","script_ms":-1}}"#),
        ("attribution", r#""attribution":{"cls":{"at":1,"value":-1,"load":"complete"}}"#),
        ("values", r#""values":{"LCP":7,"TBT":7}"#),
        ("values", r#""values":{"LCP":7,"CLS":null}"#),
        ("values", r#""values":{"LCP":7,"CLS":"0.1"}"#),
        ("values", r#""values":{"CLS":1e300,"LCP":7}"#),
        ("values", r#""values":{"INP":-1,"LCP":7}"#),
        ("values", r#""values":{"INP":600001,"LCP":7}"#),
        ("values", r#""values":{"INP":1e999,"LCP":7}"#),
        ("values", r#""values":{"INP":9223372036854775808,"LCP":7}"#),
        ("unknown", r#""later":1"#),
    ];
    for (name, field) in of_a_view {
        let fields = format!(r#"{{"values":{{"LCP":7}},{field},"id":"{ID}"}}"#);
        let (beacon, dropped) = kept(&body(&format!(r#""views":[{fields}]"#)));
        assert_eq!((values(&beacon), dropped), (vec![("LCP", 7.0)], vec![(name, 1)]), "{field}");
        let view = &beacon.snapshots()[0];
        assert_eq!((view.navigation_type, view.tbt, &view.url), (None, None, &None), "{field}");
    }
}

#[test]
fn what_is_left_of_a_part_is_kept() {
    let (beacon, _) = kept(&body(&format!(
        r#""tags":{{"a":"1","b":7,"c":"3"}},"views":[{{"id":"{ID}","values":{{"LCP":7}},"marks":{{"x":1,"y":-1}},
            "attribution":{{"lcp":{{"target":7,"url":"u","parts":[1,2,3,4]}},"cls":{{"at":1}},
            "inp":{{"parts":[1,2,3],"at":1,"load":"complete","script_ms":"x"}}}}}}]"#
    )));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(beacon.tags, [pair("a", "1"), pair("c", "3")].into());
    assert_eq!(beacon.marks.iter().map(|mark| mark.name.as_str()).collect::<Vec<_>>(), ["x"]);
    let attribution = &beacon.snapshots()[0].attribution;
    let lcp = attribution.lcp.as_ref().unwrap();
    assert_eq!((lcp.target.as_str(), lcp.url.as_str(), lcp.parts_ms), ("", "u", [1.0, 2.0, 3.0, 4.0]));
    assert_eq!(attribution.inp.as_ref().unwrap().script_ms, 0.0);
    assert_eq!(attribution.cls, None);
}

#[test]
fn half_of_an_emoji_is_a_mark_in_its_place() {
    let body = body(&format!(
        r#""release":"a\ud83d","tags":{{"n\ude00":"\ud83d\ude00"}},
            "views":[{{"id":"{ID}","route":"/\ud83d/x","values":{{"LCP":7}}}}]"#
    ));
    let (beacon, dropped) = kept(&body);
    assert_eq!((values(&beacon), dropped), (vec![("LCP", 7.0)], vec![("text", 3)]));
    assert_eq!(beacon.release.as_deref(), Some("a\u{fffd}"));
    assert_eq!(beacon.tags["n\u{fffd}"], "\u{1f600}");
    assert_eq!(beacon.snapshots()[0].route.as_deref(), Some("/\u{fffd}/x"));
    let (beacon, dropped) = kept(&raw(r##"[[1,7],[17,1,0,0,"#\ud83d","u"]]"##));
    assert_eq!((values(&beacon), dropped), (vec![("FCP", 7.0)], vec![("text", 1)]));
}

#[test]
fn a_view_that_is_not_usable_costs_no_other() {
    let good = format!(r#"{{"id":"{ID}","values":{{"LCP":7}}}}"#);
    for (name, other) in [
        ("views", "7"),
        ("views", "null"),
        ("views", "[]"),
        ("views", r#"{"values":{"LCP":9}}"#),
        ("views", r#"{"id":7,"values":{"LCP":9}}"#),
        ("views", r#"{"id":"7","values":{"LCP":9}}"#),
        ("views", r#"{"id":"019a9f3c-1b7b-4fff-bfff-ffffffffffff","values":{"LCP":9}}"#),
        ("values", r#"{"id":"019a9f3c-1b7b-7fff-bfff-fffffffffff0","values":{"LCP":-9}}"#),
        ("values", r#"{"id":"019a9f3c-1b7b-7fff-bfff-fffffffffff0","values":[1]}"#),
        ("values", r#"{"id":"019a9f3c-1b7b-7fff-bfff-fffffffffff0"}"#),
    ] {
        for views in [format!("[{good},{other}]"), format!("[{other},{good}]")] {
            let (beacon, dropped) = kept(&body(&format!(r#""views":{views}"#)));
            assert_eq!((values(&beacon), dropped), (vec![("LCP", 7.0)], vec![(name, 1)]), "{views}");
        }
    }
}

/// A page view that was hidden from its start has no value, and counts.
#[test]
fn a_view_without_values_is_no_loss() {
    let empty = format!(r#"{{"id":"{ID}","values":{{}}}}"#);
    let broken = r#"{"id":"019a9f3c-1b7b-7fff-bfff-fffffffffff0","values":{"LCP":-9}}"#;
    assert_eq!(kept(&body(&format!(r#""views":[{empty}]"#))).1, []);
    let (beacon, dropped) = kept(&body(&format!(r#""views":[{broken},{empty}]"#)));
    assert_eq!((beacon.snapshots().len(), dropped), (2, vec![("values", 1)]));
}

#[test]
fn finished_views_come_before_a_queue() {
    let both =
        |views: &str| body(&format!(r#""raw":{{"id":"{ID}","now":1,"queue":[[1,9]]}},"views":{views}"#));
    let (beacon, dropped) = kept(&both(&format!(r#"[{{"id":"{ID}","values":{{"LCP":7}}}}]"#)));
    assert_eq!((values(&beacon), dropped), (vec![("LCP", 7.0)], vec![("raw", 1)]));
    let (beacon, _) = kept(&both("[7]"));
    assert_eq!(values(&beacon), [("FCP", 9.0)]);
}

#[test]
fn of_two_fields_of_one_name_the_later_counts() {
    let (beacon, dropped) = kept(&body(&format!(
        r#""seq":1,"seq":2,"tags":{{"a":"1","a":"2"}},"views":[{{"id":"x","id":"{ID}","values":{{"LCP":1,"LCP":2}}}}]"#
    )));
    assert_eq!((beacon.seq, values(&beacon), dropped), (2, vec![("LCP", 2.0)], Vec::new()));
    assert_eq!(beacon.tags["a"], "2");
}

#[test]
fn a_body_of_which_nothing_is_left_is_told_what_is_wrong() {
    for (body, expected) in [
        (String::new(), "EOF"),
        ("beacon".to_owned(), "expected value at line 1 column 1"),
        ("[]".to_owned(), "`v` is not a version"),
        ("7".to_owned(), "a beacon is an object"),
        ("{}".to_owned(), "missing field `v`"),
        (r#"{"v":1}"#.to_owned(), "missing field `site`"),
        (r#"{"v":"1"}"#.to_owned(), "`v` is not a version"),
        (r#"{"v":1.5}"#.to_owned(), "`v` is not a version"),
        (r#"{"v":1,"site":7}"#.to_owned(), "`site` is not a text"),
        (body(r#""views":[]"#), "`views` has 0 page views"),
        (body(r#""views":[],"raw":7"#), "`raw` is not the object"),
        (body(r#""route":"/""#), "expected one of `views` and `raw`"),
        (body(&format!(r#""views":[],"raw":{{"id":"{ID}","now":1}}"#)), "the queue is not an array of items"),
        (body(r#""views":7"#), "`views` is not an array"),
        (body(r#""views":{}"#), "`views` is not an array"),
        (body(r#""views":[7]"#), "a page view is an object"),
        (body(r#""views":[{"id":7}]"#), "`id` is not a page view id"),
        (body(&format!(r#""views":[{{"id":"{ID}","nav":"navigate"}}]"#)), "missing field `values`"),
        (view("[]"), "`values` is not an object"),
        (view(r#"{"TBT":7}"#), "unknown metric `TBT`; expected one of LCP, INP, CLS, FCP, TTFB, FID, TTI"),
        (view(r#"{"LCP":"12"}"#), "LCP is not a number"),
        (view(r#"{"LCP":null}"#), "LCP is not a number"),
        (view(r#"{"LCP":1e999}"#), "LCP is not a number"),
        (view(r#"{"LCP":-1}"#), "LCP: -1 is negative"),
        (view(r#"{"LCP":600001,"CLS":-1}"#), "LCP: 600001 is beyond what is plausible"),
        (view(r#"{"CLS":1e300}"#), "CLS: "),
        (view(r#"{"LCP":NaN}"#), "expected value"),
        (body(r#""raw":7"#), "`raw` is not the object of a raw queue"),
        (body(r#""raw":{"id":"7","now":1,"queue":[[1,2]]}"#), "the queue has no page view id"),
        (raw("{}"), "the queue is not an array of items"),
        (raw("[7]"), "an item of `queue` is not an array"),
        (raw("[[1,null]]"), "an item of `queue` is not an array"),
        (raw("[[1,2]"), "expected `,` or `]`"),
        (format!("{} true", raw("[]")), "trailing characters"),
        (view(r#"{"LCP":1,"\ud83d":NaN}"#), "expected value"),
    ] {
        let problem = problem(&body);
        assert!(problem.contains(expected), "{body}\n  says: {problem}\n  not: {expected}");
    }
}

#[test]
fn a_mistake_in_the_json_is_told_with_its_place() {
    assert!(problem(&raw("[[1,nul]]")).contains("line 1 column"), "{}", problem(&raw("[[1,nul]]")));
}

#[test]
fn a_body_cut_off_anywhere_is_an_error() {
    for whole in
        [serde_json::to_string(&wire(&[written(&snapshot(), &[])])).unwrap(), raw(r#"[[1,812.3],[16,127]]"#)]
    {
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
fn what_is_past_a_bound_is_left_out() {
    let views = vec![snapshot(); limits::VIEWS_PER_BEACON_MAX + 2];
    let text = |count: usize| {
        let views: Vec<_> = views[..count].iter().map(|view| written(view, &[])).collect();
        serde_json::to_string(&wire(&views)).unwrap()
    };
    assert_eq!(kept(&text(limits::VIEWS_PER_BEACON_MAX)).1, []);
    let (beacon, dropped) = kept(&text(limits::VIEWS_PER_BEACON_MAX + 2));
    assert_eq!((beacon.snapshots().len(), dropped), (limits::VIEWS_PER_BEACON_MAX, vec![("views", 2)]));

    let queue = |len| raw(&format!("[{}]", vec!["[1,2]"; len].join(",")));
    assert_eq!(kept(&queue(limits::QUEUE_ITEMS_MAX)).1, []);
    let (beacon, dropped) = kept(&queue(limits::QUEUE_ITEMS_MAX + 3));
    let Content::Raw(raw) = beacon.content else { panic!() };
    assert_eq!((raw.queue.len(), dropped), (limits::QUEUE_ITEMS_MAX, vec![("raw", 3)]));

    let tags: Vec<String> = (0..=limits::TAGS_MAX).map(|n| format!(r#""t{n}":"v""#)).collect();
    let marks: Vec<String> = (0..limits::MARKS_MAX + 2).map(|n| format!(r#""m{n}":1"#)).collect();
    let (beacon, dropped) = kept(&body(&format!(
        r#""tags":{{{}}},"views":[{{"id":"{ID}","values":{{"LCP":7}},"marks":{{{}}}}}]"#,
        tags.join(","),
        marks.join(",")
    )));
    assert_eq!(dropped, [("tags", 1), ("marks", 2)]);
    assert_eq!((beacon.tags.len(), beacon.marks.len()), (limits::TAGS_MAX, limits::MARKS_MAX));
    assert_eq!((beacon.tags["t0"].as_str(), beacon.dropped.count(Field::Marks)), ("v", 2));
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
}
