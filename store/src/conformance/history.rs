//! Random histories: whatever happens to a store, it answers as the plain model does.

use super::{DAY0_MS, Fresh, Model, site};
use crate::rollup::{DAY_MS, HOUR_MS};
use crate::{CellQuery, LoadBatch, Retention, SiteId, Source, SpoolId, Store, TallyQuery, ViewUpdate};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::sync::Arc;
use vitals::metric::{Metric, Value, Values};
use vitals::view::{Device, NavigationType, TtiGap, ViewId};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Op {
    /// A batch is loaded, in one case of eight with a cursor that is wrong.
    Load { site: usize, spool: u8, beacons: Vec<Vec<ViewUpdate>>, stale: bool },
    /// Time passes and maintenance runs.
    Maintain { hours: i64, retention: Retention },
    /// A site is deleted; a new one takes its place in the history.
    Delete { site: usize },
}

/// A question after each thing that happens.
#[derive(Clone, Debug)]
struct Ask {
    site: usize,
    from_hour: i64,
    hours: i64,
    route: Option<String>,
    device: Option<Device>,
    release: Option<String>,
    metric: Metric,
    at_most: u32,
}

const SITES: usize = 2;
const HOURS: i64 = 4 * 24;

fn text(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(choices).prop_map(str::to_owned)
}

const ROUTES: &[&str] = &["/", "/a", "/über/:id"];
const RELEASES: &[&str] = &["r1", "r2"];

fn any_values() -> impl Strategy<Value = Values> {
    // Values around the thresholds and the bucket edges, and few enough to collide.
    let micros = select(&[0_u32, 1, 99_999, 100_000, 100_001, 2_500_000, 2_500_001, 100_000_000][..]);
    vec((select(&Metric::ALL[..]), micros), 0..4).prop_map(|measured| {
        let mut values = Values::EMPTY;
        for (metric, micros) in measured {
            values.set(metric, Value::from_micros(metric, micros));
        }
        values
    })
}

fn any_update() -> impl Strategy<Value = ViewUpdate> {
    let id = (select(&[0_i64, 1, 23, 24, 30, 71, 95][..]), select(&[0, 1, HOUR_MS - 1][..]), 0_u128..2)
        .prop_map(|(hour, ms, random)| ViewId::new((DAY0_MS + hour * HOUR_MS + ms).unsigned_abs(), random));
    let source = option::of(0_u32..4).prop_map(|seq| seq.map_or(Source::Foreign, |seq| Source::Own { seq }));
    let kinds = (
        option::of(select(NavigationType::ALL)),
        option::of(select(Device::ALL)),
        option::of(select(TtiGap::ALL)),
    );
    let texts = (
        text(&["https://a.example/", "https://a.example/é"]),
        text(ROUTES),
        option::of(text(&["4g"])),
        option::of(text(&["DE", "FR"])),
        option::of(text(RELEASES)),
    );
    (id, source, 0_i64..4, kinds, texts, any_values()).prop_map(
        |(id, source, received_ms, (navigation_type, device, tti_gap), texts, values)| {
            let (url, route, connection, country, release) = texts;
            ViewUpdate {
                id,
                source,
                received_ms,
                url,
                route,
                navigation_type,
                device,
                connection,
                country,
                release,
                values,
                tti_gap,
            }
        },
    )
}

fn any_op() -> impl Strategy<Value = Op> {
    let load = (0..SITES, 0_u8..2, vec(vec(any_update(), 0..4), 0..8), 0_u8..8)
        .prop_map(|(site, spool, beacons, stale)| Op::Load { site, spool, beacons, stale: stale == 0 });
    let days = (1_u32..6, 1_u32..5, 2_u32..8).prop_map(|(raw_days, hourly_days, daily_days)| Retention {
        raw_days,
        hourly_days,
        daily_days,
    });
    // Long enough that most maintenance only folds.
    let days = prop_oneof![3 => Just(Retention::default()), 1 => days];
    let maintain = (0_i64..12, days).prop_map(|(hours, retention)| Op::Maintain { hours, retention });
    prop_oneof![8 => load, 4 => maintain, 1 => (0..SITES).prop_map(|site| Op::Delete { site })]
}

fn any_ask() -> impl Strategy<Value = Ask> {
    (
        (0..SITES, -2..HOURS, 0..HOURS + 4),
        (option::of(text(ROUTES)), option::of(select(Device::ALL)), option::of(text(RELEASES))),
        (select(&Metric::ALL[..]), select(&[0_u32, 99_999, 100_000, 2_500_000][..]), any::<bool>()),
    )
        .prop_map(|((site, from_hour, hours), (route, device, release), (metric, at_most, whole))| {
            // Half of the questions are about whole days, which the other half rarely is.
            let (from_hour, hours) =
                if whole { (from_hour / 24 * 24, (hours / 24 + 1) * 24) } else { (from_hour, hours) };
            Ask { site, from_hour, hours, route, device, release, metric, at_most }
        })
}

/// Plays `cases` random histories (`PROPTEST_CASES` overrides), each on a fresh store.
///
/// # Panics
/// Where a store and the model disagree; the message holds the shortest history found.
pub fn random_histories<F: Future<Output = Fresh>>(cases: u32, fresh: impl Fn() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { cases };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let history = vec((any_op(), any_ask()), 1..16);
    let played = runner.run(&history, |history| {
        runtime.block_on(async {
            let fresh = fresh().await;
            Play::new(Arc::clone(&fresh.store)).await.play(history).await
        })
    });
    if let Err(error) = played {
        panic!("{error}\n{runner}");
    }
}

/// A store and its model, going through the same history.
struct Play {
    store: Arc<dyn Store>,
    model: Model,
    sites: Vec<SiteId>,
    named: usize,
    now_ms: i64,
}

impl Play {
    async fn new(store: Arc<dyn Store>) -> Self {
        let now_ms = DAY0_MS + 4 * DAY_MS;
        let mut play = Self { store, model: Model::default(), sites: Vec::new(), named: 0, now_ms };
        for _ in 0..SITES {
            let site = play.add_site().await;
            play.sites.push(site);
        }
        play
    }

    async fn add_site(&mut self) -> SiteId {
        self.named += 1;
        let site = site(&self.store, &format!("site-{}", self.named)).await;
        self.model.site_add(site);
        site
    }

    async fn play(mut self, history: Vec<(Op, Ask)>) -> Result<(), TestCaseError> {
        for (op, ask) in history {
            let touched = self.happen(op).await?;
            for (site, id) in touched {
                let found = self.store.view(site, id).await.unwrap();
                same("view", &id, &found, &self.model.view(site, id))?;
            }
            self.ask(&ask).await?;
        }
        let whole = Ask {
            site: 0,
            from_hour: 0,
            hours: HOURS,
            route: None,
            device: None,
            release: None,
            metric: Metric::Lcp,
            at_most: 2_500_000,
        };
        for site in 0..SITES {
            self.ask(&Ask { site, ..whole.clone() }).await?;
        }
        Ok(())
    }

    async fn happen(&mut self, op: Op) -> Result<Vec<(SiteId, ViewId)>, TestCaseError> {
        match op {
            Op::Load { site, spool, beacons, stale } => {
                let (site, spool) = (self.sites[site], SpoolId([spool; 16]));
                let at = self.store.cursor(site, spool).await.unwrap();
                same("cursor", &spool, &at, &self.model.cursor(site, spool))?;
                let after = if stale { at + 1 } else { at };
                let touched = beacons.iter().flatten().map(|update| (site, update.id)).collect();
                let batch =
                    LoadBatch { site, spool, after, up_to: after + 1 + beacons.len() as u64, beacons };
                let found = self.store.load(batch.clone()).await;
                let expected = self.model.load(batch.clone());
                same("load", &batch, &format!("{found:?}"), &format!("{expected:?}"))?;
                Ok(touched)
            }
            Op::Maintain { hours, retention } => {
                self.now_ms += hours * HOUR_MS;
                self.store.maintain(self.now_ms, retention).await.unwrap();
                self.model.maintain(self.now_ms, retention);
                Ok(Vec::new())
            }
            Op::Delete { site } => {
                self.store.site_delete(self.sites[site]).await.unwrap();
                self.model.site_delete(self.sites[site]);
                self.sites[site] = self.add_site().await;
                Ok(Vec::new())
            }
        }
    }

    async fn ask(&self, ask: &Ask) -> Result<(), TestCaseError> {
        let site = self.sites[ask.site];
        let from_ms = DAY0_MS + ask.from_hour * HOUR_MS;
        let to_ms = from_ms + ask.hours * HOUR_MS;
        let routes = self.store.routes(site, from_ms, to_ms).await.unwrap();
        same("routes", ask, &routes, &self.model.routes(site, from_ms, to_ms))?;
        let query = CellQuery {
            site,
            from_ms,
            to_ms,
            route: ask.route.clone(),
            device: ask.device,
            release: ask.release.clone(),
        };
        let without_release = CellQuery { release: None, ..query.clone() };
        for query in [query, without_release] {
            let cells = self.store.cells(&query).await.unwrap();
            same("cells", &query, &cells, &self.model.cells(&query))?;
        }
        let query = TallyQuery {
            site,
            from_ms,
            to_ms,
            routes: ask.route.clone().map_or(routes, |route| vec![route]),
            device: ask.device,
            release: ask.release.clone(),
            metric: ask.metric,
            at_most: Value::from_micros(ask.metric, ask.at_most).unwrap(),
        };
        let tally = self.store.tally(&query).await.unwrap();
        same("tally", &query, &tally, &self.model.tally(&query))
    }
}

fn same<Q: std::fmt::Debug, T: PartialEq + std::fmt::Debug>(
    what: &str,
    question: &Q,
    found: &T,
    expected: &T,
) -> Result<(), TestCaseError> {
    if found == expected {
        return Ok(());
    }
    Err(TestCaseError::fail(format!(
        "{what}: the store answers otherwise than the model\n{question:?}\nstore: {found:?}\nmodel: {expected:?}"
    )))
}
