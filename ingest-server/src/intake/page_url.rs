//! Normalizes page URLs and removes personal data from them.

use super::origin;
use super::scrub::{REDACTED, is_personal, label, may_be_personal};
use super::spelling::{readable, with_uppercase_escapes, without_parameters};
use std::borrow::Cow;
use url::Url;
use vitals::limits;

/// The URL of a page without user, password, query, fragment and path parameters. Segments that look like an e-mail
/// address or a secret are replaced. Apps may have their own scheme (`capacitor://localhost/…`). A file's URL keeps
/// only the file name, because folders may name a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageUrl<'a> {
    text: Cow<'a, str>,
    /// Byte offset of the path.
    path_at: usize,
}

impl<'a> PageUrl<'a> {
    /// Reads a URL; `None` if pages cannot have such a URL.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Self> {
        plain(text).or_else(|| Self::parse(text))
    }

    /// Reads an http or https URL; `None` for any other.
    #[must_use]
    pub fn read_on_the_web(text: &'a str) -> Option<Self> {
        Self::read(text).filter(|url| url.text.starts_with("http://") || url.text.starts_with("https://"))
    }

    /// Parses any URL, by the URL standard.
    fn parse(text: &str) -> Option<Self> {
        let mut url = Url::parse(text).ok()?;
        if url.scheme() == "file" {
            return Some(Self::file(&url));
        }
        if !origin::is_of_pages(url.scheme()) || url.host_str().is_none_or(str::is_empty) {
            return None;
        }
        // Each setter parses the URL again, and most URLs have none of these parts.
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
        if url.path().contains([';', '%']) || may_be_personal(url.path()) {
            let path = url.path().split('/').map(scrubbed).collect::<Vec<_>>().join("/");
            if path != url.path() {
                url.set_path(&path);
            }
        }
        if url.path().is_empty() {
            // URLs of apps may have no path.
            url.set_path("/");
        }
        let path_bytes = url.path().len();
        let text = String::from(url);
        Some(Self { path_at: text.len().checked_sub(path_bytes)?, text: text.into() })
    }

    /// Keeps only the file name.
    fn file(url: &Url) -> Self {
        let name = url.path().rsplit('/').next().unwrap_or_default();
        Self { text: format!("file:///{}", scrubbed(name)).into(), path_at: "file://".len() }
    }

    /// The text, cut to [`limits::URL_BYTES_MAX`].
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        label(self.text.as_ref(), limits::URL_BYTES_MAX)
    }

    /// The path, not cut.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.get(self.path_at..).unwrap_or_default()
    }
}

/// Scrubs a segment of a path.
fn scrubbed(segment: &str) -> Cow<'_, str> {
    let segment = without_parameters(segment);
    if is_personal(segment) || segment.contains('%') && is_personal(&readable(segment)) {
        return REDACTED.into();
    }
    with_uppercase_escapes(segment)
}

/// Reads a URL that needs no change except the removal of query and fragment. Most URLs are of this kind, and parsing
/// costs several times as much. `None` means that the URL must be parsed.
fn plain(text: &str) -> Option<PageUrl<'_>> {
    let host_and_path = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let host_at = text.len() - host_and_path.len();
    let path_at = host_at + host_and_path.find('/')?;
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let (host, path) = (text.get(host_at..path_at)?, text.get(path_at..end)?);
    let is_plain = is_plain_host(host) && path.bytes().all(is_plain_in_path);
    if !is_plain || may_be_personal(path) || path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return None;
    }
    Some(PageUrl { text: Cow::Borrowed(text.get(..end)?), path_at })
}

/// Whether a host is a lowercase name without a port, without IDNA encoding, and not an IP address.
fn is_plain_host(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    // A host whose last label starts with a digit may be an IP address; an IDNA-encoded label starts with `xn--`.
    host.split('.').all(is_label)
        && host
            .rsplit('.')
            .next()
            .is_some_and(|last| last.starts_with(|first: char| first.is_ascii_lowercase()))
        && !host.contains("--")
}

/// Whether parsing leaves a byte of a path as it is.
const fn is_plain_in_path(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b'!' | b'$' | b'&'
        | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(url: &str) -> Option<String> {
        PageUrl::read(url).map(|url| url.text().into_owned())
    }

    #[test]
    fn queries_fragments_and_credentials_are_dropped() {
        assert_eq!(
            text("https://user:secret@shop.example/a/b?token=1#frag").as_deref(),
            Some("https://shop.example/a/b")
        );
        assert_eq!(
            text("https://shop.example/a/b?token=1#frag").as_deref(),
            Some("https://shop.example/a/b")
        );
        assert_eq!(text("http://localhost:8080").as_deref(), Some("http://localhost:8080/"));
        for other in [
            "",
            "about:blank",
            "about:srcdoc",
            "blob:https://shop.example/1",
            "ws://shop.example/",
            "ftp://shop.example/",
            "mailto:jo@mail.example",
            "capacitor:app",
            "capacitor://",
            "javascript:alert(1)",
            "data:text/html,x",
            "/relative",
            "https://",
        ] {
            assert_eq!(text(other), None, "{other}");
        }
    }

    #[test]
    fn a_page_of_an_app_has_the_apps_scheme() {
        for (url, expected) in [
            ("capacitor://localhost/tabs/home?x=1#y", "capacitor://localhost/tabs/home"),
            ("ionic://localhost", "ionic://localhost/"),
            ("tauri://localhost/a;v=1/b%c3", "tauri://localhost/a/b%C3"),
            ("APP://u:p@Main/x", "app://Main/x"),
            ("capacitor://localhost/u/jo@mail.example", "capacitor://localhost/u/:redacted"),
        ] {
            assert_eq!(text(url).as_deref(), Some(expected), "{url}");
        }
        assert_eq!(PageUrl::read("ionic://localhost").map(|url| url.path().to_owned()).as_deref(), Some("/"));
        assert!(PageUrl::read_on_the_web("capacitor://localhost/x").is_none());
        assert!(PageUrl::read_on_the_web("https://localhost/x").is_some());
    }

    #[test]
    fn of_a_file_only_the_name_is_kept() {
        for (url, expected) in [
            ("file:///Users/jo/Library/app/www/index.html?x#y", "file:///index.html"),
            ("file:///C:/jo/index.html", "file:///index.html"),
            ("file://server/jo/a%c3.html", "file:///a%C3.html"),
            ("file:///home/jo/", "file:///"),
            ("file:///jo@mail.example", "file:///:redacted"),
        ] {
            assert_eq!(text(url).as_deref(), Some(expected), "{url}");
        }
        let path = PageUrl::read("file:///android_asset/www/index.html").map(|url| url.path().to_owned());
        assert_eq!(path.as_deref(), Some("/index.html"));
    }

    #[test]
    fn parameters_of_a_path_are_dropped_and_escapes_have_capitals() {
        for (url, expected) in [
            ("https://shop.example/cart;jsessionid=1A2B?x", "https://shop.example/cart"),
            ("https://shop.example/a;x=1;y=2/b;z", "https://shop.example/a/b"),
            ("https://shop.example/;jsessionid=1", "https://shop.example/"),
            ("https://shop.example/caf%c3%a9", "https://shop.example/caf%C3%A9"),
            ("https://shop.example/café", "https://shop.example/caf%C3%A9"),
            ("https://shop.example/a%3bb", "https://shop.example/a%3Bb"),
        ] {
            assert_eq!(text(url).as_deref(), Some(expected), "{url}");
        }
    }

    #[test]
    fn personal_segments_are_replaced() {
        assert_eq!(
            text("https://a.example/unsubscribe/jo@mail.example/now").as_deref(),
            Some("https://a.example/unsubscribe/:redacted/now")
        );
        assert_eq!(
            text("https://a.example/u/jo%40mail.example").as_deref(),
            Some("https://a.example/u/:redacted")
        );
        assert_eq!(
            text("https://a.example/u/%6ao%40mail%2Eexample").as_deref(),
            Some("https://a.example/u/:redacted")
        );
        for token in [
            format!("eyJ{}.{}.{}", "a".repeat(20), "b".repeat(20), "c".repeat(20)),
            // The shortest token that is detected.
            format!("eyJ{}.{}.", "a".repeat(20), "b".repeat(15)),
        ] {
            let url = format!("https://a.example/t/{token}");
            assert_eq!(text(&url).as_deref(), Some("https://a.example/t/:redacted"), "{token}");
        }
        assert_eq!(text("https://a.example/@jo/post").as_deref(), Some("https://a.example/@jo/post"));
    }

    #[test]
    fn a_long_one_is_cut() {
        let url = text(&format!("https://a.example/{}", "x".repeat(5_000)));
        assert_eq!(url.map(|url| url.len()), Some(limits::URL_BYTES_MAX));
    }

    #[test]
    fn most_are_plain() {
        for url in [
            "https://a.example/",
            "https://www.shop-1.example/p/17/Red_Shoes.html?a=1#b",
            "http://localhost/",
        ] {
            assert!(plain(url).is_some(), "{url}");
        }
        for url in [
            "https://a.example",
            "https://A.example/",
            "https://1.2.3.4/",
            "https://0x7f.1/",
            "https://xn--a/",
            "https://a..example/",
            "https://a.example./",
            "https://a.example:443/",
            "https://u@a.example/",
            "https://a.example/../b",
            "https://a.example/a b",
            "https://a.example/\\",
            "https://a.example/a\tb",
            "https://a.example/jo@mail.example",
            "HTTPS://a.example/",
            " https://a.example/",
            "https:///a.example/",
            "https://a.example?x/y",
            "https://a.example#/x",
            "https://a.example\\b/c",
            "https://a_b.example/",
            "https://ä.example/",
            "https://a.xn--p1ai/",
            "https://a.example/ä",
            "https://a.example/%2e%2e/b",
            "https://a.example/./b",
            "https://a.example/b/..",
            "https://a.example/b;x=1",
            "capacitor://localhost/",
        ] {
            assert!(plain(url).is_none(), "{url}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        /// Every plain URL is equal to its parsed form, and contains nothing personal.
        #[test]
        fn what_is_plain_is_what_the_standard_says(
            scheme in "https?",
            host in r"([a-z0-9-]{1,6}|xn--[a-z0-9]{1,8}|0x[0-9a-f]{1,4}|[0-9]{1,3})(\.([a-z0-9-]{1,6}|[0-9]{1,3})){0,3}",
            path in r"(/|\.|[a-zA-Z0-9_~!$&()*+,;=:-]|eyJ[a-zA-Z0-9]{30,45}){0,20}",
            odd in prop::option::of((any::<prop::sample::Index>(), r"[?#@\\%\t\n :|^']|%40|\.\.|\PC")),
        ) {
            let mut url = format!("{scheme}://{host}/{path}");
            if let Some((at, odd)) = odd {
                let places: Vec<usize> = url.char_indices().map(|(at, _)| at).collect();
                url.insert_str(places[at.index(places.len())], &odd);
            }
            if let Some(plain) = plain(&url) {
                let parsed = PageUrl::parse(&url);
                prop_assert_eq!(Some(&plain), parsed.as_ref());
                prop_assert!(!plain.text.contains(['?', '#', '@', '%', ';']) && !plain.path().split('/').any(is_personal));
            }
        }
    }
}
