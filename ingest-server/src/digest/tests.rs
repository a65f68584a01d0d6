//! Digests of a store with page views of two weeks, and their delivery by several servers.

use super::*;
use crate::alert::{Channels, Parcel, Receiver};
use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
use fieldvitals_store::{Judgement, NewBudgets, Retention, ViewUpdate};
use fieldvitals_store_sqlite::SqliteStore;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
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

impl Digests {
    /// A look whose deliveries all end, by a clock that is trusted.
    async fn round(&self, channels: &[String], moment: Moment) -> Result<(), StoreError> {
        let due = self.due(channels, moment.now_ms()).await?;
        let deliveries = due.into_iter().map(|(channel, digests)| self.deliver(channel, digests, moment));
        join_all(deliveries).await.into_iter().try_for_each(|(_, done)| done)
    }
}

/// A server with webhooks of these names. The file allows their receivers.
async fn server(
    store: &Arc<dyn Store>,
    folder: &TempDir,
    hooks: &[(&str, &TcpListener)],
    holder: u8,
) -> Digests {
    let file = folder.path().join("alerts.toml");
    let tables = hooks.iter().map(|(name, receiver)| {
        let address = receiver.local_addr().unwrap();
        format!(
            "[[channel]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"http://{address}/\"\nsecret = \"s\"\n\
             digest = true\n"
        )
    });
    std::fs::write(&file, format!("allow = [\"127.0.0.1\"]\n{}", tables.collect::<String>())).unwrap();
    let directory = Arc::new(Directory::open(Arc::clone(store)).await.unwrap());
    let parts = (Arc::clone(store), directory);
    let channels = Arc::new(Channels::read(&file).unwrap());
    let outbox = Outbox::new(parts.clone(), channels, None, [holder; 16]).unwrap();
    let (days, keeping) = (Arc::new(ClosedDays::new(1 << 20)), Arc::new(Keeping::new(None)));
    let behind: (_, IsBehind) = (keeping, Box::new(|_| false));
    Digests::new(parts, days, Arc::new(outbox), behind, [holder; 16])
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
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
    answer_on(receiver.accept().await.unwrap().0, status).await
}

/// Answers the request of a connection.
async fn answer_on(mut stream: TcpStream, status: u16) -> Value {
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
    let receiver = listen().await;
    let server = async |holder: u8| server(&store, &folder, &[("hook", &receiver)], holder).await;
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
async fn digest_is_claimed_before_it_is_sent_and_a_crash_between_repeats_nothing() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let shop = site(&store, "shop").await;
    let receiver = listen().await;
    let [one, other] = [
        server(&store, &folder, &[("hook", &receiver)], 1).await,
        server(&store, &folder, &[("hook", &receiver)], 2).await,
    ];
    let hook = ["hook".to_owned()];
    let sending = tokio::spawn({
        let hook = hook.clone();
        async move { one.round(&hook, Moment::new(DUE_MS)).await }
    });
    let _connected = receiver.accept().await.unwrap();
    let claimed = store.digests(shop).await.unwrap().remove(0);
    assert_eq!((claimed.attempts, claimed.due_ms, claimed.sent_ms), (1, None, None));
    assert_eq!(claimed.error.as_deref(), Some(UNDER_WAY));
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    other.round(&hook, Moment::new(DUE_MS + 2 * LEASE_MS)).await.unwrap();
    assert_eq!(store.digests(shop).await.unwrap(), [claimed]);
}

#[tokio::test]
async fn orderly_stop_waits_for_the_delivery_under_way() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let shop = site(&store, "shop").await;
    let receiver = listen().await;
    let mut digests = server(&store, &folder, &[("hook", &receiver)], 1).await;
    digests.now_ms = || DUE_MS;
    let digests = Arc::new(digests);
    let running = tokio::spawn({
        let digests = Arc::clone(&digests);
        async move { digests.run().await }
    });
    let (stream, _) = receiver.accept().await.unwrap();
    digests.stop();
    answer_on(stream, 200).await;
    running.await.unwrap();
    let sent = store.digests(shop).await.unwrap().remove(0);
    assert!(sent.sent_ms >= Some(DUE_MS) && sent.error.is_none(), "{sent:?}");
}

#[tokio::test]
async fn channel_that_hangs_delays_no_digest_of_another_channel() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    for name in ["shop", "blog", "wiki", "docs"] {
        site(&store, name).await;
    }
    let [hanging, working] = [listen().await, listen().await];
    let mut digests = server(&store, &folder, &[("hanging", &hanging), ("working", &working)], 1).await;
    digests.now_ms = || DUE_MS;
    let running = tokio::spawn(async move { digests.run().await });
    let (stuck, _) = hanging.accept().await.unwrap();
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(answer(&working, 200).await["site"].clone());
    }
    told.sort_by_key(Value::to_string);
    assert_eq!(told, ["blog", "docs", "shop", "wiki"]);
    // The first delivery to the hanging receiver is still under way: its client has not given up.
    let mut bytes = [0; 1 << 16];
    let read = loop {
        match stuck.try_read(&mut bytes) {
            Ok(0) => break Some(0),
            Ok(_) => {}
            Err(_) => break None,
        }
    };
    assert_eq!(read, None, "the hanging receiver was waited for");
    running.abort();
}

#[tokio::test]
async fn clock_that_is_not_trusted_plans_no_digest() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let shop = site(&store, "shop").await;
    let receiver = listen().await;
    let digests = server(&store, &folder, &[("hook", &receiver)], 1).await;
    let hook = ["hook".to_owned()];
    let begin = Instant::now();
    let watched = |now_ms| Watched { clock: Clock::new(begin, now_ms), is_compared: false };
    let look = async |watched: &mut Watched, after: Duration, at_ms| {
        let moment = Moment { at_ms, at: begin + after };
        digests.look(watched, &hook, moment).await.unwrap().len()
    };
    let planned = async || store.digests(shop).await.unwrap().len();

    // The clock jumps from Saturday to the Monday after the next one, and back.
    let saturday_ms = DUE_MS - 2 * DAY_MS;
    let mut running = watched(saturday_ms);
    assert_eq!(look(&mut running, Duration::ZERO, saturday_ms).await, 0);
    assert_eq!(look(&mut running, Duration::ZERO, DUE_MS + 7 * DAY_MS).await, 0);
    assert_eq!(planned().await, 0, "the clock has jumped");
    assert_eq!(look(&mut running, Duration::ZERO, saturday_ms).await, 0);

    // A start two weeks after the last maintenance waits for an hour.
    store.maintain(DUE_MS - 14 * DAY_MS, Retention::default()).await.unwrap();
    let mut started = watched(DUE_MS);
    assert_eq!(look(&mut started, Duration::ZERO, DUE_MS).await, 0);
    assert_eq!(planned().await, 0, "the clock may be ahead");
    assert_eq!(look(&mut started, HOUR, DUE_MS + 3_600_000).await, 1);
    assert_eq!(planned().await, 1);
}

#[tokio::test]
async fn digest_waits_for_page_views_in_the_spool_for_a_day() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let shop = site(&store, "shop").await;
    let receiver = listen().await;
    let mut digests = server(&store, &folder, &[("hook", &receiver)], 1).await;
    digests.is_behind = Box::new(move |site| site == shop);
    let hook = ["hook".to_owned()];
    let mut waiting = Vec::new();
    for now_ms in [DUE_MS, DUE_MS + BACKLOG_WAIT_MS - 1, DUE_MS + BACKLOG_WAIT_MS] {
        waiting.push(digests.due(&hook, now_ms).await.unwrap().is_empty());
    }
    assert_eq!(waiting, [true, true, false]);
    digests.is_behind = Box::new(|_| false);
    assert_eq!(digests.due(&hook, DUE_MS).await.unwrap().len(), 1);
}

#[tokio::test]
async fn site_in_its_first_week_has_no_new_release() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let shop = site(&store, "shop").await;
    load(&store, shop, 1, week(MONDAY_MS, 2_000.0, "5.0", 50)).await.unwrap();
    let digest = read(&store, None).await;
    assert!(digest.text.contains("\n- 5.0: 50 page views.\n"), "{}", digest.text);
}

#[tokio::test]
async fn long_lists_say_how_many_they_leave_out() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let shop = site(&store, "shop").await;
    let mut views = Vec::new();
    for number in 0..12_i64 {
        views.extend(week(MONDAY_MS + number, 2_000.0, &format!("5.{number}"), 3));
    }
    load(&store, shop, 1, views).await.unwrap();
    let of = |number: usize, opened| Judgement { key: format!("{number}"), ..broken(opened) };
    let opened: Vec<Judgement> = (0..25).map(|number| of(number, true)).collect();
    store.judgements(shop, MONDAY_MS + DAY_MS, &opened).await.unwrap();
    let over: Vec<Judgement> = (0..11).map(|number| of(number, false)).collect();
    store.judgements(shop, MONDAY_MS + 2 * DAY_MS, &over).await.unwrap();
    let digest = read(&store, None).await;
    for line in ["- and 2 more\n", "- and 4 more broken\n", "- and 1 more broken and over\n"] {
        assert!(digest.text.contains(line), "{line} in {}", digest.text);
    }
    assert_eq!((digest.releases_more, digest.budgets.more.open), (2, 4));
}

#[tokio::test]
async fn digest_that_a_server_began_to_send_is_not_repeated() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let shop = site(&store, "shop").await;
    let receiver = listen().await;
    let digests = server(&store, &folder, &[("hook", &receiver)], 1).await;
    let hook = ["hook".to_owned()];
    let week = Week::last(DUE_MS, "UTC").unwrap();
    store.digests_plan(shop, week.day(), DUE_MS, &hook).await.unwrap();
    let planned = store.digests(shop).await.unwrap().remove(0);
    let begun = Digest { attempts: 1, due_ms: None, error: Some(UNDER_WAY.to_owned()), ..planned.clone() };
    assert!(store.digest_tried(&planned, &begun).await.unwrap());
    digests.round(&hook, Moment::new(DUE_MS + 60_000)).await.unwrap();
    assert_eq!(store.digests(shop).await.unwrap(), [begun]);
}
