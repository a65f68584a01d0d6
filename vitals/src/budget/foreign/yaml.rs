//! Reads a YAML file as the JSON value that it means, by the core schema of YAML 1.2.
//!
//! Takes one document of mappings with text keys, sequences and scalars. Refuses aliases, because a few of them can mean
//! gigabytes, and tags, because budgets need none.

use crate::budget::BudgetError;
use crate::budget::file::clean;
use crate::limits;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use serde_json::{Map, Number, Value as Json};

/// A mapping or a sequence that has not ended.
enum Open {
    Mapping(Map<String, Json>, Option<String>),
    Sequence(Vec<Json>),
}

/// Whether a text is YAML and neither TOML nor JSON: its first line with content has a colon after a bare or quoted key,
/// begins an entry of a sequence, or begins a document.
pub(super) fn is_yaml(start: &str) -> bool {
    let content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let Some(line) = start.lines().find(content).map(str::trim) else { return false };
    if line == "---" || line.starts_with("- ") || line == "-" {
        return true;
    }
    let is_key = |key: &str| {
        let name = key.trim_matches(['"', '\'']);
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    line.split_once(':')
        .is_some_and(|(key, value)| is_key(key) && (value.is_empty() || value.starts_with(' ')))
}

/// Reads a file.
///
/// # Errors
/// If it is not YAML, or has what is refused.
pub(super) fn read(text: &str) -> Result<Json, BudgetError> {
    let mut open: Vec<Open> = Vec::new();
    let mut root: Option<Json> = None;
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| fault(error.marker(), "YAML with a mistake", error.info()))?;
        let at = &span.start;
        let value = match event {
            Event::DocumentStart(_) if root.is_some() => {
                return Err(fault(at, "a second document", "one document"));
            }
            Event::Alias(_) => return Err(fault(at, "an alias", "the value itself")),
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => return Err(fault(at, "a tag", "a value without a tag")),
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if let Some(Open::Mapping(_, None)) = open.last() {
                    return Err(fault(at, "a key that is no text", "a text"));
                }
                if open.len() >= limits::YAML_DEPTH_MAX {
                    let expected = format!("at most {} levels", limits::YAML_DEPTH_MAX);
                    return Err(fault(at, "values within values", &expected));
                }
                open.push(match event {
                    Event::SequenceStart(..) => Open::Sequence(Vec::new()),
                    _ => Open::Mapping(Map::new(), None),
                });
                continue;
            }
            Event::Scalar(text, style, ..) => {
                if let Some(Open::Mapping(known, key @ None)) = open.last_mut() {
                    if known.contains_key(text.as_ref()) {
                        let found = format!("`{}` twice", clean(&text));
                        return Err(fault(at, &found, "each key once"));
                    }
                    *key = Some(text.into_owned());
                    continue;
                }
                scalar(&text, style)
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::Sequence(list)) => Json::Array(list),
                Some(Open::Mapping(map, _)) => Json::Object(map),
                None => continue,
            },
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => continue,
        };
        match open.last_mut() {
            None => root = Some(value),
            Some(Open::Sequence(list)) => list.push(value),
            Some(Open::Mapping(map, key)) => {
                if let Some(key) = key.take() {
                    map.insert(key, value);
                }
            }
        }
    }
    Ok(root.unwrap_or(Json::Null))
}

fn fault(at: &Marker, found: &str, expected: &str) -> BudgetError {
    let column = at.col().saturating_add(1);
    BudgetError { line: at.line().max(1), column, found: found.to_owned(), expected: expected.to_owned() }
}

/// The value of a scalar. A plain one may be null, a truth value or a number (YAML 1.2.2, section 10.3.2).
fn scalar(text: &str, style: ScalarStyle) -> Json {
    if style != ScalarStyle::Plain {
        return Json::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Json::Null,
        "true" | "True" | "TRUE" => Json::Bool(true),
        "false" | "False" | "FALSE" => Json::Bool(false),
        text => number(text).map_or_else(|| Json::from(text), Json::Number),
    }
}

/// The number of a text such as `2500`, `0.1` or `2.5e3`.
fn number(text: &str) -> Option<Number> {
    let is_number = text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    Number::from_f64(text.parse().ok().filter(|_| is_number)?)
}

#[cfg(test)]
mod tests {
    use super::{is_yaml, read};
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn values_are_those_of_the_core_schema() {
        let text = "# a comment\na: {b: [1, 2.5e3, '3', ~], c: \"x\\ty\"}\nd:\n  - true\n  - yes\n  - -0.5\ne: |\n  two\n  lines\nf:\n";
        let expected = json!({"a": {"b": [1.0, 2_500.0, "3", null], "c": "x\ty"}, "d": [true, "yes", -0.5], "e": "two\nlines\n", "f": null});
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(read("").unwrap(), json!(null));
    }

    #[test]
    fn what_budgets_do_not_need_is_refused_with_its_place() {
        let deep = format!("ci: {}", "[".repeat(200));
        for (text, expected) in [
            ("a: &x [1]\nb: *x", "2:4: an alias; expected the value itself"),
            ("a: !!str 1", "1:"),
            ("a: 1\n---\nb: 2", "2:1: a second document; expected one document"),
            ("a: 1\nb: 2\na: 3", "3:1: `a` twice; expected each key once"),
            ("? [1]\n: 2", "1:3: a key that is no text; expected a text"),
            ("a: [1", "2:1: YAML with a mistake; expected "),
            ("a:\n\tb: 1", "2:2: YAML with a mistake; expected "),
            (&deep, "1:132: values within values; expected at most 128 levels"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}\n   said: {error}\n   not:  {expected}");
        }
    }

    #[test]
    fn first_line_with_content_tells_yaml() {
        for text in ["ci:\n", "# x\n\nci:\n  a: 1", "---\nci:", "\"ci\": {}", "- path: /", "assert: {}\n"] {
            assert!(is_yaml(text), "{text}");
        }
        for text in
            ["", "# x", "[[budget]]", "budget = [{ route = 'a: b' }]", "a.b = 1", "http://a", "x:y", "{a: 1}"]
        {
            assert!(!is_yaml(text), "{text}");
        }
    }

    proptest! {
        /// No text ends the process, whatever its indicators and indentation.
        #[test]
        fn any_text_is_read_or_refused(
            text in "([a-z'\"0-9#:,&*!|>%@`?-]{0,4}[ \t]{0,3}[\\[\\]{}\n:é\u{feff}\u{0}-]{0,3}){0,40}",
            any in any::<String>(),
        ) {
            let _ = (read(&text), read(&any), read(&format!("ci: {text}")), read(&format!("---\n{any}")));
        }
    }
}
