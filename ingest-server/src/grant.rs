//! Grants: sessions of the dashboard, and read-only links to one site.
//!
//! A grant is a text that names an API token, a site or none, and an expiry, signed with a key derived from the token's
//! hash. So every server of a store accepts it, nothing is stored, and it ends with its token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldvitals_store::{SiteId, Token, TokenId};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The first part of a grant. Secret scanners find grants by it.
const PREFIX: &str = "fvg";
/// What is signed, so that no other use of the key has the same meaning.
const PURPOSE: &[u8] = b"fieldvitals grant 1\0";
/// The site of a grant for all sites.
const ALL_SITES: &str = "-";

/// What a grant allows: the calls of its token, or reading one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The token that it is part of.
    pub token: TokenId,
    /// The site that it may read; `None` for all that the token may do.
    pub site: Option<SiteId>,
    /// Its end, in UTC seconds.
    pub until_s: i64,
}

/// Why a text grants nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Void {
    /// It is no grant of a known token.
    Unknown,
    /// It has expired.
    Expired,
}

impl Grant {
    /// Returns the text of the grant.
    #[must_use]
    pub fn sign(&self, token: &Token) -> String {
        let claims = self.claims();
        format!("{claims}.{}", URL_SAFE_NO_PAD.encode(mac(token, &claims).finalize().into_bytes()))
    }

    /// Parses and verifies a text. `token` finds a token by its id.
    ///
    /// # Errors
    /// If the text is no grant of a known token, or has expired.
    pub fn verify<'a>(
        text: &str,
        now_s: i64,
        token: impl FnOnce(TokenId) -> Option<&'a Token>,
    ) -> Result<Self, Void> {
        let (claims, tag) = text.rsplit_once('.').ok_or(Void::Unknown)?;
        let grant = Self::parse(claims).ok_or(Void::Unknown)?;
        let token = token(grant.token).ok_or(Void::Unknown)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| Void::Unknown)?;
        // Compares in constant time.
        mac(token, claims).verify_slice(&tag).map_err(|_| Void::Unknown)?;
        if now_s < grant.until_s { Ok(grant) } else { Err(Void::Expired) }
    }

    /// Whether a text has the form of a grant, and not that of a token.
    #[must_use]
    pub fn is_like(text: &str) -> bool {
        text.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('.'))
    }

    fn claims(&self) -> String {
        let site = self.site.map_or_else(|| ALL_SITES.to_owned(), |site| site.0.to_string());
        format!("{PREFIX}.{}.{site}.{}", self.token.0, self.until_s)
    }

    fn parse(claims: &str) -> Option<Self> {
        let mut parts = claims.split('.');
        (parts.next()? == PREFIX).then_some(())?;
        let token = TokenId(parts.next()?.parse().ok()?);
        let site = match parts.next()? {
            ALL_SITES => None,
            id => Some(SiteId(id.parse().ok()?)),
        };
        let until_s = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(Self { token, site, until_s })
    }
}

fn mac(token: &Token, claims: &str) -> Hmac<Sha256> {
    // HMAC takes keys of any length.
    let mut mac =
        <Hmac<Sha256>>::new_from_slice(&token.hash).unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(PURPOSE);
    mac.update(claims.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::Scope;
    use proptest::prelude::*;

    fn token(id: i64) -> Token {
        Token {
            id: TokenId(id),
            name: String::new(),
            scope: Scope::Admin,
            sites: None,
            hash: [id as u8; 32],
            created_ms: 0,
            rate_per_s: None,
        }
    }

    #[test]
    fn grant_is_valid_until_its_end_and_with_its_token_only() {
        let known = token(7);
        for site in [None, Some(SiteId(3))] {
            let grant = Grant { token: known.id, site, until_s: 100 };
            let text = grant.sign(&known);
            assert_eq!(Grant::verify(&text, 99, |id| (id == known.id).then_some(&known)), Ok(grant));
            assert_eq!(Grant::verify(&text, 100, |_| Some(&known)), Err(Void::Expired));
            assert_eq!(Grant::verify(&text, 99, |_| None), Err(Void::Unknown), "the token is revoked");
            let other = Token { hash: [9; 32], ..token(7) };
            assert_eq!(Grant::verify(&text, 99, |_| Some(&other)), Err(Void::Unknown));
        }
    }

    #[test]
    fn changed_claims_grant_nothing() {
        let known = token(7);
        let text = Grant { token: known.id, site: Some(SiteId(3)), until_s: 100 }.sign(&known);
        for (from, to) in
            [(".3.", ".4."), (".3.", ".-."), (".100.", ".999."), ("fvg.", "fvh."), (".7.", ".07.")]
        {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert_eq!(Grant::verify(&changed, 0, |_| Some(&known)), Err(Void::Unknown), "{changed}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_no_grant(text in "(fvg\\.)?[ -~]{0,80}") {
            let known = token(7);
            prop_assert_eq!(Grant::verify(&text, 0, |_| Some(&known)), Err(Void::Unknown));
        }
    }
}
