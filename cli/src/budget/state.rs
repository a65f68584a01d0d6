//! The state of the budgets on the server, and what a limit would have done.

use super::kept::file_or_newest;
use crate::client::answer::kept::{ReplayAnswer, StateAnswer, StatesAnswer};
use crate::client::{Client, ServerArgs};
use crate::exit::{Done, Exit, Failure};
use crate::moment::minute;
use crate::output::table::{Cell, Column, Table};
use crate::output::{ABSENT, Ink, Terminal, limit, plain, share, value};
use crate::progress::count;
use std::path::PathBuf;

/// Print the state of the budgets that are kept on the server, and how near each is to its limit: exit 0 if none is broken,
/// else 1.
#[derive(Debug, clap::Args)]
pub(super) struct StateArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows the state.
pub(super) async fn state(args: &StateArgs, terminal: Terminal) -> Result<Done, Failure> {
    let client = Client::new(&args.server)?;
    let site = client.site(args.server.site.as_deref()).await?;
    let (json, answer): (_, StatesAnswer) = client.get(&["sites", &site, "budgets", "state"], &[]).await?;
    let is_broken = answer.budgets.iter().any(|one| one.state == "broken");
    let stdout = if args.json { format!("{json:#}\n") } else { states(&answer, terminal) };
    Ok(super::done(if is_broken { Exit::Fail } else { Exit::Pass }, stdout))
}

fn states(answer: &StatesAnswer, terminal: Terminal) -> String {
    let site = plain(&answer.site);
    let Some(version) = answer.version else {
        let none =
            format!("{site}: no budgets are kept; `fieldvitals budget apply FILE` keeps those of a file.");
        return terminal.wrap("", &none);
    };
    let mut table = Table::new(&[
        Column::word("STATE"),
        Column::word("SINCE").dropped(2),
        Column::text("ROUTE"),
        Column::word("DEVICE").dropped(3),
        Column::word("METRIC"),
        Column::number("MAX"),
        Column::number("MEASURED"),
        Column::number("USED"),
        Column::number("N").dropped(4),
        Column::number("WITHIN").dropped(1),
    ]);
    for one in &answer.budgets {
        let budget = &one.budget;
        let used = one.used.map_or_else(|| ABSENT.to_owned(), |used| format!("{:.0} %", used * 100.0));
        let seen = &one.evidence;
        let measured = seen.measured.map(|measured| value(budget.metric, measured, budget.max.as_slice()));
        let filters =
            budget.filters.iter().map(|(name, value)| format!(", {} {value}", name.replace('_', " ")));
        let route: String = std::iter::once(budget.route.clone()).chain(filters).collect();
        table.noted_row(
            vec![
                match (one.no_views_since.is_some(), one.state.as_str()) {
                    (true, "kept") => Cell::painted("kept, no data", Ink::Yellow),
                    (_, state) => Cell::painted(state, ink(state)),
                },
                minute(&one.since).into(),
                route.into(),
                budget.device.as_deref().unwrap_or("all").into(),
                format!("{} p{}", budget.metric.name(), budget.percentile).into(),
                budget.max.map_or_else(|| ABSENT.to_owned(), |max| limit(budget.metric, max)).into(),
                measured.unwrap_or_else(|| ABSENT.to_owned()).into(),
                used.into(),
                seen.n.to_string().into(),
                share(seen.within, seen.n).into(),
            ],
            note(one),
        );
    }
    let judged = answer.judged.as_deref().map_or_else(|| "not yet".to_owned(), minute);
    let title = terminal.wrap("", &format!("{site} · version {version} · last look {judged}"));
    format!("{title}\n{}", table.render(terminal))
}

/// `decided 2026-11-21 14:30; 3 page views since then`, or the reason of an open verdict.
fn note(one: &StateAnswer) -> String {
    let StateAnswer { evidence: seen, budget, from, no_views_since, .. } = one;
    let since = if *from == seen.to { "then".to_owned() } else { minute(from) };
    let views = match no_views_since {
        Some(since) => format!("no page view since {}", minute(since)),
        None => format!("{} since {since}", count(budget.n, "page view")),
    };
    match seen.of_verdict {
        true => format!("decided {}; {views}", minute(&seen.to)),
        false => plain(&budget.reason),
    }
}

/// Print what budgets would have done in the last 28 days, looking once an hour: exit 0 if none would have been broken,
/// else 1.
#[derive(Debug, clap::Args)]
pub(super) struct WhatIfArgs {
    /// The budget file; `-` reads standard input. Without a file, the budgets that are kept on the server.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Replays budgets.
pub(super) async fn what_if(args: &WhatIfArgs, terminal: Terminal) -> Result<Done, Failure> {
    let client = Client::new(&args.server)?;
    let site = client.site(args.server.site.as_deref()).await?;
    let source = file_or_newest(args.file.as_deref(), &client, &site).await?;
    let asked = client.post_toml(&["sites", &site, "budgets", "what-if"], &[], source.text).await;
    let (json, answer): (_, ReplayAnswer) = asked.map_err(|failure| failure.in_file(&source.name))?;
    let is_broken = answer.budgets.iter().any(|one| !one.alerts.is_empty());
    let stdout = if args.json { format!("{json:#}\n") } else { replayed(&source.name, &answer, terminal) };
    Ok(super::done(if is_broken { Exit::Fail } else { Exit::Pass }, stdout))
}

fn replayed(file: &str, answer: &ReplayAnswer, terminal: Terminal) -> String {
    let mut table = Table::new(&[
        Column::text("BUDGET"),
        Column::number("MAX"),
        Column::number("N").dropped(1),
        Column::number("WITHIN").dropped(2),
        Column::number("ALERTS"),
        Column::number("BROKEN"),
        Column::word("AT THE END"),
    ]);
    for one in &answer.budgets {
        let alerts = one.alerts.iter().map(|alert| match &alert.to {
            Some(to) => format!("{} to {}", minute(&alert.from), minute(to)),
            None => format!("{} until now", minute(&alert.from)),
        });
        table.noted_row(
            vec![
                one.key.as_str().into(),
                limit(one.metric, one.max).into(),
                one.n.to_string().into(),
                share(one.within, one.n).into(),
                one.alerts.len().to_string().into(),
                format!("{} h", one.broken_hours).into(),
                Cell::painted(one.state.as_str(), ink(&one.state)),
            ],
            alerts.collect::<Vec<_>>().join(", "),
        );
    }
    let period = format!("{} to {}", minute(&answer.period.from), minute(&answer.period.to));
    let title = format!("{} · {} · {period} · a look an hour", plain(file), plain(&answer.site));
    format!("{}\n{}", terminal.wrap("", &title), table.render(terminal))
}

fn ink(state: &str) -> Ink {
    match state {
        "kept" => Ink::Green,
        "broken" => Ink::Red,
        _ => Ink::Yellow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use unicode_width::UnicodeWidthStr as _;

    const TERMINAL: Terminal = Terminal { color: false, columns: Some(80) };

    #[test]
    fn states_fit_a_terminal_and_tell_how_near_budgets_are() {
        let budget = |state: &str, used: Option<f64>| {
            json!({
                "state": state, "since": "2026-11-21T14:30:00Z", "from": "2026-11-21T14:30:00Z", "used": used,
                "line": 1, "route": "/product/:id/reviews/of/customers", "metric": "LCP", "percentile": 75,
                "max": 2500, "device": "phone", "filters": { "country": "DE" }, "n": 3, "within": 3,
                "measured": null, "interval": null, "verdict": "inconclusive",
                "reason": "no data", "samples_needed": null,
                "evidence": {
                    "from": "2026-11-20T14:30:00Z", "to": "2026-11-21T14:30:00Z", "of_verdict": used.is_some(),
                    "n": 900, "within": 770, "measured": used.map(|used| used * 2_500.0),
                },
            })
        };
        let answer = json!({
            "site": "shop", "version": 3, "judged": "2026-11-21T14:31:00Z",
            "budgets": [budget("kept", Some(0.92)), budget("broken", Some(1.042)), budget("undecided", None)],
        });
        let text = states(&serde_json::from_value(answer).unwrap(), TERMINAL);
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        assert!(text.contains("92 %") && text.contains("104 %") && text.contains("version 3"), "{text}");
        let decided = "decided 2026-11-21 14:30; 3 page views since then";
        assert_eq!((text.matches(decided).count(), text.matches("no data").count()), (2, 1), "{text}");
        let mut silent = budget("kept", Some(0.92));
        silent["no_views_since"] = json!("2026-11-21T14:30:00Z");
        let mut few = budget("broken", Some(1.042));
        few["from"] = json!("2026-11-28T14:30:00Z");
        let answer = json!({ "site": "shop", "version": 3, "judged": null, "budgets": [silent, few] });
        let text = states(&serde_json::from_value(answer).unwrap(), TERMINAL);
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        assert!(
            text.contains("kept, no data") && text.contains("no page view since 2026-11-21 14:30"),
            "{text}"
        );
        assert!(text.contains("decided 2026-11-21 14:30; 3 page views since 2026-11-28 14:30"), "{text}");
        let none = json!({ "site": "shop", "version": null, "judged": null, "budgets": [] });
        let text = states(&serde_json::from_value(none).unwrap(), TERMINAL);
        assert!(text.contains("budget apply FILE"), "{text}");
    }

    #[test]
    fn replay_fits_a_terminal_and_lists_the_alerts() {
        let answer = json!({
            "site": "shop", "period": { "from": "2026-10-24T14:00:00Z", "to": "2026-11-21T14:30:00Z" },
            "budgets": [{
                "metric": "LCP", "max": 2500, "key": "LCP p75 phone /product/:id/reviews country=DE", "n": 140_000,
                "within": 120_000, "state": "broken", "broken_hours": 31,
                "alerts": [{ "from": "2026-11-01T02:00:00Z", "to": "2026-11-02T06:00:00Z" }, { "from": "2026-11-21T11:00:00Z", "to": null }],
            }],
        });
        let text = replayed("budgets.toml", &serde_json::from_value(answer).unwrap(), TERMINAL);
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        assert!(text.contains("2026-11-01 02:00 to 2026-11-02 06:00") && text.contains("31 h"), "{text}");
    }
}
