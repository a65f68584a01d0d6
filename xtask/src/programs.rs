//! The test programs of the workspace and the server, from one build. With a build per part, each part would compile
//! the dependencies again with other features.

use crate::collector::{self, Collector};
use crate::run::{cargo, say};
use crate::serve::COLLECTOR_DIR;
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The programs of one build.
pub(crate) struct Programs {
    /// The files that the server embeds.
    pub(crate) collector: Collector,
    /// The server.
    pub(crate) server: PathBuf,
    /// The test programs, in the order of their builds.
    pub(crate) tests: Vec<TestProgram>,
}

/// A test program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestProgram {
    /// The folder of its package.
    folder: PathBuf,
    /// The name of its package.
    package: String,
    /// The name of the test target, or of the library or the program whose unit tests it has.
    target: String,
    file: PathBuf,
}

impl TestProgram {
    /// Whether the program belongs to a package.
    pub(crate) fn is_of(&self, package: &str) -> bool {
        self.package == package
    }

    /// Whether the program has the tests of a file in `tests`.
    pub(crate) fn has(&self, package: &str, target: &str) -> bool {
        self.is_of(package) && self.target == target
    }

    /// Returns the command that runs the tests like `cargo test` does: in the folder of their package.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.file);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

/// A line of cargo's output with `--message-format=json`, as far as it is read here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    executable: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

impl Message {
    /// The program that the message announces, and whether it is a test program.
    fn program(self) -> Option<(TestProgram, bool)> {
        if self.reason != "compiler-artifact" {
            return None;
        }
        let folder = self.manifest_path.parent()?.to_owned();
        let package = package_name(&self.manifest_path)?;
        let program = TestProgram { folder, package, target: self.target?.name, file: self.executable? };
        Some((program, self.profile?.test))
    }
}

fn package_name(manifest: &Path) -> Option<String> {
    let manifest: toml::Table = std::fs::read_to_string(manifest).ok()?.parse().ok()?;
    Some(manifest.get("package")?.get("name")?.as_str()?.to_owned())
}

/// What is built. `--tests` leaves out the tests in browsers, because a plain `cargo test` does.
const BUILDS: [&[&str]; 2] = [&["--tests", "--bin", "fieldvitals"], &["--test", "browsers"]];

/// Builds the collector, the server that embeds it, and all test programs.
pub(crate) fn build() -> Result<Programs> {
    let collector = collector::build()?;
    say("building the server and all tests; the first time it takes some minutes");
    let dir = collector.dir.canonicalize().context("the collector was built and is gone")?;
    let (mut server, mut tests) = (None, Vec::new());
    for targets in BUILDS {
        for (program, is_test) in build_targets(targets, &dir)? {
            if is_test {
                tests.push(program);
            } else if program.target == "fieldvitals" {
                server = Some(program.file);
            }
        }
    }
    let server = server.context("cargo built no `fieldvitals`")?;
    Ok(Programs { collector, server, tests })
}

/// Builds some targets of the workspace; returns the programs, and whether each is a test program.
fn build_targets(targets: &[&str], collector: &Path) -> Result<Vec<(TestProgram, bool)>> {
    let mut build = cargo();
    build
        .args(["build", "--workspace", "--message-format=json-render-diagnostics"])
        .args(targets)
        .env(COLLECTOR_DIR, collector)
        .stdout(Stdio::piped());
    let mut child = build.spawn().context("cannot run cargo")?;
    let stdout = child.stdout.take().context("standard output was asked for")?;
    let mut programs = Vec::new();
    for line in BufReader::new(stdout).lines() {
        // Build scripts may print other lines.
        let Ok(message) = serde_json::from_str::<Message>(&line?) else { continue };
        programs.extend(message.program());
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`cargo build` ended with {status}");
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn program(executable: &serde_json::Value, is_test: bool) -> Option<(TestProgram, bool)> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let line = json!({
            "reason": "compiler-artifact", "package_id": "xtask", "manifest_path": manifest,
            "target": {"kind": ["bin"], "name": "xtask"}, "profile": {"test": is_test}, "executable": executable,
        });
        serde_json::from_str::<Message>(&line.to_string()).unwrap().program()
    }

    #[test]
    fn test_program_is_read_from_the_output_of_cargo() {
        let (built, is_test) = program(&json!("/target/debug/deps/xtask-1"), true).unwrap();
        assert!(is_test && built.has("xtask", "xtask") && !built.has("xtask", "other"), "{built:?}");
        assert_eq!(built.command().get_current_dir(), Some(Path::new(env!("CARGO_MANIFEST_DIR"))));
        assert!(!program(&json!("/target/debug/xtask"), false).unwrap().1);
    }

    #[test]
    fn message_without_a_program_is_ignored() {
        assert_eq!(program(&json!(null), true), None);
        let finished =
            serde_json::from_str::<Message>(r#"{"reason":"build-finished","success":true}"#).unwrap();
        assert_eq!(finished.program(), None);
    }
}
