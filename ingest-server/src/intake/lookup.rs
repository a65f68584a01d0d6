//! Routes as people ask for them: `/many/`, `many`, `/p/12345` or a whole URL, and patterns of them.
//!
//! Looks a route up as it is written first, because a page may name its route in any way; then as the route of its URL
//! would be stored.

use super::page_url::PageUrl;
use super::{route, site_route, spelling};
use fieldvitals_store::Site;
use std::cmp::Reverse;

/// Least similarity of a route that is suggested, in per mille.
const SIMILAR_PERMILLE_MIN: u32 = 800;
/// Suggested routes.
const NEAREST_MAX: usize = 3;
/// Characters of a route that are compared, so that suggestions stay fast with routes of any length.
const COMPARED_CHARS_MAX: usize = 128;

/// The names that a route may have that is asked for, the likelier first.
#[must_use]
pub fn names(text: &str, site: &Site) -> Vec<String> {
    both(spelling::route(text.trim()).into_owned(), of_path(text.trim(), site))
}

/// The same for a pattern, in which `*` stands for any run of characters.
#[must_use]
pub fn patterns(text: &str, site: &Site) -> Vec<String> {
    let text = text.trim();
    if !text.contains('*') {
        return names(text, site);
    }
    let path = path_of(text);
    let segments = path.split('/').filter(|segment| !segment.is_empty()).map(|segment| {
        let readable = spelling::readable(spelling::without_parameters(segment));
        match readable.split_once('*') {
            None => route::collapse(&readable).to_owned(),
            // `/p/12345*`, as Lighthouse has its paths: what begins with a page is stored as what begins with `/p/:id`.
            Some((begin, "")) if !begin.is_empty() => format!("{}*", route::collapse(begin)),
            Some(_) => readable.into_owned(),
        }
    });
    let joined = segments.collect::<Vec<_>>().join("/");
    // A slash at the end is only dropped behind a name: `/p/*/` and `/p/*` differ.
    let end = if path.ends_with("*/") { "/" } else { "" };
    let start = if joined.starts_with('*') && !path.starts_with('/') { "" } else { "/" };
    both(spelling::route(text).into_owned(), Some(format!("{start}{joined}{end}")))
}

fn both(spelled: String, normalized: Option<String>) -> Vec<String> {
    let other = normalized.filter(|other| *other != spelled);
    std::iter::once(spelled).chain(other).collect()
}

/// The route that a URL, or a path with or without its first slash, would be stored as.
fn of_path(text: &str, site: &Site) -> Option<String> {
    if let Some(url) = PageUrl::read(text) {
        return Some(site_route::of_url(&url, site));
    }
    let url = format!("https://route.invalid/{}", text.trim_start_matches('/'));
    PageUrl::read(&url).map(|url| site_route::of_url(&url, site))
}

/// The path of a pattern: without scheme, host, query and fragment.
fn path_of(text: &str) -> &str {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match text.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => text,
    }
}

/// The routes that are most like what is asked for, the most similar first.
#[must_use]
pub fn nearest<'a>(text: &str, known: &'a [String]) -> Vec<&'a str> {
    let shown = |text: &str| -> String {
        let plain = text.chars().filter(|char| *char != '*').take(COMPARED_CHARS_MAX);
        plain.flat_map(char::to_lowercase).collect()
    };
    let asked = shown(path_of(text));
    let mut similar: Vec<(Reverse<u32>, &str)> = known
        .iter()
        .map(|route| {
            let permille = (strsim::jaro_winkler(&asked, &shown(route)) * 1_000.0) as u32;
            (Reverse(permille), route.as_str())
        })
        .filter(|(Reverse(permille), _)| *permille >= SIMILAR_PERMILLE_MIN)
        .collect();
    similar.sort_unstable();
    similar.into_iter().take(NEAREST_MAX).map(|(_, route)| route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::{RouteGroups, SiteId};

    fn site() -> Site {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let route_groups = RouteGroups { groups: texts(&["/blog/:slug"]), ..RouteGroups::default() };
        Site {
            id: SiteId(1),
            name: "shop".to_owned(),
            keys: Vec::new(),
            origins: Vec::new(),
            routes: texts(&["/product/:slug", "/docs/*"]),
            route_groups,
            timezone: Site::TIMEZONE_DEFAULT.to_owned(),
            created_ms: 0,
        }
    }

    #[test]
    fn a_route_is_looked_up_as_it_is_and_as_it_would_be_stored() {
        for (text, expected) in [
            ("/many", &["/many"][..]),
            ("/many/", &["/many/", "/many"]),
            ("many", &["many", "/many"]),
            (" /many ", &["/many"]),
            ("/你好", &["/你好"]),
            ("/%e4%bd%a0%E5%A5%BD/", &["/你好/", "/你好"]),
            ("/p/12345", &["/p/12345", "/p/:id"]),
            ("/p/:id", &["/p/:id"]),
            ("https://shop.example/p/12345/?q=1#top", &["https://shop.example/p/12345/?q=1#top", "/p/:id"]),
            ("https://shop.example", &["https://shop.example", "/"]),
            ("/product/red-shoes", &["/product/red-shoes", "/product/:slug"]),
            ("/docs/a/b", &["/docs/a/b", "/docs/*"]),
            ("/blog/hello/", &["/blog/hello/", "/blog/:slug"]),
            ("/", &["/"]),
            ("checkout; step 2", &["checkout; step 2", "/checkout"]),
        ] {
            assert_eq!(names(text, &site()), expected, "{text}");
        }
    }

    #[test]
    fn a_pattern_is_normalized_like_the_routes_that_it_matches() {
        for (text, expected) in [
            ("*", &["*", "*"][..1]),
            ("/product/*", &["/product/*"]),
            ("product/*", &["product/*", "/product/*"]),
            ("*/reviews/", &["*/reviews/", "*/reviews"]),
            ("/p/12345/*", &["/p/12345/*", "/p/:id/*"]),
            ("/p/*/", &["/p/*/"]),
            ("/p/12345*", &["/p/12345*", "/p/:id*"]),
            ("/product/old*", &["/product/old*"]),
            ("https://shop.example/p/*?q=1", &["https://shop.example/p/*?q=1", "/p/*"]),
            ("/gr%C3%B6%C3%9Fe/*", &["/größe/*"]),
            ("/a*b*c", &["/a*b*c"]),
            ("/many/", &["/many/", "/many"]),
        ] {
            assert_eq!(patterns(text, &site()), expected, "{text}");
        }
    }

    #[test]
    fn the_most_similar_routes_are_suggested() {
        let known = ["/", "/product/:id", "/products", "/checkout", "/你好"].map(str::to_owned);
        assert_eq!(nearest("/prodct/*", &known)[0], "/product/:id");
        assert_eq!(nearest("https://shop.example/chekout", &known)[0], "/checkout");
        assert_eq!(nearest("zzz", &known), [""; 0]);
        let long = ["/a".repeat(10_000)];
        assert_eq!(nearest(&"/a".repeat(9_000), &long).len(), 1);
    }
}
