//! Asks DuckDB about files. `FIELDVITALS_DUCKDB` names a Python that has it; `cargo xtask test e2e` installs one.

use serde_json::Value;
use std::process::Command;

/// Runs queries and prints a JSON list of their rows.
const SCRIPT: &str = "
import duckdb, json, sys
connection = duckdb.connect()
connection.execute(\"set timezone = 'UTC'\")
print(json.dumps([connection.execute(query).fetchall() for query in sys.argv[1:]]))
";

/// Runs queries; returns the rows of each. Values must be numbers, texts, flags or null.
///
/// # Panics
/// Panics if DuckDB is missing or refuses a query.
#[must_use]
pub fn ask(queries: &[&str]) -> Vec<Vec<Value>> {
    let python = std::env::var_os("FIELDVITALS_DUCKDB").unwrap_or_else(|| "python3".into());
    let output = Command::new(&python).args(["-c", SCRIPT]).args(queries).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", python.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "no answer of DuckDB (`cargo xtask test e2e` installs it): {said}");
    serde_json::from_slice(&output.stdout).expect("rows as JSON")
}
