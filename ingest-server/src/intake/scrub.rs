//! What must not be kept is taken out: queries, fragments, credentials, personal-looking segments.

use url::Url;
use vitals::attribution::{Attribution, ClsCause, InpCause, LcpCause};
use vitals::limits;

/// What stands in place of a segment that looks personal.
pub const REDACTED: &str = ":redacted";

/// Bytes that a signed token has at least.
const TOKEN_BYTES_MIN: usize = 40;

/// The URL of a page without user, password, query and fragment, with segments that look like an
/// e-mail address or a secret replaced; `None` where it is not the URL of a page.
#[must_use]
pub fn page_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return None;
    }
    // Each of these reads the URL anew, and most have none of them.
    if url.query().is_some() {
        url.set_query(None);
    }
    if url.fragment().is_some() {
        url.set_fragment(None);
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Both fail only for URLs without a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    if may_be_personal(url.path()) && url.path().split('/').any(is_personal) {
        let path = url
            .path()
            .split('/')
            .map(|segment| if is_personal(segment) { REDACTED } else { segment })
            .collect::<Vec<_>>()
            .join("/");
        url.set_path(&path);
    }
    Some(url)
}

/// Whether a path has what no address and no token is without.
fn may_be_personal(path: &str) -> bool {
    let mut bytes = path.bytes();
    bytes.any(|byte| matches!(byte, b'@' | b'%')) || path.len() >= TOKEN_BYTES_MIN && path.contains('.')
}

/// Whether a path segment looks like an e-mail address or a signed token.
#[must_use]
pub fn is_personal(segment: &str) -> bool {
    is_email(segment) || is_token(segment)
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

/// A JSON Web Token: three base64url parts, of which the first opens with an encoded `{"`. One that was cut has
/// two.
fn is_token(segment: &str) -> bool {
    segment.starts_with("eyJ") && segment.len() >= TOKEN_BYTES_MIN && segment.bytes().any(|byte| byte == b'.')
}

/// Text shortened to at most `bytes_max` bytes, on a character's edge, without control characters.
#[must_use]
pub fn label(text: &str, bytes_max: usize) -> String {
    let text = text.trim();
    if text.len() <= bytes_max && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        // What nearly all texts are.
        return text.to_owned();
    }
    let mut label = String::new();
    for character in text.chars().filter(|character| !character.is_control()) {
        if label.len().saturating_add(character.len_utf8()) > bytes_max {
            break;
        }
        label.push(character);
    }
    label
}

/// The text of a scrubbed URL, shortened to its bound.
#[must_use]
pub fn url_text(url: &Url) -> String {
    label(url.as_str(), limits::URL_BYTES_MAX)
}

/// What explains a view's values, with its texts held to their bounds: selectors keep what a selector can
/// have, URLs lose query and fragment, and whatever looks personal is replaced.
#[must_use]
pub fn attribution(attribution: Attribution) -> Attribution {
    let Attribution { lcp, inp, cls } = attribution;
    Attribution {
        lcp: lcp.map(|cause| LcpCause {
            target: selector(cause.target),
            url: resource_url(&cause.url),
            ..cause
        }),
        inp: inp.map(|cause| InpCause {
            target: selector(cause.target),
            event: label(&cause.event, limits::LABEL_BYTES_MAX),
            script: resource_url(&cause.script),
            ..cause
        }),
        cls: cls.map(|cause| ClsCause { target: selector(cause.target), ..cause }),
    }
}

/// A selector of tags, ids and classes. Bodies are written by strangers, so a text or a tag in its place loses
/// what would make it one.
fn selector(text: String) -> String {
    // Without `%`, as `%40` may stand for the `@` of an address.
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_#.>:/[]!".contains(&byte);
    if text.len() <= limits::SELECTOR_BYTES_MAX && text.bytes().all(usual) {
        return text;
    }
    let plain = |character: &char| character.is_alphanumeric() || "-_#.>:/[]%!".contains(*character);
    let part = |part: &str| {
        let kept: String = part.chars().filter(plain).collect();
        if is_email(part) { REDACTED.to_owned() } else { kept }
    };
    let parts: Vec<String> = text.split('>').map(part).collect();
    label(&parts.join(">"), limits::SELECTOR_BYTES_MAX)
}

/// A short text of a page's own, such as the name of a mark; `None` where nothing is left of it.
#[must_use]
pub fn word(text: &str) -> Option<String> {
    let word = label(text, limits::LABEL_BYTES_MAX);
    // The end of an address may have been cut off, here or in the browser.
    let cut = text.trim().len() >= limits::LABEL_BYTES_MAX && (word.contains('@') || word.contains("%40"));
    if cut || is_personal(&word) {
        return Some(REDACTED.to_owned());
    }
    (!word.is_empty()).then_some(word)
}

/// The URL of an image or a script; of one that is no web address, only its scheme or a word that stands for it.
fn resource_url(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    match page_url(text) {
        Some(url) => label(url.as_str(), limits::RESOURCE_URL_BYTES_MAX),
        None => {
            let word: String =
                text.chars().take_while(|character| character.is_ascii_alphanumeric()).collect();
            label(&word, limits::LABEL_BYTES_MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitals::attribution::LoadState;

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
        };
        let Attribution { lcp: Some(lcp), inp: Some(inp), cls: None } = attribution(hostile) else {
            panic!()
        };
        assert_eq!(lcp.target.len(), limits::SELECTOR_BYTES_MAX);
        assert_eq!((lcp.url.as_str(), lcp.parts_ms), ("https://cdn.example/a.avif", [1.0, 2.0, 3.0, 4.0]));
        assert_eq!(inp.target, ":redacted>button.buynowscript>");
        assert_eq!((inp.event.as_str(), inp.script.as_str()), ("click", "data"));
        let long = resource_url(&format!("https://cdn.example/{}", "x".repeat(2_000)));
        assert_eq!(long.len(), limits::RESOURCE_URL_BYTES_MAX);
        assert_eq!(selector("#hero>img.wide".to_owned()), "#hero>img.wide");
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

    fn scrubbed(text: &str) -> Option<String> {
        page_url(text).map(|url| url_text(&url))
    }

    #[test]
    fn queries_fragments_and_credentials_are_dropped() {
        assert_eq!(
            scrubbed("https://user:secret@shop.example/a/b?token=1#frag").as_deref(),
            Some("https://shop.example/a/b")
        );
        assert_eq!(scrubbed("http://localhost:8080").as_deref(), Some("http://localhost:8080/"));
        for other in [
            "",
            "about:blank",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:text/html,x",
            "/relative",
            "https://",
        ] {
            assert_eq!(scrubbed(other), None, "{other}");
        }
    }

    #[test]
    fn personal_segments_are_replaced() {
        assert_eq!(
            scrubbed("https://a.example/unsubscribe/jo@mail.example/now").as_deref(),
            Some("https://a.example/unsubscribe/:redacted/now")
        );
        assert_eq!(
            scrubbed("https://a.example/u/jo%40mail.example").as_deref(),
            Some("https://a.example/u/:redacted")
        );
        let token =
            format!("https://a.example/t/eyJ{}.{}.{}", "a".repeat(20), "b".repeat(20), "c".repeat(20));
        assert_eq!(scrubbed(&token).as_deref(), Some("https://a.example/t/:redacted"));
        assert_eq!(scrubbed("https://a.example/@jo/post").as_deref(), Some("https://a.example/@jo/post"));
    }

    #[test]
    fn long_text_is_cut_on_a_character() {
        assert_eq!(label("  äöü\u{0}\n ", 5), "äö");
        let url = scrubbed(&format!("https://a.example/{}", "x".repeat(5_000)));
        assert_eq!(url.map(|url| url.len()), Some(limits::URL_BYTES_MAX));
    }
}
