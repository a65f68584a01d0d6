//! Sites whose beacons the store refuses, while it takes those of others.
//!
//! What they have in the spool stays there, and is tried again now and then; the others go on. It may fill
//! half of the spool: from then on their beacons are shed, so that a site which can never be loaded leaves the
//! other half to those that can.

use super::pause::PAUSE_FIRST;
use fieldvitals_store::SiteId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A try that takes long is followed by a pause so many times as long: others wait meanwhile.
const REST: u32 = 8;

/// A site that waits, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSite {
    /// The site.
    pub site: SiteId,
    /// Since when, UTC milliseconds.
    pub since_ms: i64,
    /// What the store said last.
    pub error: String,
    /// Its beacons that wait, as far as they are read.
    pub beacons: u64,
    /// Its beacons that were refused, because those that wait fill its part of the spool.
    pub refused: u64,
}

/// All of them.
#[derive(Default)]
pub(super) struct Held(BTreeMap<SiteId, Waiting>);

struct Waiting {
    since_ms: i64,
    error: String,
    beacons: u64,
    refused: u64,
    /// The last position of which its part is dealt with.
    after: u64,
    /// When it is tried again.
    due: Instant,
    pause: Duration,
    /// Whether another was loaded since it is held.
    others_loaded: bool,
    /// Whether it failed after that: then it is the site that fails, not the store.
    alone: bool,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, site: SiteId) -> bool {
        self.0.contains_key(&site)
    }

    pub(super) fn sites(&self) -> BTreeSet<SiteId> {
        self.0.keys().copied().collect()
    }

    /// Whether it was refused after another was loaded.
    pub(super) fn is_alone(&self, site: SiteId) -> bool {
        self.0.get(&site).is_some_and(|waiting| waiting.alone)
    }

    /// Takes note of a failed try, and says whether it fails in another way than before.
    ///
    /// `after` is where its part is left where it was not held yet.
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
            let (error, pause) = (error.clone(), PAUSE_FIRST);
            let (beacons, refused, others_loaded, alone) = (0, 0, false, false);
            Waiting {
                since_ms: now_ms,
                error,
                beacons,
                refused,
                after,
                due: now,
                pause,
                others_loaded,
                alone,
            }
        });
        let rest = now.duration_since(began).saturating_mul(REST);
        waiting.due = now + waiting.pause.max(rest).min(longest);
        waiting.pause = waiting.pause.saturating_mul(2);
        waiting.alone |= waiting.others_loaded;
        is_new |= waiting.error != error;
        waiting.error = error;
        is_new
    }

    /// Takes note that beacons of a site were loaded. What kept the others may be over, which their next tries
    /// tell; the first time, these are due at once.
    pub(super) fn loaded(&mut self, site: SiteId) {
        let now = Instant::now();
        for (_, waiting) in self.0.iter_mut().filter(|&(&held, _)| held != site) {
            if !std::mem::replace(&mut waiting.others_loaded, true) {
                waiting.due = now;
            }
        }
    }

    /// More beacons of a site wait.
    pub(super) fn add(&mut self, site: SiteId, beacons: u64) {
        if let Some(waiting) = self.0.get_mut(&site) {
            waiting.beacons += beacons;
        }
    }

    /// A beacon of a site is refused, because those that wait fill its part of the spool. The first one is logged.
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

    /// So many of them wait no more.
    pub(super) fn take(&mut self, site: SiteId, beacons: u64) {
        if let Some(waiting) = self.0.get_mut(&site) {
            waiting.beacons = waiting.beacons.saturating_sub(beacons);
        }
    }

    /// A site's part up to a position is dealt with.
    pub(super) fn move_on(&mut self, site: SiteId, after: u64) {
        if let Some(waiting) = self.0.get_mut(&site) {
            waiting.after = after;
            (waiting.due, waiting.pause) = (Instant::now(), PAUSE_FIRST);
        }
    }

    /// A site has nothing left that waits. What kept it may have kept others, so they are tried at once.
    pub(super) fn release(&mut self, site: SiteId) {
        let refused = self.0.remove(&site).map_or(0, |waiting| waiting.refused);
        tracing::info!(site = site.0, refused, "the store takes the site's beacons again");
        let now = Instant::now();
        self.0.values_mut().for_each(|waiting| waiting.due = now);
    }

    /// The last position of which a site's part is dealt with.
    pub(super) fn after(&self, site: SiteId) -> u64 {
        self.0.get(&site).map_or(0, |waiting| waiting.after)
    }

    /// The last position of which every site's part is dealt with, of those that are held.
    pub(super) fn settled(&self) -> u64 {
        self.0.values().map(|waiting| waiting.after).min().unwrap_or(u64::MAX)
    }

    /// The site that is to be tried first, and when; of those that have something that waits up to a position.
    pub(super) fn next(&self, up_to: u64) -> Option<(SiteId, Instant)> {
        let waits = self.0.iter().filter(|&(_, waiting)| waiting.after < up_to);
        waits.map(|(&site, waiting)| (site, waiting.due)).min_by_key(|&(_, due)| due)
    }

    /// Beacons that wait, of all of them.
    pub(super) fn beacons(&self) -> u64 {
        self.0.values().map(|waiting| waiting.beacons).sum()
    }

    pub(super) fn list(&self) -> Vec<HeldSite> {
        let show = |(&site, waiting): (&SiteId, &Waiting)| HeldSite {
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

    fn refuse(held: &mut Held, site: SiteId) {
        let hour = Duration::from_secs(3_600);
        held.hold(site, 0, "refused".to_owned(), (Instant::now(), hour, 0));
    }

    #[test]
    fn a_site_is_alone_once_it_fails_after_another_was_loaded() {
        let mut held = Held::default();
        // So often that they are not due for an hour.
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
        let mut held = Held::default();
        refuse(&mut held, A);
        assert!(held.next(0).is_none() && held.next(1).is_some());
        held.move_on(A, 7);
        assert!(held.next(7).is_none() && held.next(8).is_some());
    }
}
