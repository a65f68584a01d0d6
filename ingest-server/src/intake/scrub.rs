//! Scrubbing: removes private data from texts: queries, fragments, credentials, personal-looking segments.

use crate::limits;
use std::borrow::Cow;

/// Replacement of a personal-looking segment.
pub const REDACTED: &str = ":redacted";

/// Minimum length of a signed token, in bytes.
const TOKEN_BYTES_MIN: usize = 40;

/// Returns whether a path segment looks like an e-mail address or a signed token.
#[must_use]
pub fn is_personal(segment: &str) -> bool {
    is_email(segment) || is_token(segment)
}

/// Fast check: returns `false` only if no segment of the path can be personal.
pub(super) fn may_be_personal(path: &str) -> bool {
    let mut bytes = path.bytes();
    bytes.any(|byte| matches!(byte, b'@' | b'%')) || path.len() >= TOKEN_BYTES_MIN && path.contains('.')
}

pub(super) fn is_email(segment: &str) -> bool {
    let split = segment.split_once('@').or_else(|| {
        let at = segment.find("%40")?;
        Some((segment.get(..at)?, segment.get(at.saturating_add(3)..)?))
    });
    split.is_some_and(|(user, host)| {
        !user.is_empty() && host.split_once('.').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
    })
}

/// Returns whether a segment looks like a JSON Web Token: three base64url parts, of which the first starts with an
/// encoded `{"`. A truncated token may have only two.
fn is_token(segment: &str) -> bool {
    segment.starts_with("eyJ") && segment.len() >= TOKEN_BYTES_MIN && segment.bytes().any(|byte| byte == b'.')
}

/// Trims a text, removes its control characters, and shortens it to at most `bytes_max` bytes at a character boundary.
#[must_use]
pub fn label<'a>(text: impl Into<Cow<'a, str>>, bytes_max: usize) -> Cow<'a, str> {
    let text = text.into();
    let trimmed = text.trim();
    // Checks every byte, which is faster than an early exit.
    let is_plain = trimmed.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    if is_plain && trimmed.len() <= bytes_max {
        // Fast path: nearly all texts are plain and short.
        return match text {
            Cow::Borrowed(text) => text.trim().into(),
            Cow::Owned(text) if text.len() == trimmed.len() => text.into(),
            Cow::Owned(_) => trimmed.to_owned().into(),
        };
    }
    let mut label = String::new();
    for character in trimmed.chars().filter(|character| !character.is_control()) {
        if label.len().saturating_add(character.len_utf8()) > bytes_max {
            break;
        }
        label.push(character);
    }
    label.into()
}

/// Scrubs a short text of the page, such as the name of a mark; `None` if nothing is left.
#[must_use]
pub fn word(text: &str) -> Option<String> {
    let word = label(text, limits::LABEL_BYTES_MAX);
    // The server or the browser may have truncated an e-mail address.
    let cut = text.trim().len() >= limits::LABEL_BYTES_MAX && (word.contains('@') || word.contains("%40"));
    if cut || is_personal(&word) {
        return Some(REDACTED.to_owned());
    }
    (!word.is_empty()).then(|| word.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_however_it_is_written_or_cut() {
        assert_eq!(word("jane@mail.example").as_deref(), Some(REDACTED));
        assert_eq!(word(&format!("jane@{}", "a".repeat(80))).as_deref(), Some(REDACTED));
        assert_eq!(word(&format!("eyJ{}.{}", "a".repeat(40), "b".repeat(40))).as_deref(), Some(REDACTED));
        assert_eq!(word("@jane").as_deref(), Some("@jane"));
    }

    #[test]
    fn long_text_is_cut_on_a_character() {
        assert_eq!(label("  äöü\u{0}\n ", 5), "äö");
    }
}
