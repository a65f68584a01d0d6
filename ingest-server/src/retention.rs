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
    /// What was set in the store, when the options of this server last differed from it.
    differed: Mutex<Option<Retention>>,
}

impl Keeping {
    /// The retention of the options; `None` follows the store.
    #[must_use]
    pub fn new(options: Option<Retention>) -> Self {
        let current =
            options.map_or((Retention::default(), Source::Defaults), |chosen| (chosen, Source::Options));
        Self { current: Mutex::new(current), differed: Mutex::default() }
    }

    /// Returns the retention, and its source.
    #[must_use]
    pub fn current(&self) -> (Retention, Source) {
        // No holder of the lock can panic midway.
        *self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Warns once if the options of this server keep something shorter than what was set for all servers of the store.
    fn compare(&self, options: Retention, kept: Option<Retention>) {
        let is_shorter = |kept: &Retention| {
            let Retention { raw_days, hourly_days, daily_days } = *kept;
            options.raw_days < raw_days
                || options.hourly_days < hourly_days
                || options.daily_days < daily_days
        };
        let shorter = kept.filter(is_shorter);
        let before =
            std::mem::replace(&mut *self.differed.lock().unwrap_or_else(PoisonError::into_inner), shorter);
        if shorter.is_some() && shorter != before {
            let Retention { raw_days, hourly_days, daily_days } = options;
            tracing::warn!(
                raw_days,
                hourly_days,
                daily_days,
                "the options of this server keep data for a shorter time than `fieldvitals retention set` says, and what \
                 they do not keep is removed for all servers of the store"
            );
        }
    }

    /// Reads what was set for all servers of the store, unless the options decide.
    ///
    /// # Errors
    /// If the store fails. The retention stays as it is.
    pub async fn read(&self, store: &dyn Store) -> Result<(), StoreError> {
        let before = self.current();
        let kept = store.retention().await?;
        if before.1 == Source::Options {
            self.compare(before.0, kept);
            return Ok(());
        }
        let now = kept.map_or((Retention::default(), Source::Defaults), |kept| (kept, Source::Store));
        if now != before {
            let Retention { raw_days, hourly_days, daily_days } = now.0;
            tracing::info!(raw_days, hourly_days, daily_days, "the retention is that of the store");
        }
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store_sqlite::SqliteStore;
    use tempfile::TempDir;

    #[tokio::test]
    async fn retention_of_the_store_holds_unless_the_options_have_one() {
        let folder = TempDir::new().unwrap();
        let store: Box<dyn Store> =
            Box::new(SqliteStore::open(&folder.path().join("store.db")).await.unwrap());
        let set = Retention { raw_days: 90, hourly_days: 20, daily_days: 400 };
        let [follows, decides] =
            [None, Some(Retention { raw_days: 7, ..Retention::default() })].map(Keeping::new);
        follows.read(store.as_ref()).await.unwrap();
        assert_eq!(follows.current(), (Retention::default(), Source::Defaults));
        store.set_retention(set).await.unwrap();
        for keeping in [&follows, &decides] {
            keeping.read(store.as_ref()).await.unwrap();
        }
        assert_eq!(follows.current(), (set, Source::Store));
        assert_eq!((decides.current().0.raw_days, decides.current().1), (7, Source::Options));
        assert_eq!(
            *decides.differed.lock().unwrap(),
            Some(set),
            "what is removed although the store would keep it is told"
        );
        store.close().await;
        assert!(follows.read(store.as_ref()).await.is_err());
        assert_eq!(follows.current(), (set, Source::Store), "a failure keeps what is known");
    }
}
