//! Measures the bytes that a visitor downloads.

use crate::collector::{self, Collector};
use crate::limits::bound;
use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use std::fs;

/// Yardsticks: published bundles, brotli 11, measured 2026-11-20.
const WEB_VITALS: (&str, u64) = ("web-vitals 6.2.3 iife, brotli", 3_037);
const WEB_VITALS_ATTRIBUTION: (&str, u64) = ("web-vitals 6.2.3 attribution iife, brotli", 4_978);
const LUX: (&str, u64) = ("lux 4.4.3 es2020, brotli", 9_882);

/// The suffix of a brotli-compressed file.
const BROTLI: &str = ".br";

#[derive(Serialize)]
struct Row {
    name: String,
    value: u64,
    unit: &'static str,
    yardstick: Option<&'static str>,
    ratio: Option<f64>,
}

/// Builds the collector and prints its sizes.
///
/// # Errors
/// If a page would fetch more than `vitals::limits` allows.
pub(crate) fn print(json: bool) -> Result<()> {
    let collector = collector::build()?;
    let mut rows = Vec::new();
    let mut totals = [0; 3];
    for (name, file) in collector.files() {
        for ((ending, encoding), total) in
            [("", "minified"), (".gz", "gzip"), (BROTLI, "brotli")].into_iter().zip(&mut totals)
        {
            let bytes = size(&collector, &file, ending)?;
            *total += bytes;
            let yardstick = (name == "snippet" && encoding == "brotli").then_some(WEB_VITALS);
            rows.push(row(format!("{name} {encoding}"), bytes, yardstick));
        }
    }
    let [minified, gzip, brotli] = totals;
    rows.push(row("whole minified".to_owned(), minified, None));
    rows.push(row("whole gzip".to_owned(), gzip, None));
    for yardstick in [WEB_VITALS, WEB_VITALS_ATTRIBUTION, LUX] {
        rows.push(row("whole brotli".to_owned(), brotli, Some(yardstick)));
    }
    let text = if json { serde_json::to_string_pretty(&rows)? + "\n" } else { table(&rows) };
    show(&text)?;
    check(&collector)
}

/// Compares the collector's sizes with their limits.
///
/// # Errors
/// If a page would fetch more than `vitals::limits` allows.
pub(crate) fn check(collector: &Collector) -> Result<()> {
    let mut whole = 0;
    for (name, file) in collector.files() {
        let bytes = size(collector, &file, BROTLI)?;
        whole += bytes;
        if name == "snippet" {
            within("the snippet", bytes, "SNIPPET_BYTES_MAX")?;
        }
    }
    within("snippet, glue and module", whole, "COLLECTOR_BYTES_MAX")
}

fn within(what: &str, bytes: u64, name: &str) -> Result<()> {
    let most = bound(name)?;
    if bytes > most {
        bail!("{what}: {bytes} bytes with brotli; vitals::limits::{name} is {most}");
    }
    Ok(())
}

/// Returns the size of a collector file, in bytes; `ending` selects the compressed form.
fn size(collector: &Collector, file: &str, ending: &str) -> Result<u64> {
    let file = collector.dir.join(format!("{file}{ending}"));
    Ok(fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?.len())
}

fn row(name: String, value: u64, yardstick: Option<(&'static str, u64)>) -> Row {
    Row {
        name,
        value,
        unit: "bytes",
        yardstick: yardstick.map(|(name, _)| name),
        ratio: yardstick.map(|(_, bytes)| (value as f64 / bytes as f64 * 1_000.0).round() / 1_000.0),
    }
}

fn table(rows: &[Row]) -> String {
    rows.iter()
        .map(|row| {
            let compared = match (row.yardstick, row.ratio) {
                (Some(yardstick), Some(ratio)) => format!("   {ratio:.2} of {yardstick}"),
                _ => String::new(),
            };
            format!("{:<22}{:>9} {}{compared}\n", row.name, row.value, row.unit)
        })
        .collect()
}

fn show(text: &str) -> Result<()> {
    use std::io::Write as _;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collector_beyond_a_bound_is_refused() {
        let dir = std::env::temp_dir().join(format!("fieldvitals-size-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let collector = Collector { dir: dir.clone(), stem: "c".to_owned(), module_glue: dir.join("m") };
        let (snippet_max, whole_max) =
            (bound("SNIPPET_BYTES_MAX").unwrap(), bound("COLLECTOR_BYTES_MAX").unwrap());
        let verdict = |snippet: u64, wasm: u64, glue: u64| {
            for ((_, file), bytes) in collector.files().iter().zip([snippet, wasm, glue]) {
                fs::write(dir.join(format!("{file}{BROTLI}")), vec![0; bytes as usize]).unwrap();
            }
            check(&collector)
        };
        assert!(verdict(snippet_max, whole_max - snippet_max - 100, 100).is_ok());
        assert!(verdict(snippet_max + 1, 1, 1).is_err());
        assert!(verdict(snippet_max, whole_max - snippet_max - 100, 101).is_err());
        fs::remove_file(dir.join(format!("v.js{BROTLI}"))).unwrap();
        assert!(check(&collector).is_err(), "a file is missing");
        fs::remove_dir_all(&dir).unwrap();
    }
}
