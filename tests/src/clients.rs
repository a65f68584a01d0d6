//! Clients of other makers, which read the server in Node.

use serde_json::Value;
use tokio::process::Command;

/// The variable with the folder of the npm packages. `cargo xtask test e2e` fetches them and sets it.
const FOLDER: &str = "FIELDVITALS_CLIENTS";

/// Runs a module in Node beside the packages, and parses the JSON that it prints. Returns `None`, and says so, without the
/// packages.
///
/// # Panics
/// Panics if the module fails, or prints anything else.
pub async fn node(module: &str, env: &[(&str, &str)]) -> Option<Value> {
    let Some(folder) = std::env::var_os(FOLDER) else {
        eprintln!("NOT TESTED with npm packages: {FOLDER} is not set; `cargo xtask test e2e` fetches them");
        return None;
    };
    // Node looks for the packages of a text in the current folder.
    let mut command = Command::new("node");
    command.args(["--input-type=module", "--eval", module]).current_dir(folder);
    let output = command.envs(env.iter().copied()).output().await.expect("node runs");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{error}");
    Some(serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{error}")))
}

/// Returns the value with all numbers as JavaScript has them: it does not tell `0.0` from `0`.
#[must_use]
pub fn as_in_javascript(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(items) => items.iter().map(as_in_javascript).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), as_in_javascript(value))).collect()
        }
        other => other.clone(),
    }
}
