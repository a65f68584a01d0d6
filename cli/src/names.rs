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

#[cfg(test)]
mod tests {
    use super::*;

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
