//! Sites, their public keys, and API tokens.

use serde::{Deserialize, Serialize};

/// Identifies a site within a store; never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SiteId(pub i64);

/// A site: what one team measures under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// Its name, unique in the store: lower-case letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Its keys, newest first.
    pub keys: Vec<SiteKey>,
    /// Origins whose pages may send: `https://shop.example`, `https://*.shop.example`, or `*` for any.
    pub origins: Vec<String>,
    /// Patterns of its routes, such as `/product/:id`, in the order in which they are tried.
    pub routes: Vec<String>,
    /// When it was added, UTC milliseconds.
    pub created_ms: i64,
}

/// A public key of a site, as it stands in the script tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteKey {
    /// The key.
    pub key: String,
    /// Until when it is taken, UTC milliseconds; `None`: it is the current one.
    pub until_ms: Option<i64>,
}

/// A site to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSite {
    /// See [`Site::name`].
    pub name: String,
    /// Its first key.
    pub key: String,
    /// See [`Site::origins`].
    pub origins: Vec<String>,
    /// Now, UTC milliseconds.
    pub created_ms: i64,
}

/// Identifies an API token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub i64);

/// What a token allows; each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Scope {
    /// Questions that change nothing: reports, judgements.
    Read = 0,
    /// Whatever changes what others see: recording a judgement.
    Write = 1,
    /// Reserved for sites and tokens, which are changed on the store itself.
    Admin = 2,
}

impl Scope {
    /// The scope's name: `read`, `write` or `admin`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The scope of this number, as stored.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Read),
            1 => Some(Self::Write),
            2 => Some(Self::Admin),
            _ => None,
        }
    }
}

/// An API token; its secret is kept nowhere, only the hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// What it is for, in its owner's words.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// When it was added, UTC milliseconds.
    pub created_ms: i64,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("id", &self.id).field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// A token to be added.
#[derive(Clone)]
pub struct NewToken {
    /// See [`Token::name`].
    pub name: String,
    /// See [`Token::scope`].
    pub scope: Scope,
    /// See [`Token::hash`].
    pub hash: [u8; 32],
    /// Now, UTC milliseconds.
    pub created_ms: i64,
}
