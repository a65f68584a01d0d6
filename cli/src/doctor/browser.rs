//! A visit of a page in Chromium: opens it, hides it as visitors do, and reads from the browser's network log whether a beacon
//! arrives. Speaks WebDriver (<https://www.w3.org/TR/webdriver2/>) with a local chromedriver.

use crate::output::plain;
use anyhow::{Context as _, anyhow, bail};
use fieldvitals_store::diagnosis::Finding;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const CHECK: &str = "page.browser";
const DRIVER: &str = "chromedriver";
/// Time of a whole visit, in seconds: a slow page takes some 20.
const VISIT_S_MAX: u64 = 90;
/// Time until the load event.
const PAGE_TIME_MAX: Duration = Duration::from_secs(60);
/// Time until chromedriver and its browser run.
const START_S_MAX: u64 = 30;
/// Time of a beacon after the page was hidden. It is sent at once.
const BEACON_TIME_MAX: Duration = Duration::from_secs(10);
/// Time for the script after the load event.
const SCRIPT_TIME_MAX: Duration = Duration::from_secs(5);
/// Pause between two looks at the browser's log.
const LOOK: Duration = Duration::from_millis(100);

/// Visits a page, and judges its beacon.
pub(super) async fn visit(page: &Url, key: Option<&str>) -> Finding {
    let starting = tokio::time::timeout(Duration::from_secs(START_S_MAX), Driver::start());
    let started = starting.await.unwrap_or_else(|_| Err(anyhow!("it did not start within {START_S_MAX} s")));
    let driver = match started {
        Ok(driver) => driver,
        Err(error) => {
            return Finding::problem(
                CHECK,
                format!("no browser can be driven: {error:#}"),
                "Install Chromium and its driver; on Debian: apt-get install chromium chromium-driver",
            );
        }
    };
    let visited = tokio::time::timeout(Duration::from_secs(VISIT_S_MAX), driver.visit(page)).await;
    // Ends the browser too.
    driver.end().await;
    match visited {
        Ok(Ok(visit)) => judge(&visit, key),
        Ok(Err(error)) => Finding::problem(
            CHECK,
            format!("the visit failed: {}", plain(&format!("{error:#}"))),
            "Does the page open in a browser on this machine?",
        ),
        Err(_) => Finding::problem(
            CHECK,
            format!("the page was not loaded within {VISIT_S_MAX} s"),
            "Visitors leave such a page before its load event.",
        ),
    }
}

/// A running chromedriver with a session.
struct Driver {
    http: reqwest::Client,
    session: String,
    child: Child,
}

/// The result of a visit.
#[derive(Debug, Default, PartialEq)]
struct Visit {
    /// Whether the script ran.
    has_run: bool,
    /// Beacons by request: the address, the body, and the end.
    beacons: Vec<Sent>,
    /// Why the script was not loaded.
    script_failure: Option<String>,
    /// Messages of the console that name a policy or the script.
    console: Vec<String>,
}

/// A sent beacon.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sent {
    request: String,
    url: String,
    body: String,
    /// The status of the answer.
    status: Option<u64>,
    /// Why there is none.
    failure: Option<String>,
}

impl Driver {
    async fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(DRIVER)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{DRIVER} cannot be run"))?;
        let mut lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
        let port = loop {
            let Some(line) = lines.next_line().await? else { bail!("{DRIVER} ended at once") };
            // `ChromeDriver was started successfully on port 40123.`
            let port = line.rsplit_once("successfully on port ").map(|(_, port)| port.trim_end_matches('.'));
            if let Some(port) = port.and_then(|port| port.trim().parse::<u16>().ok()) {
                break port;
            }
        };
        // Reads later output to its end, so that the process never blocks on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let http = reqwest::Client::builder().no_proxy().build()?;
        let base = format!("http://127.0.0.1:{port}/session");
        let mut args =
            vec!["--headless=new", "--no-first-run", "--disable-background-networking", "--disable-sync"];
        if is_root() {
            // Chromium refuses to run as root in its sandbox.
            args.push("--no-sandbox");
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            // A page that never finishes loading would hold up the end of the session, and leave the browser running.
            "timeouts": {"pageLoad": PAGE_TIME_MAX.as_millis() as u64},
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
        }}});
        let made = call(&http, Method::POST, &base, Some(&wanted)).await?;
        let id = made.get("sessionId").and_then(Value::as_str).context("chromedriver gave no session")?;
        Ok(Self { session: format!("{base}/{id}"), http, child })
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        call(&self.http, method, &format!("{}{path}", self.session), Some(body)).await
    }

    async fn visit(&self, page: &Url) -> anyhow::Result<Visit> {
        // Returns after the load event.
        self.call(Method::POST, "/url", &json!({"url": page.as_str()})).await?;
        let mut visit = Visit::default();
        let loaded = Instant::now();
        while !visit.has_run && loaded.elapsed() < SCRIPT_TIME_MAX {
            let script = json!({"script": "return !!performance.fieldvitals", "args": []});
            visit.has_run = self.call(Method::POST, "/execute/sync", &script).await? == Value::Bool(true);
            tokio::time::sleep(LOOK).await;
        }
        // A new tab in front hides the page.
        let tab = self.call(Method::POST, "/window/new", &json!({"type": "tab"})).await?;
        let handle = tab.get("handle").cloned().unwrap_or_default();
        self.call(Method::POST, "/window", &json!({"handle": handle})).await?;
        let hidden = Instant::now();
        loop {
            let log = self.call(Method::POST, "/se/log", &json!({"type": "performance"})).await?;
            visit.read_network(&log);
            let is_ended = visit.beacons.iter().any(|sent| sent.status.is_some() || sent.failure.is_some());
            if is_ended || (!visit.has_run && hidden.elapsed() > LOOK) || hidden.elapsed() > BEACON_TIME_MAX {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let log = self.call(Method::POST, "/se/log", &json!({"type": "browser"})).await?;
        visit.read_console(&log);
        Ok(visit)
    }

    async fn end(mut self) {
        let ending = call(&self.http, Method::DELETE, &self.session, None);
        // The browser ends with its session.
        let _ = tokio::time::timeout(BEACON_TIME_MAX, ending).await;
        let _ = self.child.kill().await;
    }
}

fn is_root() -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
    }
    #[cfg(not(unix))]
    false
}

/// Calls the driver, and returns the value of its answer.
async fn call(
    http: &reqwest::Client,
    method: Method,
    url: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let mut request = http.request(method, url);
    if let Some(body) = body {
        request = request.json(body);
    }
    let mut answer: Value = request.send().await?.json().await?;
    let value = answer.get_mut("value").map(Value::take).unwrap_or_default();
    match value.get("error").and_then(Value::as_str) {
        Some(error) => {
            let message = value.get("message").and_then(Value::as_str).unwrap_or_default();
            bail!("{error}: {}", message.lines().next().unwrap_or_default())
        }
        None => Ok(value),
    }
}

impl Visit {
    /// Reads events of the browser's network log (<https://chromedevtools.github.io/devtools-protocol/tot/Network/>).
    fn read_network(&mut self, log: &Value) {
        for entry in log.as_array().into_iter().flatten() {
            let message = entry.get("message").and_then(Value::as_str).unwrap_or_default();
            let event: Value = serde_json::from_str(message).unwrap_or_default();
            let of = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            let request = of("/message/params/requestId");
            match of("/message/method").as_str() {
                "Network.requestWillBeSent" => {
                    let url = of("/message/params/request/url");
                    let is_script = url.split(['?', '#']).next().is_some_and(|path| path.ends_with("/v.js"));
                    let body = of("/message/params/request/postData");
                    let is_beacon = of("/message/params/request/method") == "POST" && is_beacon(&url, &body);
                    if is_beacon || is_script {
                        self.beacons.push(Sent { request, url, body, ..Sent::default() });
                    }
                }
                "Network.responseReceived" => {
                    let status = event.pointer("/message/params/response/status").and_then(Value::as_u64);
                    self.end(&request, status, None);
                }
                "Network.responseReceivedExtraInfo" => {
                    let status = event.pointer("/message/params/statusCode").and_then(Value::as_u64);
                    self.end(&request, status, None);
                }
                "Network.loadingFailed" => {
                    let reasons = ["blockedReason", "corsErrorStatus/corsError", "errorText"];
                    let reasons = reasons.map(|name| of(&format!("/message/params/{name}")));
                    let reason = reasons.iter().find(|reason| !reason.is_empty());
                    self.end(&request, None, reason.map(String::as_str));
                }
                _ => {}
            }
        }
        // The script's request is kept only for its failure.
        let is_script = |sent: &Sent| sent.body.is_empty() && !is_beacon(&sent.url, &sent.body);
        for sent in self.beacons.iter().filter(|sent| is_script(sent)) {
            let status = sent.status.filter(|status| *status >= 400).map(|status| format!("status {status}"));
            if let Some(failure) = sent.failure.clone().or(status) {
                self.script_failure = Some(format!("{}: {failure}", sent.url));
            }
        }
        self.beacons.retain(|sent| !(is_script(sent) && (sent.status.is_some() || sent.failure.is_some())));
    }

    fn end(&mut self, request: &str, status: Option<u64>, failure: Option<&str>) {
        for sent in self.beacons.iter_mut().filter(|sent| sent.request == request) {
            sent.status = sent.status.or(status);
            sent.failure = sent.failure.take().or_else(|| failure.map(str::to_owned));
        }
    }

    fn read_console(&mut self, log: &Value) {
        let messages =
            log.as_array().into_iter().flatten().filter_map(|entry| entry.get("message")?.as_str());
        let ours = messages.filter(|message| {
            ["fieldvitals", "v.js", "/v1/beacon", "Content Security Policy"]
                .iter()
                .any(|word| message.contains(word))
        });
        self.console.extend(ours.map(str::to_owned));
    }
}

/// Whether a request is a beacon: by its place, or by its body, because the place is an option.
fn is_beacon(url: &str, body: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.ends_with("/v1/beacon") || body.starts_with("{\"v\":1,\"site\":") || body.starts_with("[1,\"")
}

fn judge(visit: &Visit, key: Option<&str>) -> Finding {
    let console = match visit.console.first() {
        Some(message) => format!("; the browser says: {}", plain(message)),
        None => String::new(),
    };
    if let Some(failure) = &visit.script_failure {
        return Finding::problem(
            CHECK,
            format!("Chromium did not load the script {}{console}", plain(failure)),
            "`csp` is the page's policy, `mixed-content` http in a page of https; else see page.script.",
        );
    }
    if !visit.has_run {
        return Finding::problem(
            CHECK,
            format!("the script did not run in Chromium{console}"),
            "The tag is missing, has no data-site, or is added after a choice of the visitor (consent).",
        );
    }
    let ended = visit.beacons.iter().find(|sent| sent.status.is_some());
    let ended = ended.or_else(|| visit.beacons.iter().find(|sent| sent.failure.is_some()));
    let Some(sent) = ended.or(visit.beacons.first()) else {
        return Finding::problem(
            CHECK,
            format!("Chromium sent no beacon when the page was hidden{console}"),
            "The page waits for consent (data-consent), sends a share of its views (data-sample), drops the URL \
             (data-before-send), or its policy forbids to connect.",
        );
    };
    let url = plain(&sent.url);
    if key.is_some_and(|key| !sent.body.is_empty() && !sent.body.contains(key)) {
        return Finding::warning(
            CHECK,
            format!("a beacon went to {url} with another key than that of the tag"),
            "The page has a second tag, or a script changes the first.",
        );
    }
    match (sent.status, &sent.failure) {
        (Some(204), _) => Finding::ok(CHECK, format!("a beacon arrived at {url}: 204")),
        (Some(422), _) => Finding::ok(
            CHECK,
            format!(
                "a beacon arrived at {url}; the server leaves it out (422), because a driven browser is a bot"
            ),
        ),
        (Some(403), _) => Finding::problem(
            CHECK,
            format!("{url} refused the beacon: 403, the site does not allow the page's origin"),
            "fieldvitals site update NAME --origin ORIGIN (name all of its origins)",
        ),
        (Some(404), _) => Finding::problem(
            CHECK,
            format!("{url} refused the beacon: 404, no site has the tag's key"),
            "`fieldvitals site list` prints the tag.",
        ),
        (Some(status), _) => Finding::problem(
            CHECK,
            format!("{url} refused the beacon: {status}"),
            "`rejections` of the API and the dashboard's settings say why the server refuses beacons.",
        ),
        (None, Some(failure)) => Finding::problem(
            CHECK,
            format!("the beacon to {url} failed: {}{console}", plain(failure)),
            "`csp` is the page's connect-src; else see page.ingest.",
        ),
        (None, None) => Finding::warning(
            CHECK,
            format!("a beacon was sent to {url}, and no answer came within {} s", BEACON_TIME_MAX.as_secs()),
            "See page.ingest, and the server's log.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::diagnosis::Level;

    fn log(events: &[Value]) -> Value {
        events.iter().map(|event| json!({"message": json!({"message": event}).to_string()})).collect()
    }

    fn sent(id: &str, url: &str, method: &str, body: &str) -> Value {
        json!({"method": "Network.requestWillBeSent", "params": {"requestId": id,
               "request": {"url": url, "method": method, "postData": body}}})
    }

    fn visit(events: &[Value]) -> Visit {
        let mut visit = Visit { has_run: true, ..Visit::default() };
        visit.read_network(&log(events));
        visit
    }

    #[test]
    fn beacon_is_judged_by_its_answer() {
        let beacon = sent("7", "https://v.example/v1/beacon", "POST", "[1,\"key\",1]");
        let answered = |status: u64| {
            let answer = json!({"method": "Network.responseReceivedExtraInfo",
                                "params": {"requestId": "7", "statusCode": status}});
            judge(&visit(&[beacon.clone(), answer]), Some("key"))
        };
        assert_eq!([204, 422].map(|status| answered(status).level), [Level::Ok; 2]);
        assert!(answered(403).found.contains("origin") && answered(404).found.contains("key"));
        assert_eq!(answered(500).level, Level::Problem);
        let failed = json!({"method": "Network.loadingFailed", "params": {"requestId": "7", "blockedReason": "csp",
                            "errorText": "net::ERR"}});
        assert!(judge(&visit(&[beacon.clone(), failed]), None).found.ends_with("failed: csp"));
        assert_eq!(judge(&visit(std::slice::from_ref(&beacon)), Some("key")).level, Level::Warning);
        assert!(judge(&visit(&[beacon]), Some("other")).found.contains("another key"));
        assert!(judge(&visit(&[]), None).found.contains("no beacon"));
    }

    #[test]
    fn script_that_is_blocked_is_named_with_the_words_of_the_browser() {
        let script = sent("1", "https://v.example/v.js", "GET", "");
        let failed =
            json!({"method": "Network.loadingFailed", "params": {"requestId": "1", "blockedReason": "csp"}});
        let mut blocked = visit(&[script.clone(), failed]);
        blocked
            .read_console(&json!([{"message": "other"}, {"message": "Refused by Content Security Policy"}]));
        let finding = judge(&blocked, None);
        assert!(finding.found.contains("v.js: csp; the browser says: Refused by"), "{finding:?}");
        let loaded = json!({"method": "Network.responseReceived",
                            "params": {"requestId": "1", "response": {"status": 200}}});
        assert_eq!(visit(&[script, loaded]), Visit { has_run: true, ..Visit::default() });
        assert!(judge(&Visit::default(), None).found.contains("did not run"));
    }
}
