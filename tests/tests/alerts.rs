//! Standing budgets and alerts: a real server with page views tells real receivers, also across crashes.

use fieldvitals_tests::beacon::{beacon, now_ms, view_id};
use fieldvitals_tests::clock::Clock;
use fieldvitals_tests::receiver::{Received, Receiver};
use fieldvitals_tests::server::{Launch, Server};
use fieldvitals_tests::{eventually, eventually_within};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use vitals::view::ViewId;

const BUDGET: &str = "[[budget]]\nroute = \"/p\"\nmetric = \"LCP\"\nmax = 2500\n";

/// Starts a server with this file of channels, which looks every second.
async fn server(folder: &TempDir, channels: &str) -> Server {
    let file = write(folder, "alerts.toml", channels);
    Server::launch(Launch::with(&["--alerts", &file, "--standing-every", "1"])).await
}

fn write(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("the file is written");
    path.to_str().expect("a path of UTF-8").to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Sends page views with this LCP, and waits until they are stored.
async fn send(server: &Server, ids: impl Iterator<Item = ViewId>, lcp: f64) {
    for id in ids {
        let body = beacon(&server.key, id, "https://shop.example/p", &json!({ "LCP": lcp }));
        assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    }
    server.settled().await;
}

/// Ids of page views that started some hours ago.
fn hours_ago(hours: u64, first: u128, count: u128) -> impl Iterator<Item = ViewId> {
    let start_ms = now_ms() - hours * 3_600_000;
    (first..first + count).map(move |number| {
        ViewId::new(start_ms, number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    })
}

async fn apply(server: &Server, folder: &TempDir, budgets: &str) -> String {
    let file = write(folder, "budgets.toml", budgets);
    let output = server.cli(&["budget", "apply", &file]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Waits until the receiver has taken so many notices. Returns all of its requests.
async fn taken(receiver: &Receiver, count: usize) -> Vec<Received> {
    eventually(|| async {
        let all = receiver.received();
        let taken = all.iter().filter(|one| one.status == 200).count();
        if taken >= count { Ok(all) } else { Err(format!("{taken} notices are taken: {all:?}")) }
    })
    .await
}

#[tokio::test]
async fn broken_budget_is_told_once_across_failures_and_a_crash_and_so_is_its_recovery() {
    let receiver = Receiver::start(&[503, 503]).await;
    let folder = TempDir::new().unwrap();
    let channels = format!(
        "allow = [\"127.0.0.1\"]\n[[channel]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"http://{}/hook\"\n\
         secret = \"0123\"\n",
        receiver.address
    );
    let mut server = server(&folder, &channels).await;
    send(&server, (0..400).map(view_id), 4_000.0).await;
    assert!(apply(&server, &folder, BUDGET).await.ends_with("version 1 of default: 1 budget\n"));
    eventually(|| async {
        if receiver.received().is_empty() { Err("no attempt".to_owned()) } else { Ok(()) }
    })
    .await;
    server.kill_and_restart().await;

    let requests = taken(&receiver, 1).await;
    assert_eq!(requests.iter().map(|one| one.status).collect::<Vec<_>>(), [503, 503, 200]);
    let opened = &requests[2].body;
    assert!(requests.iter().all(|one| one.body["key"] == opened["key"]), "{requests:?}");
    assert_eq!((&opened["event"], &opened["site"]), (&json!("opened"), &json!("default")));
    assert_eq!(opened["title"], "default: budget broken: LCP p75 of /p ≤ 2500 ms");
    assert_eq!(opened["details"]["budget"]["n"], 400);
    assert!(requests[2].head.to_lowercase().contains("fieldvitals-signature: t="), "{}", requests[2].head);
    let open = server.get("sites/default/alerts").await.unwrap();
    let id = open["alerts"][0]["id"].to_string();
    assert_eq!(
        (&open["alerts"][0]["state"], open["alerts"].as_array().map(Vec::len)),
        (&json!("open"), Some(1))
    );
    let violations = server.get("sites/default/violations").await.unwrap();
    assert_eq!(violations["violations"][0]["within"], 0, "{violations}");
    let state = server.cli(&["budget", "state"]).await;
    assert_eq!(state.status.code(), Some(1), "{}", text(&state.stderr));
    assert!(text(&state.stdout).contains("broken"), "{}", text(&state.stdout));
    let listed = server.cli(&["alert", "list"]).await;
    assert_eq!(listed.status.code(), Some(1));
    assert!(text(&listed.stdout).contains("LCP p75 of /p ≤ 2500 ms"), "{}", text(&listed.stdout));
    let acknowledged = server.cli(&["alert", "ack", &id]).await;
    assert!(text(&acknowledged.stdout).contains("is acknowledged"), "{}", text(&acknowledged.stderr));

    send(&server, (1_000..1_600).map(id_of_now), 1_000.0).await;
    let requests = taken(&receiver, 2).await;
    let resolved = &requests[3].body;
    assert_eq!(
        (requests.len(), &resolved["event"], &resolved["key"]),
        (4, &json!("resolved"), &opened["key"])
    );
    assert!(
        resolved["title"].as_str().is_some_and(|title| title.starts_with("default: over after")),
        "{resolved}"
    );
    let all = server.get("sites/default/alerts?status=all").await.unwrap();
    assert_eq!(
        (&all["alerts"][0]["state"], all["alerts"].as_array().map(Vec::len)),
        (&json!("resolved"), Some(1))
    );
    assert_eq!(server.get("sites/default/violations").await.unwrap()["violations"], json!([]));
    assert_eq!(server.cli(&["alert", "list"]).await.status.code(), Some(0));
    assert_eq!(server.cli(&["alert", "resolve", &id]).await.status.code(), Some(2), "it has ended");
}

#[tokio::test]
async fn warning_that_becomes_an_error_is_told_to_those_who_hear_of_errors_only() {
    let receiver = Receiver::start(&[]).await;
    let folder = TempDir::new().unwrap();
    let channels = format!(
        "allow = [\"127.0.0.1\"]\n[[channel]]\nname = \"on-call\"\nkind = \"webhook\"\nurl = \"http://{}/hook\"\n\
         secret = \"0123\"\nseverity = \"error\"\n",
        receiver.address
    );
    let server = server(&folder, &channels).await;
    send(&server, (0..400).map(view_id), 4_000.0).await;
    apply(&server, &folder, &format!("{BUDGET}severity = \"warn\"\n")).await;
    let severity =
        async || server.get("sites/default/alerts").await.unwrap()["alerts"][0]["severity"].clone();
    eventually(|| async {
        match severity().await {
            severity if severity == "warning" => Ok(()),
            other => Err(format!("the severity is {other}")),
        }
    })
    .await;
    apply(&server, &folder, BUDGET).await;
    let requests = taken(&receiver, 1).await;
    let told = &requests[0].body;
    assert_eq!((&told["event"], &told["severity"]), (&json!("opened"), &json!("error")), "{told}");
    assert_eq!((severity().await, requests.len()), (json!("error"), 1));
    let state = server.cli(&["budget", "state"]).await;
    let state = text(&state.stdout);
    assert!(state.contains("160 %") && state.contains("0 page views since then"), "{state}");
}

#[tokio::test]
async fn kept_budgets_have_versions_and_are_checked_and_replayed() {
    let folder = TempDir::new().unwrap();
    let mut server = Server::start().await;
    send(&server, hours_ago(5, 0, 300), 4_000.0).await;
    let run = async |server: &Server, args: &[&str]| -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = server.cli(args).await;
        (status.code(), text(&stdout), text(&stderr))
    };
    let (code, _, err) = run(&server, &["check"]).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("no budgets are kept for default") && err.contains("budget apply FILE"), "{err}");

    let file = write(&folder, "budgets.toml", BUDGET);
    let (code, out, err) = run(&server, &["budget", "apply", &file, "--dry-run"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("+ LCP p75 all /p: 2500 ms") && out.contains("nothing is applied"), "{out}");
    assert_eq!(server.get("sites/default/budgets").await.unwrap()["version"], Value::Null);
    apply(&server, &folder, BUDGET).await;
    let second = BUDGET.replace("2500", "9000");
    let out = apply(&server, &folder, &second).await;
    assert_eq!(out, "~ LCP p75 all /p: 2500 ms becomes 9000 ms (looser)\nversion 2 of default: 1 budget\n");
    assert!(
        apply(&server, &folder, &second).await.contains("version 2 of"),
        "the same file is the same version"
    );
    // A change that was made from an older version does not undo the newer one.
    let url = format!("{}/api/v1/sites/default/budgets?replaces=1", server.url);
    let late = reqwest::Client::new().put(url).bearer_auth(&server.token).body(BUDGET).send().await.unwrap();
    let (status, said) = (late.status().as_u16(), late.text().await.unwrap());
    assert!(
        status == 409 && said.contains("version 2, by") && said.contains("Read the newest"),
        "{status} {said}"
    );
    let (_, out, _) = run(&server, &["budget", "show"]).await;
    assert!(
        out.starts_with("# budgets of default, version 2, applied ") && out.contains("max = 9000"),
        "{out}"
    );
    let (_, out, _) = run(&server, &["budget", "show", "--revision", "1"]).await;
    assert!(out.contains("max = 2500"), "{out}");
    let (code, _, err) = run(&server, &["budget", "show", "--revision", "7"]).await;
    assert!(code == Some(2) && err.contains("the versions that are kept are 2, 1"), "{err}");
    let (_, out, _) = run(&server, &["budget", "show", "--history"]).await;
    assert_eq!(out.lines().count(), 2, "{out}");
    let (code, out, err) = run(&server, &["check"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("budgets of default, version 2"), "{out}");

    std::fs::write(&file, BUDGET).unwrap();
    let (code, out, err) = run(&server, &["budget", "what-if", &file]).await;
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("until now") && out.contains("broken"), "{out}");
    let (code, out, err) = run(&server, &["budget", "what-if"]).await;
    assert_eq!(code, Some(0), "the limit of 9000 ms: {out}{err}");

    let made = server.cli_json(&["token", "add", "reader", "--json"]).await;
    made["token"].as_str().unwrap().clone_into(&mut server.token);
    let (code, _, err) = run(&server, &["budget", "apply", &file]).await;
    assert!(code == Some(2) && err.contains("it needs the scope `write`"), "{err}");
    let nowhere = server.get("sites/default/budgets?versoin=1").await.unwrap_err();
    assert!(nowhere.contains("did you mean `version`?"), "{nowhere}");
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused_unless_allowed() {
    let receiver = Receiver::start(&[]).await;
    let folder = TempDir::new().unwrap();
    let port = receiver.address.port();
    let urls = [
        ("loopback", format!("https://127.0.0.1:{port}/")),
        ("plain", format!("http://127.0.0.1:{port}/")),
        ("decimal", format!("https://2130706433:{port}/")),
        ("mapped", format!("https://[::ffff:127.0.0.1]:{port}/")),
        ("metadata", "https://169.254.169.254/latest/meta-data/".to_owned()),
        ("named", format!("https://localhost:{port}/")),
        ("named-plain", format!("http://localhost:{port}/")),
    ];
    let channels: String = urls
        .iter()
        .map(|(name, url)| format!("[[channel]]\nname = \"{name}\"\nkind = \"slack\"\nurl = \"{url}\"\n"))
        .collect();
    let server = server(&folder, &channels).await;
    for (name, url) in &urls {
        let output = server.cli(&["alert", "test", name]).await;
        assert_eq!(output.status.code(), Some(2), "{url}: {}", text(&output.stdout));
        let err = text(&output.stderr);
        assert!(err.contains("is not public") || err.contains("is not reached by https"), "{url}: {err}");
    }
    assert_eq!(receiver.connections(), 0);
    // Each is warned of at the start, before there is anything to deliver.
    let log = server.log();
    for (name, _) in &urls {
        let warned = log.lines().any(|line| line.contains("cannot be reached") && line.contains(name));
        assert!(warned, "{name}: {log}");
    }
    let wrong = server.cli(&["alert", "test", "lopback"]).await;
    assert!(text(&wrong.stderr).contains("did you mean `loopback`?"), "{}", text(&wrong.stderr));
    let listed = server.cli(&["alert", "channels"]).await;
    let listed = text(&listed.stdout);
    let refused = ["is not public; `allow` in the file of channels permits it", "is not reached by https"];
    let count: usize = refused.iter().map(|reason| listed.matches(reason).count()).sum();
    assert_eq!(count, urls.len(), "{listed}");
    let file = write(&folder, "wrong.toml", "[[channel]]\nname = \"x\"\nkind = \"slak\"\n");
    let output = server.cli(&["serve", "--listen", "127.0.0.1:0", "--alerts", &file]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("wrong.toml:3:8: unknown variant `slak`"),
        "{}",
        text(&output.stderr)
    );
}

#[tokio::test]
async fn site_that_stops_sending_is_told_until_it_sends_again() {
    let receiver = Receiver::start(&[]).await;
    let folder = TempDir::new().unwrap();
    let channels = format!(
        "allow = [\"localhost\"]\n[[channel]]\nname = \"chat\"\nkind = \"slack\"\nurl = \"http://localhost:{}/\"\n",
        receiver.address.port()
    );
    let server = server(&folder, &channels).await;
    for hour in 4..32 {
        send(&server, hours_ago(hour, u128::from(hour) * 100, 4), 1_000.0).await;
    }
    let requests = taken(&receiver, 1).await;
    let told = requests[0].body["text"].as_str().unwrap_or_default().to_owned();
    assert!(told.starts_with("default: site silent: no page view since "), "{told}");
    send(&server, (0..3).map(view_id), 1_000.0).await;
    let requests = taken(&receiver, 2).await;
    let told = requests[1].body["text"].as_str().unwrap_or_default();
    assert!(told.starts_with("default: over after ") && told.contains("site silent"), "{told}");
}

/// Starts a program that listens at a free port. Returns it and its port, once the port is open.
async fn program(name: &str, package: &str, args: impl FnOnce(u16) -> Vec<String>) -> (Child, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("what the test needs works");
    let port = listener.local_addr().expect("what the test needs works").port();
    drop(listener);
    let child = Command::new(name).args(args(port)).kill_on_drop(true).spawn();
    let child = child
        .unwrap_or_else(|error| panic!("{name} does not run: {error}; install Debian's package {package}"));
    eventually(|| async {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .map(drop)
            .map_err(|error| format!("{name}: {error}"))
    })
    .await;
    (child, port)
}

/// The id of a page view that starts now: after the verdict whose end it is to bring.
fn id_of_now(number: u128) -> ViewId {
    ViewId::new(now_ms(), number)
}

/// The letters of a maildir, in the order of their arrival.
fn letters(maildir: &Path) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(maildir.join("new")).into_iter().flatten().flatten().collect();
    files.sort_by_key(|file| file.metadata().and_then(|data| data.modified()).ok());
    files.iter().map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect()
}

#[tokio::test]
async fn alertmanager_and_a_mail_server_take_an_alert_and_its_end() {
    let folder = TempDir::new().unwrap();
    let maildir = folder.path().join("mail");
    let config =
        write(&folder, "alertmanager.yml", "route: { receiver: none }\nreceivers: [{ name: none }]\n");
    let data = folder.path().join("alertmanager").display().to_string();
    let (_alertmanager, manager_port) =
        program("prometheus-alertmanager", "prometheus-alertmanager", |port| {
            vec![
                format!("--config.file={config}"),
                format!("--storage.path={data}"),
                format!("--web.listen-address=127.0.0.1:{port}"),
                "--cluster.listen-address=".to_owned(),
            ]
        })
        .await;
    let mailbox = maildir.display().to_string();
    let (_smtp, mail_port) = program("aiosmtpd", "python3-aiosmtpd", |port| {
        let listen = format!("127.0.0.1:{port}");
        ["-n", "-l", &listen, "-c", "aiosmtpd.handlers.Mailbox", &mailbox].map(str::to_owned).to_vec()
    })
    .await;
    let channels = format!(
        "allow = [\"127.0.0.1\"]\n\
         [[channel]]\nname = \"manager\"\nkind = \"alertmanager\"\nurl = \"http://127.0.0.1:{manager_port}\"\n\
         [[channel]]\nname = \"mail\"\nkind = \"email\"\nurl = \"smtp://127.0.0.1:{mail_port}\"\n\
         from = \"vitals@example.com\"\nto = [\"team@example.com\"]\n"
    );
    let server = server(&folder, &channels).await;
    for channel in ["manager", "mail"] {
        let output = server.cli(&["alert", "test", channel]).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    send(&server, (0..400).map(view_id), 4_000.0).await;
    apply(&server, &folder, BUDGET).await;
    let firing = async || -> Result<Vec<Value>, String> {
        let url =
            format!("http://127.0.0.1:{manager_port}/api/v2/alerts?filter=alertname%3DFieldvitalsBudget");
        let answer = server.http.get(url).send().await.map_err(|error| error.to_string())?;
        answer.json().await.map_err(|error| error.to_string())
    };
    let alert =
        eventually(|| async { firing().await?.pop().ok_or_else(|| "Alertmanager has no alert".to_owned()) })
            .await;
    let labels = &alert["labels"];
    assert_eq!(
        (&labels["site"], &labels["route"], &labels["metric"], &labels["severity"]),
        (&json!("default"), &json!("/p"), &json!("LCP"), &json!("error")),
        "{alert}"
    );
    let mails = async |count: usize| {
        eventually(|| async {
            let found = letters(&maildir);
            if found.len() >= count { Ok(found) } else { Err(format!("letters: {found:?}")) }
        })
        .await
    };
    let found = mails(2).await;
    assert!(found[0].contains("Subject: fieldvitals: test of the channel mail"), "{}", found[0]);
    // The sign in the subject makes it an encoded word.
    assert!(found[1].contains("To: team@example.com") && found[1].contains("Subject: "), "{}", found[1]);
    send(&server, (1_000..1_600).map(id_of_now), 1_000.0).await;
    let reply = mails(3).await.pop().unwrap_or_default();
    assert!(reply.contains("In-Reply-To: <fieldvitals-1-1.opened@example.com>"), "{reply}");
    eventually(|| async {
        match firing().await?.as_slice() {
            [] => Ok(()),
            left => Err(format!("Alertmanager has {left:?}")),
        }
    })
    .await;
}

/// The next Sunday at 20:00 UTC that begins at least a day from now, in milliseconds.
fn sunday_ms() -> i64 {
    const DAY_MS: i64 = 86_400_000;
    let days = now_ms() as i64 / DAY_MS;
    // 1970-01-01 was a Thursday.
    let sunday = (days + 1..).find(|day| day % 7 == 3).expect("a week has a Sunday");
    sunday * DAY_MS + 20 * 3_600_000
}

#[tokio::test]
async fn digest_of_a_week_is_delivered_once_across_failures_and_restarts() {
    const WEEK_MS: i64 = 7 * 86_400_000;
    let receiver = Receiver::start(&[503; 4]).await;
    let folder = TempDir::new().unwrap();
    let maildir = folder.path().join("mail");
    let mailbox = maildir.display().to_string();
    let (_smtp, mail_port) = program("aiosmtpd", "python3-aiosmtpd", |port| {
        let listen = format!("127.0.0.1:{port}");
        ["-n", "-l", &listen, "-c", "aiosmtpd.handlers.Mailbox", &mailbox].map(str::to_owned).to_vec()
    })
    .await;
    let channels = format!(
        "allow = [\"127.0.0.1\"]\n\
         [[channel]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"http://{}/hook\"\nsecret = \"0123\"\ndigest = true\n\
         [[channel]]\nname = \"mail\"\nkind = \"email\"\nurl = \"smtp://127.0.0.1:{mail_port}\"\n\
         from = \"vitals@example.com\"\nto = [\"team@example.com\"]\ndigest = true\nalerts = false\n\
         [[channel]]\nname = \"typo\"\nkind = \"slack\"\nurl = \"http://127.0.0.1:{mail_port}\"\nsites = [\"defualt\"]\n",
        receiver.address
    );
    let file = write(&folder, "alerts.toml", &channels);
    let clock = Clock::new();
    let (real_ms, sunday_ms) = (now_ms() as i64, sunday_ms());
    let set = |to_ms: i64| clock.set(&format!("+{}", (to_ms - real_ms) / 1_000));
    set(sunday_ms);
    let mut server = Server::launch(clock.launch(&["--alerts", &file])).await;
    let visits = async |server: &Server, at_ms: i64, first: u128, lcp: f64| {
        let ids = (first..first + 400).map(|number| {
            let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            ViewId::new(u64::try_from(at_ms).unwrap() - 60_000, random)
        });
        send(server, ids, lcp).await;
    };
    visits(&server, sunday_ms, 0, 1_000.0).await;
    set(sunday_ms + WEEK_MS);
    visits(&server, sunday_ms + WEEK_MS, 1_000, 4_500.0).await;
    let delivery = async |server: &Server, place: usize| -> Result<Value, String> {
        Ok(server.get("sites/default/digest").await?["channels"][place].clone())
    };
    // The week of the first visits: by the clock of then its Monday is six days ago.
    assert_eq!(delivery(&server, 0).await.unwrap()["week"], Value::Null);
    let listed = text(&server.cli(&["alert", "channels"]).await.stdout);
    assert!(listed.contains("there is no site `defualt`") && listed.contains("alerts, digest"), "{listed}");

    // Nothing is sent by a clock that has jumped forward, until it comes back.
    let patience = Duration::from_secs(60);
    let trusted = async |server: &Server, to_ms: i64| {
        let jumps = || server.log().matches("jumped forward; no weekly digest").count();
        let before = jumps();
        set(to_ms + 2 * 3_600_000);
        eventually_within(patience, || async { if jumps() > before { Ok(()) } else { Err(server.log()) } })
            .await;
        set(to_ms);
    };
    // Monday, 8:10, is 12 hours after.
    let monday_ms = sunday_ms + WEEK_MS + 12 * 3_600_000 + 600_000;
    trusted(&server, monday_ms).await;
    eventually_within(patience, || async {
        // The next attempt is 8 s away, so that the crash does not meet it.
        let hook = delivery(&server, 0).await?;
        if hook["attempts"] == 4 && !hook["due"].is_null() { Ok(()) } else { Err(hook.to_string()) }
    })
    .await;
    server.kill_and_restart().await;
    let sent = async |server: &Server, place: usize, week: &str| {
        eventually_within(patience, || async {
            let channel = delivery(server, place).await?;
            let is_sent = channel["week"] == week && !channel["sent"].is_null();
            if is_sent { Ok(()) } else { Err(channel.to_string()) }
        })
        .await;
    };
    let received = receiver.received();
    let digest = &received[0].body;
    let week = digest["week"].as_str().unwrap().to_owned();
    sent(&server, 0, &week).await;
    sent(&server, 1, &week).await;
    let received = receiver.received();
    assert_eq!(received.iter().map(|one| one.status).collect::<Vec<_>>(), [503, 503, 503, 503, 200]);
    assert!(received.iter().all(|one| one.body["key"] == digest["key"]), "{received:?}");
    assert!(received[4].head.to_lowercase().contains("fieldvitals-signature: t="), "{}", received[4].head);
    assert_eq!((&digest["event"], &digest["test"]), (&json!("digest"), &json!(false)));
    assert_eq!((&digest["views"], &digest["previous"]["views"]), (&json!(400), &json!(400)));
    assert_eq!(digest["changes"]["LCP"]["verdict"], "worse", "{digest}");
    assert_eq!(digest["routes"][0]["route"], "/p", "{digest}");
    let found = letters(&maildir);
    assert_eq!(found.len(), 1, "{found:?}");
    for part in ["Subject: default: the week from ", "text/plain", "text/html", "worse than the week before"]
    {
        assert!(found[0].contains(part), "{part}: {}", found[0]);
    }

    // Nothing is repeated by another start, nor by a test, and the next Monday has its own digest.
    server.kill_and_restart().await;
    let printed = text(&server.cli(&["alert", "digest"]).await.stdout);
    assert!(
        printed.contains("Page views: 400; the week before: 400") && printed.contains("mail: sent "),
        "{printed}"
    );
    let tried = server.cli(&["alert", "digest", "--send"]).await;
    assert_eq!(tried.status.code(), Some(0), "{}", text(&tried.stderr));
    assert!(text(&tried.stdout).contains("hook: took it as a test"), "{}", text(&tried.stdout));
    trusted(&server, monday_ms + WEEK_MS).await;
    eventually_within(patience, || async {
        let channel = delivery(&server, 0).await?;
        if channel["week"] != week && !channel["sent"].is_null() { Ok(()) } else { Err(channel.to_string()) }
    })
    .await;
    let bodies: Vec<Value> = receiver.received().into_iter().skip(4).map(|one| one.body).collect();
    assert_eq!(bodies.len(), 3, "{bodies:?}");
    assert_eq!((&bodies[1]["test"], &bodies[2]["test"]), (&json!(true), &json!(false)));
    assert_ne!(bodies[1]["key"], bodies[0]["key"]);
    let empty = bodies[2]["text"].as_str().unwrap();
    assert!(empty.ends_with(" had no page views.\n") && empty.lines().count() == 1, "{empty}");
}
