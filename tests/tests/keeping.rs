//! Retention and erasing: `migrate`, `rollup`, `site erase`, retention options.

use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::Database;
use fieldvitals_store_sqlite::SqliteStore;
use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::eventually;
use fieldvitals_tests::filled::{Ran, day_text, fill, recent_day_ms, run};
use fieldvitals_tests::server::{Launch, Server};
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;
const VIEWS: u32 = 600;

/// Creates both stores with a filled site; returns the command-line arguments that select each store.
async fn both(folder: &std::path::Path, database: &Database) -> [[String; 2]; 2] {
    let path = folder.join("store.db");
    let sqlite = SqliteStore::open(&path).await.expect("the store opens");
    fill(&sqlite, "shop", VIEWS).await;
    sqlite.close().await;
    let postgres = PostgresStore::open(&database.url).await.expect("the store opens");
    fill(&postgres, "shop", VIEWS).await;
    postgres.close().await;
    let folder = folder.to_str().expect("a path in UTF-8").to_owned();
    [["--data-dir".to_owned(), folder], ["--database-url".to_owned(), database.url.clone()]]
}

fn on(place: &[String; 2], args: &[&str]) -> Ran {
    let mut args = args.to_vec();
    args.extend(place.iter().map(String::as_str));
    run(&args)
}

#[tokio::test]
async fn a_store_is_migrated_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::empty();
    for place in [["--data-dir", folder.path().to_str().unwrap()], ["--database-url", &database.url]] {
        let place = place.map(str::to_owned);
        let made = on(&place, &["migrate"]);
        assert_eq!(made.code, Some(0), "{made:?}");
        assert!(
            made.stdout.contains("is up to date for fieldvitals") && made.stdout.contains("0 sites"),
            "{made:?}"
        );
        let again = on(&place, &["migrate", "--json"]);
        assert_eq!(again.json()["sites"], 0);
        assert_eq!(again.json()["views_from"], Value::Null);
    }
    let _ = database.sql(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (99990101000000, 'of a release to come', true, ''::bytea, 0)",
    );
    let newer = on(&["--database-url".to_owned(), database.url.clone()], &["migrate"]);
    assert_eq!(newer.code, Some(2), "{newer:?}");
    assert!(
        newer.stderr.contains("99990101000000") && newer.stderr.contains("install the newer release"),
        "{newer:?}"
    );
}

#[tokio::test]
async fn rollups_are_verified_and_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::migrated().await;
    let places = both(folder.path(), &database).await;
    for place in &places {
        let right = on(place, &["rollup", "verify"]);
        assert_eq!(right.code, Some(0), "{right:?}");
        assert!(
            right.stdout.contains("3 days compared: rollups are what the page views come to"),
            "{right:?}"
        );
        assert!(right.stderr.contains("day 1 of 3"), "{right:?}");
        let one = on(place, &["rollup", "verify", "shop", "--to", &day_text(recent_day_ms()), "--json"]);
        assert_eq!(one.json()["days"], 1);
        let rebuilt = on(place, &["rollup", "rebuild", "shop"]);
        assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
        assert!(rebuilt.stdout.contains(&format!("from {VIEWS} page views")), "{rebuilt:?}");
        assert_eq!(on(place, &["rollup", "verify"]).code, Some(0));
        let nobody = on(place, &["rollup", "verify", "nobody"]);
        assert!(nobody.code == Some(2) && nobody.stderr.contains("there is no site `nobody`"), "{nobody:?}");
        let turned = on(place, &["rollup", "verify", "--from", "2026-01-02", "--to", "2026-01-01"]);
        assert!(turned.code == Some(2) && turned.stderr.contains("--from 2026-01-02"), "{turned:?}");
    }

    // Breaks the rollups of the second of the three days.
    let day = day_text(recent_day_ms() + DAY_MS);
    let step = (recent_day_ms() + DAY_MS) / DAY_MS;
    let _ = database.sql(&format!("delete from rollup_day where step = {step}"));
    let postgres = &places[1];
    let wrong = on(postgres, &["rollup", "verify", "--json"]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    let report = wrong.json();
    let differences = report["differences"].as_array().unwrap();
    assert!(differences.iter().all(|one| one["time"] == day.as_str() && one["stored"] == 0), "{report}");
    let at = |dimension: &str, value: &str| {
        let found = differences.iter().find(|one| {
            one["dimension"] == dimension
                && one["value"] == value
                && one["route"] == "/cart"
                && one["count"] == "LCP"
        });
        found.map(|one| one["expected"].as_i64().unwrap())
    };
    assert!(at("device", "phone").is_some_and(|n| n > 0), "{report}");
    assert!(
        at("country", "FR").is_some_and(|n| n > 0),
        "a label's name, although only its code is stored: {report}"
    );
    let told = on(postgres, &["rollup", "verify", "shop", "--from", &day, "--to", &day]);
    assert!(
        told.code == Some(1) && told.stdout.contains("STORED") && told.stdout.contains("rollup rebuild"),
        "{told:?}"
    );
    let before = on(postgres, &["rollup", "verify", "--to", &day_text(recent_day_ms())]);
    assert_eq!(before.code, Some(0), "{before:?}");

    assert_eq!(on(postgres, &["rollup", "rebuild", "--from", &day]).code, Some(0));
    let right = on(postgres, &["rollup", "verify"]);
    assert_eq!(right.code, Some(0), "{right:?}");
}

#[tokio::test]
async fn a_url_and_a_time_are_erased() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::migrated().await;
    for place in &both(folder.path(), &database).await {
        let url = "https://shop.example/p/3?token=secret#top";
        let refused = on(place, &["site", "erase", "shop", "--url", url]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        for told in ["every page view of https://shop.example/p/3", "spool", "cannot be told apart", "--yes"]
        {
            assert!(refused.stderr.contains(told), "{told}: {refused:?}");
        }
        assert!(!refused.stderr.contains("secret"), "{refused:?}");
        assert!(refused.stderr.contains(&format!("{} page views", VIEWS / 10)), "{refused:?}");
        let erased = on(place, &["site", "erase", "shop", "--url", url, "--yes", "--json"]);
        assert_eq!(
            erased.json(),
            json!({"site": "shop", "views": VIEWS / 10, "rollup_rows": 0, "complete": true})
        );
        let again = on(place, &["site", "erase", "shop", "--url", url, "--yes", "--json"]);
        assert_eq!(again.json()["views"], 0);

        // Erases a time range: the first of the three days.
        let (from, to) = (day_text(recent_day_ms()), day_text(recent_day_ms() + DAY_MS));
        let erased = on(place, &["site", "erase", "shop", "--all", "--from", &from, "--to", &to, "--yes"]);
        assert_eq!(erased.code, Some(0), "{erased:?}");
        assert!(
            erased.stdout.contains(&format!("{} page views erased, and 0 rollup rows", VIEWS / 3 * 9 / 10)),
            "{erased:?}"
        );
        let right = on(place, &["rollup", "verify", "--json"]);
        assert_eq!((right.code, &right.json()["differences"]), (Some(0), &json!([])));

        // Erases the rest, including the rollups of days without page views.
        let rest = on(place, &["site", "erase", "shop", "--all", "--yes", "--json"]);
        assert_eq!(rest.json()["views"], VIEWS - VIEWS / 10 - VIEWS / 3 * 9 / 10);
        assert!(rest.json()["rollup_rows"].as_u64().is_some_and(|rows| rows > 0), "{rest:?}");
    }
}

#[tokio::test]
async fn retention_is_what_the_options_say() {
    let keep = ["--keep-views-days", "60", "--keep-hours-days", "7", "--keep-rollups-days", "365"];
    let server = Server::start_with(&keep).await;
    let body = beacon(&server.key, view_id(1), "https://shop.example/", &json!({"LCP": 900.0}));
    assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    server.reported("/", &["LCP"]).await;
    let status = eventually(|| async {
        let status = server.get("status").await?;
        if status["maintenance"]["rounds"] == 0 { Err(status.to_string()) } else { Ok(status) }
    })
    .await;
    let kept = &status["maintenance"];
    assert_eq!(
        (&kept["views_days"], &kept["hourly_days"], &kept["daily_days"]),
        (&json!(60), &json!(7), &json!(365))
    );
    let place = ["--data-dir".to_owned(), server.data_dir().to_str().unwrap().to_owned()];
    let migrated = on(&place, &["migrate", "--json"]).json();
    let today_ms = recent_day_ms() + 2 * DAY_MS;
    assert_eq!(migrated["views_from"], day_text(today_ms - 60 * DAY_MS));
    assert_eq!(migrated["hours_from"], day_text(today_ms - 7 * DAY_MS));
    assert_eq!(migrated["days_from"], day_text(today_ms - 365 * DAY_MS));
}

#[tokio::test]
async fn retention_is_set_over_the_network_for_all_servers_of_the_store() {
    let mut server = Server::start().await;
    let run = async |server: &Server, args: &[&str]| {
        let output = server.command(args).args(["--server", &server.url]).output().await.unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), out, err)
    };
    let shown = server.cli_json(&["retention", "show", "--json"]).await;
    assert_eq!(shown, json!({"from": "defaults", "views_days": 30, "hours_days": 14, "rollups_days": 762}));
    let (code, _, err) = run(&server, &["retention", "set", "--views-days", "7"]).await;
    assert!(code == Some(2) && err.contains("this removes page views older than 7 days"), "{err}");
    let set = ["retention", "set", "--views-days", "7", "--rollups-days", "90", "--yes"];
    let (code, out, err) = run(&server, &set).await;
    assert!(
        code == Some(0) && out.contains("7 days") && out.contains("all servers of the store"),
        "{out}{err}"
    );
    let (_, log, _) = run(&server, &["audit"]).await;
    assert!(log.contains("retention.set") && log.contains("\"views_days\":7"), "{log}");
    let kept = server.get("status").await.unwrap()["maintenance"].clone();
    assert_eq!(
        (&kept["views_days"], &kept["daily_days"]),
        (&json!(7), &json!(90)),
        "at once, on this server"
    );

    // Another server of the store follows within a round; one with options follows these.
    assert_eq!(server.terminate().await, Some(0));
    server.start_again_as(Launch::default()).await;
    eventually(|| async {
        let kept = server.get("retention").await?;
        let expected = json!({"from": "store", "views_days": 7, "hours_days": 14, "rollups_days": 90});
        if kept == expected { Ok(()) } else { Err(kept.to_string()) }
    })
    .await;
    assert_eq!(server.terminate().await, Some(0));
    server.start_again_as(Launch::with(&["--keep-views-days", "60"])).await;
    let kept = server.get("retention").await.unwrap();
    assert_eq!(kept, json!({"from": "options", "views_days": 60, "hours_days": 14, "rollups_days": 762}));
    let (code, _, err) = run(&server, &["retention", "set", "--views-days", "90"]).await;
    assert!(code == Some(2) && err.contains("is in its options"), "{err}");
}

/// After a clean shutdown the store is a single file, regardless of the program that used it.
#[tokio::test]
async fn a_store_that_was_closed_can_be_copied_as_a_file() {
    let mut server = Server::start().await;
    let body = beacon(&server.key, view_id(1), "https://shop.example/", &json!({"LCP": 900.0}));
    assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    server.settled().await;
    assert_eq!(server.terminate().await, Some(0));
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(server.data_dir().join("store.db"), copy.path().join("store.db")).unwrap();
    let left = |folder: &std::path::Path| {
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
        let files = files.map(|name| name.to_string_lossy().into_owned());
        files.filter(|name| name.ends_with("-wal") || name.ends_with("-shm")).collect::<Vec<_>>()
    };
    assert!(left(server.data_dir()).is_empty(), "{:?}", left(server.data_dir()));
    let place = ["--data-dir".to_owned(), copy.path().to_str().unwrap().to_owned()];
    let verified = on(&place, &["rollup", "verify", "--json"]);
    assert_eq!((verified.code, &verified.json()["days"]), (Some(0), &json!(1)), "{verified:?}");
    let commands: [&[&str]; 4] = [
        &["site", "add", "shop", "--origin", "*"],
        &["token", "add"],
        &["site", "delete", "shop", "--yes"],
        &["site", "delete", "shop", "--yes"],
    ];
    for command in commands {
        let ran = on(&place, command);
        assert!(left(copy.path()).is_empty(), "{command:?}: {:?}, {ran:?}", left(copy.path()));
    }
    let sites = on(&place, &["site", "list", "--json"]);
    assert_eq!(sites.json()[0]["name"], "default", "{sites:?}");
}
