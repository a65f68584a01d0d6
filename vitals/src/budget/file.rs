//! Parses a budget file, and reports the place and the fault of an error.

use super::{
    Budget, BudgetError, BudgetFilters, MIN_SAMPLES_DEFAULT, PERCENTILE_DEFAULT, ROUTE_DEFAULT, Severity,
    alias, mistake,
};
use crate::limits;
use crate::metric::{Metric, Unit, Value, ValueError};
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
pub const KEYS: [&str; 14] = [
    "route",
    "except",
    "metric",
    "max",
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
    let max = match values.get("max") {
        None => {
            return fault(table.span(), "a budget without `max`", format!("`max`, {}", max_expected(metric)));
        }
        Some(value) => max(metric, value)?,
    };
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
    Ok(Budget { route, except, metric, max, percentile, filters, severity, min_samples, line })
}

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

fn max_expected(metric: Metric) -> String {
    match metric.unit() {
        Unit::Milliseconds => {
            format!("a time from 0 to {} ms, such as 2500, \"2500ms\" or \"2.5s\"", metric.value_max())
        }
        Unit::Score => "a score from 0 to 1, such as 0.1".to_owned(),
    }
}

fn max(metric: Metric, value: &Spanned<DeValue<'_>>) -> Result<Value, Fault> {
    let wrong = |found: String| fault(value.span(), found, max_expected(metric));
    let number = match value.get_ref() {
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64)
        }
        DeValue::Float(number) => number.as_str().parse().ok(),
        DeValue::String(text) if metric.unit() == Unit::Milliseconds => milliseconds(text),
        DeValue::String(text) => return wrong(format!("`{}` in quotes for {}", clean(text), metric.name())),
        other => return wrong(kind(other).to_owned()),
    };
    let shown = match value.get_ref() {
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let Some(number) = number else {
        if mistake::has_decimal_comma(&shown) {
            let expected = format!("a decimal point: \"{}\"", clean(&shown.replace(',', ".")));
            return fault(
                value.span(),
                format!("`max` is `{}`, with a decimal comma", clean(&shown)),
                expected,
            );
        }
        return wrong(format!("`max` is `{}`", clean(&shown)));
    };
    let is_bare = !matches!(value.get_ref(), DeValue::String(_));
    match Value::new(metric, number) {
        Ok(max) => match mistake::unit(metric, number).filter(|_| is_bare) {
            None => Ok(max),
            Some((fault_of_unit, likely)) => {
                let found =
                    format!("`max` is `{}`, which is {fault_of_unit} for {}", clean(&shown), metric.name());
                fault(value.span(), found, likely)
            }
        },
        Err(error @ (ValueError::NotFinite | ValueError::Negative | ValueError::TooLarge)) => {
            wrong(format!("`max` is `{}`, which {error} for {}", clean(&shown), metric.name()))
        }
    }
}

/// Parses `2500ms` or `2.5s`, with or without a space. Returns milliseconds.
fn milliseconds(text: &str) -> Option<f64> {
    let (number, factor) = match text.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (text.strip_suffix('s')?, 1_000.0),
    };
    let number = number.trim();
    // Rust also parses `inf` and `1e3` as numbers, but a budget file is for people.
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    number.parse::<f64>().ok().map(|number| number * factor)
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

/// Shortens and escapes a text of the file for a message, so that it cannot control a terminal.
fn clean(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut clean: String = text.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(lines: &str) -> Result<Budget, String> {
        parse(&format!("[[budget]]\n{lines}"))
            .map(|mut budgets| budgets.remove(0))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_file_is_read() {
        let text = "# Promises\n\n[[budget]]\nroute = \"/product/*\" # all of them\nmetric = \"LCP\"\nmax = 2500\n\
                    percentile = 90\ndevice = \"phone\"\nmin_samples = 250\n\n[[budget]]\r\nmetric = \"cls\"\r\nmax = 0.1\r\nseverity = \"warn\"\r\n";
        assert_eq!(
            parse(text).unwrap(),
            [
                Budget {
                    route: "/product/*".to_owned(),
                    except: Vec::new(),
                    metric: Metric::Lcp,
                    max: Value::new(Metric::Lcp, 2_500.0).unwrap(),
                    percentile: 90,
                    filters: BudgetFilters { device: Some(Device::Phone), ..BudgetFilters::default() },
                    severity: Severity::Error,
                    min_samples: 250,
                    line: 3,
                },
                Budget {
                    route: "*".to_owned(),
                    except: Vec::new(),
                    metric: Metric::Cls,
                    max: Value::new(Metric::Cls, 0.1).unwrap(),
                    percentile: 75,
                    filters: BudgetFilters::default(),
                    severity: Severity::Warn,
                    min_samples: 100,
                    line: 11,
                },
            ]
        );
        assert_eq!(parse("budget = [{ metric = 'FID', max = 100 }]").unwrap()[0].line, 1);
    }

    #[test]
    fn times_are_read_in_the_units_people_write() {
        for (max, milliseconds) in [
            ("2500", 2_500.0),
            ("2_500", 2_500.0),
            ("0x9c4", 2_500.0),
            ("2500.5", 2_500.5),
            ("2.5e3", 2_500.0),
            ("'2500ms'", 2_500.0),
            ("'2500 ms'", 2_500.0),
            ("'2.5s'", 2_500.0),
            ("'0.8 s'", 800.0),
            ("0", 0.0),
        ] {
            let budget =
                one(&format!("metric = 'LCP'\nmax = {max}")).unwrap_or_else(|error| panic!("{max}: {error}"));
            assert_eq!(budget.max.number(Metric::Lcp), milliseconds, "{max}");
        }
    }

    #[test]
    fn errors_say_where_what_and_what_was_expected() {
        let many = "[[budget]]\nmetric = 'LCP'\nmax = 1000\n".repeat(limits::BUDGETS_MAX + 1);
        let long = format!(
            "[[budget]]\nmetric = 'LCP'\nmax = 1000\nroute = '/{}'",
            "a".repeat(limits::ROUTE_BYTES_MAX)
        );
        for (text, expected) in [
            ("", "1:1: no budgets; expected at least one `[[budget]]`"),
            ("# nothing\n", "1:1: no budgets"),
            ("budget = []", "1:10: no budgets"),
            ("budget = 3", "1:10: a whole number; expected `[[budget]]`"),
            ("budget = [3]", "1:11: a whole number; expected a table"),
            (
                "[budget]\nmetric = 'LCP'\nmax = 1000",
                "1:1: one table `budget`; expected a list of them: write `[[budget]]`",
            ),
            (
                "[[budgets]]\nmetric = 'LCP'",
                "1:3: unknown key `budgets`, did you mean `budget`?; expected `[[budget]]`",
            ),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = 1000\n\n[other]\na = 1",
                "5:2: unknown key `other`; expected",
            ),
            (
                "[[budget]]\nmetirc = 'LCP'\nmax = 1000",
                "2:1: unknown key `metirc`, did you mean `metric`?; expected one of route, except,",
            ),
            ("[[budget]]\nzzz = 1\naaa = 2", "2:1: unknown key `zzz`; expected one of"),
            (
                "[[budget]]\nmax = 1000",
                "1:1: a budget without `metric`; expected one of LCP, INP, CLS, FCP, TTFB, FID, TTI",
            ),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = 1000\n[[budget]]\nmetric = 'INP'",
                "4:1: a budget without `max`; expected `max`, a time from 0 to 600000 ms",
            ),
            (
                "[[budget]]\nmetric =  'LCPP'\nmax = 1000",
                "2:11: unknown metric `LCPP`, did you mean `LCP`?; expected one of LCP, INP,",
            ),
            ("[[budget]]\nmetric = 'total'\nmax = 1000", "2:10: unknown metric `total`; expected one of LCP"),
            ("[[budget]]\nmetric = 7\nmax = 1000", "2:10: a whole number; expected one of LCP"),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = '2500'",
                "3:7: `max` is `2500`; expected a time from 0 to 600000 ms, such as 2500,",
            ),
            ("[[budget]]\nmetric = 'LCP'\nmax = 'infs'", "3:7: `max` is `infs`; expected"),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = nan",
                "3:7: `max` is `nan`, which is not a finite number for LCP",
            ),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = -1",
                "3:7: `max` is `-1`, which is negative for LCP; expected",
            ),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = 600001",
                "3:7: `max` is `600001`, which is beyond what is plausible for LCP",
            ),
            (
                "[[budget]]\nmetric = 'CLS'\nmax = 2500",
                "3:7: `max` is `2500`, which is beyond what is plausible for CLS; expected a score from 0 to 1",
            ),
            ("[[budget]]\nmetric = 'CLS'\nmax = '0.1'", "3:7: `0.1` in quotes for CLS; expected a score"),
            ("[[budget]]\nmetric = 'LCP'\nmax = true", "3:7: true or false; expected a time"),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = 1000\npercentile = 100",
                "4:14: `percentile` is 100; expected a whole number from 1 to 99",
            ),
            ("[[budget]]\nmetric = 'LCP'\nmax = 1000\npercentile = 0", "4:14: `percentile` is 0"),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = 1000\npercentile = 99.9",
                "4:14: `percentile` is a number; expected a whole number",
            ),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = 1000\nmin_samples = 0",
                "4:15: `min_samples` is 0; expected a whole number from 1 to 1000000000",
            ),
            ("[[budget]]\nmetric = 'LCP'\nmax = 1000\nmin_samples = -5", "4:15: `min_samples` is -5"),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = 1000\ndevice = 'phnoe'",
                "4:10: unknown device `phnoe`, did you mean `phone`?; expected one of phone, tablet, desktop",
            ),
            ("[[budget]]\nmetric = 'LCP'\nmax = 1000\nroute = ''", "4:9: an empty route; expected"),
            ("[[budget]]\nmetric = 'LCP'\nmax = 1000\nroute = ['/a']", "4:9: a list; expected a pattern"),
            (&long, "4:9: a route of 513 bytes; expected at most 512 bytes"),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = 1000\nmax = 2",
                "4:1: `max` twice in one budget; expected one `max`",
            ),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = 2.5",
                "3:7: `max` is `2.5`, which is too short for LCP; expected milliseconds: 2500, or \"2.5s\"",
            ),
            (
                "[[budget]]\nmetric = 'CLS'\nmax = 10",
                "3:7: `max` is `10`, which is too large for CLS; expected a score up to 1: 0.1,",
            ),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = 2,5 # s",
                "3:7: `2,5`, with a decimal comma; expected a decimal point: `max = 2.5`",
            ),
            (
                "[[budget]]\nmetric = 'LCP'\nmax = '2,5s'",
                "3:7: `max` is `2,5s`, with a decimal comma; expected a decimal point: \"2.5s\"",
            ),
            (
                "[[budget]]\nmetric = “LCP”\nmax = 2500",
                "2:10: a curly quote `“`; expected a straight one, as in `metric = \"LCP\"`",
            ),
            ("[[budget]]\nmetric = LCP\nmax = 1000", "2:10: "),
            ("[[budget]]\nmetric = 'LCP\nmax = 1000", "2:14: "),
            (
                "[[budget]]\nroute = '/é'\nmetric = 'é\u{1b}[31m'",
                "3:12: invalid literal string; expected non-single-quote visible characters",
            ),
            (&many, "4:1: the same promise as the budget at line 1 (LCP p75 all *); expected another"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}\n   said: {error}\n   not:  {expected}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn page_views_are_filtered_by_every_property() {
        let budget =
            one("metric = 'LCP'\nmax = 2500\ndevice = 'phone'\nbrowser = 'Firefox'\nos = 'android'\n\
            country = 'de'\nconnection = '4g'\nnavigation_type = 'reload'\nrelease = '1.4.2'");
        let filters = budget.unwrap().filters;
        assert_eq!(filters.device, Some(Device::Phone));
        let further: Vec<_> = filters.further().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            further.join(" "),
            "browser=Firefox os=android country=DE connection=4g navigation_type=reload release=1.4.2"
        );
        for (line, expected) in [
            ("os = 'andriod'", "unknown os `andriod`, did you mean `android`?"),
            ("navigation_type = 'relaod'", "unknown navigation_type `relaod`, did you mean `reload`?"),
            ("country = 'Germany'", "the country `GERMANY`; expected two letters"),
            ("browser = ''", "an empty `browser`; expected one browser"),
            ("release = 142", "a whole number; expected one release in quotes"),
        ] {
            let error = one(&format!("metric = 'LCP'\nmax = 2500\n{line}")).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn names_of_other_tools_are_taken() {
        let budget = one("metric = 'largest-contentful-paint'\nmax = 2500\ndevice = 'mobile'").unwrap();
        assert_eq!((budget.metric, budget.filters.device), (Metric::Lcp, Some(Device::Phone)));
        assert_eq!(
            one("metric = 'LCP'\nmax = '2.5ms'").unwrap().max.number(Metric::Lcp),
            2.5,
            "a unit is no mistake"
        );
    }

    #[test]
    fn columns_count_characters() {
        let error = parse("budget = [{ route = '/é/ü', metric = 'LCPX', max = 1000 }]").unwrap_err();
        assert_eq!((error.line, error.column), (1, 38));
    }

    #[test]
    fn files_are_bounded() {
        let budget = |index| format!("[[budget]]\nroute = '/{index}'\nmetric = 'LCP'\nmax = 1000\n");
        let most: String = (0..limits::BUDGETS_MAX).map(budget).collect();
        assert_eq!(parse(&most).unwrap().len(), limits::BUDGETS_MAX);
        let error = parse(&(most + &budget(limits::BUDGETS_MAX))).unwrap_err();
        assert_eq!(error.to_string(), "801:1: 201 budgets; expected at most 200");
        let error = parse(&"#".repeat(limits::API_BODY_BYTES_MAX + 1)).unwrap_err();
        assert_eq!(error.found, "a file of 262145 bytes");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_value_panics(
            key in "route|metric|max|percentile|device|min_samples",
            value in "-?[0-9_]{1,25}|[0-9.eE+-]{1,12}|'[^']{0,40}'|\\[\\]|\\{\\}|inf|nan|true|0x[0-9a-f]{1,20}|'[0-9.]{1,6} ?m?s'",
        ) {
            let _ = parse(&format!("[[budget]]\nmetric = 'LCP'\nmax = 1000\n{key} = {value}"));
            let _ = parse(&format!("[[budget]]\n{key} = {value}\nmetric = 'CLS'\nmax = 1"));
            let _ = parse(&format!("[[budget]]\n{key} = {value}\nmetric = 'LCP'"));
        }
    }
}
