//! Judged budgets, and the violations that come of them.

use vitals::metric::{Metric, Value};
use vitals::view::Device;

/// A judged budget, as the gate hands it to the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Identifies the budget: two judgements of the same key are about the same promise.
    pub key: String,
    /// Whether the budget is broken, kept, or not decided.
    pub broken: Option<bool>,
    /// The route pattern.
    pub route: String,
    /// The metric.
    pub metric: Metric,
    /// The percentile, 1 to 99.
    pub percentile: u8,
    /// The largest allowed value.
    pub at_most: Value,
    /// The device that the budget is about; all when absent.
    pub device: Option<Device>,
    /// The release that was judged; all when absent.
    pub release: Option<String>,
    /// The measured percentile, where there are samples.
    pub measured: Option<Value>,
    /// Samples.
    pub n: i64,
    /// Samples at or under the budget.
    pub within: i64,
}

/// A broken budget, from the first judgement that found it broken to the one that found it kept again.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Ascending number within the site.
    pub id: i64,
    /// The last judgement that found it broken.
    pub judgement: Judgement,
    /// First found broken, UTC milliseconds.
    pub opened_ms: i64,
    /// Last found broken, UTC milliseconds.
    pub last_seen_ms: i64,
    /// Found kept again, UTC milliseconds; `None` while it is open.
    pub resolved_ms: Option<i64>,
}
