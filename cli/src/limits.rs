//! Bounds of the commands, and defaults of the options of `serve`.
//!
//! `cargo xtask limits` lists the bounds of all crates.

/// Default number of connections of one client network: an eighth of all.
pub(crate) const CLIENT_CONNECTIONS_MAX: usize = 512;
/// Default keep-alive timeout of an idle connection, in seconds: longer than the 60 s of common load balancers.
pub(crate) const KEEP_ALIVE_S: u64 = 75;
/// Largest configurable keep-alive timeout, in seconds.
pub(crate) const KEEP_ALIVE_S_MAX: u64 = 3_600;
/// Default time for which a stopping server keeps serving while `/healthz` is 503, in seconds: two checks of a load
/// balancer that checks every 2 s.
pub(crate) const DRAIN_S: u64 = 5;
/// Time that a stopped first start has to create its site and token, in milliseconds.
pub(crate) const START_END_MS_MAX: u64 = 5_000;
/// Default time that a starting server waits for an unreachable database, in milliseconds.
pub(crate) const DATABASE_WAIT_MS: u64 = 30_000;
/// Longest wait of a check, in hours: a week. Page views are kept for a month.
pub(crate) const WAIT_HOURS_MAX: u64 = 168;
/// Longest `Retry-After` of a busy server that a command waits for, in seconds. The server asks for 1 s.
pub(crate) const RETRY_AFTER_S_MAX: u64 = 10;
/// Bytes of a tool's answer to an agent, about 8,000 tokens: an agent's context is small.
pub(crate) const TOOL_ANSWER_BYTES_MAX: usize = 32 * 1024;
/// Largest response that a command reads, in bytes.
pub(crate) const CLIENT_ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Largest message of the browser of a lab, in bytes: the snippet's queue has at most a few hundred kB.
pub(crate) const BROWSER_MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Default duration from which requests and questions are logged as slow, in milliseconds: readers lose the thread.
pub(crate) const SLOW_MS: u64 = 1_000;
/// Default rows of a segment of an export: a row group of Parquet that a reader skips or reads whole. Two segments in memory
/// take about 100 MB.
pub(crate) const EXPORT_SEGMENT_ROWS: u64 = 65_536;
/// Largest configurable number of rows of a segment: the row group of DuckDB's own files is slightly smaller.
pub(crate) const EXPORT_SEGMENT_ROWS_MAX: u64 = 131_072;
/// Row groups of a Parquet file: their numbers have 16 bits.
pub(crate) const EXPORT_ROW_GROUPS_MAX: u64 = 32_767;
/// Page views that an export reads at once: few enough for a short transaction, in which SQLite's log cannot shrink.
pub(crate) const EXPORT_READ_VIEWS_MAX: u32 = 8_192;
/// Default pause between two looks at standing budgets, in seconds: as often as maintenance.
pub(crate) const STANDING_EVERY_S: u64 = 60;
/// Longest configurable pause, in seconds: an alert is that late.
pub(crate) const STANDING_EVERY_S_MAX: u64 = 3_600;
