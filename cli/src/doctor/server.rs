//! Examines a running server: `/healthz`, `/readyz`, and with a token `/api/v1/status`.

use super::fetch::{Fetcher, shown};
use crate::client::Client;
use crate::output::plain;
use fieldvitals_store::diagnosis::{Finding, Level};
use reqwest::Url;
use serde::Deserialize;

/// `GET /status`, as far as the doctor uses it.
#[derive(Debug, Deserialize)]
struct StatusAnswer {
    version: String,
    #[serde(default)]
    collector: String,
    checks: Vec<CheckAnswer>,
    #[serde(default)]
    spool: SpoolAnswer,
    #[serde(default)]
    maintenance: MaintenanceAnswer,
}

#[derive(Debug, Deserialize)]
struct CheckAnswer {
    name: String,
    state: String,
    value: Option<f64>,
    warning: f64,
    critical: f64,
    #[serde(default)]
    recommendation: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct SpoolAnswer {
    #[serde(default)]
    held: Vec<HeldAnswer>,
    #[serde(default)]
    stalled: Option<TroubleAnswer>,
}

#[derive(Debug, Deserialize)]
struct HeldAnswer {
    site: String,
    since: String,
    beacons: u64,
    error: String,
}

#[derive(Debug, Deserialize)]
struct TroubleAnswer {
    since: String,
    error: String,
}

#[derive(Debug, Default, Deserialize)]
struct MaintenanceAnswer {
    #[serde(default)]
    last_error: Option<String>,
}

/// Characters of an answer that are shown.
const LINE_CHARS_MAX: usize = 200;

/// Examines a server.
pub(super) async fn diagnose(fetcher: &Fetcher, server: &Url, client: Option<&Client>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (check, path) in [("server.health", "healthz"), ("server.ready", "readyz")] {
        let finding = probe(fetcher, server, check, path).await;
        let is_away = finding.level == Level::Problem;
        findings.push(finding);
        if is_away && check == "server.health" {
            return findings;
        }
    }
    match client {
        None => findings.push(Finding::ok(
            "server.status",
            "not asked: --token TOKEN also tells thresholds, held sites and maintenance",
        )),
        Some(client) => match client.get::<StatusAnswer>(&["status"], &[]).await {
            Ok((_, status)) => findings.extend(judge(&status)),
            Err(failure) => findings.push(Finding::problem("server.status", failure.message, failure.hint)),
        },
    }
    findings
}

async fn probe(fetcher: &Fetcher, server: &Url, check: &'static str, path: &str) -> Finding {
    let mut url = server.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push(path);
    }
    let shown = shown(&url);
    match fetcher.get(&url, &[]).await {
        Err(reason) => Finding::problem(
            check,
            format!("{shown} does not answer: {reason}"),
            "Is the server running, and is this its address? Its log says why it ended.",
        ),
        Ok(answer) if answer.status.is_success() => {
            Finding::ok(check, format!("{shown} answers {}", answer.status.as_u16()))
        }
        Ok(answer) => Finding::problem(
            check,
            format!("{shown} answers {}: {}", answer.status.as_u16(), plain(&first_line(&answer.text()))),
            "The server takes no beacons now. Its log has the reason; a proxy between may answer in its place.",
        ),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(LINE_CHARS_MAX).collect()
}

fn judge(status: &StatusAnswer) -> Vec<Finding> {
    let mut findings = Vec::new();
    let bad = status.checks.iter().filter(|check| check.state != "ok");
    findings.extend(bad.map(|check| {
        let level = if check.state == "critical" { Level::Problem } else { Level::Warning };
        let value = check.value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
        let found = format!(
            "{} is {value}; warning at {}, critical at {}",
            check.name, check.warning, check.critical
        );
        let advice = check.recommendation.clone().unwrap_or_default();
        Finding { check: "server.status", level, found, advice }
    }));
    if findings.is_empty() {
        let found = format!("all {} checks of health are within their limits", status.checks.len());
        findings.push(Finding::ok("server.status", found));
    }
    findings.push(if status.version == env!("CARGO_PKG_VERSION") {
        Finding::ok("server.version", status.version.clone())
    } else {
        Finding::warning(
            "server.version",
            format!("the server runs {}, this command is {}", status.version, env!("CARGO_PKG_VERSION")),
            "Restart the server with the new release, or use its own binary.",
        )
    });
    if status.collector == "raw-queue" {
        findings.push(Finding::warning(
            "server.collector",
            "the server has no wasm module; pages send raw queues",
            "The server measures them, without the module's attribution. `cargo xtask dist` builds a binary with the \
             module.",
        ));
    }
    if let Some(stalled) = &status.spool.stalled {
        findings.push(Finding::problem(
            "server.spool",
            format!("loading is stalled since {}: {}", stalled.since, stalled.error),
            "Beacons wait in the spool. Repair the store; loading then goes on by itself.",
        ));
    }
    findings.extend(status.spool.held.iter().map(|held| {
        Finding::problem(
            "server.spool",
            format!(
                "{} beacons of the site `{}` are held since {}: {}",
                held.beacons, held.site, held.since, held.error
            ),
            "The store refuses this site alone. The error names the fault; `fieldvitals rollup check` compares its rollups.",
        )
    }));
    if let Some(error) = &status.maintenance.last_error {
        findings.push(Finding::problem(
            "server.maintenance",
            format!("the last round failed: {error}"),
            "Old data stay and rollups are not folded until a round succeeds. The log has details.",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn status_is_judged_by_its_checks_and_its_troubles() {
        let check = |state: &str| {
            json!({"name": "disk_percent", "state": state, "value": 91.0, "warning": 80.0, "critical": 90.0,
                   "recommendation": "Free space."})
        };
        let judged = |status: serde_json::Value| judge(&serde_json::from_value(status).unwrap());
        let version = env!("CARGO_PKG_VERSION");
        let ok = judged(json!({"version": version, "checks": [check("ok")], "collector": "wasm"}));
        assert!(ok.iter().all(|finding| finding.level == Level::Ok), "{ok:#?}");
        let bad = judged(json!({
            "version": "9.9.9", "checks": [check("critical")], "collector": "raw-queue",
            "spool": {"held": [{"site": "shop", "since": "t", "beacons": 7, "error": "no"}],
                      "stalled": {"since": "t", "error": "away"}},
            "maintenance": {"last_error": "slow"},
        }));
        let problems: Vec<&str> = bad
            .iter()
            .filter(|finding| finding.level == Level::Problem)
            .map(|finding| finding.check)
            .collect();
        assert_eq!(problems, ["server.status", "server.spool", "server.spool", "server.maintenance"]);
        assert!(bad.iter().any(|finding| finding.found.contains("7 beacons of the site `shop`")));
    }

    #[test]
    fn first_line_of_a_hostile_text_is_bounded_at_a_character() {
        assert_eq!(first_line("a\nb"), "a");
        assert_eq!(first_line(&format!("a{}", "é".repeat(300))).chars().count(), LINE_CHARS_MAX);
    }
}
