//! Limits the beacons of a load after loads that took too long.

use fieldvitals_store::{Network, SiteId, ViewUpdate};
use std::collections::{BTreeMap, HashMap};

/// One site's beacons from some rows, with their positions and client networks.
pub(super) type Part = Vec<(u64, (Network, Vec<ViewUpdate>))>;

/// The parts of some sites.
pub(super) type Parts = BTreeMap<SiteId, Part>;

/// A pass of several sites is not halved below this number of beacons. With fewer, the fixed cost of a pass would decide,
/// and a single slow site would slow down all others; the pass is split by sites instead.
const PASS_BEACONS_MIN: usize = 256;

/// The most beacons of one load, where loads took too long.
#[derive(Default)]
pub(super) struct LoadSize {
    /// For passes of several sites.
    together: Option<usize>,
    /// For sites that are loaded alone.
    alone: HashMap<SiteId, usize>,
    /// Whether the store loads the sites of a pass apart: then a slow site slows down no other, and is loaded with them, by
    /// its own limit.
    apart: bool,
}

impl LoadSize {
    /// Returns whether the site is to be loaded alone, because its loads took too long.
    pub(super) fn is_slow(&self, site: SiteId) -> bool {
        !self.apart && self.alone.contains_key(&site)
    }

    /// Takes the first rows off some parts: at least one row, and whole ones, because the cursor stands between rows.
    pub(super) fn take(&self, parts: &mut Parts) -> Parts {
        let is_by_site = self.apart || parts.len() == 1;
        let all = match self.together {
            Some(most) if !is_by_site => {
                let mut positions: Vec<u64> = parts.values().flat_map(positions).collect();
                positions.sort_unstable();
                last_row(&positions, most)
            }
            _ => u64::MAX,
        };
        let mut taken = Parts::new();
        parts.retain(|site, part| {
            let own = self.alone.get(site).filter(|_| is_by_site);
            let last = own.map_or(all, |&most| last_row(&positions(part).collect::<Vec<u64>>(), most));
            let rest = part.split_off(part.partition_point(|&(position, _)| position <= last));
            let of_site: Part = std::mem::replace(part, rest);
            if !of_site.is_empty() {
                taken.insert(*site, of_site);
            }
            !part.is_empty()
        });
        taken
    }

    /// Halves loads after one of so many beacons and rows that took too long. Returns the new limit; `None` if loads of
    /// these sites cannot be halved.
    pub(super) fn slower(&mut self, sites: &[SiteId], beacons: usize, rows: usize) -> Option<usize> {
        let most = (beacons / 2).max(1);
        match sites {
            _ if rows <= 1 => None,
            [site] => {
                self.alone.insert(*site, most);
                Some(most)
            }
            _ => {
                let most = most.max(PASS_BEACONS_MIN);
                let is_less = most < beacons;
                self.together = is_less.then_some(most).or(self.together);
                is_less.then_some(most)
            }
        }
    }

    /// Halves the loads of a site that took too long while other sites of the pass were loaded.
    pub(super) fn slower_apart(&mut self, site: SiteId, beacons: usize, rows: usize) {
        self.apart = true;
        let _ = self.slower(&[site], beacons, rows);
    }

    /// Grows the limit by an eighth after a load in time, up to `whole`, the size of any load.
    pub(super) fn faster(&mut self, sites: &[SiteId], whole: usize) {
        let grown = |most: usize| Some(most + most.div_ceil(8)).filter(|&most| most < whole);
        match sites {
            [site] => {
                if let Some(most) = self.alone.remove(site).and_then(grown) {
                    self.alone.insert(*site, most);
                }
            }
            _ => self.together = self.together.and_then(grown),
        }
    }
}

fn positions(part: &Part) -> impl Iterator<Item = u64> {
    part.iter().map(|&(position, _)| position)
}

/// The last row of which all beacons are among the first `most`; at least the first row. `positions` are in order.
fn last_row(positions: &[u64], most: usize) -> u64 {
    let Some((&next, &first)) = positions.get(most).zip(positions.first()) else { return u64::MAX };
    positions.iter().rev().copied().find(|&position| position < next).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SiteId = SiteId(1);
    const B: SiteId = SiteId(2);

    /// Rows of one to four beacons of some sites.
    fn parts(sites: &[SiteId], beacons: u64) -> Parts {
        let part = |site| (0..beacons).map(|i| (i * i / 100, (Network::of(site, i), Vec::new()))).collect();
        sites.iter().map(|&site| (site, part(site))).collect()
    }

    fn count(parts: &Parts) -> usize {
        parts.values().map(Vec::len).sum()
    }

    #[test]
    fn loads_of_a_site_halve_down_to_a_row_and_grow_back() {
        let mut load_size = LoadSize::default();
        assert_eq!(count(&load_size.take(&mut parts(&[A], 40))), 40);
        let mut most = 40;
        while most > 1 {
            most = load_size.slower(&[A], most, 2).unwrap();
            let mut rest = parts(&[A], 40);
            while !rest.is_empty() {
                let taken = load_size.take(&mut rest);
                let last = taken[&A].last().unwrap().0;
                let next = rest.get(&A).and_then(|part| part.first());
                assert!(next.is_none_or(|&(position, _)| position > last), "a row is not split");
                assert!(count(&taken) <= most || taken[&A][0].0 == last, "{} of {most}", count(&taken));
            }
        }
        assert_eq!(load_size.slower(&[A], 4, 1), None, "a row cannot be halved");
        for _ in 0..40 {
            load_size.faster(&[A], 40);
        }
        assert!(!load_size.is_slow(A));
    }

    #[test]
    fn sites_that_are_loaded_apart_are_taken_together_by_their_own_limits() {
        let mut load_size = LoadSize::default();
        load_size.slower_apart(A, 40, 9);
        assert!(!load_size.is_slow(A));
        let mut rest = parts(&[A, B], 40);
        let taken = load_size.take(&mut rest);
        assert!((1..=20).contains(&taken[&A].len()), "{}", taken[&A].len());
        assert_eq!(taken[&B].len(), 40);
        assert_eq!(rest.keys().collect::<Vec<_>>(), [&A]);
        for _ in 0..40 {
            load_size.faster(&[A], 40);
        }
        assert_eq!(count(&load_size.take(&mut parts(&[A, B], 40))), 80);
    }

    #[test]
    fn passes_of_many_sites_keep_a_size_that_is_worth_a_pass() {
        let mut load_size = LoadSize::default();
        assert_eq!(load_size.slower(&[A, B], 2_000, 9), Some(1_000));
        let mut rest = parts(&[A, B], 1_000);
        let taken = load_size.take(&mut rest);
        assert!((900..=1_000).contains(&count(&taken)) && taken.len() == 2, "{}", count(&taken));
        let last = |part: &Part| part.last().unwrap().0;
        assert_eq!(last(&taken[&A]), last(&taken[&B]), "all sites are taken up to the same row");
        assert_eq!(count(&taken) + count(&rest), 2_000);
        assert_eq!(load_size.slower(&[A, B], 300, 9), Some(PASS_BEACONS_MIN));
        assert_eq!(load_size.slower(&[A, B], PASS_BEACONS_MIN, 9), None);
        for _ in 0..40 {
            load_size.faster(&[A, B], 2_000);
        }
        assert_eq!(count(&load_size.take(&mut parts(&[A, B], 1_000))), 2_000);
    }
}
