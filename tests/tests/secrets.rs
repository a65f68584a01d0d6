//! Tests that other users of the machine, and readers of a log, learn no secrets.

#![allow(clippy::unwrap_used)]

use fieldvitals_store_postgres::testing::Cluster;
use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::server::{Launch, Server, run_to_the_end};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::TempDir;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The permissions of each file in a folder, in octal digits.
fn modes(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let octal = |path: &Path| format!("{:o}", mode(path));
    entries.map(|entry| (entry.file_name().into_string().unwrap(), octal(&entry.path()))).collect()
}

/// Sends a beacon, so that SQLite creates all of its files.
async fn used(server: &Server) {
    let body = beacon(&server.key, view_id(1), "https://shop.example/", &json!({"LCP": 900.0}));
    assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
}

#[tokio::test]
async fn data_folder_and_every_file_in_it_are_their_owners_alone() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_owned();
    std::fs::remove_dir(&data).unwrap();
    let mut server = Server::launch_on(folder, Launch::default()).await;
    used(&server).await;
    let made = modes(&data);
    for name in [
        "store.db",
        "store.db-wal",
        "store.db-shm",
        "spool.db",
        "spool.db-wal",
        "spool.db-shm",
        "admin-token",
    ] {
        assert!(made.contains_key(name), "{name}: {made:?}");
    }
    assert!(made.values().all(|mode| mode == "600"), "{made:?}");
    assert_eq!(mode(&data), 0o700);
    assert!(!server.log().contains("could read the data"), "{}", server.log());

    // The permissions of an earlier release, after a kill.
    server.kill().await;
    set(&data, 0o755);
    made.keys().for_each(|name| set(&data.join(name), 0o644));
    server.start_again().await;
    used(&server).await;
    let made = modes(&data);
    assert!(made.values().all(|mode| mode == "600") && mode(&data) == 0o700, "{made:?}");
    assert_eq!(
        server.log().matches("could read the data; their rights are removed").count(),
        1,
        "{}",
        server.log()
    );
    server.kill_and_restart().await;
    assert_eq!(server.log().matches("could read the data").count(), 1, "once: {}", server.log());
}

#[tokio::test]
async fn store_elsewhere_is_its_owners_alone_in_a_folder_that_is_left_alone() {
    let place = TempDir::new().unwrap();
    set(place.path(), 0o755);
    let url = format!("sqlite://{}/any.db", place.path().display());
    let server = Server::launch(Launch::with(&["--database-url", &url])).await;
    used(&server).await;
    server.settled().await;
    let made = modes(place.path());
    assert!(made.len() == 3 && made.values().all(|mode| mode == "600"), "{made:?}");
    assert_eq!(mode(place.path()), 0o755);
}

#[tokio::test]
async fn first_token_is_in_a_file_and_not_in_the_output() {
    let mut server = Server::start().await;
    let file = server.data_dir().join("admin-token");
    assert_eq!((std::fs::read_to_string(&file).unwrap().trim(), mode(&file)), (server.token.as_str(), 0o600));
    server.get("status").await.unwrap();
    let told = format!("{}{}", server.greeting, server.log());
    assert!(!told.contains("fvt_") && told.contains(file.to_str().unwrap()), "{told}");
    std::fs::remove_file(&file).unwrap();
    server.kill_and_restart().await;
    assert!(!file.exists(), "only the first start makes a token");
}

#[tokio::test]
async fn chosen_token_is_the_first_one_and_told_nowhere() {
    let chosen = "0123456789abcdef0123456789abcdef";
    let launch = Launch::default().env("FIELDVITALS_ADMIN_TOKEN", chosen);
    let mut server = Server::launch_on(TempDir::new().unwrap(), launch.clone()).await;
    server.token = chosen.to_owned();
    server.get("status").await.unwrap();
    assert!(!server.data_dir().join("admin-token").exists());
    let told = format!("{}{}", server.greeting, server.log());
    assert!(!told.contains(chosen), "{told}");
    server.kill_and_restart().await;
    assert!(!server.log().contains("the store knows no token"), "{}", server.log());
    let another = Launch::default().env("FIELDVITALS_ADMIN_TOKEN", &chosen.replace('0', "9"));
    server.kill().await;
    server.start_again_as(another).await;
    assert!(
        server.log().contains("the store knows no token that is FIELDVITALS_ADMIN_TOKEN"),
        "{}",
        server.log()
    );
    server.get("status").await.unwrap();

    for weak in ["short", "0123456789abcdef 0123456789abcdef"] {
        let launch = Launch::default().env("FIELDVITALS_ADMIN_TOKEN", weak);
        let (code, log) = run_to_the_end(TempDir::new().unwrap().path(), &launch).await;
        assert!(code == Some(2) && log.contains("openssl rand") && !log.contains(weak), "{code:?} {log}");
    }
}

/// `script` provides a terminal that nobody else reads.
#[tokio::test]
async fn first_token_is_shown_on_a_terminal() {
    let folder = TempDir::new().unwrap();
    let shown = folder.path().join("shown");
    let data = folder.path().join("data");
    let command = format!(
        "{} serve --listen 127.0.0.1:0 --data-dir {}",
        fieldvitals_tests::server::binary().display(),
        data.display()
    );
    let mut script = tokio::process::Command::new("script")
        .args(["--quiet", "--flush", "--command", &command])
        .arg(&shown)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    fieldvitals_tests::eventually(|| async {
        let said = std::fs::read_to_string(&shown).unwrap_or_default();
        if said.contains("#token=fvt_") { Ok(()) } else { Err(said) }
    })
    .await;
    assert!(!data.join("admin-token").exists());
    script.kill().await.unwrap();
}

/// A cluster with a database whose user needs a password, and the URL without a password.
fn guarded() -> (Cluster, String) {
    let cluster = Cluster::start();
    let _ = cluster.sql("create user guarded password 'hush-hush'; grant create on schema public to guarded");
    let url = format!("{}&user=guarded", cluster.url());
    (cluster, url)
}

#[tokio::test]
async fn password_of_the_database_comes_from_a_file_and_not_from_the_arguments() {
    let (_cluster, url) = guarded();
    let place = TempDir::new().unwrap();
    let (url_file, pgpass) = (place.path().join("url"), place.path().join("pgpass"));
    std::fs::write(&url_file, format!("{url}&password=hush-hush\n")).unwrap();
    std::fs::write(&pgpass, "*:*:*:guarded:hush-hush\n").unwrap();
    set(&pgpass, 0o600);
    let (url_file, pgpass) = (url_file.to_str().unwrap(), pgpass.to_str().unwrap());
    for launch in [
        Launch::with(&["--database-url-file", url_file]),
        Launch::default().env("DATABASE_URL_FILE", url_file),
        Launch::with(&["--database-url", &url]).env("PGPASSFILE", pgpass),
        // An empty variable counts as unset.
        Launch::with(&["--database-url-file", url_file]).env("DATABASE_URL", ""),
    ] {
        let server = Server::launch_on(TempDir::new().unwrap(), launch).await;
        used(&server).await;
        let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", server.pid())).unwrap();
        assert!(arguments.contains("serve") && !arguments.contains("hush"), "{arguments}");
        assert!(!server.data_dir().join("store.db").exists());
    }
    let (empty, nowhere) = (place.path().join("empty"), place.path().join("nowhere"));
    std::fs::write(&empty, "\n").unwrap();
    for (args, words) in [
        (vec!["--database-url-file", url_file, "--database-url", &url], "both name a store"),
        (vec!["--database-url-file", empty.to_str().unwrap()], "it is empty"),
        (vec!["--database-url-file", nowhere.to_str().unwrap()], "it cannot be read"),
    ] {
        let (code, log) = run_to_the_end(place.path(), &Launch::with(&args)).await;
        assert!(code == Some(2) && log.contains(words) && !log.contains("hush"), "{code:?} {log}");
    }
}
