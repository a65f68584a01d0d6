//! Questions about time: series, releases, comparisons, by API and command line.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::rollup::{DAY_MS, HOUR_MS, day_of};
use fieldvitals_store::{
    Context, LoadBatch, Loading as _, Maintenance as _, NewSite, Retention, Senders, Sites as _, Source,
    SpoolId, Store, ViewUpdate, Weight,
};
use fieldvitals_store_sqlite::SqliteStore;
use fieldvitals_tests::beacon::now_ms;
use fieldvitals_tests::server::{Launch, Server};
use serde_json::Value as Json;
use tempfile::TempDir;
use vitals::metric::{Metric, Value, Values};
use vitals::view::{Device, NavigationType, ViewId};

/// Days before today with page views.
const DAYS: i64 = 6;
/// Page views of an hour.
const PER_HOUR: i64 = 20;

/// A page view. The second half of the days has release 5.1; `slower` multiplies its LCP on phones of `/cart`.
fn view(first_ms: i64, number: i64, slower: f64) -> ViewUpdate {
    let start_ms = first_ms + number * HOUR_MS / PER_HOUR;
    let is_new = number >= DAYS * 24 * PER_HOUR / 2;
    // Every class and both halves have the same values: the golden ratio's multiples fill 0 to 1 evenly.
    let (phone, cart, german) = (number & 1 == 0, number & 2 == 0, number & 4 == 0);
    let even = (number as f64 * 0.618_033_988_749_895).fract();
    let spread = 0.6 + 0.8 * even;
    let mut lcp = spread * if phone { 2_400.0 } else { 1_200.0 };
    if is_new && phone && cart {
        lcp *= slower;
    }
    let mut values = Values::EMPTY;
    values.set(Metric::Lcp, Value::new(Metric::Lcp, lcp).ok());
    values.set(
        Metric::Cls,
        Value::new(Metric::Cls, (number as f64 * 0.414_213_562_373_095).fract() / 8.0).ok(),
    );
    ViewUpdate {
        id: ViewId::new(start_ms.unsigned_abs(), number.unsigned_abs().into()),
        source: Source::Own { seq: 1 },
        received_ms: start_ms,
        url: "https://shop.example/".to_owned(),
        route: if cart { "/cart" } else { "/" }.to_owned(),
        navigation_type: Some(NavigationType::Navigate),
        device: Some(if phone { Device::Phone } else { Device::Desktop }),
        browser: Some("Chrome".to_owned()),
        os: None,
        connection: None,
        country: Some(if german { "DE" } else { "FR" }.to_owned()),
        release: Some(if is_new { "5.1" } else { "5.0" }.to_owned()),
        values,
        tti_gap: None,
        weight: Weight::ONE,
        context: Context::NONE,
    }
}

/// A server with the sites `shop`, whose release 5.1 is slower on phones, and `steady`. Returns the first day.
async fn server() -> (Server, i64) {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).await.unwrap();
    let first_ms = day_of(now_ms() as i64) - DAYS * DAY_MS;
    for (name, slower) in [("shop", 1.4), ("steady", 1.0)] {
        let (key, origins) = (format!("fvk_{name}"), vec!["*".to_owned()]);
        let site = NewSite { name: name.to_owned(), key, origins, created_ms: first_ms };
        let site = store.site_add(site).await.unwrap().id;
        let beacons: Vec<_> =
            (0..DAYS * 24 * PER_HOUR).map(|number| vec![view(first_ms, number, slower)]).collect();
        let (spool, up_to) = (SpoolId([7; 16]), beacons.len() as u64);
        let batch = LoadBatch { site, spool, after: 0, up_to, beacons, senders: Senders::Unknown };
        store.load(batch).await.unwrap();
    }
    store.cursors_forget(SpoolId([7; 16])).await.unwrap();
    store.maintain(now_ms() as i64, Retention::default()).await.unwrap();
    Store::close(&store).await;
    (Server::launch_on(folder, Launch::default()).await, first_ms)
}

fn text(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).unwrap().to_string()
}

fn numbers(points: &Json, field: &str) -> Vec<i64> {
    points.as_array().unwrap().iter().map(|point| point[field].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_have_every_step_and_count_every_page_view_once() {
    let (server, first_ms) = server().await;
    let (from, to) = (text(first_ms), text(first_ms + DAYS * DAY_MS));
    for (step, per_step, count) in [("hour", PER_HOUR, DAYS * 24), ("day", 24 * PER_HOUR, DAYS)] {
        let path = format!("sites/shop/series?from={from}&to={to}&step={step}&metric=LCP,CLS&percentile=90");
        let series = server.get(&path).await.unwrap();
        let lcp = &series["lines"][0]["metrics"]["LCP"]["points"];
        assert_eq!(numbers(lcp, "n"), vec![per_step; count as usize], "{step}");
        assert_eq!(series["steps"][1]["start"], series["steps"][0]["end"]);
        assert_eq!(
            (series["period"]["from"].as_str(), series["timezone"].as_str()),
            (Some(&*from), Some("UTC"))
        );
        let point = &lcp[0];
        let rated: i64 =
            ["good", "needs_improvement", "poor"].map(|rating| point[rating].as_i64().unwrap()).iter().sum();
        assert!(rated == per_step && point["value"].as_f64().unwrap() > 1_000.0, "{point}");
    }
    // A day's percentile is that of the report about the day.
    let end = text(first_ms + DAY_MS);
    let day =
        server.get(&format!("sites/shop/series?from={from}&to={end}&step=day&metric=LCP")).await.unwrap();
    let report = server.get(&format!("sites/shop/report?from={from}&to={end}&metrics=LCP")).await.unwrap();
    let point = &day["lines"][0]["metrics"]["LCP"]["points"][0];
    assert_eq!(point["value"], report["metrics"]["LCP"]["p75"]);
    assert_eq!(point["interval"], report["metrics"]["LCP"]["p75_interval"]);
    // Steps without page views are present.
    let before = text(first_ms - 2 * DAY_MS);
    let empty =
        server.get(&format!("sites/shop/series?from={before}&to={end}&step=day&metric=LCP")).await.unwrap();
    let points = &empty["lines"][0]["metrics"]["LCP"]["points"];
    assert_eq!(numbers(points, "n"), [0, 0, 24 * PER_HOUR]);
    assert!(points[0]["value"].is_null() && points[0]["interval"].is_null());
    // A line a value; the rest together.
    let by = format!("sites/shop/series?from={from}&to={to}&step=day&metric=LCP&by=country&top=1");
    let by = server.get(&by).await.unwrap();
    let lines = by["lines"].as_array().unwrap();
    assert_eq!((lines.len(), lines[1]["value"].as_str()), (2, Some("(other)")));
    let views =
        |line: &Json| -> i64 { line["views"].as_array().unwrap().iter().filter_map(Json::as_i64).sum() };
    assert_eq!(lines.iter().map(views).sum::<i64>(), DAYS * 24 * PER_HOUR);
    // The release that is new in the period is on the axis.
    assert_eq!(by["marks"][0]["release"], "5.1", "{}", by["marks"]);
    assert_eq!(
        (by["marks"].as_array().unwrap().len(), &by["marks"][0]["kind"]),
        (1, &Json::from("first_seen"))
    );
    // A client that has the answer is told so.
    let url = format!("{}/api/v1/sites/shop/series?from={from}&to={to}", server.url);
    let ask = || server.http.get(&url).bearer_auth(&server.token);
    let tag = ask().send().await.unwrap().headers()["etag"].clone();
    assert_eq!(ask().header("if-none-match", tag).send().await.unwrap().status(), 304);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_begin_in_the_time_zone_of_the_site() {
    let (server, first_ms) = server().await;
    let refused = server.cli(&["site", "update", "shop", "--timezone", "Berlin"]).await;
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("did you mean `Europe/Berlin`?"), "{refused}");
    let site = server.cli_json(&["site", "update", "shop", "--timezone", "asia/tokyo", "--json"]).await;
    assert_eq!(site["timezone"], "Asia/Tokyo", "in its usual spelling");
    let (from, to) = (text(first_ms + DAY_MS), text(first_ms + 3 * DAY_MS));
    let path = format!("sites/shop/series?from={from}&to={to}&step=day&metric=LCP");
    let series = fieldvitals_tests::eventually(|| async {
        let series = server.get(&path).await?;
        if series["timezone"] == "Asia/Tokyo" { Ok(series) } else { Err(series.to_string()) }
    })
    .await;
    let starts: Vec<&str> =
        series["steps"].as_array().unwrap().iter().map(|step| step["start"].as_str().unwrap()).collect();
    assert!(starts.len() == 3 && starts.iter().all(|start| start.ends_with("T15:00:00Z")), "{starts:?}");
    assert_eq!(numbers(&series["lines"][0]["metrics"]["LCP"]["points"], "n"), [24 * PER_HOUR; 3]);
    // Countries are kept by UTC days only.
    let country = server.get(&format!("{path}&country=DE")).await.unwrap();
    assert_eq!(country["timezone"], "UTC");
    assert!(country["timezone_note"].as_str().unwrap().contains("UTC days"), "{country}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_and_deploys_are_listed_and_on_the_axis() {
    let (server, first_ms) = server().await;
    let at = text(first_ms + 3 * DAY_MS + 5 * HOUR_MS);
    let two = server.cli(&["release", "add", "5.1"]).await;
    assert_eq!(two.status.code(), Some(2), "the store has several sites");
    let added = server.cli_json(&["release", "add", "5.1", "--site", "shop", "--at", &at, "--json"]).await;
    assert_eq!((&added["release"], &added["deployed"]), (&Json::from("5.1"), &Json::from(at.clone())));
    let listed = server.cli_json(&["release", "list", "--site", "shop", "--json"]).await;
    let answer = server.get("sites/shop/releases").await.unwrap();
    assert_eq!(listed["releases"], answer["releases"]);
    let half = DAYS * 24 * PER_HOUR / 2;
    let [new, old] = [&answer["releases"][0], &answer["releases"][1]];
    assert_eq!(
        (&new["release"], &new["views"], &new["deployed"]),
        (&"5.1".into(), &half.into(), &at.clone().into())
    );
    assert_eq!((&old["release"], &old["first_seen"]), (&"5.0".into(), &text(first_ms).into()));
    assert_eq!(old["last_seen"], text(first_ms + 2 * DAY_MS));
    let series = server.get("sites/shop/series?period=7d&metric=LCP").await.unwrap();
    assert_eq!(series["marks"], serde_json::json!([{"at": at, "release": "5.1", "kind": "deploy"}]));
    let shown = server.cli(&["report", "--site", "shop", "--trend", "--period", "7d"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("LCP") && shown.contains("Releases: 5.1 deployed"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_regression_is_found_and_steady_traffic_is_not_blamed() {
    let (server, first_ms) = server().await;
    let (from, to, middle) =
        (text(first_ms), text(first_ms + DAYS * DAY_MS), text(first_ms + DAYS / 2 * DAY_MS));
    let whole = format!("from={from}&to={to}");
    for (sides, by) in [
        (format!("{whole}&release=5.1&against=5.0"), "release"),
        (format!("from={middle}&to={to}&against=previous"), "period"),
        (format!("from={middle}&to={to}&against_from={from}&against_to={middle}"), "period"),
    ] {
        let shop = server.get(&format!("sites/shop/compare?{sides}")).await.unwrap();
        assert_eq!(shop["by"], by);
        assert_eq!(shop["metrics"]["LCP"]["verdict"], "worse", "{sides}: {shop}");
        assert_eq!(shop["metrics"]["CLS"]["verdict"], "no clear change");
        assert_eq!(shop["reweighted"]["metrics"]["LCP"]["verdict"], "worse");
        assert_eq!(shop["reweighted"]["share"], serde_json::json!([1.0, 1.0]));
        let moved = &shop["routes"][0];
        assert_eq!((&moved["route"], &moved["verdict"]), (&"/cart".into(), &"worse".into()), "{shop}");
        let steady = server.get(&format!("sites/steady/compare?{sides}")).await.unwrap();
        for (metric, change) in steady["metrics"].as_object().unwrap() {
            assert_eq!(change["verdict"], "no clear change", "{metric}: {steady}");
        }
        for route in steady["routes"].as_array().unwrap() {
            assert_eq!(route["verdict"], "no clear change", "{route}");
        }
    }
    let devices = format!("sites/steady/compare?{whole}&by=device&value=phone&against=desktop");
    let devices = server.get(&devices).await.unwrap();
    assert_eq!((&devices["by"], &devices["metrics"]["LCP"]["verdict"]), (&"device".into(), &"worse".into()));
    assert_eq!(devices["current"]["value"], "phone");
    let report = server.get(&format!("sites/shop/report?from={middle}&to={to}")).await.unwrap();
    let previous = &report["previous"];
    assert_eq!(previous["period"]["from"], from);
    assert_eq!(previous["metrics"]["LCP"]["verdict"], "worse", "{previous}");
    assert_eq!(previous["metrics"]["LCP"]["current"]["value"], report["metrics"]["LCP"]["p75"]);

    // The rows of a ranking have the same time before.
    let pages = server.get(&format!("sites/shop/pages?from={middle}&to={to}&metrics=LCP")).await.unwrap();
    assert_eq!(pages["previous_period"]["from"], from);
    for (route, verdict) in [("/cart", "worse"), ("/", "no clear change")] {
        let row = pages["pages"].as_array().unwrap().iter().find(|row| row["route"] == route).unwrap();
        let before = format!("sites/shop/report?route={route}&from={from}&to={middle}&metrics=LCP");
        let before = server.get(&before).await.unwrap()["metrics"]["LCP"].clone();
        let shown = &row["previous"]["LCP"];
        assert_eq!((&shown["n"], &shown["p75"]), (&before["n"], &before["p75"]), "{row}");
        assert_eq!((&shown["verdict"], &row["previous"]["CLS"]), (&verdict.into(), &Json::Null), "{row}");
    }
    let summary = server.get(&format!("sites/shop/summary?from={middle}&to={to}")).await.unwrap();
    let lcp = &summary["pages"][0]["previous"]["LCP"];
    assert_eq!((&summary["pages"][0]["route"], &lcp["verdict"]), (&"/cart".into(), &"worse".into()));
    let first = server.get(&format!("sites/shop/pages?from={from}&to={middle}")).await.unwrap();
    assert!(first["pages"][0]["previous"].is_null(), "nothing was before: {first}");

    let told = server.cli(&["compare", "--site", "shop", "--release", "5.1", "--against", "5.0"]).await;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success() && text.contains("worse") && text.contains("/cart"), "{text}");
    let json = server.cli_json(&[
        "compare",
        "--site",
        "shop",
        "--release",
        "5.1",
        "--against",
        "5.0",
        "--format",
        "json",
    ]);
    assert_eq!(json.await["metrics"]["LCP"]["verdict"], "worse");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_questions_say_what_is_allowed() {
    let (server, _) = server().await;
    for (path, expected) in [
        ("series?step=month", "`step` is `month`: expected hour, day or week"),
        ("series?percentile=0", "`percentile` is `0`: expected 1 to 99"),
        ("series?percentile=100", "expected 1 to 99"),
        ("series?metric=LPC", "unknown metric `LPC`; expected one of LCP, INP"),
        ("series?metrics=LCP", "`metric` names the metrics"),
        ("series?by=colour", "`by` is `colour`: did you mean `country`? expected device"),
        ("series?by=device&top=21", "`top` is `21`: expected 1 to 20"),
        ("series?top=3", "`top` counts the lines of `by`"),
        ("series?by=country&step=hour", "hours are not kept by country"),
        ("series?period=60d&step=hour", "hours are kept from "),
        ("series?from=2036-01-01T00:00:00Z&to=2036-01-02T00:00:00Z", "the period is in the future"),
        ("series?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "`from` is not before `to`"),
        ("series?browser=chrome", "no page view has this browser; did you mean `Chrome`?"),
        ("series?connection=4g", "no page view has this connection; the site has none"),
        ("series?by=viewport", "`by` is `viewport`: expected device"),
        ("compare?period=7d", "`against` is missing"),
        ("compare?against=5.0", "the other `release` is missing"),
        (
            "compare?release=5.1&against=5.9",
            "`release` is `5.9`: no page view has this release; did you mean `5.",
        ),
        ("compare?by=device&value=phone", "`by` needs two values"),
        ("compare?value=phone&against=desktop", "`value` is one of `by`"),
        (
            "compare?by=device&value=phone&against=watch",
            "`device` is `watch`: expected phone, tablet or desktop",
        ),
        ("compare?against=previous&against_from=2026-01-01T00:00:00Z", "exclude each other"),
        ("compare?against_from=yesterday", "`against_from`, `against_to`"),
        ("compare?against=previous&limit=101", "`limit` is `101`: expected 0 to 100"),
        ("compare?against=previous&reweight=yes", "`reweight`: expected true or false"),
        ("releases?limit=0", "`limit` is `0`: expected 1 to 100"),
    ] {
        let refused = server.get(&format!("sites/shop/{path}")).await.unwrap_err();
        assert!(refused.starts_with("400") && refused.contains(expected), "{path}: {refused}");
    }
    let unknown = server.get("sites/shpo/series").await.unwrap_err();
    assert!(unknown.starts_with("404"), "{unknown}");
    let route = server.get("sites/shop/series?route=/crt&metric=LCP").await.unwrap();
    assert_eq!(route["nearest_routes"][0], "/cart", "{route}");
}
