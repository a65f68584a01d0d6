//! Messages for names that do not exist: the nearest existing name, or a list of names.

use crate::output::plain;
use fieldvitals_server::intake::lookup;

/// Existing names listed in a message.
const NAMES_MAX: usize = 10;

/// ``there is no site `shpo` on https://vitals.example; did you mean `shop`?``
pub(crate) fn unknown(what: &str, name: &str, place: &str, known: &[String]) -> String {
    let quoted = |name: &str| format!("`{}`", plain(name));
    let start = format!("there is no {what} {}{place}", quoted(name));
    if let Some(near) = lookup::nearest(name, known).first() {
        return format!("{start}; did you mean {}?", quoted(near));
    }
    if known.is_empty() {
        return format!("{start}, and no other");
    }
    let listed: Vec<String> = known.iter().take(NAMES_MAX).map(|name| quoted(name)).collect();
    let more = match known.len().saturating_sub(NAMES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{start}; expected one of {}{more}", listed.join(", "))
}

/// Returns a message of the API about parameters with the options of the command instead: `min_n` becomes --min-n. Values
/// stay; they follow "is" or "mean".
pub(crate) fn as_options(message: &str, parameters: &[impl AsRef<str>]) -> String {
    let mut text = String::with_capacity(message.len());
    for (place, piece) in message.split('`').enumerate() {
        let is_value = text.ends_with("is ") || text.ends_with("mean ");
        let is_parameter = !is_value && parameters.iter().any(|parameter| parameter.as_ref() == piece);
        text.push_str(&match (place % 2, is_parameter) {
            (0, _) => piece.to_owned(),
            (_, true) => format!("--{}", piece.replace('_', "-")),
            (_, false) => format!("`{piece}`"),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_named_as_options_and_values_stay() {
        for (message, expected) in [
            ("`min_n` is `0`: expected 1 to 9", "--min-n is `0`: expected 1 to 9"),
            ("`by` is `colour`: did you mean `country`?", "--by is `colour`: did you mean `country`?"),
            ("`country` is `country`: unlike `min_n`", "--country is `country`: unlike --min-n"),
            ("`cursor` is of another question", "`cursor` is of another question"),
            ("the period is in the future", "the period is in the future"),
        ] {
            assert_eq!(as_options(message, &["min_n", "by", "country"]), expected);
        }
    }

    #[test]
    fn unknown_name_is_answered_with_the_nearest_or_a_list() {
        let known = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let message = |names: &[&str]| unknown("site", "shpo", " on https://v.example", &known(names));
        let start = "there is no site `shpo` on https://v.example";
        assert_eq!(message(&["blog", "shop"]), format!("{start}; did you mean `shop`?"));
        assert_eq!(message(&["blog", "x\n"]), format!("{start}; expected one of `blog`, `x\\u{{a}}`"));
        assert_eq!(message(&[]), format!("{start}, and no other"));
        let many: Vec<String> = (0..12).map(|number| format!("a{number}")).collect();
        assert!(unknown("site", "zzz", "", &many).ends_with("`a9` and 2 more"));
    }
}
