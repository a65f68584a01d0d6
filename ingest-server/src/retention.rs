//! The retention of this server: that of its options, or that which was set for all servers of the store.

use fieldvitals_store::{Retention, Store, StoreError};
use std::sync::{Mutex, PoisonError};

/// The source of a retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The defaults.
    Defaults,
    /// The API or a command, for all servers of the store.
    Store,
    /// The options of this server.
    Options,
}

impl Source {
    /// Returns the name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Defaults => "defaults",
            Self::Store => "store",
            Self::Options => "options",
        }
    }
}

/// The retention that a server follows.
#[derive(Debug)]
pub struct Keeping {
    current: Mutex<(Retention, Source)>,
}

impl Keeping {
    /// The retention of the options; `None` follows the store.
    #[must_use]
    pub fn new(options: Option<Retention>) -> Self {
        let current =
            options.map_or((Retention::default(), Source::Defaults), |chosen| (chosen, Source::Options));
        Self { current: Mutex::new(current) }
    }

    /// Returns the retention, and its source.
    #[must_use]
    pub fn current(&self) -> (Retention, Source) {
        // No holder of the lock can panic midway.
        *self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what was set for all servers of the store, unless the options decide.
    ///
    /// # Errors
    /// If the store fails. The retention stays as it is.
    pub async fn read(&self, store: &dyn Store) -> Result<(), StoreError> {
        let before = self.current();
        if before.1 == Source::Options {
            return Ok(());
        }
        let kept = store.retention().await?;
        let now = kept.map_or((Retention::default(), Source::Defaults), |kept| (kept, Source::Store));
        if now != before {
            let Retention { raw_days, hourly_days, daily_days } = now.0;
            tracing::info!(raw_days, hourly_days, daily_days, "the retention is that of the store");
        }
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }
}
