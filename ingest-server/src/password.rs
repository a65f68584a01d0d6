//! The password of a server: people sign in to the dashboard with it instead of a token.
//!
//! argon2id makes the secret of an API token from the password and a salt, and the token's name holds the salt. So the
//! store keeps a hash of a slow hash, all servers of a store know the password, and changing it ends its sessions.

use crate::directory::token_hash;
use crate::limits;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldvitals_store::{NewToken, Scope, Token};

/// The start of the names of tokens that are passwords. The salt follows.
const NAME: &str = "password:";
/// Memory of a check, in KiB. This and the passes are the first choice of OWASP's Password Storage Cheat Sheet (2026).
const MEMORY_KIB: u32 = 19 * 1_024;
/// Passes over the memory.
const PASSES: u32 = 2;
const SALT_BYTES: usize = 16;

/// Why a password cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// It is too short.
    #[error("the password has {0} characters; take at least {min}", min = limits::PASSWORD_CHARS_MIN)]
    TooShort(usize),
    /// It is too long.
    #[error("the password is longer than {max} bytes", max = limits::PASSWORD_BYTES_MAX)]
    TooLong,
    /// The system has no random numbers.
    #[error("the system gave no random numbers for the salt")]
    Random(#[from] getrandom::Error),
    /// The hash failed.
    #[error("the password cannot be hashed: {0}")]
    Hash(argon2::Error),
}

/// Makes the token of a new password.
///
/// # Errors
/// If the password is too short or too long, or the system fails.
pub fn token_of(password: &str, created_ms: i64) -> Result<NewToken, PasswordError> {
    let chars = password.chars().count();
    if chars < limits::PASSWORD_CHARS_MIN {
        return Err(PasswordError::TooShort(chars));
    }
    if password.len() > limits::PASSWORD_BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt)?;
    let salt = URL_SAFE_NO_PAD.encode(salt);
    let hash = token_hash(&secret(password, &salt).map_err(PasswordError::Hash)?);
    Ok(NewToken {
        name: format!("{NAME}{salt}"),
        scope: Scope::Admin,
        sites: None,
        hash,
        created_ms,
        rate_per_s: None,
    })
}

/// Returns whether a token is a password.
#[must_use]
pub fn is_password(token: &Token) -> bool {
    is_password_name(&token.name)
}

/// Returns the name of a token as people see it. The name of a password has its salt, which is nobody's business.
#[must_use]
pub fn shown_name(name: &str) -> &str {
    if is_password_name(name) { "password" } else { name }
}

/// Returns whether tokens of this name are passwords.
#[must_use]
pub fn is_password_name(name: &str) -> bool {
    name.starts_with(NAME)
}

/// Returns whether `password` is the password that `token` is of. Takes tens of milliseconds.
#[must_use]
pub fn matches(token: &Token, password: &str) -> bool {
    let Some(salt) = token.name.strip_prefix(NAME) else { return false };
    password.len() <= limits::PASSWORD_BYTES_MAX
        && secret(password, salt).is_ok_and(|secret| token_hash(&secret) == token.hash)
}

fn secret(password: &str, salt: &str) -> Result<String, argon2::Error> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None)?;
    let mut secret = [0; Params::DEFAULT_OUTPUT_LEN];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(password.as_bytes(), salt.as_bytes(), &mut secret)?;
    Ok(format!("fvw_{}", URL_SAFE_NO_PAD.encode(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::TokenId;

    #[test]
    fn only_the_password_matches_its_token() {
        let new = token_of("correct horse", 0).unwrap();
        let token = Token {
            id: TokenId(1),
            name: new.name,
            scope: new.scope,
            sites: new.sites,
            hash: new.hash,
            created_ms: 0,
            rate_per_s: None,
        };
        assert!(is_password(&token) && matches(&token, "correct horse"));
        assert!(!matches(&token, "correct horsf") && !matches(&token, ""));
        let plain = Token { name: "ci".to_owned(), ..token };
        assert!(!is_password(&plain) && !matches(&plain, "correct horse"));
    }

    #[test]
    fn short_and_endless_passwords_are_refused() {
        assert!(matches!(token_of("short", 0), Err(PasswordError::TooShort(5))));
        assert!(matches!(token_of(&"x".repeat(300), 0), Err(PasswordError::TooLong)));
    }
}
