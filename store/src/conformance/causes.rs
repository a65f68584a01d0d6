//! Finds the causes of a metric's values for the model, the slow and obvious way.

use super::percentile;
use crate::context::causes::Script;
use crate::dimension::OTHER;
use crate::{AttributionMetric, Cause, Context};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use vitals::attribution::LoadState;
use vitals::fetch;
use vitals::metric::Value;

/// A page view's attribution of the metric.
#[derive(Clone)]
pub(super) struct Sample {
    value: u32,
    parts_ms: Vec<u32>,
    at_ms: u32,
    shift: u32,
    load_state: Option<LoadState>,
    script: Option<(String, u32)>,
    event: Option<String>,
}

impl Sample {
    pub(super) fn of(
        explained: AttributionMetric,
        value: Value,
        context: &Context,
    ) -> Option<((String, String), Self)> {
        let none = Self {
            value: value.micros(),
            parts_ms: vec![],
            at_ms: 0,
            shift: 0,
            load_state: None,
            script: None,
            event: None,
        };
        if explained == AttributionMetric::Ttfb {
            let parts_ms = context.conditions.as_deref()?.ttfb_parts_ms?;
            let longest = parts_ms.iter().max()?;
            let (_, name) = parts_ms.iter().zip(fetch::PARTS).rfind(|(ms, _)| *ms == longest)?;
            return Some(((String::new(), name.to_owned()), Self { parts_ms: parts_ms.to_vec(), ..none }));
        }
        let detail = context.detail.as_deref()?;
        match explained {
            AttributionMetric::Lcp => {
                let lcp = detail.lcp.clone()?;
                Some(((lcp.target, lcp.url), Self { parts_ms: lcp.parts_ms.to_vec(), ..none }))
            }
            AttributionMetric::Inp => {
                let inp = detail.inp.clone()?;
                let script = (!inp.script.is_empty()).then_some((inp.script, inp.script_ms));
                let (parts_ms, load_state) = (inp.parts_ms.to_vec(), Some(inp.load_state));
                let kind = match (inp.target.as_str(), inp.event.starts_with("key")) {
                    ("" | OTHER, true) => "keyboard",
                    ("" | OTHER, false) => "pointer",
                    _ => "",
                };
                let event = Some(inp.event);
                let sample = Self { parts_ms, at_ms: inp.at_ms, load_state, script, event, ..none };
                Some(((inp.target, kind.to_owned()), sample))
            }
            AttributionMetric::Cls => {
                let cls = detail.cls.clone()?;
                let (shift, load_state) = (cls.value_micros, Some(cls.load_state));
                Some(((cls.target, String::new()), Self { at_ms: cls.at_ms, shift, load_state, ..none }))
            }
            AttributionMetric::Ttfb => None,
        }
    }
}

/// An element's longest selector and image, its selectors, and its page views.
type Element = ((String, String), Vec<String>, Vec<Sample>);

/// Returns the elements, each with its selectors: the most frequent first.
fn elements(groups: BTreeMap<(String, String), Vec<Sample>>) -> Vec<Element> {
    let keys: Vec<(String, String)> = groups.keys().cloned().collect();
    let mut found: Vec<((String, String), Vec<Sample>)> = groups.into_iter().collect();
    found.sort_by_key(|(_, samples)| Reverse(samples.len()));
    let mut elements: Vec<Element> = Vec::new();
    for (key, samples) in found {
        let element = element(&key, &keys);
        match elements.iter_mut().find(|(known, ..)| *known == element) {
            Some((_, selectors, all)) => {
                selectors.push(key.0);
                all.extend(samples);
            }
            None => elements.push((element, vec![key.0], samples)),
        }
    }
    elements
}

/// Returns the most frequent selector of the element of each selector.
pub(super) fn first_selectors(
    groups: &BTreeMap<(String, String), Vec<Sample>>,
) -> BTreeMap<(String, String), String> {
    let elements = elements(groups.clone()).into_iter();
    let of_element = |((_, what), selectors, _): Element| {
        let first = selectors[0].clone();
        selectors.into_iter().map(move |selector| ((selector, what.clone()), first.clone()))
    };
    elements.flat_map(of_element).collect()
}

/// Returns the causes in their order.
pub(super) fn of(
    explained: AttributionMetric,
    groups: BTreeMap<(String, String), Vec<Sample>>,
) -> Vec<Cause> {
    let mut elements = elements(groups);
    elements.sort_by_key(|((_, what), selectors, samples)| {
        (Reverse(samples.len()), selectors[0].clone(), what.clone())
    });
    let mut causes: Vec<Cause> = elements
        .into_iter()
        .map(|((_, what), selectors, samples)| cause(explained, what, &selectors, &samples))
        .collect();
    if explained == AttributionMetric::Inp {
        causes.sort_by_key(|cause| Reverse(cause.views as u64 * u64::from(cause.p75_micros)));
    }
    causes
}

/// Returns the longest selector of an element, without the class of a state that the suite uses.
fn element((target, what): &(String, String), keys: &[(String, String)]) -> (String, String) {
    let plain = |target: &str| target.replace(".is-open", "");
    let own = (plain(target), what.clone());
    let ends = |longer: &str, shorter: &str| longer.ends_with(&format!(">{shorter}"));
    let alike = keys.iter().filter(|(_, other)| other == what).map(|(target, _)| plain(target));
    let longer: Vec<String> = alike.filter(|other| ends(other, &own.0)).collect();
    let is_bare = !own.0.contains(['.', '#', '>']) && what.is_empty();
    match longer.iter().max_by_key(|other| other.len()) {
        Some(longest) if !is_bare && longer.iter().all(|other| other == longest || ends(longest, other)) => {
            (longest.clone(), what.clone())
        }
        _ => own,
    }
}

fn cause(explained: AttributionMetric, what: String, selectors: &[String], samples: &[Sample]) -> Cause {
    let of = |number: &dyn Fn(&Sample) -> u32, percent| {
        percentile(&samples.iter().map(number).collect::<Vec<_>>(), percent)
    };
    let states = |state| samples.iter().filter(|one| one.load_state == Some(state)).count() as i64;
    let mut scripts: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (url, ran_ms) in samples.iter().filter_map(|one| one.script.clone()) {
        scripts.entry(url).or_default().push(ran_ms);
    }
    let script = scripts.into_iter().min_by_key(|(_, ran)| Reverse(ran.len()));
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for event in samples.iter().filter_map(|one| one.event.clone()) {
        *counts.entry(event).or_default() += 1;
    }
    let mut events: Vec<(String, i64)> = counts.into_iter().collect();
    events.sort_by_key(|(_, views)| Reverse(*views));
    let (first, others) = selectors.split_first().unwrap();
    Cause {
        target: first.clone(),
        selectors: others.to_vec(),
        what: events.first().map_or(what, |(event, _)| event.clone()),
        events,
        views: samples.len() as i64,
        p75_micros: of(&|one| one.value, 75),
        parts_ms: (0..samples[0].parts_ms.len()).map(|part| of(&|one| one.parts_ms[part], 50)).collect(),
        at_ms: matches!(explained, AttributionMetric::Inp | AttributionMetric::Cls)
            .then(|| of(&|one| one.at_ms, 50)),
        shift_micros: (explained == AttributionMetric::Cls).then(|| of(&|one| one.shift, 50)),
        load_states: LoadState::ALL.map(states),
        script: script.map(|(url, ran)| Script {
            url,
            views: ran.len() as i64,
            median_ms: percentile(&ran, 50),
        }),
    }
}
