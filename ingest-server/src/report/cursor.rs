//! A position in a ranking, which stays valid when rows are added or removed between two pages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The last row shown: its sort value, its page views and its name; and the question of the ranking.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    /// A hash of the question, so that a cursor of another question is refused.
    pub question: u32,
    pub(super) value: Option<f64>,
    pub(super) views: i64,
    pub(super) route: String,
}

impl Cursor {
    /// Encodes the cursor as URL-safe text.
    #[must_use]
    pub fn encode(&self) -> String {
        let bits = self.value.map_or(String::new(), |value| format!("{:016x}", value.to_bits()));
        URL_SAFE_NO_PAD.encode(format!("{:08x}:{bits}:{}:{}", self.question, self.views, self.route))
    }

    /// Parses the text of [`Cursor::encode`].
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let mut parts = text.splitn(4, ':');
        let question = u32::from_str_radix(parts.next()?, 16).ok()?;
        let value = match parts.next()? {
            "" => None,
            bits => Some(f64::from_bits(u64::from_str_radix(bits, 16).ok()?)),
        };
        let views = parts.next()?.parse().ok()?;
        Some(Self { question, value, views, route: parts.next()?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_is_read_back_and_nothing_else_is_a_cursor() {
        for value in [None, Some(0.1), Some(f64::MAX)] {
            let cursor = Cursor { question: 7, value, views: 17, route: "/a:b/é".to_owned() };
            assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }
        let of = |text: &str| Cursor::decode(&URL_SAFE_NO_PAD.encode(text));
        assert_eq!(of("00000007:::/a"), None);
        assert_eq!(of("x::1:/a"), None);
        assert_eq!(Cursor::decode("!"), None);
    }
}
