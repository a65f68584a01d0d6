//! The conditions of page views: any of them, what the plain model finds in them, and the case about them.

use super::contexts::explained;
use super::{DAY0_MS, load, percentile, site, update};
use crate::context::causes::conditions::{
    ClassFound, ColdStarts, Condition, ConditionsFound, Spread, TimingFound,
};
use crate::context::conditions::Conditions;
use crate::rollup::DAY_MS;
use crate::{AttributionMetric, CauseQuery, CellQuery, Context, Erase, Source, Store, ViewUpdate};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use vitals::fetch::{ConfidenceLevel, Delivery, Protocol};
use vitals::limits;
use vitals::metric::Metric;
use vitals::view::{Rtt, Tier};

/// Few values, so that page views share them.
pub(super) fn any_conditions() -> impl Strategy<Value = Option<Box<Conditions>>> {
    let text = |choices: &'static [&'static str]| select(choices).prop_map(str::to_owned);
    let ms = || select(&[0_u32, 7, 250][..]);
    let timing = (text(&["edge", "db"]), ms(), text(&["", "HIT", "(other)"]));
    let load = (
        option::of((ms(), ms(), ms(), ms(), ms(), ms()).prop_map(<[u32; 6]>::from)),
        option::of(select(Protocol::ALL)),
        option::of(select(Delivery::ALL)),
        option::of(1_u32..4),
        vec(timing, 0..limits::SERVER_TIMINGS_MAX),
        vec(text(&["unload-listener", "masked"]), 0..3),
        option::of((select(ConfidenceLevel::ALL), select(&[0_u8, 50, 100][..]))),
    );
    let tier = || option::of(select(Tier::ALL));
    let visitor = (option::of(select(Rtt::ALL)), tier(), tier(), option::of(any::<bool>()), option::of(ms()));
    let conditions = (load, visitor).prop_map(|(load, (rtt, memory, cpu, engaged, first_input_ms))| {
        let (ttfb_parts_ms, protocol, delivery, document_kb, server_timings, not_restored, confidence) = load;
        let conditions = Conditions {
            ttfb_parts_ms,
            protocol,
            delivery,
            document_kb,
            server_timings,
            not_restored,
            confidence,
            rtt,
            memory,
            cpu,
            engaged,
            first_input_ms,
        };
        conditions.filled()
    });
    option::of(conditions).prop_map(Option::flatten)
}

/// What page views with these values of a metric say of their conditions.
pub(super) fn found(seen: &[(u32, &Conditions)], limit: usize) -> ConditionsFound {
    let mut classes: BTreeMap<(Condition, &'static str), Vec<u32>> = BTreeMap::new();
    let mut timings: BTreeMap<(String, String), Vec<(u32, u32)>> = BTreeMap::new();
    let mut reasons: BTreeMap<String, i64> = BTreeMap::new();
    let mut noises: BTreeMap<u8, (i64, i64)> = BTreeMap::new();
    for &(value, one) in seen {
        let of_one = [
            (Condition::Protocol, one.protocol.map(Protocol::name)),
            (Condition::Delivery, one.delivery.map(Delivery::name)),
            (Condition::Rtt, one.rtt.map(Rtt::name)),
            (Condition::Memory, one.memory.map(Tier::name)),
            (Condition::Cpu, one.cpu.map(Tier::name)),
            (Condition::Engaged, one.engaged.map(|engaged| if engaged { "yes" } else { "no" })),
        ];
        for (condition, class) in of_one {
            if let Some(class) = class {
                classes.entry((condition, class)).or_default().push(value);
            }
        }
        for (name, ms, description) in &one.server_timings {
            timings.entry((name.clone(), description.clone())).or_default().push((value, *ms));
        }
        for reason in &one.not_restored {
            *reasons.entry(reason.clone()).or_default() += 1;
        }
        if let Some((level, noise)) = one.confidence.filter(|(_, noise)| *noise < 100) {
            let (told, low) = noises.entry(noise).or_default();
            *told += 1;
            *low += i64::from(level == ConfidenceLevel::Low);
        }
    }
    let spread = |number: fn(&Conditions) -> Option<u32>| {
        let all: Vec<u32> = seen.iter().filter_map(|(_, one)| number(one)).collect();
        Spread { n: all.len() as i64, p50: percentile(&all, 50), p75: percentile(&all, 75) }
    };
    let mut classes: Vec<ClassFound> = classes
        .into_iter()
        .map(|((condition, class), values)| ClassFound {
            condition,
            class,
            views: values.len() as i64,
            p75_micros: percentile(&values, 75),
        })
        .collect();
    classes.sort_by_key(|one| (one.condition, Reverse(one.views)));
    let mut server_timings: Vec<TimingFound> = timings
        .into_iter()
        .map(|((name, description), seen)| TimingFound {
            name,
            description,
            views: seen.len() as i64,
            median_ms: percentile(&seen.iter().map(|(_, ms)| *ms).collect::<Vec<_>>(), 50),
            p75_micros: percentile(&seen.iter().map(|(value, _)| *value).collect::<Vec<_>>(), 75),
        })
        .collect();
    server_timings.sort_by_key(|one| Reverse(one.views));
    server_timings.truncate(limit);
    let mut not_restored: Vec<(String, i64)> = reasons.into_iter().collect();
    not_restored.sort_by_key(|(_, views)| Reverse(*views));
    let told = noises.values().map(|(told, _)| told).sum();
    let estimated: f64 = noises
        .iter()
        .map(|(noise, (told, low))| {
            let noise = f64::from(*noise) / 100.0;
            (*low as f64 - *told as f64 * noise / 2.0) / (1.0 - noise)
        })
        .sum();
    ConditionsFound {
        classes,
        server_timings,
        not_restored,
        document_kb: spread(|one| one.document_kb),
        first_input_ms: spread(|one| one.first_input_ms),
        cold_starts: ColdStarts { told, estimated: (estimated.round() as i64).clamp(0, told) },
    }
}

/// A page view with a TTFB and these conditions.
fn conditioned(random: u128, ttfb: f64, conditions: Conditions) -> ViewUpdate {
    let mut update = update(DAY0_MS + 7, random, &[(Metric::Ttfb, ttfb)]);
    update.context = Context { conditions: Some(Box::new(conditions)), ..Context::NONE };
    update
}

/// The conditions of a page view are those of its last snapshot, explain its TTFB, and go with it.
pub async fn conditions_explain_ttfb_and_go_with_their_page_view(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    let timings = |edge: &str| vec![("cdn-cache".to_owned(), 3, edge.to_owned())];
    let slow = Conditions {
        ttfb_parts_ms: Some([0, 0, 2, 20, 78, 1_900]),
        protocol: Some(Protocol::Http1),
        delivery: Some(Delivery::Network),
        document_kb: Some(40),
        server_timings: timings("MISS"),
        rtt: Some(Rtt::From800),
        engaged: Some(false),
        ..Conditions::default()
    };
    let redirected = Conditions {
        ttfb_parts_ms: Some([900, 0, 0, 0, 0, 100]),
        not_restored: vec!["masked".to_owned()],
        ..slow.clone()
    };
    let fast = Conditions {
        ttfb_parts_ms: Some([0, 0, 0, 0, 0, 100]),
        protocol: Some(Protocol::H3),
        server_timings: timings("HIT"),
        memory: Some(Tier::Low),
        first_input_ms: Some(700),
        ..Conditions::default()
    };
    let mut first = vec![
        conditioned(1, 2_000.0, slow.clone()),
        conditioned(2, 1_000.0, redirected),
        conditioned(3, 100.0, fast.clone()),
        // One that says something else beside, and one that says nothing of its conditions.
        explained(DAY0_MS + 7, 4, "img", "https://shop.example/app.js"),
        update(DAY0_MS + 7, 5, &[(Metric::Ttfb, 50.0)]),
    ];
    first[3].context.conditions = Some(Box::new(fast.clone()));
    load(&store, site, 1, first.clone()).await.unwrap();
    for update in &first {
        assert_eq!(store.view(site, update.id).await.unwrap().unwrap().update, *update);
    }
    let query = CauseQuery {
        views: CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS),
        explained: AttributionMetric::Ttfb,
        limit: 10,
        views_max: u64::MAX,
    };
    let answer = store.causes(&query).await.unwrap();
    assert_eq!((answer.measured, answer.explained, answer.found), (4, 3, 2));
    let longest: Vec<_> =
        answer.causes.iter().map(|one| (one.what.as_str(), one.views, one.p75_micros)).collect();
    assert_eq!(longest, [("request", 2, 2_000_000), ("redirect", 1, 1_000_000)]);
    assert_eq!(answer.causes[1].parts_ms, [900, 0, 0, 0, 0, 100]);
    let found = &answer.conditions;
    let classes: Vec<_> =
        found.classes.iter().map(|one| (one.condition, one.class, one.views, one.p75_micros)).collect();
    assert_eq!(
        classes[..2],
        [(Condition::Protocol, "http/1.1", 2, 2_000_000), (Condition::Protocol, "h3", 1, 100_000)]
    );
    let timings: Vec<_> = found
        .server_timings
        .iter()
        .map(|one| (one.name.as_str(), one.description.as_str(), one.views, one.p75_micros))
        .collect();
    assert_eq!(timings, [("cdn-cache", "MISS", 2, 2_000_000), ("cdn-cache", "HIT", 1, 100_000)]);
    assert_eq!((&found.not_restored, found.document_kb.p50), (&vec![("masked".to_owned(), 1)], 40));

    // A later snapshot replaces them whole, and an erasure takes them along.
    let last = ViewUpdate { source: Source::Own { seq: 2 }, ..conditioned(2, 1_000.0, fast) };
    load(&store, site, 1, vec![last.clone()]).await.unwrap();
    assert_eq!(store.view(site, last.id).await.unwrap().unwrap().update, last);
    assert_eq!(store.causes(&query).await.unwrap().conditions.not_restored, []);
    let erase = Erase { site, from_ms: DAY0_MS, to_ms: DAY0_MS + DAY_MS, url: None };
    while store.erase(&erase).await.unwrap().more {}
    let nothing = crate::Causes { period: DAY0_MS..DAY0_MS + DAY_MS, ..crate::Causes::default() };
    assert_eq!(store.causes(&query).await.unwrap(), nothing);
}
