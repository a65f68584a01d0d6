//! Answers questions on threads of their own, so that no question delays a beacon.
//!
//! A question decodes, merges and renders for milliseconds to seconds. The HTTP workers only await its answer. The
//! number of running and of queued questions is bounded, and a question whose asker has gone is dropped: the future of
//! [`Questions::ask`] owns the task.

use fieldvitals_store::priority;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use utoipa::ToSchema;
use vitals::limits;

/// Short reads that run at once. The stores have connections for so many beside the running questions.
const LOOKING_MAX: usize = 2;

/// Timeout of the queue. With the store's own timeout of 40 s, a client hears within its 60 s why there is no answer.
const WAIT_MAX: Duration = Duration::from_secs(15);

/// The cost of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Reads rollups, or a bounded number of page views.
    Usual,
    /// May keep some bytes of each of millions of page views in memory; one such question runs at a time.
    Large,
}

/// The queue of questions is full, or too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Threads of questions, their queue, and counters.
pub struct Questions {
    handle: Handle,
    /// `None` once dropped.
    runtime: Option<Runtime>,
    shared: Arc<Shared>,
    running_max: usize,
    queued_max: usize,
}

struct Shared {
    /// Permits to queue.
    queue: Arc<Semaphore>,
    /// Permits to run.
    running: Arc<Semaphore>,
    /// The permit to run a large question.
    large: Arc<Semaphore>,
    /// Permits to wait for a short read, and to run it.
    looks: Semaphore,
    looking: Semaphore,
    asked: AtomicU64,
    busy: AtomicU64,
    dropped: AtomicU64,
}

/// The state of the questions' queue.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuestionsReport {
    /// Questions that run.
    pub running: usize,
    /// Questions in the queue.
    pub queued: usize,
    /// Limit of running questions.
    pub running_max: usize,
    /// Limit of the queue.
    pub queued_max: usize,
    /// Questions since the server started.
    pub asked: u64,
    /// Questions refused with `503` and the code `busy`, because the queue was full.
    pub busy: u64,
    /// Questions dropped, because the client disconnected before the answer.
    pub dropped: u64,
}

impl Questions {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn start() -> std::io::Result<Self> {
        Self::with(limits::QUESTIONS_RUNNING_MAX, limits::QUESTIONS_QUEUED_MAX)
    }

    fn with(running_max: usize, queued_max: usize) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(cores.min(running_max))
            .thread_name("questions")
            .on_thread_start(priority::lower)
            .enable_all()
            .build()?;
        let permits = |count| Arc::new(Semaphore::new(count));
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            shared: Arc::new(Shared {
                queue: permits(queued_max),
                running: permits(running_max),
                large: permits(1),
                looks: Semaphore::new(limits::QUESTIONS_LOOKING_MAX),
                looking: Semaphore::new(LOOKING_MAX),
                asked: AtomicU64::new(0),
                busy: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
            }),
            running_max,
            queued_max,
        })
    }

    /// Runs `question` on the threads of questions, once it is its turn. Dropping the returned future drops the
    /// question, queued or running.
    ///
    /// # Errors
    /// [`Busy`] if the queue is full, or the turn does not come in time.
    ///
    /// # Panics
    /// If the question panics.
    pub async fn ask<T: Send + 'static>(
        &self,
        cost: Cost,
        question: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Busy> {
        let shared = &self.shared;
        shared.asked.fetch_add(1, Ordering::Relaxed);
        let turn = match Arc::clone(&shared.running).try_acquire_owned() {
            Ok(permit) if cost == Cost::Usual => Turn::Now(permit),
            _ => match Arc::clone(&shared.queue).try_acquire_owned() {
                Ok(place) => Turn::Queued(place),
                Err(_) => {
                    shared.busy.fetch_add(1, Ordering::Relaxed);
                    return Err(Busy);
                }
            },
        };
        let (running, large) = (Arc::clone(&shared.running), Arc::clone(&shared.large));
        let task = self.handle.spawn(async move {
            let permits = async move {
                // Neither semaphore is ever closed, so both always give a permit.
                let large = match cost {
                    Cost::Usual => None,
                    Cost::Large => large.acquire_owned().await.ok(),
                };
                let running = match turn {
                    Turn::Now(permit) => Some(permit),
                    Turn::Queued(_place) => running.acquire_owned().await.ok(),
                };
                (large, running)
            };
            let _permits = timeout(WAIT_MAX, permits).await.map_err(|_| Busy)?;
            Ok(question.await)
        });
        let mut asked = Asked { task, shared: Arc::clone(shared), is_done: false };
        let answered = (&mut asked.task).await;
        asked.is_done = true;
        match answered {
            Ok(Err(Busy)) => {
                shared.busy.fetch_add(1, Ordering::Relaxed);
                Err(Busy)
            }
            Ok(answer) => answer,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The threads have stopped with the server.
                Err(_) => Err(Busy),
            },
        }
    }

    /// Runs a short read of the store, which decodes next to nothing, on the caller's thread. Never waits for a question.
    ///
    /// # Errors
    /// [`Busy`] if too many others wait.
    pub async fn look<T>(&self, read: impl Future<Output = T>) -> Result<T, Busy> {
        let Ok(_place) = self.shared.looks.try_acquire() else {
            self.shared.busy.fetch_add(1, Ordering::Relaxed);
            return Err(Busy);
        };
        let Ok(_permit) = timeout(WAIT_MAX, self.shared.looking.acquire()).await else {
            self.shared.busy.fetch_add(1, Ordering::Relaxed);
            return Err(Busy);
        };
        Ok(read.await)
    }

    /// Reports the queue and the counters.
    #[must_use]
    pub fn report(&self) -> QuestionsReport {
        let Shared { queue, running, asked, busy, dropped, .. } = self.shared.as_ref();
        QuestionsReport {
            running: self.running_max.saturating_sub(running.available_permits()),
            queued: self.queued_max.saturating_sub(queue.available_permits()),
            running_max: self.running_max,
            queued_max: self.queued_max,
            asked: asked.load(Ordering::Relaxed),
            busy: busy.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        // Dropping a runtime waits for its threads, and panics inside a task of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A question's turn.
enum Turn {
    /// Runs at once.
    Now(OwnedSemaphorePermit),
    /// Waits for a permit to run, and holds its place in the queue until then.
    Queued(OwnedSemaphorePermit),
}

/// A question in progress. Ends with its asker.
struct Asked<T> {
    task: JoinHandle<T>,
    shared: Arc<Shared>,
    is_done: bool,
}

impl<T> Drop for Asked<T> {
    fn drop(&mut self) {
        if !self.is_done {
            self.task.abort();
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::sync::oneshot;

    /// Sends when it is dropped.
    struct OnDrop(Option<oneshot::Sender<()>>);

    impl Drop for OnDrop {
        fn drop(&mut self) {
            let _ = self.0.take().map(|sender| sender.send(()));
        }
    }

    /// A question without end. Says when it runs, and when it is dropped.
    fn endless() -> (impl Future<Output = ()>, oneshot::Receiver<()>, oneshot::Receiver<()>) {
        let (runs, running) = oneshot::channel();
        let (drops, dropped) = oneshot::channel();
        let guard = OnDrop(Some(drops));
        let question = async move {
            let _guard = guard;
            let _ = runs.send(());
            pending::<()>().await;
        };
        (question, running, dropped)
    }

    #[tokio::test]
    async fn question_over_a_full_queue_is_busy_and_one_that_is_dropped_makes_room() {
        let questions = Arc::new(Questions::with(1, 1).unwrap());
        let ask = |question| {
            let questions = Arc::clone(&questions);
            tokio::spawn(async move { questions.ask(Cost::Usual, question).await })
        };
        let (question, running, running_dropped) = endless();
        let first = ask(question);
        running.await.unwrap();
        let (question, mut queued_runs, queued_dropped) = endless();
        let second = ask(question);
        while questions.report().queued == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(questions.ask(Cost::Usual, async {}).await, Err(Busy));
        assert!(queued_runs.try_recv().is_err(), "it is queued");

        second.abort();
        queued_dropped.await.unwrap();
        first.abort();
        running_dropped.await.unwrap();
        assert_eq!(questions.ask(Cost::Usual, async { 7 }).await, Ok(7));
        let report = questions.report();
        assert_eq!((report.asked, report.busy, report.dropped, report.queued), (4, 1, 2, 0));
    }

    #[tokio::test]
    async fn large_question_runs_alone_and_does_not_hold_up_others() {
        let questions = Arc::new(Questions::with(2, 2).unwrap());
        let ask = |question| {
            let questions = Arc::clone(&questions);
            tokio::spawn(async move { questions.ask(Cost::Large, question).await })
        };
        let (question, running, _dropped) = endless();
        let first = ask(question);
        running.await.unwrap();
        let (question, mut second_runs, _also_dropped) = endless();
        let _second = ask(question);
        while questions.report().queued == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(questions.ask(Cost::Usual, async { 7 }).await, Ok(7));
        assert!(second_runs.try_recv().is_err());
        first.abort();
        second_runs.await.unwrap();
    }
}
