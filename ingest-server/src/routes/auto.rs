//! Adds certain route groups, and renews the routes apart from them, after rounds of maintenance.

use super::{known, study_with};
use crate::limits;
use fieldvitals_store::{Site, SiteId, Store, StoreError};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Time until a site is studied again. Doubles with each study, because a study reads up to 40,000 page views.
const WAIT_MIN: Duration = Duration::from_secs(60);
/// Longest time until a site is studied again.
const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// The sites that were looked at by this process.
#[derive(Debug, Default)]
pub struct AutoGroups {
    looks: HashMap<SiteId, Look>,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    wait: Duration,
}

impl AutoGroups {
    /// Looks at the sites that are due, at most [`limits::ROUTES_STUDIED_SITES_MAX`].
    pub async fn round(&mut self, store: &dyn Store, now_ms: i64) {
        let mut sites = match store.sites().await {
            Ok(sites) => sites,
            Err(error) => return tracing::debug!(%error, "sites cannot be read for their route groups"),
        };
        self.looks.retain(|id, _| sites.iter().any(|site| site.id == *id));
        sites.retain(|site| site.route_groups.auto && self.is_due(site.id));
        sites.sort_by_key(|site| self.looks.get(&site.id).map(|look| look.at));
        for site in sites.into_iter().take(limits::ROUTES_STUDIED_SITES_MAX) {
            let wait = match learn(store, &site, now_ms).await {
                Ok(Looked::Few) => WAIT_MIN,
                Ok(Looked::Studied) => self.next_wait(site.id),
                Err(error) => {
                    tracing::warn!(site = site.id.0, %error, "route groups were not learned; this is tried again");
                    self.next_wait(site.id)
                }
            };
            self.looks.insert(site.id, Look { at: Instant::now(), wait });
        }
    }

    fn is_due(&self, site: SiteId) -> bool {
        self.looks.get(&site).is_none_or(|look| look.at.elapsed() >= look.wait)
    }

    fn next_wait(&self, site: SiteId) -> Duration {
        self.looks.get(&site).map_or(WAIT_MIN, |look| (look.wait * 2).min(WAIT_MAX))
    }
}

enum Looked {
    /// The site has few routes and no groups.
    Few,
    Studied,
}

async fn learn(store: &dyn Store, site: &Site, now_ms: i64) -> Result<Looked, StoreError> {
    let known = known(store.names(site.id).await?);
    let before = &site.route_groups;
    if known.len() < limits::ROUTES_STUDIED_MIN && before.groups.is_empty() {
        return Ok(Looked::Few);
    }
    let study = study_with(store, site, &known, now_ms).await?;
    let after = study.lesson.applied(before, |proposal| proposal.doubt.is_none());
    if after == *before {
        return Ok(Looked::Studied);
    }
    // Somebody may have changed the groups meanwhile; the next study sees the change.
    let stored = store.site_route_groups(site.id, before, &after).await?;
    let added: Vec<&str> =
        after.groups.iter().filter(|group| !before.groups.contains(group)).map(String::as_str).collect();
    if stored.route_groups == after && !added.is_empty() {
        tracing::info!(
            site = site.id.0,
            groups = added.join(", "),
            apart = after.apart.len(),
            "routes of many small pages are grouped from now on; `fieldvitals site routes apply --rebuild` groups past \
             page views too, `site routes remove` undoes it"
        );
    }
    Ok(Looked::Studied)
}
