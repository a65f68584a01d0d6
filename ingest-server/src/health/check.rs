//! The checks: name, default limits and advice of each.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The state of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Within both limits, or unknown.
    #[default]
    Ok,
    /// Past the first limit.
    Warning,
    /// Past the second limit.
    Critical,
}

impl Condition {
    /// All conditions.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Warning, Self::Critical];

    /// The name in API, log and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// The limits of a check.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Past this value, the check warns.
    pub warning: f64,
    /// Past this value, the check is critical.
    pub critical: f64,
}

/// The kind of store that advice is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file, which only one server can use.
    Embedded,
    /// A database, which servers share.
    Postgres,
}

/// A property of the server that has limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The 95th percentile of the duration of API requests.
    Api,
    /// The 95th percentile of the duration of questions to the store.
    Store,
    /// The share of the places for questions that are taken.
    Pool,
    /// The share of requests that end with a status 5xx.
    Errors,
    /// The processor time of the process, as a share of all cores.
    Cpu,
    /// The resident memory, as a share of the memory that the process may use.
    Memory,
    /// The share of answers that need no computation.
    CacheHits,
    /// The age of the oldest beacon that is not loaded.
    SpoolAge,
    /// The used share of the disk of the data folder.
    Disk,
    /// The share of the time in which the server ran, times the share of requests without a status 5xx.
    Availability,
}

impl Check {
    /// All checks, in the order of reports.
    pub const ALL: [Self; 10] = [
        Self::Api,
        Self::Store,
        Self::Pool,
        Self::Errors,
        Self::Cpu,
        Self::Memory,
        Self::CacheHits,
        Self::SpoolAge,
        Self::Disk,
        Self::Availability,
    ];

    /// The name in API, files and metrics; ends with the unit.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api_p95_ms",
            Self::Store => "store_p95_ms",
            Self::Pool => "pool_percent",
            Self::Errors => "errors_percent",
            Self::Cpu => "cpu_percent",
            Self::Memory => "memory_percent",
            Self::CacheHits => "cache_hits_percent",
            Self::SpoolAge => "spool_age_s",
            Self::Disk => "disk_percent",
            Self::Availability => "availability_percent",
        }
    }

    /// Returns the check of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|check| check.name() == name)
    }

    /// Whether smaller values are worse.
    #[must_use]
    pub const fn is_floor(self) -> bool {
        matches!(self, Self::CacheHits | Self::Availability)
    }

    /// Whether the value is a percentage of at most 100.
    #[must_use]
    pub const fn is_share(self) -> bool {
        !matches!(self, Self::Api | Self::Store | Self::SpoolAge)
    }

    /// The limits unless others are set.
    #[must_use]
    pub const fn default_limits(self) -> Limits {
        let (warning, critical) = match self {
            // A reader notices 0.2 s, and loses the thread after 1 s.
            Self::Api => (200.0, 1_000.0),
            Self::Store => (100.0, 500.0),
            Self::Pool => (80.0, 95.0),
            Self::Errors => (0.1, 1.0),
            // Above, a burst of beacons finds no idle core.
            Self::Cpu => (70.0, 90.0),
            Self::Memory => (80.0, 95.0),
            Self::CacheHits => (80.0, 60.0),
            // Reports lag by less than a second usually.
            Self::SpoolAge => (60.0, 600.0),
            Self::Disk => (80.0, 90.0),
            // 43 minutes, and 7 hours in 30 days.
            Self::Availability => (99.9, 99.0),
        };
        Limits { warning, critical }
    }

    /// Judges a value.
    #[must_use]
    pub fn judge(self, value: f64, limits: Limits) -> Condition {
        let is_past = |limit: f64| if self.is_floor() { value < limit } else { value > limit };
        if is_past(limits.critical) {
            Condition::Critical
        } else if is_past(limits.warning) {
            Condition::Warning
        } else {
            Condition::Ok
        }
    }

    /// Returns the worse of two values.
    #[must_use]
    pub fn worse(self, a: f64, b: f64) -> f64 {
        if self.is_floor() { a.min(b) } else { a.max(b) }
    }

    /// The name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Api => "Answers of the API, 95th percentile",
            Self::Store => "Questions to the store, 95th percentile",
            Self::Pool => "Places for questions, taken",
            Self::Errors => "Requests that failed",
            Self::Cpu => "Processor",
            Self::Memory => "Memory",
            Self::CacheHits => "Answers from memory",
            Self::SpoolAge => "Oldest beacon that is not loaded",
            Self::Disk => "Disk of the data folder",
            Self::Availability => "Availability in 30 days",
        }
    }

    /// The unit of the numbers: `ms`, `s` or `%`.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Api | Self::Store => "ms",
            Self::SpoolAge => "s",
            _ => "%",
        }
    }

    /// Advice for the operator of a server on a kind of store. The server changes nothing by itself.
    #[must_use]
    pub const fn advice(self, backend: Backend) -> &'static str {
        match (self, backend) {
            (Self::Api, Backend::Embedded) => {
                "Look for `slow request` in the log. Raise --answers-mib, ask for shorter periods, or move to Postgres with \
                 `fieldvitals store copy`, which takes a second server."
            }
            (Self::Api, Backend::Postgres) => {
                "Look for `slow request` in the log. Raise --answers-mib, ask for shorter periods, or start a second \
                 server on the same Postgres."
            }
            (Self::Store, Backend::Embedded) => {
                "Look for `slow question` in the log. Ask for shorter periods, give the data folder a faster disk, or move \
                 to Postgres with `fieldvitals store copy`."
            }
            (Self::Store, Backend::Postgres) => {
                "Look for `slow question` in the log. Give Postgres more memory or a faster disk."
            }
            (Self::Pool, Backend::Embedded) => {
                "Too many questions at once. Ask less often, raise --answers-mib, or move to Postgres with `fieldvitals \
                 store copy`, which takes a second server for readers."
            }
            (Self::Pool, Backend::Postgres) => {
                "Too many questions at once. Ask less often, raise --answers-mib, or start a second server on the same \
                 Postgres for readers."
            }
            (Self::Errors, _) => {
                "`outcomes`, `spool.refused` and `questions.busy` of /api/v1/status say what fails; the log says why."
            }
            (Self::Cpu, Backend::Embedded) => {
                "Add cores, let pages send a share of their page views (data-sample), or move to Postgres with `fieldvitals \
                 store copy`, which takes a second server."
            }
            (Self::Cpu, Backend::Postgres) => {
                "Add cores, let pages send a share of their page views (data-sample), or start a second server on the \
                 same Postgres."
            }
            (Self::Memory, _) => {
                "Lower --answers-mib or --connections-max, or give the process more memory before the system ends it."
            }
            (Self::CacheHits, _) => {
                "Raise --answers-mib if `answers.bytes` is near its limit. Beside beacons all the time, few answers can \
                 be kept; then change this threshold."
            }
            (Self::SpoolAge, _) => {
                "`spool.stalled` and `spool.held` of /api/v1/status say why beacons are not loaded. Without either, the \
                 store is slower than the beacons: give it a faster disk."
            }
            (Self::Disk, _) => {
                "Free space on the disk of the data folder, keep page views for fewer days (`fieldvitals retention set`), or \
                 move the folder to a larger disk."
            }
            (Self::Availability, Backend::Embedded) => {
                "The history (/api/v1/status/history) shows when the server was off or failed. On Postgres (`fieldvitals \
                 store copy`), a second server behind a balancer that checks /readyz fills the gaps."
            }
            (Self::Availability, Backend::Postgres) => {
                "The history (/api/v1/status/history) shows when the server was off or failed. Run a second server \
                 behind a balancer that checks /readyz."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_on_the_embedded_store_starts_no_second_server_on_a_postgres() {
        for check in Check::ALL {
            let [embedded, shared] =
                [Backend::Embedded, Backend::Postgres].map(|backend| check.advice(backend));
            assert!(!embedded.contains("same Postgres") && !embedded.contains("Give Postgres"), "{embedded}");
            assert!(!shared.contains("store copy"), "{shared}");
            assert_eq!(check.unit() == "%", check.is_share(), "{}", check.name());
        }
    }

    #[test]
    fn value_at_a_limit_is_within_it() {
        let limits = Limits { warning: 200.0, critical: 1_000.0 };
        let judged = [200.0, 200.1, 1_000.0, 1_000.1].map(|ms| Check::Api.judge(ms, limits));
        assert_eq!(judged, [Condition::Ok, Condition::Warning, Condition::Warning, Condition::Critical]);
        let limits = Check::Availability.default_limits();
        let judged = [99.9, 99.8, 98.0].map(|percent| Check::Availability.judge(percent, limits));
        assert_eq!(judged, Condition::ALL);
    }
}
