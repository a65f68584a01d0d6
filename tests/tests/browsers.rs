//! The three-engine suite: `cargo xtask test browsers`.
//!
//! Runs every scenario in every supporting engine, with the collector, the web-vitals library and an independent
//! observer on the same load. Prints scenario × engine × metric with the collector's value, the reference's and the
//! truth. Fails on a difference without a known reason.
//!
//! Runs every condition of third-party pages, many conditions in one browser. Prints condition × engine × metric with
//! the value without the condition, the value with it, and the correct value.
//!
//! Arguments: words that a test's name (`scenario/engine`, `condition:name/engine`) must contain; `one|other` matches
//! either word. `--inp-on-hide N` runs only that scenario, N times each in headless and in headed Chromium.

use fieldvitals_tests::engines::{Engine, Window};
use fieldvitals_tests::scenarios::Scenario;
use fieldvitals_tests::scenarios::behaviours::{Behaviour, behaviours};
use fieldvitals_tests::scenarios::conditions::judge::{Line, Stored};
use fieldvitals_tests::scenarios::conditions::{self, Condition, PLAIN, Run};
use fieldvitals_tests::scenarios::lab::{Capture, Lab};
use fieldvitals_tests::scenarios::list::SCENARIOS;
use fieldvitals_tests::scenarios::seen::Seen;
use fieldvitals_tests::scenarios::verdict::{Row, judge, measured, table};
use fieldvitals_tests::server::Server;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Number of parallel browsers. They mostly wait, but more of them would disturb each other's measured times.
const AT_ONCE: usize = 3;

/// Scenarios in which parts of the collector cannot run, or start late.
const DIFFICULT: [&str; 5] = ["wasm-forbidden", "wasm-missing", "all-missing", "late-script", "iframe"];

/// Number of conditions that share a browser.
const SHARING: usize = 16;

/// Maximum number of failures that are run again without other browsers.
const ALONE_MAX: usize = 5;

/// A test: a measured page, a behavior with its own checks, or conditions that share a browser.
#[derive(Clone)]
enum Test {
    Measured(&'static Scenario),
    Judged(&'static Behaviour),
    Sharing(Vec<&'static Condition>),
}

/// A test to run in a browser.
#[derive(Clone)]
struct Job {
    test: Test,
    engine: Engine,
    window: Window,
}

impl Job {
    fn name(&self) -> String {
        let window = if self.window == Window::Headed { "-headed" } else { "" };
        let test = match &self.test {
            Test::Measured(scenario) => scenario.name,
            Test::Judged(behaviour) => behaviour.name,
            Test::Sharing(conditions) => {
                return format!("{} conditions/{}", conditions.len(), self.engine.name());
            }
        };
        format!("{test}/{}{window}", self.engine.name())
    }
}

fn name_of(condition: &Condition, engine: Engine) -> String {
    format!("condition:{}/{}", condition.name, engine.name())
}

struct Outcome {
    name: String,
    /// The job that repeats the test.
    job: Job,
    /// For a condition: its run.
    condition: Option<(&'static Condition, Run)>,
    lines: Vec<Line>,
    rows: Vec<Row>,
    /// Lines about the metrics still measured, for [`DIFFICULT`] scenarios.
    measured: Vec<String>,
    wrong: Vec<String>,
}

impl Outcome {
    fn is_ok(&self) -> bool {
        self.wrong.is_empty() && !self.rows.iter().any(|row| row.failed)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let started = Instant::now();
    std::fs::create_dir_all(folder()).expect("target/ can be written");
    let lab = Arc::new(Lab::start(Arc::new(Server::start().await), library()));
    lab.restrict().await;
    let outcomes = match arguments.as_slice() {
        [option, times] if option == "--inp-on-hide" => {
            run(&lab, inp_on_hide(times.parse().expect("a number"))).await
        }
        words => {
            let jobs = every(words);
            let outcomes = run(&lab, jobs).await;
            alone(&lab, outcomes).await
        }
    };

    let mut out = std::io::stdout();
    let rows: Vec<Row> = outcomes.iter().flat_map(|outcome| outcome.rows.clone()).collect();
    let mut failed = 0;
    let mut report = || -> std::io::Result<()> {
        write!(out, "\n{}\n", table(&rows))?;
        let lines: Vec<Line> = outcomes.iter().flat_map(|outcome| outcome.lines.clone()).collect();
        if !lines.is_empty() {
            write!(out, "{}\n", conditions::judge::table(&lines))?;
        }
        let json: Vec<_> = lines.iter().map(Line::json).collect();
        std::fs::write(folder().join("conditions.json"), serde_json::to_vec_pretty(&json)?)?;
        if outcomes.iter().any(|outcome| !outcome.measured.is_empty()) {
            writeln!(out, "what is still measured, by whom, and what of it is explained:\n")?;
            for line in outcomes.iter().flat_map(|outcome| &outcome.measured) {
                writeln!(out, "{line}")?;
            }
            writeln!(out)?;
        }
        for (name, told, all) in reported(&outcomes) {
            writeln!(out, "{name}: our collector told INP in {told} of {all}")?;
        }
        for outcome in &outcomes {
            let ok = outcome.is_ok();
            failed += usize::from(!ok);
            writeln!(out, "test {} ... {}", outcome.name, if ok { "ok" } else { "FAILED" })?;
            for wrong in &outcome.wrong {
                writeln!(out, "    {wrong}")?;
            }
        }
        let file = folder().join("table.json");
        let json: Vec<_> = rows.iter().map(Row::json).collect();
        std::fs::write(&file, serde_json::to_vec_pretty(&json)?)?;
        writeln!(
            out,
            "\nthe table is in {}, what the pages sent beside it\n\ntest result: {}. {} passed; {failed} failed; 0 ignored; finished in {:.2}s",
            file.display(),
            if failed == 0 { "ok" } else { "FAILED" },
            outcomes.len() - failed,
            started.elapsed().as_secs_f64()
        )
    };
    report().expect("standard output and target/ can be written");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns for each repeated scenario its name, the number of runs with an INP of the collector, and the number of
/// runs.
fn reported(outcomes: &[Outcome]) -> Vec<(String, usize, usize)> {
    let mut sums: Vec<(String, usize, usize)> = Vec::new();
    for outcome in outcomes {
        if outcome.condition.is_some() {
            continue;
        }
        let told = outcome.rows.iter().any(|row| row.metric == "INP" && row.ours.is_some());
        match sums.iter_mut().find(|(name, ..)| *name == outcome.name) {
            Some((_, sum, all)) => {
                *sum += usize::from(told);
                *all += 1;
            }
            None => sums.push((outcome.name.clone(), usize::from(told), 1)),
        }
    }
    sums.retain(|&(.., all)| all > 1);
    sums
}

/// Returns the jobs of every scenario, behavior and condition in every engine, filtered by these words.
fn every(words: &[String]) -> Vec<Job> {
    let scenarios = SCENARIOS.iter().map(|scenario| (Test::Measured(scenario), scenario.engines));
    let behaviours = behaviours().map(|behaviour| (Test::Judged(behaviour), behaviour.engines));
    let jobs = scenarios.chain(behaviours).flat_map(|(test, engines)| {
        engines.iter().map(move |&engine| Job { test: test.clone(), engine, window: Window::Headless })
    });
    let is_wanted = |name: &str| words.iter().all(|word| word.split('|').any(|part| name.contains(part)));
    let mut jobs: Vec<Job> = jobs.filter(|job| is_wanted(&job.name())).collect();
    for engine in Engine::ALL {
        let can = |condition: &&Condition| condition.engines.contains(&engine);
        let mut wanted: Vec<&Condition> = conditions::all()
            .filter(can)
            .filter(|condition| is_wanted(&name_of(condition, engine)))
            .collect();
        // All other conditions are compared with the plain page.
        if !wanted.is_empty() && wanted[0].name != PLAIN.name {
            wanted.insert(0, &PLAIN);
        }
        let shared = wanted.chunks(SHARING).map(|conditions| Test::Sharing(conditions.to_vec()));
        jobs.extend(shared.map(|test| Job { test, engine, window: Window::Headless }));
    }
    jobs.sort_by_key(|job| Engine::ALL.iter().position(|&engine| engine == job.engine));
    jobs
}

/// Returns jobs with a slow interaction followed at once by hiding or leaving, this many times in each kind of window.
fn inp_on_hide(times: usize) -> Vec<Job> {
    let scenarios = SCENARIOS.iter().filter(|scenario| scenario.name.starts_with("inp-then-"));
    scenarios
        .flat_map(|scenario| {
            [Window::Headless, Window::Headed].into_iter().flat_map(move |window| {
                (0..times).map(move |_| Job {
                    test: Test::Measured(scenario),
                    engine: Engine::Chromium,
                    window,
                })
            })
        })
        .collect()
}

async fn run(lab: &Arc<Lab>, jobs: Vec<Job>) -> Vec<Outcome> {
    let (jobs, next) = (Arc::new(jobs), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (lab, jobs, next) = (Arc::clone(lab), Arc::clone(&jobs), Arc::clone(&next));
            tokio::spawn(async move {
                let mut outcomes = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(number) else { break outcomes };
                    outcomes.push((number, one(&lab, job.clone(), number).await));
                }
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for worker in workers {
        outcomes.extend(worker.await.expect("a worker ends"));
    }
    outcomes.sort_by_key(|(number, _)| *number);
    let mut outcomes: Vec<Outcome> = outcomes.into_iter().flat_map(|(_, outcomes)| outcomes).collect();
    judge_conditions(lab, &mut outcomes).await;
    outcomes
}

/// Compares the conditions' results with the correct values, and with the plain page.
async fn judge_conditions(lab: &Lab, outcomes: &mut [Outcome]) {
    let runs =
        outcomes.iter().filter_map(|outcome| outcome.condition.as_ref().map(|it| (outcome.job.engine, it)));
    let all: Vec<_> =
        runs.map(|(engine, (condition, run))| (engine, *condition, run, Stored::of(&run.captures))).collect();
    let kept: Vec<_> = all.iter().map(|(_, condition, run, stored)| (*condition, *run, stored)).collect();
    let kept = conditions::judge::compare(&lab.server, &kept).await;
    let judged: Vec<_> = all
        .iter()
        .zip(kept)
        .map(|((engine, condition, run, stored), kept)| {
            let plain = all.iter().find(|(other, plain, ..)| other == engine && plain.name == PLAIN.name);
            let plain = plain.map(|(.., stored)| stored);
            let (lines, mut wrong) = conditions::judge::judge(condition, *engine, run, stored, plain);
            wrong.extend(kept);
            (lines, wrong)
        })
        .collect();
    for (outcome, (lines, wrong)) in
        outcomes.iter_mut().filter(|outcome| outcome.condition.is_some()).zip(judged)
    {
        outcome.lines = lines;
        outcome.wrong = wrong;
    }
}

/// Runs failed tests again without other browsers, because three browsers on two cores disturb measured times. Skips
/// this after more than [`ALONE_MAX`] failures, which are no coincidence.
async fn alone(lab: &Arc<Lab>, mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
    if outcomes.iter().filter(|outcome| !outcome.is_ok()).count() > ALONE_MAX {
        return outcomes;
    }
    let count = outcomes.len();
    for (number, outcome) in outcomes.iter_mut().enumerate() {
        if !outcome.is_ok() {
            let failed: Vec<Row> = outcome.rows.iter().filter(|row| row.failed).cloned().collect();
            eprintln!("{} failed beside others: {:?} {}", outcome.name, outcome.wrong, table(&failed));
            let again = one(lab, outcome.job.clone(), count + number).await;
            *outcome = again.into_iter().next().expect("a job of one test has one outcome");
        }
    }
    judge_conditions(lab, &mut outcomes).await;
    outcomes
}

/// Writes the captures of a test to a file, for the analysis of failures.
fn leave(name: &str, captures: &[Capture]) {
    let lines: Vec<String> = captures.iter().map(Capture::line).collect();
    let file = folder().join(format!("{}.txt", name.replace(['/', ':'], "-")));
    std::fs::write(file, lines.join("\n")).expect("target/ can be written");
}

/// Runs conditions that share a browser.
async fn sharing(
    lab: &Arc<Lab>,
    conditions: Vec<&'static Condition>,
    engine: Engine,
    window: Window,
    number: usize,
) -> Vec<Outcome> {
    let (shared, wanted) = (Arc::clone(lab), conditions.clone());
    let running =
        tokio::spawn(async move { conditions::run(&wanted, engine, window, &shared, number).await });
    let runs = match running.await {
        Ok(runs) => runs,
        Err(panic) => {
            let lost = || Run { name: String::new(), captures: Vec::new(), failed: Some(panic.to_string()) };
            conditions.iter().map(|_| lost()).collect()
        }
    };
    conditions
        .into_iter()
        .zip(runs)
        .map(|(condition, run)| {
            let name = name_of(condition, engine);
            leave(&name, &run.captures);
            let job = Job { test: Test::Sharing(vec![condition]), engine, window };
            let condition = Some((condition, run));
            Outcome {
                name,
                job,
                condition,
                lines: Vec::new(),
                rows: Vec::new(),
                measured: Vec::new(),
                wrong: Vec::new(),
            }
        })
        .collect()
}

/// Runs one job. A panic counts as a failure.
async fn one(lab: &Arc<Lab>, job: Job, number: usize) -> Vec<Outcome> {
    let started = Instant::now();
    let name = job.name();
    let outcomes = match job.test.clone() {
        Test::Sharing(conditions) => sharing(lab, conditions, job.engine, job.window, number).await,
        _ => vec![apart(lab, job, number).await],
    };
    eprintln!("{name} ({:.1} s)", started.elapsed().as_secs_f64());
    outcomes
}

/// Runs a scenario or a behavior in its own browser.
async fn apart(lab: &Arc<Lab>, job: Job, number: usize) -> Outcome {
    let name = job.name();
    let lab = Arc::clone(lab);
    let again = job.clone();
    let running = tokio::spawn(async move {
        let Job { ref test, engine, window } = job;
        let captures = match test {
            Test::Measured(scenario) => scenario.run(engine, window, &lab, number).await,
            Test::Judged(behaviour) => behaviour.run(engine, window, &lab, number).await,
            Test::Sharing(_) => Vec::new(),
        };
        leave(&job.name(), &captures);
        let Test::Measured(scenario) = test else { return Default::default() };
        let seen = Seen::of(&captures);
        let built = (scenario.built)(&seen, engine);
        let (rows, wrong) = judge(scenario.name, engine, &seen, &built, scenario.known);
        let is_difficult = DIFFICULT.contains(&scenario.name);
        let measured = if is_difficult { measured(scenario.name, engine, &seen) } else { Vec::new() };
        (rows, wrong, measured)
    });
    let (rows, wrong, measured) = match running.await {
        Ok(outcome) => outcome,
        Err(panic) => (Vec::new(), vec![panic.to_string()], Vec::new()),
    };
    Outcome { name, job: again, condition: None, lines: Vec::new(), rows, measured, wrong }
}

/// Returns cargo's target folder.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a file");
    test.ancestors().nth(3).expect("it lies in target/<profile>/deps").to_owned()
}

/// Returns the folder of the suite's output.
fn folder() -> PathBuf {
    target().join("browsers")
}

/// Reads the reference library: `FIELDVITALS_WEB_VITALS`, or the file that `cargo xtask test browsers` fetches.
fn library() -> Vec<u8> {
    let file = std::env::var_os("FIELDVITALS_WEB_VITALS")
        .map_or_else(|| target().join("web-vitals/package/dist/web-vitals.iife.js"), PathBuf::from);
    std::fs::read(&file).unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask test browsers` fetches the library", file.display())
    })
}
