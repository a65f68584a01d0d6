//! DuckDB, installed from Python's package index into its own virtual environment.

use crate::progress::{Progress, say};
use anyhow::{Context as _, Result, bail};
use fieldvitals_traffic::Traffic;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vitals::metric::Metric;

const SCRIPT: &str = include_str!("duck.py");

/// A DuckDB file with the page views in a native table. Columns: start, route number, device, LCP in µs.
pub(crate) struct Duck {
    python: PathBuf,
    database: PathBuf,
}

/// The output of `duck.py`.
#[derive(serde::Deserialize)]
pub(crate) struct Answer {
    /// DuckDB's version.
    pub(crate) version: String,
    /// Median time of each question, in milliseconds.
    pub(crate) millis: BTreeMap<String, Option<f64>>,
}

impl Duck {
    /// Installs DuckDB and loads the page views, unless an earlier run did so.
    pub(crate) fn open(folder: &Path, name: &str, views: u64, mut traffic: Traffic) -> Result<Self> {
        let environment = folder.join("venv");
        let python = environment.join("bin/python");
        let ready = || {
            let mut command = Command::new(&python);
            command.args(["-c", "import duckdb"]).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if !ready() {
            say("installing DuckDB in a virtual environment");
            run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
            run(Command::new(&python).args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "duckdb",
            ]))?;
        }
        let duck = Self { python, database: folder.join(format!("{name}.duckdb")) };
        if !duck.database.exists() {
            let table = folder.join(format!("{name}.csv"));
            export(&table, views, &mut traffic)?;
            say("loading DuckDB");
            let loaded = duck.call(Some(&table), 0, &HashMap::new());
            std::fs::remove_file(&table)?;
            if loaded.is_err() && duck.database.exists() {
                std::fs::remove_file(&duck.database)?;
            }
            loaded?;
        }
        Ok(duck)
    }

    /// Returns the median time of each question, by question name.
    pub(crate) fn ask(&self, times: u32, questions: &HashMap<&str, String>) -> Result<Answer> {
        self.call(None, times, questions)
    }

    fn call(&self, table: Option<&Path>, times: u32, questions: &HashMap<&str, String>) -> Result<Answer> {
        let mut command = Command::new(&self.python);
        command.args(["-c", SCRIPT]).arg(&self.database).arg(table.unwrap_or_else(|| Path::new("")));
        command.arg(times.to_string()).arg(serde_json::to_string(questions)?);
        let output = command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("DuckDB ended with {}", output.status);
        }
        serde_json::from_slice(&output.stdout).context("DuckDB's answer")
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status =
        command.stdout(std::io::stderr()).status().with_context(|| format!("{command:?} cannot be run"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

fn export(table: &Path, views: u64, traffic: &mut Traffic) -> Result<()> {
    let numbers: HashMap<String, usize> =
        traffic.routes().enumerate().map(|(number, route)| (route.to_owned(), number)).collect();
    let mut file = BufWriter::new(File::create(table)?);
    let mut progress = Progress::new("writing page views for DuckDB", views);
    for number in 0..views {
        let view = traffic.next_view();
        let lcp = view.values.get(Metric::Lcp).map_or(0, |value| value.micros());
        let route = numbers.get(&view.route).context("a known route")?;
        let device = view.device.map_or(0, |device| device as u8);
        writeln!(file, "{},{route},{device},{lcp}", view.id.start_ms())?;
        progress.at(number);
    }
    file.flush()?;
    progress.end();
    Ok(())
}
