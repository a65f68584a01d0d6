//! Plans a copy between two stores, and checks that it is possible, before anything is written.

use crate::migrate::retention_text;
use anyhow::ensure;
use fieldvitals_store::{RetentionEdges, Site, SiteKey, SiteSize, Store};

/// A possible copy.
pub(super) struct Plan {
    /// The source's sites, each with its copy in the target, if there is one.
    pub(super) sites: Vec<(Site, Option<Site>)>,
    /// The retention edges of the source, which the target gets after the copy.
    pub(super) retained: RetentionEdges,
}

impl Plan {
    /// Plans a copy from both stores' sites and retention edges.
    pub(super) async fn make(source: &dyn Store, target: &dyn Store) -> anyhow::Result<Self> {
        let theirs = target.sites().await?;
        let mut sites = Vec::new();
        for site in source.sites().await? {
            let there = counterpart(&site, &theirs)?.cloned();
            sites.push((site, there));
        }
        ensure!(!sites.is_empty(), "there is no site in the source, so there is nothing to copy");
        let (retained, target_retained) = (source.retention_edges().await?, target.retention_edges().await?);
        if retained != target_retained {
            // The target's rollups still count the page views that it has removed. A second copy would count these page
            // views twice.
            let moved_on = target_retained.views_from_ms > retained.views_from_ms;
            for site in theirs.iter().filter(|_| moved_on) {
                ensure!(
                    target.site_size(site.id).await? == SiteSize::default(),
                    "a server has run on the target since `{}` was copied there, and has let go of older page views: \
                     the source {}; the target {}. What is missing cannot be told from that any more; copy into a \
                     new store",
                    site.name,
                    retention_text(&retained),
                    retention_text(&target_retained)
                );
            }
            for site in &theirs {
                let is_copy =
                    sites.iter().any(|(_, there)| there.as_ref().is_some_and(|there| there.id == site.id));
                ensure!(
                    is_copy || target.site_size(site.id).await? == SiteSize::default(),
                    "the target has measurements of `{}`, which the source has not, and does not keep the same days: \
                     the source {}; the target {}. Run a server on each for a minute with the same --keep-views-days, \
                     --keep-hours-days and --keep-rollups-days, stop both, and copy then; or copy into a new store",
                    site.name,
                    retention_text(&retained),
                    retention_text(&target_retained)
                );
            }
        }
        Ok(Self { sites, retained })
    }
}

/// Finds the target's copy of a site, by name and keys.
fn counterpart<'a>(site: &Site, theirs: &'a [Site]) -> anyhow::Result<Option<&'a Site>> {
    let has_key = |other: &&Site| other.keys.iter().any(|key| site.keys.iter().any(|own| own.key == key.key));
    if let Some(same_name) = theirs.iter().find(|other| other.name == site.name) {
        ensure!(
            keys(site) == keys(same_name),
            "both stores have a site `{0}`, with different keys, so that they are two sites; give one of them another \
             name (`fieldvitals site update {0} --rename NAME`), or remove the target's if it is not needed \
             (`fieldvitals site delete {0}`), each with its --data-dir or --database-url",
            site.name
        );
        return Ok(Some(same_name));
    }
    if let Some(other) = theirs.iter().find(has_key) {
        anyhow::bail!(
            "the target's site `{1}` has a key of the source's `{0}`, so that it is a copy of it under another name; \
             `fieldvitals site update {1} --rename {0}` on the target, or the other way round on the source, makes \
             them one",
            site.name,
            other.name
        );
    }
    Ok(None)
}

/// Returns the keys of a site, sorted.
fn keys(site: &Site) -> Vec<&str> {
    let mut keys: Vec<&str> = site.keys.iter().map(|SiteKey { key, .. }| key.as_str()).collect();
    keys.sort_unstable();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::{RouteGroups, SiteId};

    fn site(name: &str, keys: &[&str]) -> Site {
        let keys = keys.iter().map(|&key| SiteKey { key: key.to_owned(), until_ms: None }).collect();
        let (name, timezone) = (name.to_owned(), Site::TIMEZONE_DEFAULT.to_owned());
        let route_groups = RouteGroups::default();
        Site {
            id: SiteId(1),
            name,
            keys,
            origins: vec![],
            routes: vec![],
            route_groups,
            timezone,
            created_ms: 0,
        }
    }

    #[test]
    fn a_copy_is_known_by_its_name_and_keys() {
        let theirs = [site("blog", &["k9"]), site("shop", &["k2", "k1"])];
        let found = |name, keys| {
            counterpart(&site(name, keys), &theirs)
                .map(|found| found.map(|site| site.name.as_str()))
                .map_err(|error| error.to_string())
        };
        assert_eq!(found("shop", &["k1", "k2"]), Ok(Some("shop")));
        assert_eq!(found("new", &["k3"]), Ok(None));
        assert!(found("shop", &["k1"]).is_err_and(|message| message.contains("site delete shop")));
        assert!(
            found("store", &["k2"])
                .is_err_and(|message| message.contains("`shop`") && message.contains("--rename store"))
        );
    }
}
