//! Tests `fieldvitals store copy` between real stores, with kills in the middle.

use fieldvitals_store::{
    Alerting as _, CellQuery, Context, Dimension, GroupBy, Judgement, LoadBatch, Name, Network, NewBudgets,
    NewSite, Senders, SiteId, Sites as _, Source, SpoolId, Store, Transfer as _, ViewUpdate, Weight,
};
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::Database;
use fieldvitals_store_sqlite::SqliteStore;
use fieldvitals_tests::eventually;
use fieldvitals_tests::filled::{OLD_VIEWS, command, fill, recent_day_ms, run};
use fieldvitals_tests::server::{Server, binary};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use vitals::metric::{Metric, Value as Measured, Values};
use vitals::view::ViewId;

/// Page views within retention. They need several loads.
const VIEWS: u32 = 24_000;

/// Fills a data folder with a site, a violation and a token. Returns the token's secret.
async fn source(folder: &Path, views: u32) -> String {
    let made = run(&[
        "token",
        "add",
        "ci",
        "--json",
        "--data-dir",
        folder.to_str().expect("what the test needs works"),
    ]);
    let store = SqliteStore::open(&folder.join("store.db")).await.expect("what the test needs works");
    let site = fill(&store, "shop", views).await;
    let judgement = Judgement {
        key: "lcp".to_owned(),
        broken: Some(true),
        route: "/cart".to_owned(),
        metric: Metric::Lcp,
        percentile: 75,
        at_most: Measured::new(Metric::Lcp, 2_500.0).expect("what the test needs works"),
        device: None,
        release: None,
        measured: Measured::new(Metric::Lcp, 3_000.0).ok(),
        n: 100,
        within: 50,
    };
    store.judgements(site.id, recent_day_ms(), &[judgement]).await.expect("what the test needs works");
    let budgets = NewBudgets {
        text: "[[budget]]\nroute = '/cart'\nmetric = 'FID'\nmax = 100\n".to_owned(),
        routes: vec!["/cart".to_owned()],
        applied_ms: recent_day_ms(),
        applied_by: "ci".to_owned(),
        replaces: None,
    };
    store.budgets_put(site.id, &budgets).await.expect("what the test needs works");
    store.close().await;
    made.json()["token"].as_str().expect("what the test needs works").to_owned()
}

/// The answers of `fieldvitals report` and of the API about a store, from a server started on it.
async fn told(args: &[&str], token: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("what the test needs works");
    let mut server = Command::new(binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--no-demo"])
        .args(args)
        .env_remove("DATABASE_URL")
        .env("FIELDVITALS_DATA_DIR", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("what the test needs works");
    let mut lines = BufReader::new(server.stdout.take().expect("what the test needs works")).lines();
    let url = loop {
        let line = lines.next_line().await.expect("what the test needs works").expect("a greeting");
        if let Some((_, url)) = line.split_once("takes beacons at ") {
            break url.to_owned();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let mut told = Vec::new();
    for question in [
        &["report", "--period", "90d", "--format", "json"][..],
        &["report", "--period", "90d", "--route", "/cart", "--format", "json"],
        &["report", "--period", "7d", "--device", "phone", "--format", "json"],
    ] {
        let report = command(question)
            .args(["--site", "shop"])
            .env("FIELDVITALS_SERVER", &url)
            .env("FIELDVITALS_TOKEN", token)
            .output()
            .expect("what the test needs works");
        assert!(report.status.success(), "{question:?}: {}", String::from_utf8_lossy(&report.stderr));
        let mut report: Value = serde_json::from_slice(&report.stdout).expect("what the test needs works");
        // Removes the periods, because they end with the current hour, which may change between two calls.
        report.as_object_mut().expect("what the test needs works").remove("period");
        if let Some(previous) = report["previous"].as_object_mut() {
            previous.remove("period");
        }
        for causes in report["advice"]["causes"].as_array_mut().expect("causes") {
            causes.as_object_mut().expect("the causes of a metric").remove("period");
        }
        told.push(report);
    }
    for path in ["violations", "budgets"] {
        let answer = reqwest::Client::new()
            .get(format!("{url}/api/v1/sites/shop/{path}"))
            .bearer_auth(token)
            .send()
            .await
            .expect("what the test needs works");
        told.push(answer.json().await.expect("what the test needs works"));
    }
    server.kill().await.expect("what the test needs works");
    told
}

#[tokio::test]
async fn a_copy_that_is_killed_goes_on_and_answers_as_the_original() {
    let folder = tempfile::tempdir().unwrap();
    let token = source(folder.path(), VIEWS).await;
    let (from, database) = (folder.path().to_str().unwrap(), Database::migrated().await);
    let args = ["store", "copy", "--from", from, "--to", &database.url, "--verify"];
    let views = || database.sql("select count(*) from page_view").parse::<u32>().unwrap();

    let mut copy = command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually(|| async { if views() > 0 { Ok(()) } else { Err("nothing is copied".to_owned()) } }).await;
    copy.kill().unwrap();
    copy.wait().unwrap();
    let half = views();
    assert!(half > 0 && half < VIEWS, "killed in the middle: {half}");

    let resumed = run(&args);
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert!(resumed.stderr.contains("page views are there already"), "{resumed:?}");
    assert!(resumed.stdout.contains("Both hold the same"), "{resumed:?}");
    assert!(resumed.stdout.contains("rollups are what the page views come to"), "{resumed:?}");
    assert_eq!(views(), VIEWS);

    let original = told(&["--data-dir", from], &token).await;
    let copied = told(&["--database-url", &database.url], &token).await;
    assert_eq!(original, copied);
    let all = original[0]["pages"].as_array().unwrap().iter().map(|page| page["views"].as_u64().unwrap());
    assert_eq!(all.sum::<u64>(), u64::from(VIEWS + 2 * OLD_VIEWS), "also what only rollups remember");
    assert_eq!(original[3]["violations"].as_array().map(Vec::len), Some(1));
    assert_eq!(original[4]["version"], 1);

    // Copies everything again. Nothing may be counted twice.
    let again = run(&args);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(told(&["--database-url", &database.url], &token).await, copied);

    // Copies back into a new folder.
    let back = folder.path().join("back");
    let back = back.to_str().unwrap();
    let returned = run(&["store", "copy", "--from", &database.url, "--to", back]);
    assert_eq!(returned.code, Some(0), "{returned:?}");
    assert!(returned.stderr.contains("cannot be seen from here"), "{returned:?}");
    assert_eq!(told(&["--data-dir", back], &token).await, original);
}

#[tokio::test]
async fn what_would_be_missed_is_not_copied() {
    let mut server = Server::start().await;
    let from = server.data_dir().to_str().unwrap().to_owned();
    let target = tempfile::tempdir().unwrap();
    let to = target.path().join("copy.db");
    let to = to.to_str().unwrap();
    let refused = |from: &str, to: &str, expected: &str| {
        let ran = run(&["store", "copy", "--from", from, "--to", to]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{ran:?}");
    };
    refused(&from, to, "a server runs on the source");
    refused(&from, &from, "--from and --to are the same");
    refused(&from, &format!("sqlite:{from}/store.db"), "the same");
    refused(&format!("{from}/nowhere"), to, "there is no store to be copied");
    refused("mysql://x", to, "postgres://USER@HOST/NAME");

    assert_eq!(server.terminate().await, Some(0));
    let copied = run(&["store", "copy", "--from", &from, "--to", to]);
    assert_eq!(copied.code, Some(0), "{copied:?}");

    // A different site of the same name is no copy.
    let other = target.path().join("other");
    let other = other.to_str().unwrap();
    assert_eq!(run(&["site", "add", "default", "--origin", "*", "--data-dir", other]).code, Some(0));
    refused(&from, other, "different keys");
}

/// Numbers of routes and of connection types of a crowded site. Both exceed its places.
const CROWDED: (u32, u32) = (2_100, 20);

/// Adds a site with more names than places. One of the names belongs to every sixteenth page view.
async fn crowded(store: &dyn Store) {
    let new = NewSite {
        name: "crowded".to_owned(),
        key: "fvk_test_crowded".to_owned(),
        origins: vec!["*".to_owned()],
        created_ms: recent_day_ms(),
    };
    let site = store.site_add(new).await.expect("a site").id;
    let mut updates: Vec<ViewUpdate> = Vec::new();
    for number in 0..VIEWS {
        let start_ms = recent_day_ms() + i64::from(number);
        let route = if number % 16 == 15 { "/named".to_owned() } else { format!("/r{}", number % CROWDED.0) };
        updates.push(ViewUpdate {
            id: ViewId::new(start_ms.unsigned_abs(), number.into()),
            source: Source::Own { seq: 1 },
            received_ms: start_ms,
            url: format!("https://shop.example{route}"),
            route,
            navigation_type: None,
            device: None,
            browser: None,
            os: None,
            connection: Some(format!("c{}", number % CROWDED.1)),
            country: None,
            release: Some(format!("v{}", number % 3)),
            values: Values::EMPTY,
            tti_gap: None,
            weight: Weight::ONE,
            context: Context::NONE,
        });
    }
    for part in updates.chunks(4_000) {
        load(store, site, part.to_vec()).await;
    }
}

async fn load(store: &dyn Store, site: SiteId, updates: Vec<ViewUpdate>) {
    let spool = SpoolId([9; 16]);
    let after = store.cursor(site, spool).await.expect("a cursor");
    let networks = updates.iter().map(|update| Network::of(site, update.received_ms.unsigned_abs() % 50));
    let senders = Senders::Networks(networks.collect());
    let beacons: Vec<Vec<ViewUpdate>> = updates.into_iter().map(|update| vec![update]).collect();
    let up_to = after + beacons.len() as u64;
    store.load(LoadBatch { site, spool, after, up_to, beacons, senders }).await.expect("a load");
}

/// The page views per route and label, and the rows of names.
async fn counted(store: &dyn Store) -> (Vec<(String, i64)>, Vec<Name>) {
    let sites = store.sites().await.expect("the sites");
    let site = sites.iter().find(|site| site.name == "crowded").expect("the site").id;
    let query = CellQuery::new(site, i64::MIN, i64::MAX);
    let routes = store.cells(&query).await.expect("the routes").rows.into_iter();
    let mut counted: Vec<(String, i64)> = routes.map(|one| (one.route, one.cell.views)).collect();
    for dimension in Dimension::LABELLED {
        let values =
            store.breakdown(&query, GroupBy::Rolled(dimension)).await.expect("the labels").rows.into_iter();
        counted.extend(values.map(|one| (one.value.unwrap_or_default(), one.cell.views)));
    }
    (counted, store.names(site).await.expect("the names"))
}

#[tokio::test]
async fn copy_of_a_store_with_more_names_than_places_has_the_same_names() {
    let folder = tempfile::tempdir().unwrap();
    let (from, database) = (folder.path().join("store.db"), Database::migrated().await);
    let source = SqliteStore::open(&from).await.unwrap();
    crowded(&source).await;
    let original = counted(&source).await;
    source.close().await;
    let named = original.0.iter().find(|(name, _)| name == "/named").unwrap().1;
    assert_eq!(named, i64::from(VIEWS / 16));
    assert!(
        original.0.iter().filter(|(name, _)| name == "(other)").count() == 2,
        "of routes and connections"
    );

    let from = from.to_str().unwrap();
    let copied = run(&["store", "copy", "--from", from, "--to", &database.url, "--verify"]);
    assert_eq!(copied.code, Some(0), "{copied:?}");
    let target = PostgresStore::open(&database.url).await.unwrap();
    assert_eq!(counted(&target).await, original);
    target.close().await;

    let back = folder.path().join("back.db");
    let returned =
        run(&["store", "copy", "--from", &database.url, "--to", back.to_str().unwrap(), "--verify"]);
    assert_eq!(returned.code, Some(0), "{returned:?}");
    let target = SqliteStore::open(&back).await.unwrap();
    assert_eq!(counted(&target).await, original);

    // Gives a page view of the copy another name. The total stays the same.
    let site = target.sites().await.unwrap()[0].id;
    let mut views = target.views(site, None, 1).await.unwrap();
    let mut moved = views.remove(0).update;
    moved.source = Source::Own { seq: 9 };
    moved.release = Some("v9".to_owned());
    load(&target, site, vec![moved]).await;
    target.close().await;
    let differs = run(&["store", "copy", "--from", &database.url, "--to", back.to_str().unwrap()]);
    assert_eq!(differs.code, Some(1), "{differs:?}");
    assert!(
        differs.stdout.contains("release `v9`: 0 page views in the source, 1 page view in the target"),
        "{differs:?}"
    );
}
