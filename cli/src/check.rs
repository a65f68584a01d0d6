//! `fieldvitals check`: judges a budget file with field data, for CI pipelines.

mod github;
mod junit;
mod markdown;
mod text;

use crate::client::answer::{BudgetAnswer, GateAnswer};
use crate::client::{Client, ServerArgs, period};
use crate::exit::{Done, Exit, Failure, finish};
use crate::output::{ABSENT, Terminal, limit, plain, value};
use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use vitals::gate::{Verdict, overall};
use vitals::limits;

/// Judge budgets with field data.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The budget file.
    #[arg(long, value_name = "FILE")]
    budget: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
    /// Only page views of this release.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    release: Option<String>,
    /// The last hours or days: 24h, 7d, 28d, 90d.
    #[arg(long, default_value = "7d", value_parser = period)]
    period: String,
    /// The exit code of an inconclusive check: pass and warn exit 0, fail exits 1; without this option the exit code
    /// is 3.
    #[arg(long, value_enum)]
    on_inconclusive: Option<OnInconclusive>,
    /// Record the result for all readers of the site: open violations of broken budgets, and resolve violations of
    /// kept budgets. Needs a token of the scope write.
    #[arg(long)]
    record: bool,
    /// The output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnInconclusive {
    /// Exit 0.
    Pass,
    /// Exit 0 and warn.
    Warn,
    /// Exit 1.
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Text,
    /// The API's answer.
    Json,
    /// A table for merge requests and job summaries.
    #[value(name = "md", alias = "markdown")]
    Markdown,
    /// JUnit XML, which GitLab, Jenkins and Azure show as tests.
    Junit,
    /// GitHub annotations at the budget file's lines, and a job summary.
    Github,
}

/// A check's result, as input of the formats.
struct Checked<'a> {
    answer: &'a GateAnswer,
    /// The path of the budget file, as the user gave it.
    file: &'a str,
    /// The verdict over all budgets.
    verdict: Verdict,
    /// The treatment of an inconclusive verdict.
    on_inconclusive: Option<OnInconclusive>,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let summary = std::env::var_os("GITHUB_STEP_SUMMARY").map(PathBuf::from);
    Ok(finish(execute(&args, Terminal::of_stdout(), summary.as_deref()).await))
}

async fn execute(args: &Args, terminal: Terminal, summary: Option<&Path>) -> Result<Done, Failure> {
    let file = plain(&args.budget.to_string_lossy());
    let text = read(&args.budget, &file)?;
    // Parses before the request, so that the error names the file and needs no server.
    let budgets = vitals::budget::parse(&text).map_err(|error| {
        Failure::usage(format!("{file}:{error}"), "docs/budgets.md describes the format.")
    })?;
    let client = Client::new(&args.server)?;
    let site = client.site(args.server.site.as_deref()).await?;
    let query = [
        ("period", Some(args.period.as_str())),
        ("release", args.release.as_deref()),
        ("record", args.record.then_some("true")),
    ];
    let (json, answer): (Value, GateAnswer) =
        client.post_toml(&["sites", &site, "gate"], &query, text).await?;
    let verdicts: Vec<Verdict> = answer.budgets.iter().map(|budget| budget.verdict).collect();
    let verdict = overall(&verdicts);
    // Never passes on an answer that omits budgets or contradicts itself.
    if verdicts.len() != budgets.len() || verdict != answer.verdict {
        return Err(Failure::unreachable(
            format!(
                "the server judged {} of {} budgets as {}",
                verdicts.len(),
                budgets.len(),
                answer.verdict.name()
            ),
            "Does it run the same version as this command?",
        ));
    }
    let checked = Checked { answer: &answer, file: &file, verdict, on_inconclusive: args.on_inconclusive };
    let mut warning = checked.warning();
    if let (true, Some(release)) = (answer.budgets.iter().all(|budget| budget.n == 0), &args.release) {
        let unknown = client.release_warning(&site, release, &args.period).await;
        warning =
            [warning, unknown].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
    }
    let stdout = match args.format {
        Format::Text => text::render(&checked, terminal),
        Format::Json => format!("{json:#}\n"),
        Format::Markdown => markdown::render(&checked),
        Format::Junit => junit::render(&checked, jiff::Timestamp::now()),
        Format::Github => {
            if let Some(path) = summary
                && let Err(error) = append(path, &markdown::render(&checked))
            {
                warning =
                    format!("cannot write the job summary to {}: {error}", plain(&path.to_string_lossy()));
            }
            github::render(&checked)
        }
    };
    Ok(Done { exit: checked.exit(), stdout, warning })
}

impl Checked<'_> {
    fn exit(&self) -> Exit {
        match (self.verdict, self.on_inconclusive) {
            (Verdict::Pass, _) => Exit::Pass,
            (Verdict::Fail, _) => Exit::Fail,
            (Verdict::Inconclusive, None) => Exit::Inconclusive,
            (Verdict::Inconclusive, Some(OnInconclusive::Pass | OnInconclusive::Warn)) => Exit::Pass,
            (Verdict::Inconclusive, Some(OnInconclusive::Fail)) => Exit::Fail,
        }
    }

    fn warning(&self) -> String {
        match (self.verdict, self.on_inconclusive) {
            (Verdict::Inconclusive, Some(OnInconclusive::Warn)) => {
                let mut text =
                    "warning: the data do not tell whether all budgets are kept; --on-inconclusive warn lets that pass"
                        .to_owned();
                for budget in self.answer.budgets.iter().filter(|budget| budget.routes == Some(0)) {
                    text.push_str(&format!("\n{}:{}: {}", self.file, budget.line, plain(&budget.reason)));
                }
                text
            }
            _ => String::new(),
        }
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.answer.budgets.iter().filter(|budget| budget.verdict == verdict).count()
    }

    /// `fail: 1 budget exceeded, 2 kept, 0 inconclusive`
    fn sum(&self) -> String {
        format!(
            "{}: {} exceeded, {} kept, {} inconclusive",
            self.verdict.name(),
            self.count(Verdict::Fail),
            self.count(Verdict::Pass),
            self.count(Verdict::Inconclusive)
        )
    }

    /// Site, release and period, on one line.
    fn about(&self) -> String {
        let mut parts = vec![plain(&self.answer.site)];
        parts.extend(self.answer.release.as_deref().map(|release| format!("release {}", plain(release))));
        parts.push(format!("{} to {}", plain(&self.answer.period.from), plain(&self.answer.period.to)));
        parts.join(" · ")
    }
}

impl BudgetAnswer {
    /// `LCP p75 ≤ 2500 ms`
    fn promise(&self) -> String {
        format!("{} p{} ≤ {}", self.metric.name(), self.percentile, limit(self.metric, self.max))
    }

    /// `3100 ms (3000 ms to 3200 ms)`, or less if data are missing.
    fn measurement(&self) -> String {
        match (self.measured, self.interval) {
            (None, _) => ABSENT.to_owned(),
            (Some(measured), None) => self.value(measured),
            (Some(measured), Some([low, high])) => {
                format!("{} ({} to {})", self.value(measured), self.value(low), self.value(high))
            }
        }
    }

    fn value(&self, number: f64) -> String {
        value(self.metric, number, &[self.max])
    }

    /// The reason, and the number of samples needed.
    fn why(&self) -> String {
        let mut text = plain(&self.reason);
        if let Some(needed) = self.samples_needed {
            text.push_str(&format!("; about {needed} page views are needed, there are {}", self.n));
        }
        text
    }

    /// `route /p/*, phone`
    fn scope(&self) -> String {
        let mut text = format!("route {}", plain(&self.route));
        if let Some(device) = &self.device {
            text.push_str(&format!(", {}", plain(device)));
        }
        text
    }
}

/// The text of the budget file.
fn read(path: &Path, file: &str) -> Result<String, Failure> {
    let wrong = |error: std::io::Error| {
        Failure::usage(format!("cannot read the budget file {file}: {error}"), "--budget FILE names it.")
    };
    let mut bytes = Vec::new();
    // One byte beyond the bound is enough to see that the file is too large.
    let bound = limits::API_BODY_BYTES_MAX as u64 + 1;
    std::fs::File::open(path).and_then(|opened| opened.take(bound).read_to_end(&mut bytes)).map_err(wrong)?;
    String::from_utf8(bytes).map_err(|error| {
        let start = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..start]).into_owned();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Failure::usage(
            format!("{file}:{line}:{column}: not UTF-8; expected a text file"),
            "Save the file as UTF-8.",
        )
    })
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests;
