//! `fieldvitals status`: prints the health of a server; the exit code tells it to programs.

use crate::client::{Client, ServerArgs, server_url};
use crate::exit::{Exit, Failure, finish};
use crate::output::table::{Cell, Column, Table};
use crate::output::{ABSENT, Ink, Terminal, plain, print};
use clap::ValueEnum;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use std::process::ExitCode;

/// Show the health of a server: exit 0 ok, 1 warning, 2 critical, 3 not allowed or no such server, 4 no answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server's address.
    #[arg(long, env = "FIELDVITALS_SERVER", default_value = "http://127.0.0.1:8080", value_name = "URL", value_parser = server_url)]
    server: Url,
    /// An API token with the scope `read`.
    #[arg(long, env = "FIELDVITALS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// The output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Text,
    /// The API's answer.
    Json,
}

/// `GET /status`, as far as the command uses it.
#[derive(Debug, Deserialize)]
struct StatusAnswer {
    health: State,
    checks: Vec<CheckAnswer>,
    version: String,
}

/// A check of the server.
#[derive(Debug, Deserialize)]
struct CheckAnswer {
    name: String,
    state: State,
    value: Option<f64>,
    warning: f64,
    critical: f64,
    since: String,
    #[serde(default)]
    recommendation: Option<String>,
}

/// A state. States of newer servers count as a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Critical,
    #[serde(other)]
    Warning,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    const fn ink(self) -> Ink {
        match self {
            Self::Ok => Ink::Green,
            Self::Warning => Ink::Yellow,
            Self::Critical => Ink::Red,
        }
    }

    /// The exit code by the convention of monitoring plugins.
    const fn exit(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
        }
    }
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    Ok(match execute(&args, Terminal::of_stdout()).await {
        Ok((state, text)) => {
            print(&text);
            ExitCode::from(state.exit())
        }
        // The exit code 2 is that of a critical server.
        Err(failure) if failure.exit == Exit::Usage => {
            finish(Err(Failure { exit: Exit::Inconclusive, ..failure }))
        }
        Err(failure) => finish(Err(failure)),
    })
}

async fn execute(args: &Args, terminal: Terminal) -> Result<(State, String), Failure> {
    let server = ServerArgs { server: args.server.clone(), token: args.token.clone(), site: None };
    let (json, answer): (Value, StatusAnswer) = Client::new(&server)?.get(&["status"], &[]).await?;
    let text = match args.format {
        Format::Json => format!("{json:#}\n"),
        Format::Text => text(&answer, terminal),
    };
    Ok((answer.health, text))
}

fn text(answer: &StatusAnswer, terminal: Terminal) -> String {
    let title = format!("fieldvitals {}: {}", plain(&answer.version), answer.health.name());
    let mut table = Table::new(&[
        Column::text("CHECK"),
        Column::word("STATE"),
        Column::number("VALUE"),
        Column::number("WARNING"),
        Column::number("CRITICAL"),
        Column::word("SINCE (UTC)").dropped(1),
    ]);
    for check in &answer.checks {
        table.noted_row(
            vec![
                check.name.as_str().into(),
                Cell::painted(check.state.name(), check.state.ink()),
                check.value.map_or_else(|| ABSENT.to_owned(), number).into(),
                number(check.warning).into(),
                number(check.critical).into(),
                minute(&check.since).into(),
            ],
            check.recommendation.as_deref().map(plain).unwrap_or_default(),
        );
    }
    format!("{}\n{}", terminal.wrap("", &title), table.render(terminal))
}

/// The minute of a time: `2026-11-30 12:34`.
fn minute(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}

/// A number with up to two decimals.
fn number(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(state: &str) -> StatusAnswer {
        let check = |name: &str, state: &str, value: Value, recommendation: Value| {
            json!({"name": name, "state": state, "value": value, "warning": 99.9, "critical": 99.0,
                   "since": "2026-11-30T12:34:56.789Z", "recommendation": recommendation})
        };
        let checks = [
            check(
                "availability_percent",
                state,
                json!(98.123_4),
                json!("Run a second server behind a balancer that checks /readyz. ".repeat(2)),
            ),
            check("store_p95_ms", "ok", Value::Null, Value::Null),
        ];
        serde_json::from_value(json!({"health": state, "version": "0.1.0\u{1b}[2J", "checks": checks}))
            .unwrap()
    }

    #[test]
    fn checks_fit_a_terminal_of_80_columns_with_their_advice() {
        insta::assert_snapshot!(text(&answer("critical"), Terminal { color: false, columns: Some(80) }));
    }

    #[test]
    fn exit_code_is_that_of_the_worst_state_and_an_unknown_state_warns() {
        let exits = ["ok", "warning", "critical", "melted"].map(|state| answer(state).health.exit());
        assert_eq!(exits, [0, 1, 2, 1]);
    }
}
