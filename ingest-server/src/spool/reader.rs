//! Reads rows of the spool on threads that may block on the disk.

use super::file::{self, SpoolRow};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The loader's connection to the spool, used only on blocking threads.
pub(super) struct Reader {
    path: PathBuf,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Reader {
    pub(super) fn new(path: PathBuf, connection: Connection) -> Self {
        Self { path, connection: Arc::new(Mutex::new(Some(connection))) }
    }

    pub(super) async fn read(
        &self,
        after: u64,
        beacons_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<SpoolRow>, String> {
        let connection = Arc::clone(&self.connection);
        let reading = tokio::task::spawn_blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            connection.as_ref().map(|connection| file::read(connection, after, beacons_max, bytes_max))
        });
        match reading.await {
            Ok(Some(Ok(rows))) => Ok(rows),
            Ok(Some(Err(error))) => Err(file::open_error(&self.path, &error).to_string()),
            Ok(None) => Err("its reader is closed".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) async fn close(&self) {
        let connection = Arc::clone(&self.connection);
        let closing = tokio::task::spawn_blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner).take();
            connection.and_then(|connection| connection.close().err().map(|(_, error)| error))
        });
        if let Ok(Some(error)) = closing.await {
            tracing::debug!(%error, "a connection to the spool was not closed cleanly");
        }
    }
}
