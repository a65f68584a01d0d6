//! The report of a load test, as text and as JSON.

use super::Report;
use super::outcome::{Measured, Tried};
use super::plan::Plan;
use crate::output::table::{Cell, Column, Table};
use crate::output::{Ink, Terminal, plain};
use crate::progress::{count, grouped};
use fieldvitals_store::diagnosis::size_text;
use serde_json::{Value, json};

/// Share of the processors from which this command itself may be slow, in percent.
const CLIENT_PERCENT_MAX: f64 = 40.0;

pub(super) fn to_text(report: &Report, terminal: Terminal) -> String {
    let mut table = Table::new(&[
        Column::number("RATE"),
        Column::number("TAKEN/S"),
        Column::number("P50 ms"),
        Column::number("P95 ms"),
        Column::number("P99 ms"),
        Column::number("MEAN ms"),
        Column::number("ERRORS"),
    ]);
    for Tried { stage, measured } in &report.stages {
        let errors = format!("{:.2} %", measured.errors_percent());
        let is_broken = measured.is_broken();
        table.row(vec![
            grouped(stage.rate).into(),
            format!("{:.0}", measured.per_second()).into(),
            time(measured.percentile_ms(50.0)).into(),
            time(measured.percentile_ms(95.0)).into(),
            time(measured.percentile_ms(99.0)).into(),
            time(measured.mean_ms()).into(),
            if is_broken { Cell::painted(errors, Ink::Red) } else { errors.into() },
        ]);
    }
    let mut text = table.render(terminal);
    let mut paragraph = |label: &str, line: &str| text.push_str(&terminal.item(label, line));
    if report.is_early {
        paragraph("", "Ended early, by Ctrl-C.");
    }
    let all = &report.all;
    paragraph("", &format!("{} taken, {}.", count(all.taken, "beacon"), count(all.failed(), "error")));
    for (kind, times) in &all.errors {
        paragraph("  ", &format!("{}: {}", plain(kind), grouped(*times)));
    }
    for (threshold, is_kept) in &report.thresholds {
        let (name, unit) = (threshold.name(), threshold.unit());
        let verdict = if *is_kept { "kept" } else { "missed" };
        let value = time(threshold.value(all));
        paragraph("", &format!("Threshold {name} {} {unit} {verdict}: {value} {unit}.", threshold.limit));
    }
    if report.client_percent > CLIENT_PERCENT_MAX {
        let line = format!(
            "This command took {:.0} % of this machine's processors, so the times may be its own. Run it on another machine, \
             or on several.",
            report.client_percent
        );
        paragraph("", &line);
    }
    let tested = report.stages.iter().map(|tried| tried.stage.rate).max().unwrap_or(0);
    match &report.plan {
        None => paragraph(
            "",
            "The server held no stage: errors over 10 %, or a mean over 1 s. Start with a lower --rate.",
        ),
        Some(plan) => plan_text(plan, tested, &mut paragraph),
    }
    text
}

fn plan_text(plan: &Plan, tested: u64, paragraph: &mut impl FnMut(&str, &str)) {
    paragraph(
        "",
        &match plan.broken_per_second {
            Some(broken) => format!(
                "Breaking point: at {}/s (errors over 10 %, or a mean over 1 s). It held {:.0}/s.",
                grouped(broken),
                plan.held_per_second
            ),
            None => format!("No breaking point up to {}/s: the server may hold more.", grouped(tested)),
        },
    );
    paragraph(
        "Capacity  ",
        &format!(
            "{} page views or {} visits a month",
            grouped(rounded(plan.page_views_month)),
            grouped(rounded(plan.visits_month))
        ),
    );
    paragraph("Disk      ", &format!("{} a month", size_text(plan.disk_bytes_month as u64)));
    if let Some(memory) = plan.memory_bytes {
        let of_all = plan.memory_bytes_max.map(|max| format!(" of {} on this machine", size_text(max)));
        paragraph("Memory    ", &format!("{} at most{}", size_text(memory), of_all.unwrap_or_default()));
    }
    if let Some(micros) = plan.cpu_micros {
        paragraph("Processor ", &format!("{micros:.0} µs a beacon, until it is loaded"));
    }
    paragraph("", &plan.assumptions());
}

/// Rounds to two digits: a plan is no more precise than its assumptions.
fn rounded(number: f64) -> u64 {
    let unit = 10_f64.powf((number.max(1.0).log10().floor() - 1.0).max(0.0));
    ((number / unit).round() * unit) as u64
}

/// A time in milliseconds, with as many decimals as it needs.
fn time(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2}") } else { format!("{ms:.0}") }
}

pub(super) fn to_json(report: &Report) -> String {
    let stages: Vec<Value> = report
        .stages
        .iter()
        .map(|Tried { stage, measured }| {
            let mut json = measured_json(measured);
            json["rate"] = json!(stage.rate);
            json["duration_s"] = json!(stage.time.as_secs());
            json["broken"] = json!(measured.is_broken());
            json
        })
        .collect();
    let thresholds: Vec<Value> = report
        .thresholds
        .iter()
        .map(|(threshold, is_kept)| {
            json!({"name": threshold.name(), "limit": threshold.limit, "value": threshold.value(&report.all),
                   "unit": threshold.unit(), "kept": is_kept})
        })
        .collect();
    let json = json!({
        "stages": stages, "all": measured_json(&report.all), "thresholds": thresholds,
        "plan": report.plan, "ended_early": report.is_early, "client_cpu_percent": report.client_percent,
    });
    format!("{json:#}\n")
}

fn measured_json(measured: &Measured) -> Value {
    json!({
        "taken": measured.taken,
        "taken_per_second": measured.per_second(),
        "p50_ms": measured.percentile_ms(50.0),
        "p95_ms": measured.percentile_ms(95.0),
        "p99_ms": measured.percentile_ms(99.0),
        "mean_ms": measured.mean_ms(),
        "errors": measured.failed(),
        "errors_percent": measured.errors_percent(),
        "errors_by_kind": measured.errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::outcome::threshold;
    use crate::load::stages::Stage;
    use crate::load::target::Usage;
    use std::time::Duration;

    #[test]
    fn plans_are_rounded_to_two_digits() {
        assert_eq!([57_238_329.0, 995.0, 42.4, 3.6, 0.0].map(rounded), [57_000_000, 1_000, 42, 4, 0]);
    }

    #[test]
    fn report_fits_a_terminal_of_80_columns() {
        let tried = |rate, ms: &[u64], failed: u64| {
            let mut measured = Measured::new();
            ms.iter().for_each(|&ms| measured.take(Duration::from_millis(ms)));
            (0..failed).for_each(|_| measured.fail("status 503"));
            measured.elapsed = Duration::from_secs(1);
            Tried { stage: Stage { time: Duration::from_secs(1), rate }, measured }
        };
        let stages = vec![tried(100, &[1; 100], 0), tried(150, &[40; 100], 50)];
        let mut all = Measured::new();
        stages.iter().for_each(|tried| all.add(&tried.measured));
        let mut plan = Plan::of(&stages, &all, [&Usage::default(); 2], Some(90 << 20));
        if let Some(plan) = &mut plan {
            plan.memory_bytes_max = Some(16 << 30);
        }
        let thresholds = ["p95=50", "errors=1"].map(|text| threshold(text).unwrap());
        let thresholds = thresholds.map(|threshold| (threshold, threshold.is_kept(&all))).to_vec();
        let report = Report { stages, all, thresholds, plan, is_early: false, client_percent: 55.0 };
        let text = to_text(&report, Terminal { color: false, columns: Some(80) });
        insta::assert_snapshot!(text);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let json: Value = serde_json::from_str(&to_json(&report)).unwrap();
        assert_eq!(json["stages"][1]["errors_by_kind"]["status 503"], 50);
        assert_eq!(
            (&json["stages"][1]["broken"], &json["plan"]["broken_per_second"]),
            (&json!(true), &json!(150))
        );
    }
}
