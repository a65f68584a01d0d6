//! `fieldvitals alert`: lists, acknowledges, snoozes and resolves alerts, and tries their channels.

use crate::client::answer::alerts::{
    AlertAnswer, AlertsAnswer, ChannelsAnswer, DigestAnswer, DigestChannelAnswer, TestAnswer,
};
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
    /// Print the weekly digest of a site, as it would be sent now, and its channels.
    Digest {
        /// Send it to the channels that take digests of the site, as a test. Needs a token of the scope write.
        #[arg(long)]
        send: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List the channels of the server, and what is wrong with them.
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
        Command::Digest { send, json, server } => digest(server, *send, *json).await,
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

/// Prints the digest, and sends it as a test. Fails if a channel did not take it.
async fn digest(server: &ServerArgs, send: bool, json: bool) -> Result<Done, Failure> {
    let client = Client::new(server)?;
    let site = client.site(server.site.as_deref()).await?;
    let path = ["sites", site.as_str(), "digest"];
    let (raw, answer): (Value, DigestAnswer) =
        if send { client.post_json(&path, &Value::Null).await? } else { client.get(&path, &[]).await? };
    let failed: Vec<String> = answer
        .channels
        .iter()
        .filter_map(|one| Some(format!("`{}`: {}", plain(&one.channel), plain(one.error.as_ref()?))))
        .collect();
    if send && !failed.is_empty() {
        return Err(Failure::usage(
            format!("the digest was not delivered to {}", failed.join("; ")),
            "Check the channel in the file of --alerts, and its receiver; `alert channels` lists what is wrong.",
        ));
    }
    if json {
        return Ok(done(Exit::Pass, format!("{raw:#}\n")));
    }
    let text: Vec<String> = answer.digest.text.lines().map(plain).collect();
    let (title, text) = (plain(&answer.digest.title), text.join("\n"));
    // The sentence of a site without page views begins with the title.
    let title = if text.starts_with(&title) { String::new() } else { format!("{title}\n\n") };
    let mut out = format!("{title}{}\n\n", text.trim_end());
    if answer.channels.is_empty() {
        out.push_str("no channel takes it; `digest = true` in the file of --alerts makes one take digests\n");
    }
    for channel in &answer.channels {
        let state = if send { "took it as a test".to_owned() } else { delivery(channel) };
        out.push_str(&format!("{}: {state}\n", plain(&channel.channel)));
    }
    Ok(done(Exit::Pass, out))
}

/// The last weekly digest of a channel.
fn delivery(channel: &DigestChannelAnswer) -> String {
    let DigestChannelAnswer { week, sent, due, error, .. } = channel;
    let Some(week) = week else { return "no digest was due yet".to_owned() };
    let week = plain(week);
    let error = error.as_ref().map(|error| format!(": {}", plain(error))).unwrap_or_default();
    match (sent, due) {
        (Some(sent), _) => format!("sent {} (week of {week})", minute(sent)),
        (None, Some(due)) => format!("next attempt {} (week of {week}){error}", minute(due)),
        (None, None) => format!("not sent (week of {week}){error}"),
    }
}

fn channels(answer: &ChannelsAnswer, terminal: Terminal) -> String {
    if answer.channels.is_empty() {
        return "the server has no channels; `serve --alerts FILE` names a file of them\n".to_owned();
    }
    let mut table = Table::new(&[
        Column::text("CHANNEL"),
        Column::word("KIND"),
        Column::word("TELLS").dropped(1),
        Column::text("SITES"),
    ]);
    for channel in &answer.channels {
        let sites = if channel.sites.is_empty() { "all".to_owned() } else { channel.sites.join(", ") };
        let tells = match (channel.alerts, channel.digest) {
            (true, true) => "alerts, digest",
            (false, true) => "digest",
            (_, false) => "alerts",
        };
        let cells =
            vec![channel.name.as_str().into(), channel.kind.as_str().into(), tells.into(), sites.into()];
        let problems: Vec<String> = channel.problems.iter().map(|problem| plain(problem)).collect();
        table.noted_row(cells, problems.join("; "));
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
    fn channels_say_what_is_wrong_with_them() {
        let channel = |name: &str, digest, problems: &[&str]| json!({ "name": name, "kind": "email", "sites": [], "alerts": true, "digest": digest, "problems": problems });
        let refused = "127.0.0.1 is not public; `allow` in the file of channels permits it";
        let answer = json!({ "channels": [channel("fine", true, &[]), channel("loop", false, &[refused, "b\u{1b}"])] });
        let answer: ChannelsAnswer = serde_json::from_value(answer).unwrap();
        let text = channels(&answer, Terminal { color: false, columns: Some(80) });
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(words.join(" ").contains(&format!("{refused}; b\\u{{1b}}")), "{text}");
        assert!(text.contains("alerts, digest"), "{text}");
    }

    #[test]
    fn digest_of_a_channel_has_a_state() {
        let of = |sent: Option<&str>, due: Option<&str>, error: Option<&str>| {
            let answer =
                json!({ "channel": "mail", "week": "2026-11-23", "sent": sent, "due": due, "error": error });
            delivery(&serde_json::from_value(answer).unwrap())
        };
        let at = Some("2026-11-30T08:00:05Z");
        assert_eq!(of(at, None, None), "sent 2026-11-30 08:00 (week of 2026-11-23)");
        let failed = of(None, at, Some("503"));
        assert_eq!(failed, "next attempt 2026-11-30 08:00 (week of 2026-11-23): 503");
        assert_eq!(of(None, None, Some("late")), "not sent (week of 2026-11-23): late");
    }

    #[test]
    fn times_of_a_snooze_have_a_unit_and_a_bound() {
        assert_eq!(["30m", "6h", "30d"].map(minutes), [Ok(30), Ok(360), Ok(43_200)]);
        for wrong in ["", "m", "30", "0m", "31d", "1.5h", "-1h"] {
            assert!(minutes(wrong).unwrap_err().starts_with("expected minutes"), "{wrong}");
        }
    }
}
