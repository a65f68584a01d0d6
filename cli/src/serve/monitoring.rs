//! The options of `serve` for its log, its limits and its metrics.

use anyhow::anyhow;
use fieldvitals_server::health::Thresholds;
use fieldvitals_server::limits::METRICS_SITES_MAX;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// What the server tells of itself.
#[derive(Debug, clap::Args)]
pub(super) struct Monitoring {
    /// Which log lines to write: `warn`, `info`, `debug`, or by module.
    #[arg(long, env = "FIELDVITALS_LOG", value_name = "FILTER", value_parser = filter)]
    pub(super) log: Option<String>,
    /// The form of log lines.
    #[arg(long, env = "FIELDVITALS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
    /// Milliseconds from which requests and questions are logged as slow, at most ten of each a minute; 0 for none.
    #[arg(long, env = "FIELDVITALS_SLOW_MS", default_value_t = crate::limits::SLOW_MS, value_name = "N")]
    slow_ms: u64,
    /// File with the limits of the server's health (TOML); the API then cannot change them. Without it, PUT
    /// /api/v1/status/thresholds does.
    #[arg(long, env = "FIELDVITALS_THRESHOLDS", value_name = "FILE")]
    pub(super) thresholds: Option<PathBuf>,
    /// A site whose vitals of the last day /metrics has, at most 100; may be repeated.
    #[arg(
        long = "metrics-site",
        env = "FIELDVITALS_METRICS_SITES",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub(super) metrics_sites: Vec<String>,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

fn filter(text: &str) -> Result<String, String> {
    let expected = "expected a level such as info, or levels by module such as info,sqlx=debug";
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| format!("{error}; {expected}"))
}

impl Monitoring {
    /// Reads the file of thresholds.
    ///
    /// # Errors
    /// If it cannot be read, or has a mistake.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let Some(path) = &self.thresholds else { return Ok(()) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| anyhow!("{}: it cannot be read: {error}", path.display()))?;
        Thresholds::from_toml(&text).map_err(|problem| anyhow!("{}: {problem}", path.display()))?;
        Ok(())
    }

    /// Begins to log to standard error.
    pub(super) fn begin_log(&self, filter: EnvFilter) {
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.log_format {
            // Colors are for terminals. A log that programs read has none.
            LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
            LogFormat::Json => log.json().flatten_event(true).init(),
        }
        if self.metrics_sites.len() > METRICS_SITES_MAX {
            tracing::warn!(
                "/metrics has the vitals of {METRICS_SITES_MAX} sites at most; --metrics-site names {}",
                self.metrics_sites.len()
            );
        }
    }

    /// The duration from which events are slow.
    pub(super) const fn slow(&self) -> Duration {
        Duration::from_millis(self.slow_ms)
    }
}
