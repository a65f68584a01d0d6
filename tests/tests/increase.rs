//! Budgets relative to a baseline: releases, periods, a stable release beside a canary.

use fieldvitals_store_postgres::testing::Database;
use fieldvitals_tests::beacon::now_ms;
use fieldvitals_tests::server::Server;
use serde_json::{Value, json};
use vitals::view::ViewId;

/// Page views of a release that start within some hours before now.
#[derive(Clone, Copy)]
struct Views {
    release: &'static str,
    device: &'static str,
    /// The first and the last hour before now.
    hours: [u64; 2],
    n: u64,
    /// The factor of LCP, which is from 1,800 to 2,200 ms.
    slower: f64,
}

const OLD: Views = Views { release: "5.0.9", device: "phone", hours: [46, 24], n: 600, slower: 1.0 };
const NEW: Views = Views { release: "5.1.0", device: "phone", hours: [22, 1], n: 600, slower: 1.0 };

impl Views {
    /// The page views as beacons of sixteen, for a server that is asked at `now_ms`.
    fn beacons(&self, key: &str, now_ms: u64) -> Vec<String> {
        let [first, last] = self.hours.map(|hours| now_ms - hours * 3_600_000);
        let view = |number: u64| {
            let start_ms = first + (last - first) * number / self.n;
            // Each side has numbers of its own.
            let side = u128::from(self.device == "phone") * 2 + u128::from(self.release == NEW.release);
            let random =
                (u128::from(number) * 4 + side).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let lcp = self.slower * (1_800.0 + (number * 7_919 % 401) as f64);
            json!({"id": ViewId::new(start_ms, random).to_string(), "nav": "navigate", "values": {"LCP": lcp}})
        };
        let views: Vec<Value> = (0..self.n).map(view).collect();
        let beacon = |views: &[Value]| {
            let body = json!({"v": 1, "site": key, "seq": 1, "url": "https://shop.example/p", "release": self.release,
                "device": self.device, "connection": "4g", "views": views});
            body.to_string()
        };
        views.chunks(16).map(beacon).collect()
    }
}

/// Sends page views, and waits until they are stored.
async fn send(server: &Server, all: &[Views]) {
    let now_ms = now_ms();
    for body in all.iter().flat_map(|views| views.beacons(&server.key, now_ms)) {
        assert_eq!(server.post("/v1/beacon", body).await.0, 204);
    }
    server.settled().await;
}

async fn with(all: &[Views]) -> Server {
    let server = Server::start().await;
    send(&server, all).await;
    server
}

const INCREASE: &str = "[[budget]]\nroute = \"/p\"\nmetric = \"LCP\"\nmax_increase = \"5%\"\n";

async fn check(server: &Server, text: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let path = server.data_dir().join("budgets.toml");
    std::fs::write(&path, text).expect("the file is written");
    let check = ["check", "--budget", path.to_str().expect("a path of UTF-8"), "--release", "5.1.0"];
    let output = server.cli(&[&check, args].concat()).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn slower_release_fails_and_names_its_numbers() {
    let server = with(&[OLD, Views { slower: 1.4, ..NEW }]).await;
    let (code, out, err) = check(&server, INCREASE, &["--format", "json"]).await;
    assert_eq!(code, Some(1), "{out}{err}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    let budget = &answer["budgets"][0];
    let increase = &budget["increase"];
    assert_eq!((&budget["verdict"], &budget["n"]), (&json!("fail"), &json!(600)));
    assert_eq!(
        (&increase["baseline"], &increase["against"]["release"], &increase["against"]["n"]),
        (&json!("previous"), &json!("5.0.9"), &json!(600))
    );
    // 75 % of 1,800 to 2,200 ms are up to 2,100 ms; 5 % of it are 105 ms.
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("a number in {budget}"));
    let near = |value: &Value, expected: f64, by: f64| {
        assert!((number(value) - expected).abs() <= by, "{value} is not {expected}: {budget}");
    };
    near(&increase["against"]["measured"], 2_100.0, 3.0);
    near(&budget["max"], 2_205.0, 4.0);
    near(&budget["measured"], 2_940.0, 5.0);
    near(&increase["unweighted"], 2_940.0, 5.0);
    near(&increase["change"], 840.0, 8.0);
    near(&increase["change_percent"], 40.0, 0.5);
    let [low, high] = [0, 1].map(|end| number(&increase["interval"][end]));
    assert!(105.0 < low && low < 840.0 && 840.0 < high, "{increase}");
    // Each output names baseline and change.
    for format in ["text", "md", "junit", "github", "code-quality", "sarif"] {
        let (code, out, err) = check(&server, INCREASE, &["--format", format]).await;
        assert_eq!(code, Some(1), "{format}: {out}{err}");
        let told = out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            told.contains("5.0.9") && told.contains("600 page views") && told.contains("+40.0 %"),
            "{format}: {out}"
        );
    }
    let (_, out, _) = check(&server, INCREASE, &["--format", "browser-performance"]).await;
    assert!(out.contains("LCP p75 (ms) at the mix of previous"), "{out}");
    check(&server, INCREASE, &["--record"]).await;
    let violations = server.get("sites/default/violations").await.unwrap();
    near(&violations["violations"][0]["max"], 2_205.0, 4.0);
}

#[tokio::test]
async fn equal_release_passes_against_every_baseline() {
    let stable = Views { release: "5.0.9", hours: [22, 1], ..OLD };
    let server = with(&[OLD, stable, NEW]).await;
    for baseline in ["previous", "release:5.0.9", "beside:5.0.9", "period:48h"] {
        let text = format!("{INCREASE}baseline = \"{baseline}\"\n");
        for looks in ["one", "many"] {
            let (code, out, err) = check(&server, &text, &["--looks", looks, "--period", "23h"]).await;
            assert_eq!(code, Some(0), "{baseline} {looks}: {out}{err}");
            assert!(out.contains("pass"), "{out}");
        }
    }
    let (code, out, err) = check(&server, INCREASE, &["--wait", "5m", "--every", "1s"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let query = "metric=LCP&max_increase=5%25&min_increase=50&baseline=beside:5.0.9&release=5.1.0&looks=many";
    let answer = server.get(&format!("sites/default/gate?{query}")).await.unwrap();
    let increase = &answer["budgets"][0]["increase"];
    assert_eq!((&answer["verdict"], &increase["min"]), (&json!("pass"), &json!(50.0)), "{answer}");
    // The 600 page views of the same time, without those of the days before.
    let n = increase["against"]["n"].as_u64().unwrap();
    assert!((590..=601).contains(&n), "{answer}");
}

#[tokio::test]
async fn first_release_has_a_rule_of_its_own() {
    let server = with(&[NEW]).await;
    let (code, out, err) = check(&server, INCREASE, &[]).await;
    assert_eq!(code, Some(3), "{out}{err}");
    let told = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("no baseline: no other release has page views in the 7 days before"), "{out}");
    let text = format!("{INCREASE}on_no_baseline = \"warn\"\n");
    let (code, out, err) = check(&server, &text, &[]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        out.contains("inconclusive") && out.contains("no baseline"),
        "it is no pass of the budget: {out}"
    );
    check(&server, &text, &["--record"]).await;
    let all = server.get("sites/default/violations?status=all").await.unwrap();
    assert_eq!(all["violations"], json!([]));
    // A release whose baseline is deployed, and has no page views.
    let marked = server.cli(&["release", "add", "5.0.9", "--site", "default"]).await;
    assert!(marked.status.success(), "{}", String::from_utf8_lossy(&marked.stderr));
    let text = format!("{INCREASE}baseline = \"release:5.0.9\"\n");
    let (code, out, err) = check(&server, &text, &[]).await;
    assert_eq!(code, Some(3), "{out}{err}");
    assert!(
        out.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains("no page view of 5.0.9 on a matching route"),
        "{out}"
    );
}

#[tokio::test]
async fn baseline_that_cannot_be_is_refused() {
    let few = |views: Views| Views { n: 16, ..views };
    let server = with(&[few(OLD), few(NEW)]).await;
    for (baseline, expected) in [
        (
            "release:5.0.8",
            "budgets.toml:1: `baseline` is `5.0.8`: no page view has this release, and no deploy is marked; did you mean `5.0.9`?",
        ),
        ("beside:stable", "budgets.toml:1: `baseline` is `stable`: no page view has this release"),
        ("beside:5.1.0", "budgets.toml:1: the baseline `beside:5.1.0` is the release that is judged"),
    ] {
        let (code, out, err) = check(&server, &format!("{INCREASE}baseline = \"{baseline}\"\n"), &[]).await;
        assert_eq!(code, Some(2), "{baseline}: {out}{err}");
        assert!(err.contains(expected), "{baseline}: {err}");
    }
    let asked = async |query: &str| server.get(&format!("sites/default/gate?metric=LCP&{query}")).await;
    for (query, expected) in [
        ("max_increase=5%25", "the baseline `previous` compares releases, and no release is judged"),
        ("max_increase=5%25&baseline=release:5.0.8&release=5.1.0", "did you mean `5.0.9`?"),
        ("max_increase=5&release=5.1.0", "`max_increase` is `5`; expected per cent"),
        ("max=2500&baseline=previous", "`baseline` without `max_increase`"),
        ("max=2500&max_increase=5%25", "`max` and `max_increase` in one budget"),
        ("max_incraese=5%25", "max_increase"),
    ] {
        let problem = asked(query).await.unwrap_err();
        assert!(
            problem.contains(expected) && problem.contains("\"code\":\"parameter\""),
            "{query}: {problem}"
        );
    }
    // Few page views are no verdict, and the answer says how many it takes.
    let answer = asked("max_increase=5%25&release=5.1.0").await.unwrap();
    let budget = &answer["budgets"][0];
    assert_eq!(
        (&budget["verdict"], &budget["samples_needed"]),
        (&json!("inconclusive"), &json!(100)),
        "{answer}"
    );
}

/// The same page views on both stores, with more phones in the new release and nothing slower.
#[tokio::test]
async fn another_audience_is_no_regression_on_either_store() {
    let phones = |views: Views, n| Views { n, slower: 2.0 * views.slower, ..views };
    let desktops = |views: Views, n| Views { device: "desktop", n, ..views };
    let all = [phones(OLD, 300), desktops(OLD, 700), phones(NEW, 700), desktops(NEW, 300)];
    let database = Database::empty();
    let sqlite = Server::start().await;
    let postgres = Server::start_with(&["--database-url", &database.url]).await;
    let now_ms = now_ms();
    for server in [&sqlite, &postgres] {
        for body in all.iter().flat_map(|views| views.beacons(&server.key, now_ms)) {
            assert_eq!(server.post("/v1/beacon", body).await.0, 204);
        }
        server.settled().await;
    }
    let time = |ms: u64| jiff::Timestamp::from_millisecond(ms as i64).expect("a time");
    let (from, to) = (time(now_ms - 7 * 24 * 3_600_000), time(now_ms));
    let query = format!("sites/default/gate?metric=LCP&max_increase=5%25&release=5.1.0&from={from}&to={to}");
    let [one, other] = [sqlite.get(&query).await.unwrap(), postgres.get(&query).await.unwrap()];
    let budget = &one["budgets"][0];
    let of = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("a number in {budget}"));
    assert_eq!(budget["verdict"], "pass", "{budget}");
    assert!(of(&budget["increase"]["unweighted"]) > of(&budget["max"]), "without weights: {budget}");
    assert_eq!(one["budgets"], other["budgets"]);
}
