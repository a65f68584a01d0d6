//! A message in the form that its receiver takes, and what the forms share.

use crate::egress::Letter;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// The header with the signature of a webhook: `t=SECONDS,v1=HEX`, an HMAC-SHA-256 of `SECONDS.BODY`. The time lets a
/// receiver refuse an old notice that somebody sends again.
pub(super) const SIGNATURE: &str = "fieldvitals-signature";

/// A message for one receiver.
#[derive(Clone, Debug, PartialEq)]
pub enum Parcel {
    /// By mail.
    Letter(Letter),
    /// By HTTP.
    Json(Value),
}

/// Signs the body of a webhook.
pub(super) fn signature(secret: &str, now_s: i64, body: &str) -> String {
    // HMAC takes keys of any length.
    let mut mac =
        <Hmac<Sha256>>::new_from_slice(secret.as_bytes()).unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(now_s.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={now_s},v1={digits}")
}

/// Escapes a text for Slack, so that a route cannot notify everybody.
#[must_use]
pub fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Returns a message of Teams: an adaptive card of these blocks.
#[must_use]
pub fn teams_card(body: &[Value]) -> Value {
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhook_is_signed_with_its_time() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
        let expected = "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163";
        assert_eq!(signature("secret", 1_700_000_000, "{}"), expected);
    }
}
