//! The three-engine suite: `cargo xtask test browsers`.
//!
//! Every scenario in every engine that can do it, with our collector, the web-vitals library and an
//! independent observer on the same load. Prints scenario × engine × metric with our value, the
//! reference's and the truth; fails on a difference that no reason is known for. Arguments: words that a
//! test's name (`scenario/engine`) must contain, and `--inp-on-hide N` for that scenario alone, N times in
//! headless and in headed Chromium.

use fieldvitals_tests::engines::{Engine, Window};
use fieldvitals_tests::scenarios::Scenario;
use fieldvitals_tests::scenarios::behaviours::{BEHAVIOURS, Behaviour};
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

/// Browsers at once. They wait more than they compute, but their clocks are compared with each other's.
const AT_ONCE: usize = 3;

/// Pages on which not all of the collector can run, or not from the start.
const DIFFICULT: [&str; 5] = ["wasm-forbidden", "wasm-missing", "all-missing", "late-script", "iframe"];

/// Failures that are run again alone.
const ALONE_MAX: usize = 5;

/// What is run: a page that is measured, or a behaviour that is judged by itself.
#[derive(Clone, Copy)]
enum Test {
    Measured(&'static Scenario),
    Judged(&'static Behaviour),
}

/// A test to run in a browser.
#[derive(Clone, Copy)]
struct Job {
    test: Test,
    engine: Engine,
    window: Window,
}

impl Job {
    fn name(&self) -> String {
        let window = if self.window == Window::Headed { "-headed" } else { "" };
        let test = match self.test {
            Test::Measured(scenario) => scenario.name,
            Test::Judged(behaviour) => behaviour.name,
        };
        format!("{test}/{}{window}", self.engine.name())
    }
}

struct Outcome {
    name: String,
    rows: Vec<Row>,
    /// What is still measured, where that is the question.
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
    let outcomes = match arguments.as_slice() {
        [option, times] if option == "--inp-on-hide" => {
            run(&lab, inp_on_hide(times.parse().expect("a number"))).await
        }
        words => {
            let jobs = every(words);
            let outcomes = run(&lab, jobs.clone()).await;
            alone(&lab, &jobs, outcomes).await
        }
    };

    let mut out = std::io::stdout();
    let rows: Vec<Row> = outcomes.iter().flat_map(|outcome| outcome.rows.clone()).collect();
    let mut failed = 0;
    let mut report = || -> std::io::Result<()> {
        write!(out, "\n{}\n", table(&rows))?;
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

/// Of scenarios that ran more than once: how often our INP was there.
fn reported(outcomes: &[Outcome]) -> Vec<(String, usize, usize)> {
    let mut sums: Vec<(String, usize, usize)> = Vec::new();
    for outcome in outcomes {
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

/// Every scenario in every engine, as far as its name contains these words.
fn every(words: &[String]) -> Vec<Job> {
    let scenarios = SCENARIOS.iter().map(|scenario| (Test::Measured(scenario), scenario.engines));
    let behaviours = BEHAVIOURS.iter().map(|behaviour| (Test::Judged(behaviour), behaviour.engines));
    let jobs = scenarios.chain(behaviours).flat_map(|(test, engines)| {
        engines.iter().map(move |&engine| Job { test, engine, window: Window::Headless })
    });
    let mut jobs: Vec<Job> =
        jobs.filter(|job| words.iter().all(|word| job.name().contains(word.as_str()))).collect();
    jobs.sort_by_key(|job| Engine::ALL.iter().position(|&engine| engine == job.engine));
    jobs
}

/// A slow interaction and at once a hidden page, or another page; so many times in each kind of window.
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
                    let Some(&job) = jobs.get(number) else { break outcomes };
                    outcomes.push((number, one(&lab, job, number).await));
                }
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for worker in workers {
        outcomes.extend(worker.await.expect("a worker ends"));
    }
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Runs what failed once more, with no other browser beside it: times are compared, and two cores are few
/// for three browsers. More than a few failures are no accident.
async fn alone(lab: &Arc<Lab>, jobs: &[Job], mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
    if outcomes.iter().filter(|outcome| !outcome.is_ok()).count() > ALONE_MAX {
        return outcomes;
    }
    for (number, (job, outcome)) in jobs.iter().zip(&mut outcomes).enumerate() {
        if !outcome.is_ok() {
            let failed: Vec<Row> = outcome.rows.iter().filter(|row| row.failed).cloned().collect();
            eprintln!("{} failed beside others: {:?} {}", outcome.name, outcome.wrong, table(&failed));
            *outcome = one(lab, *job, jobs.len() + number).await;
        }
    }
    outcomes
}

/// One scenario in one engine; what panics in it has failed.
async fn one(lab: &Arc<Lab>, job: Job, number: usize) -> Outcome {
    let Job { test, engine, window } = job;
    let name = job.name();
    let started = Instant::now();
    let lab = Arc::clone(lab);
    let running = tokio::spawn(async move {
        let captures = match test {
            Test::Measured(scenario) => scenario.run(engine, window, &lab, number).await,
            Test::Judged(behaviour) => behaviour.run(engine, window, &lab, number).await,
        };
        let lines: Vec<String> = captures.iter().map(Capture::line).collect();
        let file = folder().join(format!("{}.txt", job.name().replace('/', "-")));
        std::fs::write(file, lines.join("\n")).expect("target/ can be written");
        let Test::Measured(scenario) = test else { return Default::default() };
        let seen = Seen::of(&captures);
        let built = (scenario.built)(&seen, engine);
        let (rows, wrong) = judge(scenario.name, engine, &seen, &built, scenario.known);
        let is_difficult = DIFFICULT.contains(&scenario.name);
        let measured = if is_difficult { measured(scenario.name, engine, &seen) } else { Vec::new() };
        (rows, wrong, measured)
    });
    let outcome = match running.await {
        Ok((rows, wrong, measured)) => Outcome { name, rows, measured, wrong },
        Err(panic) => {
            Outcome { name, rows: Vec::new(), measured: Vec::new(), wrong: vec![panic.to_string()] }
        }
    };
    eprintln!("{} ({:.1} s)", outcome.name, started.elapsed().as_secs_f64());
    outcome
}

/// Where cargo builds.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a file");
    test.ancestors().nth(3).expect("it lies in target/<profile>/deps").to_owned()
}

/// What the run leaves for people to look at.
fn folder() -> PathBuf {
    target().join("browsers")
}

/// The reference library: `FIELDVITALS_WEB_VITALS`, or where `cargo xtask test browsers` puts it.
fn library() -> Vec<u8> {
    let file = std::env::var_os("FIELDVITALS_WEB_VITALS")
        .map_or_else(|| target().join("web-vitals/package/dist/web-vitals.iife.js"), PathBuf::from);
    std::fs::read(&file).unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask test browsers` fetches the library", file.display())
    })
}
