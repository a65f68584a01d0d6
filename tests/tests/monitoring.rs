//! The server's own health: `/metrics` and the files for Prometheus and Grafana, readiness, thresholds, history, the log.

#![allow(clippy::unwrap_used)]

use fieldvitals_store_sqlite::SqliteStore;
use fieldvitals_tests::beacon::{beacon, now_ms, view_id};
use fieldvitals_tests::eventually;
use fieldvitals_tests::filled::fill;
use fieldvitals_tests::server::{Launch, Server, run_to_the_end};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The folder of the files for Prometheus and Grafana.
fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring")
}

async fn visit(server: &Server, number: u128) {
    let body =
        beacon(&server.key, view_id(number), "https://shop.example/", &json!({"LCP": 900.0, "CLS": 0.1}));
    assert_eq!(server.post("/v1/beacon", body.to_string()).await, (204, Value::Null));
}

async fn metrics(server: &Server) -> String {
    let request = server.http.get(format!("{}/metrics", server.url)).bearer_auth(&server.token);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["content-type"].to_str().unwrap(),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    response.text().await.unwrap()
}

/// The value of a sample, such as `a_total{b="c"}`.
fn value(text: &str, sample: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{sample} is not among {text}")).parse().unwrap()
}

/// The names of samples in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

/// A server with a visit, an answer, and the vitals of its site in `/metrics`.
async fn used(args: &[&str]) -> Server {
    let server = Server::start_with(&[args, &["--metrics-site", "default"]].concat()).await;
    visit(&server, 1).await;
    server.settled().await;
    server.get("sites/default/report?period=24h").await.unwrap();
    server
}

/// Sets limits. Returns the status and the answer.
async fn put(server: &Server, token: &str, body: &Value) -> (u16, Value) {
    let request = server.http.put(format!("{}/api/v1/status/thresholds", server.url)).bearer_auth(token);
    let response = request.body(body.to_string()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Limits that the memory of every process exceeds, and others that no test exceeds: the machine of a test may have a full
/// disk and busy cores.
fn only_memory(warning: f64, critical: f64) -> Value {
    let quiet = json!({"warning": 100.0, "critical": 100.0});
    json!({
        "memory_percent": {"warning": warning, "critical": critical}, "disk_percent": quiet, "cpu_percent": quiet,
        "api_p95_ms": {"warning": 1e6, "critical": 1e6}, "store_p95_ms": {"warning": 1e6, "critical": 1e6},
    })
}

fn check<'a>(status: &'a Value, name: &str) -> &'a Value {
    let checks = status["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name} is not in {status}"))
}

#[tokio::test]
async fn metrics_need_a_token_and_say_what_the_status_says() {
    let server = used(&[]).await;
    let anonymous = server.http.get(format!("{}/metrics", server.url)).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
    let unknown = beacon("fvk_unknown", view_id(2), "https://shop.example/", &json!({"LCP": 1.0}));
    assert_eq!(server.post("/v1/beacon", unknown.to_string()).await.0, 404);
    let text = metrics(&server).await;
    for (sample, expected) in [
        ("fieldvitals_beacons_received_total", 2.0),
        ("fieldvitals_beacons_total{outcome=\"accepted\",reason=\"\"}", 1.0),
        ("fieldvitals_beacons_total{outcome=\"invalid\",reason=\"unknown_site\"}", 1.0),
        ("fieldvitals_requests_total{class=\"beacon\",ending=\"ok\"}", 1.0),
        ("fieldvitals_requests_total{class=\"beacon\",ending=\"4xx\"}", 1.0),
        ("fieldvitals_request_duration_seconds_count{class=\"beacon\"}", 1.0),
        ("fieldvitals_request_duration_seconds_bucket{le=\"+Inf\",class=\"api\"}", 1.0),
        ("fieldvitals_question_duration_seconds_count{kind=\"version\"}", 1.0),
        ("fieldvitals_commit_duration_seconds_count", 1.0),
        ("fieldvitals_spool_beacons_total{state=\"loaded\"}", 1.0),
        ("fieldvitals_ready", 1.0),
        ("fieldvitals_health_limit{check=\"api_p95_ms\",state=\"warning\"}", 200.0),
        ("fieldvitals_sites", 1.0),
    ] {
        assert_eq!(value(&text, sample), expected, "{sample}");
    }
    assert!(value(&text, "process_cpu_seconds_total") > 0.0 && value(&text, "process_open_fds") > 3.0);
    assert!(
        value(&text, "process_resident_memory_bytes") > 1e6
            && value(&text, "fieldvitals_disk_used_bytes") > 0.0
    );
    assert!(value(&text, "fieldvitals_spool_age_seconds") < 30.0 && text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn vitals_of_named_sites_are_metrics() {
    let mut server = used(&[]).await;
    server.terminate().await;
    server.start_again().await;
    let text = eventually(|| async {
        let text = metrics(&server).await;
        if text.contains("fieldvitals_vital_seconds") { Ok(text) } else { Err(text) }
    })
    .await;
    let p75 = value(&text, "fieldvitals_vital_seconds{site=\"default\",metric=\"LCP\",quantile=\"0.75\"}");
    assert!((p75 / 0.9 - 1.0).abs() < 0.006, "{p75}");
    let good = "fieldvitals_vital_views{site=\"default\",metric=\"CLS\",rating=\"good\"}";
    assert_eq!(value(&text, good), 1.0);

    // Names in files for Prometheus and Grafana, and in the documentation.
    let exported = names(&text);
    let rules = std::fs::read_to_string(files().join("prometheus-rules.yml")).unwrap();
    let mut asked = 0;
    for file in ["prometheus-rules.yml", "grafana-service.json", "grafana-vitals.json", "README.md"] {
        let text = std::fs::read_to_string(files().join(file)).unwrap();
        let is_name = |char: char| char.is_ascii_alphanumeric() || "_:".contains(char);
        for name in text.split(|char| !is_name(char)) {
            let is_metric = name.starts_with("fieldvitals_") || name.starts_with("process_");
            let is_recorded = name.starts_with("fieldvitals:");
            if is_recorded {
                assert!(rules.contains(&format!("record: {name}")), "{file}: {name} is not recorded");
            } else if is_metric {
                assert!(exported.contains(name), "{file}: {name} is not among {exported:?}");
            }
            asked += usize::from(is_metric || is_recorded);
        }
    }
    assert!(asked > 80, "{asked}");
    for file in ["grafana-service.json", "grafana-vitals.json"] {
        let board: Value = serde_json::from_slice(&std::fs::read(files().join(file)).unwrap()).unwrap();
        assert!(board["panels"].as_array().is_some_and(|panels| panels.len() > 5), "{file}");
    }
}

#[tokio::test]
async fn thresholds_change_the_state_and_the_exit_code_and_survive_a_restart() {
    let mut server = Server::start().await;
    for (limits, state, code) in [
        (only_memory(100.0, 100.0), "ok", 0),
        (only_memory(0.0, 100.0), "warning", 1),
        (only_memory(0.0, 0.0), "critical", 2),
    ] {
        let (status, set) = put(&server, &server.token, &limits).await;
        assert_eq!((status, &set["from"]), (200, &json!("api")), "{set}");
        let status = server.get("status").await.unwrap();
        let memory = check(&status, "memory_percent");
        assert_eq!((&status["health"], &memory["state"]), (&json!(state), &json!(state)), "{status}");
        assert_eq!(memory["recommendation"].is_string(), code > 0, "{memory}");
        assert!(memory["value"].as_f64().is_some_and(|percent| percent > 0.0), "{memory}");
        let shown = server.cli(&["status"]).await;
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert_eq!(shown.status.code(), Some(code), "{text}");
        assert!(text.contains("memory_percent") && text.contains(state), "{text}");
        assert_eq!(text.contains("--answers-mib"), code > 0, "{text}");
    }
    server.terminate().await;
    server.start_again().await;
    let status = server.get("status").await.unwrap();
    assert_eq!((&status["health"], &status["thresholds"]), (&json!("critical"), &json!("api")), "{status}");
    let text = metrics(&server).await;
    assert_eq!(value(&text, "fieldvitals_health_state{check=\"memory_percent\"}"), 2.0);

    let wrong = server.command(&["status", "--token", "fvt_wrong"]).output().await.unwrap();
    assert_eq!(wrong.status.code(), Some(3), "no state of the server");
    server.kill().await;
    assert_eq!(server.cli(&["status"]).await.status.code(), Some(4));
}

#[tokio::test]
async fn wrong_thresholds_are_refused_with_the_nearest_name_and_change_nothing() {
    let server = Server::start().await;
    let before = server.get("status/thresholds").await.unwrap();
    assert_eq!(before["thresholds"]["api_p95_ms"], json!({"warning": 200.0, "critical": 1000.0}), "{before}");
    for (body, words) in [
        (json!({"api_p95": {"warning": 1, "critical": 2}}), "did you mean `api_p95_ms`?"),
        (json!({"cpu_percent": {"warning": 90, "critical": 80}}), "must be at least warning"),
        (json!({"cpu_percent": {"warning": 90, "crit": 95}}), "unknown field `crit`"),
        (json!({"cpu_percent": {"warning": 90, "critical": 1e9}}), "not from 0 to 100"),
        (json!([]), "the body cannot be read"),
    ] {
        let (status, answer) = put(&server, &server.token, &body).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("thresholds_invalid")), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{body}: {answer}");
    }
    let (status, _) = put(&server, &server.token, &json!({"x": "y".repeat(20_000)})).await;
    assert_eq!(status, 413);
    for scope in ["read", "write"] {
        let token = server.cli_json(&["token", "add", scope, "--scope", scope, "--json"]).await;
        let token = token["token"].as_str().unwrap().to_owned();
        let (status, answer) = put(&server, &token, &json!({})).await;
        assert_eq!((status, &answer["error"]["code"]), (403, &json!("token_scope")), "{answer}");
    }
    assert_eq!(server.get("status/thresholds").await.unwrap(), before);
}

#[tokio::test]
async fn thresholds_of_a_file_are_the_operators() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("limits.toml");
    let launch = Launch::with(&["--thresholds", file.to_str().unwrap()]);
    for (text, words) in [
        (None, "limits.toml: it cannot be read"),
        (Some("cpu = { warning = 1, critical = 2 }"), "did you mean `cpu_percent`?"),
    ] {
        let _ = text.map(|text| std::fs::write(&file, text).unwrap());
        let data = TempDir::new().unwrap();
        let (code, log) = run_to_the_end(data.path(), &launch).await;
        assert!(code == Some(2) && log.contains(words), "{code:?} {log}");
    }
    std::fs::write(&file, "memory_percent = { warning = 0, critical = 0 }\n").unwrap();
    let server = Server::launch(launch).await;
    let status = server.get("status").await.unwrap();
    assert_eq!((&status["thresholds"], &status["health"]), (&json!("file"), &json!("critical")), "{status}");
    let (status, answer) = put(&server, &server.token, &json!({})).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("thresholds_in_file")), "{answer}");
}

/// A history of 30 hours that ended an hour ago, with an hour in which the server was off.
fn past() -> String {
    let now_ms = now_ms() as i64;
    let minutes = (60..=30 * 60_i64).rev().filter(|ago| !(120..180).contains(ago));
    let line = |ago: i64| {
        let row = json!({
            "at_ms": now_ms - ago * 60_000, "up_s": 60.0, "requests": 10, "failed": 0,
            "values": {"api_p95_ms": if ago == 600 { 1_500.0 } else { 20.0 }, "of_a_later_release": 1.0},
        });
        format!("{row}\n")
    };
    minutes.map(line).collect()
}

#[tokio::test]
async fn history_survives_restarts_and_tells_the_availability() {
    let data = TempDir::new().unwrap();
    std::fs::write(data.path().join("health.jsonl"), format!("{}{{\"torn", past())).unwrap();
    let mut server = Server::launch_on(data, Launch::default()).await;
    for restart in [false, true] {
        let history = server.get("status/history?period=48h").await.unwrap();
        let points = history["points"].as_array().unwrap();
        assert!((100..=300).contains(&points.len()), "{}", points.len());
        let slow: Vec<&Value> =
            points.iter().filter(|point| point["values"]["api_p95_ms"] == 1_500.0).collect();
        assert!(slow.len() == 1 && slow[0]["state"] == "critical", "{slow:?}");
        let rows: f64 = points.iter().filter_map(|point| point["up_s"].as_f64()).sum();
        let lines = std::fs::read_to_string(server.data_dir().join("health.jsonl")).unwrap();
        if restart {
            // The stop has written a row, and with it the file without the torn line.
            assert_eq!(lines.lines().count(), 30 * 60 - 59 - 60 + 1);
            assert!(!lines.contains("torn") && rows > 100_000.0, "{rows}");
        }
        let status = server.get("status").await.unwrap();
        let available = check(&status, "availability_percent");
        // 28 of 29 hours; after the restart, also the hour since.
        let percent = available["value"].as_f64().unwrap();
        assert!(if restart { percent < 95.0 } else { (96.0..97.0).contains(&percent) }, "{available}");
        assert_eq!(available["state"], "critical", "{available}");
        if !restart {
            assert_eq!(server.terminate().await, Some(0));
            server.start_again().await;
        }
    }
    let wrong = server.get("status/history?period=yesterday").await.unwrap_err();
    assert!(wrong.starts_with("400") && wrong.contains("expected hours or days"), "{wrong}");
}

#[tokio::test]
async fn log_of_json_names_slow_requests_and_questions_without_secrets() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).await.unwrap();
    fill(&store, "shop", 4_000).await;
    store.close().await;
    let launch = Launch::with(&["--log-format", "json", "--slow-ms", "1"]);
    let server = Server::launch_on(folder, launch).await;
    let token = server.cli_json(&["token", "add", "reader", "--scope", "read", "--json"]).await;
    let token = token["token"].as_str().unwrap().to_owned();
    let path = "sites/shop/attribution?metric=lcp&period=7d";
    let url = format!("{}/api/v1/{path}", server.url);
    let answer = server.http.get(url).bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let lines = eventually(|| async {
        let log = server.log();
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let has = |message: &str| lines.iter().any(|line| line["message"] == message);
        if has("slow request") && has("slow question") { Ok(lines) } else { Err(log) }
    })
    .await;
    for (message, key, kind) in [("slow request", "class", "api"), ("slow question", "kind", "")] {
        let line = lines.iter().rfind(|line| line["message"] == message).unwrap();
        assert_eq!((&line["level"], &line["site"]), (&json!("WARN"), &json!("shop")), "{line}");
        assert_eq!(line["route"], "/api/v1/sites/{site}/attribution", "{line}");
        assert!(line[key].as_str().is_some_and(|text| text.contains(kind)), "{line}");
        assert!(line["took_ms"].as_u64() >= Some(1), "{line}");
    }
    assert!(!server.log().contains(&token) && !server.log().contains("metric=lcp"), "{}", server.log());
}

/// A Prometheus that scrapes a server with the files of the documentation, each second.
struct Prometheus {
    url: String,
    _child: Child,
    _folder: TempDir,
}

impl Prometheus {
    async fn start(server: &Server) -> Self {
        let folder = TempDir::new().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = std::fs::read_to_string(files().join("prometheus.yml")).unwrap();
        let target = server.url.strip_prefix("http://").unwrap();
        assert!(config.contains("127.0.0.1:8080") && config.contains("interval: 15s"));
        let config = config.replace("127.0.0.1:8080", target).replace("interval: 15s", "interval: 1s");
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        std::fs::write(folder.path().join("fieldvitals-token"), &server.token).unwrap();
        let rules = folder.path().join("prometheus-rules.yml");
        std::fs::copy(files().join("prometheus-rules.yml"), &rules).unwrap();
        let checked = Command::new("promtool").args(["check", "rules"]).arg(&rules).output().await;
        let checked = checked.expect("promtool runs: `apt-get install prometheus` installs it");
        assert!(checked.status.success(), "{checked:?}");
        let address = format!("127.0.0.1:{port}");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus runs");
        Self { url: format!("http://{address}/api/v1"), _child: child, _folder: folder }
    }

    /// Asks the API of Prometheus.
    async fn get(&self, path: &str) -> Result<Value, String> {
        let answer = reqwest::get(format!("{}/{path}", self.url)).await.map_err(|error| error.to_string())?;
        answer.json().await.map_err(|error| error.to_string())
    }

    /// Evaluates a query.
    async fn query(&self, query: &str) -> Result<Value, String> {
        let url = reqwest::Url::parse_with_params(&format!("{}/query", self.url), [("query", query)]);
        let answer = reqwest::get(url.unwrap()).await.map_err(|error| error.to_string())?;
        answer.json().await.map_err(|error| error.to_string())
    }

    /// Waits until the alert of a check fires, or does not.
    async fn alert(&self, name: &str, check: &str, fires: bool) {
        eventually(|| async {
            let alerts = self.get("alerts").await?;
            let is_firing = alerts["data"]["alerts"].as_array().is_some_and(|alerts| {
                alerts.iter().any(|alert| {
                    let labels = &alert["labels"];
                    labels["alertname"] == name && labels["check"] == check && alert["state"] == "firing"
                })
            });
            if is_firing == fires { Ok(()) } else { Err(alerts.to_string()) }
        })
        .await;
    }
}

#[tokio::test]
async fn prometheus_scrapes_a_server_and_a_rule_fires_and_recovers() {
    let server = used(&[]).await;
    put(&server, &server.token, &only_memory(100.0, 100.0)).await;
    let prometheus = Prometheus::start(&server).await;
    eventually(|| async {
        let targets = prometheus.get("targets").await?;
        let target = &targets["data"]["activeTargets"][0];
        let is_up = target["health"] == "up";
        if is_up { Ok(()) } else { Err(targets.to_string()) }
    })
    .await;
    let rules = prometheus.get("rules").await.unwrap();
    let groups = rules["data"]["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 3, "{rules}");
    let accepted = eventually(|| async {
        let answer = prometheus.query("fieldvitals_beacons_total{outcome=\"accepted\"}").await?;
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned).ok_or(answer.to_string())
    })
    .await;
    assert_eq!(accepted, "1");

    prometheus.alert("FieldvitalsCritical", "memory_percent", false).await;
    assert_eq!(put(&server, &server.token, &only_memory(0.0, 0.0)).await.0, 200);
    prometheus.alert("FieldvitalsCritical", "memory_percent", true).await;
    assert_eq!(put(&server, &server.token, &only_memory(100.0, 100.0)).await.0, 200);
    prometheus.alert("FieldvitalsCritical", "memory_percent", false).await;
    // Every panel of the dashboards asks a query.
    for file in ["grafana-service.json", "grafana-vitals.json"] {
        let board: Value = serde_json::from_slice(&std::fs::read(files().join(file)).unwrap()).unwrap();
        for target in board["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array())
        {
            for query in target.iter().map(|target| target["expr"].as_str().unwrap()) {
                let query = query.replace("$__rate_interval", "1m").replace("$instance", ".+");
                let answer = prometheus.query(&query.replace("$site", "default")).await.unwrap();
                assert_eq!(answer["status"], "success", "{query}: {answer}");
            }
        }
    }
    // Every rule has been evaluated without an error.
    let rules = prometheus.get("rules").await.unwrap();
    let all = rules["data"]["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array());
    assert!(all.flatten().all(|rule| rule["health"] == "ok"), "{rules}");
}
