//! `fieldvitals load` against servers that have allowed it, and one that has not.

#![allow(clippy::unwrap_used)]

use fieldvitals_tests::server::Server;
use serde_json::Value;

#[tokio::test]
async fn server_that_has_not_allowed_load_tests_gets_no_beacon() {
    let server = Server::start().await;
    let output = server.cli(&["load", &server.url, "--site", &server.key, "--stages", "1s:100"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("has not allowed load tests") && said.contains("--allow-load-test"), "{said}");
    let status = server.settled().await;
    assert_eq!(status["received"], 0);
}

#[tokio::test]
async fn load_is_sent_at_its_rate_and_reported() {
    let server = Server::start_with(&["--allow-load-test"]).await;
    let health = server.http.get(format!("{}/healthz", server.url)).send().await.unwrap();
    assert_eq!(health.text().await.unwrap(), "ok\nload tests are allowed\n");
    let data_dir = server.data_dir().display().to_string();
    let stages = ["--stages", "1s:100,1s:300", "--threshold", "errors=0", "--format", "json"];
    let args = [&["load", &server.url, "--site", &server.key, "--data-dir", &data_dir], &stages[..]].concat();
    let output = server.cli(&args).await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ended_early"], false, "the whole plan was sent: {report:#}");
    assert_eq!((&report["stages"][0]["taken"], &report["stages"][1]["taken"]), (&100.into(), &300.into()));
    assert!(report["plan"]["page_views_month"].as_f64().unwrap() > 0.0, "{report:#}");
    assert!(report["plan"]["memory_bytes"].as_u64().unwrap() > 0, "{report:#}");
    // The first beacon of all asks whether the site takes them.
    let status = server.settled().await;
    assert_eq!(status["outcomes"]["accepted"], 401, "{status:#}");

    let late = ["load", &server.url, "--site", &server.key, "--stages", "1s:20", "--threshold", "p50=0"];
    let output = server.cli(&late).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && said.contains("Threshold p50 0 ms missed"), "{said}");

    let unknown = server.cli(&["load", &server.url, "--site", "fvk_none", "--stages", "1s:1"]).await;
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(unknown.status.code() == Some(2) && said.contains("refused with 404"), "{said}");
}

#[tokio::test]
async fn broken_server_is_a_breaking_point() {
    let mut server = Server::start_with(&["--allow-load-test", "--client-rate", "0"]).await;
    let args =
        ["load", &server.url.clone(), "--site", &server.key.clone(), "--stages", "2s:50", "--format", "json"];
    let mut command = server.command(&args);
    let running = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    fieldvitals_tests::eventually(|| async {
        match server.get("status").await?["received"].as_u64() {
            Some(2..) => Ok(()),
            received => Err(format!("{received:?}")),
        }
    })
    .await;
    server.kill().await;
    let output = running.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["stages"][0]["broken"], true, "{report:#}");
    assert!(report["all"]["errors"].as_u64().unwrap() > 10 && report["plan"].is_null(), "{report:#}");
}
