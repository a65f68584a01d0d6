//! Reads the limit of a budget: a value, or an increase.

use super::{Fault, Keys, clean, fault, kind, named, string, unknown};
use crate::budget::{Baseline, Increase, Limit, OnNoBaseline, increase, mistake};
use crate::limits;
use crate::metric::{Metric, Unit, Value, ValueError};
use toml::Spanned;
use toml::de::DeValue;

/// Reads `max`, or `max_increase` and the keys that belong to it.
pub(super) fn limit(
    metric: Metric,
    table: &Spanned<DeValue<'_>>,
    values: &Keys<'_, '_>,
) -> Result<Limit, Fault> {
    const OF_INCREASE: [&str; 3] = ["min_increase", "baseline", "on_no_baseline"];
    let (absolute, relative) = (values.get("max"), values.get("max_increase"));
    if let (None, Some((key, value))) =
        (relative, OF_INCREASE.iter().find_map(|key| Some((key, values.get(key)?))))
    {
        return fault(value.span(), format!("`{key}` without `max_increase`"), "both, or neither");
    }
    match (absolute, relative) {
        (Some(_), Some(value)) => fault(
            value.span(),
            "`max` and `max_increase` in one budget",
            "one of them; write a budget for each",
        ),
        (Some(value), None) => max(metric, "max", value).map(Limit::Max),
        (None, Some(value)) => Ok(Limit::Increase(Increase {
            max: max_increase(value)?,
            least: match values.get("min_increase") {
                None => Increase::least_default(metric),
                Some(value) => max(metric, "min_increase", value)?,
            },
            baseline: match values.get("baseline") {
                None => Baseline::Previous,
                Some(value) => baseline(value)?,
            },
            on_no_baseline: named(
                values,
                "on_no_baseline",
                OnNoBaseline::ALL,
                OnNoBaseline::name,
                OnNoBaseline::from_name,
            )?
            .unwrap_or_default(),
        })),
        (None, None) => {
            let expected = format!("`max`, {}, or `max_increase`, such as \"5%\"", max_expected(metric));
            fault(table.span(), "a budget without `max`", expected)
        }
    }
}

fn max_increase(value: &Spanned<DeValue<'_>>) -> Result<u32, Fault> {
    let most = limits::INCREASE_PERCENT_MAX;
    let expected = format!("per cent in quotes, from \"0%\" to \"{most}%\", such as \"5%\"");
    let found = match value.get_ref() {
        DeValue::String(text) => match increase::percent(text) {
            Some(percent) => return Ok(percent),
            None if mistake::has_decimal_comma(text.trim_end_matches('%')) => {
                let expected = format!("a decimal point: \"{}\"", clean(&text.replace(',', ".")));
                return fault(
                    value.span(),
                    format!("`max_increase` is `{}`, with a decimal comma", clean(text)),
                    expected,
                );
            }
            None if milliseconds(text).is_some() => {
                return fault(
                    value.span(),
                    format!("`max_increase` is `{}`, a time", clean(text)),
                    format!("{expected}; `min_increase` is a time"),
                );
            }
            None => clean(text),
        },
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        other => return fault(value.span(), format!("`max_increase` is {}", kind(other)), expected),
    };
    fault(value.span(), format!("`max_increase` is `{found}`"), expected)
}

fn baseline(value: &Spanned<DeValue<'_>>) -> Result<Baseline, Fault> {
    const KINDS: [&str; 4] = ["previous", "release", "beside", "period"];
    let expected = || {
        let days = limits::BASELINE_HOURS_MAX / 24;
        format!("one of {}; a period is of hours or days, up to {days}d", Baseline::FORMS)
    };
    let text = string(value, &expected())?;
    if let Some(baseline) = Baseline::from_text(text) {
        return Ok(baseline);
    }
    let kind = text.split(':').next().unwrap_or_default();
    let found = if KINDS.contains(&kind) {
        format!("`baseline` is `{}`", clean(text))
    } else {
        unknown("baseline", kind, &KINDS)
    };
    fault(value.span(), found, expected())
}

fn max_expected(metric: Metric) -> String {
    match metric.unit() {
        Unit::Milliseconds => {
            format!("a time from 0 to {} ms, such as 2500, \"2500ms\" or \"2.5s\"", metric.value_max())
        }
        Unit::Score => "a score from 0 to 1, such as 0.1".to_owned(),
    }
}

fn max(metric: Metric, name: &str, value: &Spanned<DeValue<'_>>) -> Result<Value, Fault> {
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
                format!("`{name}` is `{}`, with a decimal comma", clean(&shown)),
                expected,
            );
        }
        return wrong(format!("`{name}` is `{}`", clean(&shown)));
    };
    // A small difference is plausible, a small limit is not.
    let is_bare = name == "max" && !matches!(value.get_ref(), DeValue::String(_));
    match Value::new(metric, number) {
        Ok(max) => match mistake::unit(metric, number).filter(|_| is_bare) {
            None => Ok(max),
            Some((fault_of_unit, likely)) => {
                let found = format!(
                    "`{name}` is `{}`, which is {fault_of_unit} for {}",
                    clean(&shown),
                    metric.name()
                );
                fault(value.span(), found, likely)
            }
        },
        Err(error @ (ValueError::NotFinite | ValueError::Negative | ValueError::TooLarge)) => {
            wrong(format!("`{name}` is `{}`, which {error} for {}", clean(&shown), metric.name()))
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
