//! Runs computations that take milliseconds of CPU time without blocking async tasks.

use fieldvitals_store::StoreError;

/// Runs `work` on a blocking thread.
pub(crate) async fn compute<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => Ok(done),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => Err(StoreError::Database {
            what: "computing",
            reason: "the server is ending".to_owned(),
            transient: true,
        }),
    }
}
