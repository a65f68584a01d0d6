//! Parses `--database-url` and opens the store.

use crate::health::Backend;
use fieldvitals_store::diagnosis::Finding;
use fieldvitals_store::{Store, StoreError};
use fieldvitals_store_postgres::{PostgresStore, Spread};
use fieldvitals_store_sqlite::SqliteStore;
use std::path::PathBuf;
use std::sync::Arc;

/// URL of a store.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// An SQLite file.
    File(PathBuf),
    /// URL of a Postgres database; may contain a password.
    Postgres(String),
}

impl StoreUrl {
    /// Parses a URL; `None` for a text that is no URL.
    ///
    /// # Errors
    /// The message says what is wrong. It never contains the URL, which may contain a password.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        // Configuration files and shell substitutions leave blanks and line ends.
        let text = text.trim();
        let (scheme, rest) = text.split_once(':')?;
        let read = match scheme.to_ascii_lowercase().as_str() {
            "postgres" | "postgresql" => Ok(Self::Postgres(text.to_owned())),
            "sqlite" => file(rest),
            _ if !rest.starts_with("//") => return None,
            _ if text.starts_with(['"', '\'']) => {
                Err("it stands in quotes, which belong to a shell and not to the URL: leave them out"
                    .to_owned())
            }
            other => Err(refused(other)),
        };
        Some(read)
    }

    /// Returns the kind of store that `--database-url` names; the embedded one without it.
    #[must_use]
    pub fn backend(database_url: Option<&str>) -> Backend {
        match database_url.and_then(Self::parse) {
            Some(Ok(Self::Postgres(_))) => Backend::Postgres,
            _ => Backend::Embedded,
        }
    }

    /// Spreads the tables of a migrated store over the nodes of its Citus cluster, by site.
    ///
    /// # Errors
    /// If the store is not on a Citus cluster. The error says what to do.
    pub async fn spread(&self) -> Result<Spread, StoreError> {
        match self {
            Self::File(_) => Err(StoreError::Database {
                what: "spreading the tables over the nodes of Citus",
                reason: "a file has no nodes; --database-url must name the coordinator of a Citus cluster"
                    .to_owned(),
                transient: false,
            }),
            Self::Postgres(url) => fieldvitals_store_postgres::spread(url).await,
        }
    }

    /// Examines the store for `fieldvitals doctor`. Changes nothing, and creates nothing.
    pub async fn diagnose(&self, now_ms: i64, kept_days: Option<u32>) -> Vec<Finding> {
        match self {
            Self::File(path) => fieldvitals_store_sqlite::diagnose(path, now_ms, kept_days).await,
            Self::Postgres(url) => fieldvitals_store_postgres::diagnose(url, now_ms, kept_days).await,
        }
    }

    /// Opens the store.
    ///
    /// # Errors
    /// If the store cannot be opened. The error says what to do.
    pub async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self {
            Self::File(path) => Arc::new(SqliteStore::open(path).await?),
            Self::Postgres(url) => Arc::new(PostgresStore::open(url).await?),
        })
    }
}

fn file(rest: &str) -> Result<StoreUrl, String> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() {
        return Err("`sqlite:` names no file".to_owned());
    }
    if let Some((path, parameters)) = path.split_once('?') {
        return Err(format!("sqlite://{path} takes no parameters: leave out `?{parameters}`"));
    }
    Ok(StoreUrl::File(path.into()))
}

fn refused(scheme: &str) -> String {
    let is_scheme = scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if is_scheme { format!("`{scheme}:` is no database that fieldvitals can use") } else { NO_URL.to_owned() }
}

/// Message for a text that is no URL.
pub(crate) const NO_URL: &str = "this is no address of a database";

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the file's path, the Postgres URL, `none` or the error.
    fn read(text: &str) -> String {
        match StoreUrl::parse(text) {
            Some(Ok(StoreUrl::File(path))) => path.display().to_string(),
            Some(Ok(StoreUrl::Postgres(url))) => url,
            Some(Err(message)) => message,
            None => "none".to_owned(),
        }
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, expected) in [
            ("sqlite:///var/store.db", "/var/store.db"),
            ("sqlite:store.db", "store.db"),
            ("SQLite://store.db\n", "store.db"),
            (" Postgres://me@h/v", "Postgres://me@h/v"),
            ("postgresql://h/v", "postgresql://h/v"),
            ("not/there", "none"),
            ("", "none"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_a_password() {
        for (text, expected) in [
            ("sqlite:///var/store.db?mode=ro", "takes no parameters: leave out `?mode=ro`"),
            ("sqlite:", "names no file"),
            ("\"postgres://me:hush@h/v\"", "leave them out"),
            ("'sqlite:///var/store.db'", "leave them out"),
            ("mysql://me:hush@h/v", "`mysql:` is no database"),
            ("hush@h://v", "no address"),
        ] {
            let message = read(text);
            assert!(message.contains(expected) && !message.contains("hush"), "{text}: {message}");
        }
    }
}
