//! Who opens the connections that write: a connection's thread has the priority of the one that opens it.

use fieldvitals_store::priority::Priority;
use std::io::{Error, ErrorKind};
use std::sync::mpsc::{Sender, channel};
use std::thread::Builder;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

const NAME: &str = "store opener";

type Job = Box<dyn FnOnce() + Send>;

/// A thread of low priority that starts others: there is no way up from idle priority, so it is never the caller's that does.
pub(crate) struct Opener {
    jobs: Sender<Job>,
    runtime: Handle,
}

impl Opener {
    /// Called in the runtime that is to drive connections, whoever uses them.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (jobs, next) = channel::<Job>();
        Builder::new().name(NAME.to_owned()).spawn(move || {
            Priority::Low.take();
            for job in next {
                // Opening may wait, and others not for it. Without a thread the job is dropped, which its caller notices.
                let _ = Builder::new().name(NAME.to_owned()).spawn(job);
            }
        })?;
        Ok(Self { jobs, runtime: Handle::current() })
    }

    /// The runtime that drives connections.
    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Does what may open a connection, for a thread of this priority. It goes on where nobody waits any more.
    pub(crate) async fn open<T: Send + 'static>(
        &self,
        priority: Priority,
        opening: impl Future<Output = Result<T, sqlx::Error>> + Send + 'static,
    ) -> Result<T, sqlx::Error> {
        let (done, opened) = oneshot::channel();
        let runtime = self.runtime.clone();
        let job = move || {
            priority.take();
            // In the runtime to its end: a connection that nobody waits for any more goes back to its pool by a task.
            runtime.block_on(async move {
                let _ = done.send(opening.await);
            });
        };
        let sent = self.jobs.send(Box::new(job)).is_ok();
        let opened = if sent { opened.await.ok() } else { None };
        opened.unwrap_or_else(|| Err(Error::new(ErrorKind::WouldBlock, "no thread can be started").into()))
    }
}
