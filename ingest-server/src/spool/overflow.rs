//! Sites that have more names than places: said once a day in the log, and shown by `/api/v1/status`.

use fieldvitals_store::{Dimension, Overflow, SiteId};
use std::collections::BTreeMap;

/// Time for which it is shown, and not said again, in milliseconds: a day.
const SHOWN_MS: i64 = 86_400_000;

/// A kind of names of a site that lacks places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverflowNames {
    /// The site.
    pub site: SiteId,
    /// Its labels' dimension; `None` for routes.
    pub dimension: Option<Dimension>,
    /// Updates counted under `(other)` since the server started.
    pub updates: u64,
    /// When the last one was loaded, UTC milliseconds.
    pub last_ms: i64,
}

impl OverflowNames {
    /// The kind of names, in the plural.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.dimension {
            None => "routes",
            Some(Dimension::Browser) => "browsers",
            Some(Dimension::Country) => "countries",
            Some(Dimension::Connection) => "connection types",
            Some(Dimension::Release) => "releases",
            Some(Dimension::Device | Dimension::NavigationType) => "values",
        }
    }
}

#[derive(Default)]
pub(super) struct Overflows(BTreeMap<(SiteId, Option<Dimension>), OverflowCount>);

struct OverflowCount {
    updates: u64,
    last_ms: i64,
    logged_ms: i64,
}

impl Overflows {
    /// Takes note of a load; returns what the log should say.
    pub(super) fn note(&mut self, site: SiteId, overflow: &Overflow, now_ms: i64) -> Vec<OverflowNames> {
        let mut due = Vec::new();
        for (dimension, updates) in overflow.kinds() {
            let never = OverflowCount { updates: 0, last_ms: now_ms, logged_ms: i64::MIN };
            let overflow = self.0.entry((site, dimension)).or_insert(never);
            overflow.updates = overflow.updates.saturating_add(updates);
            overflow.last_ms = now_ms;
            if now_ms.abs_diff(overflow.logged_ms) >= SHOWN_MS.unsigned_abs() {
                overflow.logged_ms = now_ms;
                due.push(OverflowNames { site, dimension, updates: overflow.updates, last_ms: now_ms });
            }
        }
        due
    }

    /// Those of the last day.
    pub(super) fn shown(&self, now_ms: i64) -> Vec<OverflowNames> {
        let recent =
            self.0.iter().filter(|(_, overflow)| overflow.last_ms.abs_diff(now_ms) < SHOWN_MS.unsigned_abs());
        recent
            .map(|(&(site, dimension), overflow)| OverflowNames {
                site,
                dimension,
                updates: overflow.updates,
                last_ms: overflow.last_ms,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowded_site_is_logged_once_a_day_and_shown_for_a_day() {
        let mut overflows = Overflows::default();
        let overflow = Overflow { routes: 3, ..Overflow::default() };
        let site = SiteId(1);
        assert_eq!(overflows.note(site, &Overflow::default(), 0), []);
        let logged: Vec<usize> = [0, 1, SHOWN_MS - 1, SHOWN_MS, SHOWN_MS + 1]
            .map(|now_ms| overflows.note(site, &overflow, now_ms).len())
            .into();
        assert_eq!(logged, [1, 0, 0, 1, 0]);
        let shown = overflows.shown(SHOWN_MS + 2);
        assert_eq!(shown, [OverflowNames { site, dimension: None, updates: 15, last_ms: SHOWN_MS + 1 }]);
        assert_eq!(shown[0].kind(), "routes");
        assert_eq!(overflows.shown(2 * SHOWN_MS + 1), []);
    }
}
