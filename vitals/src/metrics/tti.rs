//! Time to Interactive: when the page was painted and the main thread had become free.
//!
//! Definition: Lighthouse 13, `interactive.js`. Searched is the first window of five seconds after FCP
//! in which no long task runs and at most two requests are in flight. TTI is the end of the last long
//! task before it, or FCP, or the end of `DOMContentLoaded`, whichever is last.
//!
//! A request in flight has no entry before it ends, so a value can still be taken back when such an
//! entry comes; each question is answered anew from all facts.

use super::facts::{Fact, Facts};
use super::lifecycle::Span;
use crate::entry::Navigation;
use crate::limits::{LONG_TASKS_MAX, RESOURCES_MAX};
use crate::view::TtiGap;

const WINDOW_MS: f64 = 5_000.0;
const LONG_TASK_MS: f64 = 50.0;
const HTTP_ERROR: f64 = 400.0;

/// Collects `longtask` and `resource` entries.
#[derive(Clone, Debug, Default)]
pub struct Tti {
    /// Start and end.
    tasks: Facts,
    /// Start and end.
    requests: Facts,
}

impl Tti {
    /// Takes a `longtask` entry.
    pub fn long_task(&mut self, start: f64, duration: f64) {
        if duration >= LONG_TASK_MS {
            self.tasks.insert_earliest(start, start + duration, LONG_TASKS_MAX);
        }
    }

    /// Takes a `resource` entry. A request that failed does not count, as in Lighthouse.
    pub fn resource(&mut self, start: f64, end: f64, status: f64) {
        if start < end && status < HTTP_ERROR {
            self.requests.insert_earliest(start, end, RESOURCES_MAX);
        }
    }

    /// TTI of the document's first view in milliseconds, as known at `now`, with the view's FCP.
    ///
    /// # Errors
    /// Why it was not reached, while the page was visible. By rule, the first that holds:
    /// [`TtiGap::Hidden`] where even a quiet page would not have had its window (so also where there was
    /// no FCP), [`TtiGap::Cpu`] where long tasks alone left none, [`TtiGap::Network`] else: requests,
    /// alone or between long tasks, or a document that was still loading.
    pub fn value(
        &self,
        span: &Span<'_>,
        navigation: Option<&Navigation>,
        fcp: Option<f64>,
        now: f64,
    ) -> Result<f64, TtiGap> {
        let horizon = now.min(span.hidden).min(span.end);
        let from = span.start + fcp.ok_or(TtiGap::Hidden)?;
        let latest = horizon - WINDOW_MS;
        if from > latest {
            return Err(TtiGap::Hidden);
        }
        let tasks = Tasks { rest: self.tasks.all(), full: self.tasks.all().len() >= LONG_TASKS_MAX };
        if quiet_from(from, tasks.clone()) > latest {
            return Err(TtiGap::Cpu);
        }
        // The document's own request is in flight from the time origin on.
        let document = navigation.map_or(0.0, |navigation| navigation.response_end);
        let requests = Requests {
            rest: self.requests.all(),
            full: self.requests.all().len() >= RESOURCES_MAX,
            ends: [document, 0.0, 0.0],
        };
        let mut quiet = from;
        loop {
            let free = quiet_from(quiet, tasks.clone());
            let silent = quiet_from(free, requests.clone());
            if silent > latest {
                return Err(TtiGap::Network);
            }
            if silent == quiet {
                break;
            }
            quiet = silent;
        }
        let content_loaded = navigation.map_or(0.0, |navigation| navigation.dom_content_loaded_end);
        if !(content_loaded > 0.0 && content_loaded <= horizon) {
            return Err(TtiGap::Network);
        }
        // The window may begin where requests end; the main thread was free since its last long task.
        let free = self
            .tasks
            .all()
            .iter()
            .filter(|&&[start, _]| start < quiet)
            .fold(0.0, |free, &[_, end]| end.max(free));
        Ok(span.since_start(free.max(from).max(content_loaded)))
    }

    /// Total Blocking Time in milliseconds: what long tasks took beyond 50 ms each, between FCP and TTI (both
    /// since the view's start). A task that began before FCP counts from there, as in Lighthouse.
    #[must_use]
    pub fn blocking(&self, span: &Span<'_>, fcp: f64, tti: f64) -> f64 {
        let (from, to) = (span.start + fcp, span.start + tti);
        let clipped = |&[start, end]: &Fact| end.min(to) - start.max(from);
        self.tasks.all().iter().map(|task| (clipped(task) - LONG_TASK_MS).max(0.0)).sum()
    }
}

/// The first time from `from` on at which a window without any of the `busy` stretches begins. They
/// ascend by start.
fn quiet_from(from: f64, busy: impl Iterator<Item = Fact>) -> f64 {
    let mut quiet = from;
    for [start, end] in busy {
        if start >= quiet + WINDOW_MS {
            break;
        }
        quiet = quiet.max(end);
    }
    quiet
}

/// When the main thread was busy. The facts are the earliest; if there may have been more, it is busy
/// from the last of them on.
#[derive(Clone)]
struct Tasks<'a> {
    rest: &'a [Fact],
    full: bool,
}

impl Iterator for Tasks<'_> {
    type Item = Fact;

    fn next(&mut self) -> Option<Fact> {
        let (&[start, end], rest) = self.rest.split_first()?;
        self.rest = rest;
        Some([start, if self.full && rest.is_empty() { f64::INFINITY } else { end }])
    }
}

/// When more than two requests were in flight; as with [`Tasks`], for good after the last if there may
/// have been more.
#[derive(Clone)]
struct Requests<'a> {
    rest: &'a [Fact],
    full: bool,
    /// The latest three ends so far, latest first: at most two requests outlast the third.
    ends: [f64; 3],
}

impl Iterator for Requests<'_> {
    type Item = Fact;

    fn next(&mut self) -> Option<Fact> {
        let (&[start, mut end], rest) = self.rest.split_first()?;
        self.rest = rest;
        for slot in &mut self.ends {
            if end > *slot {
                core::mem::swap(slot, &mut end);
            }
        }
        let [_, _, third] = self.ends;
        // Where the third had ended before this one began, this one made nothing busy.
        let until = if third > start { third } else { 0.0 };
        Some([start, if self.full && rest.is_empty() { f64::INFINITY } else { until }])
    }
}
