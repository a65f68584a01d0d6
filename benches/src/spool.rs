//! Reads the spool's counters of a measured server.

use crate::http;
use crate::target::Target;
use anyhow::{Context as _, Result};

/// Spool counters from the server's status.
pub(crate) struct Spool {
    pub(crate) appended: f64,
    pub(crate) waiting: f64,
    pub(crate) commits: f64,
}

impl Spool {
    pub(crate) fn of(server: &Target) -> Result<Self> {
        let status = http::get(server.address, "/api/v1/status", &server.token)?;
        let number = |name: &str| {
            status["spool"][name].as_f64().with_context(|| format!("spool.{name} is missing in {status}"))
        };
        Ok(Self { appended: number("appended")?, waiting: number("waiting")?, commits: number("commits")? })
    }
}
