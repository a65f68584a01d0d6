//! Sites and tokens on the command line, beside a running server.

use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::eventually;
use fieldvitals_tests::server::{Server, binary};
use serde_json::{Value, json};
use std::process::Command;

#[tokio::test]
async fn a_site_lives_from_add_to_delete() {
    let server = Server::start().await;
    let site = server.cli_json(&["site", "add", "shop", "--origin", "https://shop.example", "--json"]).await;
    let key = site["key"].as_str().unwrap().to_owned();
    assert!(site["script"].as_str().unwrap().contains(&format!("data-site=\"{key}\"")));
    let send = |key: &str, number| {
        beacon(key, view_id(number), "https://shop.example/", &json!({"LCP": 9.0})).to_string()
    };
    assert_eq!(server.post("/v1/beacon", send(&key, 1)).await.0, 204, "at once, beside the running server");

    let again = server.cli(&["site", "add", "shop", "--origin", "*"]).await;
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("`shop` exists already"));

    let rotated = server.cli_json(&["site", "rotate-key", "shop", "--json"]).await;
    let new_key = rotated["key"].as_str().unwrap().to_owned();
    assert_ne!(new_key, key);
    assert_eq!(server.post("/v1/beacon", send(&new_key, 2)).await.0, 204);
    assert_eq!(server.post("/v1/beacon", send(&key, 3)).await.0, 204, "cached pages go on");
    server.cli_json(&["site", "rotate-key", "shop", "--keep-old-hours", "0", "--json"]).await;
    eventually(|| async {
        match server.post("/v1/beacon", send(&key, 4)).await {
            (404, _) => Ok(()),
            (status, _) => Err(format!("the old key is still taken: {status}")),
        }
    })
    .await;

    server
        .cli_json(&[
            "site",
            "update",
            "shop",
            "--origin",
            "https://other.example",
            "--rename",
            "store",
            "--json",
        ])
        .await;
    let listed = server.cli_json(&["site", "list", "--json"]).await;
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().filter_map(|site| site["name"].as_str()).collect();
    assert_eq!(names, ["default", "store"]);
    eventually(|| async { server.get("sites/store/pages").await }).await;

    let refused = server.cli(&["site", "delete", "store"]).await;
    assert_eq!(refused.status.code(), Some(2), "only with --yes");
    server.cli_json(&["site", "delete", "store", "--yes", "--json"]).await;
    eventually(|| async {
        match server.get("sites/store/pages").await {
            Err(problem) if problem.contains("site_unknown") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_site_says_what_its_routes_are() {
    let server = Server::start().await;
    let update = |args: &'static [&'static str]| {
        let args = [&["site", "update", "default"], args, &["--json"]].concat();
        let server = &server;
        async move { server.cli_json(&args).await["routes"].clone() }
    };
    let rules = json!(["/product/:name", "/docs/*"]);
    assert_eq!(update(&["--route", "/product/:name", "--route", "/docs/*"]).await, rules);
    assert_eq!(update(&["--origin", "*"]).await, rules, "what is not named stays");
    assert_eq!(server.cli_json(&["site", "list", "--json"]).await[0]["routes"], rules);
    let listed = server.cli(&["site", "list"]).await;
    assert!(String::from_utf8_lossy(&listed.stdout).contains("routes   /product/:name, /docs/*"));
    eventually(|| async {
        let id = view_id(fieldvitals_tests::beacon::now_ms().into());
        let body = beacon(&server.key, id, "https://shop.example/product/blue-shoes", &json!({"LCP": 900.0}));
        assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
        let pages = server.get("sites/default/pages?period=24h").await?;
        let routed = pages["pages"]
            .as_array()
            .is_some_and(|pages| pages.iter().any(|page| page["route"] == "/product/:name"));
        if routed { Ok(()) } else { Err(pages.to_string()) }
    })
    .await;
    assert_eq!(update(&["--no-routes"]).await, json!([]));
}

#[tokio::test]
async fn script_tag_names_the_public_url_or_a_placeholder() {
    let server = Server::start().await;
    let listed = server.cli(&["site", "list"]).await;
    let (text, note) = (String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
    assert!(text.contains("src=\"https://YOUR-HOST/v.js\"") && !text.contains("127.0.0.1"), "{text}");
    assert!(note.contains("https://YOUR-HOST stands for") && note.contains("--public-url"), "{note}");
    let listed = server.cli(&["site", "list", "--public-url", "https://vitals.example"]).await;
    let (text, note) = (String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
    assert!(text.contains("src=\"https://vitals.example/v.js\"") && note.is_empty(), "{text}{note}");
}

#[tokio::test]
async fn a_token_lives_from_add_to_revoke() {
    let server = Server::start().await;
    let token = server.cli_json(&["token", "add", "ci", "--scope", "read", "--json"]).await;
    let secret = token["token"].as_str().unwrap().to_owned();
    let asks = || async {
        server
            .http
            .get(format!("{}/api/v1/sites", server.url))
            .bearer_auth(&secret)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(asks().await, 200);
    let listed = server.cli_json(&["token", "list", "--json"]).await;
    assert!(!listed.to_string().contains(&secret), "a secret is shown once");
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    for file in ["store.db", "store.db-wal", "spool.db", "spool.db-wal"] {
        let bytes = std::fs::read(server.data_dir().join(file)).unwrap_or_default();
        assert!(
            !bytes.windows(secret.len()).any(|window| window == secret.as_bytes()),
            "the secret is in {file}"
        );
    }
    let id = token["id"].to_string();
    server.cli_json(&["token", "revoke", &id, "--json"]).await;
    eventually(|| async {
        match asks().await {
            401 => Ok(()),
            status => Err(format!("still {status}")),
        }
    })
    .await;
    let again = server.cli(&["token", "revoke", &id]).await;
    assert_eq!(again.status.code(), Some(2));
}

#[tokio::test]
async fn report_prints_the_same_as_the_api() {
    let server = Server::start().await;
    for number in 0..12 {
        let body = beacon(
            &server.key,
            view_id(number),
            "https://shop.example/cart",
            &json!({"LCP": 1_800.0, "CLS": 0.05}),
        );
        assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    }
    server.settled().await;
    let table = server.cli(&["report"]).await;
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.status.success() && text.contains("/cart") && text.contains("LCP"), "{text}");
    let printed = server.cli_json(&["report", "--format", "json"]).await;
    let asked = server.get("sites/default/pages").await.unwrap();
    assert_eq!(printed["pages"], asked["pages"]);
    let (status, _) = server.post("/v1/beacon", "nonsense").await;
    assert_eq!(status, 400);
    let why = server.cli(&["report", "--rejections"]).await;
    assert!(String::from_utf8_lossy(&why.stdout).contains("malformed"));
    let unknown = server.cli(&["report", "--site", "defualt"]).await;
    let error = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(error.starts_with("error: there is no site `defualt` on http://"), "{error}");
    assert!(error.contains("did you mean `default`?"), "{error}");
    for args in [vec!["--route", "/cart"], vec!["--attribution", "lcp"], vec![]] {
        let args = [vec!["report", "--release", "1.4.9"], args].concat();
        let nothing = server.cli(&args).await;
        let warning = String::from_utf8_lossy(&nothing.stderr).into_owned();
        assert!(
            warning.starts_with("warning: there is no release `1.4.9` in the last 7d"),
            "{args:?}: {warning}"
        );
    }
}

#[tokio::test]
async fn mistakes_are_named_with_exit_2() {
    let run = |args: &[&str]| {
        let output = Command::new(binary()).args(args).env_remove("DATABASE_URL").output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    // Creates the store for most of the following commands.
    assert_eq!(run(&["token", "add", "--data-dir", data]).0, Some(0));
    for (args, expected) in [
        (vec!["site", "list", "--data-dir", nowhere], "there is no store in"),
        (vec!["token", "list", "--data-dir", nowhere], "--data-dir"),
        (vec!["serve", "--listen", "nonsense", "--data-dir", data], "ADDRESS:PORT"),
        (vec!["serve", "--prot", "1"], "--prot"),
        (vec!["serve", "--database-url", "mysql://x", "--data-dir", data], "mysql"),
        (vec!["serve", "--trusted-proxy", "nobody", "--data-dir", data], "10.0.0.0/8"),
        (vec!["serve", "--public-url", "nobody", "--data-dir", data], "https://HOST"),
        (vec!["site", "add", "Bad Name", "--origin", "*", "--data-dir", data], "lower-case"),
        (vec!["site", "add", "shop", "--origin", "shop.example", "--data-dir", data], "https://shop.example"),
        (vec!["site", "update", "nobody", "--origin", "*", "--data-dir", data], "there is no site `nobody`"),
        (vec!["site", "update", "nobody", "--data-dir", data], "--no-routes"),
        (vec!["site", "update", "nobody", "--route", "product/:id", "--data-dir", data], "/product/:id"),
        (vec!["site", "erase", "nobody", "--all", "--data-dir", data], "there is no site `nobody`"),
        (vec!["site", "erase", "nobody", "--data-dir", data], "--all"),
        (vec!["site", "erase", "nobody", "--url", "/cart", "--data-dir", data], "the whole URL"),
        (
            vec!["site", "erase", "nobody", "--all", "--from", "noon", "--data-dir", data],
            "2026-11-21T14:30:00Z",
        ),
        (vec!["rollup", "verify", "--from", "noon", "--data-dir", data], "2026-11-21"),
        (vec!["rollup", "verify", "--data-dir", nowhere], "there is no store in"),
        (vec!["store", "copy", "--from", nowhere, "--to", data], "there is no store to be copied"),
        (vec!["store", "copy", "--from", data, "--to", nowhere], "there is no site in the source"),
        (vec!["serve", "--keep-views-days", "1", "--data-dir", data], "--keep-views-days"),
        (vec!["serve", "--keep-rollups-days", "7", "--data-dir", data], "--keep-rollups-days 7"),
        (vec!["token", "revoke", "99", "--data-dir", data], "token 99"),
        (vec!["token", "add", "x", "--scope", "all", "--data-dir", data], "admin"),
        (vec!["serve", "--data-dir", "/proc/nowhere"], "--data-dir"),
    ] {
        let (code, error) = run(&args);
        assert_eq!(code, Some(2), "{args:?}: {error}");
        assert!(error.contains(expected), "{args:?}: {error}");
        assert!(error.lines().any(|line| line.starts_with("error: ")), "{args:?}: {error}");
    }
}

#[tokio::test]
async fn a_database_url_makes_no_store_where_none_was_asked_for() {
    let run = |args: &[&str], url: &str| {
        let output = Command::new(binary()).args(args).env("DATABASE_URL", url).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let folder = tempfile::tempdir().unwrap();
    let typo = folder.path().join("typo");
    let nowhere = format!("sqlite://{}/store.db", typo.display());
    for args in [
        vec!["site", "list"],
        vec!["site", "erase", "shop", "--all"],
        vec!["token", "list"],
        vec!["rollup", "verify"],
        vec!["rollup", "rebuild"],
    ] {
        let (code, error) = run(&args, &nowhere);
        assert!(code == Some(2) && error.contains("there is no store in"), "{args:?}: {code:?} {error}");
        assert!(error.contains("typo/store.db") && error.contains("DATABASE_URL"), "{args:?}: {error}");
        assert!(!typo.exists(), "{args:?}");
    }
    let (code, error) = run(&["token", "add"], &format!("{nowhere}?mode=ro"));
    assert!(code == Some(2) && error.contains("takes no parameters"), "{code:?} {error}");
    assert!(!typo.exists());
    let (code, error) = run(&["token", "add"], &nowhere);
    assert!(code == Some(0) && error.contains("making a new store in"), "{code:?} {error}");
    assert_eq!(run(&["rollup", "verify"], &nowhere).0, Some(0));
    // An empty variable counts as unset.
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    assert_eq!(run(&["token", "add", "--data-dir", data], "").0, Some(0));
    assert!(folder.path().join("data/store.db").exists());
    assert_eq!(run(&["token", "list", "--data-dir", data], " ").0, Some(0));
}

#[tokio::test]
async fn a_spool_is_no_store_and_a_wrong_address_is_not_repeated() {
    let mut server = Server::start().await;
    assert_eq!(server.terminate().await, Some(0));
    let spool = server.data_dir().join("spool.db");
    let spool = spool.to_str().unwrap();
    let before = std::fs::read(spool).unwrap();
    let url = format!("sqlite://{spool}");
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("to.db");
    let to = to.to_str().unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(binary()).args(args).env_remove("DATABASE_URL").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for args in [
        vec!["migrate", "--database-url", &url],
        vec!["site", "list", "--database-url", &url],
        vec!["store", "copy", "--from", spool, "--to", to],
        vec!["serve", "--listen", "127.0.0.1:0", "--data-dir", to, "--database-url", &url],
    ] {
        let error = run(&args);
        assert!(error.contains("no store of fieldvitals") && error.contains("spool.db"), "{args:?}: {error}");
        assert!(std::fs::read(spool).unwrap() == before, "{args:?}");
    }
    for (wrong, expected) in [
        ("postgres:/me:hush@127.0.0.1:1/v", "//"),
        ("mysql://me:hush@h/v", "`mysql:` is no database"),
        ("\"postgres://me:hush@h/v\"", "quotes"),
    ] {
        for args in [
            vec!["migrate", "--database-url", wrong],
            vec!["store", "copy", "--from", wrong, "--to", to],
            vec!["store", "copy", "--from", spool, "--to", wrong],
        ] {
            let error = run(&args);
            assert!(!error.contains("hush"), "{args:?}: {error}");
            assert!(error.contains(expected) || args[3] == spool, "{args:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_address_says_so() {
    let server = Server::start().await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(binary())
        .env_remove("DATABASE_URL")
        .args(["serve", "--listen", &address, "--data-dir", folder.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("cannot listen on") && error.contains("--listen"), "{error}");
    let _: Value = server.get("status").await.unwrap();
}

#[tokio::test]
async fn a_token_that_was_made_first_does_not_keep_the_first_site_away() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let made = Command::new(binary())
        .env_remove("DATABASE_URL")
        .args(["token", "add", "ci", "--scope", "read", "--json", "--data-dir", data])
        .output()
        .unwrap();
    assert!(made.status.success());
    let token: Value = serde_json::from_slice(&made.stdout).unwrap();
    let server = Server::start_on(folder).await;
    assert_eq!(server.token, "", "there was one already");
    let pages = server
        .http
        .get(format!("{}/api/v1/sites/default/pages", server.url))
        .bearer_auth(token["token"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(pages.status(), 200);
}
