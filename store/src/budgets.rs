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
