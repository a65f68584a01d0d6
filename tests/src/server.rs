//! Runs the real server binary on a data folder of its own.

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

/// The binary under test: `FIELDVITALS_BIN`, or the binary that cargo built beside the tests.
///
/// # Panics
/// Panics if there is no binary. The message says how to build it.
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

/// The environment of every server that tests start. The drain is 0 s, because no load balancer needs to notice a
/// stop.
const EVERY_SERVER: [(&str, &str); 1] = [("FIELDVITALS_DRAIN", "0")];

/// Options of a server process, besides its data folder and its free port.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    args: Vec<String>,
    env: Vec<(String, String)>,
    unprivileged: bool,
    files_max: Option<u32>,
}

impl Launch {
    /// Sets the arguments.
    #[must_use]
    pub fn with(args: &[&str]) -> Self {
        Self { args: args.iter().map(|&arg| arg.to_owned()).collect(), ..Self::default() }
    }

    /// Runs the server without root rights, so that file permissions apply even if root runs the tests.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// Limits the number of open files.
    #[must_use]
    pub fn files_max(mut self, files_max: u32) -> Self {
        self.files_max = Some(files_max);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts a server and does not wait for it.
    ///
    /// # Panics
    /// Panics if the process cannot be started.
    #[must_use]
    pub fn spawn(&self, data_dir: &Path) -> Child {
        self.spawn_with_log(data_dir, Path::new("/dev/null"))
    }

    /// Starts a server with a log file, and does not wait for it.
    ///
    /// # Panics
    /// Panics if the log cannot be written or the process cannot be started.
    #[must_use]
    pub fn spawn_with_log(&self, data_dir: &Path, log: &Path) -> Child {
        let mut command = self.command(data_dir, log).expect("a log that can be written");
        command.stdout(Stdio::null()).spawn().expect("it can be run")
    }

    /// The command that serves a data folder. Standard error goes to the log.
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
            // Removes the database of the tests; tests that need a database set the variable themselves.
            .env_remove("DATABASE_URL")
            // The bot filter would refuse the tests' browsers, which are automated and mostly headless.
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

/// Runs a server that must end by itself. Returns its exit code and its log.
///
/// # Panics
/// Panics if it does not end within 30 s.
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
    /// Its base URL, `http://127.0.0.1:PORT`.
    pub url: String,
    /// The key of its first site.
    pub key: String,
    /// An API token with the scope `admin`.
    pub token: String,
    /// The text that it printed at its start.
    pub greeting: String,
    /// An HTTP client that reuses its connections.
    pub http: reqwest::Client,
    data_dir: TempDir,
}

impl Server {
    /// Starts a server on a new data folder.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server on a new data folder, with further arguments.
    ///
    /// # Panics
    /// Panics if it does not start.
    pub async fn start_with(args: &[&str]) -> Self {
        Self::launch(Launch::with(args)).await
    }

    /// Starts a server on a new data folder, with these options.
    ///
    /// # Panics
    /// Panics if it does not start.
    pub async fn launch(launch: Launch) -> Self {
        let data_dir = TempDir::new().expect("a temporary folder");
        let server = Self::begin(data_dir, launch).await;
        assert!(!server.token.is_empty(), "the first start makes a token");
        server
    }

    /// Starts a server on this new folder, with these options.
    ///
    /// # Panics
    /// Panics if it does not start.
    pub async fn launch_on(data_dir: TempDir, launch: Launch) -> Self {
        Self::begin(data_dir, launch).await
    }

    /// Starts a server on a folder that may hold a store. The token is empty if the store already has one.
    ///
    /// # Panics
    /// Panics if it does not start.
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

    /// Kills the process, as a crash does, and starts another one on the same folder.
    ///
    /// # Panics
    /// Panics if it does not start again.
    pub async fn kill_and_restart(&mut self) {
        self.kill().await;
        self.start_again().await;
    }

    /// Starts the server again, on the same folder and with the same options.
    ///
    /// # Panics
    /// Panics if it does not start again.
    pub async fn start_again(&mut self) {
        let (child, greeting) = spawn(self.data_dir.path(), &self.launch, &self.log_file())
            .await
            .expect("the server starts again");
        assert!(greeting.token.is_none(), "only the first start makes a token");
        self.child = child;
        self.url = greeting.url;
    }

    /// Starts the server again, with other options.
    ///
    /// # Panics
    /// Panics if it does not start again.
    pub async fn start_again_as(&mut self, launch: Launch) {
        self.launch = launch;
        self.start_again().await;
    }

    fn log_file(&self) -> PathBuf {
        self.log_dir.path().join("log")
    }

    /// The log of the server, without its greeting.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The address of the server.
    ///
    /// # Panics
    /// Never panics: the server has printed its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let address = self.url.strip_prefix("http://").and_then(|address| address.parse().ok());
        address.expect("it listens at an address")
    }

    /// The process id.
    ///
    /// # Panics
    /// Panics if the process has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the server runs")
    }

    /// Number of open files of the process, with its connections.
    ///
    /// # Panics
    /// Panics if the process has ended.
    #[must_use]
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the server runs").count()
    }

    /// Resident memory (RSS), in bytes.
    ///
    /// # Panics
    /// Panics if the process has ended.
    #[must_use]
    pub fn rss_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the server runs");
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok()).expect("its memory is told") * 1_024
    }

    /// Sends a signal to the process. The name has the form of `kill`.
    ///
    /// # Panics
    /// Panics if the process has ended.
    pub async fn signal(&self, name: &str) {
        signal(&self.child, name).await;
    }

    /// Waits until the process ends by itself. Returns its exit code.
    ///
    /// # Panics
    /// Panics if it does not end within 30 s.
    pub async fn ended(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        ended.expect("the server ends").expect("it can be waited for").code()
    }

    /// Kills the process (SIGKILL).
    ///
    /// # Panics
    /// Panics if it cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("the server can be killed");
    }

    /// Asks the process to end (SIGTERM). Returns its exit code.
    ///
    /// # Panics
    /// Panics if the signal cannot be sent.
    pub async fn terminate(&mut self) -> Option<i32> {
        signal(&self.child, "-TERM").await;
        self.child.wait().await.expect("the server ends").code()
    }

    /// The data folder.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Runs the binary with these arguments, and with the server's data folder, address and token.
    ///
    /// # Panics
    /// Panics if the binary cannot be run.
    pub async fn cli(&self, args: &[&str]) -> Output {
        self.command(args).output().await.expect("the binary runs")
    }

    /// Returns a command of the binary that knows this server; dropped, it ends.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(args)
            .env_remove("DATABASE_URL")
            .env("FIELDVITALS_DATA_DIR", self.data_dir())
            .env("FIELDVITALS_SERVER", &self.url)
            .env("FIELDVITALS_TOKEN", &self.token)
            // Tests look for whole sentences.
            .env("COLUMNS", "1000")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command and parses the JSON that it prints.
    ///
    /// # Panics
    /// Panics if the command fails or prints anything else.
    pub async fn cli_json(&self, args: &[&str]) -> Value {
        let output = self.cli(args).await;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the command prints JSON")
    }

    /// Posts a body. Returns the status and the answer.
    ///
    /// # Panics
    /// Panics if there is no answer.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let response =
            self.http.post(format!("{}{path}", self.url)).body(body).send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Sends a GET request to the API with the admin token.
    ///
    /// # Errors
    /// Fails if the status of the answer is not a success.
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

    /// Waits until every accepted beacon is in the store. Returns the server's status.
    pub async fn settled(&self) -> Value {
        eventually(|| async {
            let status = self.get("status").await?;
            if status["spool"]["waiting"] == 0 { Ok(status) } else { Err(format!("waiting: {status}")) }
        })
        .await
    }

    /// Waits until the report has the route with these metrics. Returns the route's row.
    pub async fn reported(&self, route: &str, metrics: &[&str]) -> Value {
        eventually(|| async {
            let pages = self.get("sites/default/pages?period=24h&min_n=1&limit=500").await?;
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

/// Sends a signal to a process. The name has the form of `kill`.
///
/// # Panics
/// Panics if the process has ended.
pub async fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args([name, &pid]).status().await.expect("kill runs");
    assert!(sent.success());
}

struct Greeting {
    url: String,
    key: String,
    token: Option<String>,
    /// The whole text.
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
            // Reads later output to its end, so that the process never blocks on a full pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            let (Some(url), Some(key)) = (url, key) else { bail!("the greeting lacks an address or a key") };
            return Ok((child, Greeting { url, key, token, text }));
        }
    }
    let said = std::fs::read_to_string(log).unwrap_or_default();
    bail!("the server ended: {}; {said}", child.wait().await?)
}
