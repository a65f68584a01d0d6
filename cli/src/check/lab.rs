//! `check --lab`: opens pages in the local Chromium with the collector put in, and judges budgets by these runs.
//!
//! In reading order:
//!
//! - `chromium`: finds and starts the browser
//! - `cdp`: talks to it
//! - `device`: what pages see
//! - `visit`: one measured load
//! - `judge`: the rule, and the answer

mod cdp;
mod chromium;
mod device;
mod judge;
#[cfg(test)]
mod tests;
mod visit;

use super::look::Look;
use super::wait;
use crate::budget_file::Source;
use crate::client::answer::gate::GateAnswer;
use crate::exit::{Exit, Failure};
use crate::output::plain;
use crate::progress::{Progress, count};
use chromium::Chromium;
use device::LabDevice;
use jiff::Timestamp;
use judge::{Page, RUNS_MIN};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;
use visit::{Times, Visit, VisitError};
use vitals::budget::BudgetFile;
use vitals::metric::{Metric, Values};

/// Time after the load event for a TTI: its quiet window of 5 s, and a second more.
const SETTLE_TTI: Duration = Duration::from_secs(6);
/// The same for the other metrics: late images and fonts come within it.
const SETTLE: Duration = Duration::from_secs(2);

/// Options of a lab.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Lab")]
pub(super) struct LabArgs {
    /// Open these pages in the local Chromium and judge the budgets by them: no server, no field data, and nobody uses
    /// the pages, so INP and FID are not measured. A page needs no script tag. Each budget is judged by the median of
    /// the runs of each page.
    #[arg(
        long = "lab",
        value_name = "URL",
        num_args = 1..,
        value_parser = page,
        requires = "budget",
        conflicts_with_all = ["release", "period", "wait", "looks", "record"]
    )]
    pub(super) urls: Vec<Url>,
    /// How often each page is opened, with an empty cache; one more load before is not counted.
    #[arg(long, value_name = "NUMBER", default_value_t = RUNS_MIN, requires = "urls", value_parser = clap::value_parser!(u8).range(i64::from(RUNS_MIN)..=100))]
    runs: u8,
    /// What the pages see.
    #[arg(long, value_enum, default_value_t, requires = "urls")]
    device: LabDevice,
    /// Longest time until the load event of a page.
    #[arg(long, value_name = "TIME", default_value = "60s", requires = "urls", value_parser = wait::time)]
    timeout: Duration,
    /// Time after the load event, for late paints and shifts: 500ms, 2s. Default 2s, and 6s if a budget is on TTI.
    #[arg(long, value_name = "TIME", requires = "urls", value_parser = settle)]
    settle: Option<Duration>,
    /// The browser. Without it, Chromium, Chrome or Edge from the search path.
    #[arg(long, value_name = "FILE", env = "FIELDVITALS_CHROMIUM", value_hint = clap::ValueHint::ExecutablePath)]
    chromium: Option<PathBuf>,
    /// Run the browser without its sandbox, as root in a container: only for pages that you trust.
    #[arg(long, requires = "urls")]
    no_sandbox: bool,
}

/// Parses the address of a page.
fn page(text: &str) -> Result<Url, String> {
    let expected = "expected the address of a page, such as http://localhost:3000/cart";
    let url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(expected.to_owned())
    }
}

/// Parses a time that may be short.
fn settle(text: &str) -> Result<Duration, String> {
    match text.strip_suffix("ms").map(str::parse::<u16>) {
        Some(Ok(ms)) => Ok(Duration::from_millis(u64::from(ms))),
        Some(Err(_)) => Err("expected 0 to 65535 milliseconds, such as 500ms".to_owned()),
        None => wait::time(text),
    }
}

impl LabArgs {
    fn times(&self, file: &BudgetFile) -> Times {
        let has_tti = file.budgets.iter().any(|budget| budget.metric == Metric::Tti);
        let settle = self.settle.unwrap_or(if has_tti { SETTLE_TTI } else { SETTLE });
        Times { load: self.timeout, settle }
    }
}

/// Opens the pages and judges the budgets. Returns the answer, and warnings.
///
/// # Errors
/// If there is no browser, a page does not load, or Ctrl-C.
pub(super) async fn look(args: &LabArgs, source: &Source) -> Result<(Look, Vec<String>), Failure> {
    let from = Timestamp::now();
    let mut browser = Chromium::start(args.chromium.as_deref(), args.no_sandbox).await?;
    let measured = tokio::select! {
        measured = pages(args, &mut browser, args.times(&source.parsed)) => measured,
        () = wait::stopped() => Err(Failure {
            exit: Exit::Inconclusive,
            message: "interrupted before all pages were measured".to_owned(),
            hint: String::new(),
        }),
    };
    let product = browser.product.clone();
    browser.close().await;
    let (pages, warnings) = measured?;
    let lab = json!({"browser": product, "device": args.device.class().name(), "runs": args.runs});
    let period = [from, Timestamp::now()].map(|moment| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let json = judge::answer(&source.parsed, &pages, &lab, args.device, period);
    let answer: GateAnswer = serde_json::from_value(json.clone())
        .map_err(|error| Failure::usage(format!("the answer of the lab cannot be read: {error}"), ""))?;
    let verdict = answer.verdict;
    Ok((Look { json, answer, verdict }, warnings))
}

async fn pages(
    args: &LabArgs,
    browser: &mut Chromium,
    times: Times,
) -> Result<(Vec<Page>, Vec<String>), Failure> {
    let mut progress = Progress::new();
    let (mut pages, mut warnings) = (Vec::new(), Vec::new());
    for url in &args.urls {
        let mut runs: Vec<Values> = Vec::new();
        let shown = plain(url.as_str());
        // The first load fills the caches of the server.
        let warm_up = Times { settle: Duration::ZERO, ..times };
        let mut last = visited(browser, url, args.device, warm_up).await?;
        for run in 1..=args.runs {
            progress.say(|| format!("run {run} of {}: {shown}", args.runs));
            last = visited(browser, url, args.device, times).await?;
            runs.push(last.values);
        }
        if Url::parse(&last.url).is_ok_and(|end| end.path() != url.path() || end.host() != url.host()) {
            warnings.push(format!("warning: {shown} leads to {}, which was measured", plain(&last.url)));
        }
        pages.push(Page { url: url.clone(), runs });
    }
    Ok((pages, warnings))
}

async fn visited(
    browser: &mut Chromium,
    url: &Url,
    device: LabDevice,
    times: Times,
) -> Result<Visit, Failure> {
    visit::visit(browser, url, device, times).await.map_err(|error| match error {
        VisitError::Browser(error) => browser.broken(&error),
        VisitError::Page(why) => Failure::unreachable(
            format!("{} does not load: {}", plain(url.as_str()), plain(&why)),
            hint(&why),
        ),
    })
}

/// What to do about a page that does not load.
fn hint(why: &str) -> &'static str {
    match why {
        why if why.starts_with("no load event") => "Open it by hand; --timeout waits longer.",
        why if why.contains("ERR_CERT") => "The system must trust its certificate.",
        why if why.contains("ERR_CONNECTION_REFUSED") => "Is its server running?",
        _ => "Open it by hand.",
    }
}

/// `lab, not visitors · desktop · 5 runs a page · Chrome/142.0 · exact binomial test of the median`
pub(super) fn about(lab: &crate::client::answer::gate::LabAnswer) -> String {
    format!(
        "lab, not visitors · {} · {} a page · {} · exact binomial test of the median",
        plain(&lab.device),
        count(u64::from(lab.runs), "run"),
        plain(&lab.browser)
    )
}
