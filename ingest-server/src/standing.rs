//! Standing budgets: judges the budgets that are kept on the server again and again, and opens and resolves violations and
//! alerts. Also watches for sites that stop sending, for releases that are worse, and for unusual hours.
//!
//! One server of several does it ([`Alerting::lease`]). A look at a site has three steps: violations, the state of the site,
//! alerts. Each can be repeated, and alerts follow from the state, so a look that was cut short is completed by the next.

mod release;
mod season;
mod sequence;
mod silence;
mod what_if;

pub use release::Releases;
pub use season::Season;
pub use sequence::{Sequence, State};
pub use what_if::{Episode, Replay, Simulated, what_if};

use crate::alert::Channels;
use crate::clock::now_ms;
use crate::directory::Directory;
use crate::gate::{self, Measured, Standing};
use crate::limits;
use crate::report::time_text;
use crate::retention::Keeping;
use crate::spool::Spool;
use fieldvitals_store::rollup::HOUR_MS;
use fieldvitals_store::{
    Alert, AlertChange, CellQuery, Judgement, NewAlert, SeriesQuery, Site, SiteId, Store, StoreError, Version,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vitals::budget::Budget;
use vitals::gate::Verdict;
use vitals::metric::{Metrics, Value};

/// The name of the lease.
const TASK: &str = "standing budgets";
/// The lease outlives the pause between rounds by this time, in milliseconds.
const LEASE_MS: i64 = 15_000;
/// A round renews the lease after this time.
const RENEWAL: Duration = Duration::from_secs(5);
/// Rounds take at most a tenth of the time: the pause is at least this many times as long as the round before.
const PAUSE_FACTOR: u32 = 9;
/// Rounds of a new server before a site counts as silent, because its visitors must have had the time to come back.
const SILENT_ROUNDS: u32 = 10;
/// The longest time between two looks at a site whose data are unchanged: sequences end by time.
const UNCHANGED_MAX: Duration = Duration::from_secs(3_600);
/// The key of the alert about silence.
const SILENT: &str = "silent";
/// Violations that are read to resolve those of withdrawn budgets: more than a file has budgets.
const VIOLATIONS_MAX: u32 = 2 * vitals::limits::BUDGETS_MAX as u32;

/// What the server keeps about a site between two looks, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SiteState {
    /// The version of the budget file.
    pub version: i64,
    /// Time of the last look, UTC milliseconds.
    pub judged_ms: i64,
    /// The budgets, in the order of the file.
    pub budgets: Vec<Watched>,
    /// Start of the silence, UTC milliseconds; `None` while the site sends.
    pub silent_since_ms: Option<i64>,
    /// The releases, and which of them leads.
    #[serde(default)]
    pub releases: Releases,
    /// The last weeks.
    #[serde(default)]
    pub season: Season,
    /// Regressions and anomalies that are not over.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// A regression or an anomaly. Its alert is a warning: nobody has promised that it does not occur.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The key of its alert.
    pub key: String,
    /// When it began, UTC milliseconds.
    pub since_ms: i64,
    /// One line.
    pub summary: String,
    /// The evidence, as JSON.
    pub details: String,
}

/// A standing budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// The key of its violations.
    pub key: String,
    /// Its limit, in millionths.
    pub max: u32,
    /// Its running sequence.
    pub sequence: Sequence,
    /// The numbers of the last verdict; `None` before one, and after a change of the limit.
    #[serde(default)]
    pub decided: Option<Decided>,
}

/// The numbers that decided a verdict. The sequence after the verdict starts without page views, so they are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// Time of the verdict, UTC milliseconds.
    pub at_ms: i64,
    /// Start of the page views, UTC milliseconds.
    pub from_ms: i64,
    /// Counts and percentile.
    pub measured: Measured,
}

impl Watched {
    /// Takes a look. `kept_days` is the retention of page views.
    fn look(&mut self, look: &Standing, now_ms: i64, kept_days: u32) {
        if look.verdict != Verdict::Inconclusive {
            let from_ms = self.sequence.from_ms;
            self.decided = Some(Decided { at_ms: now_ms, from_ms, measured: look.report.counted() });
        }
        self.sequence.look((look.verdict, look.report.counted().n), now_ms, kept_days);
    }
}

impl SiteState {
    /// Reads the state of a site. A state that cannot be read starts anew.
    ///
    /// # Errors
    /// If the store cannot answer.
    pub async fn read(store: &dyn Store, site: SiteId) -> Result<Self, StoreError> {
        let text = store.standing(site).await?.unwrap_or_default();
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Follows a version of the budget file. Returns the keys of withdrawn budgets.
    pub fn follow(&mut self, version: i64, budgets: &[(Budget, Value)], now_ms: i64) -> HashSet<String> {
        self.version = version;
        let mut before: HashMap<String, Watched> =
            self.budgets.drain(..).map(|watched| (watched.key.clone(), watched)).collect();
        for (budget, max) in budgets {
            let (key, max) = (gate::key_of(budget), max.micros());
            let (sequence, decided) = match before.remove(&key) {
                None => (Sequence::new(now_ms), None),
                Some(watched) if watched.max == max => (watched.sequence, watched.decided),
                Some(watched) => (watched.sequence.restarted(now_ms), None),
            };
            self.budgets.push(Watched { key, max, sequence, decided });
        }
        before.into_keys().collect()
    }

    /// The start of each budget's sequence.
    #[must_use]
    pub fn starts(&self) -> Vec<i64> {
        self.budgets.iter().map(|watched| watched.sequence.from_ms).collect()
    }
}

/// Looks at the sites in rounds.
pub struct Watch {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    spool: Spool,
    channels: Arc<Channels>,
    /// Pause between rounds.
    every: Duration,
    /// Retention; looks read page views.
    keeping: Arc<Keeping>,
    holder: [u8; 16],
    began: Instant,
    /// The last look at each site: versions of its data and of its budgets.
    seen: Mutex<HashMap<SiteId, (Version, i64, Instant)>>,
}

impl Watch {
    /// Watches the sites of a store.
    #[must_use]
    pub fn new(
        (store, directory): (Arc<dyn Store>, Arc<Directory>),
        spool: Spool,
        channels: Arc<Channels>,
        every: Duration,
        keeping: Arc<Keeping>,
        holder: [u8; 16],
    ) -> Self {
        let seen = Mutex::default();
        Self { store, directory, spool, channels, every, keeping, holder, began: Instant::now(), seen }
    }

    /// Runs rounds without end.
    pub async fn run(&self) {
        loop {
            let began = Instant::now();
            self.round().await;
            tokio::time::sleep(self.every.max(began.elapsed() * PAUSE_FACTOR)).await;
        }
    }

    async fn round(&self) {
        let mut renewed: Option<Instant> = None;
        for site in self.directory.current().sites() {
            if renewed.is_none_or(|renewed| renewed.elapsed() >= RENEWAL) {
                // Another server does the rounds, or the store is away: the round ends.
                match self.has_lease().await {
                    Ok(true) => renewed = Some(Instant::now()),
                    Ok(false) => return,
                    Err(error) => {
                        return tracing::debug!(%error, "the lease of standing budgets cannot be taken");
                    }
                }
            }
            if let Err(error) = self.look(site).await {
                tracing::warn!(
                    site = site.name,
                    %error,
                    "standing budgets cannot be judged; they are tried again"
                );
            }
        }
    }

    async fn has_lease(&self) -> Result<bool, StoreError> {
        let pause_ms = i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX / 2);
        self.store.lease(TASK, self.holder, now_ms(), pause_ms.saturating_add(LEASE_MS)).await
    }

    /// Looks at a site.
    async fn look(&self, site: &Site) -> Result<(), StoreError> {
        let now_ms = now_ms();
        let store = self.store.as_ref();
        let before = SiteState::read(store, site.id).await?;
        let mut state = before.clone();
        let mut looks = Vec::new();
        let version = store.version(site.id).await?;
        if let Some(applied) = store.budgets(site.id, None).await?
            && !self.is_seen(site.id, &version, applied.version)
        {
            let budgets = match vitals::budget::parse(&applied.text) {
                Ok(file) => gate::with_values(file),
                Err(error) => {
                    tracing::warn!(site = site.name, version = applied.version, %error, "kept budgets cannot be read");
                    return Ok(());
                }
            };
            let withdrawn = state.follow(applied.version, &budgets, now_ms);
            looks = gate::standing(store, site, &budgets, &state.starts(), now_ms).await?;
            for (watched, look) in state.budgets.iter_mut().zip(&looks) {
                watched.look(look, now_ms, self.keeping.current().0.raw_days);
            }
            state.judged_ms = now_ms;
            let mut judgements = self.withdrawn(site.id, &withdrawn).await?;
            judgements.extend(looks.iter().map(|look| look.judgement.clone()));
            store.judgements(site.id, now_ms, &judgements).await?;
        }
        self.listen(site.id, &mut state, now_ms).await?;
        // Budgets and silence have their alerts although comparisons fail.
        if let Err(error) = self.compare(site, &mut state, now_ms).await {
            tracing::warn!(site = site.name, %error, "releases and hours cannot be compared");
        }
        if state != before {
            let text = serde_json::to_string(&state).unwrap_or_default();
            store.standing_put(site.id, &text).await?;
        }
        self.alert(site, &state, &looks, now_ms).await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !looks.is_empty() {
            seen.insert(site.id, (version, state.version, Instant::now()));
        }
        Ok(())
    }

    fn is_seen(&self, site: SiteId, version: &Version, budgets: i64) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&site).is_some_and(|(data, file, at)| {
            (data, *file) == (version, budgets) && at.elapsed() < UNCHANGED_MAX
        })
    }

    /// Returns judgements that resolve the violations of withdrawn budgets.
    async fn withdrawn(&self, site: SiteId, keys: &HashSet<String>) -> Result<Vec<Judgement>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        // Dismissed ones are between the open and the resolved ones.
        let all = self.store.violations(site, false, 0, VIOLATIONS_MAX).await?;
        let of = all.into_iter().filter(|one| one.resolved_ms.is_none()).map(|violation| violation.judgement);
        Ok(of
            .filter(|judgement| keys.contains(&judgement.key))
            .map(|judgement| Judgement { broken: Some(false), ..judgement })
            .collect())
    }

    /// Finds whether a site is silent.
    async fn listen(&self, site: SiteId, state: &mut SiteState, now_ms: i64) -> Result<(), StoreError> {
        // After a start visitors need time to come back, and a backlog may have their page views.
        if self.began.elapsed() < self.every * SILENT_ROUNDS || self.spool.is_behind(site) {
            return Ok(());
        }
        let end_ms = (now_ms.div_euclid(HOUR_MS) + 1) * HOUR_MS;
        let hours = silence::HOURS as i64;
        let bounds: Vec<i64> = (0..=hours).map(|hour| end_ms - (hours - hour) * HOUR_MS).collect();
        let views = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site, end_ms, end_ms) };
        let ends: Vec<i64> = bounds.iter().skip(1).copied().collect();
        let steps = self.store.series(&SeriesQuery::new(views, bounds)).await?;
        let views: Vec<i64> =
            steps.iter().map(|step| step.cells.first().map_or(0, |cell| cell.views)).collect();
        let since_ms = silence::quiet_hours(&views)
            .map(|quiet| end_ms - HOUR_MS - i64::try_from(quiet).unwrap_or(0) * HOUR_MS);
        let last_ms = views.iter().rposition(|&views| views > 0).and_then(|hour| ends.get(hour).copied());
        state.silent_since_ms = match (state.silent_since_ms, since_ms) {
            // The hours before a long silence leave the week; it stays one until page views come.
            (Some(silent_ms), None) if last_ms.is_none_or(|last_ms| last_ms <= silent_ms) => Some(silent_ms),
            (Some(silent_ms), Some(_)) => Some(silent_ms),
            (_, since_ms) => since_ms,
        };
        Ok(())
    }

    /// Finds worse releases and unusual hours.
    async fn compare(&self, site: &Site, state: &mut SiteState, now_ms: i64) -> Result<(), StoreError> {
        if self.spool.is_behind(site.id) {
            return Ok(());
        }
        let store = self.store.as_ref();
        // Sites take turns within an hour.
        let stagger_ms = site.id.0.rem_euclid(60) * 60_000;
        let SiteState { releases, season, conditions, .. } = state;
        let mut compared = Ok(());
        if !self.channels.has_regressions(&site.name) {
            conditions.retain(|condition| !condition.key.starts_with(release::KEY));
        } else if releases.is_due(now_ms, stagger_ms) {
            compared = release::look(store, site, (releases, conditions), now_ms).await;
        }
        // A failure of one comparison does not keep the other from its turn.
        if self.channels.has_anomalies(&site.name) {
            let looked = season::look(store, site, (season, conditions), (now_ms, stagger_ms)).await;
            compared = compared.and(looked);
        } else {
            conditions.retain(|condition| !condition.key.starts_with(season::KEY));
        }
        compared
    }

    /// Opens and resolves alerts, so that they agree with the state.
    async fn alert(
        &self,
        site: &Site,
        state: &SiteState,
        looks: &[Standing],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let open = self.store.alerts(site.id, true, 0, limits::ALERTS_OPEN_MAX).await?;
        let wanted = wanted(state, looks);
        let is_wanted = |alert: &Alert| {
            let found = wanted.iter().find(|(key, since_ms, _)| {
                (key.as_str(), *since_ms) == (alert.alert.key.as_str(), alert.alert.since_ms)
            });
            found.is_some()
        };
        for alert in open.iter().filter(|alert| !is_wanted(alert)) {
            tracing::info!(site = site.name, alert = alert.id, "an alert has ended: {}", alert.alert.summary);
            self.store.alert_change(site.id, alert.id, now_ms, &AlertChange::Resolve { by: None }).await?;
        }
        for (key, since_ms, content) in wanted {
            let Some((is_warning, summary, details)) = content else { continue };
            let same = open.iter().find(|alert| alert.alert.key == key && alert.alert.since_ms == since_ms);
            if let Some(alert) = same {
                if alert.alert.is_warning && !is_warning {
                    self.raise(site, alert, &details, now_ms).await?;
                }
                continue;
            }
            let alert = NewAlert { key, since_ms, is_warning, summary, details: details.to_string() };
            let ended_ms = self.last_end(site.id, &alert.key).await?;
            let notices = self.channels.notices(&site.name, is_warning, now_ms, ended_ms);
            if let Some(id) = self.store.alert_open(site.id, now_ms, &alert, &notices).await? {
                tracing::warn!(site = site.name, alert = id, "an alert is open: {}", alert.summary);
            }
        }
        Ok(())
    }

    /// Makes an error of an open warning, because the severity of its budget was raised.
    async fn raise(
        &self,
        site: &Site,
        alert: &Alert,
        details: &serde_json::Value,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let from_ms = alert.snoozed_until_ms.map_or(now_ms, |until_ms| until_ms.max(now_ms));
        let notices = self.channels.notices(&site.name, false, from_ms, None);
        let change = AlertChange::Raise { details: details.to_string(), notices };
        if self.store.alert_change(site.id, alert.id, now_ms, &change).await? {
            tracing::warn!(
                site = site.name,
                alert = alert.id,
                "a warning became an error: {}",
                alert.alert.summary
            );
        }
        Ok(())
    }

    /// Returns the end of the last alert of a key.
    async fn last_end(&self, site: SiteId, key: &str) -> Result<Option<i64>, StoreError> {
        let all = self.store.alerts(site, false, 0, limits::ALERTS_OPEN_MAX).await?;
        Ok(all.iter().filter(|alert| alert.alert.key == key).filter_map(|alert| alert.resolved_ms).max())
    }
}

/// An alert that must be open: severity, summary and evidence.
type Content = (bool, String, serde_json::Value);

/// Returns the alerts that must be open: key, start and content. Without a look there is no content, and nothing is opened.
fn wanted(state: &SiteState, looks: &[Standing]) -> Vec<(String, i64, Option<Content>)> {
    let mut wanted = Vec::new();
    for (place, watched) in state.budgets.iter().enumerate() {
        if watched.sequence.state == State::Broken {
            let content = looks.get(place).map(|Standing { report, .. }| {
                let details = json!({ "kind": "budget", "evidence": report.evidence(), "budget": report });
                (report.is_warning(), report.promise(), details)
            });
            wanted.push((format!("budget {}", watched.key), watched.sequence.since_ms, content));
        }
    }
    for condition in &state.conditions {
        let details = serde_json::from_str(&condition.details).unwrap_or_default();
        let content = (true, condition.summary.clone(), details);
        wanted.push((condition.key.clone(), condition.since_ms, Some(content)));
    }
    if let Some(since_ms) = state.silent_since_ms {
        let since = time_text(since_ms);
        let summary = format!("no page view since {since}");
        let content = (false, summary, json!({ "kind": "silence", "since": since }));
        wanted.push((SILENT.to_owned(), since_ms, Some(content)));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::NewBudgets;
    use fieldvitals_store::conformance::{FaultyStore, site};
    use fieldvitals_store_sqlite::SqliteStore;

    #[tokio::test]
    async fn failed_comparison_does_not_end_the_look() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&folder.path().join("store.db")).await.unwrap());
        let id = site(&store, "shop").await;
        let file = NewBudgets {
            text: "[[budget]]\nmetric = 'LCP'\nmax = 2500\n".to_owned(),
            routes: Vec::new(),
            applied_ms: 1,
            applied_by: "pipeline".to_owned(),
            replaces: None,
        };
        let applied = store.budgets_put(id, &file).await.unwrap();
        let shop = store.sites().await.unwrap().remove(0);
        let faulty = Arc::new(FaultyStore::new(Arc::clone(&store)));
        let watched = Arc::clone(&faulty) as Arc<dyn Store>;
        let directory = Arc::new(Directory::open(Arc::clone(&watched)).await.unwrap());
        let (spool, _loader) =
            Spool::open(&folder.path().join("spool.db"), Arc::clone(&watched)).await.unwrap();
        let every = Duration::from_secs(60);
        let keeping = Arc::new(Keeping::new(None));
        let watch = Watch::new((watched, directory), spool, Arc::default(), every, keeping, [1; 16]);
        faulty.comparisons_away_after(0, 1);
        watch.look(&shop).await.unwrap();
        let state = SiteState::read(store.as_ref(), id).await.unwrap();
        assert_eq!((state.version, state.budgets.len()), (applied.version, 1));
        assert_eq!(state.releases, Releases::default(), "the comparison failed");
    }

    fn budgets(text: &str) -> Vec<(Budget, Value)> {
        gate::with_values(vitals::budget::parse(text).unwrap())
    }

    #[test]
    fn another_file_keeps_the_state_of_budgets_that_it_has_still() {
        let one = "[[budget]]\nmetric = 'LCP'\nmax = 2500\n";
        let two = "[[budget]]\nmetric = 'INP'\nmax = 200\n";
        let mut state = SiteState::default();
        assert!(state.follow(1, &budgets(&format!("{one}{two}")), 1_000).is_empty());
        state.budgets[1].sequence.state = State::Broken;
        let measured = Measured { n: 400, within: 0, measured: Some(312.5), interval: Some([300.0, 320.25]) };
        state.budgets[1].decided = Some(Decided { at_ms: 1_000, from_ms: 0, measured });
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<SiteState>(&text).unwrap(), state);
        let before = state.budgets.clone();
        assert!(state.follow(2, &budgets(&format!("{two}{one}")), 2_000).is_empty());
        assert_eq!(state.budgets, [before[1].clone(), before[0].clone()], "the order does not matter");
        let withdrawn = state.follow(3, &budgets(&two.replace("200", "300")), 3_000);
        assert_eq!(withdrawn, HashSet::from([before[0].key.clone()]));
        let Sequence { state: kept, since_ms, from_ms } = state.budgets[0].sequence;
        assert_eq!((kept, since_ms), (State::Broken, 1_000), "another limit is the same promise");
        assert_eq!(from_ms, Sequence::new(3_000).from_ms, "judged anew");
        assert_eq!(
            (before[1].decided.is_some(), &state.budgets[0].decided),
            (true, &None),
            "of another limit"
        );
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<SiteState>(&text).unwrap(), state);
    }
}
