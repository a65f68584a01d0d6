//! Attempts to sign in: limited by client network, and passwords checked off the HTTP workers.

use crate::http::client::ClientRate;
use crate::http::error::ApiError;
use crate::limits;
use crate::password;
use actix_web::HttpRequest;
use fieldvitals_store::Token;
use governor::clock::DefaultClock;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use tokio::sync::Semaphore;

/// The state of sign-ins.
pub struct SignIns {
    /// By the prefix of the client's network.
    attempts: RateLimiter<u64, DashMapStateStore<u64>, DefaultClock>,
    checks: Semaphore,
}

impl Default for SignIns {
    fn default() -> Self {
        let per_minute = NonZeroU32::new(limits::SIGN_INS_PER_MINUTE_MAX).unwrap_or(NonZeroU32::MIN);
        Self {
            attempts: RateLimiter::dashmap(Quota::per_minute(per_minute)),
            checks: Semaphore::new(limits::PASSWORD_CHECKS_MAX),
        }
    }
}

impl SignIns {
    /// Counts an attempt of the request's client network.
    ///
    /// # Errors
    /// 429 if the network has made too many.
    pub fn attempt(&self, rate: &ClientRate, request: &HttpRequest) -> Result<(), ApiError> {
        self.attempts.check_key(&rate.prefix(request)).map_err(|_| ApiError::sign_ins())
    }

    /// Returns whether a password is the one of `token`. Checks wait for each other.
    ///
    /// # Errors
    /// 503 if the check does not end.
    pub async fn is_password(&self, token: Token, password: String) -> Result<bool, ApiError> {
        let _turn = self.checks.acquire().await.map_err(|_| ApiError::busy())?;
        let check = tokio::task::spawn_blocking(move || password::matches(&token, &password));
        check.await.map_err(|_| ApiError::busy())
    }

    /// Drops the counters of idle networks.
    pub fn forget_quiet(&self) {
        self.attempts.retain_recent();
        self.attempts.shrink_to_fit();
    }
}
