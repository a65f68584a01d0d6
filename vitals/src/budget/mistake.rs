//! Recognizes frequent mistakes in a budget file, and says what was likely meant.

use crate::metric::{Metric, Unit};

/// A recognized mistake.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Its place, in bytes from the start of the file.
    pub(super) at: usize,
    /// The fault.
    pub(super) found: String,
    /// The expected text.
    pub(super) expected: String,
}

/// Explains why a text is not TOML, from the place and the message of the parser; `None` for an unusual reason.
pub(super) fn syntax(text: &str, at: usize, message: &str) -> Option<Mistake> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |end| end.saturating_add(1));
    let line = text.get(start..)?.lines().next()?;
    if message == "duplicate key" {
        let rest = text.get(at..)?;
        let key: String = rest.chars().take_while(|&char| char.is_alphanumeric() || char == '_').collect();
        let found = format!("`{key}` twice in one budget");
        return Some(Mistake { at, found, expected: format!("one `{key}`") });
    }
    if let Some((place, quote)) = line.char_indices().find(|(_, char)| "“”„‘’‚«»".contains(*char))
    {
        let found = format!("a curly quote `{quote}`");
        let expected = "a straight one, as in `metric = \"LCP\"`".to_owned();
        return Some(Mistake { at: start.saturating_add(place), found, expected });
    }
    let (key, value) = line.split_once('=')?;
    let number = value.split('#').next()?.trim();
    if has_decimal_comma(number) {
        let key: String = key.chars().filter(|char| char.is_alphanumeric() || *char == '_').collect();
        let at = start.saturating_add(line.find(number)?);
        let expected = format!("a decimal point: `{key} = {}`", number.replace(',', "."));
        return Some(Mistake { at, found: format!("`{number}`, with a decimal comma"), expected });
    }
    None
}

/// Whether a text is a number with a decimal comma, as `2,5` or `2,5s`.
pub(super) fn has_decimal_comma(text: &str) -> bool {
    let Some((whole, part)) = text.split_once(',') else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(part.trim_end_matches(|char: char| char.is_ascii_alphabetic() || char == ' '))
}

/// Returns the fault and the likely meaning of a limit without a unit that no page can be meant to keep, or to exceed;
/// `None` for a plausible limit. `number` is in the metric's unit.
pub(super) fn unit(metric: Metric, number: f64) -> Option<(&'static str, String)> {
    match metric.unit() {
        // INP and FID of a millisecond exist, so that less than 1 ms is seconds; other times start with a connection.
        Unit::Milliseconds => {
            let least = if matches!(metric, Metric::Inp | Metric::Fid) { 1.0 } else { 10.0 };
            let likely = number * 1_000.0;
            let expected = format!("milliseconds: {likely}, or \"{number}s\" for seconds, or \"{number}ms\"");
            (number > 0.0 && number < least).then_some(("too short", expected))
        }
        // A score of 1 is a viewport that moved by itself.
        Unit::Score => {
            let likely = if number < 100.0 { number / 100.0 } else { number / 1_000.0 };
            (number > 1.0).then(|| ("too large", format!("a score up to 1: {likely}, where 0.1 is good")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_in_another_unit_are_recognized() {
        for (metric, number, likely) in [
            (Metric::Lcp, 2.5, Some("milliseconds: 2500, or \"2.5s\"")),
            (Metric::Ttfb, 0.8, Some("milliseconds: 800, or \"0.8s\"")),
            (Metric::Inp, 0.2, Some("milliseconds: 200,")),
            (Metric::Cls, 10.0, Some("a score up to 1: 0.1,")),
            (Metric::Cls, 250.0, Some("a score up to 1: 0.25,")),
            (Metric::Lcp, 10.0, None),
            (Metric::Fid, 1.0, None),
            (Metric::Cls, 1.0, None),
            (Metric::Lcp, 0.0, None),
        ] {
            let found = unit(metric, number).map(|(_, expected)| expected);
            let is_likely =
                found.as_deref().zip(likely).is_some_and(|(found, likely)| found.starts_with(likely));
            assert!(is_likely || (found.is_none() && likely.is_none()), "{metric:?} {number}: {found:?}");
        }
    }

    #[test]
    fn only_numbers_have_a_decimal_comma() {
        for text in ["2,5", "2,5s", "0,1", "2,5 s", "2500,0ms"] {
            assert!(has_decimal_comma(text), "{text}");
        }
        for text in ["2.5", "2,", ",5", "", "a,b", "1,2,3", "[1,2]", "2,s"] {
            assert!(!has_decimal_comma(text), "{text}");
        }
    }
}
