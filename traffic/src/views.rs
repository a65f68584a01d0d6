//! Generates page views of a mid-sized shop from a seed. The same seed gives the same views.
//!
//! - 500 routes, Zipf-distributed with exponent 0.9.
//! - Starts follow a day rhythm over the span.
//! - Times are log-normal and ordered (TTFB < FCP < LCP < TTI). They depend on route, device, connection and navigation
//!   type.
//! - INP and FID exist only in views with an interaction; TTI only in views that became quiet.

use fieldvitals_store::{Context, Source, ViewUpdate, Weight};
use vitals::metric::{Metric, Value, Values};
use vitals::view::{Device, NavigationType, Os, TtiGap, ViewId};

/// Number of routes.
pub const ROUTES: usize = 500;
/// Zipf exponent: the frequency of a route falls as rank^-0.9.
const ZIPF: f64 = 0.9;
/// Version of the generator. Increment it when a change gives other views for the same seed.
pub const VERSION: u32 = 2;

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

/// Random number generator: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Creates a generator from a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Returns a number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns two independent standard normal numbers (Box and Muller 1958).
    fn normals(&mut self) -> (f64, f64) {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.unit()).sin_cos();
        (radius * cos, radius * sin)
    }
}

/// A weighted choice. Holds the cumulative shares.
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
    /// The URL path before the id; the whole path if the route has no id.
    path: String,
    has_id: bool,
    /// Factor on all times; the median route has 1.
    slowness: f64,
    /// Mean of the logarithm of the route's layout shifts.
    shift_log: f64,
}

/// An endless sequence of page views, ordered by start. After the span, views continue at the pace of the last hour.
pub struct Traffic {
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
    /// Cumulative number of views at the end of each hour.
    hour_ends: Vec<u64>,
    hour: usize,
    made: u64,
}

impl Traffic {
    /// Creates a generator that spreads `views` page views over [`from_ms`, `to_ms`), UTC milliseconds at whole hours.
    pub fn new(seed: u64, views: u64, from_ms: i64, to_ms: i64) -> Self {
        let mut random = Random::new(seed);
        let hours = usize::try_from((to_ms - from_ms) / HOUR_MS).unwrap_or(0).max(1);
        // Day rhythm: the quietest hour has a fifth of the views of the busiest.
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

    /// Returns the names of all routes, busiest first.
    pub fn routes(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| route.name.as_str())
    }

    /// Returns the next page view, as the first snapshot reports it.
    pub fn next_view(&mut self) -> ViewUpdate {
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
        // Each release covers a quarter of the span.
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

    /// Returns a later snapshot of a page view: after an interaction and further layout shifts.
    pub fn update(&mut self, of: &ViewUpdate) -> ViewUpdate {
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
    // Sections vary fastest, so routes of neighboring rank share no section.
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

/// Rounds a time to 0.1 ms, Chromium's resolution without cross-origin isolation.
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
            (0..20_000).map(|_| traffic.next_view()).collect::<Vec<_>>()
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
