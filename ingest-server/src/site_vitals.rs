//! Vitals of some sites for `/metrics`, read from the store each minute.
//!
//! The owner names the sites (`--metrics-site`): their names and figures then are in a monitoring system, and each costs a
//! question a minute.

use crate::clock::now_ms;
use crate::directory::Directory;
use crate::limits;
use crate::questions::{Cost, Questions};
use crate::report::{MINUTE_MS, MetricReport, metrics};
use arc_swap::ArcSwap;
use fieldvitals_store::{CellQuery, SiteId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Time between two questions about a site.
const INTERVAL: Duration = Duration::from_secs(60);
/// The period of the vitals, in milliseconds: the last day.
const PERIOD_MS: i64 = 24 * 3_600 * 1_000;

/// The vitals of one site in the last day, by metric.
#[derive(Clone, Debug)]
pub struct SiteVital {
    /// The site's id.
    pub id: SiteId,
    /// The site's name.
    pub site: String,
    /// Metrics with values.
    pub metrics: BTreeMap<&'static str, MetricReport>,
}

/// The named sites, and their vitals as they were read last.
pub struct SiteVitals {
    names: Vec<String>,
    read: ArcSwap<Vec<SiteVital>>,
}

impl SiteVitals {
    /// Reads these sites, up to [`limits::METRICS_SITES_MAX`].
    #[must_use]
    pub fn new(mut names: Vec<String>) -> Self {
        names.sort_unstable();
        names.dedup();
        names.truncate(limits::METRICS_SITES_MAX);
        Self { names, read: ArcSwap::default() }
    }

    /// Returns the names that no site has.
    pub fn unknown<'a>(&'a self, directory: &'a Directory) -> impl Iterator<Item = &'a str> {
        let directory = directory.current();
        self.names.iter().map(String::as_str).filter(move |name| directory.by_name(name).is_none())
    }

    /// Returns the vitals as they were read last.
    #[must_use]
    pub fn current(&self) -> Arc<Vec<SiteVital>> {
        self.read.load_full()
    }

    /// Reads without end, once a minute. Returns at once if no site is named.
    pub async fn keep_fresh(&self, directory: &Directory, questions: &Questions) {
        while !self.names.is_empty() {
            let mut read = Vec::new();
            for name in &self.names {
                read.extend(self.ask(name, directory, questions).await);
            }
            self.read.store(Arc::new(read));
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Reads a site. `None` if it does not exist or the store does not answer.
    async fn ask(&self, name: &str, directory: &Directory, questions: &Questions) -> Option<SiteVital> {
        let site = directory.current().by_name(name).cloned()?;
        let store = Arc::clone(directory.store()?);
        let to_ms = now_ms().div_euclid(MINUTE_MS) * MINUTE_MS + MINUTE_MS;
        let query = CellQuery::new(site.id, to_ms - PERIOD_MS, to_ms);
        let question = async move { store.total(&query).await };
        match questions.ask(Cost::Usual, question).await.ok()? {
            Ok(total) => {
                Some(SiteVital { id: site.id, site: site.name.clone(), metrics: metrics(&total.cell, false) })
            }
            Err(error) => {
                tracing::debug!(site = site.id.0, %error, "the vitals of a site were not read for /metrics");
                None
            }
        }
    }
}
