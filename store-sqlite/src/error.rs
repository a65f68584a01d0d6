//! Converts SQLite errors to errors of the store.

use fieldvitals_store::StoreError;

/// Converts an sqlx error of the operation `what`.
pub(crate) fn failed(what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| {
        // The low byte is the primary code (https://www.sqlite.org/rescode.html).
        let code = match &error {
            sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<u32>().ok()),
            _ => None,
        };
        let (hint, transient) = match code.map(|code| code & 0xff) {
            Some(5 | 6) => (" (another process is writing to it)", true),
            Some(13) => ("; free some disk space", true),
            Some(8) => ("; check who may write to the file and its directory", false),
            Some(11 | 26) => ("; the file is damaged or no store: put back a backup, or move it away", false),
            Some(14) => ("; check that the path is right and its directory may be written", false),
            _ => match &error {
                sqlx::Error::PoolTimedOut => ("", true),
                sqlx::Error::Io(error) => ("", error.kind() == std::io::ErrorKind::WouldBlock),
                _ => ("", false),
            },
        };
        StoreError::Database { what, reason: format!("{error}{hint}"), transient }
    }
}

/// Error for a row that fieldvitals did not write.
pub(crate) fn damaged(what: &'static str, which: impl std::fmt::Display) -> StoreError {
    StoreError::Database {
        what,
        reason: format!("{which} cannot be understood; the file is damaged: put back a backup"),
        transient: false,
    }
}

/// Error for a damaged part of rollups, which can be rebuilt from page views.
pub(crate) fn damaged_rollup(what: &'static str, which: impl std::fmt::Display) -> StoreError {
    StoreError::Database {
        what,
        reason: format!(
            "{which} cannot be understood; rollups are damaged: `fieldvitals rollup rebuild` makes those of all days again \
             whose page views are kept; of days before, put back a backup"
        ),
        transient: false,
    }
}
