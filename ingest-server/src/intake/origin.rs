//! Allowed origins: decides which pages may send to a site.

use std::borrow::Cow;
use url::{Host, Url};

/// The origin of local files, for which browsers send `null`.
const FILE: &str = "file://";

/// The opaque origin of files and sandboxed frames, as browsers send it.
pub const NAMELESS: &str = "null";

/// Schemes that pages cannot have.
const NO_PAGES: [&str; 6] = ["ftp", "ws", "wss", "data", "blob", "javascript"];

/// Whether pages may have this lowercase scheme: http, https, or an app's own.
#[must_use]
pub fn is_of_pages(scheme: &str) -> bool {
    !NO_PAGES.contains(&scheme) && scheme != "file"
}

/// Checks and normalizes a pattern of a site's allowed origins.
///
/// Accepts `*` (any origin), an origin such as `https://shop.example` or `http://localhost:3000`, a wildcard for
/// subdomains of any depth, `https://*.shop.example`, a wildcard for the port, `http://localhost:*`, an app's own
/// scheme, `capacitor://localhost`, and `file://` for local files.
///
/// # Errors
/// A sentence for the user that names the fault of the pattern.
pub fn check_pattern(pattern: &str) -> Result<String, String> {
    let pattern = pattern.trim();
    if pattern == "*" {
        return Ok("*".to_owned());
    }
    let expected = "expected an origin such as https://shop.example, https://*.shop.example, http://localhost:* or an app's, \
         capacitor://localhost";
    let Some((scheme, rest)) = pattern.split_once("://") else {
        return Err(format!("`{pattern}` has no scheme; {expected}"));
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let scheme = scheme.to_ascii_lowercase();
    if scheme == "file" {
        let wrong = || format!("`{pattern}` names a file; pages that are files have the one origin {FILE}");
        return if rest.is_empty() { Ok(FILE.to_owned()) } else { Err(wrong()) };
    }
    if !is_of_pages(&scheme) {
        return Err(format!("`{pattern}` has a scheme that pages do not have; {expected}"));
    }
    let (subdomains, rest) = match rest.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let (any_port, rest) = match rest.strip_suffix(":*") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() || rest.contains(['*', '/', '?', '#', '@']) {
        return Err(format!("`{pattern}` is not an origin; {expected}"));
    }
    let url = Url::parse(&format!("{scheme}://{rest}"))
        .map_err(|error| format!("`{pattern}` is not an origin ({error}); {expected}"))?;
    if subdomains && url.domain().is_none() {
        return Err(format!("`{pattern}` puts a wildcard before an address; {expected}"));
    }
    let Some(origin) = serialized(&url) else {
        return Err(format!("`{pattern}` has no host; {expected}"));
    };
    let (scheme, host) = origin.split_once("://").unwrap_or(("", &origin));
    let host = if any_port && url.port().is_none() { format!("{host}:*") } else { host.to_owned() };
    Ok(format!("{scheme}://{}{host}", if subdomains { "*." } else { "" }))
}

/// Returns the origin of a page's URL; `None` if pages cannot have such a URL.
#[must_use]
pub fn of_url(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    match url.scheme() {
        "file" => Some(FILE.to_owned()),
        scheme if is_of_pages(scheme) => serialized(&url),
        _ => None,
    }
}

/// Returns the origin of a request, from its `Origin` header, else from the URL of its page. The URL also decides if
/// the header is `null`: browsers send `null` for files and sandboxed frames, and some browsers for every page with the
/// referrer policy `no-referrer`.
#[must_use]
pub fn told<'a>(header: Option<&'a str>, url: &str) -> Cow<'a, str> {
    match header {
        Some(header) if header != NAMELESS => header.into(),
        _ => of_url(url).unwrap_or_default().into(),
    }
}

/// Whether a request without a URL (a preflight) may come from an allowed page.
#[must_use]
pub fn may_be_allowed(header: &str, patterns: &[String]) -> bool {
    allowed(header, patterns) || (header == NAMELESS && allowed(FILE, patterns))
}

/// Serializes an origin like browsers. The URL standard makes origins of app schemes opaque, but browsers serialize
/// them like web origins.
fn serialized(url: &Url) -> Option<String> {
    if matches!(url.scheme(), "http" | "https") {
        return Some(url.origin().ascii_serialization());
    }
    let host = match url.host()? {
        Host::Domain("") => return None,
        host => host.to_string().to_ascii_lowercase(),
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{host}{port}", url.scheme()))
}

/// Whether a pattern (normalized by [`check_pattern`]) allows the origin.
#[must_use]
pub fn allowed(origin: &str, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| matches(origin, pattern))
}

fn matches(origin: &str, pattern: &str) -> bool {
    if pattern == "*" || origin.eq_ignore_ascii_case(pattern) {
        return true;
    }
    let (Some((scheme, host)), Some((wanted_scheme, wanted_host))) =
        (origin.split_once("://"), pattern.split_once("://"))
    else {
        return false;
    };
    if !scheme.eq_ignore_ascii_case(wanted_scheme) {
        return false;
    }
    let (host, wanted_host) = match wanted_host.strip_suffix(":*") {
        Some(wanted) => (without_port(host), wanted),
        None => (host, wanted_host),
    };
    match wanted_host.strip_prefix("*.") {
        Some(domain) => {
            host.len().checked_sub(domain.len()).and_then(|at| host.split_at_checked(at)).is_some_and(
                |(sub, tail)| tail.eq_ignore_ascii_case(domain) && sub.len() > 1 && sub.ends_with('.'),
            )
        }
        None => host.eq_ignore_ascii_case(wanted_host),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_take_what_they_say_and_no_more() {
        let cases = [
            ("*", "https://anything.example", true),
            ("*", "null", true),
            ("https://shop.example", "https://shop.example", true),
            ("https://shop.example", "http://shop.example", false),
            ("https://shop.example", "https://shop.example:8443", false),
            ("https://shop.example", "https://evilshop.example", false),
            ("https://shop.example", "https://shop.example.evil.example", false),
            ("https://shop.example", "null", false),
            ("https://*.shop.example", "https://a.shop.example", true),
            ("https://*.shop.example", "https://a.b.shop.example", true),
            ("https://*.shop.example", "https://shop.example", false),
            ("https://*.shop.example", "https://.shop.example", false),
            ("https://*.shop.example", "https://evilshop.example", false),
            ("https://*.shop.example", "https://a.shop.example:8443", false),
            ("http://localhost:*", "http://localhost:3000", true),
            ("http://localhost:*", "http://localhost", true),
            ("http://localhost:*", "http://localhost.evil.example:3000", false),
            ("http://[::1]:*", "http://[::1]:3000", true),
            ("https://*.shop.example:*", "https://a.shop.example:8443", true),
            ("capacitor://localhost", "capacitor://localhost", true),
            ("capacitor://localhost", "ionic://localhost", false),
            ("capacitor://localhost", "https://localhost", false),
            ("capacitor://localhost", "null", false),
            ("file://", "file://", true),
            ("file://", "null", false),
            ("file://", "https://shop.example", false),
        ];
        for (pattern, origin, expected) in cases {
            let pattern = check_pattern(pattern).unwrap();
            assert_eq!(allowed(origin, std::slice::from_ref(&pattern)), expected, "{pattern} {origin}");
        }
    }

    #[test]
    fn a_pattern_is_kept_as_browsers_write_origins() {
        assert_eq!(check_pattern("HTTPS://Shop.Example:443/").as_deref(), Ok("https://shop.example"));
        assert_eq!(check_pattern("https://münchen.example").as_deref(), Ok("https://xn--mnchen-3ya.example"));
        for bad in [
            "shop.example",
            "ftp://shop.example",
            "javascript://shop.example",
            "data://x",
            "wss://shop.example",
            "capacitor://",
            "capacitor://localhost/path",
            "1app://localhost",
            "https://",
            "https://*",
            "https://a.*.example",
            "https://shop.example/path",
            "https://*.127.0.0.1",
            "https://u@shop.example",
        ] {
            let problem = check_pattern(bad).expect_err(bad);
            assert!(problem.contains("expected an origin"), "{problem}");
        }
    }

    #[test]
    fn an_apps_origin_is_its_scheme_and_host() {
        assert_eq!(check_pattern("Capacitor://LocalHost/").as_deref(), Ok("capacitor://localhost"));
        assert_eq!(check_pattern("app://localhost:8080").as_deref(), Ok("app://localhost:8080"));
        assert_eq!(check_pattern("FILE://").as_deref(), Ok("file://"));
        assert_eq!(check_pattern("file:///").as_deref(), Ok("file://"));
        assert!(check_pattern("file:///android_asset/www").unwrap_err().contains("one origin file://"));
        assert_eq!(of_url("ionic://LOCALHOST/tabs?x").as_deref(), Some("ionic://localhost"));
        assert_eq!(of_url("file:///C:/x.html").as_deref(), Some("file://"));
        for other in [
            "about:blank",
            "data:text/html,x",
            "blob:https://a.example/1",
            "mailto:a@b.example",
            "javascript:1",
        ] {
            assert_eq!(of_url(other), None, "{other}");
        }
    }

    #[test]
    fn a_nameless_origin_is_that_of_the_url() {
        assert_eq!(told(Some("null"), "file:///x.html"), "file://");
        assert_eq!(told(Some("null"), "https://shop.example/x"), "https://shop.example");
        assert_eq!(told(None, "https://shop.example/x"), "https://shop.example");
        assert_eq!(told(Some("null"), "about:srcdoc"), "");
        assert_eq!(told(Some("https://shop.example"), "file:///x.html"), "https://shop.example");
        let files = ["file://".to_owned()];
        assert!(may_be_allowed("null", &files) && may_be_allowed("file://", &files));
        assert!(!may_be_allowed("null", &["https://shop.example".to_owned()]));
    }
}
