//! Every test, in parts, fast ones first.

use crate::programs::{self, Programs, TestProgram};
use crate::run::{cargo, find_program, run, say, seconds, succeeds_within};
use crate::{browsers, clients, deny, duckdb, npm, postgres, recipes, room, size, tidy, toolchain};
use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One part of the tests.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Rules of the source that the compiler does not know.
    Tidy,
    /// rustfmt has nothing to change.
    Fmt,
    /// clippy has nothing to say.
    Clippy,
    /// Licences and sources of the dependencies.
    Deny,
    /// The collector builds, keeps within its bounds, and a bundler can use it.
    Collector,
    /// The tests of every crate but the Postgres store that need neither browser nor server.
    Unit,
    /// The Postgres store with the oldest and the newest supported Postgres.
    Postgres,
    /// A real browser against the real server.
    E2e,
    /// What is measured in three engines, beside a reference and the truth.
    Browsers,
    /// The end-to-end tests of the dashboard in Firefox. Not among the parts that run without a name, because `e2e` runs
    /// them in Chromium.
    Firefox,
    /// The recipes of docs/recipes.md in apps of their frameworks. Runs by name only.
    Recipes,
}

/// The parts that run without a name.
const ALL: [Part; 9] = [
    Part::Tidy,
    Part::Fmt,
    Part::Clippy,
    Part::Deny,
    Part::Collector,
    Part::Unit,
    Part::Postgres,
    Part::E2e,
    Part::Browsers,
];

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Tidy => "tidy",
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Deny => "deny",
            Self::Unit => "unit",
            Self::Postgres => "postgres",
            Self::Collector => "collector",
            Self::E2e => "e2e",
            Self::Browsers => "browsers",
            Self::Firefox => "firefox",
            Self::Recipes => "recipes",
        }
    }

    fn run(self, tests: &mut Tests, arguments: &[String]) -> Result<()> {
        match self {
            Self::Tidy => tidy::tidy(),
            Self::Fmt => {
                component("fmt", "rustfmt")?;
                run(cargo().args(["fmt", "--all", "--check"]))
            }
            Self::Clippy => {
                component("clippy", "clippy")?;
                run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
            }
            Self::Deny => deny::check(),
            Self::Collector => {
                size::check(&tests.programs()?.collector)?;
                npm::test()
            }
            Self::Unit => {
                toolchain::for_faults()?;
                let doc = cargo_doc_tests();
                let programs = tests.select(|program| !program.is_of(E2E) && !program.is_of(POSTGRES))?;
                tests.run(programs.iter().map(TestProgram::command).chain([doc]))
            }
            Self::Postgres => {
                toolchain::for_faults()?;
                let programs = tests.select(|program| program.is_of(POSTGRES))?;
                let versions = postgres::versions()?;
                tests.run(versions.iter().flat_map(|version| {
                    programs.iter().map(move |program| {
                        let mut command = program.command();
                        command.envs(version.iter().map(|version| (postgres::BIN, version)));
                        command.env("PROPTEST_CASES", postgres::HISTORIES);
                        command
                    })
                }))
            }
            Self::E2e => {
                let chromium = toolchain::program("chromium", "chromium")?;
                let driver = toolchain::program("chromedriver", "chromium-driver")?;
                toolchain::program("npm", "npm")?;
                toolchain::program("prometheus", "prometheus")?;
                toolchain::for_faults()?;
                toolchain::for_alerts()?;
                toolchain::for_proxies()?;
                let (axe, clients, duckdb) = (browsers::axe()?, clients::fetch()?, duckdb::python()?);
                say(format!("the browser is {}, its driver {}", chromium.display(), driver.display()));
                let programs = tests.select(|program| program.is_of(E2E) && !program.has(E2E, BROWSERS))?;
                let server = tests.programs()?.server.clone();
                tests.run(programs.iter().map(|program| {
                    let mut command = program.command();
                    command.env("FIELDVITALS_BIN", &server);
                    command.env("FIELDVITALS_AXE", &axe).env("FIELDVITALS_CLIENTS", &clients);
                    command.env("FIELDVITALS_DUCKDB", &duckdb);
                    command
                }))
            }
            Self::Firefox => {
                let (variables, clients, axe) = (browsers::install()?, clients::fetch()?, browsers::axe()?);
                let is_dashboard =
                    |program: &TestProgram| DASHBOARD.iter().any(|name| program.has(E2E, name));
                let programs = tests.select(is_dashboard)?;
                let server = tests.programs()?.server.clone();
                tests.run(programs.iter().map(|program| {
                    let mut command = program.command();
                    command.env("FIELDVITALS_BIN", &server).env("FIELDVITALS_ENGINE", "firefox");
                    command.env("FIELDVITALS_CLIENTS", &clients).env("FIELDVITALS_AXE", &axe);
                    command.envs(variables.clone());
                    command
                }))
            }
            Self::Browsers => {
                let variables = browsers::install()?;
                let programs = tests.select(|program| program.has(E2E, BROWSERS))?;
                let server = tests.programs()?.server.clone();
                tests.run(programs.iter().map(|program| {
                    let mut command = program.command();
                    command.args(arguments).env("FIELDVITALS_BIN", &server).envs(variables.clone());
                    command
                }))
            }
            Self::Recipes => {
                toolchain::program("chromium", "chromium")?;
                toolchain::program("chromedriver", "chromium-driver")?;
                let apps = recipes::build()?;
                let programs = tests.select(|program| program.has(E2E, RECIPES))?;
                let server = tests.programs()?.server.clone();
                tests.run(programs.iter().map(|program| {
                    let mut command = program.command();
                    command.env("FIELDVITALS_BIN", &server).env("FIELDVITALS_RECIPES", &apps);
                    command
                }))
            }
        }
    }
}

/// The package of the Postgres store.
const POSTGRES: &str = "fieldvitals-store-postgres";
/// The package of the end-to-end tests.
const E2E: &str = "fieldvitals-tests";
/// Its test program with three engines.
const BROWSERS: &str = "browsers";
/// Its test programs of the dashboard.
const DASHBOARD: [&str; 3] = ["charts", "dashboard", "managing"];
/// Its test program with apps of frameworks.
const RECIPES: &str = "recipes";

/// Returns the command for the examples in documentation. `--workspace` keeps the features of the other tests.
fn cargo_doc_tests() -> Command {
    let mut command = cargo();
    command.args(["test", "--doc", "--no-fail-fast", "--workspace"]);
    command
}

/// Runs one part, or [`ALL`]; stops at the first that fails, and names it. The arguments are those of `browsers`.
pub(crate) fn test(only: Option<Part>, random: bool, arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() && only != Some(Part::Browsers) {
        bail!("{} belongs to `cargo xtask test browsers`", arguments.join(" "));
    }
    if only.is_none() {
        room::look_before_testing();
    }
    let started = Instant::now();
    let mut tests = Tests { seed: random.then(seed), ..Tests::default() };
    if let Some(seed) = tests.seed {
        say(format!("property tests search from {SEED}={seed}"));
    }
    let mut durations = Vec::new();
    let mut result = Ok(());
    for part in only.map_or_else(|| ALL.to_vec(), |part| vec![part]) {
        say(format!("===== {} =====", part.name()));
        let part_started = Instant::now();
        result =
            part.run(&mut tests, arguments).with_context(|| format!("the part `{}` failed", part.name()));
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        say(format!("{}: {outcome}, {}", part.name(), seconds(part_started.elapsed())));
        durations.push((part, outcome, part_started.elapsed()));
        if result.is_err() {
            break;
        }
    }
    let mut out = std::io::stdout();
    writeln!(out, "\npart       result        time")?;
    for (part, outcome, duration) in durations {
        writeln!(out, "{:<10} {outcome:<7} {:>10}", part.name(), seconds(duration))?;
    }
    // In the words of cargo's own test runner, summed over all of its runs.
    writeln!(
        out,
        "\ntest result: {}. {} passed; {} failed; {} ignored; finished in {:.2}s",
        if result.is_ok() { "ok" } else { "FAILED" },
        tests.counts.passed,
        tests.counts.failed,
        tests.counts.ignored,
        started.elapsed().as_secs_f64()
    )?;
    result
}

/// Sums of the summaries that Rust's test runner prints.
#[derive(Default)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Number of test programs that run at once. Each runs as many tests at once as there are cores, and most of those
/// wait: for a process, for a database, for an animation of a page.
const SIDE_BY_SIDE: usize = 2;

/// The variable that proptest reads its seed from.
const SEED: &str = "PROPTEST_RNG_SEED";

/// Another seed for each run.
fn seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs()
}

/// The tests of one run of this command.
#[derive(Default)]
struct Tests {
    /// Set by the first part that needs them.
    programs: Option<Programs>,
    counts: Counts,
    /// Start of property tests, if not the usual one (`.cargo/config.toml`).
    seed: Option<u64>,
}

impl Tests {
    /// Builds the programs, unless an earlier part did.
    fn programs(&mut self) -> Result<&Programs> {
        if self.programs.is_none() {
            self.programs = Some(programs::build()?);
        }
        self.programs.as_ref().context("the programs were built")
    }

    fn select(&mut self, belongs: impl Fn(&TestProgram) -> bool) -> Result<Vec<TestProgram>> {
        let tests = &self.programs()?.tests;
        let selected: Vec<TestProgram> = tests.iter().filter(|program| belongs(program)).cloned().collect();
        if selected.is_empty() {
            bail!("cargo built none of the test programs of this part");
        }
        Ok(selected)
    }

    /// Runs test programs, [`SIDE_BY_SIDE`] at a time; passes their output through, each line behind the name of its
    /// program. Fails after the last one.
    fn run(&mut self, commands: impl IntoIterator<Item = Command>) -> Result<()> {
        let mut waiting: VecDeque<Command> = commands.into_iter().collect();
        for command in &mut waiting {
            command.envs(self.seed.map(|seed| (SEED, seed.to_string())));
        }
        let (waiting, counts) = (Mutex::new(waiting), Mutex::new(&mut self.counts));
        let next = || waiting.lock().ok()?.pop_front();
        let worker = || -> Result<Vec<String>> {
            let mut failed = Vec::new();
            while let Some(mut command) = next() {
                let path = command.get_program().to_string_lossy().into_owned();
                say(format!("running {path}"));
                let name = target_name(&path);
                let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run the tests")?;
                let stdout = child.stdout.take().context("standard output was asked for")?;
                for line in BufReader::new(stdout).lines() {
                    let line = line?;
                    writeln!(std::io::stdout(), "{name}: {line}")?;
                    counts.lock().map_err(|_| anyhow!("a test program could not be run"))?.add(&line);
                }
                let status = child.wait()?;
                if !status.success() {
                    failed.push(format!("{path} ended with {status}"));
                }
            }
            Ok(failed)
        };
        let mut failed = Vec::new();
        for ended in
            std::thread::scope(|scope| [(); SIDE_BY_SIDE].map(|()| scope.spawn(worker)).map(|w| w.join()))
        {
            failed.extend(ended.map_err(|_| anyhow!("a test program could not be run"))??);
        }
        if !failed.is_empty() {
            bail!("{}", failed.join("\n"));
        }
        Ok(())
    }
}

/// The name of a test program's target: its file name without the hash that cargo adds.
fn target_name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.rsplit_once('-').map_or(file, |(name, _)| name)
}

impl Counts {
    fn add(&mut self, line: &str) {
        let Some(summary) = line.strip_prefix("test result: ") else { return };
        let count = |what: &str| -> u64 {
            summary
                .split(['.', ';'])
                .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
                .unwrap_or(0)
        };
        self.passed += count("passed");
        self.failed += count("failed");
        self.ignored += count("ignored");
    }
}

/// Makes sure of a component of the toolchain.
fn component(subcommand: &str, name: &str) -> Result<()> {
    let has = || succeeds_within(cargo().args([subcommand, "--version"]), Duration::from_secs(30));
    if has() {
        return Ok(());
    }
    if find_program("rustup").is_none() {
        bail!("`cargo {subcommand}` is missing; install {name} (on Debian: the package {name})");
    }
    run(Command::new("rustup").args(["component", "add", name]).current_dir(crate::run::root()))?;
    if !has() {
        bail!("`cargo {subcommand}` does not run, though rustup has added {name}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_summed() {
        let mut counts = Counts::default();
        for line in [
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test a_test ... ok",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ] {
            counts.add(line);
        }
        assert_eq!((counts.passed, counts.failed, counts.ignored), (15, 2, 1));
    }
}
