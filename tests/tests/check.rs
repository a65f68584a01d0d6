//! `fieldvitals check`: the exit code is the verdict, and what it found is in the API.

use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::eventually;
use fieldvitals_tests::server::Server;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

async fn with_lcps(lcps: &[f64]) -> Server {
    let server = Server::start().await;
    send(&server, 0, lcps).await;
    server
}

/// Sends page views, numbered from `first` on, and waits until they are stored.
async fn send(server: &Server, first: u128, lcps: &[f64]) {
    for (number, lcp) in (first..).zip(lcps) {
        let body = beacon(&server.key, view_id(number), "https://shop.example/p", &json!({"LCP": lcp}));
        assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    }
    server.settled().await;
}

fn budget(server: &Server, name: &str, text: &str) -> PathBuf {
    let path = server.data_dir().join(name);
    std::fs::write(&path, text).expect("the file is written");
    path
}

async fn check(server: &Server, text: &str) -> (Option<i32>, String, String) {
    check_with(server, text, &[]).await
}

async fn check_with(server: &Server, text: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let path = budget(server, "budgets.toml", text);
    let check = ["check", "--budget", path.to_str().expect("a path of UTF-8")];
    let output = server.cli(&[&check, args].concat()).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const LCP: &str = "[[budget]]\nroute = \"/p\"\nmetric = \"LCP\"\nmax = 2500\n";

#[tokio::test]
async fn the_exit_code_is_the_verdict() {
    let fast: Vec<f64> = (0..150).map(|n| 1_000.0 + f64::from(n)).collect();
    let server = with_lcps(&fast).await;
    let (code, out, err) = check(&server, LCP).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("pass") && out.contains("/p"), "{out}");

    let (code, out, err) = check(&server, &LCP.replace("2500", "1050")).await;
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("fail"), "{out}");
    check_with(&server, &LCP.replace("2500", "1050"), &["--record"]).await;
    let violations = server.get("sites/default/violations").await.unwrap();
    let violation = &violations["violations"][0];
    assert_eq!(
        (&violation["route"], &violation["metric"], &violation["n"], &violation["within"]),
        (&json!("/p"), &json!("LCP"), &json!(150), &json!(51)),
        "{violations}"
    );
    // The same promise again is the same violation; once it is kept, it is resolved.
    check_with(&server, &LCP.replace("2500", "1050"), &["--record"]).await;
    let open = server.get("sites/default/violations").await.unwrap();
    assert_eq!(open["violations"].as_array().map(Vec::len), Some(1));
    check_with(&server, LCP, &["--record"]).await;
    let open = server.get("sites/default/violations").await.unwrap();
    assert_eq!(open["violations"], json!([]));
    let all = server.get("sites/default/violations?status=all").await.unwrap();
    assert!(all["violations"][0]["resolved"].is_string(), "{all}");

    for (text, why) in [
        (LCP.replace("2500", "1112"), "the 75th percentile lies too near"),
        (LCP.replace("/p", "/nowhere"), "no data"),
        (LCP.replace("LCP", "INP"), "no data for this metric"),
        (format!("{LCP}min_samples = 151\n"), "too few samples"),
    ] {
        let (code, out, err) = check(&server, &text).await;
        assert_eq!(code, Some(3), "{why}: {out}{err}");
        assert!(out.contains("inconclusive"), "{why}: {out}");
    }
}

#[tokio::test]
async fn judgement_without_record_changes_nothing_and_record_needs_the_scope_write() {
    let mut server = with_lcps(&[3_000.0; 150]).await;
    let admin = server.token.clone();
    let token = async |scope: &str| {
        let made = server.cli_json(&["token", "add", scope, "--scope", scope, "--json"]).await;
        made["token"].as_str().unwrap().to_owned()
    };
    let (read, write) = (token("read").await, token("write").await);
    let violations = async |server: &Server| {
        server.get("sites/default/violations?status=all").await.unwrap()["violations"].clone()
    };
    for token in [&read, &write, &admin] {
        server.token.clone_from(token);
        let (code, out, err) = check(&server, LCP).await;
        assert_eq!(code, Some(1), "{out}{err}");
        assert_eq!(violations(&server).await, json!([]), "a judgement changes nothing");
    }
    server.token.clone_from(&read);
    let (code, out, err) = check_with(&server, LCP, &["--record"]).await;
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(err.contains("it needs the scope `write`"), "{err}");
    assert_eq!(violations(&server).await, json!([]));
    // The token that may not open a violation may not resolve one.
    server.token.clone_from(&write);
    let (code, out, err) = check_with(&server, LCP, &["--record"]).await;
    assert_eq!(code, Some(1), "{out}{err}");
    server.token = read;
    check_with(&server, &LCP.replace("2500", "9000"), &["--record"]).await;
    check(&server, &LCP.replace("2500", "9000")).await;
    let opened = violations(&server).await;
    assert!(opened[0]["resolved"].is_null() && opened.as_array().map(Vec::len) == Some(1), "{opened}");
    server.token = admin;
    check_with(&server, &LCP.replace("2500", "9000"), &["--record"]).await;
    let resolved = violations(&server).await;
    assert!(resolved[0]["resolved"].is_string(), "{resolved}");
}

#[tokio::test]
async fn a_pattern_matches_routes_as_they_are_stored() {
    let server = with_lcps(&[1_000.0; 150]).await;
    for pattern in ["/p", "/p/", "p", "https://shop.example/p?q=1", "/*", "p*"] {
        let (code, out, err) = check(&server, &LCP.replace("/p", pattern)).await;
        assert_eq!(code, Some(0), "{pattern}: {out}{err}");
    }
    let path = budget(&server, "none.toml", &LCP.replace("/p", "/pp"));
    let arguments = ["check", "--on-inconclusive", "warn", "--budget", path.to_str().unwrap()];
    let output = server.cli(&arguments).await;
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("no route with page views matches `/pp`; nearest: `/p`"), "{err}");
}

#[tokio::test]
async fn a_percentile_on_the_budget_is_told_exactly() {
    let server = with_lcps(&[2_500.0; 200]).await;
    let path = budget(&server, "budgets.toml", LCP);
    let answer = server.cli_json(&["check", "--format", "json", "--budget", path.to_str().unwrap()]).await;
    let budget = &answer["budgets"][0];
    assert_eq!(
        (&budget["verdict"], &budget["measured"], &budget["interval"], &budget["within"]),
        (&json!("pass"), &json!(2_500.0), &json!([2_500.0, 2_500.0]), &json!(200))
    );
    let report = server.get("sites/default/report").await.unwrap();
    let lcp = &report["metrics"]["LCP"];
    assert_eq!(
        (&lcp["rating"], &lcp["good"], &lcp["p75_interval"][1]),
        (&json!("good"), &json!(200), &json!(2_500.0))
    );
    assert!(lcp["p75"].as_f64().unwrap() <= 2_500.0, "{lcp}");
}

#[tokio::test]
async fn mistakes_are_named_with_exit_2_and_an_absent_server_with_4() {
    let mut server = with_lcps(&[]).await;
    let (code, _, err) = check(&server, &LCP.replace("LCP", "LCPP")).await;
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("budgets.toml:3") && err.contains("LCPP"), "{err}");
    let output = server.cli(&["check", "--budget", "/nowhere/budgets.toml"]).await;
    assert_eq!(output.status.code(), Some(2));
    let output = server.cli(&["check", "--bugdet", "x"]).await;
    assert_eq!(output.status.code(), Some(2));
    let path = budget(&server, "good.toml", LCP);
    let output = server.cli(&["check", "--budget", path.to_str().unwrap(), "--token", "fvt_wrong"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    let output = server.cli(&["check", "--budget", path.to_str().unwrap(), "--site", "nobody"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    server.kill().await;
    let (code, _, err) = check(&server, LCP).await;
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains(&server.url), "{err}");
}

/// A `check --wait` of [`LCP`] that runs.
struct Waiting {
    child: Child,
    progress: Lines<BufReader<ChildStderr>>,
}

impl Waiting {
    fn start(server: &Server) -> Self {
        let path = budget(server, "waiting.toml", LCP);
        let check = ["check", "--wait", "5m", "--every", "1s", "--budget", path.to_str().expect("UTF-8")];
        let mut child =
            server.command(&check).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let progress = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        Self { child, progress }
    }

    /// Waits for the next line on standard error.
    async fn line(&mut self) -> String {
        self.progress.next_line().await.expect("UTF-8").expect("a line before the end")
    }

    /// Waits for the end. Returns the exit code and the output.
    async fn end(self) -> (Option<i32>, String) {
        let output = self.child.wait_with_output().await.expect("it ends");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

#[tokio::test]
async fn wait_ends_when_page_views_decide() {
    // On the budget, then over it or within it.
    for (lcp, code, word) in [(3_000.0, 1, "fail"), (2_000.0, 0, "pass")] {
        let on_budget: Vec<f64> = (0..120).map(|n| if n % 4 == 0 { 2_600.0 } else { 2_400.0 }).collect();
        let server = with_lcps(&on_budget).await;
        let mut waiting = Waiting::start(&server);
        let line = waiting.line().await;
        assert!(
            line.starts_with("look 1: 0 kept, 0 exceeded, 1 inconclusive; LCP p75 on /p: 120 page views"),
            "{line}"
        );
        send(&server, 1_000, &[lcp; 400]).await;
        let (found, out) = waiting.end().await;
        assert_eq!(found, Some(code), "{out}");
        assert!(out.contains(word) && out.contains("confidence sequence"), "{out}");
    }
}

#[tokio::test]
async fn interrupted_wait_tells_the_state_so_far_and_exits_3() {
    for signal in ["INT", "TERM"] {
        let server = with_lcps(&[2_500.0; 50]).await;
        let mut waiting = Waiting::start(&server);
        let line = waiting.line().await;
        assert!(line.starts_with("look 1: "), "{line}");
        let id = waiting.child.id().expect("it runs").to_string();
        let kill = tokio::process::Command::new("kill").args(["-s", signal, &id]).status().await;
        assert!(kill.expect("kill runs").success());
        let mut last = line;
        while let Some(line) = waiting.progress.next_line().await.expect("UTF-8") {
            last = line;
        }
        assert!(
            last.starts_with("warning: interrupted after ") && last.ends_with("this is the state so far"),
            "{last}"
        );
        let (code, out) = waiting.end().await;
        assert_eq!(code, Some(3), "{out}");
        assert!(out.contains("inconclusive") && out.contains("50 of the 100 page views"), "{out}");
    }
}

#[tokio::test]
async fn one_budget_is_judged_by_get_for_rollout_controllers() {
    let server = with_lcps(&[3_000.0; 150]).await;
    let asked = async |query: &str| server.get(&format!("sites/default/gate?{query}")).await;
    for (query, verdict) in [
        ("metric=LCP&max=2500", "fail"),
        ("metric=largest-contentful-paint&max=3.5s&route=/p&looks=many", "pass"),
        ("metric=LCP&max=2500&min_samples=200", "inconclusive"),
        ("metric=LCP&max=2500&device=phone", "inconclusive"),
        ("metric=LCP&max=2500&connection=4g", "fail"),
    ] {
        let answer = asked(query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(answer["verdict"], verdict, "{query}: {answer}");
    }
    for (query, expected) in [
        ("max=2500", "a budget without `metric`"),
        ("metric=LCP&max=2.5", "which is too short for LCP; expected milliseconds: 2500"),
        ("metric=LCP&max=2500&percentile=x", "`percentile` is a text"),
        ("metric=LCP&max=2500&looks=two", "`looks` is `two`: expected one or many"),
        ("metric=LCP&max=2500&record=true", "record"),
        ("metric=LCP&max=2500&protocol=h2", "`protocol` is not taken here"),
    ] {
        let problem = asked(query).await.unwrap_err();
        assert!(
            problem.contains(expected) && problem.contains("\"code\":\"parameter\""),
            "{query}: {problem}"
        );
    }
}

#[tokio::test]
async fn answer_says_rule_design_effect_and_what_a_verdict_takes() {
    let lcps: Vec<f64> = (0..40).map(|n| if n < 28 { 2_000.0 } else { 3_000.0 }).collect();
    let server = with_lcps(&lcps).await;
    let answer = server.get("sites/default/gate?metric=LCP&max=2500").await.unwrap();
    let budget = &answer["budgets"][0];
    assert_eq!((&answer["looks"], &answer["verdict"]), (&json!("one"), &json!("inconclusive")));
    assert_eq!((&budget["n"], &budget["within"]), (&json!(40), &json!(28)));
    assert_eq!((&budget["design_effect"], &budget["design_effect_from"]), (&json!(3.0), &json!("default")));
    // 483 independent page views at this share, times the design effect.
    assert_eq!(budget["samples_needed"], 1_447);
    assert!(budget["hours_needed"].as_f64().is_some_and(|hours| hours > 0.0), "{budget}");
    assert_eq!(budget["interval"], json!(null), "fewer page views than min_samples are not judged");
}

#[tokio::test]
async fn budget_of_standard_input_and_of_another_tool_is_judged() {
    let server = with_lcps(&[3_000.0; 150]).await;
    let text = r#"[{"timings": [{"metric": "largest-contentful-paint", "budget": 2500}, {"metric": "speed-index", "budget": 3000}]}]"#;
    let mut child = server
        .command(&["check", "--budget", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, text.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(
        out.contains("<stdin>:1: not evaluated: speed-index: it needs a recording of the screen"),
        "{out}"
    );
    assert!(out.contains("fail: 1 exceeded, 0 kept, 0 inconclusive, 1 not evaluated"), "{out}");
}

/// The shell steps of docs/ci.md, as pipelines run them.
fn pipeline_steps() -> Vec<String> {
    let page = include_str!("../../docs/ci.md");
    let steps = page.lines().filter_map(|line| {
        let start = line.find("fieldvitals check ")?;
        let before = line[..start].trim();
        ["- run:", "-", "sh '"].contains(&before).then(|| line[start..].trim_end_matches('\'').to_owned())
    });
    steps.collect()
}

#[tokio::test]
async fn steps_of_the_documented_pipelines_run() {
    let server = with_lcps(&[1_000.0; 150]).await;
    let directory = server.data_dir();
    budget(&server, "budgets.toml", LCP);
    let binary = server.command(&[]).as_std().get_program().to_owned();
    let bin = PathBuf::from(binary).parent().expect("a folder").to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let steps = pipeline_steps();
    assert!(steps.len() >= 5, "{steps:?}");
    for step in steps {
        // The release has no page views, so that its wait would take its time.
        let step = step.replace(" --release \"$CI_COMMIT_TAG\"", "");
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-e", "-c", &step]).current_dir(directory).env("PATH", &path);
        let shell = shell.env("FIELDVITALS_SERVER", &server.url).env("FIELDVITALS_TOKEN", &server.token);
        let output = shell.output().await.expect("sh runs");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{step}: {}", String::from_utf8_lossy(&said));
    }
}

/// <https://docs.flagger.app/usage/webhooks>: Flagger posts this, sends no header, and halts unless the status is 200 to 299.
#[tokio::test]
async fn flagger_goes_on_or_halts_by_the_status() {
    let server = with_lcps(&[3_000.0; 150]).await;
    let call = async |query: &str, metadata: &Value| {
        let call = json!({"name": "shop", "namespace": "test", "phase": "Progressing", "checksum": "85d557f47b",
            "metadata": metadata});
        let path = format!("{}/api/v1/sites/default/gate/flagger?metric=LCP&{query}", server.url);
        let answer = server.http.post(path).body(call.to_string()).header("content-type", "application/json");
        let answer = answer.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let token = json!({"token": server.token});
    let (status, answer) = call("max=4000", &token).await;
    assert_eq!((status, &answer["verdict"]), (200, &json!("pass")), "{answer}");
    let (status, answer) = call("max=2500", &token).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("fail")), "{answer}");
    let why = answer["error"]["message"].as_str().expect("a message");
    assert!(why.starts_with("fail: LCP p75 of *: ") && why.contains("0 of 150 page views within"), "{why}");
    let few = "max=2500&min_samples=1000";
    assert_eq!(call(few, &token).await.0, 200);
    let (status, answer) = call(&format!("{few}&on_inconclusive=fail"), &token).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("inconclusive")), "{answer}");
    assert_eq!(call("max=2500&on_inconclusive=wait", &token).await.0, 400);
    for metadata in [json!({}), json!({"token": "x"})] {
        assert_eq!(call("max=2500", &metadata).await.0, 401, "{metadata}");
    }
    assert_eq!(call("max=2500", &json!(7)).await.0, 400);
}

#[tokio::test]
async fn token_past_its_rate_is_limited_through_flagger_too() {
    let server = Server::start().await;
    let slow = server.cli_json(&["token", "add", "slow", "--scope", "read", "--rate", "1", "--json"]).await;
    let call = json!({"name": "shop", "namespace": "test", "phase": "Progressing", "checksum": "85d557f47b",
        "metadata": {"token": slow["token"]}});
    let call = async || {
        let path = format!("{}/api/v1/sites/default/gate/flagger?metric=LCP&max=2500", server.url);
        let answer = server.http.post(path).body(call.to_string()).header("content-type", "application/json");
        let answer = answer.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    // The server reads tokens again every second.
    eventually(|| async {
        match call().await {
            (200, _) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // A burst of ten seconds' worth.
    let mut refused = None;
    for _ in 0..60 {
        let (status, answer) = call().await;
        if status != 200 {
            refused = Some((status, answer["error"]["code"].clone()));
            break;
        }
    }
    assert_eq!(refused, Some((429, json!("token_rate"))));
}

/// The fast page and the late image of the demo have known values; their own snippet must send nothing.
#[tokio::test]
async fn lab_passes_the_fast_page_and_fails_the_late_image() {
    let server = Server::start().await;
    let [fast, late] = ["fast", "late-image"].map(|page| format!("{}/demo/{page}.html", server.url));
    let budgets = "[[budget]]\nroute = \"/demo/fast*\"\nmetric = \"LCP\"\nmax = 1400\n\
        [[budget]]\nroute = \"/demo/late*\"\nmetric = \"LCP\"\nmax = 1400\n\
        [[budget]]\nmetric = \"CLS\"\nmax = 0.1\n[[budget]]\nmetric = \"INP\"\nmax = 200\n";
    let file = budget(&server, "budgets.toml", budgets);
    let file = file.to_str().expect("a path of UTF-8");
    // Both at a time, as they mostly wait.
    let [fast, late] = [&fast, &late].map(|url| {
        let args = [
            "check",
            "--budget",
            file,
            "--lab",
            url,
            "--settle",
            "100ms",
            "--no-sandbox",
            "--format",
            "json",
        ];
        let command = server.command(&args).output();
        async move {
            let output = command.await.expect("it runs");
            let answer = serde_json::from_slice(&output.stdout);
            let answer: Value =
                answer.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
            (output.status.code(), answer)
        }
    });
    let ((fast_code, fast), (late_code, late)) = tokio::join!(fast, late);
    let told = |answer: &Value| -> Vec<Value> {
        let rows = answer["budgets"].as_array().expect("rows").iter();
        rows.map(|row| json!([row["route"], row["metric"], row["verdict"], row["n"]])).collect()
    };
    let page = "/demo/fast.html";
    assert_eq!(told(&fast), [json!([page, "LCP", "pass", 5]), json!([page, "CLS", "pass", 5])], "{fast}");
    let page = "/demo/late-image.html";
    assert_eq!(told(&late), [json!([page, "LCP", "fail", 5]), json!([page, "CLS", "pass", 5])], "{late}");
    assert_eq!((fast_code, late_code), (Some(0), Some(1)));
    let lcp = late["budgets"][0]["measured"].as_f64();
    assert!(lcp.is_some_and(|lcp| (1_500.0..10_000.0).contains(&lcp)), "{late}");
    let why = fast["not_evaluated"].as_array().expect("reasons");
    assert!(
        why.iter().any(|one| one["why"].as_str().is_some_and(|why| why.contains("nobody uses"))),
        "{fast}"
    );
    server.settled().await;
    let status = server.get("sites/default/report?period=24h").await.expect("a report");
    assert_eq!(status["views"], 0, "a lab run is no visit: {status}");
}

#[tokio::test]
async fn lab_without_a_browser_or_a_page_says_what_to_do() {
    let server = Server::start().await;
    let fast = format!("{}/demo/fast.html", server.url);
    let gone = format!("{}/demo/gone.html", server.url);
    for (args, expected, said) in [
        (vec!["--lab", &fast, "--chromium", "/nowhere/chromium"], 2, "--chromium or FIELDVITALS_CHROMIUM"),
        (vec!["--lab", &gone, "--no-sandbox"], 4, "/demo/gone.html does not load: the server answers 404"),
        (vec!["--lab", "http://127.0.0.1:1/", "--no-sandbox"], 4, "Open it by hand"),
        (vec!["--lab", "localhost:3000"], 2, "expected the address of a page"),
        (vec!["--lab", &fast, "--release", "1"], 2, "cannot be used with"),
    ] {
        let (code, out, err) = check_with(&server, LCP, &args).await;
        assert_eq!(code, Some(expected), "{args:?}: {out}{err}");
        assert!(err.contains(said), "{args:?}: {err}");
    }
}
