//! A browser that a test drives.

use crate::engines::{Display, Engine, Window};
use crate::{PATIENCE, eventually_within};
use serde_json::{Map, Value};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use tempfile::TempDir;
use thirtyfour::prelude::*;
use tokio::process::Child;

/// A browser with one session. Dropping it ends both processes.
pub struct Browser {
    /// The session.
    pub driver: WebDriver,
    /// What it runs on.
    pub engine: Engine,
    port: u16,
    _program: Child,
    _display: Option<Display>,
    _profile: TempDir,
}

impl Browser {
    /// A new headless Chromium with an empty profile.
    pub async fn start() -> Self {
        Self::start_with(Engine::Chromium, Window::Headless, Map::new()).await
    }

    /// A new browser with an empty profile, and with more capabilities than the engine has by itself.
    ///
    /// # Panics
    /// Where its driver or itself cannot be started (`cargo xtask test` installs both).
    pub async fn start_with(engine: Engine, window: Window, more: Map<String, Value>) -> Self {
        let profile = TempDir::new().expect("a temporary folder");
        let display = if engine.needs_display(window) { Some(Display::start().await) } else { None };
        let (program, port) = engine.start(display.as_ref(), profile.path()).await;
        let capabilities = engine.capabilities(window, profile.path(), more);
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities)
            .await
            .unwrap_or_else(|error| panic!("{} starts: {error}", engine.name()));
        Self { driver, engine, port, _program: program, _display: display, _profile: profile }
    }

    /// Opens a page and waits for its load event.
    ///
    /// # Panics
    /// Where it cannot be opened.
    pub async fn open(&self, url: &str) {
        self.driver.goto(url).await.expect("the page opens");
    }

    /// Leaves the page by a navigation of its own, as a click on a link does: its last beacon is sent.
    ///
    /// # Panics
    /// Where it cannot be left.
    pub async fn leave(&self) {
        self.driver.goto("about:blank").await.expect("the page can be left");
    }

    /// Hides the page as a change of tabs does, and leaves the new tab in front.
    ///
    /// # Panics
    /// Where no tab can be opened.
    pub async fn hide(&self) {
        let tab = self.driver.new_tab().await.expect("a tab opens");
        self.driver.switch_to_window(tab).await.expect("the tab comes to the front");
    }

    /// A trusted click on the middle of an element.
    ///
    /// # Panics
    /// Where there is no such element.
    pub async fn click(&self, css: &str) {
        let element = self.driver.find(By::Css(css)).await.expect("the element is there");
        element.click().await.expect("it can be clicked");
    }

    /// What a script gives.
    ///
    /// # Panics
    /// Where it throws.
    pub async fn run(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.expect("the script runs").json().clone()
    }

    /// Waits until an expression is truthy, and gives it.
    pub async fn until(&self, expression: &str) -> Value {
        self.until_within(PATIENCE, expression).await
    }

    /// [`Browser::until`], within this time.
    pub async fn until_within(&self, patience: Duration, expression: &str) -> Value {
        let script = format!("return {expression}");
        eventually_within(patience, || async {
            match self.run(&script).await {
                Value::Null | Value::Bool(false) => Err(format!("{expression} is not true")),
                value => Ok(value),
            }
        })
        .await
    }

    /// The start times (or another field) of all buffered entries of a type, as the browser tells them.
    ///
    /// # Panics
    /// Where the browser does not know the type.
    pub async fn entries(&self, kind: &str, field: &str) -> Vec<f64> {
        let script = format!(
            "const done = arguments[0]; let found = [];
             const observer = new PerformanceObserver(list => found.push(...list.getEntries()));
             observer.observe({{type: '{kind}', buffered: true, durationThreshold: 16}});
             setTimeout(() => {{ found.push(...observer.takeRecords()); done(found.map(entry => entry.{field})) }}, 100)"
        );
        let found = self.driver.execute_async(&script, Vec::new()).await.expect("the script runs");
        found.json().as_array().expect("an array").iter().filter_map(Value::as_f64).collect()
    }

    /// What the driver has kept of a log since it was last asked; Chromium's alone.
    ///
    /// # Panics
    /// Where it keeps no such log.
    pub async fn log(&self, kind: &str) -> Vec<Value> {
        let url = format!("http://127.0.0.1:{}/session/{}/se/log", self.port, self.driver.session_id());
        let answer = reqwest::Client::new().post(url).json(&serde_json::json!({"type": kind})).send();
        let mut answer: Value = answer.await.expect("the driver answers").json().await.expect("JSON");
        match answer["value"].take() {
            Value::Array(entries) => entries,
            other => panic!("the driver has no log `{kind}`: {other}"),
        }
    }

    /// A command of the browser's own protocol; Chromium's alone.
    ///
    /// # Panics
    /// Where the browser refuses it.
    pub async fn command(&self, name: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(name, parameters).await.expect("the browser takes the command")
    }

    /// Ends the session.
    ///
    /// # Panics
    /// Where it does not end.
    pub async fn quit(self) {
        self.driver.clone().quit().await.expect("the session ends");
    }
}

/// A test that fails has not quit. The session is ended here, as that of a killed chromedriver would leave
/// its browser running, and the library's own way to end it would block the runtime that it waits for.
impl Drop for Browser {
    fn drop(&mut self) {
        if self.driver.clone().leak().is_ok() {
            let end = || {
                let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
                socket.set_read_timeout(Some(Duration::from_secs(5)))?;
                let path = format!("/session/{}", self.driver.session_id());
                write!(socket, "DELETE {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
                socket.read(&mut [0; 64])
            };
            // Whatever fails here, the test has failed already.
            let _: std::io::Result<usize> = end();
        }
    }
}
