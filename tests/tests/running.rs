//! Tests how a server is set up: its configuration file, TLS, its path behind a proxy, and backups.

use fieldvitals_tests::server::{Launch, Server, binary, run_to_the_end};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

/// Writes a file of a folder; returns its path.
fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
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
