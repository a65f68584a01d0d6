//! Lists the bounds of all crates, and checks that code applies them.
//!
//! A bound lives in `limits.rs` of the crate that applies it, or in `vitals/src/limits.rs` if several crates do.

use crate::run::root;
use crate::source::{File, code, files, has_word};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::io::ErrorKind::BrokenPipe;

/// The bounds that several crates share.
const SHARED: &str = "vitals/src/limits.rs";
/// The end of the path of every file of bounds.
const NAME: &str = "/src/limits.rs";

/// A bound, as its file declares it.
#[derive(Debug, PartialEq)]
struct Limit<'a> {
    name: &'a str,
    /// The expression of its value.
    value: &'a str,
    /// The first sentence of its documentation.
    doc: String,
    /// The line of its declaration.
    line: usize,
}

/// The bounds of a file, in its order.
fn parse(text: &str) -> Vec<Limit<'_>> {
    let (mut limits, mut doc) = (Vec::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        if let Some(words) = line.strip_prefix("///") {
            doc.push(words.trim());
            continue;
        }
        let rest = line.strip_prefix("pub const ").or_else(|| line.strip_prefix("pub(crate) const "));
        let declared = rest
            .and_then(|rest| rest.split_once(':'))
            .and_then(|(name, rest)| Some((name, rest.split_once(" = ")?.1.strip_suffix(';')?)));
        if let Some((name, value)) = declared {
            let doc = doc.join(" ");
            let first = doc.split_once(". ").map_or(doc.trim_end_matches('.'), |(first, _)| first).to_owned();
            limits.push(Limit { name, value, doc: first, line: at + 1 });
        }
        doc.clear();
    }
    limits
}

impl Limit<'_> {
    /// The value as a number, if it is a product of numbers.
    fn number(&self) -> Option<f64> {
        let factors = self.value.split('*').map(|factor| factor.trim().replace('_', "").parse::<f64>());
        factors.product::<Result<f64, _>>().ok()
    }

    /// The unit, by the words of the name.
    fn unit(&self) -> &'static str {
        let words: Vec<&str> = self.name.split('_').collect();
        let units = [("MS", "ms"), ("S", "s"), ("BYTES", "bytes"), ("DAYS", "days"), ("UNITS", "characters")];
        let known = units.iter().find(|(word, _)| words.contains(word));
        known.map_or("", |(_, unit)| unit)
    }
}

/// Prints every bound: owner, name, value, unit, and the first sentence of its documentation.
pub(crate) fn print() -> Result<()> {
    match write(&mut std::io::stdout().lock()) {
        // The reader stopped reading, such as `head`.
        Err(error)
            if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == BrokenPipe) =>
        {
            Ok(())
        }
        done => done,
    }
}

fn write(out: &mut impl std::io::Write) -> Result<()> {
    for file in files()?.iter().filter(|file| file.path.ends_with(NAME) && !file.path.starts_with("xtask/")) {
        let limits = parse(&file.text);
        let name_width = limits.iter().map(|limit| limit.name.len()).max().unwrap_or(0);
        writeln!(out, "{} ({} bounds)", file.path, limits.len())?;
        for limit in &limits {
            let value = limit.number().map_or_else(|| limit.value.to_owned(), grouped);
            let (name, unit, doc) = (limit.name, limit.unit(), &limit.doc);
            writeln!(out, "  {name:name_width$}  {value:>13} {unit:10}  {doc}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// A number with thousands separators.
fn grouped(number: f64) -> String {
    let text = number.to_string();
    let (whole, rest) = text
        .split_once('.')
        .map_or((text.as_str(), String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let digits = whole.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect::<Vec<_>>();
    digits.join(",") + &rest
}

/// Reads a shared bound. xtask cannot link the crate, because it builds the collector from the same crate.
pub(crate) fn bound(name: &str) -> Result<u64> {
    let text = fs::read_to_string(root().join(SHARED)).with_context(|| format!("cannot read {SHARED}"))?;
    let number = parse(&text).iter().find(|limit| limit.name == name).and_then(Limit::number);
    let Some(number) = number else { bail!("{SHARED} has no number `{name}`") };
    Ok(number as u64)
}

/// Reports bounds that no code applies, bounds that two files declare, and wrong copies in the snippet.
pub(crate) fn check(files: &[File], problems: &mut Vec<String>) {
    const SNIPPETS: &str = "js-snippet/src/";
    let is_user = |file: &&File| {
        file.path.ends_with(".rs") && !file.path.ends_with(NAME) && !file.path.contains("tests/")
    };
    let users: Vec<_> = files.iter().filter(is_user).collect();
    // The snippet and the glue cannot read the constants, so they repeat the values.
    let repeated: Vec<(&File, &str, &str)> = files
        .iter()
        .filter(|file| file.path.starts_with(SNIPPETS) && file.path.ends_with(".js"))
        .flat_map(|file| code(&file.text).map(move |(_, line)| (file, line)))
        .filter_map(|(file, line)| {
            let (name, value) = line.strip_prefix("const ")?.trim_end_matches(';').split_once(" = ")?;
            let is_number = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            is_number.then_some((file, name, value))
        })
        .collect();
    let mut known: Vec<(&str, &str)> = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(NAME) && !file.path.starts_with("xtask/")) {
        let path = &file.path;
        for Limit { name, value, line, .. } in parse(&file.text) {
            if let Some((other, _)) = known.iter().find(|(_, known)| *known == name) {
                problems.push(format!("{path}:{line}: {other} declares {name} too; keep one"));
            }
            known.push((path, name));
            let here: Vec<_> = repeated.iter().filter(|(_, repeats, _)| *repeats == name).collect();
            let is_used = || users.iter().any(|file| code(&file.text).any(|(_, line)| has_word(line, name)));
            if here.is_empty() && !is_used() {
                problems.push(format!("{path}:{line}: nothing uses {name}; apply the bound or remove it"));
            }
            let value = value.replace('_', "");
            for (snippet, _, repeats) in here.iter().filter(|(_, _, repeats)| *repeats != value) {
                problems.push(format!("{}: {name} is {repeats} here and {value} in {path}", snippet.path));
            }
        }
    }
    if !known.iter().any(|(path, _)| *path == SHARED) {
        problems
            .push(format!("{SHARED}: the bounds that crates share belong into this file, and it has none"));
    }
    for (file, name, _) in
        repeated.iter().filter(|(_, name, _)| !known.iter().any(|(_, known)| known == name))
    {
        problems.push(format!("{}: {name} is a bound, and {SHARED} does not have it", file.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    fn problems(files: &[File]) -> Vec<String> {
        let mut problems = Vec::new();
        check(files, &mut problems);
        problems
    }

    #[test]
    fn bound_is_listed_with_value_unit_and_first_sentence() {
        let text = "//! Doc.\n\n/// Time of a call, in\n/// milliseconds. More.\npub const CALL_MS_MAX: u64 = 2 * 1_500;\n\
                    /// A share.\npub(crate) const SHARE_MIN: f64 = 0.000_1;\nconst _: () = assert!(true);\n";
        let limits = parse(text);
        assert_eq!(
            limits[0],
            Limit {
                name: "CALL_MS_MAX",
                value: "2 * 1_500",
                doc: "Time of a call, in milliseconds".to_owned(),
                line: 5
            }
        );
        assert_eq!((limits[0].number().map(grouped).as_deref(), limits[0].unit()), (Some("3,000"), "ms"));
        assert_eq!((limits[1].number().map(grouped).as_deref(), limits[1].unit()), (Some("0.0001"), ""));
        assert_eq!(limits.len(), 2);
    }

    #[test]
    fn bound_must_be_used_declared_once_and_repeated_rightly() {
        let shared = || file(SHARED, "pub const A_MAX: usize = 1_500;\n");
        let user = || file("cli/src/main.rs", "x > limits::A_MAX");
        let snippet = |text| file("js-snippet/src/v.js", text);
        assert_eq!(problems(&[shared(), user(), snippet("  const A_MAX = 1500;\n")]), [""; 0]);
        assert_eq!(problems(&[shared(), user(), snippet("  const A_MAX = 1501;\n")]).len(), 1);
        assert_eq!(problems(&[shared()]).len(), 1);
        assert_eq!(problems(&[shared(), snippet("const A_MAX = 1500;\n")]), [""; 0], "the snippet uses it");
        assert_eq!(problems(&[shared(), snippet("const A_MAX = 1500;\nconst B_MAX = 7;\n")]).len(), 1);
        let again = file("cli/src/limits.rs", "pub(crate) const A_MAX: usize = 1;\n");
        assert_eq!(problems(&[shared(), user(), again]).len(), 1);
        assert_eq!(problems(&[user()]).len(), 1, "the shared bounds are missing");
    }
}
