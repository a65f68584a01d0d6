//! Builds the collector's npm package, and tests it with a bundler.

use crate::collector::{self, NAME_LINE, SNIPPET, replace_once, sources};
use crate::minify::{Kind, minify};
use crate::run::{find_program, root, run, say, target_dir};
use crate::toolchain;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Text replacements that turn the script tag's snippet into the package's `init`. Options come as an object, and the
/// glue is a file of the bundle.
const REPLACED: [(&str, &str); 3] = [
    ("(() => {\n", "export const init = (options) => {\n"),
    ("window[data.beforeSend](own)", "data.beforeSend(own)"),
    (NAME_LINE, "const COLLECTOR = \"collector.js\";"),
];
/// Replacements of whole regions of the snippet, by region name.
const REGIONS: [(&str, &str); 2] = [
    (
        "options",
        "const beside = (path) => new URL(path, options.host.replace(/\\/*$/, \"/\"));\n\
         const data = { ...options, debug: options.debug ? \"\" : undefined, \
         tags: Object.entries(options.tags || {}).map((pair) => pair.join(\"=\")).join(\";\"), \
         sample: options.sample == null ? undefined : \"\" + options.sample };\n",
    ),
    ("load", "import(\"./collector.js\")\n"),
];
/// The end of the snippet, and its replacement. A page may call the functions before `init`, or without it.
const END: (&str, &str) = (
    "})();\n",
    "};\n\
     const call = (name) => (...args) => window.fieldvitals?.[name]?.(...args);\n\
     export const route = call(\"route\");\n\
     export const navigate = call(\"navigate\");\n\
     export const tag = call(\"tag\");\n\
     export const mark = call(\"mark\");\n\
     export const consent = call(\"consent\");\n\
     export const on = call(\"on\");\n",
);

/// The bundler and the type checker of the test.
const TOOLS: [&str; 2] = ["vite@8", "typescript@5"];

const PAGE: &str = "<!doctype html><title>t</title><script type=\"module\" src=\"/main.ts\"></script>\n";
const MAIN: &str = "import { init, navigate, on, route, type Value } from \"fieldvitals\";\n\
    init({ site: \"KEY\", host: \"https://vitals.example\", sample: 0.5, tags: { plan: \"free\" },\n\
    \x20      beforeSend: (url) => (url.includes(\"/private\") ? null : url) });\n\
    navigate(\"/product/:id\");\n\
    route(\"/product/:id\");\n\
    on(\"LCP\", (value: Value) => console.log(value.rating));\n";
/// Calls that must fail the type check.
const WRONG: [&str; 3] = ["init({ site: \"KEY\" });", "on(\"XYZ\", () => {});", "navigate(7);"];

/// Writes the package into `target/npm` and returns that folder.
pub(crate) fn package() -> Result<PathBuf> {
    let collector = collector::build()?;
    let mut index = sources()?.snippet;
    for (from, to) in REPLACED {
        index = replace_once(&index, from, to, SNIPPET)?;
    }
    for (name, code) in REGIONS {
        index = replace_region(&index, name, code)?;
    }
    let (end, more) = END;
    let Some(body) = index.strip_suffix(end) else { bail!("{SNIPPET} does not end with {end:?}") };
    let index = minify(&format!("{body}{more}"), Kind::Module, "the package's index.js")?;

    let dir = target_dir().join("npm");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("index.js"), index)?;
    let copies = [
        (collector.module_glue.clone(), "collector.js"),
        (collector.dir.join(format!("{}.wasm", collector.stem)), "collector.wasm"),
        (root().join("js-snippet/src/index.d.ts"), "index.d.ts"),
        (root().join("js-snippet/package.json"), "package.json"),
        (root().join("js-snippet/README.md"), "README.md"),
    ];
    for (from, to) in copies {
        fs::copy(&from, dir.join(to)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    say(format!("the npm package is in {}", dir.display()));
    Ok(dir)
}

/// Writes the package as one file, `fieldvitals-VERSION.tgz`, as a registry would have it.
pub(crate) fn pack(to: &Path) -> Result<()> {
    let package = package()?;
    let npm = toolchain::program("npm", "npm")?;
    let mut pack = Command::new(npm);
    pack.args(["pack", "--silent", "--pack-destination"]).arg(to);
    run(quiet(&mut pack, &package))
}

/// Replaces a region: the lines from `//#region name` to the next `//#endregion`.
fn replace_region(source: &str, name: &str, code: &str) -> Result<String> {
    let begin = format!("//#region {name}\n");
    let Some((before, rest)) = source.split_once(&begin).filter(|(_, rest)| !rest.contains(&begin)) else {
        bail!("{SNIPPET} does not have the region {name} once");
    };
    let Some((_, after)) = rest.split_once("//#endregion\n") else {
        bail!("{SNIPPET} does not end the region {name}");
    };
    Ok(format!("{before}{code}{after}"))
}

/// Builds a page with the package and Vite, and checks its types. Without npm, prints that the test was skipped.
pub(crate) fn test() -> Result<()> {
    let package = package()?.canonicalize()?;
    let (Ok(npm), true) = (toolchain::program("npm", "npm"), find_program("node").is_some()) else {
        say("NOT TESTED with a bundler: npm is not here and cannot be installed");
        return Ok(());
    };
    let dir = target_dir().join("npm-test");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("package.json"), "{\"name\":\"bundled\",\"private\":true,\"type\":\"module\"}\n")?;
    fs::write(dir.join("index.html"), PAGE)?;
    fs::write(dir.join("main.ts"), MAIN)?;
    let mut install = Command::new(&npm);
    install
        .args(["install", "--silent", "--no-audit", "--no-fund", "--install-links"])
        .args(TOOLS)
        .arg(&package);
    if run(quiet(&mut install, &dir)).is_err() {
        say(format!("NOT TESTED with a bundler: npm could not fetch {}", TOOLS.join(" and ")));
        return Ok(());
    }
    let tool = |name: &str| Command::new(dir.join("node_modules/.bin").join(name));
    run(quiet(tool("vite").arg("build"), &dir)).context("Vite cannot build a page with the package")?;
    let assets = dir.join("dist/assets");
    let names: Vec<String> =
        fs::read_dir(&assets)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let count = |ending: &str| names.iter().filter(|name| name.ends_with(ending)).count();
    if count(".wasm") != 1 || count(".js") < 2 {
        bail!("Vite's build has {names:?}; the module and the glue should be files of their own");
    }

    let check =
        ["--noEmit", "--strict", "--module", "esnext", "--moduleResolution", "bundler", "--target", "esnext"];
    run(quiet(tool("tsc").args(check).arg("main.ts"), &dir))
        .context("the package's types refuse what is right")?;
    for wrong in WRONG {
        fs::write(
            dir.join("wrong.ts"),
            format!("import {{ init, navigate, on }} from \"fieldvitals\";\n{wrong}\n"),
        )?;
        let mut tsc = tool("tsc");
        tsc.args(check).arg("wrong.ts");
        if quiet(&mut tsc, &dir).stdout(Stdio::null()).status()?.success() {
            bail!("the package's types take `{wrong}`");
        }
    }
    say("the npm package: Vite builds it, and its types hold");
    dashboard_types(&dir, quiet(&mut tool("tsc"), &dir))
}

/// Checks the types of the dashboard's modules, whose chart library has none.
fn dashboard_types(dir: &Path, tsc: &mut Command) -> Result<()> {
    let copy = dir.join("dashboard");
    fs::create_dir_all(&copy)?;
    for entry in fs::read_dir(root().join("ingest-server/assets/dashboard"))? {
        let file = entry?.path();
        let is_source = file.extension().is_some_and(|extension| extension == "js" || extension == "ts");
        if let Some(name) = file.file_name().filter(|_| is_source) {
            fs::copy(&file, copy.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
        }
    }
    fs::write(copy.join("uplot.d.ts"), "declare const uPlot: any;\nexport default uPlot;\n")?;
    let check =
        ["--noEmit", "--allowJs", "--checkJs", "--noUnusedLocals", "--skipLibCheck", "--module", "esnext"];
    let of_browsers =
        ["--moduleResolution", "bundler", "--target", "esnext", "--lib", "esnext,dom,dom.iterable"];
    let files = ["dashboard/types.d.ts", "dashboard/dashboard.js"];
    run(tsc.args(check).args(of_browsers).args(files))
        .context("the dashboard's modules do not fit each other")?;
    say("the dashboard's modules fit each other");
    Ok(())
}

/// Sends a command's standard output to standard error, because standard output belongs to the caller.
fn quiet<'a>(command: &'a mut Command, dir: &Path) -> &'a mut Command {
    command.current_dir(dir).stdin(Stdio::null()).stdout(std::io::stderr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_is_replaced_and_its_neighbors_stay() {
        let source = "a();\n//#region x\nb();\n//#endregion\nc();\n//#region y\nd();\n//#endregion\n";
        let replaced = replace_region(source, "x", "e();\n").unwrap();
        assert_eq!(replaced, "a();\ne();\nc();\n//#region y\nd();\n//#endregion\n");
        assert!(replace_region(source, "z", "").is_err(), "no such region");
        assert!(replace_region(&source.repeat(2), "x", "").is_err(), "twice");
        assert!(replace_region("//#region x\n", "x", "").is_err(), "without an end");
    }
}
