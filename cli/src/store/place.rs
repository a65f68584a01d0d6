//! Location of a store: a data folder, a file, or Postgres.

use fieldvitals_server::{EMBEDDED_STORE, SPOOL, ServeError, StoreUrl, open_store};
use fieldvitals_store::Store;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use url::Url;

/// File name extensions that mark a path as a file if nothing exists there.
const ENDINGS: [&str; 3] = ["db", "sqlite", "sqlite3"];
/// Default port of Postgres.
const POSTGRES_PORT: u16 = 5432;

/// The location of a store.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The embedded store in a data folder.
    Folder(PathBuf),
    /// An SQLite file.
    File(PathBuf),
    /// A Postgres address, which may contain a password.
    Postgres(String),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl Place {
    /// Parses a location from the command line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected postgres://USER@HOST/NAME, sqlite://PATH, a data folder, or a store's file";
        match StoreUrl::parse(text) {
            Some(Ok(StoreUrl::Postgres(url))) => return Ok(Self::Postgres(url)),
            Some(Ok(StoreUrl::File(path))) => return Ok(Self::File(path)),
            Some(Err(wrong)) => return Err(format!("{wrong}; {expected}")),
            None if text.is_empty() => return Err(expected.to_owned()),
            None => {}
        }
        let path = Path::new(text);
        // The text may be an address with a password but without its scheme, so the message must not repeat it.
        if text.contains('@') && !text.starts_with(['/', '.']) && !path.exists() {
            return Err(format!(
                "what is given has an `@`, and is neither an address nor a path that is there; {expected}"
            ));
        }
        let ending = path.extension().and_then(|ending| ending.to_str());
        let is_file =
            path.is_file() || (!path.is_dir() && ending.is_some_and(|ending| ENDINGS.contains(&ending)));
        Ok(if is_file { Self::File(path.to_owned()) } else { Self::Folder(path.to_owned()) })
    }

    /// Describes the store for people, without user, password and parameters.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Folder(path) => format!("the store in {}", path.display()),
            Self::File(path) => format!("the store {}", path.display()),
            Self::Postgres(url) => match Address::of(url) {
                Some(Address { host, port, database }) if host.contains(':') => {
                    format!("Postgres at [{host}]:{port}, database `{database}`")
                }
                Some(Address { host, port, database }) => {
                    format!("Postgres at {host}:{port}, database `{database}`")
                }
                None => "Postgres".to_owned(),
            },
        }
    }

    /// Identifies the store: equal texts mean the same store. Different texts may also mean the same store, for example
    /// by another host name.
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::Folder(_) | Self::File(_) => {
                let path = self.file().unwrap_or_default();
                let whole = path.canonicalize().or_else(|_| std::path::absolute(&path)).unwrap_or(path);
                format!("sqlite {}", whole.display())
            }
            Self::Postgres(url) => match Address::of(url) {
                Some(Address { host, port, database }) => format!("postgres {host} {port} {database}"),
                None => format!("postgres {url}"),
            },
        }
    }

    /// Path of an SQLite store's file.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Folder(path) => Some(path.join(EMBEDDED_STORE)),
            Self::File(path) => Some(path.clone()),
            Self::Postgres(_) => None,
        }
    }

    /// Path of the spool beside the store. `None` for Postgres, and for a file without a spool in its folder.
    pub(crate) fn spool(&self) -> Option<PathBuf> {
        match self {
            Self::Folder(path) => Some(path.join(SPOOL)),
            Self::File(path) => path.parent().map(|folder| folder.join(SPOOL)).filter(|spool| spool.exists()),
            Self::Postgres(_) => None,
        }
    }

    /// Opens the store; creates it if missing.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Store>, ServeError> {
        match self {
            Self::Folder(path) => open_store(path, None).await,
            Self::File(path) => Ok(StoreUrl::File(path.clone()).open().await?),
            Self::Postgres(url) => Ok(StoreUrl::Postgres(url.clone()).open().await?),
        }
    }
}

/// The parts of a Postgres address that identify the database.
struct Address {
    host: String,
    port: String,
    database: String,
}

impl Address {
    fn of(url: &str) -> Option<Self> {
        // Text without `//` is not an address, and its path may contain a password.
        let url = Url::parse(url).ok().filter(Url::has_authority)?;
        // The last occurrence of a repeated parameter is effective.
        let parameter = |name: &str| {
            let named = url.query_pairs().filter(|(of, _)| of == name);
            named.last().map(|(_, value)| value.into_owned())
        };
        let host = parameter("host").or_else(|| parameter("hostaddr"));
        let host = host.or_else(|| url.host_str().filter(|host| !host.is_empty()).map(str::to_lowercase));
        let port = parameter("port").unwrap_or_else(|| url.port().unwrap_or(POSTGRES_PORT).to_string());
        let database = parameter("dbname").unwrap_or_else(|| url.path().trim_matches('/').to_owned());
        let host = host.map(|host| host.trim_matches(['[', ']']).to_owned());
        Some(Self { host: host.unwrap_or_else(|| "localhost".to_owned()), port, database })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("any-name");
        std::fs::write(&file, "").unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        for (given, place) in [
            ("postgres://me@h/db", Place::Postgres("postgres://me@h/db".into())),
            ("sqlite://a/b", Place::File("a/b".into())),
            ("sqlite:b", Place::File("b".into())),
            ("not/there", Place::Folder("not/there".into())),
            ("not/there.db", Place::File("not/there.db".into())),
            (&text(folder.path()), Place::Folder(folder.path().into())),
            (&text(&file), Place::File(file.clone())),
        ] {
            assert_eq!(Place::parse(given), Ok(place), "{given}");
        }
        for wrong in ["", "mysql://h/db", "sqlite:"] {
            assert!(Place::parse(wrong).is_err_and(|message| message.contains("postgres://")), "{wrong}");
        }
    }

    #[test]
    fn a_store_is_itself_by_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join(EMBEDDED_STORE);
        std::fs::write(&store, "").unwrap();
        let dotted = folder.path().join(".").join(EMBEDDED_STORE);
        assert_eq!(Place::Folder(folder.path().into()).identity(), Place::File(dotted).identity());
        let postgres = |url: &str| Place::Postgres(url.to_owned()).identity();
        assert_eq!(
            postgres("postgres://me:hush@DB.example/v"),
            postgres("postgresql://db.example:5432/v?sslmode=require")
        );
        assert_eq!(postgres("postgres:///v?host=/run/a"), postgres("postgres:///v?user=x&host=/run/a"));
        assert_eq!(postgres("postgres://[::1]/v"), postgres("postgres:///v?host=::1"));
        assert_eq!(
            Place::Postgres("postgres://[::1]/v".into()).name(),
            "Postgres at [::1]:5432, database `v`"
        );
        assert_ne!(postgres("postgres://h/v"), postgres("postgres://h/w"));
        assert_ne!(postgres("postgres://h/v"), postgres("postgres://h:6432/v"));
    }

    #[test]
    fn a_name_tells_no_password() {
        let place = Place::Postgres("postgres://me:hush@h/v?password=hush".into());
        assert_eq!(place.name(), "Postgres at h:5432, database `v`");
        assert!(!format!("{place:?}").contains("hush"));
        for text in ["postgres//me:hush@h/v", "me:hush@h/v.db"] {
            assert!(Place::parse(text).is_err_and(|wrong| !wrong.contains("hush")), "{text}");
        }
        let place = Place::Postgres("postgres:/me:hush@h/v".into());
        assert_eq!(place.name(), "Postgres");
    }
}
