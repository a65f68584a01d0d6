//! The writer: one task that makes queued beacons durable in group commits.

use super::refusal::Cause;
use super::reply::{self, Waiting};
use super::{AppendError, InFlight, Shared, file, payload};
use crate::clock::now_ms;
use rusqlite::Connection;
use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Back-off of the writer on a full disk, before it retries the removal of rows or a trial commit.
const TIDY_RETRY: Duration = Duration::from_secs(1);

/// Maximum number of yields before a commit. Each yield may cost a time slice of another busy thread.
const YIELDS_MAX: usize = 8;

/// Requests to the writer.
pub(crate) enum Message {
    /// Write a beacon.
    Append(Append),
    /// Remove or shorten loaded rows.
    Remove(Removal),
    /// Remove a loaded epoch.
    Forget(i64),
    /// Start to check periodically whether the refusal of beacons is over.
    Refused,
    /// Close the file, then reply.
    Close(oneshot::Sender<()>),
}

/// A queued beacon.
pub(crate) struct Append {
    /// The encoded record.
    pub(crate) bytes: Vec<u8>,
    /// Number of page view updates in the beacon.
    pub(crate) views: usize,
    pub(crate) waiting: Waiting,
    pub(crate) _held: InFlight,
}

/// Loaded parts of some rows.
#[derive(Default)]
pub(crate) struct Removal {
    /// Fully loaded rows, as ranges of positions: exclusive start, inclusive end.
    pub(crate) removed: Vec<(u64, u64)>,
    /// Partly loaded rows: position, number of remaining beacons, remaining payload.
    pub(crate) rewritten: Vec<(u64, usize, Vec<u8>)>,
    /// Bytes on disk that the removal frees.
    pub(crate) bytes: u64,
    /// Receives a reply after the removal.
    pub(crate) done: Option<oneshot::Sender<()>>,
}

impl Removal {
    /// Merges an adjacent later removal into this one. Returns `next` if the two cannot be merged: a row is rewritten,
    /// or the ranges do not touch.
    fn join(&mut self, next: Self) -> Result<(), Self> {
        match (self.removed.as_mut_slice(), next.removed.as_slice()) {
            ([(_, up_to)], &[(after, next_up_to)])
                if after == *up_to && self.rewritten.is_empty() && next.rewritten.is_empty() =>
            {
                *up_to = next_up_to;
                self.bytes += next.bytes;
                Ok(())
            }
            _ => Err(next),
        }
    }
}

/// Removals that the loader has requested and the writer has not done yet.
#[derive(Default)]
struct Tidy {
    removals: VecDeque<Removal>,
    epochs: Vec<i64>,
}

impl Tidy {
    fn is_empty(&self) -> bool {
        self.removals.is_empty() && self.epochs.is_empty()
    }

    fn add_removal(&mut self, removal: Removal) {
        let rest = match self.removals.back_mut() {
            Some(last) => last.join(removal),
            None => Err(removal),
        };
        self.removals.extend(rest.err());
    }
}

/// Beacons of one group commit.
struct Batch {
    appends: Vec<Append>,
    bytes: usize,
    views: usize,
}

struct Writer {
    shared: Arc<Shared>,
    connection: Connection,
    epoch: i64,
    last: u64,
    tidy: Tidy,
    /// Beacons in each of the last two commits.
    sizes: [usize; 2],
    /// Bytes appended since the last call of the checkpointer.
    unchecked_bytes: usize,
    checkpoint: SyncSender<()>,
    /// Time of the last trial commit.
    tried: Instant,
}

/// Runs the writer until every sender is dropped or a message closes it. Blocks the polling thread on disk writes.
pub(crate) async fn run(
    shared: Arc<Shared>,
    lock: File,
    connection: Connection,
    checkpointer: Connection,
    epoch: i64,
    last: u64,
    mut inbox: mpsc::UnboundedReceiver<Message>,
) {
    let (checkpoint, due) = sync_channel(1);
    let thread = std::thread::Builder::new().name("spool checkpoints".to_owned());
    let checkpoints = match thread.spawn(move || keep_checkpointing(checkpointer, &due)) {
        Ok(checkpoints) => checkpoints,
        Err(error) => return shared.fail(format!("its checkpoints cannot be started: {error}")),
    };
    let unchecked_bytes = 0;
    let mut writer = Writer {
        shared,
        connection,
        epoch,
        last,
        tidy: Tidy::default(),
        sizes: [0; 2],
        unchecked_bytes,
        checkpoint,
        tried: Instant::now(),
    };
    let mut closing = None;
    let mut carried = None;
    loop {
        let message = match carried.take() {
            Some(append) => Some(Message::Append(append)),
            None => writer.next(&mut inbox).await,
        };
        match message {
            Some(Message::Append(first)) => {
                let (batch, next) = writer.collect(first, &mut inbox, &mut closing);
                carried = next;
                writer.commit(batch);
            }
            Some(other) => {
                writer.note(other, &mut closing);
                writer.try_again();
            }
            None => break,
        }
        if !writer.tidy.is_empty() {
            writer.tidy();
        }
        if closing.is_some() && carried.is_none() {
            break;
        }
    }
    drop(inbox);
    // SQLite removes the log when the last connection closes, so this waits for each connection. Joining fails only
    // after a panic of the thread, which is logged already.
    drop(writer.checkpoint);
    let _ = checkpoints.join();
    if let Err((_, error)) = writer.connection.close() {
        tracing::warn!(%error, "the spool file was not closed cleanly");
    }
    drop(lock);
    if let Some(closed) = closing {
        // The caller may have stopped waiting.
        let _: Result<(), ()> = closed.send(());
    }
}

/// Runs a checkpoint for each call, until the sender is dropped.
fn keep_checkpointing(connection: Connection, due: &Receiver<()>) {
    while due.recv().is_ok() {
        if let Err(error) = file::checkpoint(&connection) {
            // The writer empties an overlong log itself.
            tracing::debug!(%error, "the spool's log was not checkpointed");
        }
    }
    if let Err((_, error)) = connection.close() {
        tracing::debug!(%error, "a connection to the spool was not closed cleanly");
    }
}

impl Writer {
    /// Returns the next message. Meanwhile retries failed removals and, during a refusal, a trial commit.
    async fn next(&mut self, inbox: &mut mpsc::UnboundedReceiver<Message>) -> Option<Message> {
        while !self.tidy.is_empty() || self.shared.refusal().is_some() {
            match tokio::time::timeout(TIDY_RETRY, inbox.recv()).await {
                Ok(message) => return message,
                Err(_) => {
                    self.try_again();
                    self.tidy();
                }
            }
        }
        inbox.recv().await
    }

    /// Collects queued beacons for one commit. Also returns the beacon that did not fit.
    ///
    /// Yields to threads that are about to send beacons, until the batch has three quarters of the beacons under way.
    /// The server receives the others during the sync of this commit. On idle cores yielding brings no beacons, and
    /// the commit begins at once.
    fn collect(
        &mut self,
        first: Append,
        inbox: &mut mpsc::UnboundedReceiver<Message>,
        closing: &mut Option<oneshot::Sender<()>>,
    ) -> (Vec<Append>, Option<Append>) {
        let mut batch = Batch { bytes: first.bytes.len(), views: first.views, appends: vec![first] };
        // Clients of the last two commits are likely to send again soon.
        let enough = (self.sizes.iter().sum::<usize>() * 3).div_ceil(4);
        let mut next = self.take(&mut batch, inbox, closing);
        for _ in 0..YIELDS_MAX {
            if next.is_some() || batch.appends.len() >= enough || closing.is_some() {
                break;
            }
            std::thread::yield_now();
            if inbox.is_empty() {
                break;
            }
            next = self.take(&mut batch, inbox, closing);
        }
        self.sizes = [self.sizes[1], batch.appends.len()];
        (batch.appends, next)
    }

    /// Moves queued beacons into a batch. Returns the first beacon that does not fit.
    fn take(
        &mut self,
        batch: &mut Batch,
        inbox: &mut mpsc::UnboundedReceiver<Message>,
        closing: &mut Option<oneshot::Sender<()>>,
    ) -> Option<Append> {
        let bounds = self.shared.bounds;
        while batch.appends.len() < bounds.commit_beacons && closing.is_none() {
            match inbox.try_recv() {
                Ok(Message::Append(next)) => {
                    let (bytes, views) = (batch.bytes + next.bytes.len(), batch.views + next.views);
                    if bytes > bounds.commit_bytes || views > bounds.load_views {
                        return Some(next);
                    }
                    batch.bytes = bytes;
                    batch.views = views;
                    batch.appends.push(next);
                }
                Ok(other) => self.note(other, closing),
                Err(_) => break,
            }
        }
        None
    }

    fn note(&mut self, message: Message, closing: &mut Option<oneshot::Sender<()>>) {
        match message {
            Message::Remove(removal) => self.tidy.add_removal(removal),
            Message::Forget(epoch) => self.tidy.epochs.push(epoch),
            Message::Close(closed) => *closing = Some(closed),
            // [`Self::next`] checks the refusal.
            Message::Refused => {}
            Message::Append(append) => {
                // Unreachable: `take` collects appends. Answers the caller all the same.
                reply::answer([append.waiting], &Err(AppendError::Full));
            }
        }
    }

    /// Writes a batch as one row and answers its callers.
    fn commit(&mut self, batch: Vec<Append>) {
        let failed = self.shared.failed.borrow().clone();
        let answer = match failed {
            Some(reason) => Err(AppendError::Failed(reason)),
            None => self.write(&batch),
        };
        reply::answer(batch.into_iter().map(|append| append.waiting), &answer);
    }

    fn write(&mut self, batch: &[Append]) -> Result<(), AppendError> {
        let payload = payload::join(batch.iter().map(|append| append.bytes.as_slice()));
        let bytes = payload.len();
        let position = self.last + 1;
        // Counts before the commit: the loader may read the row before this task continues.
        self.count_waiting(|count| count + batch.len() as u64);
        let began = Instant::now();
        let written = file::append(&self.connection, self.epoch, position, batch.len(), &payload);
        self.shared.commit_times.record(began.elapsed());
        if written.is_err() {
            self.count_waiting(|count| count.saturating_sub(batch.len() as u64));
        }
        match written {
            Ok(()) => {
                self.last = position;
                let mut stats = self.shared.stats();
                stats.commits += 1;
                stats.bytes += file::row_bytes(bytes);
                drop(stats);
                self.shared.age().written(position, now_ms());
                self.shared.appended.notify_one();
                self.unchecked_bytes += bytes;
                if self.unchecked_bytes >= file::CHECKPOINT_BYTES {
                    self.call_checkpoint();
                }
                self.shared.commit_went();
                Ok(())
            }
            Err(error) if is_passing(&error) => {
                let reason = reason(&error);
                self.shared.refuse(Cause::Commit, &reason, batch.len() as u64);
                Err(AppendError::Refused(reason))
            }
            Err(error) => {
                // Does not retry: after a failed write or fsync the content of the disk is unknown, and a retry may
                // report success for lost data.
                self.shared.fail(error.to_string());
                Err(AppendError::Failed(error.to_string()))
            }
        }
    }

    /// Tries a small commit during a refusal, at most once per [`TIDY_RETRY`]. Balancers may send no beacons here
    /// until the server accepts them again.
    fn try_again(&mut self) {
        if self.shared.refusal().is_none()
            || self.shared.failed.borrow().is_some()
            || self.tried.elapsed() < TIDY_RETRY
        {
            return;
        }
        self.tried = Instant::now();
        match file::try_commit(&self.connection, self.epoch) {
            Ok(()) => self.shared.commit_went(),
            Err(error) if self.connection.is_autocommit() && is_passing(&error) => {
                self.shared.refuse(Cause::Commit, &reason(&error), 0);
            }
            Err(error) => self.shared.fail(error.to_string()),
        }
    }

    fn call_checkpoint(&mut self) {
        self.unchecked_bytes = 0;
        // One queued call is enough.
        let _ = self.checkpoint.try_send(());
    }

    fn count_waiting(&self, change: impl Fn(u64) -> u64) {
        let mut stats = self.shared.stats();
        stats.appended = change(stats.appended);
        stats.waiting = change(stats.waiting);
    }

    /// Removes loaded rows. A failed removal stays queued; loading its rows again is harmless.
    fn tidy(&mut self) {
        match self.try_tidy() {
            Ok(()) => {}
            Err(error) if self.connection.is_autocommit() && is_passing(&error) => {
                tracing::debug!(%error, "loaded rows stay in the spool for now");
                // On a full disk the log takes the space. Emptying it into the file may free enough.
                if let Err(error) = file::empty_log(&self.connection) {
                    tracing::debug!(%error, "the spool's log cannot be emptied");
                }
            }
            Err(error) => {
                self.shared.fail(error.to_string());
                self.tidy = Tidy::default();
            }
        }
    }

    fn try_tidy(&mut self) -> Result<(), rusqlite::Error> {
        // Uses no outer transaction: each step is its own transaction and can be repeated. An append inside an open
        // transaction would be acknowledged without being on disk.
        while let Some(removal) = self.tidy.removals.front() {
            let now = (self.epoch, self.last);
            file::remove_loaded(&self.connection, now, &removal.removed, &removal.rewritten)?;
            let mut stats = self.shared.stats();
            stats.bytes = stats.bytes.saturating_sub(removal.bytes);
            drop(stats);
            if let Some(done) = self.tidy.removals.pop_front().and_then(|removal| removal.done) {
                // A stopped loader does not wait any more.
                let _: Result<(), ()> = done.send(());
            }
        }
        while let Some(&epoch) = self.tidy.epochs.last() {
            file::forget(&self.connection, epoch)?;
            self.tidy.epochs.pop();
        }
        let bytes = self.shared.stats().bytes;
        if bytes <= file::EMPTY_BYTES_MAX {
            match file::shrink(&self.connection) {
                Ok(true) => self.call_checkpoint(),
                Ok(false) => {}
                // Retries later, because the failed transaction is rolled back.
                Err(error) if self.connection.is_autocommit() => {
                    tracing::debug!(%error, "the spool's free space is not given back for now");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Returns the reason of a refused commit, and what to do.
fn reason(error: &rusqlite::Error) -> String {
    match file::code(error) {
        Some(5 | 6) => format!("{error} (another process holds the file)"),
        _ => format!("{error}; free some space on the disk of the data folder"),
    }
}

/// Returns whether an error can end without a restart: a full disk (SQLITE_FULL, and SQLITE_IOERR_SHMSIZE for the
/// log's index, before any write), or a lock of another process such as a backup (SQLITE_BUSY, SQLITE_LOCKED).
fn is_passing(error: &rusqlite::Error) -> bool {
    matches!(file::code(error), Some(5 | 6 | 13)) || file::extended_code(error) == Some(4_874)
}
