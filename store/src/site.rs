//! Defines sites, their public keys, and API tokens.

use crate::route_groups::RouteGroups;
use serde::{Deserialize, Serialize};

/// Identifies a site within a store; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SiteId(pub i64);

/// A site: the data of one team under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// Its name, unique in the store: lower-case letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Its keys, newest first.
    pub keys: Vec<SiteKey>,
    /// Origins whose pages may send beacons: `https://shop.example`, `https://*.shop.example`, or `*` for any.
    pub origins: Vec<String>,
    /// Patterns of its routes, such as `/product/:id`, in matching order.
    pub routes: Vec<String>,
    /// Groups of routes that no pattern matches.
    pub route_groups: RouteGroups,
    /// IANA name of the time zone in which its days and weeks begin, such as `Europe/Berlin`.
    pub timezone: String,
    /// Creation time, UTC milliseconds.
    pub created_ms: i64,
}

impl Site {
    /// The time zone of a new site.
    pub const TIMEZONE_DEFAULT: &'static str = "UTC";
}

/// A public key of a site, used in the script tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteKey {
    /// The key.
    pub key: String,
    /// Expiry, UTC milliseconds; `None` for the current key.
    pub until_ms: Option<i64>,
}

/// The fields of a new site.
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

/// The permissions of a token; each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Scope {
    /// Read-only queries: reports, judgments.
    Read = 0,
    /// Writes that other users see: recording a judgment, and settings of sites.
    Write = 1,
    /// Adding and removing sites and tokens, and the audit log.
    Admin = 2,
}

impl Scope {
    /// Returns `read`, `write` or `admin`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// Returns the scope of a stored number.
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

/// An API token. Only the hash of its secret is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// A name for people.
    pub name: String,
    /// Its permissions.
    pub scope: Scope,
    /// The sites that it is limited to; `None` for all, also later ones. A deleted site stays in the list, because an
    /// empty list must not become all sites.
    pub sites: Option<Vec<SiteId>>,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// Creation time, UTC milliseconds.
    pub created_ms: i64,
    /// Requests a second; `None` for the server's default.
    pub rate_per_s: Option<u32>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("id", &self.id).field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// The fields of a new token.
#[derive(Clone)]
pub struct NewToken {
    /// See [`Token::name`].
    pub name: String,
    /// See [`Token::scope`].
    pub scope: Scope,
    /// See [`Token::sites`].
    pub sites: Option<Vec<SiteId>>,
    /// See [`Token::hash`].
    pub hash: [u8; 32],
    /// Now, UTC milliseconds.
    pub created_ms: i64,
    /// See [`Token::rate_per_s`].
    pub rate_per_s: Option<u32>,
}
