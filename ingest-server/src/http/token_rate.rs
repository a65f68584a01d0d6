//! Rate limits of API tokens: requests a second, with bursts. Sessions and links count as requests of their token.

use crate::http::error::ApiError;
use crate::limits;
use fieldvitals_store::TokenId;
use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};

type Limiter = RateLimiter<TokenId, DashMapStateStore<TokenId>, DefaultClock>;

/// The requests of tokens, by their rate. Most tokens have the default.
#[derive(Default)]
pub struct TokenRates {
    by_rate: RwLock<HashMap<u32, Arc<Limiter>>>,
}

impl TokenRates {
    /// Counts a request of a token.
    ///
    /// # Errors
    /// 429 if the token makes too many; `Retry-After` says when the next one is accepted.
    pub fn check(&self, token: TokenId, rate_per_s: Option<u32>) -> Result<(), ApiError> {
        let rate_per_s = rate_per_s.unwrap_or(limits::TOKEN_RATE_PER_S);
        self.limiter(rate_per_s).check_key(&token).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            ApiError::token_rate(rate_per_s, wait.as_secs().saturating_add(1))
        })
    }

    fn limiter(&self, rate_per_s: u32) -> Arc<Limiter> {
        let known = self.by_rate.read().unwrap_or_else(PoisonError::into_inner).get(&rate_per_s).cloned();
        known.unwrap_or_else(|| {
            let mut by_rate = self.by_rate.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(by_rate.entry(rate_per_s).or_insert_with(|| Arc::new(limiter(rate_per_s))))
        })
    }

    /// Drops the counters of idle tokens, and rates without tokens.
    pub fn forget_quiet(&self) {
        let mut by_rate = self.by_rate.write().unwrap_or_else(PoisonError::into_inner);
        by_rate.retain(|_, limiter| {
            limiter.retain_recent();
            !limiter.is_empty()
        });
    }
}

fn limiter(rate_per_s: u32) -> Limiter {
    let rate = NonZeroU32::new(rate_per_s).unwrap_or(NonZeroU32::MIN);
    let burst = NonZeroU32::new(limits::TOKEN_BURST_S).unwrap_or(NonZeroU32::MIN);
    RateLimiter::dashmap(Quota::per_second(rate).allow_burst(rate.saturating_mul(burst)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_past_its_burst_is_refused_and_others_are_not() {
        let rates = TokenRates::default();
        let burst = limits::TOKEN_BURST_S;
        for _ in 0..burst {
            assert!(rates.check(TokenId(1), Some(1)).is_ok());
        }
        let refused = rates.check(TokenId(1), Some(1)).unwrap_err();
        assert!(refused.to_string().contains("1 request a second"), "{refused}");
        assert!(rates.check(TokenId(2), Some(1)).is_ok());
        assert!(rates.check(TokenId(3), None).is_ok());
        rates.forget_quiet();
        assert!(rates.check(TokenId(1), Some(1)).is_err(), "a busy token stays known");
    }
}
