//! Route groups with real servers: learned by themselves, suggested, applied to the past, removed.

use fieldvitals_store::{RouteGroups, Sites as _};
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::Database;
use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::eventually;
use fieldvitals_tests::filled::run;
use fieldvitals_tests::server::{Launch, Server};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Posts of a blog, seen once each: more than a site has places.
const POSTS: usize = 4_200;
/// Page views of each of two posts that everybody reads.
const HITS: usize = 500;
/// Page views of each section.
const SECTION: usize = 200;
const SECTIONS: [&str; 4] = ["/", "/about", "/blog", "/blog/category/moon"];
/// Page views of one beacon.
const VIEWS: usize = 16;

/// The paths of all page views.
fn paths() -> Vec<String> {
    let mut paths = Vec::new();
    for (path, views) in [("/blog/hello", HITS), ("/blog/goodbye", HITS)] {
        paths.extend(std::iter::repeat_n(path.to_owned(), views));
    }
    for section in SECTIONS {
        paths.extend(std::iter::repeat_n(section.to_owned(), SECTION));
    }
    paths.extend((0..POSTS).map(|i| format!("/blog/a-post-of-{i}-words")));
    paths
}

/// Sends page views from a hundred client networks.
async fn send(server: &Server, paths: &[String]) {
    let bodies: Vec<(usize, Value)> = paths
        .chunks(VIEWS)
        .enumerate()
        .map(|(number, paths)| {
            let view = |(i, path): (usize, &String)| {
                let id = view_id((number * VIEWS + i) as u128);
                let url = format!("https://shop.example{path}");
                json!({"id": id.to_string(), "nav": "navigate", "values": {"LCP": 900.0}, "url": url})
            };
            let views: Vec<Value> = paths.iter().enumerate().map(view).collect();
            let url = "https://shop.example/";
            (number % 100, json!({"v": 1, "site": server.key, "seq": 1, "url": url, "views": views}))
        })
        .collect();
    for some in bodies.chunks(64) {
        join_all(some.iter().map(|(network, body)| async move {
            let request = server.http.post(format!("{}/v1/beacon", server.url));
            let request = request.header("x-forwarded-for", format!("203.0.{network}.7"));
            let response = request.body(body.to_string()).send().await.expect("an answer");
            assert_eq!(response.status().as_u16(), 204);
        }))
        .await;
    }
    server.settled().await;
}

/// The reported routes with their page views.
async fn routes(server: &Server) -> BTreeMap<String, u64> {
    let pages = server.get("sites/default/pages?period=24h&min_n=1&limit=500&sort=views").await;
    let pages = pages.expect("the pages");
    let rows = pages["pages"].as_array().cloned().unwrap_or_default();
    let row = |page: &Value| Some((page["route"].as_str()?.to_owned(), page["views"].as_u64()?));
    rows.iter().filter_map(row).collect()
}

/// Waits until a server knows these groups of its first site.
async fn known(server: &Server, groups: &[&str]) {
    eventually(|| async {
        let sites = server.get("sites").await?;
        let known = &sites["sites"][0]["route_groups"]["groups"];
        if *known == json!(groups) { Ok(()) } else { Err(sites.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn blog_with_more_posts_than_places_is_grouped() {
    let launch = Launch::with(&["--trusted-proxy", "127.0.0.1", "--client-rate", "0"]);
    let mut server = Server::launch(launch).await;
    send(&server, &paths()).await;
    let before = routes(&server).await;
    assert!(before["(other)"] > 1_500, "{before:?}");

    let suggested = server.cli_json(&["site", "routes", "suggest", "default", "--json"]).await;
    let groups = suggested["groups"].as_array().cloned().unwrap_or_default();
    assert_eq!(groups.len(), 1, "{suggested}");
    assert_eq!(
        (groups[0]["pattern"].as_str(), groups[0]["pages"].as_u64()),
        (Some("/blog/:slug"), Some(4_200))
    );
    assert_eq!(groups[0]["doubt"], Value::Null, "{suggested}");
    let apart: Vec<&str> = suggested["apart"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|page| page["route"].as_str())
        .collect();
    assert_eq!(apart, ["/blog/goodbye", "/blog/hello"]);
    let asked = server.get("sites/default/routes/suggestions").await.expect("suggestions");
    assert_eq!((&asked["groups"], &asked["apart"]), (&suggested["groups"], &suggested["apart"]));
    let text = server.cli(&["site", "routes", "suggest", "default"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("/blog/:slug  4,200  4,200  70.0 %  yes"), "{text}");
    let report = server.cli(&["report", "--period", "24h"]).await;
    assert!(String::from_utf8_lossy(&report.stderr).contains("site routes suggest default"), "{report:?}");

    // The first round of maintenance after a start learns.
    assert_eq!(server.terminate().await, Some(0));
    server.start_again().await;
    known(&server, &["/blog/:slug"]).await;
    assert!(server.log().contains("are grouped from now on"), "{}", server.log());
    let new = beacon(&server.key, view_id(900_001), "https://shop.example/blog/new", &json!({"LCP": 900.0}));
    assert_eq!(server.post("/v1/beacon", new.to_string()).await.0, 204);
    server.settled().await;
    assert_eq!(routes(&server).await["/blog/:slug"], 1, "from now on");

    let applied = server.cli_json(&["site", "routes", "apply", "default", "--rebuild", "--json"]).await;
    assert_eq!((&applied["added"], &applied["rebuilt"]["moved"]), (&json!([]), &json!(4_200)), "{applied}");
    let mut expected: BTreeMap<String, u64> =
        SECTIONS.iter().map(|section| ((*section).to_owned(), SECTION as u64)).collect();
    expected.insert("/blog/:slug".to_owned(), POSTS as u64 + 1);
    expected.insert("/blog/hello".to_owned(), HITS as u64);
    expected.insert("/blog/goodbye".to_owned(), HITS as u64);
    assert_eq!(routes(&server).await, expected);
    let verified = server.cli(&["rollup", "verify"]).await;
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let page = server.get("sites/default/report?route=/blog/a-post-of-17-words").await.expect("a report");
    assert_eq!(page["route"], "/blog/:slug", "a post is asked for by its path");

    let wrong = server.cli(&["site", "routes", "remove", "default", "/blog/:slog"]).await;
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(2) && said.contains("did you mean `/blog/:slug`?"), "{said}");
    let removed =
        server.cli_json(&["site", "routes", "remove", "default", "/blog/:slug", "--rebuild", "--json"]).await;
    assert_eq!(removed["removed"], json!(["/blog/:slug"]));
    let after = routes(&server).await;
    assert!(!after.contains_key("/blog/:slug") && after["(other)"] > 1_500, "{:?}", after.len());
    let verified = server.cli(&["rollup", "verify"]).await;
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let listed = server.cli_json(&["site", "routes", "list", "default", "--json"]).await;
    assert_eq!((&listed["groups"], &listed["removed"]), (&json!([]), &json!(["/blog/:slug"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_and_a_rebuild_agree_on_every_route() {
    let database = Database::migrated().await;
    let place = ["--database-url", database.url.as_str()];
    let one = Server::start_with(&place).await;
    let url = |i: usize| format!("https://shop.example/wiki/{}", ["moon", "river", "Main", "talk/x"][i % 4]);
    let values = json!({"LCP": 900.0});
    for i in 0..8 {
        let body = beacon(&one.key, view_id(i as u128), &url(i), &values);
        assert_eq!(one.post("/v1/beacon", body.to_string()).await.0, 204);
    }
    one.settled().await;
    let store = PostgresStore::open(&database.url).await.expect("a store");
    let site = store.sites().await.expect("sites").remove(0);
    assert!(site.route_groups.auto, "a new site learns");
    let groups = RouteGroups {
        groups: vec!["/wiki/:slug".to_owned()],
        apart: vec!["/wiki/Main".to_owned()],
        ..site.route_groups.clone()
    };
    store.site_route_groups(site.id, &site.route_groups, &groups).await.expect("groups");
    store.close().await;
    let second = Server::launch_on(tempfile::tempdir().expect("a folder"), Launch::with(&place)).await;
    for (number, server) in [&one, &second].into_iter().enumerate() {
        if number == 0 {
            known(server, &["/wiki/:slug"]).await;
        }
        for i in 0..8 {
            let id = view_id((100 + number * 100 + i) as u128);
            let body = beacon(&one.key, id, &url(i), &values);
            assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
        }
    }
    let expected = |group: u64, apart: u64, own: u64| {
        let named = [("/wiki/:slug", group), ("/wiki/Main", apart), ("/wiki/talk/x", apart)];
        let single = [("/wiki/moon", own), ("/wiki/river", own)];
        let all = named.into_iter().chain(single).filter(|(_, views)| *views > 0);
        all.map(|(route, views)| (route.to_owned(), views)).collect::<BTreeMap<String, u64>>()
    };
    let agree = async |counts: BTreeMap<String, u64>| {
        eventually(|| async {
            let found = routes(&one).await;
            if found == counts { Ok(()) } else { Err(format!("{found:?} instead of {counts:?}")) }
        })
        .await;
    };
    agree(expected(8, 6, 2)).await;
    let rebuilt = run(&["site", "routes", "apply", "default", "--rebuild", "--json", place[0], place[1]]);
    assert_eq!(rebuilt.json()["rebuilt"]["moved"], 4, "{rebuilt:?}");
    agree(expected(12, 6, 0)).await;
    let verified = run(&["rollup", "verify", place[0], place[1]]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[tokio::test]
async fn site_learns_unless_it_is_switched_off() {
    let server = Server::start().await;
    let auto =
        async |args: &[&str]| server.cli_json(&[args, &["--json"]].concat()).await["auto_routes"].clone();
    assert_eq!(auto(&["site", "add", "blog", "--origin", "*"]).await, true);
    assert_eq!(auto(&["site", "add", "wiki", "--origin", "*", "--auto-routes", "off"]).await, false);
    assert_eq!(auto(&["site", "update", "blog", "--auto-routes", "off"]).await, false);
    assert_eq!(auto(&["site", "update", "blog", "--timezone", "Asia/Tokyo"]).await, false);
    assert_eq!(auto(&["site", "update", "blog", "--auto-routes", "on"]).await, true);
    let text = server.cli(&["site", "routes", "suggest", "blog"]).await;
    assert!(String::from_utf8_lossy(&text.stdout).contains("no group is suggested"), "{text:?}");
    let unknown = server.get("sites/blog/routes/suggestions?period=7d").await.unwrap_err();
    assert!(unknown.contains("unknown parameter `period`"), "{unknown}");
}
