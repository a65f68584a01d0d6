//! The nodes of Citus that did not answer. The loads of their sites fail without a try, except for one try at intervals.

use crate::limits;
use fieldvitals_store::SiteId;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(limits::CITUS_HUNG_MS);

/// The nodes that did not answer, by their sites.
#[derive(Default)]
pub(crate) struct Hung(Mutex<Vec<Node>>);

struct Node {
    sites: BTreeSet<SiteId>,
    /// Time of the next try.
    due: Instant,
}

impl Hung {
    /// Returns whether a load of the site may be tried. The site that may try a node is the only one until the next try.
    pub(crate) fn may_try(&self, site: SiteId) -> bool {
        self.may_try_at(site, Instant::now())
    }

    fn may_try_at(&self, site: SiteId, now: Instant) -> bool {
        let mut nodes = self.nodes();
        let Some(node) = nodes.iter_mut().find(|node| node.sites.contains(&site)) else { return true };
        let is_due = node.due <= now;
        if is_due {
            node.due = now + PAUSE;
        }
        is_due
    }

    /// Records that the node of the site answered.
    pub(crate) fn answered(&self, site: SiteId) {
        self.nodes().retain(|node| !node.sites.contains(&site));
    }

    /// Records that the node of `site` did not answer; `sites` are all sites on the node. Several loads may find out at once.
    pub(crate) fn add(&self, site: SiteId, sites: BTreeSet<SiteId>) {
        let mut nodes = self.nodes();
        if nodes.iter().all(|node| !node.sites.contains(&site)) {
            nodes.push(Node { sites, due: Instant::now() + PAUSE });
        }
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<Node>> {
        // No holder of the lock can panic midway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_that_hangs_is_tried_by_one_site_at_intervals_until_it_answers() {
        let hung = Hung::default();
        let (first, second, other) = (SiteId(1), SiteId(2), SiteId(3));
        hung.add(first, [first, second].into());
        assert!(!hung.may_try(first) && !hung.may_try(second) && hung.may_try(other));
        let later = Instant::now() + PAUSE;
        assert!(hung.may_try_at(second, later) && !hung.may_try_at(first, later));
        hung.answered(second);
        assert!(hung.may_try_at(first, later));
    }
}
