//! Reads the budget files of other tools, in JSON or YAML: Lighthouse's `budget.json`, assertions of Lighthouse CI,
//! thresholds of k6, budgets of sitespeed.io.
//!
//! These tools judge page loads in a laboratory; here each limit bounds the 75th percentile of page views, unless the file
//! names a percentile. Limits that page views cannot judge are listed, never skipped silently.

mod k6;
mod lhci;
mod lighthouse;
mod sitespeed;
mod unknown;
mod yaml;

use super::{
    Budget, BudgetError, BudgetFile, BudgetFilters, Limit as BudgetLimit, MIN_SAMPLES_DEFAULT, NotEvaluated,
    Severity, file::clean, matches, mistake,
};
use crate::limits;
use crate::metric::{Metric, Value};
use serde_json::Value as Json;

/// Reads a file of another tool; `None` if it may be TOML.
pub(super) fn parse(text: &str) -> Option<Result<BudgetFile, BudgetError>> {
    let text = text.trim_start_matches('\u{feff}');
    let start = text.trim_start();
    let is_json = start.starts_with('{') || (start.starts_with('[') && !is_toml_table(start));
    if let Some(found) = unknown::text(start) {
        return Some(error(1, found, unknown::EXPECTED));
    }
    let format = match (is_json, yaml::is_yaml(start)) {
        (true, _) => Format::Json,
        (false, true) => Format::Yaml,
        (false, false) => return None,
    };
    if text.len() > limits::API_BODY_BYTES_MAX {
        return Some(error(1, format!("a file of {} bytes", text.len()), "at most 256 KiB"));
    }
    let read = match format {
        Format::Json => serde_json::from_str(text).map_err(|fault| {
            let (line, column) = (fault.line().max(1), fault.column().max(1));
            let found = "JSON with a mistake".to_owned();
            BudgetError { line, column, found, expected: fault.to_string() }
        }),
        Format::Yaml => yaml::read(text),
    };
    let value: Json = match read {
        Ok(value) => value,
        Err(fault) => return Some(Err(fault)),
    };
    let mut reader = Reader { text, format, from: 0, file: BudgetFile::default() };
    let read = match &value {
        Json::Array(entries) if lighthouse::is_budget(entries) => lighthouse::read(entries, &mut reader),
        Json::Object(_) => {
            if let Some(entries) = lighthouse::settings(&value) {
                lighthouse::read(entries, &mut reader)
            } else if let Some(assert) = lhci::assertions(&value) {
                lhci::read(assert, &mut reader)
            } else if let Some(thresholds) = k6::thresholds(&value) {
                k6::read(thresholds, &mut reader)
            } else if let Some(budget) = sitespeed::budget(&value) {
                sitespeed::read(budget, &mut reader)
            } else if let Some(messages) = sitespeed::messages(&value) {
                sitespeed::read_messages(messages, &mut reader)
            } else {
                wrong(1, unknown::value(&value, format), unknown::EXPECTED)
            }
        }
        other => wrong(1, unknown::value(other, format), unknown::EXPECTED),
    };
    Some(match read {
        Ok(tool) => reader.finish(tool),
        Err(Fault { line, found, expected }) => error(line, found, expected),
    })
}

/// Whether a text that starts with a bracket is a TOML table: `[[budget]]` or `[name]`.
fn is_toml_table(start: &str) -> bool {
    let name = start.trim_start_matches('[').trim_start();
    name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_')
        && !["true", "false", "null"].contains(&name)
}

fn error<T>(line: usize, found: impl Into<String>, expected: &str) -> Result<T, BudgetError> {
    Err(BudgetError { line, column: 1, found: found.into(), expected: expected.to_owned() })
}

/// The result of a reader: the tool's name, or the fault of a file that its tool would refuse.
type Read = Result<&'static str, Fault>;

/// A fault in a line.
struct Fault {
    line: usize,
    found: String,
    expected: &'static str,
}

fn wrong<T>(line: usize, found: String, expected: &'static str) -> Result<T, Fault> {
    Err(Fault { line, found, expected })
}

/// The notation of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Yaml,
}

impl Format {
    const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Yaml => "YAML",
        }
    }
}

/// Collects the budgets of a file.
struct Reader<'a> {
    text: &'a str,
    format: Format,
    /// Bytes of the file before the part that is read.
    from: usize,
    file: BudgetFile,
}

impl Reader<'_> {
    /// Returns the line of a key or text, at or after the part that is read; that part's line if it is not there.
    fn line(&self, name: &str) -> usize {
        let at = self.find(name).unwrap_or(self.from);
        self.text.get(..at).unwrap_or_default().matches('\n').count().saturating_add(1)
    }

    /// Moves on to the part of the file that begins with a key or text.
    fn enter(&mut self, name: &str) {
        self.from = self.find(name).unwrap_or(self.from);
    }

    /// Finds a key or text at or after the part that is read: in quotes and with the escapes of JSON, or in YAML also as a
    /// whole word outside comments.
    fn find(&self, name: &str) -> Option<usize> {
        let rest = self.text.get(self.from..)?;
        let is_word = |at: usize| {
            let (before, after) = (rest.get(..at).unwrap_or_default(), rest.get(at..).unwrap_or_default());
            let line = before.rsplit('\n').next().unwrap_or_default();
            let is_part = |char: char| char.is_alphanumeric() || "-_".contains(char);
            let ends = after.strip_prefix(name).is_some_and(|after| !after.starts_with(is_part));
            ends && !before.ends_with(is_part) && !line.trim_start().starts_with('#')
        };
        let word = match self.format {
            Format::Json => None,
            Format::Yaml => rest.match_indices(name).map(|(at, _)| at).find(|&at| is_word(at)),
        };
        let at = word.or_else(|| rest.find(&Json::from(name).to_string()))?;
        Some(self.from.saturating_add(at))
    }

    /// Adds a limit; lists it if its number is no plausible value of the metric.
    fn budget(&mut self, limit: Limit<'_>) {
        let Limit { name, metric, max, percentile, route, severity } = limit;
        let line = self.line(name);
        self.host(name, &route);
        if let Some((fault, expected)) = mistake::unit(metric, max) {
            let why = format!("{max} is {fault} for {}; expected {expected}", metric.name());
            return self.not_evaluated(name, &why);
        }
        match Value::new(metric, max) {
            Ok(max) => self.file.budgets.push(Budget {
                route,
                except: Vec::new(),
                metric,
                limit: BudgetLimit::Max(max),
                percentile,
                filters: BudgetFilters::default(),
                severity,
                min_samples: MIN_SAMPLES_DEFAULT,
                line,
            }),
            Err(fault) => self.not_evaluated(name, &format!("{max} {fault} for {}", metric.name())),
        }
    }

    /// Lists a limit that page views cannot judge.
    fn not_evaluated(&mut self, name: &str, why: &str) {
        let line = self.line(name);
        self.list(line, clean(name), why.to_owned());
    }

    fn list(&mut self, line: usize, what: String, why: String) {
        self.file.not_evaluated.push(NotEvaluated { line, what, why, host: None });
    }

    /// Lists the host of a URL or of a regular expression over URLs, once. `name` has the line.
    fn host(&mut self, name: &str, url: &str) {
        let Some(host) = host(url) else { return };
        if self.file.not_evaluated.iter().any(|one| one.host.as_ref() == Some(&host)) {
            return;
        }
        let (line, what) = (self.line(name), format!("host {}", clean(&host)));
        let why =
            "routes have no host, so the limits of its pages bound the page views of all origins".to_owned();
        self.file.not_evaluated.push(NotEvaluated { line, what, why, host: Some(host) });
    }

    /// Lists the budgets whose page views are all those of a later pattern.
    fn replace(&mut self, pattern: &str) {
        for budget in core::mem::take(&mut self.file.budgets) {
            if matches(pattern, &budget.route) {
                let (name, route) = (budget.metric.name(), clean(&budget.route));
                let why = format!("the later path `{}` replaces it", clean(pattern));
                self.list(budget.line, format!("{name} of {route}"), why);
            } else {
                self.file.budgets.push(budget);
            }
        }
    }

    fn finish(mut self, tool: &'static str) -> Result<BudgetFile, BudgetError> {
        self.file.tool = Some(tool);
        let mut budgets: Vec<Budget> = Vec::new();
        for budget in core::mem::take(&mut self.file.budgets) {
            let same = |known: &&mut Budget| (known.key(), &known.except) == (budget.key(), &budget.except);
            match budgets.iter_mut().find(same) {
                None => budgets.push(budget),
                // The strictest of equal limits bounds all of them.
                Some(known) if known.severity == budget.severity => {
                    if let (BudgetLimit::Max(max), BudgetLimit::Max(other)) = (&mut known.limit, budget.limit)
                    {
                        *max = other.min(*max);
                    }
                }
                Some(known) => {
                    let is_warning = budget.severity == Severity::Warn;
                    let warning = if is_warning { budget } else { core::mem::replace(known, budget) };
                    let why = "a limit of the same page views that fails the check is judged".to_owned();
                    self.list(warning.line, warning.metric.name().to_owned(), why);
                }
            }
        }
        if budgets.len() > limits::BUDGETS_MAX {
            let found = format!("{} limits", budgets.len());
            return error(1, found, &format!("at most {}", limits::BUDGETS_MAX));
        }
        if budgets.is_empty() {
            let names: Vec<&str> = self.file.not_evaluated.iter().map(|one| one.what.as_str()).collect();
            let found =
                format!("a file of {tool} without a limit that page views can judge{}", some_of(&names));
            let elsewhere = self.file.not_evaluated.iter().find(|one| one.what == lhci::BUDGETS_FILE);
            let elsewhere = elsewhere.map(|one| format!(" ({})", one.why)).unwrap_or_default();
            return error(1, found, &format!("a limit of LCP, INP, CLS, FCP, TTFB, FID or TTI{elsewhere}"));
        }
        Ok(BudgetFile { budgets, ..self.file })
    }
}

/// Names the first of some limits: ` (it has preset, seo and 2 others)`.
fn some_of(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().copied().take(3).collect();
    match (names.len().saturating_sub(shown.len()), shown.split_last()) {
        (_, None) => String::new(),
        (0, Some((last, []))) => format!(" (it has {last})"),
        (0, Some((last, first))) => format!(" (it has {} and {last})", first.join(", ")),
        (1, _) => format!(" (it has {} and another)", shown.join(", ")),
        (others, _) => format!(" (it has {} and {others} others)", shown.join(", ")),
    }
}

/// A limit of another tool.
struct Limit<'a> {
    /// Its name in the file.
    name: &'a str,
    metric: Metric,
    /// The largest number, in the metric's unit.
    max: f64,
    percentile: u8,
    route: String,
    severity: Severity,
}

/// Returns the host of a URL, with its port; `None` if it is an expression for several.
fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let rest = rest.split(['/', '?', '#']).next()?;
    let host = rest.replace("\\.", ".").replace("\\-", "-").trim_end_matches('$').to_ascii_lowercase();
    let is_host = |char: char| char.is_alphanumeric() || ".-:".contains(char);
    (!host.is_empty() && host.chars().all(is_host)).then_some(host)
}

/// The reason why a limit of Lighthouse's or sitespeed.io's cannot be judged.
fn why_not(name: &str) -> &'static str {
    match name {
        "total-blocking-time" | "totalBlockingTime" => {
            "blocking time has no counters of page views; INP bounds its effect"
        }
        "speed-index" | "SpeedIndex" | "speedIndex" | "visualMetrics" => "it needs a recording of the screen",
        "max-potential-fid" | "maxPotentialFid" => "it is estimated in a laboratory; FID and INP measure it",
        "first-meaningful-paint" | "firstMeaningfulPaint" => "browsers no longer report it; LCP replaces it",
        "resource-summary" | "resourceSizes" | "resourceCounts" | "requests" | "transferSize"
        | "contentSize" => "page views do not tell the sizes and the number of resources",
        _ => "page views do not tell it",
    }
}

#[cfg(test)]
mod tests;
