//! Loads rows in passes: one call of the store for all sites of some rows.
//!
//! An error of a whole pass may be the fault of one site. Such a pass is split by sites until the refused site is alone;
//! the other sites are loaded. A pass that took too long is split by rows ([`super::load_size`]). A single site that took too
//! long in a pass is held. Beacons of a deleted site are counted as discarded.

use super::file::{Epoch, SpoolRow};
use super::load_size::Parts;
use super::loader::{Loader, StepError};
use super::removal::split_rows;
use crate::clock::now_ms;
use fieldvitals_store::{LoadBatch, LoadReport, Network, Overflow, Senders, SiteId, StoreError, ViewUpdate};
use std::collections::BTreeSet;
use std::time::Instant;

/// Sites of a pass that were not loaded.
#[derive(Default)]
struct NotLoaded {
    /// Another loader has moved their cursors.
    moved: BTreeSet<SiteId>,
    /// The store refuses them.
    refused: Vec<(SiteId, StoreError)>,
    /// The error of a site that is to be retried.
    failed: Option<StepError>,
}

/// The identity of one batch of a pass.
struct Sent {
    site: SiteId,
    up_to: u64,
    beacons: u64,
    rows: usize,
}

impl Loader {
    /// Loads the parts of some rows. Holds the sites that the store refuses, and returns them. A retry skips beacons
    /// that are counted already.
    pub(super) async fn load(
        &mut self,
        epoch: Epoch,
        rows: &[SpoolRow],
        parts: Parts,
    ) -> Result<BTreeSet<SiteId>, StepError> {
        let mut all_refused = BTreeSet::new();
        // Slow sites come after all others, each in passes of its own.
        let (slow, others): (Parts, Parts) =
            parts.into_iter().partition(|&(site, _)| self.load_size.is_slow(site));
        let mut passes: Vec<Parts> = slow.into_iter().map(|part| Parts::from([part])).collect();
        passes.push(others);
        while let Some(mut parts) = passes.pop() {
            self.skip_loaded(epoch, &mut parts);
            loop {
                let some = self.load_size.take(&mut parts);
                let Some(&site) = some.keys().next() else { break };
                let sites: Vec<SiteId> = some.keys().copied().collect();
                let began = Instant::now();
                let not_loaded = match self.load_some(epoch, some).await {
                    Err(StepError::Site(error)) if sites.len() == 1 => {
                        NotLoaded { refused: vec![(site, error)], ..NotLoaded::default() }
                    }
                    Err(StepError::Site(_)) => {
                        parts.retain(|site, _| sites.binary_search(site).is_err());
                        let (first, second) = sites.split_at(sites.len() / 2);
                        for half in [second, first] {
                            passes.push(self.parts_of(rows, |site| half.binary_search(&site).is_ok())?);
                        }
                        continue;
                    }
                    loaded => loaded?,
                };
                for (site, error) in not_loaded.refused {
                    self.hold(site, &error, began);
                    parts.remove(&site);
                    all_refused.insert(site);
                }
                if let Some(error) = not_loaded.failed {
                    return Err(error);
                }
                let moved = not_loaded.moved;
                if !moved.is_empty() {
                    parts.retain(|site, _| !moved.contains(site));
                    passes.push(self.parts_of(rows, |site| moved.contains(&site))?);
                }
            }
        }
        Ok(all_refused)
    }

    /// The parts of some sites, whole.
    fn parts_of(&self, rows: &[SpoolRow], take: impl Fn(SiteId) -> bool) -> Result<Parts, StepError> {
        let parts = split_rows(rows, usize::MAX, take);
        parts.map(|(parts, _)| parts).map_err(|reason| self.damaged(&reason))
    }

    /// Removes the beacons that are counted, and counts those that the store has.
    fn skip_loaded(&mut self, epoch: Epoch, parts: &mut Parts) {
        let is_own = self.is_own(epoch);
        for (&site, part) in parts.iter_mut() {
            let counted = self.counted.get(&site).copied().unwrap_or(0);
            part.retain(|&(position, _)| position > counted);
            let after = self.cursor(epoch, site);
            let before = part.len();
            part.retain(|&(position, _)| position > after);
            let known = (before - part.len()) as u64;
            if known > 0 {
                self.count(site, after, |stats| {
                    *(if is_own { &mut stats.loaded } else { &mut stats.superseded }) += known;
                    known
                });
            }
        }
        parts.retain(|_, part| !part.is_empty());
    }

    /// The store's cursor as far as known. The store says so if it is another: then the pass tells the stored one.
    fn cursor(&self, epoch: Epoch, site: SiteId) -> u64 {
        self.cursors.get(&(epoch.number, site)).copied().unwrap_or(0)
    }

    /// Calls the store once.
    async fn load_some(&mut self, epoch: Epoch, parts: Parts) -> Result<NotLoaded, StepError> {
        let (mut pass, mut sent) = (Vec::with_capacity(parts.len()), Vec::with_capacity(parts.len()));
        let mut positions = BTreeSet::new();
        for (site, part) in parts {
            let own: BTreeSet<u64> = part.iter().map(|&(position, _)| position).collect();
            let (up_to, rows) = (own.last().copied().unwrap_or(0), own.len());
            positions.extend(own);
            sent.push(Sent { site, up_to, beacons: part.len() as u64, rows });
            let after = self.cursor(epoch, site);
            let (networks, beacons): (Vec<Network>, Vec<Vec<ViewUpdate>>) =
                part.into_iter().map(|(_, beacon)| beacon).unzip();
            let senders = Senders::Networks(networks);
            pass.push(LoadBatch { site, spool: epoch.id, after, up_to, beacons, senders });
        }
        // A pass that failed may have been committed. The retry then learns the cursors.
        let began = Instant::now();
        let loaded = self.store.load_pass(pass).await;
        self.spool.shared.load_times.record(began.elapsed());
        let outcomes = match loaded {
            Ok(outcomes) => outcomes,
            Err(error) => return Err(self.failed(error, &sent, positions.len())),
        };
        if sent.len() > 1 {
            let sites: Vec<SiteId> = sent.iter().map(|sent| sent.site).collect();
            self.load_size.faster(&sites, self.spool.shared.bounds.load_views);
        }
        let mut not_loaded = NotLoaded::default();
        for (sent, outcome) in sent.iter().zip(outcomes) {
            self.done(epoch, sent, outcome, &mut not_loaded)?;
        }
        Ok(not_loaded)
    }

    /// Reacts to the outcome of a batch.
    fn done(
        &mut self,
        epoch: Epoch,
        sent: &Sent,
        outcome: Result<LoadReport, StoreError>,
        not_loaded: &mut NotLoaded,
    ) -> Result<(), StepError> {
        let &Sent { site, up_to, beacons, rows } = sent;
        match outcome {
            Ok(report) => {
                self.cursors.insert((epoch.number, site), up_to);
                self.load_size.faster(&[site], self.spool.shared.bounds.load_views);
                self.spool.shared.held().loaded(site);
                self.note_overflow(site, &report.overflow);
                self.count(site, up_to, |stats| {
                    stats.loaded += report.loaded;
                    stats.superseded += report.superseded;
                    beacons
                });
            }
            Err(StoreError::NoSuchSite) => self.count(site, up_to, |stats| {
                stats.discarded += beacons;
                beacons
            }),
            Err(StoreError::CursorMoved { at, .. }) => {
                if !self.is_own(epoch) && at > epoch.last {
                    return Err(StepError::Spool(self.older(epoch.last, at).to_string()));
                }
                self.cursors.insert((epoch.number, site), at);
                not_loaded.moved.insert(site);
            }
            // Only a store that loads sites apart says so of one site. The site waits, because another try at once might
            // hold up the other sites for as long: its node may hang.
            Err(error @ StoreError::TooSlow { answered: true, .. }) => {
                self.load_size.slower_apart(site, beacons as usize, rows);
                not_loaded.refused.push((site, error));
            }
            Err(error) => match self.failed(error, std::slice::from_ref(sent), rows) {
                StepError::Site(error) => not_loaded.refused.push((site, error)),
                error => not_loaded.failed = Some(error),
            },
        }
        Ok(())
    }

    /// Reacts to the failure of batches of so many rows.
    fn failed(&mut self, error: StoreError, sent: &[Sent], rows: usize) -> StepError {
        let StoreError::TooSlow { answered, .. } = error else { return error.into() };
        let sites: Vec<SiteId> = sent.iter().map(|sent| sent.site).collect();
        let beacons = sent.iter().map(|sent| sent.beacons as usize).sum();
        if let Some(beacons) = self.load_size.slower(&sites, beacons, rows) {
            tracing::warn!(sites = sites.len(), %error, beacons, "a load is tried again with fewer beacons");
            // Without an answer, the database may be unreachable.
            return if answered { StepError::TooMuch } else { StepError::Store(error) };
        }
        // A pass of several sites that is as small as passes become may hold a slow one: the sites are tried apart.
        if answered || sent.len() > 1 { StepError::Site(error) } else { StepError::Store(error) }
    }

    /// Records and logs names that do not fit in the dictionaries.
    fn note_overflow(&self, site: SiteId, overflow: &Overflow) {
        if *overflow == Overflow::default() {
            return;
        }
        for names in self.spool.shared.overflows().note(site, overflow, now_ms()) {
            tracing::warn!(
                site = site.0,
                kind = names.kind(),
                "the site has more names than it has places; page views of further ones count under (other). Made-up \
                 names: `fieldvitals site erase`. Many small pages: `fieldvitals site routes suggest`"
            );
        }
    }

    /// Counts the outcome of a site's beacons up to a position. `count` returns the number of beacons.
    fn count(&mut self, site: SiteId, up_to: u64, count: impl FnOnce(&mut super::Stats) -> u64) {
        let mut stats = self.spool.shared.stats();
        let n = count(&mut stats);
        stats.waiting = stats.waiting.saturating_sub(n);
        drop(stats);
        self.spool.shared.held().take(site, n);
        let counted = self.counted.entry(site).or_default();
        *counted = up_to.max(*counted);
    }

    fn is_own(&self, epoch: Epoch) -> bool {
        self.epochs.back().is_some_and(|own| own.number == epoch.number)
    }
}
