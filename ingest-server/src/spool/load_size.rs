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
}

impl LoadSize {
    /// Returns whether loads of the site alone took too long.
    pub(super) fn is_slow(&self, site: SiteId) -> bool {
        self.alone.contains_key(&site)
    }

    /// Takes the first rows off some parts: at least one row, and whole ones, because the cursor stands between rows.
    pub(super) fn take(&self, parts: &mut Parts) -> Parts {
        let most = match parts.first_key_value() {
            Some((site, _)) if parts.len() == 1 => self.alone.get(site).copied(),
            _ => self.together,
        };
        let Some(most) = most else { return std::mem::take(parts) };
        let mut positions: Vec<u64> = parts.values().flatten().map(|&(position, _)| position).collect();
        positions.sort_unstable();
        // The last row of which all beacons are among the first `most`.
        let Some(&first) = positions.first() else { return Parts::new() };
        let last = match positions.get(most) {
            None => u64::MAX,
            Some(&next) => positions.iter().rev().copied().find(|&position| position < next).unwrap_or(first),
        };
        let mut taken = Parts::new();
        parts.retain(|&site, part| {
            let rest = part.split_off(part.partition_point(|&(position, _)| position <= last));
            let of_site: Part = std::mem::replace(part, rest);
            if !of_site.is_empty() {
                taken.insert(site, of_site);
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
