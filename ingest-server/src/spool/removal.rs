//! Selects the rows of a load, and requests the removal of loaded rows.

use super::file::{self, SpoolRow};
use super::load_size::Parts;
use super::loader::{Loader, StepError};
use super::writer::{Message, Removal};
use super::{SpoolBeacon, SpoolError, payload};
use fieldvitals_store::SiteId;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

impl Loader {
    /// Requests the removal of rows, without the parts of held sites.
    pub(super) async fn request_removal(&mut self, rows: &[SpoolRow]) -> Result<(), StepError> {
        let after = self.read_up_to;
        let Some(up_to) = rows.last().map(|row| row.position) else { return Ok(()) };
        if self.spool.shared.held().is_empty() {
            let bytes = rows.iter().map(|row| file::row_bytes(row.payload.len())).sum();
            self.tell(Removal { removed: vec![(after, up_to)], bytes, ..Removal::default() }).await;
        } else {
            let mut beacons: BTreeMap<SiteId, u64> = BTreeMap::new();
            let counted = |site| self.counted.get(&site).copied().unwrap_or(0);
            for row in rows {
                for SpoolBeacon { site, .. } in self.split(row)? {
                    *beacons.entry(site).or_default() += u64::from(row.position > counted(site));
                }
            }
            let (removal, kept) = self.removal(rows, after, |site| self.spool.shared.held().has(site))?;
            for (site, beacons) in beacons {
                self.spool.shared.held().add(site, beacons);
            }
            self.spool.shared.stats().held_bytes += kept;
            self.tell(removal).await;
        }
        self.read_up_to = up_to;
        self.spool.shared.age().loaded(up_to);
        Ok(())
    }

    /// Returns the removals for loaded rows after a position, and the bytes of the remaining rows. Keeps records of
    /// the sites selected by `keep`.
    pub(super) fn removal(
        &self,
        rows: &[SpoolRow],
        after: u64,
        keep: impl Fn(SiteId) -> bool,
    ) -> Result<(Removal, u64), StepError> {
        let (mut removal, mut kept_bytes) = (Removal::default(), 0);
        let (mut free_from, mut up_to) = (after, after);
        for row in rows {
            up_to = row.position;
            let mut records = self.split(row)?;
            let all = records.len();
            records.retain(|record| keep(record.site));
            let mut bytes = file::row_bytes(row.payload.len());
            if records.is_empty() {
                removal.bytes += bytes;
                continue;
            }
            if up_to - 1 > free_from {
                removal.removed.push((free_from, up_to - 1));
            }
            free_from = up_to;
            if records.len() < all {
                let encoded: Result<Vec<Vec<u8>>, _> = records.iter().map(payload::encode_record).collect();
                let encoded = encoded.map_err(|error| StepError::Spool(error.to_string()))?;
                let payload = payload::join(encoded.iter().map(Vec::as_slice));
                let left = file::row_bytes(payload.len());
                removal.bytes += bytes.saturating_sub(left);
                bytes = left;
                removal.rewritten.push((row.position, records.len(), payload));
            }
            kept_bytes += bytes;
        }
        if up_to > free_from {
            removal.removed.push((free_from, up_to));
        }
        Ok((removal, kept_bytes))
    }

    /// Sends removals to the writer. Waits for rewritten rows, so that few rewritten payloads are in memory.
    pub(super) async fn tell(&self, mut removal: Removal) {
        let (done, told) = oneshot::channel();
        let waits = !removal.rewritten.is_empty();
        if waits {
            removal.done = Some(done);
        }
        // Sending fails if the writer has ended; the next start then skips loaded rows by the store's cursors.
        if self.spool.writer.send(Message::Remove(removal)).is_ok() && waits {
            let _ = told.await;
        }
    }

    pub(super) fn damaged(&self, reason: &str) -> StepError {
        let (path, reason) = (self.spool.shared.path.clone(), reason.to_owned());
        StepError::Spool(SpoolError::Damaged { path, reason }.to_string())
    }

    fn split(&self, row: &SpoolRow) -> Result<Vec<SpoolBeacon>, StepError> {
        split(row).map_err(|reason| self.damaged(&reason))
    }

    /// Splits rows by site, for the sites selected by `take`: as many rows as fit in one load, at least one.
    pub(super) fn parts(
        &self,
        mut rows: Vec<SpoolRow>,
        take: impl Fn(SiteId) -> bool,
    ) -> Result<(Parts, Vec<SpoolRow>), StepError> {
        let views_max = self.spool.shared.bounds.load_views;
        let (parts, taken) = split_rows(&rows, views_max, take).map_err(|reason| self.damaged(&reason))?;
        rows.truncate(taken);
        Ok((parts, rows))
    }
}

fn split(row: &SpoolRow) -> Result<Vec<SpoolBeacon>, String> {
    payload::split(&row.payload).map_err(|reason| format!("row {}: {reason}", row.position))
}

/// Splits rows by site, for the sites selected by `take`: as many rows as have `views_max` page views, at least one.
/// Returns the parts and the number of rows.
pub(super) fn split_rows(
    rows: &[SpoolRow],
    views_max: usize,
    take: impl Fn(SiteId) -> bool,
) -> Result<(Parts, usize), String> {
    let mut parts = Parts::new();
    let (mut views, mut taken) = (0_usize, 0);
    for row in rows {
        let mut records = split(row)?;
        records.retain(|record| take(record.site));
        views += records.iter().map(|record| record.updates.len()).sum::<usize>();
        if taken > 0 && views > views_max {
            break;
        }
        taken += 1;
        for SpoolBeacon { site, network, updates } in records {
            parts.entry(site).or_default().push((row.position, (network, updates)));
        }
    }
    Ok((parts, taken))
}
