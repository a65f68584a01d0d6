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
        let (reason, transient) = match code.map(|code| code & 0xff) {
            Some(8) => (READ_ONLY.to_owned(), false),
            Some(14) => (NO_FILE.to_owned(), false),
            Some(5 | 6) => (format!("{error} (another process is writing to it)"), true),
            Some(13) => (format!("{error}; free some disk space"), true),
            Some(11 | 26) => (
                format!("{error}; the file is damaged or no store: put back a backup, or move it away"),
                false,
            ),
            _ => match &error {
                sqlx::Error::PoolTimedOut => (error.to_string(), true),
                sqlx::Error::Io(cause) => (error.to_string(), cause.kind() == std::io::ErrorKind::WouldBlock),
                _ => (error.to_string(), false),
            },
        };
        StoreError::Database { what, reason, transient }
    }
}

/// The text for SQLITE_READONLY. A store is written even by commands that only read, because its log may need recovery.
const READ_ONLY: &str = "the file or its folder is read-only here; let this user write to both, or run the command where it \
                         may: on the server's machine as the server's user";

/// The text for SQLITE_CANTOPEN.
const NO_FILE: &str = "the file cannot be opened; see that its path is right, and that this user may write to it and its folder";

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

#[cfg(test)]
mod tests {
    use super::failed;
    use fieldvitals_store::StoreError;
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions as _, Connection as _};

    #[tokio::test]
    async fn read_only_and_missing_file_are_told_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteConnectOptions::new().filename(folder.path().join("store.db"));
        let told = |error: sqlx::Error| match failed("writing")(error) {
            StoreError::Database { reason, transient: false, .. } => reason,
            other => panic!("{other:?}"),
        };
        let missing = file.clone().connect().await.err().unwrap();
        assert!(told(missing).starts_with("the file cannot be opened; "));
        file.clone().create_if_missing(true).connect().await.unwrap().close().await.unwrap();
        let mut read_only = file.read_only(true).connect().await.unwrap();
        let refused = sqlx::query("/* test */ create table t (n)").execute(&mut read_only).await.unwrap_err();
        assert!(told(refused).starts_with("the file or its folder is read-only here; "));
    }
}
