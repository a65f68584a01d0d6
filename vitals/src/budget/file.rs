//! Parses a budget file, and reports the place and the fault of an error.

mod limit;
#[cfg(test)]
mod tests;

use super::{
    Budget, BudgetError, BudgetFilters, MIN_SAMPLES_DEFAULT, PERCENTILE_DEFAULT, ROUTE_DEFAULT, Severity,
    alias, mistake,
};
use crate::limits;
use crate::metric::Metric;
use crate::view::{Device, NavigationType, Os};
use core::ops::{Range, RangeInclusive};
use std::collections::HashMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A fault at a range of bytes.
struct Fault {
    span: Range<usize>,
    found: String,
    expected: String,
}

fn fault<T>(span: Range<usize>, found: impl Into<String>, expected: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { span, found: found.into(), expected: expected.into() })
}

/// The keys of a budget.
pub const KEYS: [&str; 18] = [
    "route",
    "except",
    "metric",
    "max",
    "max_increase",
    "min_increase",
    "baseline",
    "on_no_baseline",
    "percentile",
    "device",
    "browser",
    "os",
    "country",
    "connection",
    "navigation_type",
    "release",
    "severity",
    "min_samples",
];

/// Parses the budgets of a TOML file; docs/budgets.md describes the format.
///
/// # Errors
/// If the text is not TOML, has no budgets or more than [`limits::BUDGETS_MAX`], or if a budget has an unknown key, an
/// unknown metric or device, a value of the wrong type or out of range, or repeats the promise of an earlier budget.
/// Reports the first error of the file.
pub(super) fn parse(text: &str) -> Result<Vec<Budget>, BudgetError> {
    read(text).map_err(|Fault { span, found, expected }| {
        let (line, column) = position(text, span.start);
        BudgetError { line, column, found, expected }
    })
}

fn read(text: &str) -> Result<Vec<Budget>, Fault> {
    if text.len() > limits::API_BODY_BYTES_MAX {
        let max = limits::API_BODY_BYTES_MAX;
        return fault(0..0, format!("a file of {} bytes", text.len()), format!("at most {max} bytes"));
    }
    let document = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        if let Some(mistake) = mistake::syntax(text, span.start, error.message()) {
            let mistake::Mistake { at, found, expected } = mistake;
            return Fault { span: at..at, found: clean(&found), expected };
        }
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        let (found, expected) = message.split_once(", expected ").unwrap_or((
            &message,
            "TOML, such as `[[budget]]` on one line and `metric = \"LCP\"` on the next",
        ));
        Fault { span, found: found.to_owned(), expected: expected.to_owned() }
    })?;
    let mut tables = None;
    for (key, value) in in_order(document.get_ref()) {
        if key.get_ref().as_ref() == "budget" {
            tables = Some(value);
        } else {
            let found = unknown("key", key.get_ref(), &["budget"]);
            return fault(key.span(), found, "`[[budget]]` and nothing else at the top level");
        }
    }
    let tables = match tables.map(|tables| (tables.span(), tables.get_ref())) {
        Some((_, DeValue::Array(tables))) if !tables.is_empty() => tables,
        Some((span, DeValue::Table(_))) => {
            return fault(span, "one table `budget`", "a list of them: write `[[budget]]` with two brackets");
        }
        Some((span, DeValue::Array(_))) => return fault(span, "no budgets", "at least one `[[budget]]`"),
        Some((span, other)) => return fault(span, kind(other), "`[[budget]]`"),
        None => return fault(0..0, "no budgets", "at least one `[[budget]]` with a `metric` and a `max`"),
    };
    let mut budgets: Vec<Budget> = Vec::with_capacity(tables.len().min(limits::BUDGETS_MAX));
    let mut lines_by_key = HashMap::new();
    for table in tables {
        if budgets.len() == limits::BUDGETS_MAX {
            let max = limits::BUDGETS_MAX;
            return fault(table.span(), format!("{} budgets", tables.len()), format!("at most {max}"));
        }
        let budget = budget(table, position(text, table.span().start).0)?;
        if let Some(line) = lines_by_key.insert(budget.key(), budget.line) {
            let found = format!("the same promise as the budget at line {line} ({})", clean(&budget.key()));
            return fault(table.span(), found, "another route, metric, percentile or filter");
        }
        budgets.push(budget);
    }
    Ok(budgets)
}

fn budget(table: &Spanned<DeValue<'_>>, line: usize) -> Result<Budget, Fault> {
    let DeValue::Table(entries) = table.get_ref() else {
        return fault(table.span(), kind(table.get_ref()), "a table with a `metric` and a `max`");
    };
    let mut values: HashMap<&str, &Spanned<DeValue<'_>>> = HashMap::with_capacity(KEYS.len());
    for (key, value) in in_order(entries) {
        let name = key.get_ref().as_ref();
        if !KEYS.contains(&name) {
            return fault(key.span(), unknown("key", name, &KEYS), format!("one of {}", listed(&KEYS)));
        }
        values.insert(name, value);
    }
    let metric_names = Metric::ALL.map(Metric::name);
    let metrics = format!("one of {}", listed(&metric_names));
    let metric = match values.get("metric") {
        None => return fault(table.span(), "a budget without `metric`", metrics),
        Some(value) => {
            let name = string(value, &metrics)?;
            match alias::metric(name) {
                Some(metric) => metric,
                None => return fault(value.span(), unknown("metric", name, &metric_names), metrics),
            }
        }
    };
    let limit = limit::limit(metric, table, &values)?;
    let route = match values.get("route") {
        None => ROUTE_DEFAULT.to_owned(),
        Some(value) => pattern(value)?,
    };
    let except = match values.get("except").map(|value| (value, value.get_ref())) {
        None => Vec::new(),
        Some((_, DeValue::Array(patterns))) if patterns.len() <= limits::EXCEPT_MAX => {
            patterns.iter().map(pattern).collect::<Result<_, _>>()?
        }
        Some((value, _)) => {
            let expected =
                format!("a list of up to {} patterns, such as [\"/product/old*\"]", limits::EXCEPT_MAX);
            return fault(value.span(), "`except`", expected);
        }
    };
    let filters = filters(&values)?;
    let severity =
        named(&values, "severity", Severity::ALL, Severity::name, Severity::from_name)?.unwrap_or_default();
    let percentile = match values.get("percentile") {
        None => PERCENTILE_DEFAULT,
        Some(value) => integer(value, "percentile", 1..=99)?,
    };
    let min_samples = match values.get("min_samples") {
        None => MIN_SAMPLES_DEFAULT,
        Some(value) => integer(value, "min_samples", 1..=limits::GATE_SAMPLES_MAX)?,
    };
    Ok(Budget { route, except, metric, limit, percentile, filters, severity, min_samples, line })
}

/// The values of a budget's table by their keys.
type Keys<'a, 'i> = HashMap<&'a str, &'a Spanned<DeValue<'i>>>;

fn pattern(value: &Spanned<DeValue<'_>>) -> Result<String, Fault> {
    let expected = "a pattern of routes in quotes, such as \"/product/*\"";
    let route = string(value, expected)?;
    if route.is_empty() {
        return fault(value.span(), "an empty route", expected);
    }
    if route.len() > limits::ROUTE_BYTES_MAX {
        let expected = format!("at most {} bytes", limits::ROUTE_BYTES_MAX);
        return fault(value.span(), format!("a route of {} bytes", route.len()), expected);
    }
    Ok(route.to_owned())
}

fn filters(values: &HashMap<&str, &Spanned<DeValue<'_>>>) -> Result<BudgetFilters, Fault> {
    let label = |name: &str| match values.get(name) {
        None => Ok(None),
        Some(value) => {
            let expected = format!("one {name} in quotes");
            let label = string(value, &expected)?;
            let bytes_max = limits::RELEASE_BYTES_MAX;
            match label.len() {
                0 => fault(value.span(), format!("an empty `{name}`"), expected),
                bytes if bytes > bytes_max => fault(
                    value.span(),
                    format!("a {name} of {bytes} bytes"),
                    format!("at most {bytes_max} bytes"),
                ),
                _ => Ok(Some(label.to_owned())),
            }
        }
    };
    let country = label("country")?.map(|country| country.to_ascii_uppercase());
    if let (Some(country), Some(value)) = (&country, values.get("country"))
        && (country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()))
    {
        return fault(
            value.span(),
            format!("the country `{}`", clean(country)),
            "two letters of ISO 3166-1, such as \"DE\"",
        );
    }
    Ok(BudgetFilters {
        device: named(values, "device", Device::ALL, Device::name, alias::device)?,
        browser: label("browser")?,
        os: named(values, "os", Os::ALL, Os::name, Os::from_name)?,
        country,
        connection: label("connection")?,
        navigation_type: named(
            values,
            "navigation_type",
            NavigationType::ALL,
            NavigationType::name,
            NavigationType::from_name,
        )?,
        release: label("release")?,
    })
}

/// Reads a value of a fixed set; `None` if absent.
fn named<T: Copy>(
    values: &HashMap<&str, &Spanned<DeValue<'_>>>,
    key: &str,
    all: &[T],
    name: fn(T) -> &'static str,
    from_name: fn(&str) -> Option<T>,
) -> Result<Option<T>, Fault> {
    let Some(value) = values.get(key) else { return Ok(None) };
    let names: Vec<&str> = all.iter().map(|&one| name(one)).collect();
    let expected = format!("one of {}", listed(&names));
    let text = string(value, &expected)?;
    match from_name(text) {
        Some(found) => Ok(Some(found)),
        None => fault(value.span(), unknown(key, text, &names), expected),
    }
}

fn integer<T: TryFrom<u64> + Into<u64> + Copy>(
    value: &Spanned<DeValue<'_>>,
    name: &str,
    range: RangeInclusive<T>,
) -> Result<T, Fault> {
    let expected = || format!("a whole number from {} to {}", (*range.start()).into(), (*range.end()).into());
    let DeValue::Integer(number) = value.get_ref() else {
        return fault(value.span(), format!("`{name}` is {}", kind(value.get_ref())), expected());
    };
    u64::from_str_radix(number.as_str(), number.radix())
        .ok()
        .filter(|number| ((*range.start()).into()..=(*range.end()).into()).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .map_or_else(
            || fault(value.span(), format!("`{name}` is {}", clean(&number.to_string())), expected()),
            Ok,
        )
}

fn string<'a>(value: &'a Spanned<DeValue<'_>>, expected: &str) -> Result<&'a str, Fault> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text),
        other => fault(value.span(), kind(other), expected),
    }
}

/// Returns the entries of a table in the order of the file.
fn in_order<'a, 'i>(
    table: &'a DeTable<'i>,
) -> Vec<(&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Formats ``unknown metric `LCPP`, did you mean `LCP`?``.
fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let mut text = format!("unknown {what} `{}`", clean(name));
    if let Some(nearest) = nearest(name, known) {
        text.push_str(&format!(", did you mean `{nearest}`?"));
    }
    text
}

fn listed(names: &[&str]) -> String {
    names.join(", ")
}

/// Shortens a text of the file for a message, and escapes what could control a terminal. Quotes and backslashes stay.
pub(super) fn clean(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut clean = String::new();
    for char in text.chars().take(CHARS_MAX) {
        match char {
            '\'' | '"' | '\\' => clean.push(char),
            _ => clean.extend(char.escape_debug()),
        }
    }
    if text.chars().nth(CHARS_MAX).is_some() {
        clean.push('…');
    }
    clean
}

/// Returns the known name nearest to a mistyped name, if the distance is small.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    const NEAR_CHARS_MAX: usize = 32;
    if name.chars().nth(NEAR_CHARS_MAX).is_some() {
        return None;
    }
    let name = name.to_lowercase();
    known
        .iter()
        .map(|known| (edits(&name, &known.to_lowercase()), *known))
        .filter(|(edits, known)| edits.saturating_mul(2) < known.chars().count().saturating_add(1))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

/// Returns the Levenshtein distance: the number of insertions, deletions and replacements.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (count, letter) in from.chars().enumerate() {
        let mut diagonal = count;
        let mut left = count.saturating_add(1);
        let mut next = vec![left];
        for (other, &above) in to.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal.saturating_add(usize::from(letter != *other));
            left = replaced.min(above.saturating_add(1)).min(left.saturating_add(1));
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// Returns line and column of a byte, both from 1; the column counts characters.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count().saturating_add(1);
    (line, column)
}
