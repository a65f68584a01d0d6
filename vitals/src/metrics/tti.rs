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
/// Requests that may be in flight in a quiet window.
const REQUESTS_QUIET: usize = 2;

/// Collects `longtask` and `resource` entries.
#[derive(Clone, Debug)]
pub struct Tti {
    /// Start and end.
    tasks: Facts,
    /// Start and end.
    requests: Facts,
}

impl Tti {
    /// Nothing is collected yet.
    pub const EMPTY: Self = Self { tasks: Facts::EMPTY, requests: Facts::EMPTY };

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
        let tasks = busy(&self.tasks, LONG_TASKS_MAX, 0, 0.0);
        if quiet_from(from, &tasks) > latest {
            return Err(TtiGap::Cpu);
        }
        // The document's own request is in flight from the time origin on.
        let document = navigation.map_or(0.0, |navigation| navigation.response_end);
        let requests = busy(&self.requests, RESOURCES_MAX, REQUESTS_QUIET, document);
        let mut quiet = from;
        loop {
            let silent = quiet_from(quiet_from(quiet, &tasks), &requests);
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
        let mut free = from.max(content_loaded);
        for &[start, end] in self.tasks.all() {
            if start < quiet {
                free = free.max(end);
            }
        }
        Ok(span.since_start(free))
    }

    /// Total Blocking Time in milliseconds: what long tasks took beyond 50 ms each, between FCP and TTI (both
    /// since the view's start). A task that began before FCP counts from there, as in Lighthouse.
    #[must_use]
    pub fn blocking(&self, span: &Span<'_>, fcp: f64, tti: f64) -> f64 {
        let (from, to) = (span.start + fcp, span.start + tti);
        let mut blocking = 0.0;
        for &[start, end] in self.tasks.all() {
            blocking += (end.min(to) - start.max(from) - LONG_TASK_MS).max(0.0);
        }
        blocking
    }
}

/// The first time from `from` on at which a window without any of the `busy` stretches begins. They
/// ascend by start.
fn quiet_from(from: f64, busy: &[Fact]) -> f64 {
    let mut quiet = from;
    for &[start, end] in busy {
        if start >= quiet + WINDOW_MS {
            break;
        }
        quiet = quiet.max(end);
    }
    quiet
}

/// When more than `at_most` facts, which are stretches of time, overlapped; `end` is that of one more, which began
/// at the time origin. The facts are the earliest; if there may have been more than `max`, it is busy from the last
/// of them on.
fn busy(facts: &Facts, max: usize, at_most: usize, end: f64) -> Vec<Fact> {
    // The latest ends so far, latest first: at most so many facts outlast the one at this place.
    let mut ends = [end, 0.0, 0.0];
    let mut busy = Vec::new();
    for &[start, mut end] in facts.all() {
        for slot in &mut ends {
            if end > *slot {
                core::mem::swap(slot, &mut end);
            }
        }
        // Where that one had ended before this one began, this one made nothing busy.
        let until = ends.get(at_most).copied().filter(|until| *until > start).unwrap_or(0.0);
        busy.push([start, until]);
    }
    if busy.len() >= max
        && let Some([_, until]) = busy.last_mut()
    {
        *until = f64::INFINITY;
    }
    busy
}
