//! Sends the beacons of a stage at a fixed rate, whether or not earlier ones are answered.
//!
//! Each connection takes the next due beacon, waits until it is due, sends it and waits for the answer. A server that stalls
//! delays later beacons. Their delay counts, because a time begins when the beacon was due.

use super::outcome::Measured;
use super::stages::Stage;
use super::target::{Target, cause};
use fieldvitals_traffic::{Beacons, Sender};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Delay from which a beacon is given up without being sent, as a visitor's browser does.
const DELAY_MAX: Duration = Duration::from_secs(10);
/// Measurements that connections share, so that they rarely wait for each other: each takes 150 kB.
const COUNTS: usize = 16;
/// Pause between two lines of progress.
const PROGRESS: Duration = Duration::from_millis(500);

/// Time after a stage in which answers still count into its rate. A stage that is held has a mean of at most a second.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Sends a stage. `progress` gets the measurements so far. Returns also whether `is_over` ended it early.
pub(super) async fn stage(
    target: &Target,
    beacons: &Beacons,
    stage: Stage,
    connections: usize,
    is_over: impl Fn() -> bool,
    mut progress: impl FnMut(&Measured),
) -> (Measured, bool) {
    let began = Instant::now();
    let beacons = Arc::new(beacons.clone());
    let next = Arc::new(AtomicU64::new(0));
    let counts: Vec<Arc<Mutex<Measured>>> =
        (0..COUNTS).map(|_| Arc::new(Mutex::new(Measured::new()))).collect();
    let mut senders = JoinSet::new();
    for (number, count) in (0..connections).zip(counts.iter().cycle()) {
        let connection = Connection {
            target: target.clone(),
            beacons: Arc::clone(&beacons),
            next: Arc::clone(&next),
            count: Arc::clone(count),
            sender: Sender::new(number),
        };
        senders.spawn(connection.send(began, stage));
    }
    let mut look = tokio::time::interval(PROGRESS);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_cut = false;
    loop {
        tokio::select! {
            ended = senders.join_next() => if ended.is_none() { break },
            _ = look.tick() => {
                progress(&sum(&counts));
                if is_over() {
                    was_cut = true;
                    senders.abort_all();
                    break;
                }
            }
        }
    }
    let mut all = sum(&counts);
    // The last beacon of a whole stage is sent, and answered, before the stage is over. One beacon without an answer waits for its timeout, and says nothing about the rate.
    let least = if was_cut { Duration::ZERO } else { stage.time };
    all.elapsed = began.elapsed().clamp(least, stage.time + LAST_ANSWERS);
    (all, was_cut)
}

fn sum(counts: &[Arc<Mutex<Measured>>]) -> Measured {
    let mut all = Measured::new();
    for count in counts {
        all.add(&count.lock().unwrap_or_else(PoisonError::into_inner));
    }
    all
}

struct Connection {
    target: Target,
    beacons: Arc<Beacons>,
    /// The number of the next due beacon, of all connections.
    next: Arc<AtomicU64>,
    count: Arc<Mutex<Measured>>,
    sender: Sender,
}

impl Connection {
    async fn send(mut self, began: Instant, stage: Stage) {
        let mut body = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let after = Duration::from_secs_f64(number as f64 / stage.rate as f64);
            if after >= stage.time {
                return;
            }
            let due = began + after;
            let is_early = Instant::now() < due;
            if is_early {
                tokio::time::sleep_until(due.into()).await;
            } else if due.elapsed() > DELAY_MAX {
                self.count(|count| count.fail("not sent within 10 s, as all connections waited"));
                continue;
            }
            // A timer that fires late is no delay of the server.
            let start = if is_early { Instant::now() } else { due };
            self.beacons.fill(&mut body, &mut self.sender);
            let answer = self.target.post(std::mem::take(&mut body)).await;
            let time = start.elapsed();
            self.count(|count| match answer {
                Ok(response) if response.status().as_u16() == 204 => count.take(time),
                Ok(response) => count.fail(&format!("status {}", response.status().as_u16())),
                Err(error) => count.fail(&cause(&error)),
            });
        }
    }

    fn count(&self, count: impl FnOnce(&mut Measured)) {
        count(&mut self.count.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
