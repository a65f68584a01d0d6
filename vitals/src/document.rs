//! One document from its first byte to its last: items in, page views out.

use crate::attribution::{Attribution, Details};
use crate::entry::{Item, Text, support};
use crate::metric::{Metric, Value, Values};
use crate::metrics::cls::Cls;
use crate::metrics::fcp::Fcp;
use crate::metrics::fid::Fid;
use crate::metrics::inp::Inp;
use crate::metrics::lcp::Lcp;
use crate::metrics::lifecycle::{Cause, Later, Lifecycle, Span};
use crate::metrics::ttfb;
use crate::metrics::tti::Tti;
use crate::view::{NavigationType, Snapshot, ViewId};

/// Everything known of one document.
///
/// What it says depends on the facts it was told, not on their order; only past the bounds of
/// [`crate::limits`] does it matter that they came roughly in order of time. A prerendered document
/// must not be asked before it is activated: nothing tells a time that nobody saw from any other.
#[derive(Clone, Debug)]
pub struct Document<T = String> {
    first: ViewId,
    support: u32,
    life: Lifecycle<T>,
    fcp: Fcp,
    lcp: Lcp,
    cls: Cls,
    fid: Fid,
    inp: Inp,
    tti: Tti,
    details: Details<T>,
}

impl<T: Text> Document<T> {
    /// A document whose first page view has this id.
    #[must_use]
    pub fn new(first: ViewId) -> Self {
        Self {
            first,
            support: 0,
            life: Lifecycle::default(),
            fcp: Fcp::default(),
            lcp: Lcp::default(),
            cls: Cls::default(),
            fid: Fid::default(),
            inp: Inp::default(),
            tti: Tti::default(),
            details: Details::default(),
        }
    }

    /// Takes one fact. Facts may come late, twice, and in any order.
    pub fn push(&mut self, item: &Item<T>) {
        let bounds = self.life.bounds();
        match *item {
            Item::Navigation(navigation) => self.life.navigation(navigation),
            Item::FirstContentfulPaint(start) => self.fcp.paint(start),
            Item::LargestContentfulPaint(start) => self.lcp.candidate(start, bounds),
            Item::LayoutShift { start, value } => self.cls.shift(start, value, bounds),
            Item::FirstInput(ref event) => {
                self.fid.first_input(event);
                self.inp.event(event, bounds);
            }
            Item::Event(ref event) => self.inp.event(event, bounds),
            Item::LongTask { start, duration } => self.tti.long_task(start, duration),
            Item::Resource { start, end, status } => self.tti.resource(start, end, status),
            Item::Visibility { at, hidden } => self.life.visibility(at, hidden),
            Item::Input(at) => self.life.input(at),
            Item::Restore { at, id } => {
                self.begin(Later { at, id, cause: Cause::Restore, url: T::default(), route: T::default() });
            }
            Item::RestorePaint(at) => self.life.restore_paint(at),
            Item::SoftNavigation { at, id, ref url, ref route } => {
                self.begin(Later { at, id, cause: Cause::Soft, url: url.clone(), route: route.clone() });
            }
            Item::SoftPaint(at) => self.life.soft_paint(at),
            Item::Activation(at) => self.life.activation(at),
            Item::InteractionCount { at, count } => self.inp.count(at, count, bounds),
            Item::Support(bits) => self.support |= bits,
            Item::Detail(ref detail) => self.details.push(detail),
        }
    }

    fn begin(&mut self, view: Later<T>) {
        if view.id != self.first {
            self.life.begin(view);
        }
    }

    /// The document's page views as they stand at `now` (milliseconds since the time origin), by start.
    ///
    /// At least one, the first, and at most [`crate::limits::VIEWS_PER_BEACON_MAX`]: the first and the
    /// latest. A sender that wants every view sends at the latest when there are so many.
    #[must_use]
    pub fn snapshots(&self, now: f64) -> Vec<Snapshot<T>> {
        // A clock that says nothing knows of no time that has passed.
        let now = if now.is_nan() { 0.0 } else { now };
        let mut views = Vec::with_capacity(self.life.later().len().saturating_add(1));
        views.push(self.first_view(now));
        let (mut url, mut route) = (None, None);
        for (place, view) in self.life.later().iter().enumerate() {
            let Some(span) = self.life.later_span(place) else { continue };
            // A restore shows the page that was left.
            if view.cause == Cause::Soft || view.url.filled().is_some() {
                url = view.url.filled();
                route = view.route.filled();
            }
            let values = self.values(&span, now);
            views.push(Snapshot {
                id: view.id,
                url: url.clone(),
                route: route.clone(),
                navigation_type: Some(match view.cause {
                    Cause::Soft => NavigationType::SoftNavigation,
                    _ => NavigationType::BackForwardCache,
                }),
                values,
                tti_gap: None,
                tbt: None,
                attribution: self.attribution(&span, &values),
            });
        }
        views
    }

    fn first_view(&self, now: f64) -> Snapshot<T> {
        let span = self.life.first_span();
        let navigation = self.life.navigation_entry();
        let mut values = self.values(&span, now);
        let (mut tti_gap, mut tbt) = (None, None);
        if self.supports(support::LONG_TASK) {
            let fcp = self.fcp.value(&span);
            match self.tti.value(&span, navigation, fcp, now) {
                Ok(number) => {
                    values.set(Metric::Tti, Value::new(Metric::Tti, number).ok());
                    let blocking = fcp.map(|fcp| self.tti.blocking(&span, fcp, number));
                    tbt = blocking.and_then(|number| Value::new(Metric::Tti, number).ok());
                }
                Err(gap) => tti_gap = Some(gap),
            }
        }
        Snapshot {
            id: self.first,
            url: None,
            route: None,
            navigation_type: Some(if span.start > 0.0 {
                NavigationType::Prerender
            } else {
                navigation.map_or(NavigationType::Navigate, |navigation| navigation.navigation_type)
            }),
            values,
            tti_gap,
            tbt,
            attribution: self.attribution(&span, &values),
        }
    }

    fn attribution(&self, span: &Span<'_>, values: &Values) -> Attribution<T> {
        let window = values.get(Metric::Cls).and_then(|_| self.cls.window(span));
        self.details.of(span, values, window, self.life.navigation_entry())
    }

    /// All values but TTI, which only a load has.
    fn values(&self, span: &Span<'_>, now: f64) -> Values {
        let fcp = self.fcp.value(span);
        let numbers = [
            (Metric::Lcp, self.lcp.value(span, self.supports(support::LCP))),
            (Metric::Inp, self.inp.value(span)),
            (
                Metric::Cls,
                if self.supports(support::LAYOUT_SHIFT) { self.cls.value(span, fcp.is_some()) } else { None },
            ),
            (Metric::Fcp, fcp),
            (Metric::Ttfb, ttfb::value(&self.life, span, now)),
            (Metric::Fid, self.fid.value(span)),
        ];
        let mut values = Values::EMPTY;
        for (metric, number) in numbers {
            values.set(metric, number.and_then(|number| Value::new(metric, number).ok()));
        }
        values
    }

    const fn supports(&self, bit: u32) -> bool {
        self.support & bit != 0
    }
}
