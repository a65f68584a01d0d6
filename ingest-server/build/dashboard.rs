//! Makes the dashboard's files: one script, one style sheet and one page that names both by their hash.
//!
//! The script is the modules in the order of their imports, without the words `import` and `export`: a module scope
//! around all of them replaces those around each. So top-level names are unique in the whole dashboard, which the build
//! checks. Nothing is minified: brotli makes that worth a few kilobytes, and a person can read what the server serves.

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The module that imports all others.
const FIRST: &str = "dashboard.js";
/// The chart library, which the script imports when it draws the first chart.
const CHARTS: &str = "uplot.js";
const STYLES: [&str; 2] = ["uplot.css", "dashboard.css"];

/// Writes the files to `out`. Returns the URL path of each.
pub(crate) fn make(source: &Path, out: &Path) -> Vec<(String, PathBuf)> {
    let mut made = Vec::new();
    let mut add = |name: &str, content: &str, is_hashed: bool| {
        let path = match name.rsplit_once('.') {
            Some((stem, extension)) if is_hashed => format!("/assets/{stem}-{}.{extension}", hash(content)),
            _ => format!("/assets/{name}"),
        };
        let file = out.join(name);
        fs::write(&file, content).expect("OUT_DIR can be written");
        compress(&file, content.as_bytes());
        made.push((path.clone(), file));
        path
    };
    let charts = add(CHARTS, &format!("{}\nexport default uPlot;\n", read(&source.join(CHARTS))), true);
    // Relative, because a proxy may show the server under a path.
    let script = bundle(source).replace("./uplot.js", &charts.replace("/assets/", "./"));
    let script = add(FIRST, &script, true);
    let style = add("dashboard.css", &STYLES.map(|name| read(&source.join(name))).concat(), true);
    let page = read(&source.join("index.html"));
    let page = page
        .replace("assets/dashboard.js", script.trim_start_matches('/'))
        .replace("assets/dashboard.css", style.trim_start_matches('/'));
    add("index.html", &page, false);
    add("icon.svg", &read(&source.join("icon.svg")), false);
    made
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Returns the first hexadecimal digits of a content's hash.
fn hash(content: &str) -> String {
    Sha256::digest(content.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn compress(file: &Path, content: &[u8]) {
    let beside = |suffix: &str, bytes: &[u8]| {
        fs::write(format!("{}.{suffix}", file.display()), bytes).expect("OUT_DIR can be written");
    };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(content).expect("writing to memory");
    beside("gz", &gzip.finish().expect("writing to memory"));
    let mut packed = Vec::new();
    let params =
        brotli::enc::BrotliEncoderParams { quality: 11, size_hint: content.len(), ..Default::default() };
    brotli::BrotliCompress(&mut &*content, &mut packed, &params).expect("writing to memory");
    beside("br", &packed);
}

/// Joins the modules.
fn bundle(source: &Path) -> String {
    let (mut order, mut script, mut names) = (Vec::new(), String::new(), BTreeMap::new());
    visit(source, FIRST, &mut order);
    for module in &order {
        script.push_str(&format!("// {module}\n"));
        let (body, _) = without_imports(&read(&source.join(module)), module);
        for line in body.lines() {
            let line = line.strip_prefix("export ").unwrap_or(line);
            if let Some(name) = declared(line)
                && let Some(other) = names.insert(name.to_owned(), module.clone())
            {
                panic!("assets/dashboard: {other} and {module} both declare `{name}`; rename one of them");
            }
            script.push_str(line);
            script.push('\n');
        }
    }
    script
}

/// Adds a module after those that it imports.
fn visit(source: &Path, module: &str, order: &mut Vec<String>) {
    let (_, imported) = without_imports(&read(&source.join(module)), module);
    for other in imported {
        if !order.contains(&other) {
            visit(source, &other, order);
        }
    }
    if !order.iter().any(|known| known == module) {
        order.push(module.to_owned());
    }
}

/// Returns a module without its imports, and the modules that it imports.
fn without_imports(text: &str, module: &str) -> (String, Vec<String>) {
    let (mut body, mut imported, mut statement) = (String::new(), Vec::new(), String::new());
    for line in text.lines() {
        if statement.is_empty() && !line.starts_with("import ") {
            body.push_str(line);
            body.push('\n');
            continue;
        }
        statement.push_str(line);
        if line.ends_with(';') {
            assert!(!statement.contains(" as "), "assets/dashboard/{module}: an import must not rename");
            let path = statement.split('"').nth(1).and_then(|path| path.strip_prefix("./"));
            imported
                .push(path.unwrap_or_else(|| panic!("assets/dashboard/{module}: {statement}")).to_owned());
            statement.clear();
        }
    }
    (body, imported)
}

/// The name that a line declares at the top level.
fn declared(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    let rest = ["function ", "const ", "let ", "class "].iter().find_map(|word| line.strip_prefix(word))?;
    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$').find(|name| !name.is_empty())
}
