//! `fieldvitals check`: judges a budget file with field data, for CI pipelines.

mod browser_performance;
mod code_quality;
mod github;
mod junit;
mod lab;
mod look;
mod markdown;
mod sarif;
mod text;
mod wait;
mod wording;

use crate::budget::kept::newest;
use crate::budget_file;
use crate::client::answer::gate::{BudgetAnswer, GateAnswer};
use crate::client::{Client, ServerArgs, period};
use crate::exit::{Done, Exit, Failure, finish};
use crate::output::{Terminal, plain};
use clap::ValueEnum;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser as _};
use lab::LabArgs;
use look::{Look, Question};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use vitals::budget::Severity;
use vitals::gate::{Looks, Verdict};
use wait::{End, Waited};

/// Judge budgets with field data.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The budget file; `-` reads standard input. Without a file, the budgets that are kept on the server.
    #[arg(long, value_name = "FILE")]
    budget: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    /// Only page views of this release.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    release: Option<String>,
    /// The last hours or days: 24h, 7d, 28d, 90d.
    #[arg(long, default_value = "7d", value_parser = period)]
    period: String,
    /// Look again until all budgets pass or one fails, for at most this time: 30m, 6h. The test stays valid however often
    /// it looks; all looks judge the period from its first start.
    #[arg(long, value_name = "TIME", value_parser = wait::time)]
    wait: Option<Duration>,
    /// The time between two looks.
    #[arg(long, value_name = "TIME", default_value = "30s", requires = "wait", value_parser = wait::time)]
    every: Duration,
    /// How often this check looks at the same growing data: `many` keeps a check honest that runs again and again for one
    /// release, and takes about twice the page views. --wait implies it.
    #[arg(long, value_name = "NUMBER", conflicts_with = "wait", value_parser = looks())]
    looks: Option<Looks>,
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
    #[command(flatten)]
    lab: LabArgs,
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
    /// A Code Quality report of GitLab.
    CodeQuality,
    /// A browser performance report of GitLab: measured percentiles, without verdicts.
    BrowserPerformance,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
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
    /// The reason why the looks ended.
    end: End,
}

/// The weight of a finding in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// The check fails by it.
    Error,
    /// It warns.
    Warning,
    /// It informs.
    Note,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let summary = std::env::var_os("GITHUB_STEP_SUMMARY").map(PathBuf::from);
    Ok(finish(execute(&args, Terminal::of_stdout(), summary.as_deref()).await))
}

async fn execute(args: &Args, terminal: Terminal, summary: Option<&Path>) -> Result<Done, Failure> {
    // Parses before the request, so that the error names the file and needs no server.
    let source = args.budget.as_deref().map(budget_file::read).transpose()?;
    judge(args, source, terminal, summary).await
}

/// Judges a budget file, or the budgets that are kept on the server.
///
/// # Errors
/// The server's refusal, or no answer.
pub(crate) async fn judge(
    args: &Args,
    source: Option<budget_file::Source>,
    terminal: Terminal,
    summary: Option<&Path>,
) -> Result<Done, Failure> {
    let Measured { file, waited, mut warnings } =
        if args.lab.urls.is_empty() { of_field(args, source).await? } else { of_lab(args, source).await? };
    let checked = Checked {
        answer: &waited.look.answer,
        file: &file,
        verdict: waited.look.verdict,
        on_inconclusive: args.on_inconclusive,
        end: waited.end,
    };
    warnings.insert(0, checked.warning());
    let stdout = match args.format {
        Format::Text => text::render(&checked, terminal),
        Format::Json => format!("{:#}\n", waited.look.json),
        Format::Markdown => markdown::render(&checked),
        Format::Junit => junit::render(&checked, jiff::Timestamp::now()),
        Format::CodeQuality => code_quality::render(&checked),
        Format::BrowserPerformance => browser_performance::render(&checked),
        Format::Sarif => sarif::render(&checked),
        Format::Github => {
            if let Some(path) = summary
                && let Err(error) = append(path, &markdown::render(&checked))
            {
                warnings.push(format!(
                    "cannot write the job summary to {}: {error}",
                    plain(&path.to_string_lossy())
                ));
            }
            github::render(&checked)
        }
    };
    warnings.retain(|warning| !warning.is_empty());
    Ok(Done { exit: checked.exit(), stdout, warning: warnings.join("\n") })
}

/// The answer of a check, before it is shown.
struct Measured {
    /// The path of the budget file.
    file: String,
    waited: Waited,
    warnings: Vec<String>,
}

/// Judges by the field data of a server.
async fn of_field(args: &Args, source: Option<budget_file::Source>) -> Result<Measured, Failure> {
    let client = Client::new(&args.server)?;
    let site = client.site(args.server.site.as_deref()).await?;
    let budget_file::Source { name: file, text, parsed } = match source {
        Some(source) => source,
        None => newest(&client, &site).await?,
    };
    let question = Question {
        client: &client,
        site: &site,
        release: args.release.as_deref(),
        period: &args.period,
        looks: if args.wait.is_some() { Looks::Many } else { args.looks.unwrap_or_default() },
        record: args.record,
        name: &file,
        file: &text,
        budgets: parsed.budgets.len(),
    };
    let waited = match args.wait {
        None => once(question.look(None).await?),
        Some(time) => wait::wait(&question, time, args.every, wait::stopped()).await?,
    };
    let mut warnings: Vec<String> = args.wait.map(|time| wait::warning(&waited, time)).into_iter().collect();
    let answer = &waited.look.answer;
    if let (true, Some(release)) = (answer.budgets.iter().all(|budget| budget.n == 0), &args.release) {
        warnings.push(client.release_warning(&site, release, &args.period).await);
    }
    Ok(Measured { file, waited, warnings })
}

/// Judges by runs in a local browser.
async fn of_lab(args: &Args, source: Option<budget_file::Source>) -> Result<Measured, Failure> {
    let source = source.ok_or_else(|| Failure::usage("--lab judges a budget file", "Add --budget FILE."))?;
    let (look, warnings) = lab::look(&args.lab, &source).await?;
    Ok(Measured { file: source.name, waited: once(look), warnings })
}

/// A check of one look.
const fn once(look: Look) -> Waited {
    Waited { look, end: End::Decided, looks: 1 }
}

impl Checked<'_> {
    fn exit(&self) -> Exit {
        if self.end == End::Interrupted {
            return Exit::Inconclusive;
        }
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

    /// The budgets that are not kept, with the weight of each.
    fn findings(&self) -> impl Iterator<Item = (&BudgetAnswer, Level)> {
        self.answer.budgets.iter().filter_map(move |budget| Some((budget, self.level(budget)?)))
    }

    /// The weight of a budget; `None` if it is kept.
    fn level(&self, budget: &BudgetAnswer) -> Option<Level> {
        match (budget.verdict, budget.severity, self.on_inconclusive) {
            (Verdict::Pass, ..) => None,
            (Verdict::Fail, Severity::Error, _) => Some(Level::Error),
            (Verdict::Fail, Severity::Warn, _) => Some(Level::Warning),
            (Verdict::Inconclusive, Severity::Warn, _) => Some(Level::Note),
            (Verdict::Inconclusive, Severity::Error, Some(OnInconclusive::Pass)) => Some(Level::Note),
            (Verdict::Inconclusive, Severity::Error, Some(OnInconclusive::Warn) | None) => {
                Some(Level::Warning)
            }
            (Verdict::Inconclusive, Severity::Error, Some(OnInconclusive::Fail)) => Some(Level::Error),
        }
    }

    /// Describes a budget that is not kept, on one line.
    fn finding(&self, budget: &BudgetAnswer) -> String {
        let (scope, promise) = (budget.scope(), budget.promise());
        let lab = if budget.lab { "lab run: " } else { "" };
        format!("{lab}route {scope}: {promise}, measured {}: {}", budget.measurement(), budget.why())
    }

    /// The path of the budget file in its repository; standard input has none.
    fn path(&self) -> String {
        if self.file == budget_file::STDIN {
            "budgets.toml".to_owned()
        } else {
            self.file.trim_start_matches("./").to_owned()
        }
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.answer.budgets.iter().filter(|budget| budget.verdict == verdict).count()
    }

    /// `fail: 1 exceeded, 2 kept, 0 inconclusive`, and the number of limits that are not evaluated.
    fn sum(&self) -> String {
        let lab = if self.answer.lab.is_some() { "lab " } else { "" };
        let mut text = format!(
            "{lab}{}: {} exceeded, {} kept, {} inconclusive",
            self.verdict.name(),
            self.count(Verdict::Fail),
            self.count(Verdict::Pass),
            self.count(Verdict::Inconclusive)
        );
        if !self.answer.not_evaluated.is_empty() {
            text.push_str(&format!(", {} not evaluated", self.answer.not_evaluated.len()));
        }
        text
    }

    /// A line for each limit that page views cannot judge.
    fn not_evaluated(&self) -> impl Iterator<Item = String> {
        self.answer.not_evaluated.iter().map(move |limit| {
            format!(
                "{}:{}: not evaluated: {}: {}",
                self.file,
                limit.line,
                plain(&limit.what),
                plain(&limit.why)
            )
        })
    }

    /// Site, release and period, on one line.
    fn about(&self) -> String {
        if let Some(lab) = &self.answer.lab {
            return lab::about(lab);
        }
        let mut parts = vec![plain(&self.answer.site)];
        parts.extend(self.answer.release.as_deref().map(|release| format!("release {}", plain(release))));
        parts.push(format!("{} to {}", plain(&self.answer.period.from), plain(&self.answer.period.to)));
        parts.push(
            match self.answer.looks {
                Looks::One => "exact binomial test of one look",
                Looks::Many => "confidence sequence over any number of looks",
            }
            .to_owned(),
        );
        parts.join(" · ")
    }
}

/// Parses the rule, for clap.
fn looks() -> impl clap::builder::TypedValueParser<Value = Looks> {
    PossibleValuesParser::new(Looks::ALL.map(Looks::name))
        .map(|name| if name == Looks::Many.name() { Looks::Many } else { Looks::One })
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests;
