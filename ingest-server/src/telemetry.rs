//! What the server measures of itself. In reading order:
//!
//! - `timing`: durations in fixed buckets, counted with atomics
//! - `slow`: the log of slow requests and questions
//! - `process`: processor time, memory, files and disk, from the system
//! - `families`: the text that Prometheus reads
//!
//! [`Telemetry`] holds what requests and questions leave. The spool has [`timing`]s of its own.

pub mod families;
pub mod process;
pub mod slow;
pub mod timing;

use process::Disk;
use slow::SlowLog;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use timing::Timing;

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type { $($(#[$variant_doc])* $variant,)+ }

        impl $type {
            /// All of them, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in metrics and in the log.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

names! {
    /// The class of a request, by its route.
    RequestClass {
        /// A beacon, from its whole body to its outcome.
        Beacon "beacon",
        /// An answer of the API.
        Api "api",
        /// A stream of live updates, to its first byte.
        Live "live",
        /// `/healthz`, `/readyz`, `/metrics` and `/api/v1/status`.
        Probe "probe",
        /// A file, or a page of the demo.
        File "file",
        /// A path that does not exist.
        Unknown "unknown",
    }
}

names! {
    /// The end of a request.
    Ending {
        /// Status 1xx to 3xx.
        Answered "ok",
        /// Status 4xx: the request is wrong.
        Refused "4xx",
        /// Status 5xx: the server could not answer.
        Failed "5xx",
        /// The client disconnected before the answer.
        Gone "gone",
    }
}

names! {
    /// The kind of a question to the store.
    QuestionKind {
        /// Reads rollups, or a bounded number of page views.
        Usual "usual",
        /// Reads and keeps parts of many page views.
        Large "large",
        /// Reads the version of a site's data.
        Version "version",
    }
}

impl Ending {
    /// The ending of an answer with this status.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        match status {
            400..=499 => Self::Refused,
            500.. => Self::Failed,
            _ => Self::Answered,
        }
    }
}

/// Counts and durations of one class of requests.
#[derive(Debug, Default)]
pub struct ClassCounts {
    endings: [AtomicU64; Ending::ALL.len()],
    /// Durations of all requests but the refused ones: wrong requests end early, and would hide slow answers.
    pub took: Timing,
}

impl ClassCounts {
    /// Returns the number of requests with this ending.
    #[must_use]
    pub fn count(&self, ending: Ending) -> u64 {
        self.endings.get(ending as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

/// Durations and counts of requests and questions since the server started.
#[derive(Debug)]
pub struct Telemetry {
    classes: [ClassCounts; RequestClass::ALL.len()],
    questions: [Timing; QuestionKind::ALL.len()],
    /// Time of questions in the queue.
    pub waited: Timing,
    /// The disk of the data folder, as it was read last.
    disk: Mutex<Option<Disk>>,
    /// Slow requests.
    pub slow_requests: SlowLog,
    /// Slow questions.
    pub slow_questions: SlowLog,
}

impl Telemetry {
    /// Empty counters. Requests and questions of at least `slow` are logged; zero logs none.
    #[must_use]
    pub fn new(slow: Duration) -> Self {
        Self {
            classes: Default::default(),
            questions: Default::default(),
            waited: Timing::default(),
            disk: Mutex::default(),
            slow_requests: SlowLog::new(slow),
            slow_questions: SlowLog::new(slow),
        }
    }

    /// Returns the disk of the data folder, as it was read last: reading may block.
    #[must_use]
    pub fn disk(&self) -> Option<Disk> {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a reading of the disk.
    pub fn set_disk(&self, disk: Option<Disk>) {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = disk;
    }

    /// Counts a request.
    pub fn count(&self, class: RequestClass, ending: Ending, took: Duration) {
        let Some(counts) = self.classes.get(class as usize) else { return };
        if let Some(counter) = counts.endings.get(ending as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if ending != Ending::Refused {
            counts.took.record(took);
        }
    }

    /// Returns the classes of requests with their counts.
    pub fn classes(&self) -> impl Iterator<Item = (RequestClass, &ClassCounts)> {
        RequestClass::ALL.iter().copied().zip(&self.classes)
    }

    /// Records the duration of a question.
    pub fn question(&self, kind: QuestionKind, took: Duration) {
        if let Some(timing) = self.questions.get(kind as usize) {
            timing.record(took);
        }
    }

    /// Returns the kinds of questions with their durations.
    pub fn questions(&self) -> impl Iterator<Item = (QuestionKind, &Timing)> {
        QuestionKind::ALL.iter().copied().zip(&self.questions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_request_is_counted_without_a_duration() {
        let telemetry = Telemetry::new(Duration::ZERO);
        for status in [200, 304, 404, 503] {
            telemetry.count(RequestClass::Api, Ending::of(status), Duration::from_millis(3));
        }
        telemetry.count(RequestClass::Api, Ending::Gone, Duration::from_millis(3));
        let (_, api) = telemetry.classes().find(|(class, _)| *class == RequestClass::Api).unwrap();
        let counts: Vec<u64> = Ending::ALL.iter().map(|&ending| api.count(ending)).collect();
        assert_eq!((counts, api.took.read().count()), (vec![2, 1, 1, 1], 4));
    }
}
