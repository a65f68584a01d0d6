//! Keeps written answers in memory, by the question and the version of the data, bounded in bytes.
//!
//! An answer is never stale: its key holds the version, and a version is read for each question before its answer. The
//! same question, asked by many at once, is computed once.

use moka::future::Cache;
use moka::policy::EvictionPolicy;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use utoipa::ToSchema;

/// Identifies an answer: a hash of the question, the version of the data and the server's release.
pub type Key = [u8; 16];

/// Answers that nobody asks for are dropped after this time, so that a quiet server returns memory.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// The kept answers.
pub struct Answers {
    kept: Cache<Key, Arc<[u8]>>,
    bytes_max: u64,
    hits: AtomicU64,
    computed: AtomicU64,
    unchanged: AtomicU64,
}

/// The answers kept in memory.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnswersReport {
    /// Size of the kept answers.
    pub bytes: u64,
    /// Limit of the size (`--answers-mib`).
    pub bytes_max: u64,
    /// Answers from memory since the server started, or from another client's same question that was in progress.
    pub hits: u64,
    /// Computed answers.
    pub computed: u64,
    /// Answers with the status `304`: the client's answer is still right.
    pub unchanged: u64,
    /// Share of questions that needed no computation, 0 to 1; absent before the first question.
    pub hit_ratio: Option<f64>,
}

impl Answers {
    /// Keeps up to `bytes_max` bytes of answers.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        let kept = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|key: &Key, body: &Arc<[u8]>| u32::try_from(key.len() + body.len()).unwrap_or(u32::MAX))
            // Answers of old versions are never asked for again, however often they were.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(IDLE)
            .build();
        let zero = || AtomicU64::new(0);
        Self { kept, bytes_max, hits: zero(), computed: zero(), unchanged: zero() }
    }

    /// Returns the kept answer, or computes and keeps it. Concurrent calls with the same key await one computation;
    /// if its caller leaves, another one computes.
    ///
    /// # Errors
    /// That of the computation, which keeps nothing.
    pub async fn get<E: Clone + Send + Sync + 'static>(
        &self,
        key: Key,
        compute: impl Future<Output = Result<Arc<[u8]>, E>>,
    ) -> Result<Arc<[u8]>, E> {
        let mut is_computed = false;
        let computing = async {
            is_computed = true;
            compute.await
        };
        let answer = self.kept.try_get_with(key, computing).await;
        let counter = if is_computed { &self.computed } else { &self.hits };
        counter.fetch_add(1, Ordering::Relaxed);
        answer.map_err(|error| E::clone(&error))
    }

    /// Counts an answer that the client has.
    pub fn count_unchanged(&self) {
        self.unchanged.fetch_add(1, Ordering::Relaxed);
    }

    /// Reports the size and the counters.
    pub async fn report(&self) -> AnswersReport {
        // Applies evictions, which the cache does later by itself.
        self.kept.run_pending_tasks().await;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (hits, computed, unchanged) = (read(&self.hits), read(&self.computed), read(&self.unchanged));
        let all = hits + computed + unchanged;
        AnswersReport {
            bytes: self.kept.weighted_size(),
            bytes_max: self.bytes_max,
            hits,
            computed,
            unchanged,
            hit_ratio: (all > 0).then(|| (hits + unchanged) as f64 / all as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use tokio::sync::oneshot;

    fn body(bytes: usize) -> Arc<[u8]> {
        vec![b'x'; bytes].into()
    }

    #[tokio::test]
    async fn the_same_question_at_once_is_computed_once() {
        let answers = Answers::new(1_000);
        let (go_on, held) = oneshot::channel::<()>();
        let first = answers.get::<Infallible>([1; 16], async {
            let _ = held.await;
            Ok(body(10))
        });
        let second = answers.get::<Infallible>([1; 16], async { unreachable!("it awaits the first") });
        let ask = async { tokio::join!(biased; first, second) };
        let (asked, _) = tokio::join!(ask, async { go_on.send(()) });
        assert_eq!(asked, (Ok(body(10)), Ok(body(10))));
        let report = answers.report().await;
        assert_eq!((report.computed, report.hits, report.bytes, report.hit_ratio), (1, 1, 26, Some(0.5)));
    }

    #[tokio::test]
    async fn asker_that_leaves_hands_the_question_over_and_an_error_is_not_kept() {
        let answers = Answers::new(1_000);
        let abandoned = answers.get::<String>([1; 16], std::future::pending());
        let second = answers.get::<String>([1; 16], async { Err("away".to_owned()) });
        let leaves = async { tokio::time::timeout(Duration::from_millis(1), abandoned).await.is_err() };
        assert_eq!(tokio::join!(leaves, second), (true, Err("away".to_owned())));
        assert_eq!(answers.get::<String>([1; 16], async { Ok(body(1)) }).await, Ok(body(1)));
    }

    #[tokio::test]
    async fn answers_have_a_bound_and_the_oldest_go_first() {
        let answers = Answers::new(1_000);
        for key in 0..50 {
            for _ in 0..3 {
                answers.get::<Infallible>([key; 16], async { Ok(body(84)) }).await.unwrap();
            }
        }
        let report = answers.report().await;
        assert_eq!((report.bytes, report.computed), (1_000, 50));
        let latest = answers.get::<Infallible>([49; 16], async { unreachable!("it is kept") });
        latest.await.unwrap();
    }
}
