//! Attributes values to their causes: the largest element, the slow handler, the shifted element.
//!
//! Pure, like the metrics: it takes [`Detail`]s, and returns for each page view those behind its values. It changes
//! no value. The parts of LCP and INP are those of web.dev's "Optimize LCP" and "Optimize INP".

use crate::entry::{Detail, DetailKind, Navigation, Text, Written as _};
use crate::fetch::{Caused, Fetched, TtfbCause};
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
    /// The names of [`Self::ALL`].
    pub const NAMES: &'static [&'static str] =
        &[Self::Loading.name(), Self::DomContentLoaded.name(), Self::Complete.name()];

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

impl<T: Text> Attribution<T> {
    /// Copies an attribution of these values.
    pub fn of<'a>(causes: &impl Causes<'a, T>, values: &Values) -> Self
    where
        T: 'a,
    {
        Self {
            lcp: causes.lcp(values).map(|LcpCause { target, url, parts_ms }| LcpCause {
                target: target.into(),
                url: url.into(),
                parts_ms,
            }),
            inp: causes.inp(values).map(
                |InpCause { target, event, at_ms, parts_ms, script, script_ms, load_state }| InpCause {
                    target: target.into(),
                    event: event.into(),
                    at_ms,
                    parts_ms,
                    script: script.into(),
                    script_ms,
                    load_state,
                },
            ),
            cls: causes.cls(values).map(|ClsCause { target, at_ms, value, load_state }| ClsCause {
                target: target.into(),
                at_ms,
                value,
                load_state,
            }),
            ttfb: causes.ttfb(values).map(|(parts_ms, fetch)| TtfbCause { parts_ms, fetch: fetch.clone() }),
        }
    }
}

/// The attribution of one page view, by the values of the view.
pub trait Causes<'a, T: Text + 'a> {
    /// Of LCP.
    fn lcp(&self, values: &Values) -> Option<LcpCause<T::Written<'a>>>;
    /// Of INP.
    fn inp(&self, values: &Values) -> Option<InpCause<T::Written<'a>>>;
    /// Of CLS.
    fn cls(&self, values: &Values) -> Option<ClsCause<T::Written<'a>>>;
    /// Of TTFB.
    fn ttfb(&self, values: &Values) -> Option<Caused<'a, T>>;
}

impl<'a, T: Text> Causes<'a, T> for &'a Attribution<T> {
    fn lcp(&self, _: &Values) -> Option<LcpCause<T::Written<'a>>> {
        let cause = self.lcp.as_ref()?;
        Some(LcpCause { target: cause.target.written(), url: cause.url.written(), parts_ms: cause.parts_ms })
    }

    fn inp(&self, _: &Values) -> Option<InpCause<T::Written<'a>>> {
        let cause = self.inp.as_ref()?;
        Some(InpCause {
            target: cause.target.written(),
            event: cause.event.written(),
            at_ms: cause.at_ms,
            parts_ms: cause.parts_ms,
            script: cause.script.written(),
            script_ms: cause.script_ms,
            load_state: cause.load_state,
        })
    }

    fn cls(&self, _: &Values) -> Option<ClsCause<T::Written<'a>>> {
        let &ClsCause { ref target, at_ms, value, load_state } = self.cls.as_ref()?;
        Some(ClsCause { target: target.written(), at_ms, value, load_state })
    }

    fn ttfb(&self, _: &Values) -> Option<Caused<'a, T>> {
        self.ttfb.as_ref().map(|cause| (cause.parts_ms, &cause.fetch))
    }
}

/// A stored [`Detail`]: its numbers and texts.
type Known<T> = ([f64; 4], [T; 2]);

/// Stores details, a bounded number of each kind. Past the bound, the page view with the most details loses the one
/// of least weight, and among equal weights the latest. So a view with many heavy details does not displace those of
/// other views.
#[derive(Clone, Debug)]
pub struct Details<T> {
    /// By kind.
    lists: [Vec<Known<T>>; DetailKind::COUNT],
    fetched: Option<Fetched<T>>,
}

impl<T: Text> Details<T> {
    /// No details.
    pub const EMPTY: Self = Self { lists: [const { Vec::new() }; DetailKind::COUNT], fetched: None };

    /// Stores a detail. Ignores a detail with a negative or non-finite number. `bounds` separate the views.
    pub fn push(&mut self, detail: &Detail<T>, bounds: &[f64]) {
        let known = (detail.numbers, detail.texts.clone());
        let Some(list) = self.lists.get_mut(detail.kind as usize) else { return };
        if !known.0.into_iter().all(plausible) || list.contains(&known) {
            return;
        }
        list.push(known);
        if list.len() > DETAILS_MAX {
            drop_lightest(list, bounds);
        }
    }

    const fn list(&self, kind: DetailKind) -> &Vec<Known<T>> {
        let [paints, events, shifts, scripts] = &self.lists;
        match kind {
            DetailKind::Paint => paints,
            DetailKind::Event => events,
            DetailKind::Shift => shifts,
            DetailKind::Script => scripts,
        }
    }

    /// Stores the fetch of the document.
    pub fn fetched(&mut self, fetched: Fetched<T>) {
        // The fetch is read once; code that frees an earlier one would be part of the wasm module.
        core::mem::forget(self.fetched.replace(fetched));
    }

    /// Returns the attribution of a view's TTFB.
    #[must_use]
    pub fn ttfb(&self, span: &Span<'_>, values: &Values) -> Option<Caused<'_, T>> {
        self.fetched.as_ref()?.cause(span, values)
    }

    /// Returns the attribution of a view's LCP.
    #[must_use]
    pub fn lcp(&self, span: &Span<'_>, values: &Values) -> Option<LcpCause<T::Written<'_>>> {
        let (lcp, ttfb) = (values.number(Metric::Lcp)?, values.number(Metric::Ttfb).unwrap_or(0.0));
        let (numbers, [target, url]) = heaviest(self.list(DetailKind::Paint), &|&[start, ..]| {
            same(span.since_start(start), lcp) && start < span.end
        })?;
        let &[_, _, request_start, response_end] = numbers;
        let ttfb = ttfb.min(lcp);
        let since = |at: f64, from: f64| span.since_start(at).max(from).min(lcp);
        let requested = if request_start > 0.0 { since(request_start, ttfb) } else { ttfb };
        let arrived = if request_start > 0.0 { since(response_end, requested) } else { ttfb };
        Some(LcpCause {
            target: target.written(),
            url: url.written(),
            parts_ms: [ttfb, requested - ttfb, arrived - requested, lcp - arrived].map(micros),
        })
    }

    /// Returns the attribution of a view's INP.
    #[must_use]
    pub fn inp(
        &self,
        span: &Span<'_>,
        values: &Values,
        navigation: &Navigation,
    ) -> Option<InpCause<T::Written<'_>>> {
        let inp = values.number(Metric::Inp)?;
        let events = self.list(DetailKind::Event);
        let (numbers, [target, event]) = heaviest(events, &|&[start, duration, ..]| {
            span.start <= start && start < span.end && same(duration, inp)
        })?;
        let [start, duration, ..] = numbers;
        let shown = start + duration;
        // A press, a release and a click may share a frame. The visitor waits for the handlers of all three.
        let (mut begun, mut done) = (f64::INFINITY, 0.0_f64);
        // A removed element has no selector; another event of the frame may have one.
        let mut known = T::Written::default();
        for ([other, duration, processing_start, processing_end], [target, _]) in events {
            if (other + duration - shown).abs() <= FRAME_MS {
                begun = begun.min(*processing_start);
                done = done.max(*processing_end);
                known = known.max(target.written());
            }
        }
        let begun = begun.max(*start).min(shown);
        let done = done.max(begun).min(shown);
        let script = heaviest(self.list(DetailKind::Script), &|&[frame, _, long, _]| {
            frame < shown && frame + long > *start
        });
        Some(InpCause {
            target: target.written().filled().unwrap_or(known),
            event: event.written(),
            at_ms: micros(span.since_start(*start)),
            parts_ms: [begun - start, done - begun, shown - done].map(micros),
            script: script.map(|(_, [url, _])| url.written()).unwrap_or_default(),
            script_ms: script.map_or(0.0, |([_, ran, ..], ..)| micros(ran.min(*duration))),
            load_state: load_state(*start, navigation),
        })
    }

    /// Returns the attribution of a view's CLS. `window` has the first and the last time of its window.
    #[must_use]
    pub fn cls(
        &self,
        span: &Span<'_>,
        (first, last): (f64, f64),
        navigation: &Navigation,
    ) -> Option<ClsCause<T::Written<'_>>> {
        let ([start, value, ..], [target, _]) =
            heaviest(self.list(DetailKind::Shift), &|&[start, ..]| first <= start && start <= last)?;
        Some(ClsCause {
            target: target.written(),
            at_ms: micros(span.since_start(*start)),
            // In whole millionths, like any score.
            value: micros(*value * 1_000.0) / 1_000.0,
            load_state: load_state(*start, navigation),
        })
    }
}

/// Returns the load state of the document at a time.
#[inline(never)]
fn load_state(at: f64, navigation: &Navigation) -> LoadState {
    if after(at, navigation.dom_complete) {
        LoadState::Complete
    } else if after(at, navigation.dom_content_loaded_end) {
        LoadState::DomContentLoaded
    } else {
        LoadState::Loading
    }
}

/// Returns the heaviest detail whose numbers match.
#[inline(never)]
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
    numbers.then_with(|| one.1.cmp(&other.1))
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
        Detail::shift(start, value, String::new())
    }

    #[test]
    fn details_up_to_the_bound_are_all_kept() {
        let mut details = Details::EMPTY;
        for number in 0..DETAILS_MAX {
            details.push(&shift(number as f64, 0.1), &[]);
        }
        assert_eq!(details.list(DetailKind::Shift).len(), DETAILS_MAX);
        details.push(&shift(0.5, 0.2), &[]);
        assert_eq!(details.list(DetailKind::Shift).len(), DETAILS_MAX, "the lightest one is dropped");
        assert!(details.list(DetailKind::Shift).iter().any(|known| known.0[1] == 0.2));
    }

    #[test]
    fn order_is_by_weight_then_the_longer_then_the_earlier() {
        let known = |numbers: [f64; 4]| (numbers, [String::new(), String::new()]);
        let rising = [
            known([3.0, 1.0, 0.0, 0.0]),
            known([2.0, 1.0, 0.0, 0.0]),
            known([9.0, 1.0, 5.0, 7.0]),
            known([9.0, 1.0, 5.0, 8.0]),
            known([9.0, 1.0, 6.0, 9.0]),
            known([9.0, 2.0, 0.0, 0.0]),
        ];
        assert!(rising.is_sorted_by(|one, other| order(one, other).is_lt()));
        let named = |name: &str| ([1.0; 4], [name.to_owned(), String::new()]);
        assert!(order(&named("a"), &named("b")).is_lt());
    }
}
