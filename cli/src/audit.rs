//! `fieldvitals audit`: shows who changed which setting, and when.

use crate::client::RemoteArgs;
use crate::output::table::{Column, Table};
use crate::output::{ABSENT, Terminal, print as print_table};
use crate::site::{print, print_text};
use crate::store_args::StoreArgs;
use fieldvitals_server::limits;
use fieldvitals_server::report::time_text;
use fieldvitals_store::{AuditEntry, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Show who changed which site, token or deploy mark, and when; the latest first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Changes to show, at most 500.
    #[arg(long, default_value_t = 50, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=limits::AUDIT_ROWS_MAX as i64))]
    limit: u32,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    remote: RemoteArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A change, as it is shown.
#[derive(Serialize, Deserialize)]
struct Change {
    at: String,
    actor: String,
    action: String,
    target: String,
    before: Option<Value>,
    after: Option<Value>,
}

impl From<AuditEntry> for Change {
    fn from(entry: AuditEntry) -> Self {
        let settings = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        Self {
            at: time_text(entry.at_ms),
            actor: entry.actor,
            action: entry.action,
            target: entry.target,
            before: settings(entry.before),
            after: settings(entry.after),
        }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let changes: Vec<Change> = match args.remote.remote(&args.store)? {
        Some(remote) => remote.audit(args.limit).await?,
        None => {
            let list = async |store: &dyn Store| Ok(store.audit(None, args.limit).await?);
            args.store.with(list).await?.into_iter().map(|(_, entry)| entry.into()).collect()
        }
    };
    if args.json {
        print(&json!(changes));
    } else if changes.is_empty() {
        print_text("no setting was changed yet");
    } else {
        print_table(&table(&changes, Terminal::of_stdout()));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(changes: &[Change], terminal: Terminal) -> String {
    let mut table = Table::new(&[
        Column::word("TIME"),
        Column::word("CHANGE"),
        Column::text("OF"),
        Column::text("BY"),
        Column::text("BEFORE").dropped(2),
        Column::text("AFTER").dropped(1),
    ]);
    for change in changes {
        let settings =
            |value: &Option<Value>| value.as_ref().map_or_else(|| ABSENT.to_owned(), Value::to_string);
        table.row(vec![
            change.at.as_str().into(),
            change.action.as_str().into(),
            change.target.as_str().into(),
            change.actor.as_str().into(),
            settings(&change.before).into(),
            settings(&change.after).into(),
        ]);
    }
    table.render(terminal)
}
