//! The steps of a copy. Every step can be repeated.

use super::plan::Plan;
use crate::interrupt::Interrupt;
use crate::moment::day_text;
use crate::progress::{Progress, Rate, grouped};
use anyhow::{Context as _, bail};
use fieldvitals_server::gate::exact_routes;
use fieldvitals_store::limits;
use fieldvitals_store::rollup::Grain;
use fieldvitals_store::{
    AppliedBudgets, Digest, LoadBatch, NewBudgets, NewToken, RetentionEdges, Senders, Site, SiteId, SiteSize,
    SpoolId, Store, StoreError, StoredView, ViewUpdate,
};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;

/// Page views per read.
const VIEWS: u32 = limits::LOAD_VIEWS_MAX as u32;
/// Approximate rollup groups per read. A group is an hour or day of a route and a dimension.
const GROUPS: u32 = 2_000;
/// Routes and labels per write.
const NAMES: usize = 4_000;
/// Violations per read.
const VIOLATIONS: u32 = fieldvitals_server::limits::PAGE_ROWS_MAX as u32;
/// The first cursor position of days in rollups, after all hours.
const DAYS_FROM: u64 = 1 << 40;

/// A running copy.
pub(super) struct Copier<'a> {
    pub(super) source: &'a dyn Store,
    pub(super) target: &'a dyn Store,
    /// Identifies the source and its state, as far as states can be distinguished.
    pub(super) identity: String,
    pub(super) retained: RetentionEdges,
    pub(super) interrupt: &'a Interrupt,
    pub(super) progress: Progress,
}

/// The result of a copy.
pub(super) enum Copied {
    /// The copy is complete: each site of the source, with the target's site.
    All(Vec<(Site, Site)>),
    /// The user pressed Ctrl-C.
    Stopped,
}

/// The rows counted by a cursor in the target.
#[derive(Clone, Copy)]
enum What {
    Views,
    Rollups,
}

/// A site in both stores.
struct Pair<'a> {
    name: &'a str,
    /// The site in the source.
    site: &'a Site,
    source: SiteId,
    target: SiteId,
    /// The contents of the source.
    site_size: SiteSize,
}

impl Copier<'_> {
    /// Copies everything.
    pub(super) async fn all(&mut self, plan: &Plan) -> anyhow::Result<Copied> {
        // Runs first, because the target refuses views older than its retention edges.
        self.target.keep(plan.retained).await.context("what is kept")?;
        if let Some(set) = self.source.retention().await?
            && self.target.retention().await?.is_none()
        {
            self.target.set_retention(set).await.context("retention")?;
        }
        let mut sites = Vec::new();
        for (site, there) in &plan.sites {
            let there = match there {
                Some(there) => there.clone(),
                None => self.target.site_put(site).await.with_context(|| format!("site `{}`", site.name))?,
            };
            let site_size = self.source.site_size(site.id).await?;
            let pair = Pair { name: &site.name, site, source: site.id, target: there.id, site_size };
            // Copies names first, so that page views and rollups keep the names that the source chose.
            copy_names(self.source, self.target, &pair)
                .await
                .with_context(|| format!("names of `{}`", site.name))?;
            if !self.views(&pair).await.with_context(|| format!("page views of `{}`", site.name))?
                || !self.rollups(&pair).await.with_context(|| format!("rollups of `{}`", site.name))?
            {
                return Ok(Copied::Stopped);
            }
            self.violations(&pair).await.with_context(|| format!("violations of `{}`", site.name))?;
            let marks = self.source.deploy_marks(site.id).await?;
            self.target
                .deploy_marks_put(there.id, &marks)
                .await
                .with_context(|| format!("deploy marks of `{}`", site.name))?;
            self.budgets(&pair).await.with_context(|| format!("budgets of `{}`", site.name))?;
            self.digests(&pair).await.with_context(|| format!("digests of `{}`", site.name))?;
            sites.push((site.clone(), there));
        }
        self.tokens(&sites).await.context("tokens")?;
        Ok(Copied::All(sites))
    }

    /// Deletes the cursors of a complete copy.
    pub(super) async fn forget(&self, sites: &[(Site, Site)]) -> Result<(), StoreError> {
        for (site, _) in sites {
            let site_size = self.source.site_size(site.id).await?;
            for what in [What::Views, What::Rollups] {
                self.target.cursors_forget(self.mark(site.id, &site_size, what)).await?;
            }
        }
        Ok(())
    }

    /// Copies the tokens, each limited to the same sites under their new ids.
    async fn tokens(&self, sites: &[(Site, Site)]) -> Result<(), StoreError> {
        // Deleted sites have no copy.
        let there = |id: &SiteId| Some(sites.iter().find(|(site, _)| site.id == *id)?.1.id);
        let known: HashSet<[u8; 32]> =
            self.target.tokens().await?.into_iter().map(|token| token.hash).collect();
        for token in self.source.tokens().await?.into_iter().filter(|token| !known.contains(&token.hash)) {
            let token = NewToken {
                name: token.name,
                scope: token.scope,
                sites: token.sites.map(|sites| sites.iter().filter_map(there).collect()),
                hash: token.hash,
                created_ms: token.created_ms,
                rate_per_s: token.rate_per_s,
            };
            self.target.token_add(token).await?;
        }
        Ok(())
    }

    /// The id of the target's cursor. The cursor counts page views in the order of their ids. If the source gains or
    /// loses page views, the id changes, and the copy starts again; most views are then already stored.
    fn mark(&self, site: SiteId, site_size: &SiteSize, what: What) -> SpoolId {
        let Self { identity, retained, .. } = self;
        let SiteSize { views, counted, violations: _ } = site_size;
        let what = match what {
            What::Views => "views",
            What::Rollups => "rollups",
        };
        let text = format!(
            "fieldvitals store copy\n{identity}\n{}\n{retained:?}\n{views}\n{counted}\n{what}",
            site.0
        );
        let mut id = SpoolId([0; 16]);
        for (byte, hashed) in id.0.iter_mut().zip(Sha256::digest(text)) {
            *byte = hashed;
        }
        id
    }

    /// Copies page views. Returns `false` if interrupted.
    async fn views(&mut self, pair: &Pair<'_>) -> anyhow::Result<bool> {
        let (source, target) = (self.source, self.target);
        let spool = self.mark(pair.source, &pair.site_size, What::Views);
        let mut copied = target.cursor(pair.target, spool).await?;
        let mut after = None;
        if copied > 0 {
            after = source.view_at(pair.source, copied).await?;
            if after.is_none() {
                bail!("the source lost page views while it was copied; is a server still running on it?");
            }
            self.progress.note(&format!("{}: {} page views are there already", pair.name, grouped(copied)));
        }
        let rate = Rate::new(copied, pair.site_size.views);
        let mut page = source.views(pair.source, after, VIEWS).await?;
        while let Some(last) = page.last() {
            if self.interrupt.asked() {
                return Ok(false);
            }
            let last = last.update.id;
            self.progress.say(|| format!("{}: {}", pair.name, rate.text(copied, "page views")));
            let load = async {
                for beacons in batches(&page) {
                    let (after, up_to) = (copied, copied.saturating_add(beacons.len() as u64));
                    let senders = Senders::Store;
                    load(target, LoadBatch { site: pair.target, spool, after, up_to, beacons, senders })
                        .await?;
                    copied = up_to;
                }
                anyhow::Ok(())
            };
            let read = async { anyhow::Ok(source.views(pair.source, Some(last), VIEWS).await?) };
            // Reads the next views while the target writes these.
            page = tokio::try_join!(load, read)?.1;
        }
        Ok(true)
    }

    /// Copies the rollups of days whose page views are past retention. Returns `false` if interrupted.
    async fn rollups(&mut self, pair: &Pair<'_>) -> anyhow::Result<bool> {
        let (source, target) = (self.source, self.target);
        let spool = self.mark(pair.source, &pair.site_size, What::Rollups);
        let mut cursor = target.cursor(pair.target, spool).await?;
        let mut after = place_of(cursor);
        let mut copied = 0_u64;
        loop {
            if self.interrupt.asked() {
                return Ok(false);
            }
            let groups = source.rollups(pair.source, after, GROUPS).await?;
            let Some(last) = groups.last() else { return Ok(true) };
            let (grain, start_ms) = (last.key.grain, last.key.start_ms);
            copied += groups.len() as u64;
            self.progress
                .say(|| format!("{}: {} rollups, up to {}", pair.name, grouped(copied), day_text(start_ms)));
            target.rollups_put(pair.target, groups).await?;
            let up_to = cursor_of(grain, start_ms);
            let (beacons, senders) = (Vec::new(), Senders::Store);
            let batch = LoadBatch { site: pair.target, spool, after: cursor, up_to, beacons, senders };
            load(target, batch).await?;
            (cursor, after) = (up_to, Some((grain, start_ms)));
        }
    }

    async fn violations(&mut self, pair: &Pair<'_>) -> anyhow::Result<()> {
        let mut skip = 0;
        loop {
            let found = self.source.violations(pair.source, false, skip, VIOLATIONS).await?;
            if found.is_empty() {
                return Ok(());
            }
            self.target.violations_put(pair.target, &found).await?;
            skip += found.len() as u32;
        }
    }

    /// Copies which weekly digests were sent, so that the target's servers do not send them again.
    async fn digests(&mut self, pair: &Pair<'_>) -> anyhow::Result<()> {
        for digest in self.source.digests(pair.source).await? {
            let due_ms = digest.due_ms.unwrap_or(i64::MAX);
            let channel = std::slice::from_ref(&digest.channel);
            self.target.digests_plan(pair.target, digest.week, due_ms, channel).await?;
            let planned = self.target.digests(pair.target).await?;
            let same =
                |one: &&Digest| one.channel == digest.channel && one.week == digest.week && one.attempts == 0;
            if let Some(planned) = planned.iter().find(same) {
                let copied = Digest { site: pair.target, ..digest };
                self.target.digest_tried(planned, &copied).await?;
            }
        }
        Ok(())
    }

    /// Copies the newest budget file, unless the target has one. Its looks start anew, and open alerts again.
    async fn budgets(&mut self, pair: &Pair<'_>) -> anyhow::Result<()> {
        let Some(newest) = self.source.budgets(pair.source, None).await? else { return Ok(()) };
        if self.target.budgets(pair.target, None).await?.is_some() {
            return Ok(());
        }
        let routes = match vitals::budget::parse(&newest.text) {
            Ok(file) => exact_routes(&file, pair.site),
            Err(_) => Vec::new(),
        };
        let AppliedBudgets { version: _, text, applied_ms, applied_by } = newest;
        self.target
            .budgets_put(pair.target, &NewBudgets { text, routes, applied_ms, applied_by, replaces: None })
            .await?;
        Ok(())
    }
}

async fn copy_names(source: &dyn Store, target: &dyn Store, pair: &Pair<'_>) -> anyhow::Result<()> {
    for names in source.names(pair.source).await?.chunks(NAMES) {
        target.names_put(pair.target, names).await?;
    }
    Ok(())
}

async fn load(target: &dyn Store, batch: LoadBatch) -> anyhow::Result<()> {
    match target.load(batch).await {
        Ok(_) => Ok(()),
        Err(StoreError::CursorMoved { .. }) => {
            bail!("another copy of the same source into this target is at work; let it end, or stop it")
        }
        Err(error) => Err(error.into()),
    }
}

/// The views as beacons of one view each, in batches of the size of a load.
fn batches(views: &[StoredView]) -> Vec<Vec<Vec<ViewUpdate>>> {
    let (mut batches, mut batch, mut updates) = (Vec::new(), Vec::new(), 0);
    for beacon in views.iter().map(StoredView::updates) {
        if updates + beacon.len() > limits::LOAD_VIEWS_MAX {
            batches.push(std::mem::take(&mut batch));
            updates = 0;
        }
        updates += beacon.len();
        batch.push(beacon);
    }
    batches.push(batch);
    batches
}

/// Numbers hours and days from 1 on, in the order of the rollup copy.
fn cursor_of(grain: Grain, start_ms: i64) -> u64 {
    let step = start_ms.div_euclid(grain.step_ms()).unsigned_abs().saturating_add(1);
    match grain {
        Grain::Hour => step,
        Grain::Day => DAYS_FROM.saturating_add(step),
    }
}

/// The hour or day of a cursor position; `None` for 0, the position before all of them.
fn place_of(cursor: u64) -> Option<(Grain, i64)> {
    let (grain, step) = match cursor.checked_sub(DAYS_FROM) {
        Some(step) => (Grain::Day, step),
        None => (Grain::Hour, cursor),
    };
    let step = i64::try_from(step.checked_sub(1)?).ok()?;
    Some((grain, step.saturating_mul(grain.step_ms())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_server::open_store;
    use fieldvitals_store::rollup::{DAY_MS, HOUR_MS};
    use fieldvitals_store::{Context, NewSite, Source, Weight};
    use vitals::metric::{Metric, Value, Values};
    use vitals::view::ViewId;

    #[test]
    fn places_of_rollups_are_read_back_in_order() {
        assert_eq!(place_of(0), None);
        let places = [
            (Grain::Hour, 0),
            (Grain::Hour, 490_000 * HOUR_MS),
            (Grain::Day, 0),
            (Grain::Day, 20_000 * DAY_MS),
        ];
        let cursors = places.map(|(grain, start_ms)| cursor_of(grain, start_ms));
        assert!(cursors.is_sorted());
        assert_eq!(cursors.map(place_of), places.map(Some));
    }

    #[tokio::test]
    async fn copy_takes_along_which_digests_were_sent() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let source = open_store(folders[0].path(), None).await.unwrap();
        let target = open_store(folders[1].path(), None).await.unwrap();
        let (name, key) = ("shop".to_owned(), "site-key-of-the-shop".to_owned());
        let site = NewSite { name, key, origins: vec!["*".to_owned()], created_ms: 1 };
        let shop = source.site_add(site).await.unwrap();
        source.digests_plan(shop.id, 20_400, 5, &["hook".to_owned(), "mail".to_owned()]).await.unwrap();
        let planned = source.digests(shop.id).await.unwrap();
        let sent = Digest { attempts: 1, due_ms: None, sent_ms: Some(9), error: None, ..planned[0].clone() };
        let failed =
            Digest { attempts: 2, due_ms: Some(70), error: Some("503".to_owned()), ..planned[1].clone() };
        assert!(source.digest_tried(&planned[0], &sent).await.unwrap());
        assert!(source.digest_tried(&planned[1], &failed).await.unwrap());
        let interrupt = Interrupt::watch("this part");
        // The second copy changes nothing.
        for _ in 0..2 {
            let plan = Plan::make(source.as_ref(), target.as_ref()).await.unwrap();
            let mut copier = Copier {
                source: source.as_ref(),
                target: target.as_ref(),
                identity: "test".to_owned(),
                retained: plan.retained,
                interrupt: &interrupt,
                progress: Progress::new(),
            };
            let Copied::All(sites) = copier.all(&plan).await.unwrap() else { panic!("it was stopped") };
            let there = sites[0].1.id;
            let expected = [&sent, &failed].map(|digest| Digest { site: there, ..digest.clone() });
            assert_eq!(target.digests(there).await.unwrap(), expected);
        }
    }

    #[test]
    fn a_batch_takes_no_more_than_a_load_may() {
        let mut values = Values::EMPTY;
        for metric in Metric::ALL {
            values.set(metric, Value::from_micros(metric, 1_000));
        }
        let view = |source, number| {
            StoredView::first(ViewUpdate {
                id: ViewId::new(1_000, number),
                source,
                received_ms: 1_000,
                url: "https://a.example/".to_owned(),
                route: "/".to_owned(),
                navigation_type: None,
                device: None,
                browser: None,
                os: None,
                connection: None,
                country: None,
                release: None,
                values,
                tti_gap: None,
                weight: Weight::ONE,
                context: Context::NONE,
            })
        };
        let own: Vec<StoredView> = (0..VIEWS.into()).map(|n| view(Source::Own { seq: 1 }, n)).collect();
        assert_eq!(batches(&own).len(), 1);
        let foreign: Vec<StoredView> = (0..VIEWS.into()).map(|n| view(Source::Foreign, n)).collect();
        let batches = batches(&foreign);
        assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), foreign.len());
        for batch in &batches {
            let updates: usize = batch.iter().map(Vec::len).sum();
            assert!((1..=limits::LOAD_VIEWS_MAX).contains(&updates), "{updates}");
        }
    }
}
