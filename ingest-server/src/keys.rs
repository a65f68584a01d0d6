//! Generates site keys and API tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Generates a site key: `fvs_` and 96 random bits. The key is public, so it must be unique, not secret.
///
/// # Errors
/// If the system has no random numbers.
pub fn site_key() -> Result<String, getrandom::Error> {
    random::<12>("fvs_")
}

/// Generates an API token: `fvt_` and 256 random bits. Secret scanners find the token by its fixed prefix.
///
/// # Errors
/// If the system has no random numbers.
pub fn token() -> Result<String, getrandom::Error> {
    random::<32>("fvt_")
}

fn random<const BYTES: usize>(prefix: &str) -> Result<String, getrandom::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}
