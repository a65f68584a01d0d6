//! Finds the site of an origin.

use crate::http::error::ApiError;
use crate::http::question::{one_of, short};
use crate::intake::origin::allowed;
use fieldvitals_store::{Site, SiteId};
use std::sync::Arc;

/// The pattern of a site that takes beacons of every origin.
const ANY: &str = "*";

/// The site of a question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// The origin of the pages.
    pub(super) origin: &'a str,
    /// The name or id of the site, if given.
    pub(super) name: Option<&'a str>,
    /// The only sites that the key reads; `None` for all.
    pub(super) only: Option<&'a [SiteId]>,
}

impl Wanted<'_> {
    /// Returns the site whose allowed origins name the origin. An origin itself precedes a pattern, `https://*.example`. The
    /// pattern `*` names no origin: such a site must be given by its name.
    ///
    /// # Errors
    /// 404 without such a site, 400 if there are several.
    pub(super) fn find(self, sites: &[Arc<Site>]) -> Result<Arc<Site>, ApiError> {
        let Self { origin, name, only } = self;
        let shown: String = origin.chars().take(100).collect();
        let mut readable = sites.iter().filter(|site| only.is_none_or(|only| only.contains(&site.id)));
        if let Some(name) = name {
            let site = readable.find(|site| site.name == name || site.id.0.to_string() == name);
            let site =
                site.ok_or_else(|| ApiError::no_record(format!("this key reads no site `{}`", short(name))))?;
            return if allowed(origin, &site.origins) {
                Ok(Arc::clone(site))
            } else {
                Err(ApiError::no_record(format!("the site `{}` takes no beacons of {shown}", site.name)))
            };
        }
        let readable: Vec<&Arc<Site>> = readable.collect();
        let exact = named(&readable, |pattern| pattern.eq_ignore_ascii_case(origin));
        let found = if exact.is_empty() {
            named(&readable, |pattern| pattern != ANY && allowed(origin, &[pattern.to_owned()]))
        } else {
            exact
        };
        match found.as_slice() {
            [site] => Ok(Arc::clone(site)),
            [] => {
                let any = readable.iter().find(|site| site.origins.iter().any(|pattern| pattern == ANY));
                let advice = any.map(|site| {
                    format!(
                        "; the site `{0}` takes beacons of any origin: add `&site={0}` to the address",
                        site.name
                    )
                });
                let advice = advice.unwrap_or_default();
                Err(ApiError::no_record(format!(
                    "no site that this key reads names the origin {shown}{advice}"
                )))
            }
            several => {
                let names: Vec<&str> = several.iter().map(|site| site.name.as_str()).collect();
                Err(ApiError::parameter(format!(
                    "several sites have the origin {shown}: add `&site=NAME` to the address, with {}",
                    one_of(names)
                )))
            }
        }
    }
}

/// The sites with an allowed origin that names the origin in question.
fn named<'a>(sites: &[&'a Arc<Site>], is_named: impl Fn(&str) -> bool) -> Vec<&'a Arc<Site>> {
    let has = |site: &&&Arc<Site>| site.origins.iter().any(|pattern| is_named(pattern));
    sites.iter().filter(has).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::RouteGroups;

    fn sites() -> Vec<Arc<Site>> {
        let site = |id: i64, name: &str, origins: &[&str]| {
            Arc::new(Site {
                id: SiteId(id),
                name: name.to_owned(),
                keys: Vec::new(),
                origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
                routes: Vec::new(),
                route_groups: RouteGroups::default(),
                timezone: "UTC".to_owned(),
                created_ms: 0,
            })
        };
        vec![
            site(1, "default", &["*"]),
            site(2, "shop", &["https://shop.example", "https://*.shop.example"]),
            site(3, "help", &["https://help.shop.example"]),
            site(4, "a", &["https://both.example"]),
            site(5, "b", &["https://both.example"]),
        ]
    }

    fn found(origin: &str, name: Option<&str>, only: Option<i64>) -> Result<String, String> {
        let only = only.map(|id| [SiteId(id)]);
        let wanted = Wanted { origin, name, only: only.as_ref().map(<[SiteId; 1]>::as_slice) };
        wanted.find(&sites()).map(|site| site.name.clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn site_is_the_one_that_names_the_origin() {
        for (origin, name, only, expected) in [
            ("https://shop.example", None, None, "shop"),
            ("https://www.shop.example", None, None, "shop"),
            ("https://help.shop.example", None, None, "help"),
            ("https://both.example", Some("b"), None, "b"),
            ("https://both.example", None, Some(4), "a"),
            ("https://any.example", Some("default"), None, "default"),
            ("https://any.example", Some("1"), None, "default"),
        ] {
            assert_eq!(found(origin, name, only).as_deref(), Ok(expected), "{origin} {name:?} {only:?}");
        }
    }

    #[test]
    fn origin_of_no_readable_site_is_not_found() {
        for (origin, name, only, expected) in [
            (
                "https://other.example",
                None,
                None,
                "no site that this key reads names the origin https://other.example; the site `default` takes beacons of any origin: add `&site=default` to the address",
            ),
            (
                "https://shop.example",
                None,
                Some(3),
                "no site that this key reads names the origin https://shop.example",
            ),
            ("https://shop.example", Some("shop"), Some(3), "this key reads no site `shop`"),
            (
                "https://shop.example",
                Some("help"),
                None,
                "the site `help` takes no beacons of https://shop.example",
            ),
            (
                "https://both.example",
                None,
                None,
                "several sites have the origin https://both.example: add `&site=NAME` to the address, with a or b",
            ),
        ] {
            assert_eq!(found(origin, name, only), Err(expected.to_owned()));
        }
    }
}
