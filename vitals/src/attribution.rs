//! Attributes values to their causes: the largest element, the slow handler, the shifted element.
//!
//! Pure, like the metrics: it takes [`Detail`]s, and returns for each page view those behind its values. It changes
//! no value. The parts of LCP and INP are those of web.dev's "Optimize LCP" and "Optimize INP".

use crate::entry::{Detail, Navigation, Text};
use crate::fetch::{Fetched, TtfbCause};
use crate::limits::{DETAILS_MAX, VIEWS_PER_BEACON_MAX};
use crate::metric::{Metric, Values, micros, plausible};
use crate::metrics::facts::stretch;
use crate::metrics::lifecycle::Span;
use serde::{Deserialize, Serialize};

/// Events that end within this time of each other belong to one frame, because browsers report durations in steps of
/// 8 ms.
const FRAME_MS: f64 = 8.0;

/// The load state of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum LoadState {
    /// Before `DOMContentLoaded` had ended.
    Loading = 0,
    /// Before the document was complete.
    DomContentLoaded = 1,
    /// From just before the load event onwards.
    Complete = 2,
}

impl LoadState {
    /// All states, in the order of a load.
    pub const ALL: [Self; 3] = [Self::Loading, Self::DomContentLoaded, Self::Complete];

    /// The name in wire format, API and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::DomContentLoaded => "dom-content-loaded",
            Self::Complete => "complete",
        }
    }

    /// Returns the state of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// The attribution of LCP. The four parts sum to LCP, except for rounding to microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct LcpCause<T = String> {
    /// The element, as a selector; empty if the element was removed at once.
    pub target: T,
    /// The image's URL, empty for text.
    pub url: T,
    /// TTFB, load delay, load duration, render delay, in milliseconds. Load delay ends when the image's request
    /// starts; load duration ends with its response. For text, both are 0.
    pub parts_ms: [f64; 4],
}

/// The attribution of INP. The three parts sum to INP.
#[derive(Clone, Debug, PartialEq)]
pub struct InpCause<T = String> {
    /// The target of the interaction, as a selector.
    pub target: T,
    /// The type of the interaction's longest event, such as `click`.
    pub event: T,
    /// The start of the interaction, in milliseconds since the view's start.
    pub at_ms: f64,
    /// Input delay, processing time, presentation delay, in milliseconds. Processing lasts from the first handler of
    /// the frame to the end of the last one.
    pub parts_ms: [f64; 3],
    /// The longest script in the frames of the interaction; empty if the browser does not report it.
    pub script: T,
    /// The script's duration in milliseconds, at most that of the interaction: browsers count the time of an open
    /// dialog (`alert`) as running, but exclude it from the interaction.
    pub script_ms: f64,
    /// The load state of the document.
    pub load_state: LoadState,
}

/// The attribution of CLS: the largest shift of its window.
#[derive(Clone, Debug, PartialEq)]
pub struct ClsCause<T = String> {
    /// The element that moved most, as a selector.
    pub target: T,
    /// The time of the shift, in milliseconds since the view's start.
    pub at_ms: f64,
    /// The shift's own score.
    pub value: f64,
    /// The load state of the document.
    pub load_state: LoadState,
}

/// The attribution of one page view.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution<T = String> {
    /// Of LCP.
    pub lcp: Option<LcpCause<T>>,
    /// Of INP.
    pub inp: Option<InpCause<T>>,
    /// Of CLS, if there was a shift.
    pub cls: Option<ClsCause<T>>,
    /// Of TTFB.
    pub ttfb: Option<TtfbCause<T>>,
}

impl<T> Attribution<T> {
    /// No attribution.
    pub const NONE: Self = Self { lcp: None, inp: None, cls: None, ttfb: None };
}

/// A stored [`Detail`]: numbers for search and rank, and two texts.
type Known<T> = ([f64; 4], T, T);

/// Stores details, a bounded number of each kind. Past the bound, the page view with the most details loses the one
/// of least weight, and among equal weights the latest. So a view with many heavy details does not displace those of
/// other views.
#[derive(Clone, Debug)]
pub struct Details<T> {
    paints: Vec<Known<T>>,
    events: Vec<Known<T>>,
    shifts: Vec<Known<T>>,
    scripts: Vec<Known<T>>,
    fetched: Option<Fetched<T>>,
}

impl<T: Text> Details<T> {
    /// No details.
    pub const EMPTY: Self = Self {
        paints: Vec::new(),
        events: Vec::new(),
        shifts: Vec::new(),
        scripts: Vec::new(),
        fetched: None,
    };

    /// Stores a detail. Ignores a detail with a negative or non-finite number. `bounds` separate the views.
    pub fn push(&mut self, detail: &Detail<T>, bounds: &[f64]) {
        // The first number is the time for the search, the second the weight.
        let (list, numbers, first, second) = match detail {
            Detail::Paint { start, request_start, response_end, target, url } => {
                (&mut self.paints, [*start, *start, *request_start, *response_end], target, url)
            }
            Detail::Event { start, duration, processing_start, processing_end, target, name } => {
                (&mut self.events, [*start, *duration, *processing_start, *processing_end], target, name)
            }
            Detail::Shift { start, value, target } => {
                (&mut self.shifts, [*start, *value, 0.0, 0.0], target, target)
            }
            Detail::Script { start, duration, script_duration, url } => {
                (&mut self.scripts, [*start, *script_duration, *duration, 0.0], url, url)
            }
        };
        if !numbers.into_iter().all(plausible) {
            return;
        }
        let known = (numbers, first.clone(), second.clone());
        if list.contains(&known) {
            return;
        }
        list.push(known);
        if list.len() > DETAILS_MAX {
            drop_lightest(list, bounds);
        }
    }

    /// Stores the fetch of the document.
    pub fn fetched(&mut self, fetched: Fetched<T>) {
        self.fetched = Some(fetched);
    }

    /// Returns the attribution of a view's values. `shifts` holds the first and the last time of its CLS window.
    #[must_use]
    pub fn of(
        &self,
        span: &Span<'_>,
        values: &Values,
        shifts: Option<(f64, f64)>,
        navigation: Option<&Navigation>,
    ) -> Attribution<T> {
        let number = |metric: Metric| values.get(metric).map(|value| value.number(metric));
        let load_state = |at: f64| match navigation {
            Some(navigation) if after(at, navigation.dom_complete) => LoadState::Complete,
            Some(navigation) if after(at, navigation.dom_content_loaded_end) => LoadState::DomContentLoaded,
            _ => LoadState::Loading,
        };
        Attribution {
            lcp: number(Metric::Lcp).and_then(|lcp| self.lcp(span, lcp, number(Metric::Ttfb).unwrap_or(0.0))),
            inp: number(Metric::Inp).and_then(|inp| self.inp(span, inp, &load_state)),
            cls: shifts.and_then(|window| self.cls(span, window, &load_state)),
            ttfb: self.fetched.as_ref().and_then(|fetched| fetched.cause(span, values)),
        }
    }

    fn lcp(&self, span: &Span<'_>, lcp: f64, ttfb: f64) -> Option<LcpCause<T>> {
        let (numbers, target, url) =
            heaviest(&self.paints, &|&[start, ..]| same(span.since_start(start), lcp) && start < span.end)?;
        let &[_, _, request_start, response_end] = numbers;
        let ttfb = ttfb.min(lcp);
        let since = |at: f64, from: f64| span.since_start(at).max(from).min(lcp);
        let requested = if request_start > 0.0 { since(request_start, ttfb) } else { ttfb };
        let arrived = if request_start > 0.0 { since(response_end, requested) } else { ttfb };
        Some(LcpCause {
            target: target.clone(),
            url: url.clone(),
            parts_ms: [ttfb, requested - ttfb, arrived - requested, lcp - arrived].map(micros),
        })
    }

    fn inp(&self, span: &Span<'_>, inp: f64, load_state: &dyn Fn(f64) -> LoadState) -> Option<InpCause<T>> {
        let (numbers, target, event) = heaviest(&self.events, &|&[start, duration, ..]| {
            span.start <= start && start < span.end && same(duration, inp)
        })?;
        let [start, duration, ..] = numbers;
        let shown = start + duration;
        // A press, a release and a click may share a frame. The visitor waits for the handlers of all three.
        let (mut begun, mut done) = (f64::INFINITY, 0.0_f64);
        // A removed element has no selector; another event of the frame may have one.
        let mut known = T::default();
        for ([other, duration, processing_start, processing_end], target, _) in &self.events {
            if (other + duration - shown).abs() <= FRAME_MS {
                begun = begun.min(*processing_start);
                done = done.max(*processing_end);
                if *target > known {
                    known.clone_from(target);
                }
            }
        }
        let begun = begun.max(*start).min(shown);
        let done = done.max(begun).min(shown);
        let script = heaviest(&self.scripts, &|&[frame, _, long, _]| frame < shown && frame + long > *start);
        Some(InpCause {
            target: target.filled().unwrap_or(known),
            event: event.clone(),
            at_ms: micros(span.since_start(*start)),
            parts_ms: [begun - start, done - begun, shown - done].map(micros),
            script: script.map(|(_, url, _)| url.clone()).unwrap_or_default(),
            script_ms: script.map_or(0.0, |([_, ran, ..], ..)| micros(ran.min(*duration))),
            load_state: load_state(*start),
        })
    }

    fn cls(
        &self,
        span: &Span<'_>,
        (first, last): (f64, f64),
        load_state: &dyn Fn(f64) -> LoadState,
    ) -> Option<ClsCause<T>> {
        let ([start, value, ..], target, _) =
            heaviest(&self.shifts, &|&[start, ..]| first <= start && start <= last)?;
        Some(ClsCause {
            target: target.clone(),
            at_ms: micros(span.since_start(*start)),
            // In whole millionths, like any score.
            value: micros(*value * 1_000.0) / 1_000.0,
            load_state: load_state(*start),
        })
    }
}

/// Returns the heaviest detail whose numbers match.
fn heaviest<'a, T: Text>(list: &'a [Known<T>], wanted: &dyn Fn(&[f64; 4]) -> bool) -> Option<&'a Known<T>> {
    let mut heaviest: Option<&Known<T>> = None;
    for known in list {
        if wanted(&known.0) && heaviest.is_none_or(|heaviest| order(known, heaviest).is_gt()) {
            heaviest = Some(known);
        }
    }
    heaviest
}

/// Drops the lightest detail of the page view with the most details.
fn drop_lightest<T: Text>(list: &mut Vec<Known<T>>, bounds: &[f64]) {
    let view = |([start, ..], ..): &Known<T>| stretch(*start, bounds);
    // Each view, and the time of dropped views.
    let mut counts = [0_usize; VIEWS_PER_BEACON_MAX + 1];
    let mut fullest = (0, 0);
    for known in list.iter() {
        let here = view(known);
        if let Some(count) = counts.get_mut(here) {
            *count = count.saturating_add(1);
            fullest = fullest.max((*count, here));
        }
    }
    let mut lightest: Option<(usize, &Known<T>)> = None;
    for (place, known) in list.iter().enumerate() {
        if view(known) == fullest.1 && lightest.is_none_or(|(_, lightest)| order(known, lightest).is_lt()) {
            lightest = Some((place, known));
        }
    }
    if let Some((place, _)) = lightest {
        list.swap_remove(place);
    }
}

/// Orders by weight, then by all other fields, so that the result does not depend on the order of arrival.
fn order<T: Text>(one: &Known<T>, other: &Known<T>) -> core::cmp::Ordering {
    let key = |([start, weight, third, fourth], ..): &Known<T>| [*weight, fourth - third, -start, *third];
    // The numbers are finite.
    let numbers = key(one).partial_cmp(&key(other)).unwrap_or(core::cmp::Ordering::Equal);
    numbers.then_with(|| (&one.1, &one.2).cmp(&(&other.1, &other.2)))
}

/// Whether a time is after a known moment.
fn after(at: f64, moment: f64) -> bool {
    moment > 0.0 && at >= moment
}

/// Whether two numbers are the same value of a metric: values are whole millionths.
fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < 0.001
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shift(start: f64, value: f64) -> Detail<String> {
        Detail::Shift { start, value, target: String::new() }
    }

    #[test]
    fn details_up_to_the_bound_are_all_kept() {
        let mut details = Details::EMPTY;
        for number in 0..DETAILS_MAX {
            details.push(&shift(number as f64, 0.1), &[]);
        }
        assert_eq!(details.shifts.len(), DETAILS_MAX);
        details.push(&shift(0.5, 0.2), &[]);
        assert_eq!(details.shifts.len(), DETAILS_MAX, "the lightest one is dropped");
        assert!(details.shifts.iter().any(|known| known.0[1] == 0.2));
    }

    #[test]
    fn order_is_by_weight_then_the_longer_then_the_earlier() {
        let known = |numbers: [f64; 4]| (numbers, String::new(), String::new());
        let rising = [
            known([3.0, 1.0, 0.0, 0.0]),
            known([2.0, 1.0, 0.0, 0.0]),
            known([9.0, 1.0, 5.0, 7.0]),
            known([9.0, 1.0, 5.0, 8.0]),
            known([9.0, 1.0, 6.0, 9.0]),
            known([9.0, 2.0, 0.0, 0.0]),
        ];
        assert!(rising.is_sorted_by(|one, other| order(one, other).is_lt()));
        let named = |name: &str| ([1.0; 4], name.to_owned(), String::new());
        assert!(order(&named("a"), &named("b")).is_lt());
    }
}
