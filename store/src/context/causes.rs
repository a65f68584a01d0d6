//! Counts the causes of a metric's values, and their conditions, over page views.
//!
//! A cause is an element, or the longest part of TTFB. [`elements`] joins the selectors of one element. All interactions
//! with an element are one cause, whatever their event: `pointerdown` and `click` of one press are one interaction.

mod answer;
pub mod conditions;
mod elements;
pub mod slow;

pub use answer::{AttributionMetric, Blocking, Cause, CauseQuery, Causes, Script};

use super::Context;
use super::texts::{Code, NO_TEXT, OTHER_TEXT, TextNames};
use crate::dimension::OTHER;
use crate::limits;
use crate::scan::{Gather, Scanned, Seen};
use conditions::Gathering;
use std::cmp::Reverse;
use std::collections::HashMap;
use vitals::advice::Part;
use vitals::fetch;
use vitals::histogram::rank;
use vitals::metric::{Metric, Rating, Value};

/// Accumulates an answer.
#[derive(Debug)]
pub struct Explaining {
    explained: AttributionMetric,
    limit: usize,
    /// Maps a day's code to the index of its text.
    places: HashMap<(i32, Code), usize>,
    texts: Vec<String>,
    groups: HashMap<(usize, usize), Group>,
    tbt_micros: Vec<u32>,
    conditions: Gathering,
    slow: slow::Gathering,
    answer: Causes,
}

/// The page views of a cause, each with its value, parts, time, and shift score.
#[derive(Debug, Default)]
struct Group {
    samples: Vec<[u32; SAMPLE]>,
    load_states: [i64; 3],
    scripts: HashMap<usize, Vec<u32>>,
    events: HashMap<usize, i64>,
}

impl Group {
    fn merge(&mut self, other: Self) {
        self.samples.extend(other.samples);
        for (mine, others) in self.load_states.iter_mut().zip(other.load_states) {
            *mine += others;
        }
        for (script, ran) in other.scripts {
            self.scripts.entry(script).or_default().extend(ran);
        }
        for (event, views) in other.events {
            *self.events.entry(event).or_default() += views;
        }
    }
}

const SAMPLE: usize = 8;
const VALUE: usize = 0;
const PARTS: usize = 1;
const AT: usize = 7;
/// Shares the slot of the parts, because CLS has none.
const SHIFT: usize = 1;

/// The indexes of the empty text, of [`OTHER`], of the first part of TTFB, and of the kinds of interactions.
const EMPTY: usize = 0;
const OTHERS: usize = 1;
const TTFB_PARTS: usize = 2;
const POINTER: usize = TTFB_PARTS + fetch::PARTS.len();
const KEYBOARD: usize = POINTER + 1;

/// Returns the kind of an interaction, which separates interactions with unknown elements.
fn kind_of(event: &str) -> usize {
    let is_typed = event.starts_with("key") || event.starts_with("composition") || event.ends_with("input");
    if is_typed { KEYBOARD } else { POINTER }
}

impl Explaining {
    /// Starts an answer.
    #[must_use]
    pub fn new(query: &CauseQuery) -> Self {
        let mut texts = vec![String::new(), OTHER.to_owned()];
        texts.extend(fetch::PARTS.into_iter().chain(["pointer", "keyboard"]).map(str::to_owned));
        Self {
            explained: query.explained,
            limit: query.limit,
            places: HashMap::new(),
            texts,
            groups: HashMap::new(),
            tbt_micros: Vec::new(),
            conditions: Gathering::default(),
            slow: slow::Gathering::default(),
            answer: Causes::default(),
        }
    }

    fn explain(&mut self, day: i32, value: Value, context: &Context<Code>) {
        let is_slow = self.explained.metric().rate(value) != Rating::Good;
        self.slow.views += i64::from(is_slow);
        let value = value.micros();
        let place = |code| match code {
            NO_TEXT => EMPTY,
            OTHER_TEXT => OTHERS,
            code => self.places.get(&(day, code)).copied().unwrap_or(OTHERS),
        };
        if let Some(conditions) = &context.conditions {
            self.conditions.add(value, conditions, &place);
        }
        let detail = context.detail.as_deref();
        let mut sample = [0; SAMPLE];
        sample[VALUE] = value;
        let (mut event, mut script) = (None, None);
        let (target, what, load_state, dominant) = match self.explained {
            AttributionMetric::Ttfb => {
                let conditions = context.conditions.as_deref();
                let Some(parts) = conditions.and_then(|conditions| conditions.ttfb_parts_ms) else { return };
                sample[PARTS..PARTS + parts.len()].copy_from_slice(&parts);
                // On a tie, the last part wins.
                let longest = parts.iter().enumerate().max_by_key(|(_, ms)| **ms).map_or(0, |(part, _)| part);
                (EMPTY, TTFB_PARTS + longest, None, Part::of_ttfb(parts))
            }
            AttributionMetric::Lcp => {
                let Some(lcp) = detail.and_then(|detail| detail.lcp.as_ref()) else { return };
                sample[PARTS..PARTS + lcp.parts_ms.len()].copy_from_slice(&lcp.parts_ms);
                (place(lcp.target), place(lcp.url), None, Part::of_lcp(lcp.parts_ms))
            }
            AttributionMetric::Inp => {
                let Some(inp) = detail.and_then(|detail| detail.inp.as_ref()) else { return };
                sample[PARTS..PARTS + 3].copy_from_slice(&inp.parts_ms);
                sample[AT] = inp.at_ms;
                script = (inp.script != NO_TEXT).then_some((place(inp.script), inp.script_ms));
                let (target, event_place) = (place(inp.target), place(inp.event));
                event = Some(event_place);
                let is_known = target != EMPTY && target != OTHERS;
                let kind = if is_known { EMPTY } else { kind_of(&self.texts[event_place]) };
                (target, kind, Some(inp.load_state), Part::of_inp(inp.parts_ms))
            }
            AttributionMetric::Cls => {
                let Some(cls) = detail.and_then(|detail| detail.cls.as_ref()) else { return };
                sample[SHIFT] = cls.value_micros;
                sample[AT] = cls.at_ms;
                let target = place(cls.target);
                let part = Part::of_cls(&self.texts[target], cls.load_state);
                (target, EMPTY, Some(cls.load_state), (part, cls.value_micros))
            }
        };
        if is_slow {
            let resource = match self.explained {
                AttributionMetric::Lcp => what,
                AttributionMetric::Inp => script.map_or(EMPTY, |(script, _)| script),
                AttributionMetric::Cls | AttributionMetric::Ttfb => EMPTY,
            };
            let (part, size) = dominant;
            self.slow.add(part, size, (target, resource));
        }
        let mut key = (target, what);
        if !self.groups.contains_key(&key) && self.groups.len() >= limits::CAUSES_MAX {
            let what = match event {
                Some(event) => kind_of(&self.texts[event]),
                None if what == EMPTY => EMPTY,
                None => OTHERS,
            };
            key = (OTHERS, what);
        }
        let group = self.groups.entry(key).or_default();
        group.samples.push(sample);
        if let Some(state) = load_state {
            group.load_states[state as usize] += 1;
        }
        if let Some((script, ran_ms)) = script {
            group.scripts.entry(script).or_default().push(ran_ms);
        }
        if let Some(event) = event {
            *group.events.entry(event).or_default() += 1;
        }
        self.answer.explained += 1;
    }

    /// Returns the answer about the page views of a scan.
    #[must_use]
    pub fn finish(mut self, scanned: Scanned) -> Causes {
        let (elements, first_of) = self.elements();
        self.answer.found = elements.len();
        let texts = &self.texts;
        let is_inp = self.explained == AttributionMetric::Inp;
        let mut ranked: Vec<(u64, Element)> = elements
            .into_iter()
            .map(|mut element| {
                let views = element.group.samples.len() as u64;
                let p75_micros = percentile(&mut element.group.samples, 75, |one| one[VALUE]);
                (if is_inp { views * u64::from(p75_micros) } else { views }, element)
            })
            .collect();
        // A stable sort keeps the order of elements with the same rank.
        ranked.sort_by_key(|(rank, _)| Reverse(*rank));
        let shown = ranked.into_iter().take(self.limit);
        self.answer.causes = shown.map(|(_, element)| cause(self.explained, element, texts)).collect();
        self.answer.conditions = self.conditions.finish(&self.texts, self.limit);
        let has_image = self.explained == AttributionMetric::Lcp;
        self.answer.slow = self.slow.finish(&self.texts, |(target, resource)| {
            let what = if has_image { resource } else { EMPTY };
            first_of.get(&(target, what)).copied().unwrap_or(target)
        });
        self.answer.tbt = Blocking {
            n: self.tbt_micros.len() as i64,
            p50_micros: percentile(&mut self.tbt_micros, 50, |&micros| micros),
            p75_micros: percentile(&mut self.tbt_micros, 75, |&micros| micros),
        };
        Causes { period: scanned.period, sample: scanned.sample, ..self.answer }
    }

    /// Joins the groups of each element. Also returns the element's most frequent selector for each of its groups.
    fn elements(&mut self) -> (Vec<Element>, HashMap<(usize, usize), usize>) {
        let mut groups: Vec<((usize, usize), Group)> = self.groups.drain().collect();
        let texts = &self.texts;
        let key = |((target, what), group): &((usize, usize), Group)| {
            (Reverse(group.samples.len()), (&texts[*target], &texts[*what]))
        };
        groups.sort_unstable_by(|one, other| key(one).cmp(&key(other)));
        let selectors: Vec<(&str, usize)> = groups
            .iter()
            .take(limits::ELEMENTS_JOINED_MAX)
            .filter(|((target, _), _)| *target != OTHERS)
            .map(|((target, what), _)| (texts[*target].as_str(), *what))
            .collect();
        let joined = elements::join(&selectors);
        let mut places: HashMap<(&str, usize), usize> = HashMap::new();
        let mut elements: Vec<Element> = Vec::new();
        let mut first_of = HashMap::new();
        for ((target, what), group) in groups {
            let own = (texts[target].as_str(), what);
            let element = joined.get(&own).copied().unwrap_or(own);
            match places.get(&element) {
                Some(&place) => {
                    // The first selector is the most frequent one.
                    first_of.insert((target, what), elements[place].targets[0]);
                    elements[place].targets.push(target);
                    elements[place].group.merge(group);
                }
                None => {
                    first_of.insert((target, what), target);
                    places.insert(element, elements.len());
                    elements.push(Element { targets: vec![target], what, group });
                }
            }
        }
        let key = |element: &Element| {
            let first = element.targets.first().copied().unwrap_or(EMPTY);
            (Reverse(element.group.samples.len()), (&texts[first], &texts[element.what]))
        };
        elements.sort_unstable_by(|one, other| key(one).cmp(&key(other)));
        (elements, first_of)
    }
}

impl Gather for Explaining {
    fn begin(&mut self, names: &TextNames) {
        let mut known: HashMap<&str, usize> = HashMap::new();
        for (day, code, text) in names.iter() {
            // The same text may have different codes on different days.
            let place = *known.entry(text).or_insert_with(|| {
                self.texts.push(text.to_owned());
                self.texts.len() - 1
            });
            self.places.insert((day, code), place);
        }
    }

    fn add(&mut self, seen: &Seen, _: &TextNames) {
        let answer = &mut self.answer;
        answer.views.see(seen);
        let value = seen.values.get(self.explained.metric());
        answer.measured += i64::from(value.is_some());
        answer.tti_reached += i64::from(seen.values.get(Metric::Tti).is_some());
        if let Some(gap) = seen.tti_gap {
            answer.tti_gaps[gap as usize] += 1;
        }
        for (bit, errors) in answer.errors.iter_mut().enumerate() {
            *errors += i64::from(seen.context.errors >> bit & 1);
        }
        self.tbt_micros.extend(seen.context.tbt.map(Value::micros));
        if let Some(value) = value {
            self.explain(seen.day, value, &seen.context);
        }
    }
}

/// The page views of an element, or of a longest part.
struct Element {
    /// The indexes of its selectors, the most frequent first.
    targets: Vec<usize>,
    /// The index of the image's URL or of the longest part.
    what: usize,
    group: Group,
}

fn cause(explained: AttributionMetric, element: Element, texts: &[String]) -> Cause {
    let Element { targets, what, mut group } = element;
    let views = group.samples.len() as i64;
    let mut at = |place: usize, percent| percentile(&mut group.samples, percent, |one| one[place]);
    let p75_micros = at(VALUE, 75);
    let parts = match explained {
        AttributionMetric::Lcp => 4,
        AttributionMetric::Inp => 3,
        AttributionMetric::Cls => 0,
        AttributionMetric::Ttfb => fetch::PARTS.len(),
    };
    let has_moment = matches!(explained, AttributionMetric::Inp | AttributionMetric::Cls);
    let parts_ms = (PARTS..PARTS + parts).map(|place| at(place, 50)).collect();
    let at_ms = has_moment.then(|| at(AT, 50));
    let shift_micros = (explained == AttributionMetric::Cls).then(|| at(SHIFT, 50));
    let script = group.scripts.into_iter().min_by(|(one, ran), (other, other_ran)| {
        let key = |place: usize, ran: &Vec<u32>| (Reverse(ran.len()), &texts[place]);
        key(*one, ran).cmp(&key(*other, other_ran))
    });
    let mut events: Vec<(String, i64)> =
        group.events.into_iter().map(|(event, views)| (texts[event].clone(), views)).collect();
    events.sort_unstable_by(|one, other| (Reverse(one.1), &one.0).cmp(&(Reverse(other.1), &other.0)));
    let mut selectors = targets.into_iter().map(|target| texts[target].clone());
    Cause {
        target: selectors.next().unwrap_or_default(),
        selectors: selectors.take(limits::SELECTORS_SHOWN_MAX).collect(),
        what: events.first().map_or_else(|| texts[what].clone(), |(event, _)| event.clone()),
        events,
        views,
        p75_micros,
        parts_ms,
        at_ms,
        shift_micros,
        load_states: group.load_states,
        script: script.map(|(place, mut ran)| Script {
            url: texts[place].clone(),
            views: ran.len() as i64,
            median_ms: percentile(&mut ran, 50, |&ms| ms),
        }),
    }
}

/// Returns a percentile by nearest rank; 0 if `all` is empty. Reorders `all`.
fn percentile<T>(all: &mut [T], percent: u8, number: impl Fn(&T) -> u32) -> u32 {
    let place = usize::try_from(rank(all.len() as i64, percent) - 1).unwrap_or(0);
    if place >= all.len() {
        return 0;
    }
    let (_, one, _) = all.select_nth_unstable_by_key(place, &number);
    number(one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{ClsDetail, Detail, InpDetail, LcpDetail};
    use crate::{CellQuery, SiteId, Weight};
    use vitals::attribution::LoadState;
    use vitals::metric::Values;
    use vitals::view::{TtiGap, ViewId};

    #[test]
    fn causes_are_counted_over_days_and_past_their_bound_together() {
        let query = CauseQuery {
            views: CellQuery::new(SiteId(1), 0, 1),
            explained: AttributionMetric::Lcp,
            limit: 2,
            views_max: u64::MAX,
        };
        let mut names = TextNames::default();
        for (day, code) in [(1, 7), (2, 8)] {
            names.insert(day, code, "img".to_owned());
        }
        for number in 0..limits::CAUSES_MAX as u16 {
            names.insert(3, 100 + number, format!("p.n{number}"));
        }
        let mut explaining = Explaining::new(&query);
        explaining.begin(&names);
        let mut see = |day, target, lcp: u32| {
            let lcp_detail = LcpDetail { target, url: 0, parts_ms: [lcp, 1, 2, 3] };
            let (tags, marks) = (Vec::new(), Vec::new());
            let detail = Detail { lcp: Some(lcp_detail), inp: None, cls: None, tags, marks };
            let context = Context { detail: Some(Box::new(detail)), errors: 4, ..Context::NONE };
            let mut values = Values::EMPTY;
            values.set(Metric::Lcp, Value::from_micros(Metric::Lcp, lcp * 1_000));
            let (weight, tti_gap) = (Weight::of_sample(0.5), Some(TtiGap::Network));
            let seen = Seen { id: ViewId::new(0, 0), day, weight, values, tti_gap, context };
            explaining.add(&seen, &names);
        };
        see(1, 7, 100);
        see(2, 8, 300);
        see(2, 8, 200);
        for number in 0..limits::CAUSES_MAX as u16 {
            see(3, 100 + number, 50);
        }
        // A deleted text is counted under `OTHER`.
        see(3, 9, 50);
        let answer = explaining.finish(Scanned::default());
        let shown: Vec<_> = answer.causes.iter().map(|one| (one.target.as_str(), one.views)).collect();
        assert_eq!(shown, [("img", 3), (OTHER, 2)]);
        assert_eq!((answer.causes[0].p75_micros, answer.causes[0].parts_ms[0]), (300_000, 200));
        let views = limits::CAUSES_MAX as i64 + 4;
        assert_eq!((answer.views.count, answer.views.weight_milli), (views, views * 2_000));
        assert_eq!((answer.explained, answer.measured), (views, views));
        assert_eq!((answer.tti_gaps, answer.errors[2]), ([0, views, 0], views));
        assert_eq!(answer.tbt, Blocking::default());
    }

    #[test]
    fn interactions_with_an_element_are_one_cause_ranked_by_delay() {
        let views = CellQuery::new(SiteId(1), 0, 1);
        let query = CauseQuery { views, explained: AttributionMetric::Inp, limit: 9, views_max: u64::MAX };
        let mut names = TextNames::default();
        let texts = ["#buy", "click", "pointerdown", "keydown", "#menu>a", "#menu>a.is-open"];
        for (code, text) in (10..).zip(texts) {
            names.insert(1, code, text.to_owned());
        }
        let mut explaining = Explaining::new(&query);
        explaining.begin(&names);
        let mut see = |target: Code, event: Code, inp: u32| {
            let inp_detail = InpDetail {
                target,
                event,
                at_ms: 1,
                parts_ms: [inp, 0, 0],
                script: 0,
                script_ms: 0,
                load_state: LoadState::Complete,
            };
            let (tags, marks) = (Vec::new(), Vec::new());
            let detail = Detail { lcp: None, inp: Some(inp_detail), cls: None, tags, marks };
            let context = Context { detail: Some(Box::new(detail)), ..Context::NONE };
            let mut values = Values::EMPTY;
            values.set(Metric::Inp, Value::from_micros(Metric::Inp, inp * 1_000));
            let (id, weight) = (ViewId::new(0, 0), Weight::ONE);
            explaining.add(&Seen { id, day: 1, weight, values, tti_gap: None, context }, &names);
        };
        see(10, 11, 900);
        see(10, 12, 900);
        for target in [14, 15, 15, 14, 15] {
            see(target, 11, 100);
        }
        // Of unknown elements, presses and keys are told apart.
        for event in [11, 12, 13] {
            see(0, event, 20);
        }
        let answer = explaining.finish(Scanned::default());
        let shown: Vec<_> = answer
            .causes
            .iter()
            .map(|one| (one.target.as_str(), one.selectors.join(" "), one.what.as_str(), one.views))
            .collect();
        let text = str::to_owned;
        assert_eq!(
            shown,
            [
                ("#buy", text(""), "click", 2),
                ("#menu>a.is-open", text("#menu>a"), "click", 5),
                ("", text(""), "click", 2),
                ("", text(""), "keydown", 1)
            ]
        );
        assert_eq!(answer.causes[0].events, [(text("click"), 1), (text("pointerdown"), 1)]);
        assert_eq!(answer.found, 4);
    }

    #[test]
    fn slow_part_names_the_element_of_all_its_selectors() {
        let views = CellQuery::new(SiteId(1), 0, 1);
        let query = CauseQuery { views, explained: AttributionMetric::Cls, limit: 9, views_max: u64::MAX };
        let mut names = TextNames::default();
        for (code, text) in (10..).zip(["#buy", "#menu>a", "#menu>a.is-open"]) {
            names.insert(1, code, text.to_owned());
        }
        let mut explaining = Explaining::new(&query);
        explaining.begin(&names);
        for target in [10, 10, 10, 11, 11, 12, 12] {
            let cls = ClsDetail { target, at_ms: 1, value_micros: 300_000, load_state: LoadState::Complete };
            let (tags, marks) = (Vec::new(), Vec::new());
            let detail = Detail { lcp: None, inp: None, cls: Some(cls), tags, marks };
            let context = Context { detail: Some(Box::new(detail)), ..Context::NONE };
            let mut values = Values::EMPTY;
            values.set(Metric::Cls, Value::from_micros(Metric::Cls, 400_000));
            let (id, weight) = (ViewId::new(0, 0), Weight::ONE);
            explaining.add(&Seen { id, day: 1, weight, values, tti_gap: None, context }, &names);
        }
        let answer = explaining.finish(Scanned::default());
        let (cause, slow) = (&answer.causes[0], &answer.slow.parts[0]);
        assert_eq!((cause.target.as_str(), cause.views), ("#menu>a", 4));
        assert_eq!((slow.target.as_str(), slow.named), ("#menu>a", 4), "as the causes say");
    }
}
