//! Turns URLs into routes: names under which page views are aggregated.

use crate::intake::page_url::PageUrl;
use crate::intake::{scrub, spelling};
use crate::limits;

/// Returns whether a rule matches the path of a URL.
#[must_use]
pub fn has_rule(url: &PageUrl<'_>, rules: &[String]) -> bool {
    rules.iter().any(|rule| follows(url, rule))
}

/// Returns the first rule that matches the path of a URL, as a route.
pub(super) fn of_rules(url: &PageUrl<'_>, rules: &[String]) -> Option<String> {
    let rule = rules.iter().find(|rule| follows(url, rule))?;
    Some(spelling::route(rule).into_owned())
}

/// Returns the path of a URL without a trailing slash, with ids replaced and other segments in readable spelling
/// ([`spelling`]).
///
/// A segment becomes `:id` if it is a number, a UUID, a ULID, or a hexadecimal text of ≥ 8 characters with a digit. A
/// text also becomes `:id` if one of its words is a number of ≥ 6 digits (`red-shoes-1048576`). A segment becomes
/// `:date` if it is `YYYY-MM-DD`, with or without a time, or `DD-MM-YYYY`.
#[must_use]
pub fn of_path(url: &PageUrl<'_>) -> String {
    let mut route = String::new();
    for segment in segments(url) {
        route.push('/');
        route.push_str(collapse(&spelling::readable(segment)));
    }
    if route.is_empty() {
        route.push('/');
    }
    scrub::label(route, vitals::limits::ROUTE_BYTES_MAX).into_owned()
}

fn segments<'a>(url: &'a PageUrl<'_>) -> impl Iterator<Item = &'a str> {
    url.path().split('/').filter(|segment| !segment.is_empty())
}

/// Returns whether the path of a URL matches a rule: `:name` matches any one segment, a final `*` any number of
/// segments, including none.
#[must_use]
pub fn follows(url: &PageUrl<'_>, rule: &str) -> bool {
    let mut path = segments(url);
    for part in rule.split('/').filter(|part| !part.is_empty()) {
        if part == "*" {
            return true;
        }
        match path.next() {
            Some(segment) if part.starts_with(':') || is_same(part, segment) => {}
            _ => return false,
        }
    }
    path.next().is_none()
}

/// Compares a rule's part with a path's segment in readable spelling.
fn is_same(part: &str, segment: &str) -> bool {
    part == segment || segment.contains('%') && spelling::readable(part) == spelling::readable(segment)
}

/// Checks a route rule: a path such as `/product/:id`, `/blog/:year/:slug` or `/docs/*`. Returns the rule in stored
/// form: without a trailing slash, in the spelling of routes.
///
/// # Errors
/// The message says what is wrong and what was expected.
pub fn check_rule(text: &str) -> Result<String, String> {
    let rule = text.trim();
    let shown: String = rule.chars().take(limits::LABEL_BYTES_MAX).collect();
    let wrong = |what: &str| {
        Err(format!(
            "`{shown}` is not a route rule: {what}; expected a path such as /product/:id or /docs/*, where \
             `:name` stands for one segment and `*` at the end for the rest"
        ))
    };
    if !rule.starts_with('/') {
        return wrong("it does not begin with `/`");
    }
    if rule.len() > vitals::limits::ROUTE_BYTES_MAX {
        return wrong(&format!("it is longer than {} bytes", vitals::limits::ROUTE_BYTES_MAX));
    }
    if rule.contains(['?', '#']) || rule.chars().any(|char| char.is_control() || char.is_whitespace()) {
        return wrong("it holds `?`, `#`, a blank or a control character, which no path has");
    }
    let parts: Vec<&str> = rule.split('/').filter(|part| !part.is_empty()).collect();
    for (place, part) in parts.iter().enumerate() {
        if part.contains('*') && (*part != "*" || place + 1 < parts.len()) {
            return wrong("`*` stands alone and at the end");
        }
        if *part == ":" {
            return wrong("`:` lacks a name");
        }
    }
    Ok(spelling::route(&format!("/{}", parts.join("/"))).into_owned())
}

/// Scrubs a route that the page has named; `None` if it is empty. Pages also pass URLs, so this removes the query and
/// personal-looking segments. A whole URL becomes its own route.
#[must_use]
pub fn named(name: &str) -> Option<String> {
    if let Some(url) = PageUrl::read(name.trim()) {
        return Some(of_path(&url));
    }
    let path = spelling::route(name.trim().split('?').next().unwrap_or_default());
    let segments: Vec<&str> = path
        .split('/')
        .map(|segment| if scrub::is_personal(segment) { scrub::REDACTED } else { segment })
        .collect();
    let route = scrub::label(segments.join("/"), vitals::limits::ROUTE_BYTES_MAX);
    (!route.is_empty()).then(|| route.into_owned())
}

/// Replaces a segment by `:id` or `:date` if it is one.
pub(super) fn collapse(segment: &str) -> &str {
    let bytes = segment.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == bytes.len() {
        return ":id";
    }
    if is_date(bytes) {
        return ":date";
    }
    if is_ulid(bytes) || has_long_number(bytes) {
        return ":id";
    }
    let hex = bytes.iter().filter(|byte| byte.is_ascii_hexdigit()).count();
    if hex == bytes.len() && hex >= 8 && digits > 0 {
        return ":id";
    }
    let dashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'-').map(|(at, _)| at);
    if bytes.len() == 36 && hex == 32 && dashes.eq([8, 13, 18, 23]) {
        return ":id";
    }
    segment
}

/// `YYYY-MM-DD`, with or without `T` and a time, or `DD-MM-YYYY`.
fn is_date(bytes: &[u8]) -> bool {
    let Some((day, time)) = bytes.split_at_checked(10) else { return false };
    let dashes_at = |places: [usize; 2]| {
        day.iter().enumerate().all(|(at, byte)| match byte {
            b'-' => places.contains(&at),
            byte => byte.is_ascii_digit() && !places.contains(&at),
        })
    };
    match time {
        [] => dashes_at([4, 7]) || dashes_at([2, 5]),
        [b'T', _, ..] => dashes_at([4, 7]),
        _ => false,
    }
}

/// Returns whether a segment is a ULID: 26 digits of Crockford's base 32 (no I, L, O or U). The first digit is ≤ 7,
/// because 26 digits have 130 bits and a ULID has 128.
fn is_ulid(bytes: &[u8]) -> bool {
    let is_digit = |byte: &u8| {
        byte.is_ascii_digit() || byte.is_ascii_alphabetic() && !b"ILOU".contains(&byte.to_ascii_uppercase())
    };
    bytes.len() == 26 && matches!(bytes.first(), Some(b'0'..=b'7')) && bytes.iter().all(is_digit)
}

/// Returns whether a word of a segment is a number of ≥ 6 digits and no date: `red-shoes-1048576`,
/// `title-1048576.html`, but not `20240506-release`.
fn has_long_number(bytes: &[u8]) -> bool {
    const DIGITS_MIN: usize = 6;
    bytes
        .split(|byte| matches!(byte, b'-' | b'_' | b'.'))
        .any(|word| word.len() >= DIGITS_MIN && word.iter().all(u8::is_ascii_digit) && !is_month(word))
}

/// `YYYYMM` or `YYYYMMDD` of our time.
fn is_month(digits: &[u8]) -> bool {
    match digits {
        [b'1', b'9', _, _, month @ ..] | [b'2', b'0', _, _, month @ ..] => {
            let two = |tens: u8, ones: u8| (tens - b'0') * 10 + (ones - b'0');
            match *month {
                [a, b] => (1..=12).contains(&two(a, b)),
                [a, b, c, d] => (1..=12).contains(&two(a, b)) && (1..=31).contains(&two(c, d)),
                _ => false,
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_url(url: &PageUrl<'_>, rules: &[String]) -> String {
        of_rules(url, rules).unwrap_or_else(|| of_path(url))
    }

    #[test]
    fn ids_and_dates_are_collapsed() {
        for (path, route) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/about/", "/about"),
            ("/product/12345", "/product/:id"),
            ("/product/12345/reviews", "/product/:id/reviews"),
            ("/o/019a9f3c-1b7b-7fff-bfff-ffffffffffff", "/o/:id"),
            ("/commit/9fceb02d0ae598e9", "/commit/:id"),
            ("/blog/2026-11-21", "/blog/:date"),
            ("/blog/facade", "/blog/facade"),
            ("/blog/deadbeef", "/blog/deadbeef"),
            ("/v2/users", "/v2/users"),
            ("/demo/late-image.html", "/demo/late-image.html"),
            ("/a/:redacted", "/a/:redacted"),
            ("/o/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/o/:id"),
            ("/o/01arz3ndektsv4rrffq69g5fav", "/o/:id"),
            ("/o/01ARZ3NDEKTSV4RRFFQ69G5FAU", "/o/01ARZ3NDEKTSV4RRFFQ69G5FAU"),
            ("/o/incomprehensibilitiesagain", "/o/incomprehensibilitiesagain"),
            ("/p/red-shoes-1048576", "/p/:id"),
            ("/p/123456_red", "/p/:id"),
            ("/news/title-1234567.html", "/news/:id"),
            ("/blog/20240506-my-post", "/blog/20240506-my-post"),
            ("/archive/report-202405", "/archive/report-202405"),
            ("/archive/report-202413", "/archive/:id"),
            ("/archive/20240506", "/archive/:id"),
            ("/p/red-shoes-10485", "/p/red-shoes-10485"),
            ("/p/windows-11-2024", "/p/windows-11-2024"),
            ("/p/a1234567", "/p/:id"),
            ("/p/x1234567", "/p/x1234567"),
            ("/blog/06-05-2024", "/blog/:date"),
            ("/blog/2024-05-06T10:00:00Z", "/blog/:date"),
            ("/blog/2024-05-06-release", "/blog/2024-05-06-release"),
            ("/blog/2024-0506-1", "/blog/2024-0506-1"),
        ] {
            let url = format!("https://a.example{path}");
            let url = PageUrl::read(&url).unwrap();
            assert_eq!(of_url(&url, &[]), route, "{path}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_names_the_route() {
        let rules: Vec<String> =
            ["/product/new", "/product/:slug", "/docs/*", "/:lang/about", "/größe/:id", "/caf%c3%a9"]
                .map(|rule| check_rule(rule).unwrap())
                .into();
        for (path, route) in [
            ("/product/new", "/product/new"),
            ("/product/red-shoes/", "/product/:slug"),
            ("/product/red-shoes/42", "/product/red-shoes/:id"),
            ("/docs", "/docs/*"),
            ("/docs/a/b", "/docs/*"),
            ("/docsy", "/docsy"),
            ("/de/about", "/:lang/about"),
            ("/größe/rot", "/größe/:id"),
            ("/gr%C3%B6%c3%9fe/rot", "/größe/:id"),
            ("/größer/rot", "/größer/rot"),
            ("/gr%c3%b6%C3%9fer/rot", "/größer/rot"),
            ("/café", "/café"),
            ("/docs;jsessionid=1A2B/a", "/docs/*"),
            ("/cart;jsessionid=1A2B", "/cart"),
            ("/;jsessionid=1A2B", "/"),
            ("/heroes;id=15;page=2/17", "/heroes/:id"),
            ("/%31%32", "/:id"),
            ("/red%20shoes", "/red shoes"),
            ("/a%2Fb%3bc", "/a%2Fb%3Bc"),
            ("/caf%e9", "/caf%E9"),
            ("/", "/"),
        ] {
            let url = format!("https://a.example{path}");
            let url = PageUrl::read(&url).unwrap();
            assert_eq!(of_url(&url, &rules), route, "{path}");
        }
    }

    #[test]
    fn a_rule_that_cannot_be_is_refused() {
        for rule in ["", "product", "/a?b", "/a b", "/*/b", "/a*", "/:", "/a/:/b"] {
            assert!(check_rule(rule).is_err(), "{rule}");
        }
        assert!(check_rule(&format!("/{}", "a".repeat(vitals::limits::ROUTE_BYTES_MAX))).is_err());
        assert_eq!(check_rule(" /a//:b/ ").as_deref(), Ok("/a/:b"));
        assert_eq!(check_rule("/").as_deref(), Ok("/"));
    }

    #[test]
    fn a_named_route_is_taken_as_it_is() {
        assert_eq!(named(" /product/[slug] ").as_deref(), Some("/product/[slug]"));
        assert_eq!(named(" \n"), None);
        assert_eq!(named("#/cart").as_deref(), Some("#/cart"));
        assert_eq!(named("/gr%c3%b6ße;v=1/:id").as_deref(), Some("/größe/:id"));
    }

    #[test]
    fn a_named_route_keeps_no_secret() {
        assert_eq!(named("/u/jo@mail.example/edit?token=s3cret").as_deref(), Some("/u/:redacted/edit"));
        assert_eq!(named("/u/%6Ao%40mail%2eexample").as_deref(), Some("/u/:redacted"));
        assert_eq!(named("https://a.example/p/42?token=s3cret#x").as_deref(), Some("/p/:id"));
    }
}
