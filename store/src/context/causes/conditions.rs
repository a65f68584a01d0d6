//! The conditions of the page views that have a value of the metric: which there are, and how large the value is in each.

use super::{EMPTY, OTHERS, percentile};
use crate::context::conditions::Conditions;
use crate::context::texts::Code;
use std::cmp::Reverse;
use std::collections::HashMap;
use vitals::fetch::{ConfidenceLevel, Delivery, Protocol};
use vitals::limits;
use vitals::view::{Rtt, Tier};

/// A condition that is one of a few classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// [`Protocol`].
    Protocol,
    /// [`Delivery`].
    Delivery,
    /// [`Rtt`].
    Rtt,
    /// The [`Tier`] of the memory.
    Memory,
    /// The [`Tier`] of the processor.
    Cpu,
    /// Whether the visitor engaged: `yes` or `no`.
    Engaged,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Protocol, Self::Delivery, Self::Rtt, Self::Memory, Self::Cpu, Self::Engaged];

    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Delivery => "delivery",
            Self::Rtt => "rtt",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Engaged => "engaged",
        }
    }

    /// The names of its classes, by number.
    fn names(self) -> Vec<&'static str> {
        match self {
            Self::Protocol => Protocol::ALL.iter().map(|one| one.name()).collect(),
            Self::Delivery => Delivery::ALL.iter().map(|one| one.name()).collect(),
            Self::Rtt => Rtt::ALL.iter().map(|one| one.name()).collect(),
            Self::Memory | Self::Cpu => Tier::ALL.iter().map(|one| one.name()).collect(),
            Self::Engaged => vec!["no", "yes"],
        }
    }

    /// The number of a page view's class.
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

/// What the page views with a value of the metric say of their conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConditionsFound {
    /// By condition; of each the classes of most page views first.
    pub classes: Vec<ClassFound>,
    /// `Server-Timing` entries of most page views first, as many as causes are asked for.
    pub server_timings: Vec<TimingFound>,
    /// Reasons of a missed back/forward cache with their page views, those of most first.
    pub not_restored: Vec<(String, i64)>,
    /// The document's compressed size in kilobytes.
    pub document_kb: Spread,
    /// The first key press or click, in milliseconds since the view's start.
    pub first_input_ms: Spread,
    /// Loads that something outside of the page slowed down.
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
    /// The 75th percentile of their values, in millionths of the metric's unit.
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
    /// Page views that have it.
    pub n: i64,
    /// The median.
    pub p50: u32,
    /// The 75th percentile.
    pub p75: u32,
}

/// Loads of which the browser says whether they are typical.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColdStarts {
    /// How many.
    pub told: i64,
    /// How many are not typical, with the noise taken out.
    pub estimated: i64,
}

/// The most classes that a condition has.
const CLASSES_MAX: usize = Rtt::ALL.len();

/// An answer in the making.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// The metric's values, by condition and class.
    classes: [[Vec<u32>; CLASSES_MAX]; Condition::ALL.len()],
    /// Of each page view the metric's value and the duration.
    timings: HashMap<(usize, usize), Vec<[u32; 2]>>,
    reasons: HashMap<usize, i64>,
    document_kb: Vec<u32>,
    first_input_ms: Vec<u32>,
    /// By the share of noise in per cent: loads, and those that are said to be not typical.
    confidence: HashMap<u8, [i64; 2]>,
}

impl Gathering {
    /// Takes in a page view with a value of the metric; `place` gives the place of a text.
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

    /// The answer.
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

/// Of each share of noise: half of it is said to be not typical, and what else is said so is true. Loads that are noise
/// alone say nothing.
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
            // Half of 100 loads are noise, so 25 of them are said to be not typical by chance.
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
