//! Reads a budget file from a path or standard input.

use crate::exit::Failure;
use crate::output::plain;
use std::io::Read as _;
use std::path::Path;
use vitals::budget::{self, BudgetFile};
use vitals::limits;

/// The name of standard input in messages.
pub(crate) const STDIN: &str = "<stdin>";

/// A budget file.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path, as the user gave it, or [`STDIN`].
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) parsed: BudgetFile,
}

/// Reads a file; `-` is standard input.
///
/// # Errors
/// If the file cannot be read, or has a mistake; the message names the place.
pub(crate) fn read(path: &Path) -> Result<Source, Failure> {
    if path == Path::new("-") {
        return of_text(STDIN, text(|| Ok(std::io::stdin().lock()), STDIN)?);
    }
    let name = plain(&path.to_string_lossy());
    of_text(&name, text(|| std::fs::File::open(path), &name)?)
}

/// Parses the text of a budget file.
///
/// # Errors
/// If it has a mistake; the message names the place.
pub(crate) fn of_text(name: &str, text: String) -> Result<Source, Failure> {
    let parsed =
        budget::parse(&text).map_err(|error| Failure::usage(format!("{name}:{error}"), budget::FORMAT))?;
    Ok(Source { name: name.to_owned(), text, parsed })
}

/// The text of a file.
fn text<R: std::io::Read>(open: impl FnOnce() -> std::io::Result<R>, file: &str) -> Result<String, Failure> {
    let wrong = |error: std::io::Error| {
        Failure::usage(
            format!("cannot read the budget file {file}: {error}"),
            "Give the path of a file; - reads standard input.",
        )
    };
    let mut bytes = Vec::new();
    // One byte beyond the bound is enough to see that the file is too large.
    let bound = limits::API_BODY_BYTES_MAX as u64 + 1;
    open().and_then(|opened| opened.take(bound).read_to_end(&mut bytes)).map_err(wrong)?;
    String::from_utf8(bytes).map_err(|error| {
        let start = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..start]).into_owned();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Failure::usage(
            format!("{file}:{line}:{column}: not UTF-8; expected a text file"),
            "Save the file as UTF-8.",
        )
    })
}
