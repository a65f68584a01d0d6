//! How much of a site goes into one load, where a whole one takes longer than it may.

use super::loader::Part;
use fieldvitals_store::SiteId;
use std::collections::{HashMap, VecDeque};

/// For each site whose loads took too long: the beacons of one.
#[derive(Default)]
pub(super) struct Pace(HashMap<SiteId, usize>);

impl Pace {
    /// Takes rows off a part, at least one of them, and whole ones: the cursor stands between rows.
    pub(super) fn take(&self, site: SiteId, part: &mut VecDeque<<Part as IntoIterator>::Item>) -> Part {
        let Some(&most) = self.0.get(&site) else { return part.drain(..).collect() };
        let mut taken = Part::new();
        while let Some(&(position, _)) = part.front() {
            let row = part.iter().take_while(|&&(at, _)| at == position).count();
            if !taken.is_empty() && taken.len() + row > most {
                break;
            }
            taken.extend(part.drain(..row));
        }
        taken
    }

    /// After a load of so many beacons that took too long: half of them. Returns how many that are.
    pub(super) fn slower(&mut self, site: SiteId, beacons: usize) -> usize {
        let most = (beacons / 2).max(1);
        self.0.insert(site, most);
        most
    }

    /// After one that did not: some more, up to as many as any load has.
    pub(super) fn faster(&mut self, site: SiteId, whole: usize) {
        if let Some(most) = self.0.get_mut(&site) {
            *most += most.div_ceil(8);
            if *most >= whole {
                self.0.remove(&site);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::Network;

    #[test]
    fn loads_halve_down_to_a_row_and_grow_back() {
        const SITE: SiteId = SiteId(1);
        // Rows of one to four beacons.
        let part = || {
            (0..40_u64).map(|i| (i * i / 100, (Network::of(SITE, i), Vec::new()))).collect::<VecDeque<_>>()
        };
        let mut pace = Pace::default();
        assert_eq!(pace.take(SITE, &mut part()).len(), 40);
        let mut most = 40;
        while most > 1 {
            most = pace.slower(SITE, most);
            let mut rest = part();
            while !rest.is_empty() {
                let taken = pace.take(SITE, &mut rest);
                let last = taken.last().unwrap().0;
                assert!(rest.front().is_none_or(|&(position, _)| position > last), "a row is not split");
                assert!(taken.len() <= most || taken.first().unwrap().0 == last, "{} of {most}", taken.len());
            }
        }
        for _ in 0..40 {
            pace.faster(SITE, 40);
        }
        assert!(pace.0.is_empty());
    }
}
