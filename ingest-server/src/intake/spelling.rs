//! Normalizes the spelling of paths to one readable form.
//!
//! Browsers percent-encode paths, with hexadecimal digits of either case. Some servers add parameters to segments
//! (`;jsessionid=…`). Routes are decoded and have no parameters. Filters are normalized in the same way.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The part of a segment before its parameters.
#[must_use]
pub fn without_parameters(segment: &str) -> &str {
    segment.split_once(';').map_or(segment, |(name, _)| name)
}

/// Returns the reported spelling of a route.
#[must_use]
pub fn route(text: &str) -> Cow<'_, str> {
    let is_path = text.starts_with('/');
    let has_parameters = is_path && text.contains(';');
    if !has_parameters && !text.contains('%') {
        return text.into();
    }
    let segments = text.split('/').map(|segment| {
        // Names that are not paths may contain `;`.
        readable(if is_path { without_parameters(segment) } else { segment })
    });
    segments.collect::<Vec<_>>().join("/").into()
}

/// Decodes the escapes of a segment. Invalid UTF-8 and characters that [`stays_encoded`] stay encoded, with uppercase
/// digits.
#[must_use]
pub fn readable(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return segment.into();
    }
    let mut out = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((before, escaped)) = rest.split_once('%') {
        out.push_str(before);
        let (bytes, after) = escapes(escaped);
        if bytes.is_empty() {
            // A literal percent sign. It is encoded if the following decoded digits could complete an escape.
            let mut next = after.chars();
            let is_near = next.next() == Some('%') || next.next() == Some('%');
            out.push_str(if is_near { "%25" } else { "%" });
        }
        // A blank at an edge stays encoded, because it would be trimmed.
        let (first, last) = (out.is_empty(), after.is_empty());
        decode(&bytes, &mut out, first, last);
        rest = after;
    }
    out.push_str(rest);
    out.into()
}

/// Returns the path with uppercase digits in all escapes.
#[must_use]
pub fn with_uppercase_escapes(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return path.into();
    }
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, escaped)) = rest.split_once('%') {
        out.push_str(before);
        let (bytes, after) = escapes(escaped);
        if bytes.is_empty() {
            out.push('%');
        }
        bytes.iter().for_each(|byte| encode(*byte, &mut out));
        rest = after;
    }
    out.push_str(rest);
    out.into()
}

/// Returns the bytes of a run of escapes, and the rest. The text starts after the first percent sign.
fn escapes(text: &str) -> (Vec<u8>, &str) {
    let byte = |at: usize| {
        let digits = text.get(at..at + 2).filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        u8::from_str_radix(digits, 16).ok()
    };
    let (mut bytes, mut at) = (Vec::new(), 0);
    while let Some(value) = byte(at) {
        bytes.push(value);
        at += 2;
        if !text[at..].starts_with('%') || byte(at + 1).is_none() {
            break;
        }
        at += 1;
    }
    (bytes, &text[at..])
}

fn decode(bytes: &[u8], out: &mut String, first: bool, last: bool) {
    let mut left = bytes.len();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let begins = first && left == bytes.len();
            left -= character.len_utf8();
            let is_edge = begins || (last && left == 0);
            if stays_encoded(character) || (character == ' ' && is_edge) {
                let mut utf8 = [0; 4];
                character.encode_utf8(&mut utf8).bytes().for_each(|byte| encode(byte, out));
            } else {
                out.push(character);
            }
        }
        left -= chunk.invalid().len();
        chunk.invalid().iter().for_each(|byte| encode(*byte, out));
    }
}

/// Whether a character stays encoded in a route: it has a meaning in URLs or route rules, is invisible, or changes the
/// direction of text.
fn stays_encoded(character: char) -> bool {
    matches!(character, '/' | '?' | '#' | '%' | ';' | '\\' | '*')
        || character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(character, '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn encode(byte: u8, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "%{byte:02X}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
    use proptest::prelude::*;

    #[test]
    fn escapes_are_decoded_but_for_those_that_mean_something() {
        for (segment, expected) in [
            ("gr%C3%B6%c3%9Fe", "größe"),
            ("%e6%97%a5%E6%9C%AC", "日本"),
            ("red%20shoes", "red shoes"),
            ("%20red%20", "%20red%20"),
            ("a%2fb%3F%23%25%3b%5C%2a", "a%2Fb%3F%23%25%3B%5C%2A"),
            ("%00%0a%7f%C2%85", "%00%0A%7F%C2%85"),
            ("%e2%80%ae%C2%A0", "%E2%80%AE%C2%A0"),
            ("%ff%c3", "%FF%C3"),
            ("caf%e9", "caf%E9"),
            ("%c3%28%C3%A9", "%C3(é"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("a%41%", "aA%"),
            ("%41%zz", "A%zz"),
            ("%é", "%é"),
            ("50% off", "50% off"),
            ("%A%30", "%25A0"),
            ("%%34%31", "%2541"),
            ("plain", "plain"),
        ] {
            assert_eq!(readable(segment), expected, "{segment}");
        }
    }

    #[test]
    fn a_route_has_one_spelling() {
        for (text, expected) in [
            ("/caf%c3%a9/men%C3%BC", "/café/menü"),
            ("/cart;jsessionid=1A2B/step;v=2", "/cart/step"),
            ("/a%3Bb", "/a%3Bb"),
            ("checkout; step 2", "checkout; step 2"),
            ("caf%C3%A9", "café"),
            ("/plain/:id/*", "/plain/:id/*"),
            ("(other)", "(other)"),
        ] {
            assert_eq!(route(text), expected, "{text}");
        }
    }

    #[test]
    fn capitals_change_no_byte() {
        assert_eq!(with_uppercase_escapes("/caf%c3%a9/%2f100%/%zz%4a"), "/caf%C3%A9/%2F100%/%zz%4A");
    }

    proptest! {
        /// All encodings of a text have the same readable form, which decodes to the text and is stable.
        #[test]
        fn any_spelling_is_one(text in "[a-c /?#%;*\\\\é日\u{202e}\u{0}-\u{20}]{0,12}", lower in any::<bool>()) {
            let encoded = utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
            let encoded = if lower { encoded.to_ascii_lowercase() } else { encoded };
            let read = readable(&encoded).into_owned();
            prop_assert_eq!(percent_decode_str(&read).decode_utf8_lossy(), text.as_str());
            prop_assert_eq!(readable(&read), read.as_str());
            let capital = with_uppercase_escapes(&encoded).into_owned();
            prop_assert_eq!(readable(&capital), read);
            prop_assert!(percent_decode_str(&capital).eq(percent_decode_str(&encoded)));
        }

        #[test]
        fn any_text_has_a_spelling(text in "(%[0-9a-fA-F]{0,2}|\\PC){0,12}") {
            let read = readable(&text).into_owned();
            prop_assert_eq!(readable(&read), read.as_str());
            prop_assert!(percent_decode_str(&read).eq(percent_decode_str(&text)));
        }
    }
}
