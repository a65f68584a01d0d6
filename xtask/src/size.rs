//! The bytes that a visitor downloads.

use crate::collector;
use crate::tidy::bound;
use anyhow::{Result, bail};
use serde::Serialize;
use std::fs;

/// What a size is compared with: published bundles, brotli 11, measured 2026-11-20.
const WEB_VITALS: (&str, u64) = ("web-vitals 6.2.3 iife, brotli", 3_037);
const WEB_VITALS_ATTRIBUTION: (&str, u64) = ("web-vitals 6.2.3 attribution iife, brotli", 4_978);
const LUX: (&str, u64) = ("lux 4.4.3 es2020, brotli", 9_882);

#[derive(Serialize)]
struct Row {
    name: String,
    value: u64,
    unit: &'static str,
    yardstick: Option<&'static str>,
    ratio: Option<f64>,
}

/// Builds the collector and prints its sizes; fails where a page would have to fetch too much.
pub(crate) fn print(json: bool) -> Result<()> {
    let collector = collector::build()?;
    let mut rows = Vec::new();
    let mut totals = [0; 3];
    let mut snippet = 0;
    for (name, file) in collector.files() {
        for ((ending, encoding), total) in
            [("", "minified"), (".gz", "gzip"), (".br", "brotli")].into_iter().zip(&mut totals)
        {
            let bytes = fs::metadata(collector.dir.join(format!("{file}{ending}")))?.len();
            *total += bytes;
            let is_snippet = name == "snippet" && encoding == "brotli";
            if is_snippet {
                snippet = bytes;
            }
            let yardstick = is_snippet.then_some(WEB_VITALS);
            rows.push(row(format!("{name} {encoding}"), bytes, yardstick));
        }
    }
    let [minified, gzip, brotli] = totals;
    rows.push(row("whole minified".to_owned(), minified, None));
    rows.push(row("whole gzip".to_owned(), gzip, None));
    for yardstick in [WEB_VITALS, WEB_VITALS_ATTRIBUTION, LUX] {
        rows.push(row("whole brotli".to_owned(), brotli, Some(yardstick)));
    }
    rows.push(row("module and glue brotli".to_owned(), brotli - snippet, None));
    let text = if json { serde_json::to_string_pretty(&rows)? + "\n" } else { table(&rows) };
    show(&text)?;
    for (what, bytes, name) in [
        ("the snippet", snippet, "SNIPPET_BYTES_MAX"),
        ("module and glue", brotli - snippet, "COLLECTOR_BYTES_MAX"),
    ] {
        let most = bound(name)?;
        if bytes > most {
            bail!("{what}: {bytes} bytes with brotli; vitals::limits::{name} is {most}");
        }
    }
    Ok(())
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
