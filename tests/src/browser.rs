//! A browser under test, driven through WebDriver.

use crate::engines::{Display, Engine, Window};
use crate::{PATIENCE, eventually_within};
use serde_json::{Map, Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use tempfile::TempDir;
use thirtyfour::prelude::*;
use tokio::process::Child;

/// A browser with one session. Dropping it ends the driver and the browser.
pub struct Browser {
    /// The session.
    pub driver: WebDriver,
    /// The browser's engine.
    pub engine: Engine,
    port: u16,
    _program: Child,
    _display: Option<Display>,
    _profile: TempDir,
}

impl Browser {
    /// Starts a headless browser of [`Engine::chosen`] with an empty profile.
    pub async fn start() -> Self {
        Self::start_with(Engine::chosen(), Window::Headless, Map::new()).await
    }

    /// Starts a browser with an empty profile; `more` adds capabilities to those of the engine.
    ///
    /// # Panics
    /// If the driver or the browser cannot be started (`cargo xtask test` installs both).
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
    /// If the page does not open.
    pub async fn open(&self, url: &str) {
        self.driver.goto(url).await.expect("the page opens");
    }

    /// Leaves the page by navigation, as a click on a link does. The page then sends its last beacon.
    ///
    /// # Panics
    /// If the navigation fails.
    pub async fn leave(&self) {
        self.driver.goto("about:blank").await.expect("the page can be left");
    }

    /// Hides the page by opening a new tab in front of it.
    ///
    /// # Panics
    /// If no tab can be opened.
    pub async fn hide(&self) {
        let tab = self.driver.new_tab().await.expect("a tab opens");
        self.driver.switch_to_window(tab).await.expect("the tab comes to the front");
    }

    /// Clicks the middle of an element. The click is a trusted event.
    ///
    /// # Panics
    /// If no element matches the selector.
    pub async fn click(&self, css: &str) {
        let element = self.driver.find(By::Css(css)).await.expect("the element is there");
        element.click().await.expect("it can be clicked");
    }

    /// Runs a script and returns its result.
    ///
    /// # Panics
    /// If the script throws.
    pub async fn run(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.expect("the script runs").json().clone()
    }

    /// Waits until an expression is truthy, and returns its value.
    pub async fn until(&self, expression: &str) -> Value {
        self.until_within(PATIENCE, expression).await
    }

    /// As [`Browser::until`], with a given timeout.
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

    /// Returns a field, such as `startTime`, of all buffered performance entries of a type.
    ///
    /// # Panics
    /// If the script fails.
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

    /// Gives the page a width and a height in CSS pixels. Returns the width that it has then: engines but Chromium cannot
    /// make a window narrower than about 450 pixels.
    ///
    /// # Panics
    /// If the browser refuses.
    pub async fn resize(&self, width: u32, height: u32) -> u32 {
        if self.engine == Engine::Chromium {
            let metrics =
                json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
            self.command("Emulation.setDeviceMetricsOverride", metrics).await;
        } else {
            let frame = self.run("return [outerWidth - innerWidth, outerHeight - innerHeight]").await;
            let frame =
                |side: usize| frame[side].as_u64().and_then(|pixels| u32::try_from(pixels).ok()).unwrap_or(0);
            self.driver
                .set_window_rect(0, 0, width + frame(0), height + frame(1))
                .await
                .expect("the window is resized");
        }
        let inner = self.run("return innerWidth").await;
        inner.as_u64().and_then(|pixels| u32::try_from(pixels).ok()).expect("a width")
    }

    /// Returns what the page was refused, by its Content Security Policy or otherwise, since the last call. Only Chromium's
    /// driver has a log.
    pub async fn refusals(&self) -> Vec<Value> {
        if self.engine != Engine::Chromium {
            return Vec::new();
        }
        let mut entries = self.log("browser").await;
        entries.retain(|entry| entry["level"] == "SEVERE");
        entries
    }

    /// Returns the driver's log entries since the last call. Chromium only.
    ///
    /// # Panics
    /// If the driver has no such log.
    pub async fn log(&self, kind: &str) -> Vec<Value> {
        let url = format!("http://127.0.0.1:{}/session/{}/se/log", self.port, self.driver.session_id());
        let answer = reqwest::Client::new().post(url).json(&serde_json::json!({"type": kind})).send();
        let mut answer: Value = answer.await.expect("the driver answers").json().await.expect("JSON");
        match answer["value"].take() {
            Value::Array(entries) => entries,
            other => panic!("the driver has no log `{kind}`: {other}"),
        }
    }

    /// Sends a Chrome DevTools Protocol command. Chromium only.
    ///
    /// # Panics
    /// If the browser refuses the command.
    pub async fn command(&self, name: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(name, parameters).await.expect("the browser takes the command")
    }

    /// Ends the session.
    ///
    /// # Panics
    /// If the session does not end.
    pub async fn quit(self) {
        self.driver.clone().quit().await.expect("the session ends");
    }
}

/// Ends the session of a test that failed before `quit`. Killing chromedriver would leave its browser running, and
/// thirtyfour's own cleanup would block the runtime that it waits for.
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
            // Ignores the error: the test has failed already.
            let _: std::io::Result<usize> = end();
        }
    }
}
