//! `/metrics`: the server's counters, durations and resources, for Prometheus.

use crate::health::{Check, Condition, Sample};
use crate::http::api::health::trouble;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::{State, assets, auth, watch};
use crate::site_vitals::SiteVital;
use crate::telemetry::Ending;
use crate::telemetry::families::{Families, MEDIA_TYPE};
use crate::telemetry::process::Resources;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use fieldvitals_store::Scope;

/// Counters, durations and resources of the server in the text format of OpenMetrics.
///
/// Names and labels are listed in docs/monitoring/README.md. Times are in seconds, sizes in bytes.
#[utoipa::path(get, path = "/metrics", tag = "read", security(("token" = [])),
    responses((status = 200, description = "The metrics", content_type = "application/openmetrics-text", body = String),
        (status = 401, body = ErrorBody)))]
pub async fn metrics(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let access = auth::require(&state, &request, Scope::Read).await?;
    let (sample, resources) = watch::sample(&state).await;
    let mut families = Families::default();
    requests(&mut families, &state);
    beacons(&mut families, &state);
    spool(&mut families, &state);
    questions(&mut families, &state).await;
    connections(&mut families, &state);
    health(&mut families, &state, &sample);
    process(&mut families, &state, &resources);
    let sites = state.site_vitals.current();
    let seen: Vec<&SiteVital> = sites.iter().filter(|vital| access.sees(vital.id)).collect();
    vitals(&mut families, &seen);
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_TYPE, MEDIA_TYPE))
        .body(families.text()))
}

fn requests(families: &mut Families, state: &State) {
    let counted = families.counter("fieldvitals_requests", "Requests by class and ending.");
    for (class, counts) in state.telemetry.classes() {
        for &ending in Ending::ALL {
            counted.count(&[("class", class.name()), ("ending", ending.name())], counts.count(ending));
        }
    }
    let took = families.durations(
        "fieldvitals_request_duration_seconds",
        "Durations of requests, but for refused ones (4xx). Beacons from the end of their body.",
    );
    for (class, counts) in state.telemetry.classes() {
        took.timed(&[("class", class.name())], counts.took.read());
    }
    let slow = families.counter("fieldvitals_slow", "Requests and questions that took at least --slow-ms.");
    slow.count(&[("what", "request")], state.telemetry.slow_requests.total())
        .count(&[("what", "question")], state.telemetry.slow_questions.total());
}

fn beacons(families: &mut Families, state: &State) {
    let received = families.counter("fieldvitals_beacons_received", "Beacons that reached the server.");
    received.count(&[], state.outcomes.received());
    let outcomes = families.counter("fieldvitals_beacons", "Beacons by outcome and reason.");
    for (name, count) in state.outcomes.counts() {
        let (outcome, reason) = name.split_once('(').unwrap_or((&name, ""));
        outcomes.count(&[("outcome", outcome), ("reason", reason.trim_end_matches(')'))], count);
    }
    let bots = families.counter("fieldvitals_bots", "Refused beacons of programs, by kind.");
    for (kind, count) in state.outcomes.bots() {
        bots.count(&[("kind", kind)], count);
    }
    let dropped =
        families.counter("fieldvitals_dropped_fields", "Unusable fields of accepted beacons, by name.");
    for (field, count) in state.outcomes.dropped() {
        dropped.count(&[("field", field)], count);
    }
}

fn spool(families: &mut Families, state: &State) {
    let stats = state.spool.stats();
    let counted = families.counter("fieldvitals_spool_beacons", "Accepted beacons by state.");
    for (name, count) in [
        ("appended", stats.appended),
        ("loaded", stats.loaded),
        ("superseded", stats.superseded),
        ("discarded", stats.discarded),
    ] {
        counted.count(&[("state", name)], count);
    }
    let is = |condition: bool| f64::from(u8::from(condition));
    for (name, help, value) in [
        ("fieldvitals_spool_waiting_beacons", "The backlog.", stats.waiting as f64),
        ("fieldvitals_spool_bytes", "The backlog on disk.", stats.bytes as f64),
        ("fieldvitals_spool_limit_bytes", "Limit of the backlog.", state.spool.bytes_max() as f64),
        (
            "fieldvitals_spool_age_seconds",
            "Age of the oldest beacon that is not loaded.",
            state.spool.age_ms() as f64 / 1_000.0,
        ),
        ("fieldvitals_spool_refusing", "1 while beacons are refused.", is(state.spool.refusal().is_some())),
        ("fieldvitals_spool_stalled", "1 while loading fails.", is(state.spool.stalled().is_some())),
        (
            "fieldvitals_spool_held_sites",
            "Sites whose beacons the store refuses.",
            state.spool.held().len() as f64,
        ),
    ] {
        families.gauge(name, help).number(&[], value);
    }
    families
        .durations("fieldvitals_commit_duration_seconds", "Durations of group commits, with their fsync.")
        .timed(&[], state.spool.commit_times().read());
    families
        .durations("fieldvitals_load_duration_seconds", "Durations of loads into the store.")
        .timed(&[], state.spool.load_times().read());
}

async fn questions(families: &mut Families, state: &State) {
    let took = families.durations(
        "fieldvitals_question_duration_seconds",
        "Durations of questions to the store, without their time in the queue.",
    );
    for (kind, timing) in state.telemetry.questions() {
        took.timed(&[("kind", kind.name())], timing.read());
    }
    families
        .durations("fieldvitals_question_wait_seconds", "Times of questions in the queue.")
        .timed(&[], state.telemetry.waited.read());
    let report = state.questions.report();
    families
        .gauge("fieldvitals_questions", "Questions that run or wait.")
        .number(&[("state", "running")], report.running as f64)
        .number(&[("state", "queued")], report.queued as f64);
    families
        .gauge("fieldvitals_questions_limit", "Limits of questions that run or wait.")
        .number(&[("state", "running")], report.running_max as f64)
        .number(&[("state", "queued")], report.queued_max as f64);
    families
        .counter("fieldvitals_questions_unanswered", "Questions without an answer, by reason.")
        .count(&[("reason", "busy")], report.busy)
        .count(&[("reason", "gone")], report.dropped);
    let answers = state.answers.report().await;
    families
        .counter("fieldvitals_answers", "Answers about page views, by source.")
        .count(&[("source", "memory")], answers.hits)
        .count(&[("source", "client")], answers.unchanged)
        .count(&[("source", "computed")], answers.computed);
    let days = state.closed_days.report().await;
    families
        .counter("fieldvitals_closed_days", "Ranges of closed days, by source.")
        .count(&[("source", "memory")], days.hits)
        .count(&[("source", "computed")], days.computed);
    families
        .gauge("fieldvitals_cache_bytes", "Memory of caches.")
        .number(&[("cache", "answers")], answers.bytes as f64)
        .number(&[("cache", "closed_days")], days.bytes as f64);
    families
        .gauge("fieldvitals_cache_limit_bytes", "Limits of caches.")
        .number(&[("cache", "answers")], answers.bytes_max as f64)
        .number(&[("cache", "closed_days")], days.bytes_max as f64);
    let maintenance = state.maintenance.report(|id| id.0.to_string());
    families
        .counter("fieldvitals_maintenance_rounds", "Rounds of maintenance, failed ones included.")
        .count(&[], maintenance.rounds);
    families
        .counter("fieldvitals_maintenance_failures", "Rounds of maintenance that failed wholly or in part.")
        .count(&[], maintenance.failures);
}

fn connections(families: &mut Families, state: &State) {
    families
        .gauge("fieldvitals_connections", "Open connections.")
        .number(&[], state.connections.open() as f64);
    families
        .gauge("fieldvitals_connections_limit", "Limit of open connections.")
        .number(&[], state.connections.limits().all_max as f64);
    let closed =
        families.counter("fieldvitals_connections_closed", "Connections closed by the server, by reason.");
    for (reason, count) in state.connections.closed() {
        closed.count(&[("reason", reason)], count);
    }
    families
        .gauge("fieldvitals_live_streams", "Clients that watch a site.")
        .number(&[], state.live.report().streams as f64);
    families.gauge("fieldvitals_sites", "Sites.").number(&[], state.directory.current().sites().len() as f64);
}

fn health(families: &mut Families, state: &State, sample: &Sample) {
    families
        .gauge("fieldvitals_ready", "1 while the server takes beacons and is not about to stop.")
        .number(&[], f64::from(u8::from(trouble(state).is_none())));
    let checks = state.health.judge(sample);
    let states = families.gauge("fieldvitals_health_state", "State of a check: 0 ok, 1 warning, 2 critical.");
    for check in &checks {
        states.number(&[("check", check.name)], f64::from(check.state as u8));
    }
    let values = families.gauge("fieldvitals_health_value", "Value of a check, in the unit of its name.");
    for check in &checks {
        values.number(&[("check", check.name)], check.value);
    }
    let limits = families.gauge("fieldvitals_health_limit", "Limit of a check, in the unit of its name.");
    let (thresholds, _) = state.health.thresholds();
    for check in Check::ALL {
        let of = thresholds.of(check);
        for (condition, limit) in [(Condition::Warning, of.warning), (Condition::Critical, of.critical)] {
            limits.number(&[("check", check.name()), ("state", condition.name())], limit);
        }
    }
}

/// The names that all exporters give to these properties of a process
/// (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>).
fn process(families: &mut Families, state: &State, resources: &Resources) {
    let collector = if assets::has_module() { "wasm" } else { "raw-queue" };
    families
        .gauge("fieldvitals_build_info", "Version of the server; always 1.")
        .number(&[("version", env!("CARGO_PKG_VERSION")), ("collector", collector)], 1.0);
    families.counter("process_cpu_seconds", "Processor time of the process.").number(&[], resources.cpu_s);
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Resident memory.", bytes(resources.resident_bytes)),
        ("process_virtual_memory_bytes", "Virtual memory.", bytes(resources.virtual_bytes)),
        ("process_open_fds", "Open files.", bytes(resources.files)),
        ("process_max_fds", "Limit of open files.", bytes(resources.files_max)),
        ("process_threads", "Threads.", bytes(resources.threads)),
        (
            "fieldvitals_memory_limit_bytes",
            "Memory that the process may use.",
            bytes(resources.memory_bytes_max),
        ),
        (
            "process_start_time_seconds",
            "Start of the server, in seconds since 1970.",
            Some(state.started_ms as f64 / 1_000.0),
        ),
    ] {
        families.gauge(name, help).number(&[], value);
    }
    let disk = state.telemetry.disk();
    families
        .gauge("fieldvitals_disk_free_bytes", "Free space on the disk of the data folder.")
        .number(&[], disk.map(|disk| disk.free_bytes as f64));
    families
        .gauge("fieldvitals_disk_used_bytes", "Used space on the disk of the data folder.")
        .number(&[], disk.map(|disk| disk.used_bytes as f64));
}

/// The vitals of the sites of `--metrics-site`.
fn vitals(families: &mut Families, sites: &[&SiteVital]) {
    let all = || {
        sites.iter().flat_map(|vital| {
            vital.metrics.iter().map(move |(&metric, report)| (vital.site.as_str(), metric, report))
        })
    };
    for (unit, name, help, scale) in [
        (
            "ms",
            "fieldvitals_vital_seconds",
            "Percentiles of a metric of a site, in the last 24 hours.",
            1_000.0,
        ),
        (
            "score",
            "fieldvitals_vital_score",
            "Percentiles of the layout shift score of a site, in the last 24 hours.",
            1.0,
        ),
    ] {
        let family = families.gauge(name, help);
        for (site, metric, report) in all().filter(|(.., report)| report.unit == unit) {
            for (quantile, value) in [("0.5", report.p50), ("0.75", report.p75), ("0.95", report.p95)] {
                family.number(&[("site", site), ("metric", metric), ("quantile", quantile)], value / scale);
            }
        }
    }
    let views = families.gauge(
        "fieldvitals_vital_views",
        "Page views of a site by the rating of a metric, in the last 24 hours.",
    );
    for (site, metric, report) in all() {
        for (rating, count) in
            [("good", report.good), ("needs-improvement", report.needs_improvement), ("poor", report.poor)]
        {
            views.number(&[("site", site), ("metric", metric), ("rating", rating)], count as f64);
        }
    }
}
