//! Turns cells into reports. In reading order:
//!
//! - `period`: the period of a question and of its answer
//! - `metric`: percentiles with their uncertainty, rating counts, distributions
//! - `quality`: the Core Web Vitals assessment and the field score
//! - `impact`: the page views that a repair would reach
//! - `sampled`: the sample of an answer that reads page views
//! - `section`: routes grouped by their first path segment
//! - `ranking`, `cursor`: the order of routes, and pages of it

mod cursor;
mod impact;
mod metric;
mod period;
mod quality;
mod ranking;
mod sampled;
mod section;

pub use cursor::Cursor;
pub use impact::Impact;
pub use metric::{BinReport, MetricReport, metrics, unit_name};
pub(crate) use period::{MINUTE_MS, short};
pub use period::{PeriodReport, Range, time_text};
pub use quality::{QualityReport, ScorePart};
pub use ranking::{Order, RankedPage, Ranking, Sort};
pub use sampled::SampledReport;
pub use section::Row;
