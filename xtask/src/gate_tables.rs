//! Writes the tables of docs/gate.md: error rates and power of the gate, by simulation.

use crate::run::{cargo, output, root, say};
use anyhow::{Context as _, Result, bail};
use std::fs;

/// The page with the tables.
const PAGE: &str = "docs/gate.md";
/// The lines around the tables, in the page and in the output of the simulation.
const BEGIN: &str = "<!-- begin of the tables -->\n";
const END: &str = "<!-- end of the tables -->\n";

/// Runs the simulation and puts its tables into the page, or only compares them.
pub(crate) fn write(check: bool) -> Result<()> {
    say("simulating; this takes some minutes");
    let simulation = ["test", "--package", "vitals", "--test", "gate", "--"];
    let told = output(cargo().args(simulation).args(["--ignored", "--exact", "tables", "--nocapture"]))?;
    let path = root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let (before, old, after) = parts(&page).with_context(|| format!("{PAGE} has no place for the tables"))?;
    let (_, new, _) = parts(&told).context("the simulation printed no tables")?;
    // The test program says meanwhile that the test takes long.
    let new: String = new.split_inclusive('\n').filter(|line| !line.starts_with("test ")).collect();
    if check {
        if old != new.as_str() {
            bail!("{PAGE} is not what the simulation tells; run `cargo xtask gate-tables`");
        }
        return Ok(());
    }
    fs::write(&path, [before, BEGIN, &new, END, after].concat())
        .with_context(|| format!("cannot write {PAGE}"))
}

/// The text before, between and after the lines around the tables.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (between, after) = rest.split_once(END)?;
    Some((before, between, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_a_place_in_the_page() {
        let page = fs::read_to_string(root().join(PAGE)).unwrap();
        let (before, ..) = parts(&page).unwrap();
        assert!(before.starts_with("# "));
        assert_eq!(parts("no tables"), None);
    }
}
