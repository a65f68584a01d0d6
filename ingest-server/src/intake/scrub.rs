//! Scrubbing: removes private data from texts: queries, fragments, credentials, personal-looking segments.

use super::page_url::PageUrl;
use crate::limits;
use std::borrow::Cow;
use vitals::attribution::{Attribution, ClsCause, InpCause, LcpCause};
use vitals::fetch::{Fetch, ServerTiming, TtfbCause};

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

fn is_email(segment: &str) -> bool {
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

/// Scrubs the attribution of a page view and limits its texts: selectors keep only selector characters, URLs lose
/// query and fragment, and personal-looking texts are replaced. Leaves out the collector's own scripts, which come from
/// `host`.
#[must_use]
pub fn attribution(attribution: Attribution, host: Option<&str>) -> Attribution {
    let Attribution { lcp, inp, cls, ttfb } = attribution;
    Attribution {
        lcp: lcp.map(|cause| LcpCause {
            target: selector(cause.target),
            url: resource_url(&cause.url),
            ..cause
        }),
        inp: inp.map(|cause| {
            let script = resource_url(&cause.script);
            let is_own = host.is_some_and(|host| is_own_script(&script, host));
            InpCause {
                target: selector(cause.target),
                event: label(cause.event, limits::LABEL_BYTES_MAX).into_owned(),
                script: if is_own { String::new() } else { script },
                script_ms: if is_own { 0.0 } else { cause.script_ms },
                ..cause
            }
        }),
        cls: cls.map(|cause| ClsCause { target: selector(cause.target), ..cause }),
        ttfb: ttfb.map(fetch),
    }
}

/// Whether a URL is that of the snippet, or of a file that it loads.
fn is_own_script(url: &str, host: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let (own, path) = rest.split_at_checked(host.len()).unwrap_or_default();
    own.eq_ignore_ascii_case(host) && (path == "/v.js" || path.starts_with("/c/"))
}

/// Scrubs and limits the texts of a document's fetch.
fn fetch(cause: TtfbCause) -> TtfbCause {
    let TtfbCause { parts_ms, fetch } = cause;
    let timing = |timing: ServerTiming| {
        let description = word(&timing.description).unwrap_or_default();
        Some(ServerTiming { name: word(&timing.name)?, description, ..timing })
    };
    let server_timings = fetch.server_timings.into_iter().filter_map(timing).collect();
    let not_restored = fetch.not_restored.iter().filter_map(|reason| word(reason)).collect();
    TtfbCause { parts_ms, fetch: Fetch { server_timings, not_restored, ..fetch } }
}

/// Keeps only the characters of a selector of tags, ids and classes. Bodies are untrusted, so this removes what would
/// make other texts or HTML tags work.
fn selector(text: String) -> String {
    // Excludes `%`, because `%40` may encode the `@` of an e-mail address.
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_#.>:/[]!".contains(&byte);
    if text.len() <= vitals::limits::SELECTOR_BYTES_MAX && text.bytes().all(usual) {
        return text;
    }
    let plain = |character: &char| character.is_alphanumeric() || "-_#.>:/[]%!".contains(*character);
    let part = |part: &str| {
        let kept: String = part.chars().filter(plain).collect();
        if is_email(part) { REDACTED.to_owned() } else { kept }
    };
    let parts: Vec<String> = text.split('>').map(part).collect();
    label(parts.join(">"), vitals::limits::SELECTOR_BYTES_MAX).into_owned()
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

/// Scrubs the URL of an image or a script. For other URLs keeps only the scheme, and for other texts the first word.
fn resource_url(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let url = PageUrl::read_on_the_web(text);
    let label = match &url {
        Some(url) => label(url.text(), vitals::limits::RESOURCE_URL_BYTES_MAX),
        None => {
            let word: String =
                text.chars().take_while(|character| character.is_ascii_alphanumeric()).collect();
            label(word, limits::LABEL_BYTES_MAX)
        }
    };
    label.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_scripts_are_those_of_the_tags_host() {
        for (url, is_own) in [
            ("https://vitals.example/v.js", true),
            ("https://VITALS.example/c/1a2b.js", true),
            ("https://vitals.example:8080/v.js", false),
            ("https://shop.example/v.js", false),
            ("https://vitals.example/v.js/x", false),
            ("https://vitals.example/app.js", false),
            ("https://vitals.exa", false),
            ("vitals.example/v.js", false),
        ] {
            assert_eq!(is_own_script(url, "vitals.example"), is_own, "{url}");
        }
    }
    use vitals::attribution::LoadState;

    fn timing(name: &str, description: &str) -> ServerTiming {
        ServerTiming { name: name.to_owned(), duration_ms: 1.0, description: description.to_owned() }
    }

    #[test]
    fn what_explains_a_value_names_nobody() {
        let hostile = Attribution {
            lcp: Some(LcpCause {
                target: format!("#{}>img.wide", "x".repeat(500)),
                url: "https://cdn.example/a.avif?token=secret#x".to_owned(),
                parts_ms: [1.0, 2.0, 3.0, 4.0],
            }),
            inp: Some(InpCause {
                target: "#jo@mail.example>button.\"buy now\"<script>".to_owned(),
                event: "click\n".to_owned(),
                at_ms: 1.0,
                parts_ms: [1.0, 2.0, 3.0],
                script: "data:text/javascript,alert(1)".to_owned(),
                script_ms: 9.0,
                load_state: LoadState::Complete,
            }),
            cls: None,
            ttfb: Some(TtfbCause {
                parts_ms: None,
                fetch: Fetch {
                    server_timings: vec![
                        timing("edge", "jo@mail.example"),
                        timing("\n", "HIT"),
                        timing("db", &"x".repeat(500)),
                    ],
                    not_restored: vec![String::new(), "unload-listener\n".to_owned()],
                    ..Fetch::default()
                },
            }),
        };
        let Attribution { lcp: Some(lcp), inp: Some(inp), cls: None, ttfb: Some(ttfb) } =
            attribution(hostile, None)
        else {
            panic!()
        };
        assert_eq!(
            ttfb.fetch.server_timings,
            [timing("edge", REDACTED), timing("db", &"x".repeat(limits::LABEL_BYTES_MAX))]
        );
        assert_eq!(ttfb.fetch.not_restored, ["unload-listener"]);
        assert_eq!(lcp.target.len(), vitals::limits::SELECTOR_BYTES_MAX);
        assert_eq!((lcp.url.as_str(), lcp.parts_ms), ("https://cdn.example/a.avif", [1.0, 2.0, 3.0, 4.0]));
        assert_eq!(inp.target, ":redacted>button.buynowscript>");
        assert_eq!((inp.event.as_str(), inp.script.as_str()), ("click", "data"));
        let long = resource_url(&format!("https://cdn.example/{}", "x".repeat(2_000)));
        assert_eq!(long.len(), vitals::limits::RESOURCE_URL_BYTES_MAX);
        assert_eq!(selector("#hero>img.wide".to_owned()), "#hero>img.wide");
        assert_eq!(resource_url("file:///home_of_jo/photo.jpg"), "file");
        assert_eq!(resource_url("capacitor://localhost/_capacitor_file_/var/jo.jpg"), "capacitor");
    }

    #[test]
    fn an_address_is_one_however_it_is_written_or_cut() {
        assert_eq!(selector("li#row-jane%40mail.example".to_owned()), REDACTED);
        assert_eq!(selector("li#row-50%".to_owned()), "li#row-50%");
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
