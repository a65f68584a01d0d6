//! Delivers the result of a commit to the waiting tasks: one message per thread, which that thread distributes.
//!
//! Waking a task on another thread costs a system call. A commit of hundreds of beacons needs only one wake-up per
//! thread.

use super::AppendError;
use std::cell::RefCell;
use tokio::sync::{mpsc, oneshot};

type Answer = Result<(), AppendError>;

/// A waiting task: its reply channel, and the channel of its thread's messages.
pub(crate) struct Waiting {
    reply: oneshot::Sender<Answer>,
    desk: mpsc::UnboundedSender<ReplyBatch>,
}

/// One result for several tasks of a thread.
struct ReplyBatch {
    replies: Vec<oneshot::Sender<Answer>>,
    answer: Answer,
}

impl ReplyBatch {
    fn hand_out(self) {
        for reply in self.replies {
            // A caller that stopped waiting needs no result.
            let _ = reply.send(self.answer.clone());
        }
    }
}

thread_local! {
    /// The channel of this thread's messages.
    static DESK: RefCell<Option<mpsc::UnboundedSender<ReplyBatch>>> = const { RefCell::new(None) };
}

fn desk() -> mpsc::UnboundedSender<ReplyBatch> {
    DESK.with_borrow_mut(|desk| match desk {
        // A closed channel belonged to a runtime that has ended.
        Some(desk) if !desk.is_closed() => desk.clone(),
        _ => {
            let (sender, mut parcels) = mpsc::unbounded_channel::<ReplyBatch>();
            tokio::spawn(async move {
                while let Some(parcel) = parcels.recv().await {
                    parcel.hand_out();
                }
            });
            desk.insert(sender).clone()
        }
    })
}

/// Registers a waiting task on this thread. Returns the receiver of its result.
pub(crate) fn wait() -> (Waiting, oneshot::Receiver<Answer>) {
    let (reply, answer) = oneshot::channel();
    (Waiting { reply, desk: desk() }, answer)
}

/// Sends the same result to all waiting tasks.
pub(crate) fn answer(waiting: impl IntoIterator<Item = Waiting>, answer: &Answer) {
    let mut parcels: Vec<(mpsc::UnboundedSender<ReplyBatch>, Vec<oneshot::Sender<Answer>>)> = Vec::new();
    for Waiting { reply, desk } in waiting {
        match parcels.iter_mut().find(|(of, _)| of.same_channel(&desk)) {
            Some((_, replies)) => replies.push(reply),
            None => parcels.push((desk, vec![reply])),
        }
    }
    for (desk, replies) in parcels {
        if let Err(mpsc::error::SendError(parcel)) = desk.send(ReplyBatch { replies, answer: answer.clone() })
        {
            // The runtime has ended, but the waiting task may have moved to another runtime.
            parcel.hand_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_hears_of_it_on_every_thread_and_after_a_runtime_has_ended() {
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        // The second runtime of this thread finds the channel of the first one closed.
        for _ in 0..2 {
            runtime().block_on(async {
                let (here, answer_here) = wait();
                let elsewhere = std::thread::spawn(move || {
                    runtime().block_on(async {
                        let (waiting, answer_there) = wait();
                        answer([here, waiting], &Err(AppendError::Full));
                        answer_there.await
                    })
                });
                assert_eq!(answer_here.await, Ok(Err(AppendError::Full)));
                assert_eq!(elsewhere.join().unwrap(), Ok(Err(AppendError::Full)));
            });
        }
        // The result is delivered although the requesting thread no longer runs a runtime.
        let (waiting, mut answer_later) = runtime().block_on(async { wait() });
        answer([waiting], &Ok(()));
        assert_eq!(answer_later.try_recv(), Ok(Ok(())));
    }
}
