//! Defines budget files that are kept in the store, by version.

/// A budget file to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBudgets {
    /// The file, as it was sent.
    pub text: String,
    /// The routes that it names exactly. They always have a place ([`crate::places`]).
    pub routes: Vec<String>,
    /// Now, UTC milliseconds.
    pub applied_ms: i64,
    /// The name of the token that sent it.
    pub applied_by: String,
    /// The number of the newest version, which this file was made from; 0 if there was none. `None` replaces any version.
    pub replaces: Option<i64>,
}

impl NewBudgets {
    /// Whether the newest version stays the newest: it has the same text, or this file was made from another version.
    #[must_use]
    pub fn leaves(&self, newest: &AppliedBudgets) -> bool {
        newest.text == self.text || self.replaces.is_some_and(|version| version != newest.version)
    }
}

/// A version of a site's budget file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedBudgets {
    /// Its number within the site, from 1 on.
    pub version: i64,
    /// The file, as it was sent.
    pub text: String,
    /// Time of arrival, UTC milliseconds.
    pub applied_ms: i64,
    /// The name of the token that sent it.
    pub applied_by: String,
}
