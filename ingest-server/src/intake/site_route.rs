//! The route of a page view on its site: by the page, the site's rules, or its route groups.

use super::page_url::PageUrl;
use super::route::{follows, of_path, of_rules};
use fieldvitals_store::dimension::OTHER;
use fieldvitals_store::{RouteGroups, Site, route_groups};

/// Returns the route of a scrubbed URL: the first of the site's rules that matches, or the group that has the path, or
/// the path itself.
#[must_use]
pub fn of_url(url: &PageUrl<'_>, site: &Site) -> String {
    of_rules(url, &site.routes).unwrap_or_else(|| {
        let path = of_path(url);
        site.route_groups.group_of(&path).map_or_else(|| path.clone(), str::to_owned)
    })
}

/// Returns the route of a page view whose page names it. A name that is the path of the URL says nothing: the route
/// follows from the URL, so that [`again`] finds the same one.
#[must_use]
pub fn of_named(name: String, url: &PageUrl<'_>, site: &Site) -> String {
    if name == of_path(url) { of_url(url, site) } else { name }
}

/// Returns whether a stored route follows from the URL of its page view: it is the path of the URL, or a rule or group
/// of the site, removed groups included. Any other route was named by the page, or is `(other)`.
#[must_use]
pub fn follows_from_url(url: &PageUrl<'_>, route: &str, site: &Site) -> bool {
    let path = of_path(url);
    let RouteGroups { groups, removed, .. } = &site.route_groups;
    let is_group = |group: &String| group == route && route_groups::matches(group, &path);
    route == path
        || groups.iter().chain(removed).any(is_group)
        || site.routes.iter().any(|rule| rule == route && follows(url, rule))
}

/// Returns the route that a stored page view would have by the present rules and groups; `None` if it keeps its route,
/// as one that its page named does.
///
/// A page view under `(other)` may have had a name from its page, so it only gets the name of a rule, a group or a route
/// apart, which all have places.
#[must_use]
pub fn again(url: &str, route: &str, site: &Site) -> Option<String> {
    let url = PageUrl::read(url)?;
    let now = of_url(&url, site);
    let moves = match route {
        OTHER => site.route_groups.names().chain(&site.routes).any(|name| *name == now),
        route => now != route && follows_from_url(&url, route, site),
    };
    moves.then_some(now)
}

/// Returns the route that a page view with this route would have on its site with other rules: `after`; `None` if it keeps
/// its route. As in [`again`], a page view under `(other)` only gets the name of a rule, a group or a route apart.
#[must_use]
pub fn moved(url: &str, route: &str, before: &Site, after: &Site) -> Option<String> {
    let url = PageUrl::read(url)?;
    let then = of_url(&url, after);
    let moves = match route {
        OTHER => after.route_groups.names().chain(&after.routes).any(|name| *name == then),
        route => follows_from_url(&url, route, before) || follows_from_url(&url, route, after),
    };
    moves.then_some(then)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::SiteId;

    fn site(rules: &[&str], groups: &[&str], apart: &[&str], removed: &[&str]) -> Site {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Site {
            id: SiteId(1),
            name: "blog".to_owned(),
            keys: Vec::new(),
            origins: Vec::new(),
            routes: texts(rules),
            route_groups: RouteGroups {
                auto: true,
                groups: texts(groups),
                apart: texts(apart),
                removed: texts(removed),
            },
            timezone: Site::TIMEZONE_DEFAULT.to_owned(),
            created_ms: 0,
        }
    }

    #[test]
    fn group_names_the_route_where_no_rule_does() {
        let site = site(&["/blog/news"], &["/blog/:slug", "/:slug/:slug"], &["/blog/hello"], &[]);
        for (path, route) in [
            ("/blog/a-post/", "/blog/:slug"),
            ("/blog/hello", "/blog/hello"),
            ("/blog/news", "/blog/news"),
            ("/blog/17", "/blog/:id"),
            ("/blog/category/x", "/blog/category/x"),
            ("/docs/%C3%A9t%C3%A9", "/:slug/:slug"),
            ("/about", "/about"),
        ] {
            let url = format!("https://a.example{path}");
            let url = PageUrl::read(&url).unwrap();
            assert_eq!(of_url(&url, &site), route, "{path}");
            assert_eq!(of_named("/mine".to_owned(), &url, &site), "/mine");
            assert_eq!(of_named(of_path(&url), &url, &site), route, "the path of the URL is no name");
        }
    }

    #[test]
    fn stored_view_is_renamed_unless_its_page_named_it() {
        let site = site(&["/docs/*"], &["/blog/:slug"], &["/blog/hello"], &["/wiki/:slug"]);
        for (path, stored, expected) in [
            ("/blog/a", "/blog/a", Some("/blog/:slug")),
            ("/blog/a", "(other)", Some("/blog/:slug")),
            ("/blog/a", "/blog/:slug", None),
            ("/blog/a", "/blog/[slug]", None),
            ("/blog/hello", "(other)", Some("/blog/hello")),
            ("/blog/hello", "/blog/:slug", Some("/blog/hello")),
            ("/wiki/a", "/wiki/:slug", Some("/wiki/a")),
            ("/wiki/a/b", "/wiki/:slug", None),
            ("/about", "(other)", None),
            ("/docs/a/b", "/docs/a/b", Some("/docs/*")),
            ("/docs/a/b", "(other)", Some("/docs/*")),
            ("/docs/a/b", "/guide", None),
        ] {
            let url = format!("https://a.example{path}");
            assert_eq!(again(&url, stored, &site).as_deref(), expected, "{path} under {stored}");
        }
        assert_eq!(again("no URL", "/blog/a", &site), None);
    }
}
