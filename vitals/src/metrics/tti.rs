//! Time to Interactive: the time at which the page was painted and the main thread was free.
//!
//! Definition: Lighthouse 13, `interactive.js`. Searches for the first window of 5 s after FCP in which no long task
//! runs and at most two requests are in flight. TTI is the latest of: the end of the last long task before the window,
//! FCP, the end of `DOMContentLoaded`.
//!
//! A request in flight has no entry before it ends, so a late entry can invalidate a value. Every value is therefore
//! computed from all facts.

use super::NEVER;
use super::facts::{Fact, Facts};
use super::lifecycle::Span;
use crate::entry::Navigation;
use crate::limits::{LONG_TASKS_MAX, RESOURCES_MAX};
use crate::view::TtiGap;

const WINDOW_MS: f64 = 5_000.0;
const LONG_TASK_MS: f64 = 50.0;
const HTTP_ERROR: f64 = 400.0;
/// Maximum requests in flight in a quiet window.
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
    /// No tasks and no requests.
    pub const EMPTY: Self = Self { tasks: Facts::EMPTY, requests: Facts::EMPTY };

    /// Adds a `longtask` entry.
    pub fn long_task(&mut self, start: f64, duration: f64) {
        if duration >= LONG_TASK_MS {
            self.tasks.insert_earliest(start, start + duration, LONG_TASKS_MAX);
        }
    }

    /// Adds a `resource` entry. Failed requests do not count, as in Lighthouse.
    pub fn resource(&mut self, start: f64, end: f64, status: f64) {
        if start < end && status < HTTP_ERROR {
            self.requests.insert_earliest(start, end, RESOURCES_MAX);
        }
    }

    /// Returns TTI of the document's first view in milliseconds, as known at `now`, given the view's FCP (or [`NEVER`]).
    ///
    /// # Errors
    /// The reason for which TTI was not reached while the page was visible; the first rule that applies.
    /// [`TtiGap::Hidden`]: the page was not visible for a whole window after FCP, or had no FCP. [`TtiGap::Cpu`]: long
    /// tasks alone left no window. [`TtiGap::Network`]: requests, alone or between long tasks, left no window, or the
    /// document was still loading.
    pub fn value(&self, span: &Span<'_>, navigation: &Navigation, fcp: f64, now: f64) -> Result<f64, TtiGap> {
        let horizon = now.min(span.hidden).min(span.end);
        let from = span.start + fcp;
        let latest = horizon - WINDOW_MS;
        if fcp == NEVER || from > latest {
            return Err(TtiGap::Hidden);
        }
        let tasks = busy(&self.tasks, LONG_TASKS_MAX, 0, 0.0);
        if quiet_from(from, &tasks) > latest {
            return Err(TtiGap::Cpu);
        }
        // The document's own request is in flight from the time origin on.
        let requests = busy(&self.requests, RESOURCES_MAX, REQUESTS_QUIET, navigation.response_end);
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
        let content_loaded = navigation.dom_content_loaded_end;
        if !(content_loaded > 0.0 && content_loaded <= horizon) {
            return Err(TtiGap::Network);
        }
        // The window may begin at the end of a request; the main thread is free since its last long task.
        let mut free = from.max(content_loaded);
        for &[start, end] in self.tasks.all() {
            if start < quiet {
                free = free.max(end);
            }
        }
        Ok(span.since_start(free))
    }

    /// Returns Total Blocking Time in milliseconds: the part of each long task beyond 50 ms, between FCP and TTI (both
    /// since the view's start). A task that began before FCP counts from FCP on, as in Lighthouse.
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

/// Returns the first time at or after `from` that starts a window without a `busy` interval. The intervals ascend by
/// start.
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

/// Returns the intervals in which more than `at_most` of the intervals `facts` overlap. One more interval lasts from
/// the time origin to `end`. `facts` are the earliest intervals. If there may be more than `max`, the time from the
/// start of the last interval on counts as busy.
fn busy(facts: &Facts, max: usize, at_most: usize, end: f64) -> Vec<Fact> {
    // The latest ends so far, latest first. At most `i` intervals outlast the end at index `i`.
    let mut ends = [end, 0.0, 0.0];
    let mut busy = Vec::new();
    for &[start, mut end] in facts.all() {
        for slot in &mut ends {
            if end > *slot {
                core::mem::swap(slot, &mut end);
            }
        }
        // If that end is before the start of this interval, this interval adds no busy time.
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
