//! A shop with four weeks of page views: what a dashboard shows after a month.
//!
//! Release 2.5.0 makes the LCP of `/product/:id` on phones worse by [`SLOWER`]; nothing else changes.

use crate::beacon::now_ms;
use crate::filled::load;
use crate::server::{Launch, Server};
use fieldvitals_store::context::conditions::Conditions;
use fieldvitals_store::context::{ClsDetail, Detail, InpDetail, LcpDetail};
use fieldvitals_store::rollup::{DAY_MS, day_of};
use fieldvitals_store::{Context, NewSite, Source, Store, ViewUpdate, Weight};
use fieldvitals_store_sqlite::SqliteStore;
use tempfile::TempDir;
use vitals::attribution::LoadState;
use vitals::fetch::{Delivery, Protocol};
use vitals::metric::{Metric, Value, Values};
use vitals::view::{Device, NavigationType, Os, ViewId, Viewport};

/// The name of the site.
pub const NAME: &str = "shop";
/// Days with page views, up to yesterday.
const DAYS: i64 = 28;
/// Days since the first page view of release 2.5.0, up to yesterday.
const NEW_DAYS: i64 = 5;
/// Page views of a day.
const PER_DAY: i64 = 240;
/// Factor of the LCP of the slower page.
const SLOWER: f64 = 1.7;

/// A route: its share of page views in per cent, and its median LCP in milliseconds.
const ROUTES: [(&str, u64, f64); 6] = [
    ("/", 30, 1_500.0),
    ("/product/:id", 30, 1_900.0),
    ("/category/:name", 18, 1_700.0),
    ("/search", 12, 2_300.0),
    ("/cart", 8, 1_200.0),
    ("/about/imprint", 2, 900.0),
];

/// Starts a server with the shop's page views and a deploy mark of release 2.5.0.
///
/// # Panics
/// Panics if the store fails.
pub async fn server() -> Server {
    server_with(Launch::default()).await
}

/// As [`server`], with options.
///
/// # Panics
/// Panics if the store fails.
pub async fn server_with(launch: Launch) -> Server {
    let folder = TempDir::new().expect("a temporary folder");
    let store: Box<dyn Store> =
        Box::new(SqliteStore::open(&folder.path().join("store.db")).await.expect("a store"));
    let first_ms = day_of(now_ms() as i64) - DAYS * DAY_MS;
    let (name, key, origins) = (NAME.to_owned(), "fvk_shop".to_owned(), vec!["*".to_owned()]);
    let site = store.site_add(NewSite { name, key, origins, created_ms: first_ms }).await.expect("a site").id;
    let views: Vec<ViewUpdate> = (0..DAYS * PER_DAY).map(|number| view(first_ms, number)).collect();
    load(&*store, site, &views).await;
    store.close().await;
    let server = Server::launch_on(folder, launch).await;
    let at = day_of(now_ms() as i64) - NEW_DAYS * DAY_MS;
    let at = jiff::Timestamp::from_millisecond(at).expect("a moment").to_string();
    server.cli_json(&["release", "add", "2.5.0", "--site", NAME, "--at", &at, "--json"]).await;
    server
}

/// Fills 0 to 1 evenly: the multiples of an irrational number.
fn even(number: i64, irrational: f64) -> f64 {
    (number as f64 * irrational).fract()
}

/// A log-normal factor with a median of 1, from an even number.
fn spread(even: f64) -> f64 {
    // The logistic quantile is near the normal one, and needs no table.
    let even = even.clamp(0.002, 0.998);
    (0.32 * (even / (1.0 - even)).ln()).exp()
}

fn view(first_ms: i64, number: i64) -> ViewUpdate {
    let start_ms = first_ms + number * DAY_MS / PER_DAY;
    let is_new = number >= (DAYS - NEW_DAYS) * PER_DAY;
    let is_phone = even(number, 0.754_877_666) < 0.55;
    let mut place = (even(number, 0.569_840_291) * 100.0) as u64;
    let (route, _, median) = ROUTES
        .into_iter()
        .find(|(_, share, _)| {
            let is_it = place < *share;
            place = place.saturating_sub(*share);
            is_it
        })
        .unwrap_or(ROUTES[0]);
    let mut lcp = median * spread(even(number, 0.618_033_989)) * if is_phone { 1.4 } else { 0.8 };
    if is_new && is_phone && route == "/product/:id" {
        lcp *= SLOWER;
    }
    let ttfb = 180.0 + 0.15 * lcp;
    let mut values = Values::EMPTY;
    let mut set = |metric, number| values.set(metric, Value::new(metric, number).ok());
    set(Metric::Lcp, lcp);
    set(Metric::Ttfb, ttfb);
    set(Metric::Fcp, ttfb + 0.35 * lcp);
    let shift = if route == "/search" { 0.16 } else { 0.04 } * spread(even(number, 0.414_213_562));
    set(Metric::Cls, shift);
    let inp = 120.0 * spread(even(number, 0.302_775_638)) * if route == "/cart" { 2.2 } else { 1.0 };
    let interacts = even(number, 0.236_067_977) < 0.75 - lcp / 20_000.0;
    if interacts {
        set(Metric::Inp, inp);
    }
    if number % 40 == 0 {
        set(Metric::Fid, 12.0 * spread(even(number, 0.141_592_654)));
    }
    let browser = ["Chrome", "Chrome", "Safari", "Firefox", "Edge"][(number % 5) as usize];
    ViewUpdate {
        id: ViewId::new(start_ms.unsigned_abs(), number.unsigned_abs().into()),
        source: Source::Own { seq: 1 },
        received_ms: start_ms,
        url: format!("https://shop.example{}", route.replace(":id", "7").replace(":name", "shoes")),
        route: route.to_owned(),
        navigation_type: Some(if number % 9 == 0 {
            NavigationType::BackForward
        } else {
            NavigationType::Navigate
        }),
        device: Some(if is_phone { Device::Phone } else { Device::Desktop }),
        browser: Some(browser.to_owned()),
        os: Some(if is_phone { Os::Android } else { Os::Windows }),
        connection: Some(if number % 6 == 0 { "3g" } else { "4g" }.to_owned()),
        country: Some(["DE", "FR", "JP", "BR"][(number % 4) as usize].to_owned()),
        release: Some(if is_new { "2.5.0" } else { "2.4.0" }.to_owned()),
        values,
        tti_gap: None,
        weight: Weight::ONE,
        context: context(number, route, is_phone, [lcp, ttfb, shift], interacts.then_some(inp)),
    }
}

fn context(
    number: i64,
    route: &str,
    is_phone: bool,
    [lcp, ttfb, shift]: [f64; 3],
    inp: Option<f64>,
) -> Context {
    let ms = |number: f64| number.round() as u32;
    let (total, first_byte) = (ms(lcp), ms(ttfb));
    let rest = total.saturating_sub(first_byte);
    let is_product = route == "/product/:id";
    let target = if is_product { "main>div.gallery>img.hero" } else { "main>h1" };
    let url = if is_product { "https://cdn.shop.example/hero.avif" } else { "" };
    let (delay, load) = if is_product { (rest * 6 / 10, rest * 3 / 10) } else { (0, 0) };
    let inp = inp.map(ms).map(|inp| InpDetail {
        target: "#filters>button.apply".to_owned(),
        event: "click".to_owned(),
        at_ms: total + 2_400,
        parts_ms: [inp / 10, inp - inp / 10 - inp / 5, inp / 5],
        script: "https://shop.example/assets/app.js".to_owned(),
        script_ms: inp / 2,
        load_state: LoadState::Complete,
    });
    let request = first_byte.saturating_sub(60);
    Context {
        viewport: Some(if is_phone { Viewport::Small } else { Viewport::Large }),
        detail: Some(Box::new(Detail {
            lcp: Some(LcpDetail {
                target: target.to_owned(),
                url: url.to_owned(),
                parts_ms: [first_byte, delay, load, rest - delay - load],
            }),
            cls: (shift > 0.02).then(|| ClsDetail {
                target: "aside.banner".to_owned(),
                at_ms: total + 300,
                value_micros: (shift * 0.8e6) as u32,
                load_state: LoadState::DomContentLoaded,
            }),
            tags: vec![("plan".to_owned(), if number % 3 == 0 { "pro" } else { "free" }.to_owned())],
            marks: if number % 5 == 0 { vec![("order".to_owned(), total + 4_000)] } else { Vec::new() },
            inp,
        })),
        conditions: Some(Box::new(Conditions {
            ttfb_parts_ms: Some([0, 0, 0, 20, 40, request]),
            protocol: Some(Protocol::H2),
            delivery: Some(Delivery::Network),
            engaged: Some(even(number, 0.732_050_808) < 0.8 - lcp / 9_000.0),
            ..Conditions::default()
        })),
        ..Context::NONE
    }
}
