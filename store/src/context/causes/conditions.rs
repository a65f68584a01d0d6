//! Summarizes the conditions of page views with a value of the metric, and the metric's value in each condition.

use super::{EMPTY, OTHERS, percentile};
use crate::context::conditions::Conditions;
pub use crate::context::property::Condition;
use crate::context::texts::Code;
use crate::limits;
use std::cmp::Reverse;
use std::collections::HashMap;
use vitals::fetch::{ConfidenceLevel, Delivery, Protocol};
use vitals::view::{Rtt, Tier};

impl Condition {
    /// Returns the name of a page view's class.
    #[must_use]
    pub fn class<T>(self, conditions: &Conditions<T>) -> Option<&'static str> {
        match self {
            Self::Protocol => conditions.protocol.map(Protocol::name),
            Self::Delivery => conditions.delivery.map(Delivery::name),
            Self::Rtt => conditions.rtt.map(Rtt::name),
            Self::Memory => conditions.memory.map(Tier::name),
            Self::Cpu => conditions.cpu.map(Tier::name),
            Self::Engaged => conditions.engaged.map(|is_engaged| if is_engaged { "yes" } else { "no" }),
        }
    }

    /// Returns the number of a page view's class.
    fn of<T>(self, conditions: &Conditions<T>) -> Option<usize> {
        match self {
            Self::Protocol => conditions.protocol.map(|one| one as usize),
            Self::Delivery => conditions.delivery.map(|one| one as usize),
            Self::Rtt => conditions.rtt.map(|one| one as usize),
            Self::Memory => conditions.memory.map(|one| one as usize),
            Self::Cpu => conditions.cpu.map(|one| one as usize),
            Self::Engaged => conditions.engaged.map(usize::from),
        }
    }
}

/// The conditions of the page views with a value of the metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConditionsFound {
    /// Classes by condition; within a condition, those with most page views first.
    pub classes: Vec<ClassFound>,
    /// `Server-Timing` entries, those with most page views first; as many as the query's limit of causes.
    pub server_timings: Vec<TimingFound>,
    /// Reasons of a missed back/forward cache with their page views, those with most first.
    pub not_restored: Vec<(String, i64)>,
    /// The document's compressed size in kilobytes.
    pub document_kb: Spread,
    /// The first key press or click, in milliseconds since the view's start.
    pub first_input_ms: Spread,
    /// Loads slowed down by something outside of the page.
    pub cold_starts: ColdStarts,
}

/// Page views of one class of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassFound {
    /// The condition.
    pub condition: Condition,
    /// The class.
    pub class: &'static str,
    /// Page views.
    pub views: i64,
    /// The 75th percentile of the metric, in millionths of its unit.
    pub p75_micros: u32,
}

/// Page views with one `Server-Timing` entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimingFound {
    /// The entry's name.
    pub name: String,
    /// Its description; may be empty.
    pub description: String,
    /// Page views.
    pub views: i64,
    /// The median of its duration, in milliseconds.
    pub median_ms: u32,
    /// The 75th percentile of the metric's values, in millionths of its unit.
    pub p75_micros: u32,
}

/// Percentiles of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Page views with a value.
    pub n: i64,
    /// The median.
    pub p50: u32,
    /// The 75th percentile.
    pub p75: u32,
}

/// Loads whose typicality the browser reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColdStarts {
    /// The number of such loads.
    pub told: i64,
    /// The estimated number of loads that are not typical, corrected for the noise.
    pub estimated: i64,
}

/// The largest number of classes of a condition.
const CLASSES_MAX: usize = Rtt::ALL.len();

/// Accumulates an answer.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// The metric's values, by condition and class.
    classes: [[Vec<u32>; CLASSES_MAX]; Condition::ALL.len()],
    /// The metric's value and the duration of each page view, by name and description.
    timings: HashMap<(usize, usize), Vec<[u32; 2]>>,
    reasons: HashMap<usize, i64>,
    document_kb: Vec<u32>,
    first_input_ms: Vec<u32>,
    /// Reported loads, and loads reported as not typical, by the share of noise in percent.
    confidence: HashMap<u8, [i64; 2]>,
}

impl Gathering {
    /// Adds a page view with a value of the metric; `place` returns the index of a text.
    pub(super) fn add(&mut self, value: u32, conditions: &Conditions<Code>, place: &dyn Fn(Code) -> usize) {
        for condition in Condition::ALL {
            if let Some(class) = condition.of(conditions) {
                self.classes[condition as usize][class].push(value);
            }
        }
        for &(name, ms, description) in &conditions.server_timings {
            let mut key = (place(name), place(description));
            if !self.timings.contains_key(&key) && self.timings.len() >= limits::CAUSES_MAX {
                key = (OTHERS, EMPTY);
            }
            self.timings.entry(key).or_default().push([value, ms]);
        }
        for &reason in &conditions.not_restored {
            *self.reasons.entry(place(reason)).or_default() += 1;
        }
        self.document_kb.extend(conditions.document_kb);
        self.first_input_ms.extend(conditions.first_input_ms);
        if let Some((level, noise_percent)) = conditions.confidence {
            let [told, low] = self.confidence.entry(noise_percent).or_default();
            *told += 1;
            *low += i64::from(level == ConfidenceLevel::Low);
        }
    }

    /// Returns the answer.
    pub(super) fn finish(mut self, texts: &[String], limit: usize) -> ConditionsFound {
        let mut classes = Vec::new();
        for (condition, values) in Condition::ALL.into_iter().zip(&mut self.classes) {
            for (class, values) in condition.names().into_iter().zip(values) {
                let p75_micros = percentile(values, 75, |&value| value);
                classes.push(ClassFound { condition, class, views: values.len() as i64, p75_micros });
            }
        }
        classes.retain(|one| one.views > 0);
        classes.sort_unstable_by_key(|one| (one.condition, Reverse(one.views), one.class));
        let mut timings: Vec<_> = self.timings.into_iter().collect();
        timings.sort_unstable_by(|one, other| {
            let key = |((name, description), seen): &((usize, usize), Vec<[u32; 2]>)| {
                (Reverse(seen.len()), &texts[*name], &texts[*description])
            };
            key(one).cmp(&key(other))
        });
        let mut not_restored: Vec<(String, i64)> =
            self.reasons.into_iter().map(|(reason, views)| (texts[reason].clone(), views)).collect();
        not_restored
            .sort_unstable_by(|one, other| (Reverse(one.1), &one.0).cmp(&(Reverse(other.1), &other.0)));
        ConditionsFound {
            classes,
            server_timings: timings
                .into_iter()
                .take(limit)
                .map(|((name, description), mut seen)| TimingFound {
                    name: texts[name].clone(),
                    description: texts[description].clone(),
                    views: seen.len() as i64,
                    median_ms: percentile(&mut seen, 50, |[_, ms]| *ms),
                    p75_micros: percentile(&mut seen, 75, |[value, _]| *value),
                })
                .collect(),
            not_restored,
            document_kb: spread(&mut self.document_kb),
            first_input_ms: spread(&mut self.first_input_ms),
            cold_starts: cold_starts(&self.confidence),
        }
    }
}

fn spread(numbers: &mut [u32]) -> Spread {
    Spread {
        n: numbers.len() as i64,
        p50: percentile(numbers, 50, |&number| number),
        p75: percentile(numbers, 75, |&number| number),
    }
}

/// Estimates the loads that are not typical, per share of noise. Half of the noise is reported as not typical; the
/// other reports are true. Skips loads with 100 % noise.
fn cold_starts(confidence: &HashMap<u8, [i64; 2]>) -> ColdStarts {
    let mut noises: Vec<_> = confidence.iter().filter(|(noise, _)| **noise < 100).collect();
    noises.sort_unstable();
    let (mut all, mut estimated) = (0, 0.0);
    for (&noise, &[told, low]) in noises {
        let noise = f64::from(noise) / 100.0;
        all += told;
        estimated += (low as f64 - told as f64 * noise / 2.0) / (1.0 - noise);
    }
    ColdStarts { told: all, estimated: (estimated.round() as i64).clamp(0, all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cold_starts_are_estimated_without_the_noise() {
        for (told, low, noise, estimated) in [
            // Half of 100 loads are noise, so 25 of them are reported as not typical by chance.
            (100, 25, 50, 0),
            (100, 30, 50, 10),
            (100, 75, 50, 100),
            (100, 12, 0, 12),
            // More or fewer than chance allows.
            (100, 10, 50, 0),
            (100, 100, 50, 100),
        ] {
            let found = cold_starts(&HashMap::from([(noise, [told, low])]));
            assert_eq!(found, ColdStarts { told, estimated }, "{low} of {told}, {noise} % noise");
        }
        let noise_alone = cold_starts(&HashMap::from([(100, [7, 3])]));
        assert_eq!(noise_alone, ColdStarts::default());
        let two = cold_starts(&HashMap::from([(0, [10, 1]), (50, [100, 30]), (100, [9, 9])]));
        assert_eq!(two, ColdStarts { told: 110, estimated: 11 });
    }
}
