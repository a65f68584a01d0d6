//! The text files of the repository, for checks.

use crate::run::{output, root};
use anyhow::{Context as _, Result};
use std::fs;
use std::process::Command;

/// A text file of the repository.
pub(crate) struct File {
    /// The path from the repository's root.
    pub(crate) path: String,
    /// The content.
    pub(crate) text: String,
}

/// The text files that are tracked by git, or untracked and not ignored.
pub(crate) fn files() -> Result<Vec<File>> {
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let names = output(&mut list).context("tidy asks git which files are the project's")?;
    Ok(names
        .lines()
        .filter_map(|name| {
            let text = fs::read_to_string(root().join(name)).ok()?;
            Some(File { path: name.to_owned(), text })
        })
        .collect())
}

/// Numbered lines that are not comments.
pub(crate) fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.starts_with("//"))
}

/// Whether a line contains a whole word.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let is_part = |character: Option<char>| {
        character.is_some_and(|character| character.is_alphanumeric() || character == '_')
    };
    line.match_indices(word).any(|(place, _)| {
        let before = line.get(..place).and_then(|before| before.chars().next_back());
        let after = line.get(place + word.len()..).and_then(|after| after.chars().next());
        !is_part(before) && !is_part(after)
    })
}
