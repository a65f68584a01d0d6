//! The local Chromium: finds it, starts it with an empty profile, and ends it.

use super::cdp::{Cdp, CdpError};
use crate::exit::Failure;
use crate::output::plain;
use serde_json::{Value, json};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The names of the program, of Chromium first.
const NAMES: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome-headless-shell",
    "microsoft-edge",
];
/// Programs outside of the search path.
const PATHS: [&str; 2] = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];
/// Longest start of the browser: a cold one on a small machine takes seconds.
const START: Duration = Duration::from_secs(60);
/// Longest orderly end.
const END: Duration = Duration::from_secs(5);
/// Last bytes of the browser's messages, in which a failure looks for a line to show.
const SAID_BYTES_MAX: u64 = 64 * 1024;

/// Starts the program with the pipe as its file handles 3 and 4, where Chromium expects it. The shell moves them there,
/// because the standard library only sets the first three.
const SCRIPT: &str = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >&2";

/// Options without which a browser asks, updates itself, or slows down in the background.
const OPTIONS: [&str; 15] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-component-update",
    "--disable-default-apps",
    // Containers often have a small /dev/shm.
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--mute-audio",
    "--password-store=basic",
];

/// A running browser.
pub(super) struct Chromium {
    pub(super) cdp: Cdp,
    /// `Chrome/142.0.7444.59`
    pub(super) product: String,
    /// The browser's own name in requests.
    pub(super) user_agent: String,
    child: Child,
    profile: TempDir,
}

impl Chromium {
    /// Starts a browser with an empty profile.
    ///
    /// # Errors
    /// If there is none, or it does not start; the hint says what to install or to change.
    pub(super) async fn start(program: Option<&Path>, no_sandbox: bool) -> Result<Self, Failure> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => found()?,
        };
        let shown = plain(&program.to_string_lossy());
        let failed = |why: String| {
            Failure::usage(
                format!("{shown} does not start: {why}"),
                "Name a Chromium or Chrome by --chromium or FIELDVITALS_CHROMIUM.",
            )
        };
        let profile =
            tempfile::tempdir().map_err(|error| failed(format!("no folder for its profile: {error}")))?;
        let said = profile.path().join("fieldvitals.log");
        let log = std::fs::File::create(&said).map_err(|error| failed(format!("no log: {error}")))?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT]).arg(&program).args(OPTIONS);
        if no_sandbox {
            command.arg("--no-sandbox");
        }
        command
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("it has no pipe".to_owned()));
        };
        let mut cdp = Cdp::new(input, output);
        let version = tokio::time::timeout(START, cdp.call("", "Browser.getVersion", json!({}))).await;
        let version = match version {
            Ok(Ok(version)) => version,
            Ok(Err(error)) => {
                let said = last_words(&said);
                if said.contains("no-sandbox") {
                    return Err(Failure::usage(
                        format!("{shown} does not start as root with its sandbox"),
                        "Run the command as another user, or add --no-sandbox if you trust the pages.",
                    ));
                }
                return Err(failed(if said.is_empty() { error.to_string() } else { said }));
            }
            Err(_) => return Err(failed(format!("no answer within {} s", START.as_secs()))),
        };
        let text = |key: &str| version.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self { product: text("product"), user_agent: text("userAgent"), cdp, child, profile })
    }

    /// Describes a failure of the browser.
    pub(super) fn broken(&self, error: &CdpError) -> Failure {
        let said = match error {
            CdpError::Ended => last_words(&self.profile.path().join("fieldvitals.log")),
            _ => String::new(),
        };
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Failure::unreachable(
            format!("{error}{said}"),
            "Try again; if it happens again, try another Chromium.",
        )
    }

    /// Ends the browser and removes its profile.
    pub(super) async fn close(mut self) {
        let ended = async {
            // The answer may be lost, as the browser ends.
            drop(self.cdp.call("", "Browser.close", json!({})).await);
            self.child.wait().await
        };
        if !matches!(tokio::time::timeout(END, ended).await, Ok(Ok(_))) {
            // Waits for the end, so that nothing writes into the profile that is removed.
            drop(self.child.kill().await);
        }
    }
}

/// The last line of the browser's messages that says something.
fn last_words(log: &Path) -> String {
    let mut said = Vec::new();
    if let Ok(mut file) = std::fs::File::open(log) {
        // What can be read is shown.
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        drop(file.seek(SeekFrom::Start(bytes.saturating_sub(SAID_BYTES_MAX))));
        drop(file.take(SAID_BYTES_MAX).read_to_end(&mut said));
    }
    let said = String::from_utf8_lossy(&said);
    // The bus of a desktop is missing on every server.
    let mut lines = said.lines().filter(|line| !line.trim().is_empty() && !line.contains("dbus"));
    plain(lines.next_back().unwrap_or_default())
}

/// Finds a browser on the search path.
fn found() -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places =
        NAMES.iter().flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    places.find(|place| place.is_file()).or_else(|| PATHS.map(PathBuf::from).into_iter().find(|place| place.is_file())).ok_or_else(
        || {
            Failure::usage(
                "no Chromium or Chrome on the search path, which --lab opens pages in",
                "Install one (Debian: apt install chromium), or name it by --chromium or FIELDVITALS_CHROMIUM.",
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_of_a_long_log_are_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("fieldvitals.log");
        assert_eq!(last_words(&log), "");
        for noise in [0, 1, 5_000] {
            let text = "a message of no interest\n".repeat(noise) + "the reason\n\nno dbus\n";
            std::fs::write(&log, text).unwrap();
            assert_eq!(last_words(&log), "the reason", "{noise} lines before");
        }
    }
}
