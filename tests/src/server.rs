//! A real server process on a data folder of its own.

use crate::eventually;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The binary under test: `FIELDVITALS_BIN`, or the one that cargo built beside the tests.
///
/// # Panics
/// Where there is none, with how to build it.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("FIELDVITALS_BIN") {
        return path.into();
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|test| Some(test.parent()?.parent()?.join("fieldvitals")))
        .filter(|path| path.exists());
    beside.expect("no fieldvitals binary: run `cargo xtask test e2e`, or `cargo build` first")
}

/// The environment of every server that tests start: no balancer is there to be told of a stop.
const EVERY_SERVER: [(&str, &str); 1] = [("FIELDVITALS_DRAIN", "0")];

/// How a server is started: with what, besides a folder and a free port.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    args: Vec<String>,
    env: Vec<(String, String)>,
    unprivileged: bool,
    files_max: Option<u32>,
}

impl Launch {
    /// With these arguments.
    #[must_use]
    pub fn with(args: &[&str]) -> Self {
        Self { args: args.iter().map(|&arg| arg.to_owned()).collect(), ..Self::default() }
    }

    /// And as a user for whom the permissions of files hold, also where the tests are run by root.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// And with at most so many files open.
    #[must_use]
    pub fn files_max(mut self, files_max: u32) -> Self {
        self.files_max = Some(files_max);
        self
    }

    /// And in an environment where this variable is set.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts a server and does not wait for it.
    ///
    /// # Panics
    /// Where it cannot be run.
    #[must_use]
    pub fn spawn(&self, data_dir: &Path) -> Child {
        self.spawn_with_log(data_dir, Path::new("/dev/null"))
    }

    /// The same, with a file for what it says.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn spawn_with_log(&self, data_dir: &Path, log: &Path) -> Child {
        let mut command = self.command(data_dir, log).expect("a log that can be written");
        command.stdout(Stdio::null()).spawn().expect("it can be run")
    }

    /// The command that serves the data of a folder; what it says goes to the log.
    fn command(&self, data_dir: &Path, log: &Path) -> anyhow::Result<Command> {
        let log = std::fs::File::options().create(true).append(true).open(log).context("the log")?;
        let is_root = || std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        let mut command = if self.unprivileged && is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(binary());
            command
        } else if let Some(files_max) = self.files_max {
            let mut command = Command::new("prlimit");
            command.arg(format!("--nofile={files_max}:{files_max}")).arg("--").arg(binary());
            command
        } else {
            Command::new(binary())
        };
        command
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .args(&self.args)
            // The tests' own database, which some of them name themselves.
            .env_remove("DATABASE_URL")
            // Their browsers are driven, and most have no window.
            .env("FIELDVITALS_BOTS", "keep")
            .envs(EVERY_SERVER)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        Ok(command)
    }
}

/// Runs a server that is expected to end by itself; gives its exit code and what it logged.
///
/// # Panics
/// Where it does not end within half a minute.
pub async fn run_to_the_end(data_dir: &Path, launch: &Launch) -> (Option<i32>, String) {
    let folder = TempDir::new().expect("a temporary folder");
    let log = folder.path().join("log");
    let child =
        launch.command(data_dir, &log).expect("its log can be written").spawn().expect("it can be run");
    let output = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output());
    let output = output.await;
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let output = output.unwrap_or_else(|_| panic!("it does not end by itself: {said}"));
    (output.expect("its output can be read").status.code(), said)
}

/// A running server.
pub struct Server {
    child: Child,
    launch: Launch,
    log_dir: TempDir,
    /// Where it listens, `http://127.0.0.1:PORT`.
    pub url: String,
    /// The key of its first site.
    pub key: String,
    /// An API token with the scope `admin`.
    pub token: String,
    /// What it printed at its start.
    pub greeting: String,
    /// A client that keeps its connections.
    pub http: reqwest::Client,
    data_dir: TempDir,
}

impl Server {
    /// A server on a new data folder.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server on a new data folder, with further arguments.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start_with(args: &[&str]) -> Self {
        Self::launch(Launch::with(args)).await
    }

    /// A server on a new data folder, started this way.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn launch(launch: Launch) -> Self {
        let data_dir = TempDir::new().expect("a temporary folder");
        let server = Self::begin(data_dir, launch).await;
        assert!(!server.token.is_empty(), "the first start makes a token");
        server
    }

    /// A server on this folder, which is new, started this way.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn launch_on(data_dir: TempDir, launch: Launch) -> Self {
        Self::begin(data_dir, launch).await
    }

    /// A server on a folder that may have a store; the token is empty where there is one already.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start_on(data_dir: TempDir) -> Self {
        Self::begin(data_dir, Launch::default()).await
    }

    async fn begin(data_dir: TempDir, launch: Launch) -> Self {
        let log_dir = TempDir::new().expect("a temporary folder");
        let (child, greeting) =
            spawn(data_dir.path(), &launch, &log_dir.path().join("log")).await.expect("the server starts");
        let token = greeting.token.unwrap_or_default();
        let (url, key, http) = (greeting.url, greeting.key, reqwest::Client::new());
        Self { child, launch, log_dir, url, key, token, greeting: greeting.text, http, data_dir }
    }

    /// Ends the process at once, as a crash does, and starts another on the same folder.
    ///
    /// # Panics
    /// Where it does not start again.
    pub async fn kill_and_restart(&mut self) {
        self.kill().await;
        self.start_again().await;
    }

    /// Starts the server again, on the same folder and in the same way.
    ///
    /// # Panics
    /// Where it does not start again.
    pub async fn start_again(&mut self) {
        let (child, greeting) = spawn(self.data_dir.path(), &self.launch, &self.log_file())
            .await
            .expect("the server starts again");
        assert!(greeting.token.is_none(), "only the first start makes a token");
        self.child = child;
        self.url = greeting.url;
    }

    /// Starts the server again, in another way.
    ///
    /// # Panics
    /// Where it does not start again.
    pub async fn start_again_as(&mut self, launch: Launch) {
        self.launch = launch;
        self.start_again().await;
    }

    fn log_file(&self) -> PathBuf {
        self.log_dir.path().join("log")
    }

    /// What the server has said besides its greeting.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Never: it has said so.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let address = self.url.strip_prefix("http://").and_then(|address| address.parse().ok());
        address.expect("it listens at an address")
    }

    /// The id of the process.
    ///
    /// # Panics
    /// Where it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the server runs")
    }

    /// The files that it has open, its connections among them.
    ///
    /// # Panics
    /// Where it has ended.
    #[must_use]
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the server runs").count()
    }

    /// Its memory in RAM, in bytes.
    ///
    /// # Panics
    /// Where it has ended.
    #[must_use]
    pub fn rss_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the server runs");
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok()).expect("its memory is told") * 1_024
    }

    /// Sends a signal to the process, by its name as `kill` has it.
    ///
    /// # Panics
    /// Where it has ended.
    pub async fn signal(&self, name: &str) {
        signal(&self.child, name).await;
    }

    /// Waits until the process ends by itself, and gives its exit code.
    ///
    /// # Panics
    /// Where it does not end within half a minute.
    pub async fn ended(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        ended.expect("the server ends").expect("it can be waited for").code()
    }

    /// Ends the process at once (SIGKILL).
    ///
    /// # Panics
    /// Where it cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("the server can be killed");
    }

    /// Asks the process to end (SIGTERM) and gives its exit code.
    ///
    /// # Panics
    /// Where it cannot be asked.
    pub async fn terminate(&mut self) -> Option<i32> {
        signal(&self.child, "-TERM").await;
        self.child.wait().await.expect("the server ends").code()
    }

    /// The folder of its data.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Runs the binary with these arguments on the server's data folder and with its address and token.
    ///
    /// # Panics
    /// Where the binary cannot be run.
    pub async fn cli(&self, args: &[&str]) -> Output {
        Command::new(binary())
            .args(args)
            .env_remove("DATABASE_URL")
            .env("FIELDVITALS_DATA_DIR", self.data_dir())
            .env("FIELDVITALS_SERVER", &self.url)
            .env("FIELDVITALS_TOKEN", &self.token)
            .stdin(Stdio::null())
            .output()
            .await
            .expect("the binary runs")
    }

    /// The JSON that a command prints.
    ///
    /// # Panics
    /// Where it fails or prints something else.
    pub async fn cli_json(&self, args: &[&str]) -> Value {
        let output = self.cli(args).await;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the command prints JSON")
    }

    /// Posts a body and gives the status and the answer.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let response =
            self.http.post(format!("{}{path}", self.url)).body(body).send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Asks the API with the admin token.
    ///
    /// # Errors
    /// Where the answer is not a success.
    pub async fn get(&self, path: &str) -> Result<Value, String> {
        let response = self
            .http
            .get(format!("{}/api/v1/{path}", self.url))
            .bearer_auth(&self.token)
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let status = response.status();
        let text = response.text().await.map_err(|error| error.to_string())?;
        if status.is_success() {
            serde_json::from_str(&text).map_err(|error| error.to_string())
        } else {
            Err(format!("{status}: {text}"))
        }
    }

    /// Waits until every accepted beacon is in the store, and gives the server's status.
    pub async fn settled(&self) -> Value {
        eventually(|| async {
            let status = self.get("status").await?;
            if status["spool"]["waiting"] == 0 { Ok(status) } else { Err(format!("waiting: {status}")) }
        })
        .await
    }

    /// Waits until the route has been reported with these metrics, and gives its row.
    pub async fn reported(&self, route: &str, metrics: &[&str]) -> Value {
        eventually(|| async {
            let pages = self.get("sites/default/pages?period=24h&limit=500").await?;
            let page = pages["pages"]
                .as_array()
                .and_then(|pages| pages.iter().find(|page| page["route"] == route))
                .ok_or_else(|| format!("{route} is not among {pages}"))?;
            match metrics.iter().find(|metric| page["metrics"][**metric].is_null()) {
                Some(missing) => Err(format!("{missing} is missing in {page}")),
                None => Ok(page.clone()),
            }
        })
        .await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// Sends a signal to a process, by its name as `kill` has it.
///
/// # Panics
/// Where it has ended.
pub async fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args([name, &pid]).status().await.expect("kill runs");
    assert!(sent.success());
}

struct Greeting {
    url: String,
    key: String,
    token: Option<String>,
    /// All of it.
    text: String,
}

async fn spawn(data_dir: &Path, launch: &Launch, log: &Path) -> anyhow::Result<(Child, Greeting)> {
    let mut child = launch.command(data_dir, log)?.spawn().context("the binary can be run")?;
    let stdout = child.stdout.take().context("its output is piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let (mut url, mut key, mut token, mut text) = (None, None, None, String::new());
    while let Some(line) = lines.next_line().await? {
        text.push_str(&line);
        text.push('\n');
        if let Some((_, at)) = line.split_once("takes beacons at ") {
            url = Some(at.to_owned());
        }
        if let Some((_, rest)) = line.split_once("data-site=\"") {
            key = rest.split('"').next().map(str::to_owned);
        }
        if let Some((_, path)) = line.split_once("token       in ") {
            token = Some(std::fs::read_to_string(path)?.trim().to_owned());
        }
        if line.trim_start().starts_with("data ") {
            // Whatever it prints later is read to the end, so that it never blocks on a full pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            let (Some(url), Some(key)) = (url, key) else { bail!("the greeting lacks an address or a key") };
            return Ok((child, Greeting { url, key, token, text }));
        }
    }
    let said = std::fs::read_to_string(log).unwrap_or_default();
    bail!("the server ended: {}; {said}", child.wait().await?)
}
