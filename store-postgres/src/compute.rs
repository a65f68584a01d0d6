//! Work that takes milliseconds of a core, in which others want the thread.

use fieldvitals_store::StoreError;

/// What `work` comes to, done on a thread where it keeps nobody waiting.
pub(crate) async fn compute<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => Ok(done),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => Err(StoreError::Database {
            what: "computing",
            reason: "the server is ending".to_owned(),
            passing: true,
        }),
    }
}
