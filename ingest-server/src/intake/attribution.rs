//! Scrubs the attribution of page views: selectors, events and URLs that explain a value.

use super::page_url::PageUrl;
use super::scrub::{REDACTED, is_email, label, word};
use crate::limits;
use vitals::attribution::{Attribution, ClsCause, InpCause, LcpCause};
use vitals::fetch::{Fetch, ServerTiming, TtfbCause};

/// Scrubs the attribution of a page view and limits its texts: selectors keep only selector characters, URLs lose
/// query and fragment, and personal-looking texts are replaced. Leaves out the collector's own scripts, which come from
/// `host`.
#[must_use]
pub(super) fn scrubbed(attribution: Attribution, host: Option<&str>) -> Attribution {
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
            scrubbed(hostile, None)
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

    #[test]
    fn selector_with_an_encoded_address_is_redacted() {
        assert_eq!(selector("li#row-jane%40mail.example".to_owned()), REDACTED);
        assert_eq!(selector("li#row-50%".to_owned()), "li#row-50%");
    }
}
