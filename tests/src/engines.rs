//! Browser engines: the driver, the capabilities and the display of each.

use serde_json::{Map, Value, json};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use thirtyfour::Capabilities;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A browser engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Chromium, through chromedriver.
    Chromium,
    /// Firefox, through geckodriver.
    Firefox,
    /// WebKit's GTK port in MiniBrowser, through WebKitWebDriver. It has no headless mode.
    WebKit,
}

/// Display of a browser's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// No window, if the engine has a headless mode.
    Headless,
    /// On a virtual display.
    Headed,
}

impl Engine {
    /// All engines.
    pub const ALL: [Self; 3] = [Self::Chromium, Self::Firefox, Self::WebKit];

    /// Returns the engine that the environment variable `FIELDVITALS_ENGINE` names, for tests that run in one engine;
    /// Chromium if it is not set.
    ///
    /// # Panics
    /// If no engine has this name.
    #[must_use]
    pub fn chosen() -> Self {
        let Ok(name) = std::env::var("FIELDVITALS_ENGINE") else { return Self::Chromium };
        Self::ALL
            .into_iter()
            .find(|engine| engine.name() == name)
            .unwrap_or_else(|| panic!("no engine is named {name}"))
    }

    /// Returns the name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
            Self::WebKit => "webkit",
        }
    }

    /// Returns the driver's program.
    fn program(self) -> PathBuf {
        match self {
            Self::Chromium => "chromedriver".into(),
            Self::Firefox => geckodriver(),
            Self::WebKit => "WebKitWebDriver".into(),
        }
    }

    /// Returns the capabilities of a session with this profile folder, extended by `more`.
    #[must_use]
    pub fn capabilities(self, window: Window, profile: &Path, more: Map<String, Value>) -> Capabilities {
        let headless = |argument: &str| (window == Window::Headless).then(|| argument.to_owned());
        let mut wanted = Map::new();
        match self {
            Self::Chromium => {
                let mut args: Vec<String> = [
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--window-size=1000,800",
                ]
                .map(str::to_owned)
                .into();
                args.push(format!("--user-data-dir={}", profile.display()));
                args.extend(headless("--headless=new"));
                wanted.insert("browserName".to_owned(), "chrome".into());
                wanted.insert("goog:chromeOptions".to_owned(), json!({"args": args}));
                wanted.insert("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"}));
            }
            Self::Firefox => {
                // geckodriver creates a profile under this folder (see `start`).
                let args: Vec<String> = headless("-headless").into_iter().collect();
                wanted.insert("browserName".to_owned(), "firefox".into());
                wanted.insert("moz:firefoxOptions".to_owned(), json!({"args": args}));
            }
            Self::WebKit => {
                let options = json!({"binary": mini_browser(), "args": ["--automation"]});
                wanted.insert("webkitgtk:browserOptions".to_owned(), options);
            }
        }
        // Merges one level down, so that `more` can add options without replacing the others.
        for (name, value) in more {
            match (wanted.get_mut(&name), value) {
                (Some(Value::Object(options)), Value::Object(more)) => options.extend(more),
                (_, value) => drop(wanted.insert(name, value)),
            }
        }
        Capabilities::from(wanted)
    }

    /// Returns whether a window of this kind needs a display.
    #[must_use]
    pub fn needs_display(self, window: Window) -> bool {
        self == Self::WebKit || window == Window::Headed
    }

    /// Starts the driver; returns its process and its port.
    ///
    /// # Panics
    /// If the driver cannot be started; the message says how to install it.
    pub async fn start(self, display: Option<&Display>, profile: &Path) -> (Child, u16) {
        let port = free_port();
        let mut driver = Command::new(self.program());
        driver.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        match self {
            // A killed browser leaves temporary files; they are deleted with the profile.
            Self::Chromium => driver.arg(format!("--port={port}")).env("TMPDIR", profile),
            Self::Firefox => driver
                .args(["--port", &port.to_string(), "--websocket-port", &free_port().to_string()])
                .arg("--profile-root")
                .arg(profile),
            Self::WebKit => driver
                .arg(format!("--port={port}"))
                .env("HOME", profile)
                // The tests run as root in containers, without a graphics card.
                .env("WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS", "1")
                .env("WEBKIT_DISABLE_COMPOSITING_MODE", "1"),
        };
        if let Some(display) = display {
            driver.env("DISPLAY", &display.name);
        }
        let child = driver.spawn().unwrap_or_else(|error| {
            panic!(
                "{} cannot be run ({error}): `cargo xtask test browsers` installs it",
                self.program().display()
            )
        });
        crate::eventually(|| async {
            tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .map(drop)
                .map_err(|error| format!("{}: {error}", self.name()))
        })
        .await;
        (child, port)
    }
}

/// A virtual display. Dropping it ends Xvfb.
pub struct Display {
    /// Value of `DISPLAY`.
    name: String,
    _server: Child,
}

impl Display {
    /// Starts Xvfb on a free display number.
    ///
    /// # Panics
    /// If Xvfb cannot be started.
    pub async fn start() -> Self {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1200x1000x24", "-nolisten", "tcp"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Xvfb can be run: Debian's package xvfb");
        let mut lines = BufReader::new(server.stdout.take().expect("its output is piped")).lines();
        let number = lines.next_line().await.expect("Xvfb's output").expect("Xvfb says its display's number");
        Self { name: format!(":{}", number.trim()), _server: server }
    }
}

/// Finds geckodriver: `FIELDVITALS_GECKODRIVER`, else the one of `cargo xtask test browsers`, else the search path.
fn geckodriver() -> PathBuf {
    if let Some(path) = std::env::var_os("FIELDVITALS_GECKODRIVER") {
        return path.into();
    }
    std::env::current_exe()
        .ok()
        .and_then(|test| Some(test.ancestors().nth(3)?.join("tools/bin/geckodriver")))
        .filter(|path| path.exists())
        .unwrap_or_else(|| "geckodriver".into())
}

/// Returns the path of WebKit's MiniBrowser, in a folder named after the machine's architecture.
fn mini_browser() -> Value {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let found = folders
        .flat_map(|folder| {
            ["webkit2gtk-4.1", "webkitgtk-6.0", "webkit2gtk-4.0"]
                .map(|api| folder.path().join(api).join("MiniBrowser"))
        })
        .find(|file| file.is_file());
    found.expect("MiniBrowser is installed: Debian's package webkit2gtk-driver").display().to_string().into()
}

/// Returns a TCP port that is free at the moment of the call.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    listener.local_addr().expect("its address").port()
}
