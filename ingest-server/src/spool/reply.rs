//! How those who wait for a commit hear of it: a parcel of answers a thread, handed out on that thread.
//!
//! Waking a task from another thread costs a system call each; of a commit of hundreds of beacons, one a
//! thread is enough.

use super::AppendError;
use std::cell::RefCell;
use tokio::sync::{mpsc, oneshot};

type Answer = Result<(), AppendError>;

/// Someone who waits for an answer, and where the parcels of their thread go.
pub(crate) struct Waiting {
    reply: oneshot::Sender<Answer>,
    desk: mpsc::UnboundedSender<Parcel>,
}

/// The same answer for several of one thread.
struct Parcel {
    replies: Vec<oneshot::Sender<Answer>>,
    answer: Answer,
}

impl Parcel {
    fn hand_out(self) {
        for reply in self.replies {
            // A caller that is gone needs no answer.
            let _ = reply.send(self.answer.clone());
        }
    }
}

thread_local! {
    /// Where this thread's parcels go.
    static DESK: RefCell<Option<mpsc::UnboundedSender<Parcel>>> = const { RefCell::new(None) };
}

fn desk() -> mpsc::UnboundedSender<Parcel> {
    DESK.with_borrow_mut(|desk| match desk {
        // One that is closed belonged to a runtime that has ended.
        Some(desk) if !desk.is_closed() => desk.clone(),
        _ => {
            let (sender, mut parcels) = mpsc::unbounded_channel::<Parcel>();
            tokio::spawn(async move {
                while let Some(parcel) = parcels.recv().await {
                    parcel.hand_out();
                }
            });
            desk.insert(sender).clone()
        }
    })
}

/// Someone who waits on this thread, and where the answer will be.
pub(crate) fn wait() -> (Waiting, oneshot::Receiver<Answer>) {
    let (reply, answer) = oneshot::channel();
    (Waiting { reply, desk: desk() }, answer)
}

/// Gives all of them the same answer.
pub(crate) fn answer(waiting: impl IntoIterator<Item = Waiting>, answer: &Answer) {
    let mut parcels: Vec<(mpsc::UnboundedSender<Parcel>, Vec<oneshot::Sender<Answer>>)> = Vec::new();
    for Waiting { reply, desk } in waiting {
        match parcels.iter_mut().find(|(of, _)| of.same_channel(&desk)) {
            Some((_, replies)) => replies.push(reply),
            None => parcels.push((desk, vec![reply])),
        }
    }
    for (desk, replies) in parcels {
        if let Err(mpsc::error::SendError(parcel)) = desk.send(Parcel { replies, answer: answer.clone() }) {
            // Their runtime has ended, but who waits may have moved to another.
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
        // The second runtime of this thread finds the desk of the first one closed.
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
        // The answer goes out although the thread that asked runs nothing any more.
        let (waiting, mut answer_later) = runtime().block_on(async { wait() });
        answer([waiting], &Ok(()));
        assert_eq!(answer_later.try_recv(), Ok(Ok(())));
    }
}
