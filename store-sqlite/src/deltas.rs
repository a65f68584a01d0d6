//! Keys of rollup deltas that were counted, and their removal.

use crate::error::failed;
use fieldvitals_store::{SiteId, StoreError};
use sqlx::sqlite::SqliteConnection;
use std::fmt::Write;
use std::ops::Range;

const READING: &str = "reading rollup deltas";
const REMOVING: &str = "removing rollup deltas";

/// Keys of counted deltas, as a single JSON parameter.
#[derive(Default)]
pub(crate) struct Keys {
    /// JSON without the closing bracket.
    json: String,
    count: u64,
}

impl Keys {
    /// Adds a delta.
    pub(crate) fn push(&mut self, site: SiteId, hour_ms: i64, spool: &[u8], up_to: i64) {
        let separator = if self.count == 0 { '[' } else { ',' };
        // Writing to a String cannot fail. JSON has no bytes, so the id is encoded in hexadecimal digits.
        let _ = write!(self.json, "{separator}[{},{hour_ms},\"", site.0);
        for byte in spool {
            let _ = write!(self.json, "{byte:02x}");
        }
        let _ = write!(self.json, "\",{up_to}]");
        self.count += 1;
    }

    /// Adds all keys of another list.
    pub(crate) fn append(&mut self, more: &Self) {
        match more.json.strip_prefix('[') {
            Some(keys) if self.count > 0 => {
                self.json.push(',');
                self.json.push_str(keys);
            }
            _ => self.json.push_str(&more.json),
        }
        self.count += more.count;
    }

    /// Reads the keys of all deltas of a range of hours.
    pub(crate) async fn of(
        connection: &mut SqliteConnection,
        site: SiteId,
        hours: &Range<i64>,
    ) -> Result<Self, StoreError> {
        let rows: Vec<(i64, Vec<u8>, i64)> = sqlx::query_as(
            "/* rollup.delta.keys */ select hour_ms, spool, up_to from rollup_delta \
             where site_id = ? and hour_ms >= ? and hour_ms < ?",
        )
        .bind(site.0)
        .bind(hours.start)
        .bind(hours.end)
        .fetch_all(connection)
        .await
        .map_err(failed(READING))?;
        let mut keys = Self::default();
        for (hour_ms, spool, up_to) in rows {
            keys.push(site, hour_ms, &spool, up_to);
        }
        Ok(keys)
    }

    /// The number of keys.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// Removes the deltas. Returns whether all of them still existed.
    pub(crate) async fn remove(self, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
        if self.count == 0 {
            return Ok(true);
        }
        let removed = sqlx::query(
            "/* rollup.delta.folded */ delete from rollup_delta where (site_id, hour_ms, spool, up_to) \
             in (select value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3 from json_each(?))",
        )
        .bind(self.json + "]")
        .execute(connection)
        .await
        .map_err(failed(REMOVING))?;
        Ok(removed.rows_affected() == self.count)
    }
}
