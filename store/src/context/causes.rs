//! Counts the causes of a metric's values, and their conditions, over page views.

pub mod conditions;
pub mod slow;

use super::Context;
use super::code::decode;
use super::texts::{Code, NO_TEXT, OTHER_TEXT, TextNames};
use crate::cell::{CellQuery, Views};
use crate::dimension::OTHER;
use crate::limits;
use crate::weight::Weight;
use conditions::{ConditionsFound, Gathering};
use slow::Slow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;
use vitals::advice::Part;
use vitals::attribution::LoadState;
use vitals::fetch;
use vitals::histogram::{EncodingError, rank};
use vitals::metric::{Metric, Rating, Value};
use vitals::view::TtiGap;

/// A metric with attribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributionMetric {
    /// Caused by the largest element.
    Lcp,
    /// Caused by the slowest interaction.
    Inp,
    /// Caused by the largest shift.
    Cls,
    /// Caused by the longest part.
    Ttfb,
}

impl AttributionMetric {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Lcp, Self::Inp, Self::Cls, Self::Ttfb];

    /// The metric.
    #[must_use]
    pub const fn metric(self) -> Metric {
        match self {
            Self::Lcp => Metric::Lcp,
            Self::Inp => Metric::Inp,
            Self::Cls => Metric::Cls,
            Self::Ttfb => Metric::Ttfb,
        }
    }
}

/// A query for the causes of a metric's values.
#[derive(Clone, Debug, PartialEq)]
pub struct CauseQuery {
    /// Selects the page views, to the millisecond; its metrics are ignored.
    pub views: CellQuery,
    /// The metric.
    pub explained: AttributionMetric,
    /// Maximum number of causes in the answer, those with most page views first.
    pub limit: usize,
}

/// The causes of a metric's values, and the other attributes of page views that rollups lack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Causes {
    /// The counted period: that of the query, limited to the retention of page views.
    pub period: Range<i64>,
    /// The selected page views.
    pub views: Views,
    /// Page views with a value of the metric.
    pub measured: i64,
    /// Page views with attribution of the metric.
    pub explained: i64,
    /// The number of distinct causes.
    pub found: usize,
    /// The causes, those with most page views first.
    pub causes: Vec<Cause>,
    /// The slow page views, by the part that dominates them.
    pub slow: Slow,
    /// The conditions of the page views with a value.
    pub conditions: ConditionsFound,
    /// Total Blocking Time.
    pub tbt: Blocking,
    /// Page views with a TTI.
    pub tti_reached: i64,
    /// Page views without a TTI, by [`TtiGap`].
    pub tti_gaps: [i64; 3],
    /// Page views in which a part of the collector failed, by the bit of [`vitals::beacon::errors`].
    pub errors: [i64; 8],
}

/// Page views of one cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// The element; empty if unknown.
    pub target: String,
    /// The image's URL for LCP, the event's type for INP, the longest part for TTFB; empty for CLS.
    pub what: String,
    /// Page views.
    pub views: i64,
    /// The 75th percentile of the metric, in millionths of its unit.
    pub p75_micros: u32,
    /// Medians of the parts, in milliseconds: four for LCP, three for INP, six for TTFB, none for CLS.
    pub parts_ms: Vec<u32>,
    /// The median time of the interaction or shift, in milliseconds since the view's start; for INP and CLS only.
    pub at_ms: Option<u32>,
    /// The median of the largest shift's own score, in millionths; for CLS only.
    pub shift_micros: Option<u32>,
    /// Page views by [`LoadState`]; zeros except for INP and CLS.
    pub load_states: [i64; 3],
    /// The script that was most often the longest; for INP only.
    pub script: Option<Script>,
}

/// The longest script during an interaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Its URL.
    pub url: String,
    /// Page views of the cause with this script.
    pub views: i64,
    /// The median duration, in milliseconds.
    pub median_ms: u32,
}

/// Total Blocking Time of some page views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocking {
    /// Page views with a value.
    pub n: i64,
    /// The median, in microseconds.
    pub p50_micros: u32,
    /// The 75th percentile, in microseconds.
    pub p75_micros: u32,
}

/// The columns of a page view that the query reads.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its UTC day since 1970.
    pub day: i32,
    /// The sampling weight.
    pub weight: Weight,
    /// The value of the metric.
    pub value: Option<Value>,
    /// Whether the view has a TTI.
    pub has_tti: bool,
    /// The reason for a missing TTI.
    pub tti_gap: Option<TtiGap>,
    /// The encoded context.
    pub context: Option<&'a [u8]>,
}

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
}

const SAMPLE: usize = 8;
const VALUE: usize = 0;
const PARTS: usize = 1;
const AT: usize = 7;
/// Shares the slot of the parts, because CLS has none.
const SHIFT: usize = 1;

/// The indexes of the empty text, of [`OTHER`], and of the first part of TTFB.
const EMPTY: usize = 0;
const OTHERS: usize = 1;
const TTFB_PARTS: usize = 2;

impl Explaining {
    /// Starts an answer. `names` must hold the texts of the days in the query's range.
    #[must_use]
    pub fn new(query: &CauseQuery, names: &TextNames) -> Self {
        let mut texts = vec![String::new(), OTHER.to_owned()];
        texts.extend(fetch::PARTS.map(str::to_owned));
        let (mut known, mut places) = (HashMap::new(), HashMap::new());
        for (day, code, text) in names.iter() {
            // The same text may have different codes on different days.
            let place = *known.entry(text).or_insert_with(|| {
                texts.push(text.to_owned());
                texts.len() - 1
            });
            places.insert((day, code), place);
        }
        Self {
            explained: query.explained,
            limit: query.limit,
            places,
            texts,
            groups: HashMap::new(),
            tbt_micros: Vec::new(),
            conditions: Gathering::default(),
            slow: slow::Gathering::default(),
            answer: Causes::default(),
        }
    }

    /// Adds a page view.
    ///
    /// # Errors
    /// If the context is damaged.
    pub fn add(&mut self, seen: &Seen<'_>) -> Result<(), EncodingError> {
        let answer = &mut self.answer;
        answer.views.add(seen.weight.milli(), 1);
        answer.measured += i64::from(seen.value.is_some());
        answer.tti_reached += i64::from(seen.has_tti);
        if let Some(gap) = seen.tti_gap {
            answer.tti_gaps[gap as usize] += 1;
        }
        let context = seen.context.map_or(Ok(Context::NONE), decode)?;
        for (bit, errors) in answer.errors.iter_mut().enumerate() {
            *errors += i64::from(context.errors >> bit & 1);
        }
        self.tbt_micros.extend(context.tbt.map(Value::micros));
        if let Some(value) = seen.value {
            self.explain(seen.day, value, &context);
        }
        Ok(())
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
        let (target, what, load_state, script, dominant) = match self.explained {
            AttributionMetric::Ttfb => {
                let conditions = context.conditions.as_deref();
                let Some(parts) = conditions.and_then(|conditions| conditions.ttfb_parts_ms) else { return };
                sample[PARTS..PARTS + parts.len()].copy_from_slice(&parts);
                // On a tie, the last part wins.
                let longest = parts.iter().enumerate().max_by_key(|(_, ms)| **ms).map_or(0, |(part, _)| part);
                (EMPTY, TTFB_PARTS + longest, None, None, Part::of_ttfb(parts))
            }
            AttributionMetric::Lcp => {
                let Some(lcp) = detail.and_then(|detail| detail.lcp.as_ref()) else { return };
                sample[PARTS..PARTS + lcp.parts_ms.len()].copy_from_slice(&lcp.parts_ms);
                (place(lcp.target), place(lcp.url), None, None, Part::of_lcp(lcp.parts_ms))
            }
            AttributionMetric::Inp => {
                let Some(inp) = detail.and_then(|detail| detail.inp.as_ref()) else { return };
                sample[PARTS..PARTS + 3].copy_from_slice(&inp.parts_ms);
                sample[AT] = inp.at_ms;
                let script = (inp.script != NO_TEXT).then_some((place(inp.script), inp.script_ms));
                let part = Part::of_inp(inp.parts_ms);
                (place(inp.target), place(inp.event), Some(inp.load_state), script, part)
            }
            AttributionMetric::Cls => {
                let Some(cls) = detail.and_then(|detail| detail.cls.as_ref()) else { return };
                sample[SHIFT] = cls.value_micros;
                sample[AT] = cls.at_ms;
                let target = place(cls.target);
                let part = Part::of_cls(&self.texts[target], cls.load_state);
                (target, EMPTY, Some(cls.load_state), None, (part, cls.value_micros))
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
            key = (OTHERS, if what == EMPTY { EMPTY } else { OTHERS });
        }
        let group = self.groups.entry(key).or_default();
        group.samples.push(sample);
        if let Some(state) = load_state {
            group.load_states[state as usize] += 1;
        }
        if let Some((script, ran_ms)) = script {
            group.scripts.entry(script).or_default().push(ran_ms);
        }
        self.answer.explained += 1;
    }

    /// Returns the answer.
    #[must_use]
    pub fn finish(mut self) -> Causes {
        let mut causes: Vec<Cause> = Vec::with_capacity(self.groups.len());
        let mut groups: Vec<((usize, usize), Group)> = self.groups.into_iter().collect();
        let texts = &self.texts;
        let key = |((target, what), group): &((usize, usize), Group)| {
            (Reverse(group.samples.len()), (&texts[*target], &texts[*what]))
        };
        groups.sort_unstable_by(|one, other| key(one).cmp(&key(other)));
        self.answer.found = groups.len();
        for ((target, what), mut group) in groups.into_iter().take(self.limit) {
            let views = group.samples.len() as i64;
            let mut at = |place: usize, percent| percentile(&mut group.samples, percent, |one| one[place]);
            let p75_micros = at(VALUE, 75);
            let parts = match self.explained {
                AttributionMetric::Lcp => 4,
                AttributionMetric::Inp => 3,
                AttributionMetric::Cls => 0,
                AttributionMetric::Ttfb => fetch::PARTS.len(),
            };
            let has_moment = matches!(self.explained, AttributionMetric::Inp | AttributionMetric::Cls);
            let parts_ms = (PARTS..PARTS + parts).map(|place| at(place, 50)).collect();
            let at_ms = has_moment.then(|| at(AT, 50));
            let shift_micros = (self.explained == AttributionMetric::Cls).then(|| at(SHIFT, 50));
            let script = group.scripts.into_iter().min_by(|(one, ran), (other, other_ran)| {
                let key = |place: usize, ran: &Vec<u32>| (Reverse(ran.len()), &texts[place]);
                key(*one, ran).cmp(&key(*other, other_ran))
            });
            causes.push(Cause {
                target: texts[target].clone(),
                what: texts[what].clone(),
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
            });
        }
        self.answer.causes = causes;
        self.answer.conditions = self.conditions.finish(&self.texts, self.limit);
        self.answer.slow = self.slow.finish(&self.texts);
        self.answer.tbt = Blocking {
            n: self.tbt_micros.len() as i64,
            p50_micros: percentile(&mut self.tbt_micros, 50, |&micros| micros),
            p75_micros: percentile(&mut self.tbt_micros, 75, |&micros| micros),
        };
        self.answer
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

const _: () = assert!(LoadState::ALL.len() == 3 && TtiGap::ALL.len() == 3, "a count for each");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SiteId;
    use crate::context::{Detail, LcpDetail, code::encode};

    #[test]
    fn causes_are_counted_over_days_and_past_their_bound_together() {
        let query = CauseQuery {
            views: CellQuery::new(SiteId(1), 0, 1),
            explained: AttributionMetric::Lcp,
            limit: 2,
        };
        let mut names = TextNames::default();
        for (day, code) in [(1, 7), (2, 8)] {
            names.insert(day, code, "img".to_owned());
        }
        for number in 0..limits::CAUSES_MAX as u16 {
            names.insert(3, 100 + number, format!("p.n{number}"));
        }
        let mut explaining = Explaining::new(&query, &names);
        let mut see = |day, target, lcp: u32| {
            let lcp_detail = LcpDetail { target, url: 0, parts_ms: [lcp, 1, 2, 3] };
            let (tags, marks) = (Vec::new(), Vec::new());
            let detail = Detail { lcp: Some(lcp_detail), inp: None, cls: None, tags, marks };
            let context = Context { detail: Some(Box::new(detail)), errors: 4, ..Context::NONE };
            let bytes = encode(&context);
            let seen = Seen {
                day,
                weight: Weight::of_sample(0.5),
                value: Value::from_micros(Metric::Lcp, lcp * 1_000),
                has_tti: false,
                tti_gap: Some(TtiGap::Network),
                context: bytes.as_deref(),
            };
            explaining.add(&seen).unwrap();
        };
        see(1, 7, 100);
        see(2, 8, 300);
        see(2, 8, 200);
        for number in 0..limits::CAUSES_MAX as u16 {
            see(3, 100 + number, 50);
        }
        // A deleted text is counted under `OTHER`.
        see(3, 9, 50);
        let answer = explaining.finish();
        let shown: Vec<_> = answer.causes.iter().map(|one| (one.target.as_str(), one.views)).collect();
        assert_eq!(shown, [("img", 3), (OTHER, 2)]);
        assert_eq!((answer.causes[0].p75_micros, answer.causes[0].parts_ms[0]), (300_000, 200));
        let views = limits::CAUSES_MAX as i64 + 4;
        assert_eq!((answer.views.count, answer.views.weight_milli), (views, views * 2_000));
        assert_eq!((answer.explained, answer.measured), (views, views));
        assert_eq!((answer.tti_gaps, answer.errors[2]), ([0, views, 0], views));
        assert_eq!(answer.tbt, Blocking::default());
    }
}
