//! One visit of a page, to a server that may be in a network of its own: a beacon in, a report out.

use super::PATIENCE;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A script for bash: sends standard input to `$0:$1`, and prints the answer.
const CONNECT: &str = "exec 3<>/dev/tcp/$0/$1; cat >&3; cat <&3";
/// A browser, because programs are filtered.
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// A server.
pub(super) struct Server {
    /// A command that runs another one in the server's network; empty for this machine's.
    pub(super) network: Vec<String>,
    /// `127.0.0.1:PORT`.
    pub(super) address: String,
    /// The key of the site `default`.
    pub(super) key: String,
    /// A token with the scope read.
    pub(super) token: String,
}

impl Server {
    /// Asks for the server's health, sends a beacon, and waits for its page in the report.
    pub(super) fn serve_one_visit(&self) -> Result<()> {
        let (status, body) = self.ask("GET", "/healthz", "")?;
        ensure!(status == 200, "/healthz answers {status}: {body}");
        let start_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() - 1_000;
        // A UUID of version 7: the start of the view, and a number.
        let id = format!("{:08x}-{:04x}-7000-8000-000000000001", start_ms >> 16, start_ms & 0xffff);
        let beacon = json!({
            "v": 1, "site": self.key, "seq": 1, "url": "https://shop.example/cart", "device": "desktop",
            "views": [{"id": id, "nav": "navigate", "values": {"LCP": 900.0}}],
        });
        let (status, body) = self.ask("POST", "/v1/beacon", &beacon.to_string())?;
        ensure!(status == 204, "the beacon is answered {status}: {body}");
        self.wait_for_report()
    }

    /// Waits until the page of the beacon is in the report.
    pub(super) fn wait_for_report(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let (status, body) = self.ask("GET", "/api/v1/sites/default/pages?period=24h&min_n=1", "")?;
            ensure!(status == 200, "the report is answered {status}: {body}");
            let report: Value = serde_json::from_str(&body).with_context(|| format!("no JSON: {body}"))?;
            let page = &report["pages"][0];
            if page["route"] == "/cart" && page["metrics"]["LCP"].is_object() {
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "the beacon is not in the report: {report}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a request. Returns the status and the body of the answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let Self { network, address, token, .. } = self;
        let (host, port) = address.split_once(':').context("an address without a port")?;
        let limit = PATIENCE.as_secs().to_string();
        let words =
            network.iter().map(String::as_str).chain(["timeout", &limit, "bash", "-c", CONNECT, host, port]);
        let words: Vec<&str> = words.collect();
        let mut child =
            Command::new(words[0]).args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("standard input was asked for")?;
        // HTTP/1.0 has no chunks, and the answer ends with the connection.
        write!(
            stdin,
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nUser-Agent: \
             {AGENT}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        drop(stdin);
        let answer = child.wait_with_output()?;
        let answer = String::from_utf8_lossy(&answer.stdout);
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .with_context(|| format!("{method} {path}: no answer: {answer:?}"))?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.with_context(|| format!("an answer without a status: {head}"))?, body.to_owned()))
    }
}
