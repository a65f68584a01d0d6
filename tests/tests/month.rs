//! A month with a planted regression: every answer finds it. The same month without it: no answer claims a change.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::rollup::{DAY_MS, day_of};
use fieldvitals_store_sqlite::SqliteStore;
use fieldvitals_tests::beacon::now_ms;
use fieldvitals_tests::filled::day_text;
use fieldvitals_tests::month::{Month, NAME, RELEASE_BEFORE, SLOW_RELEASE, SLOW_ROUTE};
use fieldvitals_tests::server::{Launch, Server};
use serde_json::Value;
use tempfile::TempDir;

/// A seed of which the route is not the worst page without the regression.
const SEED: u64 = 4;

/// Starts a server on a month.
async fn server(has_regression: bool) -> Server {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).await.unwrap();
    let end_ms = day_of(now_ms() as i64);
    Month { views_a_day: 1_500, seed: SEED, has_regression, end_ms }.fill(&store).await;
    store.close().await;
    Server::launch_on(folder, Launch::default()).await
}

async fn ask(server: &Server, question: &str) -> Value {
    server.get(&format!("sites/{NAME}/{question}")).await.unwrap()
}

/// The question about the regression: its route on phones.
fn slow(of: &str) -> String {
    format!("{of}device=phone&route={SLOW_ROUTE}")
}

/// The changes that the answers about releases and weeks claim.
async fn claims(server: &Server) -> Vec<String> {
    let releases = format!("compare?period=28d&release={SLOW_RELEASE}&against={RELEASE_BEFORE}&");
    let end_ms = day_of(now_ms() as i64);
    let weeks = format!(
        "compare?from={}T00:00:00Z&to={}T00:00:00Z&against=previous&",
        day_text(end_ms - 7 * DAY_MS),
        day_text(end_ms)
    );
    let mut claims = Vec::new();
    for question in [releases.clone(), weeks.clone(), slow(&releases), slow(&weeks)] {
        let answer = ask(server, &question).await;
        let shares = &answer["reweighted"]["metrics"];
        let changes = [&answer["metrics"], shares].into_iter().flat_map(|all| all.as_object().unwrap());
        let routes = answer["routes"].as_array().into_iter().flatten();
        let routes = routes.map(|change| (change["route"].as_str().unwrap(), change));
        let changes = changes.map(|(metric, change)| (metric.as_str(), change)).chain(routes);
        let clear =
            changes.filter(|(_, change)| ["worse", "better"].contains(&change["verdict"].as_str().unwrap()));
        claims.extend(clear.map(|(of, change)| {
            format!("{} {} {}", of, change["metric"].as_str().unwrap_or_default(), change["verdict"])
        }));
    }
    claims
}

/// The codes of the recommendations about LCP of the route on phones, of one release.
async fn advice(server: &Server, release: &str) -> Vec<String> {
    let answer = ask(server, &slow(&format!("advice?period=28d&release={release}&"))).await;
    let all = answer["recommendations"].as_array().unwrap().iter();
    let codes = all.filter(|advice| advice["metric"] == "LCP").filter_map(|advice| advice["code"].as_str());
    codes.map(str::to_owned).collect()
}

/// The place of the route in a ranking by LCP on phones, of one release.
async fn place(server: &Server, release: &str) -> Option<usize> {
    let ranking = ask(server, &format!("pages?period=28d&metric=LCP&device=phone&release={release}")).await;
    ranking["pages"].as_array().unwrap().iter().position(|page| page["route"] == SLOW_ROUTE)
}

#[tokio::test]
async fn a_regression_is_found_by_every_answer() {
    let server = server(true).await;
    let claims = claims(&server).await;
    assert!(claims.contains(&format!("{SLOW_ROUTE} LCP \"worse\"")), "comparison over routes: {claims:?}");
    let of_route = claims.iter().filter(|claim| *claim == "LCP  \"worse\"").count();
    assert_eq!(of_route, 2, "comparisons of the route on phones: {claims:?}");
    assert!(claims.iter().all(|claim| claim.contains("LCP")), "only LCP is worse: {claims:?}");

    assert_eq!(advice(&server, SLOW_RELEASE).await, ["lcp-load-delay"]);
    assert_eq!(advice(&server, RELEASE_BEFORE).await, [""; 0]);
    let (before, after) = (place(&server, RELEASE_BEFORE).await, place(&server, SLOW_RELEASE).await);
    assert!(after.unwrap() < before.unwrap(), "from {before:?} to {after:?}");

    // The series has the deploy, and rises behind it.
    let series = ask(&server, &slow("series?period=28d&metric=LCP&step=week&")).await;
    assert_eq!(series["marks"].as_array().unwrap().last().unwrap()["release"], SLOW_RELEASE);
    let points = series["lines"][0]["metrics"]["LCP"]["points"].as_array().unwrap();
    let at = series["marks"].as_array().unwrap().last().unwrap()["at"].as_str().unwrap();
    let is_before = |end: &Value| end.as_str().unwrap() <= at;
    let steps = series["steps"].as_array().unwrap().iter();
    let (before, after): (Vec<_>, Vec<_>) = steps.zip(points).partition(|(step, _)| is_before(&step["end"]));
    let highest = before.iter().map(|(_, point)| point["value"].as_f64().unwrap()).fold(0.0, f64::max);
    assert!(after.iter().any(|(_, point)| point["interval"][0].as_f64().unwrap() > highest), "{points:?}");

    // Without the regression, half of the slow page views of two weeks are of the last one, and few wait for their image.
    let slow_views = ask(&server, &slow("samples?period=14d&metric=LCP&around=90&limit=50&")).await;
    let slow_views = slow_views["samples"].as_array().unwrap().iter();
    let waits = |view: &&Value| {
        let parts = &view["lcp"]["parts_ms"];
        let delay = parts["load_delay"].as_u64();
        ["ttfb", "load_duration", "render_delay"].iter().all(|part| parts[part].as_u64() < delay)
    };
    let of_release = slow_views.filter(|view| view["release"] == SLOW_RELEASE).filter(waits).count();
    assert!(of_release >= 25, "{of_release} of 50");
}

#[tokio::test]
async fn without_a_regression_no_answer_claims_one() {
    let server = server(false).await;
    assert_eq!(claims(&server).await, [""; 0]);
    let (before, after) = (advice(&server, RELEASE_BEFORE).await, advice(&server, SLOW_RELEASE).await);
    assert!(after.iter().all(|code| before.contains(code)), "from {before:?} to {after:?}");
}
