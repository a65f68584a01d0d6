//! `fieldvitals alert`: lists, acknowledges, snoozes and resolves alerts, and tries their channels.

use crate::client::answer::alerts::{AlertAnswer, AlertsAnswer, ChannelsAnswer, TestAnswer};
use crate::client::{Client, ServerArgs};
use crate::exit::{Done, Exit, Failure, finish};
use crate::moment::minute;
use crate::output::table::{Cell, Column, Table};
use crate::output::{Ink, Terminal, plain};
use clap::Subcommand;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Alerts of a site, and the channels that tell of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List open alerts: exit 0 if there are none, else 1.
    List {
        /// Also list alerts that have ended.
        #[arg(long)]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Acknowledge an alert: somebody works on it, and no reminders are sent.
    Ack(Change),
    /// Hold the notices of an alert back, and send a reminder at the end if it is still open.
    Snooze {
        /// How long: 30m, 6h, 2d.
        #[arg(long = "for", value_name = "TIME", value_parser = minutes)]
        minutes: i64,
        #[command(flatten)]
        change: Change,
    },
    /// End an alert. The same condition opens another one only after it has ended once.
    Resolve(Change),
    /// List the channels of the server.
    Channels {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Send a test notice to a channel.
    Test {
        /// The channel, from `alert channels`.
        #[arg(value_name = "CHANNEL")]
        channel: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// The alert to change. Needs a token of the scope write.
#[derive(Debug, clap::Args)]
struct Change {
    /// The id of the alert, from `alert list`.
    id: i64,
    #[command(flatten)]
    server: ServerArgs,
}

/// Parses a time in minutes, hours or days.
fn minutes(text: &str) -> Result<i64, String> {
    let wrong = || "expected minutes, hours or days, such as 30m, 6h or 2d, up to 30d".to_owned();
    let last = text.chars().last().ok_or_else(wrong)?;
    let each = match last {
        'm' => 1,
        'h' => 60,
        'd' => 24 * 60,
        _ => return Err(wrong()),
    };
    let number: i64 = text.strip_suffix(last).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    let minutes = number.saturating_mul(each);
    if (1..=fieldvitals_server::limits::SNOOZE_MINUTES_MAX).contains(&minutes) {
        Ok(minutes)
    } else {
        Err(wrong())
    }
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    Ok(finish(execute(&args.command, Terminal::of_stdout()).await))
}

async fn execute(command: &Command, terminal: Terminal) -> Result<Done, Failure> {
    match command {
        Command::List { all, json, server } => list(server, *all, *json, terminal).await,
        Command::Ack(asked) => change(asked, &json!({ "action": "acknowledge" })).await,
        Command::Snooze { minutes, change: asked } => {
            change(asked, &json!({ "action": "snooze", "minutes": minutes })).await
        }
        Command::Resolve(asked) => change(asked, &json!({ "action": "resolve" })).await,
        Command::Channels { server } => {
            let (_, answer): (_, ChannelsAnswer) = Client::new(server)?.get(&["channels"], &[]).await?;
            Ok(done(Exit::Pass, channels(&answer, terminal)))
        }
        Command::Test { channel, server } => {
            let path = ["channels", channel, "test"];
            let (_, answer): (_, TestAnswer) = Client::new(server)?.post_json(&path, &Value::Null).await?;
            Ok(done(Exit::Pass, format!("{} took the test notice\n", plain(&answer.delivered))))
        }
    }
}

fn done(exit: Exit, stdout: String) -> Done {
    Done { exit, stdout, warning: String::new() }
}

async fn list(server: &ServerArgs, all: bool, json: bool, terminal: Terminal) -> Result<Done, Failure> {
    let client = Client::new(server)?;
    let site = client.site(server.site.as_deref()).await?;
    let query = [("status", all.then_some("all"))];
    let (raw, answer): (Value, AlertsAnswer) = client.get(&["sites", &site, "alerts"], &query).await?;
    let is_open = answer.alerts.iter().any(|alert| alert.resolved.is_none());
    let exit = if is_open { Exit::Fail } else { Exit::Pass };
    if json {
        return Ok(done(exit, format!("{raw:#}\n")));
    }
    Ok(done(exit, alerts(&site, &answer, terminal)))
}

fn alerts(site: &str, answer: &AlertsAnswer, terminal: Terminal) -> String {
    if answer.alerts.is_empty() {
        return format!("{}: no alerts\n", plain(site));
    }
    let mut table = Table::new(&[
        Column::number("ID"),
        Column::word("STATE"),
        Column::word("SEVERITY").dropped(2),
        Column::word("SINCE").dropped(1),
        Column::text("CONDITION"),
    ]);
    for alert in &answer.alerts {
        let cells = vec![
            alert.id.to_string().into(),
            Cell::painted(alert.state.as_str(), ink(alert)),
            alert.severity.as_str().into(),
            minute(&alert.since).into(),
            alert.summary.as_str().into(),
        ];
        table.noted_row(cells, failures(alert));
    }
    let more =
        if answer.next_cursor.is_some() { "There are more; --json and the API tell all.\n" } else { "" };
    format!("{}{more}", table.render(terminal))
}

/// The channels that did not take the last notice.
fn failures(alert: &AlertAnswer) -> String {
    let failed = alert.notices.iter().filter_map(|notice| {
        let error = notice.error.as_ref()?;
        Some(format!("not told to {}: {}", plain(&notice.channel), plain(error)))
    });
    failed.collect::<Vec<_>>().join("; ")
}

fn channels(answer: &ChannelsAnswer, terminal: Terminal) -> String {
    if answer.channels.is_empty() {
        return "the server has no channels; `serve --alerts FILE` names a file of them\n".to_owned();
    }
    let mut table = Table::new(&[Column::text("CHANNEL"), Column::word("KIND"), Column::text("SITES")]);
    for channel in &answer.channels {
        let sites = if channel.sites.is_empty() { "all".to_owned() } else { channel.sites.join(", ") };
        table.row(vec![channel.name.as_str().into(), channel.kind.as_str().into(), sites.into()]);
    }
    table.render(terminal)
}

async fn change(asked: &Change, action: &Value) -> Result<Done, Failure> {
    let client = Client::new(&asked.server)?;
    let site = client.site(asked.server.site.as_deref()).await?;
    let path = ["sites", &site, "alerts", &asked.id.to_string()];
    let (_, alert): (_, AlertAnswer) = client.post_json(&path, action).await?;
    let text = format!("alert {} is {}: {}\n", alert.id, plain(&alert.state), plain(&alert.summary));
    Ok(done(Exit::Pass, text))
}

fn ink(alert: &AlertAnswer) -> Ink {
    match (alert.resolved.is_some(), alert.severity.as_str()) {
        (true, _) => Ink::Green,
        (false, "error") => Ink::Red,
        (false, _) => Ink::Yellow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr as _;

    #[test]
    fn alerts_fit_a_terminal_and_name_receivers_that_failed() {
        let alert = |id, state: &str, error: Option<&str>| {
            json!({
                "id": id, "state": state, "severity": "error", "since": "2026-11-21T14:30:00Z", "resolved": null,
                "summary": "LCP p75 of /product/:id/reviews/of/customers, phone ≤ 2500 ms",
                "notices": [{ "channel": "team\u{1b}", "error": error }],
            })
        };
        let failed = Some("the receiver answered 503");
        let answer = json!({ "alerts": [alert(17, "acknowledged", None), alert(3, "open", failed)], "next_cursor": "2" });
        let answer: AlertsAnswer = serde_json::from_value(answer).unwrap();
        let text = alerts("shop", &answer, Terminal { color: false, columns: Some(80) });
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        assert!(text.contains("not told to team\\u{1b}: the receiver answered 503"), "{text}");
        assert!(text.contains("acknowledged") && text.contains("There are more"), "{text}");
    }

    #[test]
    fn times_of_a_snooze_have_a_unit_and_a_bound() {
        assert_eq!(["30m", "6h", "30d"].map(minutes), [Ok(30), Ok(360), Ok(43_200)]);
        for wrong in ["", "m", "30", "0m", "31d", "1.5h", "-1h"] {
            assert!(minutes(wrong).unwrap_err().starts_with("expected minutes"), "{wrong}");
        }
    }
}
