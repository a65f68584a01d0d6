//! Shared parts of the endpoints that change settings: the actor, the body, and running to the end.

use crate::administration::{Administration, AdministrationError, token_target};
use crate::clock::now_ms;
use crate::http::State;
use crate::http::auth::Access;
use crate::http::body::Body;
use crate::http::error::ApiError;
use crate::limits;
use fieldvitals_store::Store;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The body of a request that changes settings.
pub(super) type SettingsBody = Body<{ limits::SETTINGS_BYTES_MAX }>;

/// Parses a body.
pub(super) fn read<T: DeserializeOwned>(body: SettingsBody) -> Result<T, ApiError> {
    let body = body.0.map_err(ApiError::body)?;
    serde_json::from_slice(&body).map_err(|error| ApiError::parameter(format!("the body is wrong: {error}")))
}

/// The store, and who changes it.
pub(super) struct Change {
    store: Arc<dyn Store>,
    actor: String,
}

impl Change {
    pub(super) fn new(state: &State, access: &Access) -> Result<Self, ApiError> {
        let directory = state.directory.current();
        let actor =
            directory.token_by_id(access.token).map(token_target).ok_or_else(ApiError::wrong_token)?;
        Ok(Self { store: Arc::clone(state.store()?), actor })
    }

    pub(super) fn administration(&self) -> Administration<'_> {
        Administration::new(self.store.as_ref(), self.actor.as_str(), now_ms())
    }
}

/// Ends a change also if the client leaves meanwhile, so that each change has its entry in the audit log. Afterwards this
/// server knows the change.
pub(super) async fn to_its_end<T: Send + 'static>(
    state: &State,
    change: impl Future<Output = Result<T, AdministrationError>> + Send + 'static,
) -> Result<T, ApiError> {
    let changed = tokio::spawn(change).await.map_err(|_| ApiError::broken())?;
    state.directory.read_again().await;
    Ok(changed?)
}
