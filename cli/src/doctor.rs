//! `fieldvitals doctor`: examines a deployment, a running server and a page, and advises. Changes nothing.
//!
//! In reading order: `server` (health of a running server), `page` (tag, policy, files and preflight of a page), `html`,
//! `policy`, `browser` (a beacon of a real visit), `fetch` (HTTP). The data folder, the spool and the store examine
//! themselves (`fieldvitals_server::diagnosis`).

mod browser;
mod fetch;
mod html;
mod page;
mod policy;
mod server;

use crate::client::{Client, ServerArgs, server_url};
use crate::config::{Refused, check_serve};
use crate::output::{Ink, Terminal, plain, print};
use crate::progress::count;
use crate::store_args::StoreArgs;
use clap::ValueEnum;
use fetch::Fetcher;
use fieldvitals_server::clock::now_ms;
use fieldvitals_server::diagnosis::Deployment;
use fieldvitals_server::limits::SPOOL_BYTES_MAX;
use fieldvitals_store::diagnosis::{Finding, Level};
use reqwest::Url;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Bytes of a MiB.
const MIB: u64 = 1024 * 1024;

/// Examine a deployment or a page: exit 0 without problems, 1 with problems, 2 for a wrong command line.
///
/// Reads the data folder, the spool, the store and its plans; with --config the file of `serve`; with --server a running server too; with --page a page
/// that has the tag. Each line has a finding, with advice below it. Changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// Days for which the server keeps page views; by default what `fieldvitals retention show` says.
    #[arg(long = "keep-views-days", env = "FIELDVITALS_KEEP_VIEWS_DAYS", value_name = "N")]
    keep_views_days: Option<u32>,
    /// Maximum size of the server's spool, in MiB.
    #[arg(long, env = "FIELDVITALS_SPOOL_MAX_MIB", default_value_t = SPOOL_BYTES_MAX / MIB, value_name = "N")]
    spool_max_mib: u64,
    /// Folder or file of backups, whose age is checked. The default is the last `fieldvitals backup` of the data folder.
    #[arg(long, env = "FIELDVITALS_BACKUPS", value_name = "PATH")]
    backups: Option<PathBuf>,
    /// A running server to examine.
    #[arg(long, env = "FIELDVITALS_SERVER", value_name = "URL", value_parser = server_url)]
    server: Option<Url>,
    /// An API token for --server with the scope `read`; tells thresholds, and the sites of a page's tag.
    #[arg(long, env = "FIELDVITALS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// A page that should have the tag. Without a data folder, only the page and the server are examined.
    #[arg(long, value_name = "URL", value_parser = server_url)]
    page: Option<Url>,
    /// Open the page in Chromium, and see whether a beacon arrives. Needs chromedriver.
    #[arg(long, requires = "page")]
    browser: bool,
    /// The output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines for people.
    Text,
    /// One JSON object.
    Json,
}

impl Args {
    /// Whether to examine the deployment on this machine.
    fn is_local(&self) -> bool {
        let is_remote = self.page.is_some() || self.server.is_some();
        !is_remote || self.store.is_named() || self.store.data_dir.exists()
    }

    /// The client of the server, with a token.
    fn client(&self) -> Option<Client> {
        let server = self.server.clone()?;
        Client::new(&ServerArgs { server, token: self.token.clone(), site: None }).ok()
    }
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.store.check()?;
    let mut findings = Vec::new();
    findings.extend(args.store.config.as_deref().map(configuration));
    if args.is_local() {
        let deployment = Deployment {
            data_dir: &args.store.data_dir,
            database_url: args.store.database_url(),
            kept_days: args.keep_views_days,
            spool_bytes: args.spool_max_mib.saturating_mul(MIB),
            backups: args.backups.as_deref(),
        };
        findings.extend(deployment.diagnose(now_ms()).await);
    }
    let fetcher = Fetcher::new()?;
    let client = args.client();
    if let Some(server) = &args.server {
        findings.extend(server::diagnose(&fetcher, server, client.as_ref()).await);
    }
    if let Some(page) = &args.page {
        findings.extend(page::diagnose(&fetcher, page, client.as_ref(), args.browser).await);
    }
    let problems = findings.iter().filter(|finding| finding.level == Level::Problem).count();
    print(&match args.format {
        Format::Json => to_json(&findings),
        Format::Text => to_text(&findings, Terminal::of_stdout()),
    });
    Ok(ExitCode::from(u8::from(problems > 0)))
}

/// Examines a configuration file. Reading the command line has refused unknown names and wrong values.
fn configuration(file: &Path) -> Finding {
    const CHECK: &str = "config";
    let name = file.display();
    match check_serve(file) {
        Ok(()) => Finding::ok(CHECK, format!("`serve` takes {name} and the files that it names")),
        Err(Refused::Unset(variable)) => Finding::warning(
            CHECK,
            format!(
                "the file of channels that {name} names was read up to {variable}, which is not set here"
            ),
            format!(
                "Set {variable} for this command as for `serve`, such as from the file of its secrets, to check the rest."
            ),
        ),
        Err(Refused::Wrong(mistake)) => Finding::problem(
            CHECK,
            format!("`serve` does not start with {name}: {mistake}"),
            format!("`fieldvitals config show --config {name}` checks it again."),
        ),
    }
}

fn counts(findings: &[Finding]) -> [usize; 2] {
    [Level::Problem, Level::Warning]
        .map(|level| findings.iter().filter(|finding| finding.level == level).count())
}

fn to_json(findings: &[Finding]) -> String {
    let [problems, warnings] = counts(findings);
    let json = json!({"problems": problems, "warnings": warnings, "findings": findings});
    format!("{json:#}\n")
}

/// A line for each finding, and its advice below.
fn to_text(findings: &[Finding], terminal: Terminal) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    let mut text = String::new();
    for finding in findings {
        let ink = match finding.level {
            Level::Ok => Ink::Green,
            Level::Warning => Ink::Yellow,
            Level::Problem => Ink::Red,
        };
        let level = format!("{:7}", finding.level.name());
        let label = format!("{level}  {:width$}  ", finding.check);
        // Colors come last, because they have no width.
        let line = terminal.item(&label, &plain(&finding.found));
        text.push_str(&line.replacen(&level, &terminal.paint(ink, &level), 1));
        if !finding.advice.is_empty() {
            text.push_str(&terminal.wrap(&" ".repeat(label.len()), &plain(&finding.advice)));
        }
    }
    let [problems, warnings] = counts(findings).map(|count| count as u64);
    text.push_str(&match (problems, warnings) {
        (0, 0) => "no problem found\n".to_owned(),
        _ => format!("{}, {}\n", count(problems, "problem"), count(warnings, "warning")),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_fit_a_terminal_of_80_columns_and_steer_none() {
        let findings = [
            Finding::ok("store.open", "/var/lib/fieldvitals/store.db, 1.5 GiB"),
            Finding::problem(
                "page.policy.connect",
                format!("the policy forbids beacons\u{1b}[2J to {}", "https://vitals.example ".repeat(5)),
                "Add https://vitals.example to connect-src. ".repeat(3),
            ),
            Finding::warning("backups", "none is named", "Name their folder."),
        ];
        let text = to_text(&findings, Terminal { color: false, columns: Some(80) });
        insta::assert_snapshot!(text);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let colored = to_text(&findings[..1], Terminal { color: true, columns: None });
        assert!(colored.starts_with("\u{1b}[32mok     \u{1b}[0m  store.open"), "{colored:?}");
    }

    #[test]
    fn secret_that_only_the_server_has_is_no_problem() {
        let folder = tempfile::tempdir().unwrap();
        let [config, alerts] = ["fieldvitals.toml", "alerts.toml"].map(|name| folder.path().join(name));
        std::fs::write(&config, format!("alerts = {alerts:?}\n")).unwrap();
        let channel = |secret: &str| {
            format!(
                "[[channel]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"https://a.example/\"\nsecret = {secret}\n"
            )
        };
        for (secret, level) in [
            ("\"s\"", Level::Ok),
            ("{ env = \"FIELDVITALS_NOT_SET\" }", Level::Warning),
            ("{ file = \"/nowhere\" }", Level::Problem),
            ("7", Level::Problem),
        ] {
            std::fs::write(&alerts, channel(secret)).unwrap();
            let finding = configuration(&config);
            assert_eq!(finding.level, level, "{secret}: {finding:?}");
            let is_named = finding.found.contains("FIELDVITALS_NOT_SET");
            assert_eq!(is_named, level == Level::Warning, "{finding:?}");
        }
    }

    #[test]
    fn json_counts_the_findings() {
        let json: serde_json::Value =
            serde_json::from_str(&to_json(&[Finding::problem("a", "b", "c"), Finding::ok("d", "e")]))
                .unwrap();
        assert_eq!(json["problems"], 1);
        assert_eq!(
            json["findings"][0],
            json!({"check": "a", "level": "problem", "found": "b", "advice": "c"})
        );
        assert_eq!(json["findings"][1], json!({"check": "d", "level": "ok", "found": "e"}));
    }
}
