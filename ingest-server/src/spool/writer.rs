//! The writer: one task that makes beacons durable, as many at once as are waiting.

use super::refusal::Cause;
use super::reply::{self, Waiting};
use super::{AppendError, InFlight, Shared, file, payload};
use rusqlite::Connection;
use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// How long the writer waits before it tries again to remove rows, or whether commits go again, on a disk that is full.
const TIDY_RETRY: Duration = Duration::from_secs(1);

/// How often the writer gives way before a commit. Each time it may cost a time slice of whoever else is busy.
const YIELDS_MAX: usize = 8;

/// What the writer is asked to do.
pub(crate) enum Message {
    /// Keep a beacon.
    Append(Append),
    /// Remove what is loaded.
    Settle(Settled),
    /// Remove an epoch that is loaded.
    Forget(i64),
    /// Look now and then whether the refusal of beacons that has begun is over.
    Refused,
    /// Close the file and say so.
    Close(oneshot::Sender<()>),
}

/// A beacon that waits to be kept.
pub(crate) struct Append {
    /// The encoded record.
    pub(crate) bytes: Vec<u8>,
    /// How many updates it has.
    pub(crate) views: usize,
    pub(crate) waiting: Waiting,
    pub(crate) _held: InFlight,
}

/// What is loaded, of some rows.
#[derive(Default)]
pub(crate) struct Settled {
    /// Rows of which nothing is left: those after a position, up to another.
    pub(crate) removed: Vec<(u64, u64)>,
    /// Rows of which some beacons are held back: position, how many, and their payload.
    pub(crate) rewritten: Vec<(u64, usize, Vec<u8>)>,
    /// Bytes on disk that are free then.
    pub(crate) bytes: u64,
    /// Told when it is done.
    pub(crate) done: Option<oneshot::Sender<()>>,
}

impl Settled {
    /// Takes in what was settled after this, where both are a removal and no more.
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

/// What the loader is done with and the writer has yet to remove.
#[derive(Default)]
struct Tidy {
    settled: VecDeque<Settled>,
    epochs: Vec<i64>,
}

impl Tidy {
    fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.epochs.is_empty()
    }

    fn settle(&mut self, settled: Settled) {
        let rest = match self.settled.back_mut() {
            Some(last) => last.join(settled),
            None => Err(settled),
        };
        self.settled.extend(rest.err());
    }
}

/// Beacons that one commit makes durable.
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
    /// Bytes appended since the checkpointer was called.
    unchecked_bytes: usize,
    checkpoint: SyncSender<()>,
    /// When it was last tried whether commits go again.
    tried: Instant,
}

/// Writes on the thread that it is polled on, and waits for the disk there. Runs until every sender is gone or it is told to close.
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
    // The log goes with the last connection that is closed, so each is waited for. Joining fails where the
    // thread has panicked, which it has told.
    drop(writer.checkpoint);
    let _ = checkpoints.join();
    if let Err((_, error)) = writer.connection.close() {
        tracing::warn!(%error, "the spool file was not closed cleanly");
    }
    drop(lock);
    if let Some(closed) = closing {
        // Nobody may be waiting any more.
        let _: Result<(), ()> = closed.send(());
    }
}

/// Checkpoints whenever it is called, until nobody can call any more.
fn keep_checkpointing(connection: Connection, due: &Receiver<()>) {
    while due.recv().is_ok() {
        if let Err(error) = file::checkpoint(&connection) {
            // The writer empties the log itself when it has grown too long.
            tracing::debug!(%error, "the spool's log was not checkpointed");
        }
    }
    if let Err((_, error)) = connection.close() {
        tracing::debug!(%error, "a connection to the spool was not closed cleanly");
    }
}

impl Writer {
    /// The next message; what could not be tidied, and a commit where none went, is tried again meanwhile.
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

    /// Takes what is waiting, up to one commit; returns also the one that did not fit.
    ///
    /// On busy cores the threads that hold more beacons go first, so that a commit carries what they have in
    /// hand, until it has three quarters of those that are under way: the others are then received while this one is
    /// synced. On idle cores nothing comes of giving way, and the commit begins at once.
    fn collect(
        &mut self,
        first: Append,
        inbox: &mut mpsc::UnboundedReceiver<Message>,
        closing: &mut Option<oneshot::Sender<()>>,
    ) -> (Vec<Append>, Option<Append>) {
        let mut batch = Batch { bytes: first.bytes.len(), views: first.views, appends: vec![first] };
        // Who was answered with one of the last two commits is about to come again.
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

    /// Takes what has come into a batch; returns the one that does not fit.
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
            Message::Settle(settled) => self.tidy.settle(settled),
            Message::Forget(epoch) => self.tidy.epochs.push(epoch),
            Message::Close(closed) => *closing = Some(closed),
            // The loop that waits for messages sees it.
            Message::Refused => {}
            Message::Append(append) => {
                // Collected before it could come here; answered all the same.
                reply::answer([append.waiting], &Err(AppendError::Full));
            }
        }
    }

    /// Writes a batch as one row and answers it.
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
        // Counted before the commit: the loader may read the row before this task goes on.
        self.count_waiting(|count| count + batch.len() as u64);
        let written = file::append(&self.connection, self.epoch, position, batch.len(), &payload);
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
                // After a failed write or fsync nobody knows what is on disk, and trying again may
                // report success for what is lost; so it is not tried again.
                self.shared.fail(error.to_string());
                Err(AppendError::Failed(error.to_string()))
            }
        }
    }

    /// Tries a small commit after refused ones, now and then: who sends beacons where they are taken may send none here
    /// until it is told that they are.
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
        // One call that waits is enough.
        let _ = self.checkpoint.try_send(());
    }

    fn count_waiting(&self, change: impl Fn(u64) -> u64) {
        let mut stats = self.shared.stats();
        stats.appended = change(stats.appended);
        stats.waiting = change(stats.waiting);
    }

    /// Removes what is loaded. What cannot be removed now stays noted; loading it again would be
    /// harmless.
    fn tidy(&mut self) {
        match self.try_tidy() {
            Ok(()) => {}
            Err(error) if self.connection.is_autocommit() && is_passing(&error) => {
                tracing::debug!(%error, "loaded rows stay in the spool for now");
                // On a full disk the log is what takes room; emptied into the file, it may leave enough.
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
        // No transaction around this: each step is one of its own, and can be done again. An append inside a
        // transaction that is still open would be acknowledged without being on disk.
        while let Some(settled) = self.tidy.settled.front() {
            let now = (self.epoch, self.last);
            file::settle(&self.connection, now, &settled.removed, &settled.rewritten)?;
            let mut stats = self.shared.stats();
            stats.bytes = stats.bytes.saturating_sub(settled.bytes);
            drop(stats);
            if let Some(done) = self.tidy.settled.pop_front().and_then(|settled| settled.done) {
                // A loader that was stopped does not wait any more.
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
                // Something for another time, as long as it is undone.
                Err(error) if self.connection.is_autocommit() => {
                    tracing::debug!(%error, "the spool's free space is not given back for now");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Why a commit was refused, and what to do.
fn reason(error: &rusqlite::Error) -> String {
    match file::code(error) {
        Some(5 | 6) => format!("{error} (another process holds the file)"),
        _ => format!("{error}; free some space on the disk of the data folder"),
    }
}

/// Whether it can go by itself: a full disk (SQLITE_FULL, and SQLITE_IOERR_SHMSIZE for the index of the log,
/// before anything is written), or another process that holds the file for a moment (SQLITE_BUSY,
/// SQLITE_LOCKED), such as a backup.
fn is_passing(error: &rusqlite::Error) -> bool {
    matches!(file::code(error), Some(5 | 6 | 13)) || file::extended_code(error) == Some(4_874)
}
