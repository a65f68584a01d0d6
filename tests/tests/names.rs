//! Names and their places, over a real socket: a flood of made-up names leaves room for real ones, and is told.

use fieldvitals_store_postgres::testing::Database;
use fieldvitals_tests::beacon::view_id;
use fieldvitals_tests::eventually;
use fieldvitals_tests::filled::run;
use fieldvitals_tests::server::{Launch, Server};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// Made-up names of a flood, more than a site has places.
const NAMES: u32 = 2_240;
/// Views of one beacon.
const VIEWS: u32 = 16;
/// Behind a proxy, without a limit of beacons that this test would meet.
const ARGS: [&str; 4] = ["--trusted-proxy", "127.0.0.1", "--client-rate", "0"];

/// A beacon of some views, each at a path of its own.
fn beacon(server: &Server, paths: impl Iterator<Item = (u128, String)>, release: &str) -> Value {
    let views: Vec<Value> = paths
        .map(|(number, path)| {
            json!({
                "id": view_id(number).to_string(), "nav": "navigate", "values": {"LCP": 900.0},
                "url": format!("https://shop.example{path}"),
            })
        })
        .collect();
    json!({
        "v": 1, "site": server.key, "seq": 1, "url": "https://shop.example/", "device": "desktop",
        "connection": "4g", "release": release, "views": views,
    })
}

async fn post(server: &Server, address: &str, body: &Value) {
    let request = server.http.post(format!("{}/v1/beacon", server.url)).header("x-forwarded-for", address);
    let response = request.body(body.to_string()).send().await.expect("an answer");
    assert_eq!(response.status().as_u16(), 204);
}

/// Sends made-up routes and releases from some networks in turn.
async fn flood(server: &Server, networks: u32) {
    let mut sent = Vec::new();
    for first in (0..NAMES).step_by(VIEWS as usize) {
        let paths = (first..first + VIEWS).map(|i| (u128::from(i), format!("/made-up/x{i}y")));
        sent.push((first / VIEWS % networks, beacon(server, paths, "r")));
    }
    // A beacon has one release, so these are further ones.
    for first in 0..NAMES {
        let path = std::iter::once((u128::from(NAMES + first), "/".to_owned()));
        sent.push((first % networks, beacon(server, path, &format!("made-up-{first}"))));
    }
    for some in sent.chunks(64) {
        let posts = some.iter().map(|(network, body)| async move {
            post(server, &format!("203.0.{network}.7"), body).await;
        });
        join_all(posts).await;
    }
    server.settled().await;
}

/// The routes that are reported with their page views, most of them first.
async fn routes(server: &Server) -> Vec<(String, u64)> {
    let pages = server.get("sites/default/pages?period=24h&min_n=1&limit=500").await.expect("the pages");
    let pages = pages["pages"].as_array().cloned().unwrap_or_default();
    let row = |page: &Value| Some((page["route"].as_str()?.to_owned(), page["views"].as_u64()?));
    pages.iter().filter_map(row).collect()
}

/// Names of visitors of other networks are reported under their own names, and judged.
async fn real_names_have_places(server: &Server) {
    for visitor in 0..5_u32 {
        for view in 0..40_u32 {
            let number = u128::from(100_000 + visitor * 100 + view);
            let path =
                std::iter::once((number, format!("/real/{}", ["a", "b", "c", "d", "e"][visitor as usize])));
            post(server, &format!("198.51.{visitor}.{view}"), &beacon(server, path, "real")).await;
        }
    }
    server.settled().await;
    let routes = routes(server).await;
    for name in ["a", "b", "c", "d", "e"] {
        assert!(
            routes.contains(&(format!("/real/{name}"), 40)),
            "{name}: {:?}",
            &routes[..20.min(routes.len())]
        );
    }
    let budgets = server.data_dir().join("budgets.toml");
    std::fs::write(&budgets, "[[budget]]\nroute = \"/real/*\"\nmetric = \"LCP\"\nmax = 2500\n")
        .expect("a file");
    let budgets = budgets.to_str().expect("a path in UTF-8");
    let check = server.cli(&["check", "--budget", budgets, "--release", "real", "--period", "24h"]).await;
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&check.stderr));
}

async fn flooded(launch: Launch, networks: u32, store: Option<&Database>) {
    let server = Server::launch(launch).await;
    flood(&server, networks).await;
    let status = server.settled().await;
    let kinds: Vec<&str> = status["crowded"]
        .as_array()
        .map(|crowded| crowded.iter().filter_map(|one| one["kind"].as_str()).collect())
        .unwrap_or_default();
    assert_eq!(kinds, ["routes", "releases"], "{status}");
    assert_eq!(server.log().matches("more names than it has places").count(), 2, "{}", server.log());
    let report = server.cli(&["report", "--period", "24h"]).await;
    assert!(String::from_utf8_lossy(&report.stderr).contains("(other)"), "{report:?}");

    real_names_have_places(&server).await;

    let place: Vec<String> = match store {
        None => vec!["--data-dir".to_owned(), server.data_dir().to_str().expect("a path").to_owned()],
        Some(database) => vec!["--database-url".to_owned(), database.url.clone()],
    };
    let mut erase = vec!["site", "erase", "default", "--all", "--yes"];
    erase.extend(place.iter().map(String::as_str));
    let erased = run(&erase);
    assert_eq!(erased.code, Some(0), "{erased:?}");
    let mut rebuild = vec!["rollup", "rebuild"];
    rebuild.extend(place.iter().map(String::as_str));
    assert_eq!(run(&rebuild).code, Some(0));
    // One network alone has as much room again as at the beginning.
    for first in (0..480).step_by(VIEWS as usize) {
        let paths = (first..first + VIEWS).map(|i| (u128::from(200_000 + i), format!("/again/x{i}y")));
        post(&server, "203.0.0.7", &beacon(&server, paths, "real")).await;
    }
    server.settled().await;
    eventually(|| async {
        let routes = routes(&server).await;
        let own = routes.iter().filter(|(route, _)| route.starts_with("/again/")).count();
        if own == 480 && routes.len() == 480 { Ok(()) } else { Err(format!("{own} of {}", routes.len())) }
    })
    .await;
}

#[tokio::test]
async fn flood_of_names_from_one_network_leaves_room_in_the_embedded_store() {
    flooded(Launch::with(&ARGS), 1, None).await;
}

#[tokio::test]
async fn flood_of_names_from_twenty_networks_leaves_room_in_the_embedded_store() {
    flooded(Launch::with(&ARGS), 20, None).await;
}

#[tokio::test]
async fn flood_of_names_leaves_room_in_postgres() {
    for networks in [1, 20] {
        let database = Database::migrated().await;
        let mut args = ARGS.to_vec();
        args.extend(["--database-url", &database.url]);
        flooded(Launch::with(&args), networks, Some(&database)).await;
    }
}
