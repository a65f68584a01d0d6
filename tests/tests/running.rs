//! Tests how a server is set up: its configuration file, TLS, its path behind a proxy, and backups.

use fieldvitals_tests::authority::Authority;
use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::browser::Browser;
use fieldvitals_tests::eventually;
use fieldvitals_tests::server::{Launch, Server, binary, run_to_the_end};
use reqwest::tls::TlsInfo;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;

/// Writes a file of a folder; returns its path.
fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("the file is written");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[tokio::test]
async fn server_takes_its_options_from_a_file_under_environment_and_flags() {
    let folder = TempDir::new().unwrap();
    let config = file(
        &folder,
        "fieldvitals.toml",
        "client-rate = 7\nslow-ms = 70\nno-demo = true\npublic-url = \"https://vitals.example\"\nlog = \"warn\"\n\
         database-url = \"postgres://me:hush@h/v\"\n",
    );
    let url = format!("sqlite://{}/other.db", folder.path().display());
    let launch = Launch::with(&["--config", text(&config), "--database-url", &url]);
    let server = Server::launch_on(TempDir::new().unwrap(), launch.env("FIELDVITALS_LOG", "")).await;
    assert!(folder.path().join("other.db").exists(), "the flag wins over the file");
    assert!(server.greeting.contains("https://vitals.example/v.js"), "{}", server.greeting);
    assert!(!server.greeting.contains("demo page"), "{}", server.greeting);
    assert!(!server.log().contains("INFO"), "an empty variable counts as unset: {}", server.log());

    let mut show = Command::new(binary());
    show.args(["config", "show", "--json", "--slow-ms", "71"]);
    show.env_remove("DATABASE_URL").env("FIELDVITALS_CONFIG", &config).env("FIELDVITALS_CLIENT_RATE", "9");
    let shown = show.output().await.unwrap();
    let rows: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let row = |option: &str| {
        let row = rows.as_array().unwrap().iter().find(|row| row["option"] == option);
        let row = row.unwrap_or_else(|| panic!("no {option}"));
        (row["value"].clone(), row["from"].as_str().unwrap().replace(text(&config), "FILE"))
    };
    for (option, value, from) in [
        ("slow-ms", json!("71"), "flag"),
        ("client-rate", json!("9"), "environment FIELDVITALS_CLIENT_RATE"),
        ("no-demo", json!("true"), "FILE:3"),
        ("database-url", json!("postgres://me:****@h/v"), "FILE:6"),
        ("config", json!(text(&config)), "environment FIELDVITALS_CONFIG"),
        ("drain", json!("5"), "default"),
        ("thresholds", json!(null), "–"),
        ("keep-views-days", json!(null), "the store (fieldvitals retention show)"),
    ] {
        assert_eq!(row(option), (value, from.to_owned()), "{option}");
    }
}

#[tokio::test]
async fn mistake_in_the_configuration_file_ends_the_start_with_its_place() {
    let folder = TempDir::new().unwrap();
    for (wrong, expected) in [
        (
            "drain = 5\nclient_rat = 1\n",
            "fieldvitals.toml:2:1: there is no option `client_rat`; did you mean `client-rate`?",
        ),
        ("drain = \"soon\"\n", "fieldvitals.toml:1:9: drain = \"soon\": invalid digit"),
        (
            "country-header = \"X\"\n",
            "--country-header (or FIELDVITALS_COUNTRY_HEADER) is believed only from a proxy",
        ),
    ] {
        let config = file(&folder, "fieldvitals.toml", wrong);
        let (code, said) =
            run_to_the_end(&folder.path().join("data"), &Launch::with(&["--config", text(&config)])).await;
        assert!(code == Some(2) && said.contains(expected), "{code:?} {said}");
    }
}

/// The bytes of the certificate that a new client gets. A client that was there before resumes its session without one.
async fn presented(authority: &Authority, server: &Server) -> Vec<u8> {
    let client = authority.client().tls_info(true).build().expect("a client");
    let answer = client.get(format!("{}/readyz", server.url)).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let info = answer.extensions().get::<TlsInfo>().expect("information of TLS");
    info.peer_certificate().expect("a certificate").to_vec()
}

#[tokio::test]
async fn server_speaks_https_and_renews_its_certificate_while_it_runs() {
    let authority = Authority::new();
    authority.issue("server");
    let [certificate, key] = authority.files("server");
    let launch = Launch::with(&["--tls-certificate", text(&certificate), "--tls-key", text(&key)]);
    let mut server = Server::launch(launch).await;
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    server.http = authority.client().build().unwrap();
    let address = server.url.trim_start_matches("https://").to_owned();
    // A client that sends nothing keeps its connection no longer than one that does not end a head.
    let mut silent = TcpStream::connect(&address).await.unwrap();
    let silent = tokio::spawn(async move {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_secs(8), silent.read(&mut byte)).await
    });

    let body = beacon(&server.key, view_id(1), "https://shop.example/cart", &json!({"LCP": 900.0}));
    assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    server.settled().await;
    assert_eq!(server.get("sites/default/pages?min_n=1").await.unwrap()["pages"][0]["route"], "/cart");
    let signed_in =
        server.http.post(format!("{}/api/v1/session", server.url)).header("Fieldvitals-Dashboard", "1");
    let signed_in = signed_in.body(json!({"token": server.token}).to_string()).send().await.unwrap();
    assert!(signed_in.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure"), "{signed_in:?}");
    // A client that does not know the authority, and one that speaks http.
    assert!(reqwest::get(format!("{}/readyz", server.url)).await.is_err());
    assert!(reqwest::get(format!("http://{address}/readyz")).await.is_err());
    for (url, says, advice) in [
        (server.url.clone(), "cannot trust https://", "SSL_CERT_FILE="),
        (format!("http://{address}"), "not plain HTTP", "Try --server https://"),
    ] {
        let output = server.command(&["site", "list", "--server", &url]).output().await.unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(err.contains(says) && err.contains(advice), "{err}");
    }
    let status = server.get("status").await.unwrap();
    assert!(status["connections"]["closed"]["handshake"].as_u64() >= Some(2), "{status}");

    let logged = async |line: &str| {
        eventually(|| async {
            let log = server.log();
            if log.contains(line) { Ok(()) } else { Err(log) }
        })
        .await;
    };
    // Logged on SIGHUP only: the server's own looks log changes.
    assert!(!server.log().contains("the certificate has not changed"));
    server.signal("-HUP").await;
    logged("the certificate has not changed").await;

    let first = presented(&authority, &server).await;
    let renewed = async |before: &[u8]| {
        eventually(|| async {
            let now = presented(&authority, &server).await;
            if now == before { Err("the same certificate".to_owned()) } else { Ok(now) }
        })
        .await
    };
    // By itself, when the files change; at once on SIGHUP.
    authority.issue("server");
    let second = renewed(&first).await;
    authority.issue("other");
    std::fs::copy(&authority.files("other")[1], &key).unwrap();
    server.signal("-HUP").await;
    logged("it is not the key of the certificate").await;
    assert_eq!(presented(&authority, &server).await, second, "an unusable pair leaves the one before");
    std::fs::copy(&authority.files("other")[0], &certificate).unwrap();
    server.signal("-HUP").await;
    renewed(&second).await;
    let ended = silent.await.unwrap().expect("a silent connection ends within 8 s");
    assert_eq!(ended.unwrap_or(0), 0);
    let status = server.get("status").await.unwrap();
    let closed = &status["connections"]["closed"];
    assert!(closed["handshake"].as_u64() >= Some(3) && closed["slow_head"].is_null(), "{closed}");
    assert_eq!(server.terminate().await, Some(0));
}

#[tokio::test]
async fn files_that_are_no_certificate_and_key_end_the_start_with_the_reason() {
    let authority = Authority::new();
    authority.issue("server");
    authority.issue("other");
    let ([certificate, key], [_, other]) = (authority.files("server"), authority.files("other"));
    let folder = TempDir::new().unwrap();
    let empty = file(&folder, "empty.pem", "\n");
    let encrypted = file(
        &folder,
        "encrypted.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let broken =
        file(&folder, "broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let nowhere = folder.path().join("nowhere.pem");
    for (certificate, key, expected) in [
        (&certificate, Some(&other), "other.key: it is not the key of the certificate in"),
        (&empty, Some(&key), "--tls-certificate"),
        (&empty, Some(&key), "empty.pem: it is empty"),
        (&nowhere, Some(&key), "nowhere.pem: it cannot be read"),
        (&key, Some(&certificate), "it has a key: are the two files confused?"),
        (&certificate, Some(&certificate), "it has a certificate and no key"),
        (&certificate, Some(&encrypted), "it is encrypted; `openssl pkey"),
        (&broken, Some(&key), "its first certificate cannot be read"),
        (&certificate, None, "--tls-certificate needs --tls-key"),
    ] {
        let mut args = vec!["--tls-certificate", text(certificate)];
        args.extend(key.iter().flat_map(|key| ["--tls-key", text(key)]));
        let (code, said) = run_to_the_end(&folder.path().join("data"), &Launch::with(&args)).await;
        assert!(code == Some(2) && said.contains(expected), "{args:?}: {code:?} {said}");
        assert_eq!(refused_by_show(&args).await, said, "{args:?}");
    }
    let wrong = file(&folder, "wrong.toml", "channel = 1\n");
    let empty = file(&folder, "crux-key", "");
    for (option, path) in [("--alerts", &wrong), ("--crux-key-file", &empty), ("--thresholds", &wrong)] {
        let said = refused_by_show(&[option, text(path)]).await;
        let (code, by_serve) =
            run_to_the_end(&folder.path().join("data"), &Launch::with(&[option, text(path)])).await;
        assert_eq!((code, by_serve), (Some(2), said), "{option}");
    }
}

/// What `config show` says of options that it refuses.
async fn refused_by_show(args: &[&str]) -> String {
    let mut show = Command::new(binary());
    let shown = show.args(["config", "show"]).args(args).env_remove("DATABASE_URL").output().await;
    let shown = shown.expect("the binary runs");
    assert_eq!(shown.status.code(), Some(2), "{args:?}: {shown:?}");
    String::from_utf8_lossy(&shown.stderr).into_owned()
}

/// Answers of pages, without following redirects.
async fn fetched(client: &reqwest::Client, url: &str) -> (u16, String, String) {
    let answer = client.get(url).send().await.expect("an answer");
    let location = answer
        .headers()
        .get("location")
        .map(|location| location.to_str().expect("a location in ASCII").to_owned());
    (answer.status().as_u16(), location.unwrap_or_default(), answer.text().await.expect("a body"))
}

#[tokio::test]
async fn server_answers_under_the_path_of_its_proxy_and_without_it() {
    let server = Server::launch(Launch::with(&["--base-path", "/vitals"])).await;
    assert!(server.url.ends_with("/vitals"), "{}", server.url);
    assert!(server.greeting.contains(&format!("src=\"{}/v.js\"", server.url)), "{}", server.greeting);
    let root = server.url.trim_end_matches("/vitals").to_owned();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let folder = fetched(&client, &server.url).await;
    assert_eq!((folder.0, folder.1.as_str()), (308, "vitals/"));
    let demo = fetched(&client, &format!("{}/demo", server.url)).await;
    assert_eq!((demo.0, demo.1.as_str()), (308, "demo/"));
    for base in [&server.url, &root] {
        for path in ["/", "/v.js", "/demo/", "/readyz", "/api/v1/openapi.json"] {
            let (status, _, text) = fetched(&client, &format!("{base}{path}")).await;
            assert_eq!(status, 200, "{base}{path}");
            assert!(!text.contains("=\"/v.js") && !text.contains("=\"/assets/"), "{base}{path}: {text}");
        }
    }
    assert_eq!(fetched(&client, &format!("{root}/vitals-old/")).await.0, 404);

    let body = beacon(&server.key, view_id(1), "https://shop.example/cart", &json!({"LCP": 900.0}));
    assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    server.settled().await;
    assert_eq!(server.get("sites/default/pages?min_n=1").await.unwrap()["pages"][0]["route"], "/cart");
    let report = server.cli(&["report", "--min-n", "1"]).await;
    assert!(
        report.status.success() && String::from_utf8_lossy(&report.stdout).contains("/cart"),
        "{report:?}"
    );
    let signed_in =
        server.http.post(format!("{}/api/v1/session", server.url)).header("Fieldvitals-Dashboard", "1");
    let signed_in = signed_in.body(json!({"token": server.token}).to_string()).send().await.unwrap();
    assert!(
        signed_in.headers()["set-cookie"].to_str().unwrap().contains("; Path=/vitals/;"),
        "{signed_in:?}"
    );
    let tag =
        server.cli(&["site", "list", "--public-url", "https://shop.example", "--base-path", "/vitals"]).await;
    let tag = String::from_utf8_lossy(&tag.stdout).into_owned();
    assert!(tag.contains("src=\"https://shop.example/vitals/v.js\""), "{tag}");
}

/// The configuration of docs/deployment.md, for a site of one page, with the server under `/vitals/`.
const NGINX: &str = "daemon off; master_process off; pid FOLDER/pid; error_log FOLDER/error.log;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER; proxy_temp_path FOLDER; fastcgi_temp_path FOLDER; uwsgi_temp_path FOLDER; scgi_temp_path FOLDER;
    server {
        listen 127.0.0.1:PORT;
        location / { root FOLDER; }
        location /vitals/ {
            proxy_pass SERVER;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_buffering off;
        }
    }
}
";

#[tokio::test]
async fn page_behind_nginx_is_measured_and_shown_on_its_own_host() {
    let server =
        Server::launch(Launch::with(&["--base-path", "/vitals", "--trusted-proxy", "127.0.0.1"])).await;
    let folder = TempDir::new().unwrap();
    // The port is free until nginx takes it; another process of this machine rarely takes it meanwhile.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tag = format!("<script async src=\"/vitals/v.js\" data-site=\"{}\"></script>", server.key);
    file(&folder, "shop.html", &format!("<!doctype html><title>Shop</title>{tag}<h1>Shop</h1>"));
    let config = NGINX.replace("FOLDER", text(folder.path())).replace("PORT", &port.to_string());
    let config =
        file(&folder, "nginx.conf", &config.replace("SERVER", server.url.trim_end_matches("/vitals")));
    // Debian installs it in /usr/sbin, which is on the search path of administrators only.
    let mut nginx = Command::new("/usr/sbin/nginx");
    let _nginx = nginx.args(["-e", "stderr", "-c", text(&config)]).kill_on_drop(true).spawn().unwrap();
    let host = format!("http://127.0.0.1:{port}");
    eventually(|| async {
        reqwest::get(format!("{host}/vitals/readyz")).await.map(drop).map_err(|error| error.to_string())
    })
    .await;

    let browser = Browser::start().await;
    browser.open(&format!("{host}/shop.html")).await;
    browser.until("performance.getEntriesByType('resource').some(e => e.name.includes('/vitals/c/') && e.name.endsWith('.wasm'))").await;
    browser.leave().await;
    server.reported("/shop.html", &["LCP"]).await;
    browser.open(&format!("{host}/vitals/#token={}", server.token)).await;
    browser.until("document.querySelector('main').innerText.includes('/shop.html')").await;
    assert!(browser.run("return location.pathname").await == "/vitals/", "the address keeps the path");
    browser.quit().await;
}

/// Sends beacons of a page view each until the server is killed. Collects the ids of those acknowledged.
async fn send_beacons(
    client: reqwest::Client,
    (url, key): (String, String),
    numbers: impl Iterator<Item = u128>,
    sent: Arc<Mutex<BTreeSet<String>>>,
) {
    for number in numbers {
        let id = view_id(number);
        let body = beacon(&key, id, "https://shop.example/cart", &json!({"LCP": 900.0}));
        let answer = client.post(format!("{url}/v1/beacon")).body(body.to_string()).send().await;
        match answer {
            Ok(answer) if answer.status() == 204 => {
                sent.lock().expect("no thread panicked").insert(id.to_string());
            }
            Ok(answer) => panic!("{}", answer.status()),
            // The server is killed.
            Err(_) => return,
        }
    }
}

/// The page views of a server's store, each with its number of rows.
async fn stored(server: &Server, folder: &TempDir) -> BTreeMap<String, u64> {
    let path = folder.path().join("views.jsonl");
    let written = server.cli(&["export", "--format", "jsonl", "--output", text(&path), "--force"]).await;
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let mut rows = BTreeMap::new();
    for line in std::fs::read_to_string(&path).expect("the export is read").lines() {
        let row: Value = serde_json::from_str(line).expect("a row is JSON");
        *rows.entry(row["id"].as_str().expect("a row has an id").to_owned()).or_default() += 1;
    }
    rows
}

#[tokio::test]
async fn backup_under_load_restores_each_page_view_acknowledged_before_it_once() {
    let mut server = Server::launch(Launch::with(&["--client-rate", "0"])).await;
    let sent = Arc::new(Mutex::new(BTreeSet::new()));
    let load: Vec<_> = (0..8)
        .map(|lane| {
            let numbers = (0..).map(move |step| 1 + lane + 8 * step);
            let place = (server.url.clone(), server.key.clone());
            tokio::spawn(send_beacons(server.http.clone(), place, numbers, Arc::clone(&sent)))
        })
        .collect();
    let more_than = async |count: usize| {
        eventually(|| async {
            let so_far = sent.lock().unwrap().len();
            if so_far > count { Ok(()) } else { Err(so_far.to_string()) }
        })
        .await;
    };
    let folder = TempDir::new().unwrap();
    for round in 0..5 {
        let before = sent.lock().unwrap().len();
        more_than(before + 300).await;
        let acknowledged = sent.lock().unwrap().clone();
        let backup = folder.path().join(format!("backup-{round}"));
        let made = server.cli_json(&["backup", text(&backup), "--json"]).await;
        assert!(made["backup"]["store"]["page_views"].is_u64(), "{made}");
        more_than(acknowledged.len() + 100).await;
        if round == 4 {
            server.kill().await;
        }
        let fresh = TempDir::new().unwrap();
        let restored = Command::new(binary())
            .args(["restore", text(&backup), "--data-dir", text(fresh.path())])
            .env_remove("DATABASE_URL")
            .output()
            .await
            .unwrap();
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
        let mut again = Server::start_on(fresh).await;
        again.token.clone_from(&server.token);
        again.settled().await;
        let rows = stored(&again, &folder).await;
        let missing = acknowledged.iter().filter(|&id| !rows.contains_key(id)).count();
        assert_eq!(missing, 0, "round {round}: of {} page views", acknowledged.len());
        assert!(rows.values().all(|&rows| rows == 1));
        let verified = again.cli(&["rollup", "verify"]).await;
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        let report = again.get("sites/default/pages?min_n=1").await.unwrap();
        assert_eq!(report["pages"][0]["views"], rows.len(), "{report}");
        // The restored server goes on.
        let body =
            beacon(&again.key, view_id(u128::MAX >> 80), "https://shop.example/new", &json!({"LCP": 900.0}));
        assert_eq!(again.post("/v1/beacon", body.to_string()).await.0, 204);
        again.reported("/new", &["LCP"]).await;
    }
    for lane in load {
        lane.await.unwrap();
    }
}

#[tokio::test]
async fn backup_and_restore_replace_nothing_and_take_nothing_damaged() {
    let server = Server::start().await;
    let folder = TempDir::new().unwrap();
    let backup = folder.path().join("backup");
    let run = async |args: &[&str]| {
        let output = Command::new(binary()).args(args).env_remove("DATABASE_URL").output().await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let data = text(server.data_dir());
    assert_eq!(run(&["backup", text(&backup), "--data-dir", data]).await.0, Some(0));
    let (code, said) = run(&["backup", text(&backup), "--data-dir", data]).await;
    assert!(code == Some(2) && said.contains("backup exists already"), "{said}");
    let (code, said) = run(&["restore", text(&backup), "--data-dir", data]).await;
    assert!(code == Some(2) && said.contains("used by another running server"), "{said}");
    let fresh = folder.path().join("fresh");
    let restore = ["restore", text(&backup), "--data-dir", text(&fresh)];
    assert_eq!(run(&restore).await.0, Some(0));
    let (code, said) = run(&restore).await;
    assert!(code == Some(2) && said.contains("store.db exists already"), "{said}");
    let (code, said) = run(&["restore", text(folder.path()), "--data-dir", text(&fresh)]).await;
    assert!(code == Some(2) && said.contains("is no backup"), "{said}");
    let nowhere = folder.path().join("nowhere");
    let (code, said) = run(&["backup", text(&folder.path().join("b")), "--data-dir", text(&nowhere)]).await;
    assert!(code == Some(2) && said.contains("there is no store in"), "{said}");

    // A damaged copy, whose restore stays unfinished: no server starts on it, and a good copy ends it.
    let damaged = folder.path().join("damaged");
    assert_eq!(run(&["backup", text(&damaged), "--data-dir", data]).await.0, Some(0));
    let store = damaged.join("store.db");
    let mut bytes = std::fs::read(&store).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&store, bytes).unwrap();
    let half = folder.path().join("half");
    let (code, said) = run(&["restore", text(&damaged), "--data-dir", text(&half)]).await;
    assert!(code == Some(2) && said.contains("store.db is damaged"), "{said}");
    let (code, said) = run_to_the_end(&half, &Launch::default()).await;
    assert!(code == Some(2) && said.contains("has not ended; run the same `fieldvitals restore`"), "{said}");
    assert_eq!(run(&["restore", text(&backup), "--data-dir", text(&half)]).await.0, Some(0));
    assert!(half.join("store.db").exists() && !half.join("restore.part").exists());
}
