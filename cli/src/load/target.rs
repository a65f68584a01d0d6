//! The tested server: its permission, its answers and its resources.

use crate::exit::Failure;
use crate::output::plain;
use fieldvitals_server::EMBEDDED_STORE;
use fieldvitals_server::http::api::health::LOAD_TESTS_ALLOWED;
use fieldvitals_traffic::{Beacons, Sender, USER_AGENT};
use reqwest::{Client, Url, redirect};
use serde_json::Value;
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Timeout of a beacon, in seconds: a browser's tab is gone by then.
const BEACON_TIME_S_MAX: u64 = 30;
/// Longest wait for an empty backlog.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(120);
/// Pause between two looks at the server.
const LOOK: Duration = Duration::from_millis(250);
/// Bytes of `/healthz` and of a refusal that are read.
const TEXT_BYTES_MAX: usize = 4_096;

/// A server that may be tested.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) http: Client,
    pub(super) beacon: Url,
    url: Url,
    token: Option<String>,
    data_dir: Option<PathBuf>,
}

/// Resources of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Resident memory, in bytes.
    pub(super) resident_bytes: Option<u64>,
    /// Processor time since its start, in seconds.
    pub(super) cpu_s: Option<f64>,
    /// Size of the store on the disk, in bytes.
    pub(super) store_bytes: Option<u64>,
    /// The backlog, in beacons.
    pub(super) waiting: Option<u64>,
}

impl Target {
    pub(super) fn new(url: &Url, token: Option<&str>, data_dir: Option<PathBuf>) -> Result<Self, Failure> {
        let http = Client::builder()
            .timeout(Duration::from_secs(BEACON_TIME_S_MAX))
            // A redirect could lead the load to a server that has not allowed it.
            .redirect(redirect::Policy::none())
            .user_agent(USER_AGENT)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(usize::MAX)
            .build()
            .map_err(|error| Failure::usage(format!("cannot set up HTTPS: {error}"), ""))?;
        let token = token.map(str::trim).filter(|token| !token.is_empty()).map(str::to_owned);
        Ok(Self { http, beacon: at(url, &["v1", "beacon"]), url: url.clone(), token, data_dir })
    }

    /// Refuses a server that has not allowed load tests.
    pub(super) async fn ask_permission(&self) -> Result<(), Failure> {
        let server = self.url.origin().ascii_serialization();
        let response = self.http.get(at(&self.url, &["healthz"])).send().await;
        let response = response.map_err(|error| {
            Failure::unreachable(
                format!("cannot reach {server}: {}", cause(&error)),
                "Is the server running, and is this its address?",
            )
        })?;
        let status = response.status();
        let text = text(response).await;
        if status.is_success() && text.lines().any(|line| line == LOAD_TESTS_ALLOWED) {
            return Ok(());
        }
        Err(Failure::usage(
            format!("{server} has not allowed load tests, so nothing was sent"),
            "Only a server that was started with `fieldvitals serve --allow-load-test` is tested; its /healthz says so.",
        ))
    }

    /// Sends one beacon, and says why it is refused.
    pub(super) async fn send_first(&self, beacons: &Beacons) -> Result<(), Failure> {
        let mut body = Vec::new();
        beacons.fill(&mut body, &mut Sender::new(0));
        let response = self.post(body).await.map_err(|error| {
            Failure::unreachable(
                format!("the first beacon got no answer: {}", cause(&error)),
                "See the server's log.",
            )
        })?;
        let status = response.status().as_u16();
        if status == 204 {
            return Ok(());
        }
        let body = text(response).await;
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        let said = plain(answer["error"]["message"].as_str().unwrap_or(body.trim()));
        let hint = match status {
            403 => {
                "The beacons are of https://shop.example: let the test's site take any origin (--origin '*')."
            }
            404 => "--site takes the key of a site: `fieldvitals site add load --origin '*'` makes one.",
            429 => "The server limits this client network: start it with --client-rate 0 for the test.",
            _ => "See the server's log.",
        };
        Err(Failure::usage(format!("the first beacon was refused with {status}: {said}"), hint))
    }

    /// Sends a beacon.
    pub(super) async fn post(&self, body: Vec<u8>) -> Result<reqwest::Response, reqwest::Error> {
        self.http
            .post(self.beacon.clone())
            .header("content-type", "text/plain;charset=UTF-8")
            .body(body)
            .send()
            .await
    }

    /// Reads the server's resources; unknown ones are `None`.
    pub(super) async fn usage(&self) -> Usage {
        let folder = self.data_dir.as_ref();
        let store_bytes = folder.and_then(|folder| {
            let files = ["", "-wal"].map(|end| folder.join(format!("{EMBEDDED_STORE}{end}")));
            let main = std::fs::metadata(&files[0]).ok()?.len();
            Some(main + std::fs::metadata(&files[1]).map_or(0, |log| log.len()))
        });
        let metrics = self.metrics().await.unwrap_or_default();
        let number = |name| number_of(&metrics, name);
        Usage {
            resident_bytes: number("process_resident_memory_bytes").map(|bytes| bytes as u64),
            cpu_s: number("process_cpu_seconds_total"),
            store_bytes,
            waiting: number("fieldvitals_spool_waiting_beacons").map(|beacons| beacons as u64),
        }
    }

    async fn metrics(&self) -> Option<String> {
        let request = self.http.get(at(&self.url, &["metrics"])).bearer_auth(self.token.as_ref()?);
        let response = request.send().await.ok()?;
        if response.status().is_success() { response.text().await.ok() } else { None }
    }

    /// Waits for an empty backlog if the server tells it, then reads the server's resources.
    pub(super) async fn settled(&self) -> Usage {
        let began = Instant::now();
        loop {
            let usage = self.usage().await;
            if usage.waiting.is_none_or(|waiting| waiting == 0) || began.elapsed() > SETTLE_TIME_MAX {
                return usage;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// A path of the server.
fn at(url: &Url, path: &[&str]) -> Url {
    let mut url = url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url.set_query(None);
    url
}

/// The start of an answer's text.
async fn text(mut response: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < TEXT_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            _ => break,
        }
    }
    bytes.truncate(TEXT_BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The value of a metric without labels (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
fn number_of(metrics: &str, name: &str) -> Option<f64> {
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.split(' ').next()?.parse().ok())
}

/// The kind of a failed request, in few words, so that errors are counted by kind.
pub(super) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut root: &dyn Error = error;
    while let Some(next) = root.source() {
        root = next;
    }
    root.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_by_their_whole_name() {
        let text = "# TYPE a gauge\na_b 1\na 2.5 1700000000\nc{x=\"y\"} 3\n";
        assert_eq!(
            (number_of(text, "a"), number_of(text, "a_b"), number_of(text, "c")),
            (Some(2.5), Some(1.0), None)
        );
    }

    #[test]
    fn paths_stand_behind_that_of_the_server() {
        let url = "https://shop.example/vitals/?x".parse().unwrap();
        assert_eq!(at(&url, &["v1", "beacon"]).as_str(), "https://shop.example/vitals/v1/beacon");
    }
}
