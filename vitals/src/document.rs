//! Computes the page views of one document from its facts.

use crate::attribution::{Attribution, Causes, ClsCause, Details, InpCause, LcpCause};
use crate::entry::{Detail, Item, Text, Written as _, support};
use crate::fetch::{Caused, Fetched};
use crate::limits::ENGAGED_MS;
use crate::metric::{Metric, Value, Values, micros};
use crate::metrics::NEVER;
use crate::metrics::cls::Cls;
use crate::metrics::fcp::Fcp;
use crate::metrics::fid::Fid;
use crate::metrics::inp::Inp;
use crate::metrics::lcp::Lcp;
use crate::metrics::lifecycle::{Lifecycle, Span};
use crate::metrics::ttfb;
use crate::metrics::tti::Tti;
use crate::metrics::views::{Cause, Change, View};
use crate::snapshot::Snapshot;
use crate::view::{NavigationType, ViewId};

/// The facts of one document.
///
/// The result depends on the facts, not on their order. Only past the bounds of [`crate::limits`] must facts arrive
/// roughly in order of time. The caller must not query a prerendered document before its activation, because only the
/// activation separates the time before it from the visible time.
#[derive(Clone, Debug)]
pub struct Document<T = String> {
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
    /// Creates a document whose first page view has this id.
    #[must_use]
    pub fn new(first: ViewId) -> Self {
        let mut document = Self::EMPTY;
        document.life.begin(first);
        document
    }

    /// A document without facts; [`Self::begin`] must follow.
    pub const EMPTY: Self = Self {
        support: 0,
        life: Lifecycle::EMPTY,
        fcp: Fcp::EMPTY,
        lcp: Lcp::EMPTY,
        cls: Cls::EMPTY,
        fid: Fid::EMPTY,
        inp: Inp::EMPTY,
        tti: Tti::EMPTY,
        details: Details::EMPTY,
    };

    /// Sets the document's own URL, to which a navigation may return.
    #[must_use]
    pub fn at(mut self, url: T) -> Self {
        self.life.own(url);
        self
    }

    /// Sets the id of the first page view, and the document's own URL.
    pub fn begin(&mut self, first: ViewId, url: T) {
        self.life.begin(first);
        self.life.own(url);
    }

    /// Adds a fact. Facts may arrive late, twice, and in any order.
    pub fn push(&mut self, item: &Item<T>) {
        let bounds = self.life.views().bounds();
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
            Item::Restore { at, id } => self.change(at, id, true, T::default(), T::default()),
            Item::RestorePaint(at) => self.life.restore_paint(at),
            Item::Moved { at, id, ref url, ref route } => {
                self.change(at, id, false, url.clone(), route.clone());
            }
            Item::Named { at, id, ref route } => self.change(at, id, false, T::default(), route.clone()),
            Item::SoftPaint(at) => self.life.soft_paint(at),
            Item::Activation(at) => self.life.activation(at),
            Item::InteractionCount { at, count } => self.inp.count(at, count, bounds),
            Item::Support(bits) => self.support |= bits,
            Item::Detail(ref detail) => self.explain(detail),
        }
    }

    /// Adds a detail.
    pub fn explain(&mut self, detail: &Detail<T>) {
        self.details.push(detail, self.life.views().bounds());
    }

    /// Adds the fetch of the document, which raw queues lack.
    pub fn fetched(&mut self, fetched: Fetched<T>) {
        self.details.fetched(fetched);
    }

    fn change(&mut self, at: f64, id: ViewId, restored: bool, url: T, route: T) {
        self.life.change(Change::new(at, id, restored, url, route));
    }

    /// Returns the id and the start of the latest view (milliseconds since the time origin).
    #[must_use]
    pub fn current(&self) -> (ViewId, f64) {
        let views = self.life.views();
        let view = views.later().last().unwrap_or(views.first());
        (view.id, view.start)
    }

    /// Returns the latest views after the first, by start.
    #[must_use]
    pub fn later(&self) -> &[View] {
        self.life.views().later()
    }

    /// Returns the number of views after the first, including those that [`Document::snapshots`] no longer returns.
    /// The number falls when a late fact shows that a navigation was a redirect.
    #[must_use]
    pub const fn begun(&self) -> usize {
        self.life.views().begun()
    }

    /// Returns the document's page views at `now` (milliseconds since the time origin), by start.
    ///
    /// Returns at least the first view, and at most [`crate::limits::VIEWS_PER_BEACON_MAX`]: the first and the
    /// latest. To send every view, the caller must send before there are more.
    #[must_use]
    pub fn snapshots(&self, now: f64) -> Vec<Snapshot<T>> {
        let mut views = Vec::new();
        self.each_view(now, |view| {
            views.push(Snapshot {
                id: view.id,
                url: view.url.map(Into::into),
                route: view.route.map(Into::into),
                navigation_type: view.navigation_type,
                values: view.values,
                tti_gap: view.tti_gap,
                tbt: view.tbt,
                attribution: Attribution::of(&view.attribution, &view.values),
                engaged: view.engaged,
                first_input_ms: view.first_input_ms,
            });
        });
        views
    }

    /// Whether [`Self::snapshots`] returns a view.
    #[must_use]
    pub fn keeps(&self, id: ViewId) -> bool {
        let views = self.life.views();
        views.first().id == id || views.later().iter().any(|view| view.id == id)
    }

    /// Gives the views of [`Self::snapshots`] one by one. The wasm module has no room for code that copies them.
    pub fn each_view<'a>(
        &'a self,
        now: f64,
        mut take: impl FnMut(&mut Snapshot<T::Written<'a>, ViewCauses<'a, T>>),
    ) {
        // A clock without a value counts as 0.
        let now = if now.is_nan() { 0.0 } else { now };
        let views = self.life.views();
        let mut rest = views.later();
        let mut view = views.first();
        loop {
            take(&mut self.view(view, rest.first(), now));
            let Some((next, after)) = rest.split_first() else { return };
            (view, rest) = (next, after);
        }
    }

    fn view<'a>(
        &'a self,
        view: &View,
        next: Option<&View>,
        now: f64,
    ) -> Snapshot<T::Written<'a>, ViewCauses<'a, T>> {
        let mut span = self.life.span_of(view, next);
        let navigation = self.life.navigation_entry();
        let navigation_type = match view.cause {
            Cause::Soft => Some(NavigationType::SoftNavigation),
            Cause::Restore => Some(NavigationType::BackForwardCache),
            Cause::Load if span.start > 0.0 => Some(NavigationType::Prerender),
            Cause::Load => navigation.navigation_type,
        };
        // A page that is hidden when its first script runs counts as hidden from its start, if the browser has no
        // visibility-state entries or the page was prerendered. The entries of a prerendered page describe the time
        // before its activation.
        if view.cause == Cause::Load
            && self.supports(support::HIDDEN_AT_START)
            && (span.start > 0.0 || !self.supports(support::VISIBILITY_STATE))
        {
            span.hidden = span.start;
        }
        let (url, route) = self.life.views().texts(view);
        let first_input = self.first_input(&span);
        let fcp = self.fcp.value(&span);
        let mut values = self.values(&span, fcp, now);
        let (mut tti_gap, mut tbt) = (None, None);
        if view.cause == Cause::Load && self.supports(support::LONG_TASK) {
            match self.tti.value(&span, navigation, fcp, now) {
                Ok(number) => {
                    let tti = Value::new(Metric::Tti, number).ok();
                    let blocking = Value::new(Metric::Tti, self.tti.blocking(&span, fcp, number)).ok();
                    // If one value is implausible, both are dropped.
                    if tti.is_some() && blocking.is_some() {
                        values.set(Metric::Tti, tti);
                        tbt = blocking;
                    }
                }
                Err(gap) => tti_gap = Some(gap),
            }
        }
        Snapshot {
            id: view.id,
            url: url.filled(),
            route: route.filled(),
            navigation_type,
            values,
            tti_gap,
            tbt,
            attribution: ViewCauses { document: self, span },
            engaged: Some(first_input.is_some() || self.life.visible_ms(&span, now) >= ENGAGED_MS),
            first_input_ms: first_input.map(|at| micros(span.since_start(at))),
        }
    }

    /// Returns the visitor's first key press or click in a view. The browser's `first-input` may precede our
    /// listeners.
    fn first_input(&self, span: &Span<'_>) -> Option<f64> {
        let mut first = span.input;
        if span.cause == Cause::Load {
            first = first.min(self.fid.start());
        }
        (first < span.end).then_some(first)
    }

    /// Returns the values of all metrics except TTI, which only loads have.
    fn values(&self, span: &Span<'_>, fcp: f64, now: f64) -> Values {
        let mut values = Values::EMPTY;
        values.measured(Metric::Lcp, self.lcp.value(span, self.supports(support::LCP)));
        values.measured(Metric::Inp, self.inp.value(span, self.supports(support::EVENT)));
        if self.supports(support::LAYOUT_SHIFT) {
            values.measured(Metric::Cls, self.cls.value(span, fcp < NEVER));
        }
        values.measured(Metric::Fcp, fcp);
        values.measured(Metric::Ttfb, ttfb::value(&self.life, span, now));
        values.measured(Metric::Fid, self.fid.value(span));
        values
    }

    const fn supports(&self, bit: u32) -> bool {
        self.support & bit != 0
    }
}

/// The attribution of a view, computed from the document's details when it is asked.
#[derive(Debug)]
pub struct ViewCauses<'a, T> {
    document: &'a Document<T>,
    span: Span<'a>,
}

impl<'a, T: Text> Causes<'a, T> for ViewCauses<'a, T> {
    fn lcp(&self, values: &Values) -> Option<LcpCause<T::Written<'a>>> {
        self.document.details.lcp(&self.span, values)
    }

    fn inp(&self, values: &Values) -> Option<InpCause<T::Written<'a>>> {
        self.document.details.inp(&self.span, values, self.document.life.navigation_entry())
    }

    fn cls(&self, values: &Values) -> Option<ClsCause<T::Written<'a>>> {
        values.get(Metric::Cls)?;
        let window = self.document.cls.window(&self.span)?;
        self.document.details.cls(&self.span, window, self.document.life.navigation_entry())
    }

    fn ttfb(&self, values: &Values) -> Option<Caused<'a, T>> {
        self.document.details.ttfb(&self.span, values)
    }
}
