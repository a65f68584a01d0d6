//! Random histories: whatever happens to a store, it answers as the plain model does.

use super::conditions::any_conditions;
use super::{DAY0_MS, Fresh, Model, site};
use crate::context::{ClsDetail, InpDetail, LcpDetail};
use crate::hash::HashMap;
use crate::rollup::{DAY_MS, HOUR_MS, MINUTE_MS};
use crate::{
    Around, AttributionMetric, CauseQuery, CellQuery, ClassViewsQuery, Context, ContextFilter,
    ContextProperty, Detail, Dimension, EngagementQuery, Erase, Filters, GroupBy, Lines, LoadBatch,
    PeriodRows, Reroute, Retention, RouteCell, SampleQuery, Selection, Senders, SeriesQuery, SiteId, Source,
    SpoolId, Store, StoredView, StrataQuery, TallyQuery, UrlCount, Version, ViewUpdate, Weight,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::collections::BTreeMap;
use std::sync::Arc;
use vitals::attribution::LoadState;
use vitals::metric::{Metric, Metrics, Rating, Value, Values};
use vitals::view::{Device, NavigationType, Os, TtiGap, ViewId, Viewport};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Op {
    /// A batch is loaded, in one case of eight with a cursor that is wrong.
    Load { site: usize, spool: u8, beacons: Vec<Vec<ViewUpdate>>, stale: bool },
    /// Time passes and maintenance runs.
    Maintain { hours: i64, retention: Retention },
    /// A site is deleted; a new one takes its place in the history.
    Delete { site: usize },
    /// Hours of a site, or one URL in them, are erased.
    Erase { site: usize, from_hour: i64, hours: i64, url: Option<String> },
    /// The page views of a route get another one.
    Reroute { site: usize, from: String, to: String },
    /// A day's rollups are made again.
    Rebuild { site: usize, day: i64 },
}

/// A question after each thing that happens.
#[derive(Clone, Debug)]
struct Ask {
    site: usize,
    from_hour: i64,
    hours: i64,
    step_hours: i64,
    route: Option<String>,
    filters: Filters,
    by: GroupBy,
    property: ContextProperty,
    exact: bool,
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
const URLS: &[&str] = &["https://a.example/", "https://a.example/é"];
const BROWSERS: &[&str] = &["chrome", "firefox"];
const COUNTRIES: &[&str] = &["DE", "FR"];

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
    let id = (
        select(&[0_i64, 1, 23, 24, 30, 71, 95][..]),
        select(&[0, 1, 11 * MINUTE_MS, HOUR_MS - 1][..]),
        0_u128..2,
    )
        .prop_map(|(hour, ms, random)| ViewId::new((DAY0_MS + hour * HOUR_MS + ms).unsigned_abs(), random));
    let source = option::of(0_u32..4).prop_map(|seq| seq.map_or(Source::Foreign, |seq| Source::Own { seq }));
    let kinds = (
        option::of(select(NavigationType::ALL)),
        option::of(select(Device::ALL)),
        option::of(select(TtiGap::ALL)),
        option::of(select(Os::ALL)),
    );
    let texts = (
        text(URLS),
        text(ROUTES),
        option::of(text(&["4g"])),
        option::of(text(COUNTRIES)),
        option::of(text(RELEASES)),
        option::of(text(BROWSERS)),
    );
    let more = (any_values(), select(&[1.0, 0.5, 0.3][..]), any_context());
    (id, source, 0_i64..4, kinds, texts, more).prop_map(
        |(
            id,
            source,
            received_ms,
            (navigation_type, device, tti_gap, os),
            texts,
            (values, sample, context),
        )| {
            let (url, route, connection, country, release, browser) = texts;
            ViewUpdate {
                id,
                source,
                received_ms,
                url,
                route,
                navigation_type,
                device,
                browser,
                os,
                connection,
                country,
                release,
                values,
                tti_gap,
                weight: Weight::of_sample(sample),
                context,
            }
        },
    )
}

/// Few texts, so that page views share them, and also the one that stands for those beyond a bound.
fn any_context() -> impl Strategy<Value = Context> {
    let state = || select(&LoadState::ALL[..]);
    let target = || text(&["", "img", "#é>p", "#é>p.is-open", "#é>img", "(other)"]);
    let ms = || select(&[0_u32, 1, 250, 600_000][..]);
    let lcp = (target(), text(&["", "https://a.example/x.png"]), ms())
        .prop_map(|(target, url, ms)| LcpDetail { target, url, parts_ms: [ms, 1, 2, ms] });
    let inp = (
        target(),
        text(&["click", "pointerdown", "keydown"]),
        ms(),
        text(&["", "https://a.example/a.js"]),
        state(),
    )
        .prop_map(|(target, event, ms, script, load_state)| {
            let (parts_ms, script_ms) = ([1, ms, 3], ms);
            InpDetail { target, event, at_ms: 7_000_000, parts_ms, script, script_ms, load_state }
        });
    let cls = (target(), ms(), state()).prop_map(|(target, at_ms, load_state)| ClsDetail {
        target,
        at_ms,
        value_micros: 123_456,
        load_state,
    });
    let said = (vec((text(&["plan"]), text(&["free", "pro"])), 0..2), vec((text(&["ready"]), ms()), 0..2));
    let detail = (option::of(lcp), option::of(inp), option::of(cls), said).prop_map(
        |(lcp, inp, cls, (tags, marks))| {
            let any =
                lcp.is_some() || inp.is_some() || cls.is_some() || !tags.is_empty() || !marks.is_empty();
            any.then(|| Box::new(Detail { lcp, inp, cls, tags, marks }))
        },
    );
    let tbt = ms().prop_map(|ms| Value::from_micros(Metric::Tti, ms * 1_000));
    let plain = (option::of(select(Viewport::ALL)), tbt, 0_u8..16);
    let full = (plain, detail, any_conditions()).prop_map(|((viewport, tbt, errors), detail, conditions)| {
        Context { viewport, tbt, errors, detail, conditions }
    });
    prop_oneof![1 => Just(Context::NONE), 2 => full]
}

fn any_op() -> impl Strategy<Value = Op> {
    let load = (0..SITES, 0_u8..2, vec(vec(any_update(), 0..4), 0..8), 0_u8..8)
        .prop_map(|(site, spool, beacons, stale)| Op::Load { site, spool, beacons, stale: stale == 0 });
    let days = (1_u32..6, 1_u32..5, 0_u32..4).prop_map(|(raw_days, hourly_days, longer)| Retention {
        raw_days,
        hourly_days,
        daily_days: raw_days.max(hourly_days) + longer,
    });
    // Long enough that most maintenance only folds.
    let days = prop_oneof![3 => Just(Retention::default()), 1 => days];
    let maintain = (0_i64..12, days).prop_map(|(hours, retention)| Op::Maintain { hours, retention });
    let erase = (0..SITES, 0..HOURS, 1_i64..60, option::of(text(URLS)))
        .prop_map(|(site, from_hour, hours, url)| Op::Erase { site, from_hour, hours, url });
    let rebuild = (0..SITES, 0_i64..4).prop_map(|(site, day)| Op::Rebuild { site, day });
    let delete = (0..SITES).prop_map(|site| Op::Delete { site });
    let reroute = (0..SITES, text(ROUTES), text(&["/a", "/:slug"]))
        .prop_map(|(site, from, to)| Op::Reroute { site, from, to });
    prop_oneof![16 => load, 8 => maintain, 2 => erase, 2 => rebuild, 2 => reroute, 1 => delete]
}

/// Mostly one filter or none, as rollups answer.
fn any_filters() -> impl Strategy<Value = Filters> {
    let one = prop_oneof![
        select(Device::ALL).prop_map(|device| Filters { device: Some(device), ..Filters::NONE }),
        text(BROWSERS).prop_map(|browser| Filters { browser: Some(browser), ..Filters::NONE }),
        text(COUNTRIES).prop_map(|country| Filters { country: Some(country), ..Filters::NONE }),
        text(&["4g", "3g"]).prop_map(|connection| Filters { connection: Some(connection), ..Filters::NONE }),
        select(NavigationType::ALL).prop_map(|kind| Filters { navigation_type: Some(kind), ..Filters::NONE }),
        select(Os::ALL).prop_map(|os| Filters { os: Some(os), ..Filters::NONE }),
        text(RELEASES).prop_map(|release| Filters { release: Some(release), ..Filters::NONE }),
    ];
    let two = (select(Device::ALL), text(RELEASES)).prop_map(|(device, release)| Filters {
        device: Some(device),
        release: Some(release),
        ..Filters::NONE
    });
    let with_os = (select(Os::ALL), text(COUNTRIES)).prop_map(|(os, country)| Filters {
        os: Some(os),
        country: Some(country),
        ..Filters::NONE
    });
    let with_context = (option::of(select(Device::ALL)), any_property(), 0_usize..4).prop_map(
        |(device, property, place)| {
            // A value of the property, or one that no page view has.
            let said = ["pro", "free", "HIT", ""].map(str::to_owned);
            let values: Vec<String> =
                property.fixed_values().into_iter().map(str::to_owned).chain(said).collect();
            let value = values[place].clone();
            Filters { device, context: vec![ContextFilter { property, value }], ..Filters::NONE }
        },
    );
    prop_oneof![6 => Just(Filters::NONE), 8 => one, 2 => two, 1 => with_os, 3 => with_context]
}

fn any_property() -> impl Strategy<Value = ContextProperty> {
    let named = [
        ContextProperty::Tag("plan".to_owned()),
        ContextProperty::Mark("ready".to_owned()),
        ContextProperty::ServerTiming("edge".to_owned()),
    ];
    select(ContextProperty::CLASSES.into_iter().chain(named).collect::<Vec<_>>())
}

fn any_ask() -> impl Strategy<Value = Ask> {
    (
        (0..SITES, -2..HOURS, 0..HOURS + 4),
        (
            option::of(text(ROUTES)),
            any_filters(),
            (select(&GroupBy::ALL[..]), any_property()),
            prop::bool::weighted(0.2),
        ),
        (select(&Metric::ALL[..]), select(&[0_u32, 99_999, 100_000, 2_500_000][..]), any::<bool>()),
        select(&[1_i64, 7, 24, 31][..]),
    )
        .prop_map(
            |(
                (site, from_hour, hours),
                (route, filters, (by, property), exact),
                (metric, at_most, whole),
                step_hours,
            )| {
                // Half of the questions are about whole days, which the other half rarely is.
                let (from_hour, hours) =
                    if whole { (from_hour / 24 * 24, (hours / 24 + 1) * 24) } else { (from_hour, hours) };
                Ask {
                    site,
                    from_hour,
                    hours,
                    step_hours,
                    route,
                    filters,
                    by,
                    property,
                    exact,
                    metric,
                    at_most,
                }
            },
        )
}

/// Plays `cases` random histories (`PROPTEST_CASES` overrides), each on a fresh store, or on several that
/// then all answer alike.
///
/// # Panics
/// Where a store and the model disagree; the message holds the shortest history found.
pub fn random_histories<F: Future<Output = Vec<Fresh>>>(cases: u32, fresh: impl Fn() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { cases };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let history = vec((any_op(), any_ask()), 1..16);
    let played = runner.run(&history, |history| {
        runtime.block_on(async {
            for fresh in fresh().await {
                Play::new(Arc::clone(&fresh.store)).await.play(history.clone()).await?;
            }
            Ok(())
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
    /// The answers about each site by the version of its data.
    answers: HashMap<(SiteId, Version), String>,
}

impl Play {
    async fn new(store: Arc<dyn Store>) -> Self {
        let now_ms = DAY0_MS + 4 * DAY_MS;
        let mut play = Self {
            store,
            model: Model::default(),
            sites: Vec::new(),
            named: 0,
            now_ms,
            answers: HashMap::default(),
        };
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
            self.versions().await?;
        }
        let whole = Ask {
            site: 0,
            from_hour: 0,
            hours: HOURS,
            step_hours: 1,
            route: None,
            filters: Filters::NONE,
            by: GroupBy::Rolled(Dimension::Country),
            property: ContextProperty::Viewport,
            exact: false,
            metric: Metric::Lcp,
            at_most: 2_500_000,
        };
        for site in 0..SITES {
            self.ask(&Ask { site, ..whole.clone() }).await?;
        }
        self.verify().await
    }

    async fn happen(&mut self, op: Op) -> Result<Vec<(SiteId, ViewId)>, TestCaseError> {
        match op {
            Op::Load { site, spool, beacons, stale } => {
                let (site, spool) = (self.sites[site], SpoolId([spool; 16]));
                let at = self.store.cursor(site, spool).await.unwrap();
                same("cursor", &spool, &at, &self.model.cursor(site, spool))?;
                let after = if stale { at + 1 } else { at };
                let touched = beacons.iter().flatten().map(|update| (site, update.id)).collect();
                let batch = LoadBatch {
                    site,
                    spool,
                    after,
                    up_to: after + 1 + beacons.len() as u64,
                    beacons,
                    senders: Senders::Unknown,
                };
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
            Op::Erase { site, from_hour, hours, url } => {
                let from_ms = DAY0_MS + from_hour * HOUR_MS;
                let erase = Erase { site: self.sites[site], from_ms, to_ms: from_ms + hours * HOUR_MS, url };
                let told = self.store.erasable(&erase).await.unwrap();
                let mut erased = self.store.erase(&erase).await.unwrap();
                let mut views = erased.views;
                while erased.more {
                    erased = self.store.erase(&erase).await.unwrap();
                    views += erased.views;
                }
                assert_eq!(views, told, "{erase:?}");
                self.model.erase(&erase);
                Ok(Vec::new())
            }
            Op::Reroute { site, from, to } => {
                let site = self.sites[site];
                let views = self.store.views(site, None, u32::from(u16::MAX)).await.unwrap();
                let ids: Vec<ViewId> = views.iter().map(|view| view.update.id).collect();
                // Page views with another route stay.
                let one = |&id: &ViewId| Reroute { id, from: from.clone(), to: to.clone() };
                let moved = self.store.reroute(site, ids.iter().map(one).collect()).await.unwrap();
                same("moved", &(&from, &to), &moved, &self.model.reroute(site, &from, &to))?;
                Ok(ids.into_iter().map(|id| (site, id)).collect())
            }
            Op::Rebuild { site, day } => {
                self.store.rebuild_day(self.sites[site], DAY0_MS + day * DAY_MS).await.unwrap();
                Ok(Vec::new())
            }
        }
    }

    /// Holds all page views against the model's, and all rollups against the page views.
    async fn verify(&self) -> Result<(), TestCaseError> {
        for &site in &self.sites {
            let mut views = Vec::new();
            while let page =
                self.store.views(site, views.last().map(|view: &StoredView| view.update.id), 3).await.unwrap()
                && !page.is_empty()
            {
                views.extend(page);
            }
            same("views", &site, &views, &self.model.views(site))?;
            let counted = self.store.urls(site, DAY0_MS..DAY0_MS + HOURS * HOUR_MS).await.unwrap();
            let mut urls: BTreeMap<(String, String), u64> = BTreeMap::new();
            for UrlCount { url, route, views } in counted.rows {
                *urls.entry((url, route)).or_default() += views;
            }
            same("urls", &site, &urls, &self.model.urls(site))?;
            let days = self.store.view_days(site).await.unwrap();
            same("days", &site, &days, &self.model.view_days(site))?;
            for day in -1..5 {
                let found = self.store.verify_day(site, DAY0_MS + day * DAY_MS).await.unwrap();
                same("differences", &day, &found, &Vec::new())?;
            }
        }
        Ok(())
    }

    /// Checks that answers about a site never differ under the same version.
    async fn versions(&mut self) -> Result<(), TestCaseError> {
        for &site in &self.sites {
            let version = self.store.version(site).await.unwrap();
            let query = CellQuery::new(site, DAY0_MS, DAY0_MS + HOURS * HOUR_MS);
            let explained = AttributionMetric::Lcp;
            let causes = CauseQuery { views: query.clone(), explained, limit: 3, views_max: u64::MAX };
            let answers = format!(
                "{:?} {:?} {:?} {:?}",
                self.store.route_names(site).await.unwrap(),
                self.store.cells(&query).await.unwrap(),
                self.store.breakdown(&query, GroupBy::Rolled(Dimension::Country)).await.unwrap(),
                self.store.causes(&causes).await.unwrap(),
            );
            let known = self.answers.entry((site, version.clone())).or_insert_with(|| answers.clone());
            same("the same version", &version, &answers, known)?;
        }
        Ok(())
    }

    /// Checks selected cells against all of them.
    async fn selections(
        &self,
        query: &CellQuery,
        PeriodRows { period, rows }: &PeriodRows<RouteCell>,
    ) -> Result<(), TestCaseError> {
        let counts = |row: &RouteCell| {
            let ratings = Metric::ALL.map(|metric| {
                let histogram = row.cell.metric(metric);
                Rating::ALL.map(|rating| histogram.rated(rating))
            });
            (row.route.clone(), row.cell.views(), ratings)
        };
        let found = self.store.cells_of(query, &Selection::Ratings).await.unwrap();
        let told: Vec<_> = found.rows.iter().map(counts).collect();
        same("ratings", query, &(&found.period, told), &(period, rows.iter().map(counts).collect()))?;
        let has_percentile = |row: &RouteCell| {
            Metric::ALL.into_iter().any(|metric| row.cell.metric(metric).percentile(metric, 75).is_some())
        };
        same("percentiles of ratings", query, &found.rows.iter().any(has_percentile), &false)?;
        // Every second route, and one that the site lacks.
        let some: Vec<RouteCell> = rows.iter().step_by(2).cloned().collect();
        let names = some.iter().map(|row| row.route.clone()).chain(["/lacking".to_owned()]).collect();
        let found = self.store.cells_of(query, &Selection::Routes(names)).await.unwrap();
        same("cells of some routes", query, &(&found.period, &found.rows), &(period, &some))
    }

    async fn ask(&self, ask: &Ask) -> Result<(), TestCaseError> {
        let site = self.sites[ask.site];
        // Questions about whole days stay so; most others begin or end within an hour.
        let minutes = [ask.from_hour, ask.from_hour + ask.hours].map(|hour| hour.rem_euclid(3) * 11);
        let from_ms = DAY0_MS + ask.from_hour * HOUR_MS + minutes[0] * MINUTE_MS;
        let to_ms = DAY0_MS + (ask.from_hour + ask.hours) * HOUR_MS + minutes[1] * MINUTE_MS;
        let routes = self.store.routes(site, from_ms, to_ms).await.unwrap();
        same("routes", ask, &routes, &self.model.routes(site, from_ms, to_ms))?;
        let asked = CellQuery {
            route: ask.route.clone(),
            filters: ask.filters.clone(),
            exact: ask.exact,
            ..CellQuery::new(site, from_ms, to_ms)
        };
        let one_metric = CellQuery { metrics: Metrics::only(ask.metric), ..asked.clone() };
        let unfiltered = CellQuery { filters: Filters::NONE, ..asked.clone() };
        for query in [&asked, &one_metric, &unfiltered] {
            let cells = self.store.cells(query).await.unwrap();
            same("cells", query, &cells, &self.model.cells(query))?;
            if *query == one_metric {
                self.selections(query, &cells).await?;
            }
            let total = self.store.total(query).await.unwrap();
            same("total", query, &total, &self.model.total(query))?;
        }
        for query in [&asked, &unfiltered] {
            let values = self.store.breakdown(query, ask.by).await.unwrap();
            same("breakdown", &(query, ask.by), &values, &self.model.breakdown(query, ask.by))?;
        }
        for (query, step_hours, is_split) in
            [(&asked, ask.step_hours, true), (&unfiltered, ask.step_hours, false), (&unfiltered, 24, true)]
        {
            let bounds = (0..=ask.hours / step_hours).map(|step| from_ms + step * step_hours * HOUR_MS);
            let mut query = SeriesQuery::new(query.clone(), bounds.collect());
            // A known value, the unknown one, and one of no page view.
            let first = self.model.breakdown(&asked, ask.by).rows.into_iter().find_map(|row| row.value);
            let values =
                [first.unwrap_or_else(|| "nobody's".to_owned()).into(), None, Some("nobody".to_owned())];
            query.lines = is_split.then(|| Lines { by: ask.by, values: values.into() });
            let steps = self.store.series(&query).await.unwrap();
            same("series", &query, &steps, &self.model.series(&query))?;
        }
        let windows =
            (0..3).map(|hour| from_ms + hour * 9 * HOUR_MS).map(|start| start..start + 5 * HOUR_MS + 7);
        let views = CellQuery { to_ms: from_ms + 24 * HOUR_MS, ..asked.clone() };
        let query = StrataQuery { views, windows: windows.collect() };
        let strata = self.store.strata(&query).await.unwrap();
        same("strata", &query, &strata, &self.model.strata(&query))?;
        let split = self.store.split(&one_metric, &ask.property).await.unwrap();
        let expected = self.model.split(&one_metric, &ask.property);
        same("split", &(&one_metric, &ask.property), &split, &expected)?;
        for around in [Around::Percentile(75), Around::Worst] {
            let (views, metric) = (asked.clone(), ask.metric);
            let query = SampleQuery { views, metric, around, limit: 2, views_max: u64::MAX };
            let samples = self.store.samples(&query).await.unwrap();
            same("samples", &query, &samples, &self.model.samples(&query))?;
        }
        let query = EngagementQuery {
            views: asked.clone(),
            metric: ask.metric,
            mark: Some("ready".to_owned()),
            ends: vec![Value::ZERO, Value::from_micros(ask.metric, 100_000).unwrap()],
            views_max: u64::MAX,
        };
        let engagement = self.store.engagement(&query).await.unwrap();
        same("engagement", &query, &engagement, &self.model.engagement(&query))?;
        for explained in AttributionMetric::ALL {
            let query = CauseQuery { views: asked.clone(), explained, limit: 3, views_max: u64::MAX };
            let causes = self.store.causes(&query).await.unwrap();
            same("causes", &query, &causes, &self.model.causes(&query))?;
        }
        let routes = ask.route.clone().map_or(routes, |route| vec![route]);
        let filters = Filters { context: Vec::new(), ..ask.filters.clone() };
        let middle_ms = from_ms.midpoint(to_ms);
        let (whole, first) = (from_ms..to_ms, from_ms..middle_ms - 7);
        for windows in [Vec::from([whole]), vec![first, middle_ms..to_ms]] {
            let (routes, filters, metric) = (routes.clone(), filters.clone(), ask.metric);
            let query = ClassViewsQuery { site, windows, routes, filters, metric };
            let classes = self.store.class_views(&query).await.unwrap();
            same("class_views", &query, &classes, &self.model.class_views(&query))?;
        }
        let query = TallyQuery {
            site,
            from_ms,
            to_ms,
            routes,
            filters,
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
