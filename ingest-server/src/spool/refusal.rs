//! Why the spool refuses beacons, from the first refused one until none was refused for a while.

use super::{Shared, Trouble};
use crate::clock::now_ms;
use fieldvitals_store::SiteId;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use vitals::limits::BODY_BYTES_MAX;

/// Time without a refused beacon after which the refusal is over. On a disk, or in a spool, that is nearly full, one
/// beacon goes and the next does not.
const CALM: Duration = Duration::from_secs(2);

/// What keeps the spool from taking a beacon, lightest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Beacons between the socket and the fsync fill their part of the memory: more come than the disk syncs.
    InFlight,
    /// Beacons that wait for the store fill the spool.
    Full,
    /// The file takes no commit.
    Commit,
}

/// A spool that refuses beacons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What keeps it.
    pub cause: Cause,
    /// Since when, and why.
    pub trouble: Trouble,
    /// Beacons refused since then.
    pub beacons: u64,
}

/// A refusal, and when a beacon was refused last.
pub(super) struct Refusing {
    refusal: Refusal,
    last: Instant,
}

/// Whether a beacon fits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// Beacons of its site fill the part of the spool that the site may fill.
    SiteFull,
    /// No beacon fits, whatever its site.
    Full,
}

impl Shared {
    fn refusing(&self) -> MutexGuard<'_, Option<Refusing>> {
        // Nothing that holds the lock can panic half-way.
        self.refusing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusing().as_ref().map(|refusing| refusing.refusal.clone())
    }

    /// Whether a site's beacon fits: those in flight, and `more_bytes` that are not there yet.
    pub(super) fn room(&self, site: SiteId, more_bytes: u64) -> Room {
        let stats = *self.stats();
        let in_flight = self.in_flight_bytes.load(Ordering::Relaxed) as u64;
        let max = self.bounds.spool_bytes;
        let all = stats.bytes.saturating_add(in_flight).saturating_add(more_bytes);
        let free = all.saturating_sub(stats.held_bytes);
        // A site that fails alone has half of the spool. The others have the other half, also where more than the
        // first was full when it turned out that it fails.
        if all > max && (free > max / 2 || all > max.saturating_mul(2)) {
            return Room::Full;
        }
        if stats.held_bytes == 0 {
            return Room::Free;
        }
        let held = self.held();
        let site_full = (held.is_alone(site) && all > max / 2) || (held.has(site) && all > max);
        if site_full { Room::SiteFull } else { Room::Free }
    }

    /// Counts refused beacons, and logs the first ones of a refusal. Returns whether these are the first.
    pub(super) fn refuse(&self, cause: Cause, reason: &str, beacons: u64) -> bool {
        let last = Instant::now();
        let mut refusing = self.refusing();
        let heaviest = refusing.as_ref().map(|refusing| refusing.refusal.cause);
        if heaviest.is_none_or(|heaviest| heaviest < cause) {
            tracing::warn!(error = reason, "the spool refuses beacons");
        }
        let trouble = || Trouble { since_ms: now_ms(), error: reason.to_owned() };
        let refusing = refusing.get_or_insert_with(|| Refusing {
            refusal: Refusal { cause, trouble: trouble(), beacons: 0 },
            last,
        });
        refusing.last = last;
        let refusal = &mut refusing.refusal;
        refusal.beacons += beacons;
        if cause >= refusal.cause {
            refusal.cause = cause;
            reason.clone_into(&mut refusal.trouble.error);
        }
        heaviest.is_none()
    }

    /// Takes note that a commit went. Ends the refusal, and logs its end, once none was refused for a while and the
    /// spool has room.
    pub(super) fn commit_went(&self) {
        let mut refusing = self.refusing();
        let is_calm = refusing.as_ref().is_some_and(|refusing| refusing.last.elapsed() >= CALM);
        if is_calm
            && !self.is_full()
            && let Some(refusing) = refusing.take()
        {
            tracing::info!(refused = refusing.refusal.beacons, "the spool takes beacons again");
        }
    }

    /// Whether there is no room for a beacon of the largest size. A full spool has room for smaller ones: the beacon
    /// that did not fit left a gap.
    fn is_full(&self) -> bool {
        let largest_bytes = (BODY_BYTES_MAX as u64).min(self.bounds.spool_bytes / 2);
        // No site has this id.
        self.room(SiteId(i64::MIN), largest_bytes) == Room::Full
    }

    /// Why a beacon of any site does not fit.
    pub(super) fn full_reason(&self) -> String {
        let mib = self.bounds.spool_bytes / (1024 * 1024);
        format!(
            "the spool is full: {mib} MiB of beacons wait for the store; spool.stalled of /api/v1/status says why"
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::{Bounds, Stats};
    use super::*;
    use std::path::Path;

    const SPOOL_BYTES: u64 = 1024 * 1024;

    /// A spool that refused its last beacon a while ago, with a backlog of this size.
    fn refused(bytes: u64) -> Shared {
        let bounds = Bounds { spool_bytes: SPOOL_BYTES, ..Bounds::default() };
        let shared = Shared::new(Path::new("spool"), bounds, Stats { bytes, ..Stats::default() }, 0);
        assert!(shared.refuse(Cause::Full, &shared.full_reason(), 1));
        shared.refusing().as_mut().unwrap().last -= CALM;
        shared
    }

    #[test]
    fn the_gap_that_a_refused_beacon_left_does_not_end_the_refusal() {
        let largest = BODY_BYTES_MAX as u64;
        for (bytes, is_over) in [
            (SPOOL_BYTES, false),
            (SPOOL_BYTES - 1, false),
            (SPOOL_BYTES - largest + 1, false),
            (SPOOL_BYTES - largest, true),
            (0, true),
        ] {
            let shared = refused(bytes);
            shared.commit_went();
            assert_eq!(shared.refusal().is_none(), is_over, "{bytes} bytes wait");
        }
    }

    #[test]
    fn a_commit_soon_after_a_refused_beacon_does_not_end_the_refusal() {
        let shared = refused(0);
        shared.refuse(Cause::Full, "again", 1);
        shared.commit_went();
        assert_eq!(shared.refusal().unwrap().beacons, 2);
    }
}
