//! Repairs valid JSON that serde_json refuses: unpaired surrogates, and numbers beyond the range of `f64`.

use crate::limits;

/// Whether JSON is nested deeper than [`JSON_DEPTH_MAX`](limits::JSON_DEPTH_MAX). serde skips unknown fields of any
/// depth, so its own bound does not hold.
#[must_use]
pub fn too_deep(text: &str) -> bool {
    // Fast path: most beacons open fewer brackets than the bound.
    let opened: usize = text
        .as_bytes()
        .chunks(usize::from(u8::MAX))
        .map(|chunk| usize::from(chunk.iter().map(|byte| u8::from(matches!(byte, b'[' | b'{'))).sum::<u8>()))
        .sum();
    if opened <= limits::JSON_DEPTH_MAX {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth = depth.saturating_add(1);
                if depth > limits::JSON_DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The text with U+FFFD for each unpaired surrogate escape and null for each number out of range, and the count of
/// surrogates. `None` if there is nothing to repair.
#[must_use]
pub fn mended(text: &str) -> Option<(String, usize)> {
    let mut mended = String::with_capacity(text.len());
    let (mut halves, mut numbers) = (0_usize, 0_usize);
    let mut rest = text;
    // Each iteration starts outside of a text.
    loop {
        let (outside, inside) = match rest.split_once('"') {
            Some((outside, inside)) => (outside, Some(inside)),
            None => (rest, None),
        };
        numbers = numbers.saturating_add(without_large_numbers(outside, &mut mended));
        let Some(inside) = inside else { break };
        mended.push('"');
        rest = without_halves(inside, &mut mended, &mut halves);
    }
    (halves > 0 || numbers > 0).then_some((mended, halves))
}

/// Copies the JSON between two texts. Returns the count of replaced numbers.
fn without_large_numbers(mut rest: &str, mended: &mut String) -> usize {
    let is_number =
        |character: char| character.is_ascii_digit() || matches!(character, '-' | '+' | '.' | 'e' | 'E');
    let mut replaced = 0_usize;
    while let Some(at) = rest.find(|character: char| character.is_ascii_digit() || character == '-') {
        let (before, number) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let end = number.find(|character| !is_number(character)).unwrap_or(number.len());
        let (number, after) = number.split_at_checked(end).unwrap_or((number, ""));
        mended.push_str(before);
        if number.parse().is_ok_and(f64::is_infinite) {
            mended.push_str("null");
            replaced = replaced.saturating_add(1);
        } else {
            mended.push_str(number);
        }
        rest = after;
    }
    mended.push_str(rest);
    replaced
}

/// Copies a text with its closing quote. Returns the rest.
fn without_halves<'a>(mut rest: &'a str, mended: &mut String, halves: &mut usize) -> &'a str {
    while let Some(at) = rest.find(['"', '\\']) {
        let (before, here) = rest.split_at_checked(at).unwrap_or((rest, ""));
        mended.push_str(before);
        if let Some(after) = here.strip_prefix('"') {
            mended.push('"');
            return after;
        }
        let (escape, after) = match (unit(here), here.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => here.split_at_checked(12),
            (Some(0xd800..=0xdfff), _) => {
                *halves = halves.saturating_add(1);
                mended.push('\u{fffd}');
                rest = here.get(6..).unwrap_or_default();
                continue;
            }
            _ => {
                let escaped = here.chars().nth(1).map_or(0, char::len_utf8);
                here.split_at_checked(escaped.saturating_add(1))
            }
        }
        .unwrap_or((here, ""));
        mended.push_str(escape);
        rest = after;
    }
    mended.push_str(rest);
    ""
}

/// The UTF-16 unit of the escape `\uXXXX` at the start of a text.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_pair_is_replaced_and_a_pair_stays() {
        for (text, expected, halves) in [
            (r#"{"a":"\ud83d"}"#, "{\"a\":\"\u{fffd}\"}", 1),
            (r#"{"a":"x\uDE00y"}"#, "{\"a\":\"x\u{fffd}y\"}", 1),
            (r#"["\ud83d\ud83d\ude00"]"#, "[\"\u{fffd}\\ud83d\\ude00\"]", 1),
            (r#"["\ud83d\n\"\ude00"]"#, "[\"\u{fffd}\\n\\\"\u{fffd}\"]", 2),
            (r#"["\\ud83d","\ud83d"]"#, "[\"\\\\ud83d\",\"\u{fffd}\"]", 1),
            (r#"{"\ud800":1e5}"#, "{\"\u{fffd}\":1e5}", 1),
        ] {
            assert_eq!(mended(text), Some((expected.to_owned(), halves)), "{text}");
        }
        for whole in
            ["", "\"", "\"\\", "{\"a\":\"\\ud83d\\ude00\"}", "[\"\\\\ud83d\", 1]", "\"\\ud8\"", "\"\\u+123\""]
        {
            assert_eq!(mended(whole), None, "{whole}");
        }
    }

    #[test]
    fn a_number_beyond_any_is_null() {
        for (text, expected) in [
            (r#"{"1e999":1e999,"b":-1e999}"#, r#"{"1e999":null,"b":null}"#),
            ("[1e308,1E+400,12]", "[1e308,null,12]"),
        ] {
            assert_eq!(mended(text), Some((expected.to_owned(), 0)), "{text}");
        }
        assert_eq!(mended("[1e308,-,e9,1-1,--]"), None);
    }
}
