//! Maps errors of Postgres and its driver to [`StoreError`].

use fieldvitals_store::StoreError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

const TLS_HINT: &str = "; check sslmode and sslrootcert in --database-url, and the server's certificate";

const NODE_HINT: &str = "; see whether that node of Citus runs, and its own log";

/// Start of the error context that Citus adds to an error of one of its nodes.
const ON_A_NODE: &str = "while executing command on ";

/// SQLSTATE `dependent_objects_still_exist`.
const DEPENDED_ON: &str = "2BP01";

/// SQLSTATE `query_canceled`: a statement exceeded its timeout.
const CANCELED: &str = "57014";

/// Returns a function that maps an error of sqlx, met while doing `what`, to [`StoreError`].
pub(crate) fn failed(what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| {
        let code = code(&error).unwrap_or_default();
        if code == CANCELED {
            return StoreError::TooSlow {
                what,
                reason: format!("{} (the database is busy)", said(&error)),
                answered: true,
            };
        }
        if let Some(told) = told(&error)
            && is_of_a_node(told.code(), is_fatal(told.severity()), told.r#where())
        {
            return StoreError::Node { what, reason: format!("{}{NODE_HINT}", said(&error)) };
        }
        let (hint, transient) = match &error {
            sqlx::Error::Database(_) => of_code(&code),
            // rustls reports a bad certificate as this kind of I/O error.
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => (TLS_HINT, false),
            sqlx::Error::Io(_) => {
                ("; is Postgres running, and are host and port of --database-url right?", true)
            }
            // For example, the server closed the connection during the handshake.
            sqlx::Error::Protocol(_) => {
                ("; is it Postgres that answers at host and port of --database-url, and is it up?", true)
            }
            sqlx::Error::Tls(_) => (TLS_HINT, false),
            sqlx::Error::PoolTimedOut => (
                " (no connection within the time for it: Postgres is away, or all connections are busy)",
                true,
            ),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => ("", true),
            _ => ("", false),
        };
        // Postgres names dependent objects in the detail. The details of other errors may contain a row's content.
        let told = told(&error);
        let detail = told.and_then(PgDatabaseError::detail).filter(|_| code == DEPENDED_ON);
        let advice = told.and_then(PgDatabaseError::hint).filter(|_| hint.is_empty());
        let more: String = detail.into_iter().chain(advice).map(|more| format!(" ({more})")).collect();
        StoreError::Database { what, reason: format!("{}{more}{hint}", said(&error)), transient }
    }
}

/// The SQLSTATE of an error that Postgres answered with.
pub(crate) fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

/// The name of the constraint that a row violates.
pub(crate) fn constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error()?.constraint()
}

/// The error as Postgres reported it; `None` for errors of the driver.
fn told(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

/// The message. Omits the line in Postgres' own source, which the driver appends, because it does not help users.
fn said(error: &sqlx::Error) -> String {
    match told(error) {
        Some(told) => format!("error returned from database: {}", told.message()),
        None => error.to_string(),
    }
}

const fn is_fatal(severity: PgSeverity) -> bool {
    matches!(severity, PgSeverity::Fatal | PgSeverity::Panic)
}

/// Whether the database is well, and one of its Citus nodes is not. A lost connection (class 08) that does not end the
/// session is a connection from the database to a node. Errors of a node have [`ON_A_NODE`] in their context.
/// Conflicts between transactions (class 40, `55P03`) are not faults of a node.
fn is_of_a_node(code: &str, is_fatal: bool, context: Option<&str>) -> bool {
    let class = |classes: &[&str]| classes.iter().any(|class| code.starts_with(class));
    let is_on_a_node = context.is_some_and(|context| context.contains(ON_A_NODE));
    !is_fatal && (class(&["08"]) || (is_on_a_node && class(&["25006", "53", "57", "58"])))
}

/// The hint for a SQLSTATE, and whether the error is passing. Source of the codes:
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn of_code(code: &str) -> (&'static str, bool) {
    match code {
        "28P01" | "28000" => {
            ("; check user and password in --database-url, and the server's pg_hba.conf", false)
        }
        // PgBouncer uses this code for every failure to reach Postgres.
        "08P01" => ("; where a pooler stands in between, check its settings and log too", true),
        "3D000" => ("; create it (`createdb NAME`), or name another in --database-url", false),
        "3F000" => (
            "; make one (`create schema public`, and `grant create on schema public to USER` for the user of \
             --database-url), or set search_path of that user to another",
            false,
        ),
        "42501" => (
            "; the user of --database-url must own the tables of fieldvitals, and may need \
             `grant create on schema public to USER`",
            false,
        ),
        "42P01" | "42703" | "42883" => {
            ("; the schema is not as fieldvitals made it: put back a backup, or use an empty database", false)
        }
        "42P07" | "42723" => (
            "; the database holds tables that fieldvitals did not make: give it a database of its own",
            false,
        ),
        DEPENDED_ON => (
            "; fieldvitals did not make it: drop it, or have it depend on page_view instead of one day of it",
            false,
        ),
        "53100" => ("; free some disk space on the database server", true),
        "53300" => ("; raise max_connections of Postgres, or run fewer servers on it", true),
        "55P03" => (" (the database is busy)", true),
        "25006" => ("; --database-url must name the primary, not a standby", true),
        // Lost connections, conflicts between transactions, missing resources, shutdown or startup.
        _ if ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => ("", true),
        _ => ("", false),
    }
}

/// The error for a row whose content fieldvitals cannot have written.
pub(crate) fn damaged(what: &'static str, which: impl std::fmt::Display) -> StoreError {
    StoreError::Database {
        what,
        reason: format!("{which} cannot be understood; the database is damaged: put back a backup"),
        transient: false,
    }
}

/// The error for a part of rollups that fieldvitals cannot have written. Rollups can be rebuilt from page views.
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
    use super::*;

    /// Codes and contexts of Citus 13.2 on Postgres 15.
    #[test]
    fn fault_of_a_node_is_told_from_one_of_the_database() {
        // "connection to the remote node vitals@10.0.0.2:5432 failed with the following error: Connection refused",
        // "… connection not open", "could not establish any connections to the node 10.0.0.2:5432 after 30000 ms"
        let of_a_node = [
            ("08006", false, None),
            (
                "08006",
                false,
                Some("SQL statement \"alter table page_view attach partition page_view_21915 …\""),
            ),
            // "cannot execute UPDATE in a read-only transaction"
            ("25006", false, Some("while executing command on 10.0.0.2:5432")),
            ("53100", false, Some("while executing command on 10.0.0.2:5432")),
            ("53300", false, Some("while executing command on 10.0.0.2:5432")),
            ("57P03", false, Some("while executing command on 10.0.0.2:5432")),
            ("58030", false, Some("COPY page_view\nwhile executing command on 10.0.0.2:5432")),
        ];
        for (code, is_fatal, context) in of_a_node {
            assert!(is_of_a_node(code, is_fatal, context), "{code} {context:?}");
        }
        let of_the_database = [
            // A pooler without its database, and a database that ends the session.
            ("08P01", true, None),
            ("57P01", true, None),
            ("57P03", true, None),
            ("53300", true, None),
            ("53100", false, None),
            ("25006", false, None),
            // Conflicts, which are retried.
            ("40P01", false, Some("while executing command on 10.0.0.2:5432")),
            ("55P03", false, Some("while executing command on 10.0.0.2:5432")),
            // "could not commit transaction for shard 102192 on at least one active node": already a fault of the
            // site.
            ("XX000", false, None),
        ];
        for (code, is_fatal, context) in of_the_database {
            assert!(!is_of_a_node(code, is_fatal, context), "{code} {context:?}");
        }
    }
}
