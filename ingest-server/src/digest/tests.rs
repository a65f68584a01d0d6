//! Digests of a store with page views of two weeks, and their delivery by several servers.

use super::*;
use crate::alert::{Channels, Parcel, Receiver};
use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
use fieldvitals_store::rollup::DAY_MS;
use fieldvitals_store::{Judgement, NewBudgets, Retention, ViewUpdate};
use fieldvitals_store_sqlite::SqliteStore;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;
use vitals::metric::{Metric, Value as Measured};

/// Monday, 2025-11-17: the day of the cases is the Thursday after it.
const MONDAY_MS: i64 = DAY0_MS - 3 * DAY_MS;
/// When the digest of its week is due: Monday, 2025-11-24, 8:00 UTC.
const DUE_MS: i64 = MONDAY_MS + 7 * DAY_MS + 8 * 3_600_000;

async fn open(folder: &TempDir) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(&folder.path().join("store.db")).await.unwrap())
}

/// Page views of each day of a week.
fn week(from_ms: i64, lcp: f64, release: &str, views: u32) -> Vec<ViewUpdate> {
    let view = |number: u32| {
        let start_ms = from_ms + i64::from(number) * 7 * DAY_MS / i64::from(views);
        let values = [(Metric::Lcp, lcp + f64::from(number % 50)), (Metric::Cls, 0.05), (Metric::Inp, 120.0)];
        let mut view = update(start_ms, u128::from(number), &values);
        view.route = "/p".to_owned();
        view.release = Some(release.to_owned());
        view
    };
    (0..views).map(view).collect()
}

async fn read(store: &Arc<dyn Store>, link: Option<&str>) -> DigestReport {
    let shop = store.sites().await.unwrap().remove(0);
    let version = store.version(shop.id).await.unwrap();
    let reader = Reader::new(Arc::clone(store), Arc::new(ClosedDays::new(1 << 20)), version, DUE_MS);
    let week = Week::last(DUE_MS, &shop.timezone).unwrap();
    DigestReport::read(&reader, &shop, &week, link).await.unwrap()
}

fn broken(opened: bool) -> Judgement {
    let value = |number| Measured::new(Metric::Lcp, number).unwrap();
    Judgement {
        key: "x".to_owned(),
        broken: Some(opened),
        route: "/p".to_owned(),
        metric: Metric::Lcp,
        percentile: 75,
        at_most: value(2_500.0),
        device: None,
        release: None,
        measured: Some(value(3_020.0)),
        n: 700,
        within: 0,
    }
}

#[tokio::test]
async fn digest_says_what_changed_in_the_week() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let shop = site(&store, "shop").await;
    load(&store, shop, 1, week(MONDAY_MS - 7 * DAY_MS, 2_000.0, "5.0", 600)).await.unwrap();
    load(&store, shop, 2, week(MONDAY_MS, 3_000.0, "5.1", 700)).await.unwrap();
    store.maintain(DUE_MS, Retention::default()).await.unwrap();
    store.judgements(shop, MONDAY_MS + DAY_MS, &[broken(true)]).await.unwrap();
    let budgets = NewBudgets {
        text: "[[budget]]\nmetric = 'LCP'\nmax = 2500\n".to_owned(),
        routes: Vec::new(),
        applied_ms: 1,
        applied_by: "pipeline".to_owned(),
        replaces: None,
    };
    store.budgets_put(shop, &budgets).await.unwrap();
    let digest = read(&store, Some("https://vitals.example/base")).await;
    assert_eq!(digest.title, "shop: the week from 17 to 23 November 2025");
    assert_eq!(digest.key, format!("fieldvitals-digest-{}-2025-11-17", shop.0));
    assert_eq!((digest.views, digest.previous.as_ref().map(|week| week.views)), (700, Some(600)));
    for line in [
        "Core Web Vitals: failed; the week before: passed.",
        "Page views: 700; the week before: 600 (+16.7 %).",
        " ms, good; no clear change since the week before (1",
        "\nPages that changed most\n- /p: LCP ",
        "\nReleases\n- 5.1: 700 page views, new.\n",
        "- Broken, new: LCP p75 of /p ≤ 2500 ms, measured 3020 ms (since 2025-11-18).\n",
        "- The week: https://vitals.example/base/?site=shop&from=2025-11-17T00%3A00%3A00Z&to=2025-11-24T00%3A00%3A00Z\n",
    ] {
        assert!(digest.text.contains(line), "{line} in {}", digest.text);
    }
    let lcp = digest.text.lines().find(|line| line.starts_with("LCP p75")).unwrap_or_default();
    assert!(lcp.contains("needs improvement; ") && lcp.ends_with(" %) worse than the week before."), "{lcp}");

    store.judgements(shop, MONDAY_MS + 2 * DAY_MS, &[broken(false)]).await.unwrap();
    let digest = read(&store, None).await;
    let over =
        "- Broken and over: LCP p75 of /p ≤ 2500 ms, measured 3020 ms (from 2025-11-18 to 2025-11-19).\n";
    assert!(digest.text.contains(over), "{}", digest.text);
    assert!(digest.links.is_none() && !digest.text.contains("Dashboard"), "{}", digest.text);
}

#[tokio::test]
async fn site_without_page_views_has_one_sentence_in_every_form() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let shop = site(&store, "shop").await;
    load(&store, shop, 1, week(MONDAY_MS - 7 * DAY_MS, 2_000.0, "5.0", 600)).await.unwrap();
    let digest = read(&store, None).await;
    assert_eq!(digest.text, "shop: the week from 17 to 23 November 2025 had no page views.\n");
    assert!(digest.metrics.is_empty() && digest.changes.is_empty() && digest.advice.is_empty());
    let url = || Url::parse("https://hooks.example/").unwrap();
    let Some(Parcel::Json(slack)) = digest.parcel(&Receiver::Slack(url())) else { panic!("no JSON") };
    assert_eq!(slack["blocks"].as_array().map(Vec::len), Some(2), "{slack}");
    assert_eq!(digest.parcel(&Receiver::Alertmanager(url())), None);
    assert_eq!(digest.parcel(&Receiver::PagerDuty(url(), String::new())), None);
}

#[tokio::test]
async fn route_of_a_stranger_is_text_in_every_form() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let shop = site(&store, "shop").await;
    let hostile = "/<!channel>\\[x](https://evil.example)\"><b>";
    for (spool, from_ms, lcp) in [(1, MONDAY_MS - 7 * DAY_MS, 1_000.0), (2, MONDAY_MS, 5_000.0)] {
        let mut views = week(from_ms, lcp, "5.0", 700);
        for view in &mut views {
            hostile.clone_into(&mut view.route);
        }
        load(&store, shop, spool, views).await.unwrap();
    }
    let digest = read(&store, None).await;
    assert!(digest.text.contains(hostile), "{}", digest.text);
    let url = || Url::parse("https://hooks.example/").unwrap();
    let text = |receiver: Receiver| match digest.parcel(&receiver) {
        Some(Parcel::Json(body)) => body.to_string(),
        _ => panic!("no JSON"),
    };
    let slack = text(Receiver::Slack(url()));
    assert!(slack.contains("/&lt;!channel&gt;") && !slack.contains("<!channel>"), "{slack}");
    let teams = text(Receiver::Teams(url()));
    assert!(teams.contains(r"channel>\\\\\\[x]"), "{teams}: the backslash and the bracket are text");
    assert!(slack.contains(r#""verbatim":true"#), "{slack}");
    let html = digest.html();
    assert!(html.contains("&lt;b&gt;") && !html.contains("<b>") && !html.contains("href"), "{html}");
}

/// Answers one request with a status. Returns its body.
async fn answer(receiver: &TcpListener, status: u16) -> Value {
    let (mut stream, _) = receiver.accept().await.unwrap();
    let mut request = Vec::new();
    loop {
        assert!(stream.read_buf(&mut request).await.unwrap() > 0, "{request:?}");
        let text = String::from_utf8_lossy(&request).into_owned();
        let body = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
        if let Some(body) = body {
            let answer = format!("HTTP/1.1 {status} Told\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            return body;
        }
    }
}

#[tokio::test]
async fn digest_is_sent_once_by_several_servers_also_after_a_failure() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let shop = site(&store, "shop").await;
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = receiver.local_addr().unwrap();
    let file = folder.path().join("alerts.toml");
    let channels = format!(
        "allow = [\"127.0.0.1\"]\n[[channel]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"http://{address}/\"\n\
         secret = \"s\"\ndigest = true\n"
    );
    std::fs::write(&file, channels).unwrap();
    let server = async |holder: u8| {
        let directory = Arc::new(Directory::open(Arc::clone(&store)).await.unwrap());
        let parts = (Arc::clone(&store), directory);
        let channels = Arc::new(Channels::read(&file).unwrap());
        let outbox = Outbox::new(parts.clone(), channels, None, [holder; 16]).unwrap();
        Digests::new(parts, Arc::new(ClosedDays::new(1 << 20)), Arc::new(outbox), [holder; 16])
    };
    let (one, other) = (server(1).await, server(2).await);
    let hook = ["hook".to_owned()];
    let state = async || store.digests(shop).await.unwrap().pop();

    one.round(&hook, Moment::new(DUE_MS - 1)).await.unwrap();
    assert_eq!(state().await, None, "not before Monday morning");
    let (done, body) = tokio::join!(one.round(&hook, Moment::new(DUE_MS)), answer(&receiver, 503));
    done.unwrap();
    assert_eq!(
        (&body["event"], &body["site"], &body["views"]),
        (&json!("digest"), &json!("shop"), &json!(0))
    );
    let failed = state().await.unwrap();
    assert_eq!((failed.attempts, failed.sent_ms), (1, None));
    assert!(failed.due_ms >= Some(DUE_MS + 1_000), "the pause counts from the failure: {failed:?}");
    assert!(failed.error.as_ref().is_some_and(|error| error.contains("503")));
    other.round(&hook, Moment::new(failed.due_ms.unwrap())).await.unwrap();
    assert_eq!(state().await.unwrap().attempts, 1, "the first server has the lease");

    // The first server ends. The other one sends the digest late, and no server sends it again.
    let late_ms = DUE_MS + DAY_MS;
    let (done, again) = tokio::join!(other.round(&hook, Moment::new(late_ms)), answer(&receiver, 200));
    done.unwrap();
    assert_eq!(again["key"], body["key"]);
    let sent_ms = state().await.unwrap().sent_ms;
    assert!(sent_ms >= Some(late_ms), "{sent_ms:?}");
    let new = server(3).await;
    for server in [&other, &new] {
        server.round(&hook, Moment::new(late_ms + LEASE_MS * 2)).await.unwrap();
    }
    assert_eq!(state().await.unwrap().sent_ms, sent_ms);

    // A server that was down until Thursday leaves the week out.
    let next_ms = DUE_MS + 7 * DAY_MS;
    new.round(&hook, Moment::new(next_ms + 3 * DAY_MS)).await.unwrap();
    assert_eq!(state().await.unwrap().sent_ms, sent_ms);
    let (done, next) =
        tokio::join!(new.round(&hook, Moment::new(next_ms + 2 * DAY_MS)), answer(&receiver, 200));
    done.unwrap();
    assert_eq!(next["week"], "2025-11-24");
}

#[tokio::test]
async fn digest_that_a_server_began_to_send_is_not_repeated() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let shop = site(&store, "shop").await;
    let file = folder.path().join("alerts.toml");
    // A refused address: an attempt would end at once, with another error.
    let channels = "[[channel]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1/\"\nsecret = \"s\"\ndigest = true\n";
    std::fs::write(&file, channels).unwrap();
    let directory = Arc::new(Directory::open(Arc::clone(&store)).await.unwrap());
    let parts = (Arc::clone(&store), directory);
    let channels = Arc::new(Channels::read(&file).unwrap());
    let outbox = Arc::new(Outbox::new(parts.clone(), channels, None, [1; 16]).unwrap());
    let digests = Digests::new(parts, Arc::new(ClosedDays::new(1 << 20)), outbox, [1; 16]);
    let hook = ["hook".to_owned()];
    let week = Week::last(DUE_MS, "UTC").unwrap();
    store.digests_plan(shop, week.day(), DUE_MS, &hook).await.unwrap();
    let planned = store.digests(shop).await.unwrap().remove(0);
    let begun = Digest { attempts: 1, due_ms: None, error: Some(UNDER_WAY.to_owned()), ..planned.clone() };
    assert!(store.digest_tried(&planned, &begun).await.unwrap());
    digests.round(&hook, Moment::new(DUE_MS + 60_000)).await.unwrap();
    assert_eq!(store.digests(shop).await.unwrap(), [begun]);
}
