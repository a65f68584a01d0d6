//! From a URL to its route: the name under which page views are reported together.

use crate::intake::scrub;
use url::Url;
use vitals::limits;

/// The route of a scrubbed URL: its path without a slash at the end, segments that are ids replaced.
///
/// A segment becomes `:id` when it is a number, a UUID, or a hexadecimal text of eight or more with a
/// digit in it, and `:date` when it is `YYYY-MM-DD`.
#[must_use]
pub fn of_url(url: &Url) -> String {
    let mut route = String::new();
    for segment in url.path().split('/').filter(|segment| !segment.is_empty()) {
        route.push('/');
        route.push_str(collapse(segment));
    }
    if route.is_empty() {
        route.push('/');
    }
    scrub::label(&route, limits::ROUTE_BYTES_MAX)
}

/// The route that a page named itself, if it is one: not empty, no control characters. Pages give it
/// URLs too, so what is dropped from those is dropped here: the query and personal-looking segments;
/// of a whole URL its own route remains.
#[must_use]
pub fn named(name: &str) -> Option<String> {
    if let Some(url) = scrub::page_url(name.trim()) {
        return Some(of_url(&url));
    }
    let path = name.split('?').next().unwrap_or_default();
    let segments: Vec<&str> = path
        .split('/')
        .map(|segment| if scrub::is_personal(segment) { scrub::REDACTED } else { segment })
        .collect();
    let route = scrub::label(&segments.join("/"), limits::ROUTE_BYTES_MAX);
    (!route.is_empty()).then_some(route)
}

fn collapse(segment: &str) -> &str {
    let bytes = segment.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == bytes.len() {
        return ":id";
    }
    if is_date(bytes) {
        return ":date";
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

fn is_date(bytes: &[u8]) -> bool {
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            let url = Url::parse(&format!("https://a.example{path}")).unwrap();
            assert_eq!(of_url(&url), route, "{path}");
        }
    }

    #[test]
    fn a_named_route_is_taken_as_it_is() {
        assert_eq!(named(" /product/[slug] ").as_deref(), Some("/product/[slug]"));
        assert_eq!(named(" \n"), None);
        assert_eq!(named("#/cart").as_deref(), Some("#/cart"));
    }

    #[test]
    fn a_named_route_keeps_no_secret() {
        assert_eq!(named("/u/jo@mail.example/edit?token=s3cret").as_deref(), Some("/u/:redacted/edit"));
        assert_eq!(named("https://a.example/p/42?token=s3cret#x").as_deref(), Some("/p/:id"));
    }
}
