//! `fieldvitals doctor` on healthy and broken deployments and pages, with real processes.

#![allow(clippy::unwrap_used)]

use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::eventually;
use fieldvitals_tests::server::{Launch, Server, binary};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Serves one page with a policy. Returns its address.
async fn page(html: String, policy: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/shop", listener.local_addr().unwrap());
    let policy =
        if policy.is_empty() { String::new() } else { format!("content-security-policy: {policy}\r\n") };
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n{policy}content-length: {}\r\nconnection: close\r\n\r\n{html}",
        html.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 8_192];
                if stream.read(&mut request).await.is_ok() {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    url
}

/// Runs the doctor. Returns its exit code and its findings.
async fn doctor(server: &Server, args: &[&str]) -> (i32, Vec<Value>) {
    let args = [&["doctor", "--format", "json"], args].concat();
    let output = server.command(&args).env_remove("FIELDVITALS_TOKEN").output().await.unwrap();
    let code = output.status.code().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let json: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (code, json["findings"].as_array().unwrap().clone())
}

/// The findings of a check that are not ok.
fn bad<'a>(findings: &'a [Value], check: &str) -> Vec<&'a str> {
    let of_check = findings.iter().filter(|finding| finding["check"] == check && finding["level"] != "ok");
    of_check.map(|finding| finding["found"].as_str().unwrap()).collect()
}

fn files(folder: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn healthy_deployment_has_no_problem_and_broken_ones_say_which() {
    let mut server = Server::start().await;
    let body = beacon(&server.key, view_id(1), "https://shop.example/", &json!({"LCP": 900.0}));
    assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    server.settled().await;
    let backups = TempDir::new().unwrap();
    std::fs::write(backups.path().join("store.db"), "").unwrap();
    std::fs::remove_file(server.data_dir().join("admin-token")).unwrap();
    let token = server.token.clone();
    let named = ["--backups", backups.path().to_str().unwrap(), "--token", &token];
    let (code, findings) = doctor(&server, &named).await;
    let worst: Vec<&Value> = findings.iter().filter(|finding| finding["level"] == "problem").collect();
    assert!(code == 0 && worst.is_empty(), "{findings:#?}");
    for check in ["data.rights", "spool", "store.schema", "store.integrity", "store.plans", "server.ready"] {
        assert!(findings.iter().any(|finding| finding["check"] == check), "no {check} in {findings:#?}");
        assert!(bad(&findings, check).is_empty(), "{findings:#?}");
    }

    // Without --backups the age is that of the recorded backup, and of the description in a folder.
    assert_eq!(bad(&doctor(&server, &[]).await.1, "backups").len(), 1, "no backup is known");
    let backup = backups.path().join("monday");
    assert!(server.cli(&["backup", backup.to_str().unwrap()]).await.status.success());
    let (_, findings) = doctor(&server, &[]).await;
    let found = findings.iter().find(|finding| finding["check"] == "backups").unwrap();
    let expected = format!("the last backup is 0 h old, in {}", backup.display());
    assert!(found["level"] == "ok" && found["found"] == expected, "{found}");
    let described = backup.join("backup.json");
    let mut description: Value = serde_json::from_slice(&std::fs::read(&described).unwrap()).unwrap();
    description["created"] = json!("2026-01-01T00:00:00Z");
    std::fs::write(&described, description.to_string()).unwrap();
    let (_, findings) = doctor(&server, &["--backups", backup.to_str().unwrap()]).await;
    assert!(bad(&findings, "backups")[0].starts_with("the newest backup"), "{findings:#?}");

    // The file of the server names the folder, and a certificate without a key.
    let config = backups.path().join("fieldvitals.toml");
    let data_dir = format!("data-dir = {:?}\nkeep-views-days = 90\n", server.data_dir());
    for (more, is_taken) in [("", true), ("tls-certificate = \"server.crt\"\n", false)] {
        std::fs::write(&config, format!("{data_dir}{more}")).unwrap();
        let output = Command::new(binary())
            .args(["doctor", "--format", "json", "--config"])
            .arg(&config)
            .env_remove("DATABASE_URL")
            .output()
            .unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = json["findings"].as_array().unwrap();
        assert_eq!(bad(findings, "config").is_empty(), is_taken, "{findings:#?}");
        assert!(findings.iter().any(|finding| finding["check"] == "store.schema"), "{findings:#?}");
        assert_eq!(output.status.code(), Some(i32::from(!is_taken)));
    }

    // The server is away, and others may read its files.
    server.terminate().await;
    let store = server.data_dir().join("store.db");
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o644)).unwrap();
    let before = files(server.data_dir());
    let (code, findings) = doctor(&server, &["--backups", "/nowhere"]).await;
    assert_eq!(code, 1, "{findings:#?}");
    assert!(bad(&findings, "server.health")[0].contains("does not answer"), "{findings:#?}");
    assert!(bad(&findings, "data.rights")[0].contains("store.db"), "{findings:#?}");
    assert!(bad(&findings, "backups")[0].contains("/nowhere"), "{findings:#?}");
    assert_eq!(files(server.data_dir()), before, "nothing is changed");

    // The file is damaged behind its first page.
    let mut bytes = std::fs::read(&store).unwrap();
    let middle = bytes.len() / 8_192 * 4_096;
    bytes[middle..middle + 64].fill(0xff);
    std::fs::write(&store, bytes).unwrap();
    let (code, findings) = doctor(&server, &[]).await;
    let is_damaged =
        !bad(&findings, "store.integrity").is_empty() || !bad(&findings, "store.open").is_empty();
    assert!(code == 1 && is_damaged, "{findings:#?}");

    // No folder at all, and no database.
    let output = Command::new(binary())
        .args(["doctor", "--data-dir", "/nowhere", "--format", "json"])
        .env_remove("DATABASE_URL")
        .env_remove("FIELDVITALS_SERVER")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && said.contains("there is no folder /nowhere"), "{said}");
}

#[tokio::test]
async fn each_fault_of_a_page_has_its_sentence() {
    let server = Server::start().await;
    let (url, key, token) = (server.url.clone(), server.key.clone(), server.token.clone());
    let tag =
        |key: &str| format!("<head><script async src=\"{url}/v.js\" data-site=\"{key}\"></script></head>");
    let examine = async |html: String, policy: &str| {
        let page = page(html, policy).await;
        doctor(&server, &["--page", &page, "--token", &token]).await
    };
    let (code, findings) = examine(tag(&key), "").await;
    assert_eq!(code, 0, "{findings:#?}");
    for check in ["page.tag", "page.policy", "page.script", "page.ingest", "page.site"] {
        let ok = findings.iter().any(|finding| finding["check"] == check && finding["level"] == "ok");
        assert!(ok, "no {check} in {findings:#?}");
    }

    let (code, findings) = examine("<p>no tag</p>".to_owned(), "").await;
    assert!(code == 1 && bad(&findings, "page.tag")[0].contains("no script tag"), "{findings:#?}");

    let (code, findings) = examine(tag("fvk_unknown"), "").await;
    assert!(code == 1 && bad(&findings, "page.site")[0].contains("`fvk_unknown`"), "{findings:#?}");

    let (code, findings) = examine(tag(&key), "script-src 'self'; connect-src 'none'").await;
    assert!(
        code == 1 && bad(&findings, "page.policy.script")[0].contains("script-src 'self'"),
        "{findings:#?}"
    );
    assert!(bad(&findings, "page.policy.connect")[0].contains("connect-src 'none'"), "{findings:#?}");
    assert_eq!(bad(&findings, "page.policy.wasm").len(), 1, "{findings:#?}");

    let elsewhere = page("not found".to_owned(), "").await;
    let html = format!("<script async src={elsewhere}/v.js data-site={key}></script>");
    let (code, findings) = examine(html, "").await;
    assert!(code == 1 && bad(&findings, "page.script")[0].contains("text/html"), "{findings:#?}");

    server.cli_json(&["site", "update", "default", "--origin", "https://shop.example", "--json"]).await;
    eventually(|| async {
        let sites = server.get("sites").await?;
        let is_known = sites["sites"][0]["origins"][0] == "https://shop.example";
        is_known.then_some(()).ok_or_else(|| format!("{sites}"))
    })
    .await;
    let (code, findings) = examine(tag(&key), "").await;
    assert!(
        code == 1 && bad(&findings, "page.site")[0].contains("takes no beacons of http://127"),
        "{findings:#?}"
    );
    assert!(bad(&findings, "page.ingest")[0].contains("takes no beacons"), "{findings:#?}");
    // Without a token the preflight tells it alone.
    let away = page(tag(&key), "").await;
    let (code, findings) = doctor(&server, &["--page", &away]).await;
    assert!(code == 1 && bad(&findings, "page.ingest").len() == 1, "{findings:#?}");
}

#[tokio::test]
async fn browser_sees_whether_a_beacon_arrives() {
    let server = Server::launch(Launch::default()).await;
    let html = format!("<script async src={}/v.js data-site={}></script><p>shop", server.url, server.key);
    let good = page(html.clone(), "").await;
    let (_, findings) = doctor(&server, &["--page", &good, "--browser"]).await;
    let found = findings.iter().find(|finding| finding["check"] == "page.browser").unwrap();
    assert!(found["level"] == "ok" && found["found"].as_str().unwrap().ends_with("204"), "{findings:#?}");

    let blocked = page(html, "script-src 'self'").await;
    let (_, findings) = doctor(&server, &["--page", &blocked, "--browser"]).await;
    assert!(bad(&findings, "page.browser")[0].contains("did not load the script"), "{findings:#?}");
}
