//! Embeds the files that the server serves to browsers, so that one binary is the whole server.
//!
//! `FIELDVITALS_COLLECTOR_DIR` names the output folder of `cargo xtask collector`: `v.js`, the hashed module and glue,
//! each with `.br` and `.gz` beside it. If the variable is unset, only the snippet's source is embedded, and the
//! collector measures in raw-queue mode. `build/dashboard.rs` makes the dashboard's files.

#[path = "build/dashboard.rs"]
mod dashboard;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let mut table = String::from("&[\n");
    println!("cargo::rerun-if-env-changed=FIELDVITALS_COLLECTOR_DIR");
    match env::var("FIELDVITALS_COLLECTOR_DIR") {
        Ok(dir) if !dir.is_empty() => {
            let dir = PathBuf::from(dir);
            println!("cargo::rerun-if-changed={}", dir.display());
            let mut names: Vec<String> = fs::read_dir(&dir)
                .unwrap_or_else(|error| panic!("FIELDVITALS_COLLECTOR_DIR: {}: {error}", dir.display()))
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter(|name| name.ends_with(".js") || name.ends_with(".wasm"))
                .collect();
            names.sort();
            assert!(names.iter().any(|name| name == "v.js"), "{} has no v.js", dir.display());
            for name in names {
                let path = if name == "v.js" { "/v.js".to_owned() } else { format!("/c/{name}") };
                embed(&mut table, &path, &dir.join(&name));
            }
        }
        _ => {
            // Builds of a developer are often without the module; a release is rarely meant to be.
            if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
                println!(
                    "cargo::warning=this build has no wasm collector, so v.js sends raw queues; `cargo xtask dist` \
                     builds a release with the collector in it"
                );
            }
            embed(&mut table, "/v.js", &root.join("../js-snippet/src/v.js"));
        }
    }
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let assets = root.join("assets");
    println!("cargo::rerun-if-changed={}", assets.display());
    for (path, file) in dashboard::make(&assets.join("dashboard"), &out) {
        embed(&mut table, &path, &file);
    }
    walk(&mut table, &assets.join("demo"), "/demo/");
    table.push(']');
    fs::write(out.join("assets.rs"), table).expect("OUT_DIR can be written");
}

fn walk(table: &mut String, dir: &Path, prefix: &str) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str()).expect("asset names are UTF-8");
        if path.is_dir() {
            walk(table, &path, &format!("{prefix}{name}/"));
        } else {
            embed(table, &format!("{prefix}{name}"), &path);
        }
    }
}

/// Adds a row `(path, bytes, brotli bytes, gzip bytes)`; the bytes of a missing encoding are empty.
fn embed(table: &mut String, path: &str, file: &Path) {
    if !file.starts_with(env::var("OUT_DIR").expect("cargo sets it")) {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let file = fs::canonicalize(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let bytes = |file: &Path| {
        if file.exists() {
            format!("include_bytes!({:?})", file.display().to_string())
        } else {
            "&[]".to_owned()
        }
    };
    let beside = |suffix: &str| bytes(&PathBuf::from(format!("{}.{suffix}", file.display())));
    writeln!(table, "    ({path:?}, {}, {}, {}),", bytes(&file), beside("br"), beside("gz"))
        .expect("writing to a string");
}
