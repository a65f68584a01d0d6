//! Bounds of the Postgres store: its timeouts, and the size of its statements.
//!
//! `cargo xtask limits` lists the bounds of all crates.

/// Approximate bytes of rollup blocks that one Postgres statement reads or writes, unless a single block is larger.
pub const WRITE_BLOCKS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Loads at a time on Citus, each of one site.
pub const CITUS_LOADS_MAX: usize = 8;
/// Timeout of the load of a site on Citus, and of a call that asks all nodes, in milliseconds. Loads of sites on other nodes
/// wait at most this long for a node that hangs. A load of 16,384 page views takes less than a second.
pub const CITUS_NODE_MS_MAX: u64 = 8_000;
/// Pause between two tries of a node of Citus that hangs, in milliseconds. Each try holds up the loads of sites on other nodes.
pub const CITUS_HUNG_MS: u64 = 30_000;
/// Timeout of connecting to Postgres, and of waiting for a free connection, in milliseconds.
pub const DATABASE_CONNECT_MS_MAX: u64 = 10_000;
/// Postgres' own timeout of a query or load statement, in milliseconds.
pub const DATABASE_STATEMENT_MS_MAX: u64 = 30_000;
/// Timeout of a query to Postgres, in milliseconds. It detects a stalled connection, which reports no error.
pub const DATABASE_CALL_MS_MAX: u64 = 40_000;
/// Timeout of loading a batch into Postgres, some twenty round trips, in milliseconds.
pub const DATABASE_LOAD_MS_MAX: u64 = 60_000;
/// Timeout of one round of maintenance, or of deleting a site, in milliseconds. Committed steps stay.
pub const DATABASE_MAINTAIN_MS_MAX: u64 = 600_000;
/// Timeout of migrations, in milliseconds.
pub const DATABASE_MIGRATE_MS_MAX: u64 = 720_000;
/// Time after which an erasure step starts no further removal of texts, in milliseconds.
pub const DATABASE_CLEAN_MS_MAX: u64 = 10_000;
/// Timeout of resetting a connection for the next caller, in milliseconds; then the connection is closed.
pub const DATABASE_RETURN_MS_MAX: u64 = 5_000;

const _: () = assert!(
    DATABASE_STATEMENT_MS_MAX < DATABASE_CALL_MS_MAX,
    "Postgres' own word on a statement must come before ours"
);
const _: () = assert!(
    CITUS_NODE_MS_MAX < DATABASE_STATEMENT_MS_MAX,
    "a node that hangs must be told from a statement that is too large"
);
const _: () = assert!(
    DATABASE_CALL_MS_MAX < vitals::limits::CLIENT_TIME_MS_MAX,
    "a command must hear why there is no answer"
);
