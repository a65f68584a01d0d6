//! Watches the server's health: samples its counters every 10 s, and keeps a row a minute.

use crate::clock::now_ms;
use crate::health::Sample;
use crate::http::State;
use crate::limits;
use crate::telemetry::process::{Disk, Resources};
use crate::telemetry::timing::Timed;
use crate::telemetry::{Ending, QuestionKind, RequestClass};
use actix_web::web;
use std::time::{Duration, Instant};

/// Time between two samples.
const INTERVAL: Duration = Duration::from_secs(10);

/// Samples until the server stops.
pub(super) async fn run(state: web::Data<State>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        keep(&state, false).await;
    }
}

/// Keeps a sample; the last one ends the history of this start.
async fn keep(state: &web::Data<State>, is_last: bool) {
    let (at, _) = sample(state).await;
    let state = state.clone();
    // Both block while the disk hangs. The task panics only with the code in it, which is logged.
    let _ = tokio::task::spawn_blocking(move || {
        state.telemetry.set_disk(Disk::read(&state.data_dir));
        let disk_percent = state.telemetry.disk().map(|disk| disk.used_percent());
        state.health.keep(Sample { disk_percent, ..at }, is_last);
    })
    .await;
}

/// Ends the history, with a timeout.
pub(super) async fn end(state: &web::Data<State>) {
    let time = Duration::from_millis(limits::HISTORY_END_MS_MAX);
    if tokio::time::timeout(time, keep(state, true)).await.is_err() {
        tracing::warn!("the last minute of the server's health was not kept in time");
    }
}

/// Reads the counters and the resources of the process.
pub(super) async fn sample(state: &State) -> (Sample, Resources) {
    // Reading the open files takes too long for a worker that takes beacons.
    let resources = tokio::task::spawn_blocking(Resources::read).await.unwrap_or_default();
    let answers = state.answers.report().await;
    let questions = state.questions.report();
    let taken = questions.running + questions.queued;
    let places = (questions.running_max + questions.queued_max).max(1);
    let of_users = |class| matches!(class, RequestClass::Beacon | RequestClass::Api | RequestClass::File);
    let counts = || state.telemetry.classes().filter(move |(class, _)| of_users(*class));
    let api = state.telemetry.classes().find(|(class, _)| *class == RequestClass::Api);
    let sample = Sample {
        at: Instant::now(),
        at_ms: now_ms(),
        api: api.map_or_else(Timed::default, |(_, counts)| counts.took.read()),
        questions: state
            .telemetry
            .questions()
            .filter(|(kind, _)| *kind != QuestionKind::Version)
            .fold(Timed::default(), |sum, (_, timing)| sum.plus(&timing.read())),
        requests: counts().flat_map(|(_, counts)| Ending::ALL.iter().map(|&end| counts.count(end))).sum(),
        failed: counts().map(|(_, counts)| counts.count(Ending::Failed)).sum(),
        answers: answers.hits + answers.computed + answers.unchanged,
        hits: answers.hits + answers.unchanged,
        pool_percent: taken as f64 / places as f64 * 100.0,
        cpu_s: resources.cpu_s,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_percent: resources.memory_percent(),
        disk_percent: state.telemetry.disk().map(|disk| disk.used_percent()),
        spool_age_s: state.spool.age_ms() as f64 / 1_000.0,
    };
    (sample, resources)
}

/// The sample of a server that starts.
#[must_use]
pub fn first(data_dir: &std::path::Path) -> (Sample, Option<Disk>) {
    let resources = Resources::read();
    let disk = Disk::read(data_dir);
    let sample = Sample {
        at: Instant::now(),
        at_ms: now_ms(),
        api: Timed::default(),
        questions: Timed::default(),
        requests: 0,
        failed: 0,
        answers: 0,
        hits: 0,
        pool_percent: 0.0,
        cpu_s: resources.cpu_s,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_percent: resources.memory_percent(),
        disk_percent: disk.map(|disk| disk.used_percent()),
        spool_age_s: 0.0,
    };
    (sample, disk)
}
