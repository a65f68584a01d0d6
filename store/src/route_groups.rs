//! The route groups of a site: names that join routes of which each has too few page views.
//!
//! A group's pattern is about routes that follow from URLs, after ids and dates are replaced. `:slug` stands for a
//! segment of any text, but not for `:id`, `:date` or `:redacted`, so that `/questions/:id/:slug` leaves
//! `/questions/tagged/rust` alone. A final `*` stands for one or more segments.

use serde::{Deserialize, Serialize};

/// The segment of a pattern that stands for any text.
pub const ANY: &str = ":slug";
/// The last segment of a pattern that stands for one or more segments.
pub const REST: &str = "*";
/// The segments that stand for ids, dates and personal texts in a route.
const CLASSES: [&str; 3] = [":id", ":date", ":redacted"];

/// Returns whether a segment of a route stands for ids, dates or personal texts.
#[must_use]
pub fn is_class(segment: &str) -> bool {
    CLASSES.contains(&segment)
}

/// The route groups of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteGroups {
    /// Whether servers add groups and renew the routes apart.
    pub auto: bool,
    /// Patterns such as `/blog/:slug`, in matching order.
    pub groups: Vec<String>,
    /// Routes that keep their name although a group matches them, sorted.
    pub apart: Vec<String>,
    /// Patterns that somebody removed, sorted. Servers do not add them again.
    pub removed: Vec<String>,
}

impl RouteGroups {
    /// The groups of a new site: none, to be learned.
    #[must_use]
    pub fn of_new_site() -> Self {
        Self { auto: true, ..Self::default() }
    }

    /// Returns the pattern of the group that has a route; `None` if the route keeps its name.
    #[must_use]
    pub fn group_of(&self, route: &str) -> Option<&str> {
        if self.groups.is_empty() || self.is_apart(route) {
            return None;
        }
        self.groups.iter().map(String::as_str).find(|pattern| matches(pattern, route))
    }

    /// Returns whether a route keeps its name beside a group.
    #[must_use]
    pub fn is_apart(&self, route: &str) -> bool {
        self.apart.binary_search_by(|known| known.as_str().cmp(route)).is_ok()
    }

    /// Returns the names that always have a place.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.groups.iter().chain(&self.apart)
    }

    /// Returns the groups without some patterns, which servers do not add again.
    #[must_use]
    pub fn without(&self, patterns: &[String]) -> Self {
        let mut after = self.clone();
        after.groups.retain(|group| !patterns.contains(group));
        after.apart.retain(|route| after.groups.iter().any(|group| matches(group, route)));
        after.removed.extend(patterns.iter().cloned());
        after.sort();
        after
    }

    /// Sorts the lists: patterns so that the first that matches is the most specific one.
    pub fn sort(&mut self) {
        self.groups.sort_by(|a, b| ranks(a).cmp(ranks(b)));
        self.groups.dedup();
        for list in [&mut self.apart, &mut self.removed] {
            list.sort_unstable();
            list.dedup();
        }
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// The order of patterns: segment by segment, texts before [`ANY`] before [`REST`].
fn ranks(pattern: &str) -> impl Iterator<Item = (u8, &str)> {
    segments(pattern).map(|part| {
        let rank = match part {
            ANY => 1,
            REST => 2,
            _ => 0,
        };
        (rank, part)
    })
}

/// Returns whether a group's pattern matches a route that follows from a URL.
#[must_use]
pub fn matches(pattern: &str, route: &str) -> bool {
    let mut rest = segments(route);
    for part in segments(pattern) {
        match rest.next() {
            Some(_) if part == REST => return true,
            Some(segment) if part == segment || part == ANY && !is_class(segment) => {}
            _ => return false,
        }
    }
    rest.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_matches_texts_but_no_ids() {
        for (pattern, route, expected) in [
            ("/blog/:slug", "/blog/hello", true),
            ("/blog/:slug", "/blog", false),
            ("/blog/:slug", "/blog/:id", false),
            ("/blog/:slug", "/blog/:date", false),
            ("/blog/:slug", "/blog/category/x", false),
            ("/questions/:id/:slug", "/questions/:id/how", true),
            ("/questions/:id/:slug", "/questions/tagged/rust", false),
            ("/user/:slug/*", "/user/jo/a/b", true),
            ("/user/:slug/*", "/user/jo", false),
            ("/:slug", "/", false),
            ("/blog/:slug", "/blog/:slug", true),
        ] {
            assert_eq!(matches(pattern, route), expected, "{pattern} {route}");
        }
    }

    #[test]
    fn most_specific_group_names_the_route_unless_it_is_apart() {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let mut groups = RouteGroups {
            groups: texts(&["/u/:slug/*", "/u/:slug/:slug", "/u/:slug", "/u/:slug/posts", "/u/:slug"]),
            apart: texts(&["/u/settings", "/u/me/posts"]),
            ..RouteGroups::default()
        };
        groups.sort();
        assert_eq!(groups.groups, ["/u/:slug", "/u/:slug/posts", "/u/:slug/:slug", "/u/:slug/*"]);
        for (route, expected) in [
            ("/u/jo", Some("/u/:slug")),
            ("/u/jo/posts", Some("/u/:slug/posts")),
            ("/u/jo/likes", Some("/u/:slug/:slug")),
            ("/u/jo/likes/x", Some("/u/:slug/*")),
            ("/u/settings", None),
            ("/u/me/posts", None),
            ("/about", None),
        ] {
            assert_eq!(groups.group_of(route), expected, "{route}");
        }
    }
}
