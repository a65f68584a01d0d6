//! Allowed origins: which pages may send to a site.

use url::Url;

/// Checks a pattern of a site's allowed origins and gives it in the form in which it is kept.
///
/// Taken are `*` (any origin), an origin such as `https://shop.example` or `http://localhost:3000`,
/// a wildcard for subdomains of any depth, `https://*.shop.example`, and one for the port,
/// `http://localhost:*`.
///
/// # Errors
/// With a sentence that says what is wrong with the pattern.
pub fn check_pattern(pattern: &str) -> Result<String, String> {
    let pattern = pattern.trim();
    if pattern == "*" {
        return Ok("*".to_owned());
    }
    let expected =
        "expected an origin such as https://shop.example, https://*.shop.example or http://localhost:*";
    let Some((scheme, rest)) = pattern.split_once("://") else {
        return Err(format!("`{pattern}` has no scheme; {expected}"));
    };
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(format!("`{pattern}` is neither http nor https; {expected}"));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
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
    let origin = url.origin().ascii_serialization();
    let (scheme, host) = origin.split_once("://").unwrap_or(("", &origin));
    let host = if any_port && url.port().is_none() { format!("{host}:*") } else { host.to_owned() };
    Ok(format!("{scheme}://{}{host}", if subdomains { "*." } else { "" }))
}

/// The origin of a page's URL, if it is one that a page can have.
#[must_use]
pub fn of_url(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.origin().ascii_serialization())
}

/// Whether an origin is allowed by one of the patterns (each as [`check_pattern`] gave it).
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
}
