//! Tests changes of settings over the network, and their entries in the audit log.

use fieldvitals_tests::server::Server;
use reqwest::Method;
use serde_json::{Value, json};

/// Runs a command over the network with a token, and without access to the store.
async fn remote(server: &Server, secret: &str, args: &[&str]) -> (Option<i32>, Value, String) {
    let mut command = server.command(args);
    command.args(["--server", &server.url, "--json"]).env("FIELDVITALS_TOKEN", secret);
    command.env("FIELDVITALS_DATA_DIR", "/nowhere");
    let output = command.output().await.expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

/// Adds a token on the store; returns its secret.
async fn token(server: &Server, args: &[&str]) -> String {
    let token = server.cli_json(&[&["token", "add", "--json"], args].concat()).await;
    token["token"].as_str().expect("a secret").to_owned()
}

#[tokio::test]
async fn settings_change_over_the_network_and_leave_their_line_in_the_audit_log() {
    let server = Server::start().await;
    let writer = token(&server, &["ci", "--scope", "write", "--site", "default"]).await;
    let args = ["site", "update", "default", "--route", "/p/:id", "--timezone", "europe/berlin"];
    let (code, site, said) = remote(&server, &writer, &args).await;
    assert_eq!((code, &site["timezone"]), (Some(0), &json!("Europe/Berlin")), "{said}");
    let (code, marked, said) =
        remote(&server, &writer, &["release", "add", "5.1", "--at", "2026-11-21"]).await;
    assert_eq!((code, &marked["deployed"]), (Some(0), &json!("2026-11-21T00:00:00Z")), "{said}");
    let (_, rotated, _) = remote(&server, &writer, &["site", "rotate-key", "default"]).await;
    assert_ne!(rotated["key"], site["key"]);

    // The same changes are seen by the store's own commands.
    let listed = server.cli_json(&["site", "list", "--json"]).await;
    assert_eq!((&listed[0]["key"], &listed[0]["routes"]), (&rotated["key"], &json!(["/p/:id"])));
    let (_, over_network, _) = remote(&server, &server.token, &["audit"]).await;
    let on_store = server.cli_json(&["audit", "--json"]).await;
    assert_eq!(over_network, on_store);
    let entries = on_store.as_array().unwrap();
    let lines: Vec<String> = entries
        .iter()
        .map(|entry| format!("{} {} {}", entry["action"], entry["target"], entry["actor"]).replace('"', ""))
        .collect();
    assert_eq!(
        lines,
        [
            "site.rotate_key default ci (token 2)",
            "release.mark default ci (token 2)",
            "site.update default ci (token 2)",
            "token.add ci (token 2) command line",
        ]
    );
    assert_eq!(entries[2]["before"]["timezone"], "UTC");
    assert_eq!(entries[2]["after"]["routes"], json!(["/p/:id"]));
    assert!(!on_store.to_string().contains(&writer), "no secrets");
}

#[tokio::test]
async fn sites_and_tokens_live_from_add_to_delete_over_the_network() {
    let server = Server::start().await;
    let admin = server.token.clone();
    let add = ["site", "add", "shop", "--origin", "https://shop.example"];
    let (code, site, said) = remote(&server, &admin, &add).await;
    assert_eq!((code, &site["name"]), (Some(0), &json!("shop")), "{said}");
    let (code, _, said) = remote(&server, &admin, &add).await;
    assert!(code == Some(2) && said.contains("`shop` exists already"), "{said}");
    let (code, _, said) = remote(&server, &admin, &["site", "add", "Shop", "--origin", "*"]).await;
    assert!(code == Some(2) && said.contains("lower-case letters"), "{said}");

    let (_, made, said) = remote(&server, &admin, &["token", "add", "ci", "--site", "shop"]).await;
    assert_eq!(made["sites"], json!(["shop"]), "{said}");
    let secret = made["token"].as_str().unwrap();
    let (code, _, said) = remote(&server, &admin, &["token", "add", "ci"]).await;
    assert!(code == Some(2) && said.contains("there is a token `ci` already: id "), "{said}");
    let (_, unnamed, said) = remote(&server, &admin, &["token", "add"]).await;
    assert_eq!(unnamed["name"], "token", "{said}");
    let (_, unnamed, said) = remote(&server, &admin, &["token", "add"]).await;
    assert_eq!(unnamed["name"], "token-2", "{said}");
    let (_, sites, _) = remote(&server, secret, &["site", "list"]).await;
    assert_eq!(sites.as_array().unwrap().len(), 1);
    let (_, listed, _) = remote(&server, &admin, &["token", "list"]).await;
    assert_eq!(listed, server.cli_json(&["token", "list", "--json"]).await);
    assert!(listed[1]["token"].is_null(), "a secret is shown once");

    let (code, _, said) = remote(&server, &admin, &["site", "delete", "shop"]).await;
    assert!(code == Some(2) && said.contains("--yes"), "{said}");
    let (code, _, said) = remote(&server, &admin, &["site", "delete", "shop", "--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    let id = made["id"].to_string();
    let (code, revoked, said) = remote(&server, &admin, &["token", "revoke", "ci"]).await;
    assert_eq!((code, &revoked["revoked"]), (Some(0), &made["id"]), "{said}");
    assert_eq!(remote(&server, secret, &["site", "list"]).await.0, Some(2));
    let (code, _, said) = remote(&server, &admin, &["token", "revoke", &id]).await;
    assert!(code == Some(2) && said.contains("no such token"), "{said}");
}

#[tokio::test]
async fn each_change_needs_its_scope() {
    let server = Server::start().await;
    let reader = token(&server, &["r", "--scope", "read"]).await;
    let writer = token(&server, &["w", "--scope", "write"]).await;
    let limited = token(&server, &["a", "--scope", "admin", "--site", "default"]).await;
    for (method, path, body, allowed) in [
        (Method::PATCH, "sites/default", json!({"timezone": "UTC"}), [false, true, true]),
        (Method::POST, "sites/default/keys", json!({}), [false, true, true]),
        (Method::POST, "sites/default/releases", json!({"release": "1"}), [false, true, true]),
        (Method::POST, "sites", json!({"name": "x", "origins": ["*"]}), [false; 3]),
        (Method::GET, "tokens", json!(null), [false; 3]),
        (Method::POST, "tokens", json!({"name": "x", "scope": "admin"}), [false; 3]),
        (Method::DELETE, "tokens/1", json!(null), [false; 3]),
        (Method::GET, "audit", json!(null), [false; 3]),
        (Method::DELETE, "sites/default?confirm=other", json!(null), [false, false, true]),
    ] {
        for (secret, allowed) in [&reader, &writer, &limited].into_iter().zip(allowed) {
            let request = server.http.request(method.clone(), format!("{}/api/v1/{path}", server.url));
            let answer = request.bearer_auth(secret).body(body.to_string()).send().await.unwrap();
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
            assert_eq!(status != 403, allowed, "{method} {path}: {status} {text}");
            assert!(status < 500 && status != 401, "{method} {path}: {status} {text}");
        }
    }
    let wrong = server.http.patch(format!("{}/api/v1/sites/default", server.url)).bearer_auth(&writer);
    let wrong = wrong.body(r#"{"time_zone": "UTC"}"#).send().await.unwrap();
    let (status, text) = (wrong.status().as_u16(), wrong.text().await.unwrap());
    assert!(status == 400 && text.contains("unknown field `time_zone`, expected one of"), "{text}");
}

#[tokio::test]
async fn text_in_a_pipe_fits_80_columns_and_the_server_is_that_of_the_environment() {
    let server = Server::start().await;
    let long = "https://a-rather-long-name-of-a-shop.example";
    server.cli_json(&["site", "update", "default", "--origin", long, "--json"]).await;
    let run = async |args: &[&str]| {
        let mut command = server.command(args);
        // Without a named store, the commands work over the network.
        let folder = server.data_dir().parent().expect("a folder above").to_owned();
        command.env_remove("COLUMNS").env_remove("FIELDVITALS_DATA_DIR").current_dir(folder);
        let output = command.output().await.expect("the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, audit, told) = run(&["audit"]).await;
    assert_eq!((code, audit.contains("site.update")), (Some(0), true), "{audit}{told}");
    let (code, refused, error) = run(&["report", "--route", "/c/*", "--by", "device"]).await;
    assert_eq!((code, refused.as_str()), (Some(2), ""), "{error}");
    assert!(error.contains("only a ranking of routes"), "{error}");
    assert!(error.lines().count() <= 2, "an error and its hint are a line each in a log: {error}");
    for line in audit.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let (code, sites, note) = run(&["site", "list"]).await;
    assert_eq!((code, note.as_str()), (Some(0), ""), "{sites}");
    assert!(sites.contains(&format!("src=\"{}/v.js\"", server.url)), "{sites}");
    let (code, _, tip) = run(&["status", "--json"]).await;
    assert!(code == Some(2) && tip.contains("`--format json` prints JSON"), "{tip}");
}
