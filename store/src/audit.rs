//! The audit log: who changed which setting, and when.

/// A change of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Time of the change, UTC milliseconds.
    pub at_ms: i64,
    /// The token that made the change, or the command line.
    pub actor: String,
    /// The kind of the change, such as `site.update`.
    pub action: String,
    /// The name of the site or token.
    pub target: String,
    /// The settings before the change, as JSON without secrets; `None` if there were none.
    pub before: Option<String>,
    /// The settings after the change; `None` if there are none.
    pub after: Option<String>,
}
