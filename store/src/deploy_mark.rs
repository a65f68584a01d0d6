//! Defines deploy marks: when releases were deployed.

/// The deploy of a release, as somebody marked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployMark {
    /// The release.
    pub release: String,
    /// Time of the deploy, UTC milliseconds.
    pub at_ms: i64,
}
