//! `fieldvitals check`: the exit code is the verdict, and what it found is in the API.

use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::server::Server;
use serde_json::json;
use std::path::PathBuf;

async fn with_lcps(lcps: &[f64]) -> Server {
    let server = Server::start().await;
    for (number, lcp) in lcps.iter().enumerate() {
        let body =
            beacon(&server.key, view_id(number as u128), "https://shop.example/p", &json!({"LCP": lcp}));
        assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    }
    server.settled().await;
    server
}

fn budget(server: &Server, name: &str, text: &str) -> PathBuf {
    let path = server.data_dir().join(name);
    std::fs::write(&path, text).expect("the file is written");
    path
}

async fn check(server: &Server, text: &str) -> (Option<i32>, String, String) {
    check_with(server, text, &[]).await
}

async fn check_with(server: &Server, text: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let path = budget(server, "budgets.toml", text);
    let check = ["check", "--budget", path.to_str().expect("a path of UTF-8")];
    let output = server.cli(&[&check, args].concat()).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const LCP: &str = "[[budget]]\nroute = \"/p\"\nmetric = \"LCP\"\nmax = 2500\n";

#[tokio::test]
async fn the_exit_code_is_the_verdict() {
    let fast: Vec<f64> = (0..150).map(|n| 1_000.0 + f64::from(n)).collect();
    let server = with_lcps(&fast).await;
    let (code, out, err) = check(&server, LCP).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("pass") && out.contains("/p"), "{out}");

    let (code, out, err) = check(&server, &LCP.replace("2500", "1050")).await;
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("fail"), "{out}");
    check_with(&server, &LCP.replace("2500", "1050"), &["--record"]).await;
    let violations = server.get("sites/default/violations").await.unwrap();
    let violation = &violations["violations"][0];
    assert_eq!(
        (&violation["route"], &violation["metric"], &violation["n"], &violation["within"]),
        (&json!("/p"), &json!("LCP"), &json!(150), &json!(51)),
        "{violations}"
    );
    // The same promise again is the same violation; once it is kept, it is resolved.
    check_with(&server, &LCP.replace("2500", "1050"), &["--record"]).await;
    let open = server.get("sites/default/violations").await.unwrap();
    assert_eq!(open["violations"].as_array().map(Vec::len), Some(1));
    check_with(&server, LCP, &["--record"]).await;
    let open = server.get("sites/default/violations").await.unwrap();
    assert_eq!(open["violations"], json!([]));
    let all = server.get("sites/default/violations?status=all").await.unwrap();
    assert!(all["violations"][0]["resolved"].is_string(), "{all}");

    for (text, why) in [
        (LCP.replace("2500", "1112"), "the 75th percentile lies too near"),
        (LCP.replace("/p", "/nowhere"), "no data"),
        (LCP.replace("LCP", "INP"), "no data for this metric"),
        (format!("{LCP}min_samples = 151\n"), "too few samples"),
    ] {
        let (code, out, err) = check(&server, &text).await;
        assert_eq!(code, Some(3), "{why}: {out}{err}");
        assert!(out.contains("inconclusive"), "{why}: {out}");
    }
}

#[tokio::test]
async fn judgement_without_record_changes_nothing_and_record_needs_the_scope_write() {
    let mut server = with_lcps(&[3_000.0; 150]).await;
    let admin = server.token.clone();
    let token = async |scope: &str| {
        let made = server.cli_json(&["token", "add", scope, "--scope", scope, "--json"]).await;
        made["token"].as_str().unwrap().to_owned()
    };
    let (read, write) = (token("read").await, token("write").await);
    let violations = async |server: &Server| {
        server.get("sites/default/violations?status=all").await.unwrap()["violations"].clone()
    };
    for token in [&read, &write, &admin] {
        server.token.clone_from(token);
        let (code, out, err) = check(&server, LCP).await;
        assert_eq!(code, Some(1), "{out}{err}");
        assert_eq!(violations(&server).await, json!([]), "a judgement changes nothing");
    }
    server.token.clone_from(&read);
    let (code, out, err) = check_with(&server, LCP, &["--record"]).await;
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(err.contains("it needs the scope `write`"), "{err}");
    assert_eq!(violations(&server).await, json!([]));
    // The token that may not open a violation may not resolve one.
    server.token.clone_from(&write);
    let (code, out, err) = check_with(&server, LCP, &["--record"]).await;
    assert_eq!(code, Some(1), "{out}{err}");
    server.token = read;
    check_with(&server, &LCP.replace("2500", "9000"), &["--record"]).await;
    check(&server, &LCP.replace("2500", "9000")).await;
    let opened = violations(&server).await;
    assert!(opened[0]["resolved"].is_null() && opened.as_array().map(Vec::len) == Some(1), "{opened}");
    server.token = admin;
    check_with(&server, &LCP.replace("2500", "9000"), &["--record"]).await;
    let resolved = violations(&server).await;
    assert!(resolved[0]["resolved"].is_string(), "{resolved}");
}

#[tokio::test]
async fn a_pattern_matches_routes_as_they_are_stored() {
    let server = with_lcps(&[1_000.0; 150]).await;
    for pattern in ["/p", "/p/", "p", "https://shop.example/p?q=1", "/*", "p*"] {
        let (code, out, err) = check(&server, &LCP.replace("/p", pattern)).await;
        assert_eq!(code, Some(0), "{pattern}: {out}{err}");
    }
    let path = budget(&server, "none.toml", &LCP.replace("/p", "/pp"));
    let arguments = ["check", "--on-inconclusive", "warn", "--budget", path.to_str().unwrap()];
    let output = server.cli(&arguments).await;
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("no route with page views matches `/pp`; nearest: `/p`"), "{err}");
}

#[tokio::test]
async fn a_percentile_on_the_budget_is_told_exactly() {
    let server = with_lcps(&[2_500.0; 200]).await;
    let path = budget(&server, "budgets.toml", LCP);
    let answer = server.cli_json(&["check", "--format", "json", "--budget", path.to_str().unwrap()]).await;
    let budget = &answer["budgets"][0];
    assert_eq!(
        (&budget["verdict"], &budget["measured"], &budget["interval"], &budget["within"]),
        (&json!("pass"), &json!(2_500.0), &json!([2_500.0, 2_500.0]), &json!(200))
    );
    let report = server.get("sites/default/report").await.unwrap();
    let lcp = &report["metrics"]["LCP"];
    assert_eq!(
        (&lcp["rating"], &lcp["good"], &lcp["p75_interval"][1]),
        (&json!("good"), &json!(200), &json!(2_500.0))
    );
    assert!(lcp["p75"].as_f64().unwrap() <= 2_500.0, "{lcp}");
}

#[tokio::test]
async fn mistakes_are_named_with_exit_2_and_an_absent_server_with_4() {
    let mut server = with_lcps(&[]).await;
    let (code, _, err) = check(&server, &LCP.replace("LCP", "LCPP")).await;
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("budgets.toml:3") && err.contains("LCPP"), "{err}");
    let output = server.cli(&["check", "--budget", "/nowhere/budgets.toml"]).await;
    assert_eq!(output.status.code(), Some(2));
    let output = server.cli(&["check", "--bugdet", "x"]).await;
    assert_eq!(output.status.code(), Some(2));
    let path = budget(&server, "good.toml", LCP);
    let output = server.cli(&["check", "--budget", path.to_str().unwrap(), "--token", "fvt_wrong"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    let output = server.cli(&["check", "--budget", path.to_str().unwrap(), "--site", "nobody"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    server.kill().await;
    let (code, _, err) = check(&server, LCP).await;
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains(&server.url), "{err}");
}
