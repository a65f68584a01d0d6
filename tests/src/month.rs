//! A month of a shop's random page views, with or without a planted regression.
//!
//! `fieldvitals-traffic` draws the page views; this module adds causes, conditions, tags and marks. The regression makes the
//! LCP of [`SLOW_ROUTE`] on phones longer by [`SLOWER`] from release [`SLOW_RELEASE`] on, because its image starts later.
//! Nothing else changes, and without the regression nothing does.

use crate::filled::load;
use fieldvitals_store::context::conditions::Conditions;
use fieldvitals_store::context::{ClsDetail, Detail, InpDetail, LcpDetail};
use fieldvitals_store::rollup::DAY_MS;
use fieldvitals_store::{Context, DeployMark, NewSite, Site, Source, Store, ViewUpdate, Weight};
use fieldvitals_traffic::{Random, Traffic};
use vitals::attribution::LoadState;
use vitals::fetch::ConfidenceLevel::{High, Low};
use vitals::fetch::{Delivery, Protocol};
use vitals::metric::{Metric, Value};
use vitals::view::{Device, NavigationType, Rtt, Tier, Viewport};

/// The name of the site.
pub const NAME: &str = "shop";
/// The route with the regression: the second by page views.
pub const SLOW_ROUTE: &str = "/category/shoes/:id";
/// The release with the regression: that of the last quarter.
pub const SLOW_RELEASE: &str = "2026.43.0";
/// The release before it.
pub const RELEASE_BEFORE: &str = "2026.42.3";
/// Share by which the regression makes LCP longer.
const SLOWER: f64 = 0.4;
/// Days with page views, up to yesterday.
const DAYS: i64 = 28;

/// A month of page views. The same month has the same page views.
#[derive(Clone, Copy, Debug)]
pub struct Month {
    /// Page views of a day.
    pub views_a_day: u64,
    /// Seed of the page views, and of the speed of routes.
    pub seed: u64,
    /// Whether it has the regression.
    pub has_regression: bool,
    /// The end of its last day, UTC milliseconds.
    pub end_ms: i64,
}

impl Month {
    /// Adds the site with its page views and the deploy mark of the last release to a store, and folds rollups.
    ///
    /// # Panics
    /// Panics if the store fails.
    pub async fn fill(&self, store: &dyn Store) -> Site {
        let start_ms = self.end_ms - DAYS * DAY_MS;
        let origins = vec!["https://shop.example".to_owned()];
        let new =
            NewSite { name: NAME.to_owned(), key: "fvk_shop".to_owned(), origins, created_ms: start_ms };
        let site = store.site_add(new).await.expect("a site");
        load(store, site.id, &self.views()).await;
        let mark = DeployMark { release: SLOW_RELEASE.to_owned(), at_ms: self.end_ms - DAYS / 4 * DAY_MS };
        store.deploy_marks_put(site.id, &[mark]).await.expect("a deploy mark");
        site
    }

    /// The page views, by start.
    fn views(&self) -> Vec<ViewUpdate> {
        let views = self.views_a_day * DAYS.unsigned_abs();
        let mut traffic = Traffic::new(self.seed, views, self.end_ms - DAYS * DAY_MS, self.end_ms);
        // Another sequence than that of the traffic, so that both months have the same page views.
        let mut random = Random::new(!self.seed);
        (0..views).map(|_| self.view(traffic.next_view(), &mut random)).collect()
    }

    fn view(&self, mut view: ViewUpdate, random: &mut Random) -> ViewUpdate {
        let is_chromium = !matches!(view.browser.as_deref(), Some("Safari" | "Firefox"));
        if !is_chromium {
            view.connection = None;
            view.values.set(Metric::Cls, None);
        }
        if random.unit() < 0.02 {
            view.country = None;
        }
        // These pages are measured with `data-sample=0.5`.
        if view.route.starts_with("/blog/") {
            view.weight = Weight::of_sample(0.5);
        }
        let delay_ms = if self.is_slower(&view) { self.slow_down(&mut view) } else { 0.0 };
        let fate = random.unit();
        if fate < 0.03 {
            view.source = Source::Foreign;
        }
        let context = context(&view, delay_ms, is_chromium, random);
        // Another library reports no causes, and neither do browsers of visitors who opt out.
        if fate >= 0.08 {
            view.context = context;
        }
        view
    }

    fn is_slower(&self, view: &ViewUpdate) -> bool {
        self.has_regression
            && view.route == SLOW_ROUTE
            && view.release.as_deref() == Some(SLOW_RELEASE)
            && view.device == Some(Device::Phone)
    }

    /// Makes LCP longer, and returns by how much, in milliseconds.
    fn slow_down(&self, view: &mut ViewUpdate) -> f64 {
        let before = number(view, Metric::Lcp);
        let after = before * (1.0 + SLOWER);
        view.values.set(Metric::Lcp, Value::new(Metric::Lcp, after.min(600_000.0)).ok());
        number(view, Metric::Lcp) - before
    }
}

/// The value of a metric, 0 if there is none.
fn number(view: &ViewUpdate, metric: Metric) -> f64 {
    view.values.get(metric).map_or(0.0, |value| value.number(metric))
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[(random.unit() * from.len() as f64) as usize % from.len()]
}

/// Splits a time into parts of random lengths that sum to it.
fn split<const N: usize>(random: &mut Random, total_ms: u32, means: [f64; N]) -> [u32; N] {
    let lengths = means.map(|mean| mean * (0.5 + random.unit()));
    let sum: f64 = lengths.iter().sum();
    let mut parts = lengths.map(|length| (f64::from(total_ms) * length / sum) as u32);
    let rest = total_ms - parts.iter().sum::<u32>();
    parts[N - 1] += rest;
    parts
}

fn context(view: &ViewUpdate, delay_ms: f64, is_chromium: bool, random: &mut Random) -> Context {
    let ms = |metric| number(view, metric).round() as u32;
    let (lcp, ttfb) = (ms(Metric::Lcp), ms(Metric::Ttfb));
    let has_image = view.route.ends_with("/:id");
    let delay = delay_ms.round() as u32;
    let rest = lcp.saturating_sub(ttfb).saturating_sub(delay);
    let [load_delay, load, render] = split(random, rest, [1.0, 2.0, 1.5]);
    let parts_ms = if has_image {
        [ttfb, load_delay + delay, load, render]
    } else {
        [ttfb, 0, 0, lcp.saturating_sub(ttfb)]
    };
    let (target, url) = if has_image {
        ("main>div.gallery>img.hero", "https://cdn.shop.example/hero.avif")
    } else {
        ("main>h1", "")
    };
    let lcp_detail = LcpDetail { target: target.to_owned(), url: url.to_owned(), parts_ms };
    let inp_detail = view.values.get(Metric::Inp).map(|_| inp(ms(Metric::Inp), lcp, is_chromium, random));
    let shift = view.values.get(Metric::Cls).map_or(0, Value::micros);
    let cls_detail = (shift > 0).then(|| ClsDetail {
        target: pick(random, &["aside.banner", "main>div.gallery>img.hero", "iframe#ad", "ul.list>li"])
            .to_owned(),
        at_ms: lcp + (random.unit() * 3_000.0) as u32,
        value_micros: (f64::from(shift) * (0.5 + 0.5 * random.unit())) as u32,
        load_state: pick(random, &LoadState::ALL),
    });
    let plan = if random.unit() < 0.3 { "pro" } else { "free" };
    let order = (random.unit() < 0.06).then(|| ("order".to_owned(), lcp + 4_000));
    let is_phone = view.device == Some(Device::Phone);
    let viewports: &[Viewport] = match view.device {
        Some(Device::Phone) => &[Viewport::Small],
        Some(Device::Tablet) => &[Viewport::Small, Viewport::Medium],
        _ => &[Viewport::Medium, Viewport::Large, Viewport::Large],
    };
    let is_engaged = inp_detail.is_some() || random.unit() < 0.7 - f64::from(lcp) / 20_000.0;
    let missed_cache = view.navigation_type == Some(NavigationType::BackForward) && is_chromium;
    let reasons = ["unload-listener", "websocket", "main-resource-has-cache-control-no-store"];
    let conditions = Conditions {
        ttfb_parts_ms: Some(split(random, ttfb, [0.3, 0.02, 0.1, 0.4, 1.0, 4.0])),
        protocol: Some(pick(random, &[Protocol::Http1, Protocol::H2, Protocol::H2, Protocol::H3])),
        delivery: Some(pick(random, &[Delivery::Network, Delivery::Network, Delivery::Cache])),
        document_kb: Some(10 + (random.unit() * 80.0) as u32),
        server_timings: vec![("cdn-cache".to_owned(), 1, pick(random, &["HIT", "HIT", "MISS"]).to_owned())],
        not_restored: if missed_cache { vec![pick(random, &reasons).to_owned()] } else { Vec::new() },
        confidence: is_chromium.then(|| (pick(random, &[High, High, High, Low]), 20)),
        rtt: is_chromium.then(|| Rtt::of(40.0 + 300.0 * random.unit())).flatten(),
        memory: is_chromium.then(|| pick(random, if is_phone { &Tier::ALL[..2] } else { &Tier::ALL[1..] })),
        cpu: Some(pick(random, Tier::ALL)),
        engaged: Some(is_engaged),
        first_input_ms: (random.unit() < 0.4).then(|| lcp + (random.unit() * 5_000.0) as u32),
    };
    Context {
        viewport: Some(pick(random, viewports)),
        tbt: view.values.get(Metric::Tti).and_then(|_| Value::new(Metric::Tti, 300.0 * random.unit()).ok()),
        detail: Some(Box::new(Detail {
            lcp: Some(lcp_detail),
            inp: inp_detail,
            cls: cls_detail,
            tags: vec![("plan".to_owned(), plan.to_owned())],
            marks: order.into_iter().collect(),
        })),
        conditions: Some(Box::new(conditions)),
        ..Context::NONE
    }
}

fn inp(inp_ms: u32, lcp_ms: u32, is_chromium: bool, random: &mut Random) -> InpDetail {
    let targets = ["#filters>button.apply", "form.search>input", "nav>a.menu", "nav>a.menu.is-open"];
    let script = if is_chromium { "https://shop.example/assets/app.js" } else { "" };
    InpDetail {
        target: pick(random, &targets).to_owned(),
        event: pick(random, &["click", "pointerdown", "keydown"]).to_owned(),
        at_ms: lcp_ms + (random.unit() * 8_000.0) as u32,
        parts_ms: split(random, inp_ms, [1.0, 3.0, 1.5]),
        script: script.to_owned(),
        script_ms: if is_chromium { inp_ms / 2 } else { 0 },
        load_state: pick(random, &LoadState::ALL),
    }
}
