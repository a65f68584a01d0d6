//! Held sites: sites whose beacons the store refuses while it accepts those of other sites.
//!
//! A held site's beacons stay in the spool, and the loader retries them with back-off; other sites are loaded
//! meanwhile. While the spool is more than half full, it sheds new beacons of a site that fails alone. So a site which
//! can never be loaded leaves the other half to the other sites.

use super::backoff::BACKOFF_FIRST;
use fieldvitals_store::SiteId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Minimum pause after a retry, as a multiple of the retry's duration. Limits the time that slow retries take from
/// other sites.
const REST: u32 = 8;

/// A held site, for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedSite {
    /// The site.
    pub site: SiteId,
    /// Time of the first refusal, UTC milliseconds.
    pub since_ms: i64,
    /// The store's last error.
    pub error: String,
    /// Backlog of the site in beacons, as far as the loader has read.
    pub beacons: u64,
    /// Beacons of the site that the spool refused, because the site's share of the spool is full.
    pub refused: u64,
}

/// All held sites.
#[derive(Default)]
pub(super) struct BlockedSites(BTreeMap<SiteId, Waiting>);

struct Waiting {
    since_ms: i64,
    error: String,
    beacons: u64,
    refused: u64,
    /// The site's part is processed up to this position.
    after: u64,
    /// Time of the next retry.
    due: Instant,
    backoff: Duration,
    /// Set once another site is loaded after this site's first refusal.
    others_loaded: bool,
    /// Set once the site fails after `others_loaded`: then the site fails, not the store.
    alone: bool,
}

impl BlockedSites {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, site: SiteId) -> bool {
        self.0.contains_key(&site)
    }

    pub(super) fn sites(&self) -> BTreeSet<SiteId> {
        self.0.keys().copied().collect()
    }

    /// Returns whether the store refused the site after it had loaded another site.
    pub(super) fn is_alone(&self, site: SiteId) -> bool {
        self.0.get(&site).is_some_and(|waiting| waiting.alone)
    }

    /// Records a failed attempt. Returns whether the site is new or its error has changed.
    ///
    /// `after` is the position up to which the site's part is processed. Used only for a new site.
    pub(super) fn hold(
        &mut self,
        site: SiteId,
        after: u64,
        error: String,
        (began, longest, now_ms): (Instant, Duration, i64),
    ) -> bool {
        let now = Instant::now();
        let mut is_new = false;
        let waiting = self.0.entry(site).or_insert_with(|| {
            is_new = true;
            let (error, backoff) = (error.clone(), BACKOFF_FIRST);
            let (beacons, refused, others_loaded, alone) = (0, 0, false, false);
            Waiting {
                since_ms: now_ms,
                error,
                beacons,
                refused,
                after,
                due: now,
                backoff,
                others_loaded,
                alone,
            }
        });
        let rest = now.duration_since(began).saturating_mul(REST);
        waiting.due = now + waiting.backoff.max(rest).min(longest);
        waiting.backoff = waiting.backoff.saturating_mul(2);
        waiting.alone |= waiting.others_loaded;
        is_new |= waiting.error != error;
        waiting.error = error;
        is_new
    }

    /// Records a successful load. The cause of the other sites' refusals may be gone, so their first retry after it is
    /// due at once.
    pub(super) fn loaded(&mut self, site: SiteId) {
        let now = Instant::now();
        for (_, waiting) in self.0.iter_mut().filter(|&(&held, _)| held != site) {
            if !std::mem::replace(&mut waiting.others_loaded, true) {
                waiting.due = now;
            }
        }
    }

    /// Adds beacons to a site's backlog.
    pub(super) fn add(&mut self, site: SiteId, beacons: u64) {
        if let Some(waiting) = self.0.get_mut(&site) {
            waiting.beacons += beacons;
        }
    }

    /// Counts a beacon that the spool refuses because the site's share of the spool is full. Logs the first one.
    pub(super) fn shed(&mut self, site: SiteId) {
        let Some(waiting) = self.0.get_mut(&site) else { return };
        if waiting.refused == 0 {
            tracing::warn!(
                site = site.0,
                error = waiting.error,
                "the spool refuses beacons of a site: its part is full"
            );
        }
        waiting.refused += 1;
    }

    /// Subtracts beacons from a site's backlog.
    pub(super) fn take(&mut self, site: SiteId, beacons: u64) {
        if let Some(waiting) = self.0.get_mut(&site) {
            waiting.beacons = waiting.beacons.saturating_sub(beacons);
        }
    }

    /// Records that a site's part is processed up to a position. The next retry is due at once.
    pub(super) fn move_on(&mut self, site: SiteId, after: u64) {
        if let Some(waiting) = self.0.get_mut(&site) {
            waiting.after = after;
            (waiting.due, waiting.backoff) = (Instant::now(), BACKOFF_FIRST);
        }
    }

    /// Releases a site without backlog. The cause of its refusal may have held other sites too, so their retries are
    /// due at once.
    pub(super) fn release(&mut self, site: SiteId) {
        let refused = self.0.remove(&site).map_or(0, |waiting| waiting.refused);
        tracing::info!(site = site.0, refused, "the store takes the site's beacons again");
        let now = Instant::now();
        self.0.values_mut().for_each(|waiting| waiting.due = now);
    }

    /// Returns the position up to which a site's part is processed.
    fn after(&self, site: SiteId) -> u64 {
        self.0.get(&site).map_or(0, |waiting| waiting.after)
    }

    /// Returns the position up to which the parts of all held sites are processed; `u64::MAX` without held sites.
    pub(super) fn processed_up_to(&self) -> u64 {
        self.0.values().map(|waiting| waiting.after).min().unwrap_or(u64::MAX)
    }

    /// Returns the site with the earliest retry and its time, among sites with unprocessed rows up to a position.
    pub(super) fn next(&self, up_to: u64) -> Option<(SiteId, Instant)> {
        let waits = self.0.iter().filter(|&(_, waiting)| waiting.after < up_to);
        waits.map(|(&site, waiting)| (site, waiting.due)).min_by_key(|&(_, due)| due)
    }

    /// Returns the sites whose retry is due, of those that [`Self::next`] would return: the first one, and the others that
    /// are processed up to the same position. Returns that position too.
    pub(super) fn due(&self, up_to: u64, now: Instant) -> Option<(u64, BTreeSet<SiteId>)> {
        let (first, _) = self.next(up_to).filter(|&(_, due)| due <= now)?;
        let after = self.after(first);
        let together = self.0.iter().filter(|(_, waiting)| waiting.after == after && waiting.due <= now);
        Some((after, together.map(|(&site, _)| site).collect()))
    }

    /// Returns the backlog of all held sites, in beacons.
    pub(super) fn beacons(&self) -> u64 {
        self.0.values().map(|waiting| waiting.beacons).sum()
    }

    pub(super) fn list(&self) -> Vec<BlockedSite> {
        let show = |(&site, waiting): (&SiteId, &Waiting)| BlockedSite {
            site,
            since_ms: waiting.since_ms,
            error: waiting.error.clone(),
            beacons: waiting.beacons,
            refused: waiting.refused,
        };
        self.0.iter().map(show).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SiteId = SiteId(1);
    const B: SiteId = SiteId(2);

    fn refuse(held: &mut BlockedSites, site: SiteId) {
        let hour = Duration::from_secs(3_600);
        held.hold(site, 0, "refused".to_owned(), (Instant::now(), hour, 0));
    }

    #[test]
    fn a_site_is_alone_once_it_fails_after_another_was_loaded() {
        let mut held = BlockedSites::default();
        // Fails so often that no retry is due for an hour.
        for site in [A, B].repeat(20) {
            refuse(&mut held, site);
        }
        assert!(held.next(1).unwrap().1 > Instant::now());
        held.loaded(A);
        assert!(!held.is_alone(A) && !held.is_alone(B), "none has failed since");
        let (site, due) = held.next(1).unwrap();
        assert!(site == B && due <= Instant::now(), "the others are tried at once");
        refuse(&mut held, B);
        assert!(held.is_alone(B) && !held.is_alone(A));
        held.loaded(A);
        assert!(held.next(1).unwrap().1 > Instant::now(), "once");
    }
    #[test]
    fn a_site_of_which_nothing_waits_yet_is_not_tried() {
        let mut held = BlockedSites::default();
        refuse(&mut held, A);
        assert!(held.next(0).is_none() && held.next(1).is_some());
        held.move_on(A, 7);
        assert!(held.next(7).is_none() && held.next(8).is_some());
    }
}
