//! Page views as a shop of some size has them, from a seed: the same number gives the same views.
//!
//! 500 routes by Zipf 0.9; starts over a span with day and night; log-normal times that hang together
//! (TTFB < FCP < LCP < TTI) and depend on route, device and connection; INP and FID only where somebody
//! interacted, TTI only where the page came to rest.

use fieldvitals_store::{Context, Source, ViewUpdate, Weight};
use vitals::metric::{Metric, Value, Values};
use vitals::view::{Device, NavigationType, Os, TtiGap, ViewId};

/// How many routes there are.
pub(crate) const ROUTES: usize = 500;
/// How much of a route's traffic the next one has: frequencies fall as rank^-0.9.
const ZIPF: f64 = 0.9;
/// Changes whenever the same seed gives other views.
pub(crate) const VERSION: u32 = 2;

const HOUR_MS: i64 = 3_600_000;

const SECTIONS: [&str; 25] = [
    "product", "category", "search", "cart", "checkout", "account", "order", "brand", "offer", "blog",
    "guide", "help", "store", "review", "wishlist", "compare", "gift", "outlet", "new", "men", "women",
    "kids", "home", "garden", "sport",
];
const TOPICS: [&str; 20] = [
    "shoes",
    "jackets",
    "running-shoes",
    "shirts",
    "trousers",
    "lamps",
    "tables",
    "chairs",
    "tools",
    "toys",
    "bags",
    "watches",
    "books",
    "phones",
    "cameras",
    "headphones",
    "tents",
    "bicycles",
    "balls",
    "plants",
];
const COUNTRIES: [&str; 40] = [
    "DE", "US", "FR", "GB", "IT", "ES", "PL", "NL", "AT", "CH", "SE", "BE", "CZ", "DK", "NO", "FI", "PT",
    "IE", "HU", "RO", "GR", "BG", "SK", "HR", "SI", "LT", "LV", "EE", "LU", "CA", "AU", "JP", "BR", "MX",
    "IN", "TR", "ZA", "KR", "SG", "NZ",
];
const BROWSERS: [&str; 6] = ["Chrome", "Safari", "Edge", "Firefox", "Samsung Internet", "Opera"];
const RELEASES: [&str; 4] = ["2026.40.1", "2026.41.0", "2026.42.3", "2026.43.0"];

/// Random numbers: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from 0 up to, not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Two independent normal numbers (Box and Muller 1958).
    fn normals(&mut self) -> (f64, f64) {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.unit()).sin_cos();
        (radius * cos, radius * sin)
    }
}

/// A choice among some, each with a weight.
struct Choice(Vec<f64>);

impl Choice {
    fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let mut ends: Vec<f64> = weights
            .into_iter()
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        for end in &mut ends {
            *end /= sum;
        }
        Self(ends)
    }

    fn zipf(n: usize, exponent: f64) -> Self {
        Self::new((1..=n).map(|rank| (rank as f64).powf(-exponent)))
    }

    fn pick(&self, random: &mut Random) -> usize {
        let at = random.unit();
        self.0.partition_point(|&end| end <= at).min(self.0.len().saturating_sub(1))
    }
}

struct Route {
    name: String,
    /// What comes before the id in its URLs; all of the path where it has none.
    path: String,
    has_id: bool,
    /// How slow it is, 1 for the middle one.
    slowness: f64,
    /// Mean of the logarithm of its layout shifts.
    shift_log: f64,
}

/// Page views in the order of their starts, without end; after its span they go on at the last hour's pace.
pub(crate) struct Traffic {
    random: Random,
    routes: Vec<Route>,
    route: Choice,
    country: Choice,
    device: Choice,
    browser: Choice,
    connection: Choice,
    navigation: Choice,
    from_ms: i64,
    to_ms: i64,
    /// At each hour's end, how many views have started.
    hour_ends: Vec<u64>,
    hour: usize,
    made: u64,
}

impl Traffic {
    /// `views` page views that start from `from_ms` up to `to_ms`, whole hours of UTC.
    pub(crate) fn new(seed: u64, views: u64, from_ms: i64, to_ms: i64) -> Self {
        let mut random = Random::new(seed);
        let hours = usize::try_from((to_ms - from_ms) / HOUR_MS).unwrap_or(0).max(1);
        // A day's rhythm: the quietest hour has a fifth of the busiest one's views.
        let rhythm = |hour: usize| {
            let of_day = (from_ms / HOUR_MS + hour as i64).rem_euclid(24) as f64;
            1.0 - 0.667 * ((of_day - 3.0) / 24.0 * std::f64::consts::TAU).cos()
        };
        let day = Choice::new((0..hours).map(rhythm));
        let hour_ends = day.0.iter().map(|end| (end * views as f64).round() as u64).collect();
        let routes = (0..ROUTES).map(|number| route(number, &mut random)).collect();
        Self {
            random,
            routes,
            route: Choice::zipf(ROUTES, ZIPF),
            country: Choice::zipf(COUNTRIES.len(), 1.0),
            device: Choice::new([0.62, 0.03, 0.35]),
            browser: Choice::new([0.58, 0.22, 0.09, 0.05, 0.04, 0.02]),
            connection: Choice::new([0.87, 0.1, 0.02, 0.01]),
            navigation: Choice::new([0.72, 0.06, 0.04, 0.1, 0.03, 0.01, 0.04]),
            from_ms,
            to_ms,
            hour_ends,
            hour: 0,
            made: 0,
        }
    }

    /// The names of all routes, the busiest first.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| route.name.as_str())
    }

    /// The next page view, as its first snapshot says it.
    pub(crate) fn next(&mut self) -> ViewUpdate {
        let start_ms = self.start_ms();
        let random = &mut self.random;
        let id = ViewId::new(start_ms as u64, (u128::from(random.bits()) << 64) | u128::from(random.bits()));
        let route = &self.routes[self.route.pick(random)];
        let device = Device::ALL[self.device.pick(random)];
        let connection = self.connection.pick(random);
        let navigation_type = NavigationType::ALL[self.navigation.pick(random)];
        let url = if route.has_id {
            format!("https://shop.example{}{}", route.path, 10_000 + random.bits() % 900_000)
        } else {
            format!("https://shop.example{}", route.path)
        };
        let slowness = route.slowness
            * [1.3, 1.15, 0.8][device as usize]
            * [1.0, 1.8, 3.5, 6.0][connection]
            * if navigation_type == NavigationType::BackForwardCache { 0.05 } else { 1.0 };
        let (values, tti_gap) = measure(random, slowness, route.shift_log);
        // A release a quarter of the time, the next one taking over within its first two hours.
        let part = (start_ms - self.from_ms) * 4 / (self.to_ms - self.from_ms).max(1);
        let release = RELEASES[usize::try_from(part).unwrap_or(0).min(RELEASES.len() - 1)];
        let received_ms = start_ms + 8_000 + (random.bits() % 60_000) as i64;
        let browser = BROWSERS[self.browser.pick(random)];
        let os = match (device, browser) {
            (Device::Desktop, "Safari") => Os::Macos,
            (Device::Desktop, _) => Os::Windows,
            (_, "Safari") => Os::Ios,
            _ => Os::Android,
        };
        ViewUpdate {
            id,
            source: Source::Own { seq: 1 },
            received_ms,
            url,
            route: route.name.clone(),
            navigation_type: Some(navigation_type),
            device: Some(device),
            browser: Some(browser.to_owned()),
            os: Some(os),
            connection: Some(["4g", "3g", "2g", "slow-2g"][connection].to_owned()),
            country: Some(COUNTRIES[self.country.pick(random)].to_owned()),
            release: Some(release.to_owned()),
            values,
            tti_gap,
            weight: Weight::ONE,
            context: Context::NONE,
        }
    }

    /// Another snapshot of a page view, in which somebody has interacted and the page has shifted more.
    pub(crate) fn update(&mut self, of: &ViewUpdate) -> ViewUpdate {
        let mut update = of.clone();
        update.source = Source::Own { seq: 2 };
        update.received_ms += 30_000;
        let (inp, shift) = self.random.normals();
        update.values.set(Metric::Inp, time(Metric::Inp, 180.0 * (0.8 * inp).exp()));
        update.values.set(Metric::Cls, score(0.08 * (1.0 * shift).exp()));
        update
    }

    fn start_ms(&mut self) -> i64 {
        while self.hour + 1 < self.hour_ends.len() && self.made >= self.hour_ends[self.hour] {
            self.hour += 1;
        }
        let first = self.hour.checked_sub(1).map_or(0, |before| self.hour_ends[before]);
        let views = (self.hour_ends[self.hour] - first).max(1);
        let within = (self.made - first) as f64 + self.random.unit();
        self.made += 1;
        let within_ms = (within / views as f64 * HOUR_MS as f64) as i64;
        self.from_ms + self.hour as i64 * HOUR_MS + within_ms
    }
}

fn route(number: usize, random: &mut Random) -> Route {
    // Sections vary fastest, so that neighbours in rank have nothing in common.
    let (section, topic) = (SECTIONS[number % SECTIONS.len()], TOPICS[number / SECTIONS.len()]);
    let has_id = number % 3 != 2;
    let path = if has_id { format!("/{section}/{topic}/") } else { format!("/{section}/{topic}") };
    let name = if has_id { format!("{path}:id") } else { path.clone() };
    let (slow, shift) = random.normals();
    Route { name, path, has_id, slowness: (0.35 * slow).exp(), shift_log: 0.05_f64.ln() + 0.5 * shift }
}

fn measure(random: &mut Random, slowness: f64, shift_log: f64) -> (Values, Option<TtiGap>) {
    let (a, b) = random.normals();
    let (c, d) = random.normals();
    let (e, f) = random.normals();
    let (g, _) = random.normals();
    let ttfb = 320.0 * slowness.sqrt() * (0.6 * a).exp();
    let fcp = ttfb + 550.0 * slowness * (0.45 * b).exp();
    let lcp = fcp + 600.0 * slowness * (0.8 * c).exp();
    let tti = lcp + 700.0 * slowness * (0.9 * d).exp();
    let mut values = Values::EMPTY;
    for (metric, number) in [(Metric::Ttfb, ttfb), (Metric::Fcp, fcp), (Metric::Lcp, lcp)] {
        values.set(metric, time(metric, number));
    }
    let shifts = random.unit() >= 0.45;
    values.set(Metric::Cls, score(if shifts { (shift_log + e).exp() } else { 0.0 }));
    if random.unit() < 0.7 {
        values.set(Metric::Inp, time(Metric::Inp, 90.0 * slowness.sqrt() * (0.8 * f).exp()));
        if random.unit() < 0.95 {
            values.set(Metric::Fid, time(Metric::Fid, 6.0 * slowness.sqrt() * (1.1 * g).exp()));
        }
    }
    let rest = random.unit();
    let tti_gap = match rest {
        _ if rest < 0.65 => {
            values.set(Metric::Tti, time(Metric::Tti, tti));
            None
        }
        _ if rest < 0.93 => Some(TtiGap::Hidden),
        _ if rest < 0.98 => Some(TtiGap::Network),
        _ => Some(TtiGap::Cpu),
    };
    (values, tti_gap)
}

/// A time as browsers tell it: in tenths of a millisecond (Chromium's resolution without isolation).
fn time(metric: Metric, milliseconds: f64) -> Option<Value> {
    Value::new(metric, ((milliseconds * 10.0).round() / 10.0).min(f64::from(metric.value_max()))).ok()
}

fn score(score: f64) -> Option<Value> {
    Value::new(Metric::Cls, (score * 1e5).round() / 1e5).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_same_seed_gives_the_same_views_and_they_are_a_shops() {
        let day_ms = 24 * HOUR_MS;
        let make = || {
            let mut traffic = Traffic::new(7, 20_000, day_ms, 3 * day_ms);
            (0..20_000).map(|_| traffic.next()).collect::<Vec<_>>()
        };
        let views = make();
        assert_eq!(views, make());
        assert!(views.iter().all(|view| (day_ms..3 * day_ms).contains(&view.id.start_ms())));
        assert!(views.is_sorted_by_key(|view| view.id.start_ms() / 120_000));
        assert_eq!(views.iter().map(|view| view.id).collect::<HashSet<_>>().len(), views.len());
        let routes: HashSet<&str> = views.iter().map(|view| view.route.as_str()).collect();
        assert!(routes.len() > 490, "{}", routes.len());
        let share =
            |metric| views.iter().filter(|view| view.values.get(metric).is_some()).count() as f64 / 20_000.0;
        assert!(share(Metric::Lcp) == 1.0 && (0.68..0.72).contains(&share(Metric::Inp)));
        let mut updated = Traffic::new(7, 1, 0, day_ms);
        assert!(updated.update(&views[0]).values.get(Metric::Inp).is_some());
    }

    #[test]
    fn a_route_is_what_intake_makes_of_its_urls() {
        let traffic = Traffic::new(7, 1, 0, HOUR_MS);
        assert!(traffic.routes.iter().all(|route| route.has_id == route.name.ends_with("/:id")));
        assert_eq!(traffic.routes().collect::<HashSet<_>>().len(), ROUTES);
    }
}
