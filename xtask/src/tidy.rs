//! Checks rules of the source that the compiler does not know. Each message says what is wrong, where, and what to do.

use crate::run::say;
use crate::source::{File, code, files, has_word};
use crate::{circles, limits};
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;

/// The workspace crates that each workspace crate may import. Imports go down only: `vitals` imports none, and no
/// crate imports the binary `fieldvitals`.
const IMPORTS: [(&str, &[&str]); 11] = [
    ("vitals", &[]),
    ("fieldvitals-collector", &["vitals"]),
    ("fieldvitals-store", &["vitals"]),
    ("fieldvitals-store-sqlite", &["fieldvitals-store", "vitals"]),
    // Imports itself, because its tests need its feature `testing`. Its tests also run the same histories on both
    // stores.
    (
        "fieldvitals-store-postgres",
        &["fieldvitals-store", "fieldvitals-store-postgres", "fieldvitals-store-sqlite", "vitals"],
    ),
    (
        "fieldvitals-server",
        &["fieldvitals-store", "fieldvitals-store-postgres", "fieldvitals-store-sqlite", "vitals"],
    ),
    ("fieldvitals-traffic", &["fieldvitals-store", "vitals"]),
    (
        "fieldvitals",
        &[
            "fieldvitals-server",
            "fieldvitals-store",
            "fieldvitals-store-sqlite",
            "fieldvitals-traffic",
            "vitals",
        ],
    ),
    (
        "fieldvitals-tests",
        &[
            "fieldvitals-server",
            "fieldvitals-store",
            "fieldvitals-store-postgres",
            "fieldvitals-store-sqlite",
            "fieldvitals-traffic",
            "vitals",
        ],
    ),
    (
        "fieldvitals-bench",
        &[
            "fieldvitals-store",
            "fieldvitals-store-postgres",
            "fieldvitals-store-sqlite",
            "fieldvitals-tests",
            "fieldvitals-traffic",
            "vitals",
        ],
    ),
    // Writes the names of the wire format into the loader.
    ("xtask", &["fieldvitals-collector", "vitals"]),
];

/// Words allowed only in some places, and the reason.
const CONFINED: [(&str, &[&str], &str); 6] = [
    (
        "sqlx",
        &[
            "store-sqlite/",
            "store-postgres/",
            "ingest-server/src/spool",
            "ingest-server/tests/spool",
            "benches/",
        ],
        "all SQL lives in store-* and the spool (and the benches' yardsticks)",
    ),
    (
        "actix_web",
        &["ingest-server/src/http", "cli/src/main.rs", "benches/"],
        "HTTP ends in ingest-server/src/http",
    ),
    ("actix_http", &["ingest-server/src/http"], "HTTP ends in ingest-server/src/http"),
    ("actix_server", &["ingest-server/src/http"], "HTTP ends in ingest-server/src/http"),
    (
        "reqwest",
        &["cli/", "tests/", "ingest-server/src/egress"],
        "the server's outbound connections are those of ingest-server/src/egress",
    ),
    (
        "lettre",
        &["ingest-server/src/egress"],
        "the server's outbound connections are those of ingest-server/src/egress",
    ),
];

/// Checks every rule.
pub(crate) fn tidy() -> Result<()> {
    let files = files()?;
    let mut problems = Vec::new();
    imports(&files, &mut problems)?;
    confined(&files, &mut problems);
    pins(&files, &mut problems)?;
    limits::check(&files, &mut problems);
    circles::check(&files, &mut problems);
    machines(&files, &mut problems);
    schemas(&files, &mut problems);
    if problems.is_empty() {
        say(format!("tidy: {} files, nothing to say", files.len()));
        return Ok(());
    }
    bail!("{} untidy places:\n  {}", problems.len(), problems.join("\n  "));
}

fn imports(files: &[File], problems: &mut Vec<String>) -> Result<()> {
    let allowed: BTreeMap<_, _> = IMPORTS.into_iter().collect();
    for file in files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        let manifest: toml::Table =
            file.text.parse().with_context(|| format!("{} is not TOML", file.path))?;
        let name = manifest.get("package").and_then(|package| package.get("name")?.as_str());
        let Some(name) = name else { continue };
        let Some(allowed_here) = allowed.get(name) else {
            problems.push(format!(
                "{}: no rule says what {name} may import; add one to xtask/src/tidy.rs",
                file.path
            ));
            continue;
        };
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(kind).and_then(toml::Value::as_table) else { continue };
            for dependency in dependencies.keys() {
                if allowed.contains_key(dependency.as_str()) && !allowed_here.contains(&dependency.as_str()) {
                    problems.push(format!("{}: {name} must not import {dependency}", file.path));
                }
            }
        }
    }
    Ok(())
}

fn confined(files: &[File], problems: &mut Vec<String>) {
    for file in files.iter().filter(|file| file.path.ends_with(".rs") && !file.path.starts_with("xtask/")) {
        for (word, places, why) in CONFINED {
            if places.iter().any(|place| file.path.starts_with(place)) {
                continue;
            }
            for (number, line) in code(&file.text) {
                // `sqlx=warn` in a log filter is no use of sqlx.
                if has_word(line, word) && line.contains(&format!("{word}::")) {
                    problems.push(format!("{}:{number}: no {word} here: {why}", file.path));
                }
            }
        }
    }
}

/// Checks the pinned version of wasm-bindgen, because the glue fits only the version that generated it.
fn pins(files: &[File], problems: &mut Vec<String>) -> Result<()> {
    let text = find(files, "Cargo.toml")?;
    let manifest: toml::Table = text.parse().context("Cargo.toml is not TOML")?;
    let version = |name: &str| {
        let entry = manifest.get("workspace")?.get("dependencies")?.get(name)?;
        entry.as_str().or_else(|| entry.get("version")?.as_str())
    };
    let (one, other) = ("wasm-bindgen", "wasm-bindgen-cli-support");
    if version(one) != version(other) || !version(one).is_some_and(|version| version.starts_with('=')) {
        problems.push(format!(
            "Cargo.toml: {one} ({}) and {other} ({}) must be pinned to the same version, with `=`",
            version(one).unwrap_or("missing"),
            version(other).unwrap_or("missing"),
        ));
    }
    let lock: toml::Table = find(files, "Cargo.lock")?.parse().context("Cargo.lock is not TOML")?;
    let packages = lock.get("package").and_then(toml::Value::as_array).map_or(&[][..], Vec::as_slice);
    let count = packages
        .iter()
        .filter(|package| package.get("name").and_then(toml::Value::as_str) == Some("wasm-bindgen"))
        .count();
    if count != 1 {
        problems.push(format!("Cargo.lock: there are {count} versions of wasm-bindgen; one is needed"));
    }
    for package in packages {
        let source = package.get("source").and_then(toml::Value::as_str);
        if source.is_some_and(|source| source != "registry+https://github.com/rust-lang/crates.io-index") {
            problems.push(format!(
                "Cargo.lock: {} comes from somewhere else than crates.io; clones elsewhere cannot fetch it",
                package.get("name").and_then(toml::Value::as_str).unwrap_or("a package")
            ));
        }
    }
    Ok(())
}

/// Reports paths of a specific machine.
fn machines(files: &[File], problems: &mut Vec<String>) {
    for file in files {
        if file.path.starts_with(".cargo/")
            && let Some(section) =
                ["[source", "[registr"].iter().find(|section| file.text.contains(**section))
        {
            problems.push(format!("{}: `{section}…`: the registry is each machine's own setting", file.path));
        }
        for (number, line) in file.text.lines().enumerate() {
            // The words are split, because the rule also checks this file.
            for (first, second) in [("/ho", "me/"), ("/ro", "ot/"), ("/wo", "rk/"), ("/Us", "ers/")] {
                let needle = format!("{first}{second}");
                if line.match_indices(&needle).any(|(place, _)| begins_path(line, place)) {
                    problems.push(format!("{}:{}: a path of one machine: {needle}…", file.path, number + 1));
                }
            }
            let needle = format!("{}{}", "arti", "factory");
            if line.to_ascii_lowercase().contains(&needle) {
                problems.push(format!("{}:{}: a registry of one workplace", file.path, number + 1));
            }
        }
    }
}

/// Reports schemas of the API with the same name: in the OpenAPI document one of them replaces the other.
fn schemas(files: &[File], problems: &mut Vec<String>) {
    let mut places = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.starts_with("ingest-server/src/")) {
        let mut is_schema = false;
        for (number, line) in code(&file.text) {
            is_schema |= has_word(line, "derive") && has_word(line, "ToSchema");
            let mut words = line.split(|character: char| !character.is_alphanumeric() && character != '_');
            let Some(name) = words
                .any(|word| word == "struct" || word == "enum")
                .then(|| words.next())
                .flatten()
                .filter(|_| std::mem::take(&mut is_schema))
            else {
                continue;
            };
            let place = format!("{}:{number}", file.path);
            if let Some(other) = places.insert(name, place.clone()) {
                problems.push(format!("{place}: {name} is also a schema of {other}; rename one"));
            }
        }
    }
}

fn begins_path(line: &str, place: usize) -> bool {
    let before = line.get(..place).and_then(|before| before.chars().next_back());
    !before.is_some_and(|character| character.is_alphanumeric() || "._-/}*".contains(character))
}

fn find<'a>(files: &'a [File], path: &str) -> Result<&'a str> {
    let file = files.iter().find(|file| Path::new(&file.path) == Path::new(path));
    file.map(|file| file.text.as_str()).with_context(|| format!("{path} is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    fn problems(check: impl FnOnce(&[File], &mut Vec<String>), files: &[File]) -> Vec<String> {
        let mut problems = Vec::new();
        check(files, &mut problems);
        problems
    }

    #[test]
    fn imports_point_down() {
        let check = |files: &[File], problems: &mut Vec<String>| imports(files, problems).unwrap();
        let manifest = |name: &str, dependency: &str| {
            [file(
                "x/Cargo.toml",
                &format!("[package]\nname = \"{name}\"\n[dev-dependencies]\n{dependency}.workspace = true\n"),
            )]
        };
        assert!(problems(check, &manifest("fieldvitals-store", "vitals")).is_empty());
        assert_eq!(problems(check, &manifest("vitals", "fieldvitals-store")).len(), 1);
        assert_eq!(problems(check, &manifest("fieldvitals-tests", "fieldvitals")).len(), 1);
        assert_eq!(problems(check, &manifest("newcomer", "serde")).len(), 1);
    }

    #[test]
    fn words_stay_where_they_belong() {
        let used = "use sqlx::Row;\n// sqlx\nlet sqlxs = 1;\n";
        assert!(problems(confined, &[file("store-sqlite/src/a.rs", used)]).is_empty());
        assert_eq!(problems(confined, &[file("ingest-server/src/http/a.rs", used)]).len(), 1);
    }

    #[test]
    fn a_schema_has_a_name_of_its_own() {
        let schema = "#[derive(Debug, ToSchema)]\npub struct EntryReport {\n    at: String,\n}\n";
        let other = "#[derive(Debug)]\nstruct EntryReport;\n";
        let (audit, samples) = ("ingest-server/src/audit.rs", "ingest-server/src/samples.rs");
        assert!(problems(schemas, &[file(audit, schema), file(samples, other)]).is_empty());
        assert_eq!(problems(schemas, &[file(audit, schema), file(samples, schema)]).len(), 1);
    }

    #[test]
    fn no_machine_is_named() {
        let path = format!("cd {}{}me", "/ho", "me/");
        assert_eq!(problems(machines, &[file("a.md", &path)]).len(), 1);
        let url = format!("https://example.org{}{}", "/ho", "me/");
        assert!(problems(machines, &[file("a.md", &url)]).is_empty());
        assert_eq!(problems(machines, &[file(".cargo/config.toml", "[source.crates-io]")]).len(), 1);
    }
}
