//! Judged budgets, and violations.

use vitals::metric::{Metric, Value};
use vitals::view::Device;

/// The judgement of a budget, from the gate.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Identifies the budget across judgements.
    pub key: String,
    /// `true` if the budget is violated, `false` if it is met, `None` if undecided.
    pub broken: Option<bool>,
    /// The route pattern.
    pub route: String,
    /// The metric.
    pub metric: Metric,
    /// The percentile, 1 to 99.
    pub percentile: u8,
    /// The largest allowed value.
    pub at_most: Value,
    /// The device class of the budget; all if absent.
    pub device: Option<Device>,
    /// The judged release; all if absent.
    pub release: Option<String>,
    /// The measured percentile; `None` without samples.
    pub measured: Option<Value>,
    /// Number of samples.
    pub n: i64,
    /// Number of samples within the budget.
    pub within: i64,
}

/// A violation of a budget, from the first judgement that finds it violated to the next that finds it met.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Ascending number within the site.
    pub id: i64,
    /// The latest judgement that found the budget violated.
    pub judgement: Judgement,
    /// Time of the first such judgement, UTC milliseconds.
    pub opened_ms: i64,
    /// Time of the latest such judgement, UTC milliseconds.
    pub last_seen_ms: i64,
    /// Time of the judgement that found the budget met, UTC milliseconds; `None` while the violation is open.
    pub resolved_ms: Option<i64>,
    /// When somebody dismissed it, UTC milliseconds, and the name of the token. A dismissed violation is renewed and resolved
    /// as others are, but is not among the open ones.
    pub dismissed: Option<(i64, String)>,
}
