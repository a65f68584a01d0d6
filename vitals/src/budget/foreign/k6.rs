//! Thresholds of k6: <https://grafana.com/docs/k6/latest/using-k6/thresholds/>, of its browser metrics
//! (`browser_web_vital_lcp`).

use super::{Limit, Read, Reader, wrong};
use crate::budget::file::clean;
use crate::budget::{PERCENTILE_DEFAULT, ROUTE_DEFAULT, Severity, alias};
use serde_json::{Map, Value as Json};

/// Finds the thresholds of options, or of thresholds alone.
pub(super) fn thresholds(json: &Json) -> Option<&Map<String, Json>> {
    let inner = json.get("options").unwrap_or(json);
    match inner.get("thresholds") {
        Some(thresholds) => thresholds.as_object(),
        None => inner.as_object().filter(|all| !all.is_empty() && all.values().all(is_thresholds)),
    }
}

/// Whether a value is a list of expressions such as `p(95)<200`.
fn is_thresholds(value: &Json) -> bool {
    value.as_array().is_some_and(|list| {
        !list.is_empty()
            && list
                .iter()
                .all(|one| expression(one).is_some_and(|text| text.contains('<') || text.contains('>')))
    })
}

fn expression(value: &Json) -> Option<&str> {
    value.as_str().or_else(|| value.get("threshold")?.as_str())
}

/// Reads the thresholds.
pub(super) fn read(thresholds: &Map<String, Json>, reader: &mut Reader<'_>) -> Read {
    for (name, limits) in thresholds {
        let (base, selector) = name.split_once('{').unwrap_or((name.as_str(), ""));
        let base = base.trim();
        let metric = alias::metric(base.strip_prefix("browser_web_vital_").unwrap_or(base));
        let route = route(selector);
        let list = limits.as_array().map_or_else(|| core::slice::from_ref(limits), Vec::as_slice);
        for limit in list {
            let Some(text) = expression(limit) else {
                let found = format!("a threshold of `{}` that is no text", clean(name));
                return wrong(reader.line(name), found, "an expression such as `p(75)<2500`");
            };
            match (metric, &route, bound(text)) {
                (None, ..) => reader.not_evaluated(name, "it is no metric of pages"),
                (_, Err(why), _) => reader.not_evaluated(name, why),
                (.., None) => reader.not_evaluated(name, "only upper bounds of percentiles are judged"),
                (Some(metric), Ok(route), Some((percentile, max))) => {
                    let (route, severity) = (route.clone(), Severity::Error);
                    reader.budget(Limit { name, metric, max, percentile, route, severity });
                }
            }
        }
    }
    Ok("k6")
}

/// Returns the route of a selector such as `url: https://shop.example/cart, scenario: buy}`, or why it has none. Tags are
/// read as k6 does: commas between them, spaces and quotes around names and values.
fn route(selector: &str) -> Result<String, String> {
    let bare = |text: &str| text.trim_matches(['\'', '"', ' ']).to_owned();
    let selector = selector.rsplit_once('}').map_or(selector, |(tags, _)| tags);
    let mut route = None;
    for tag in selector.split(',').filter(|tag| !tag.trim().is_empty()) {
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        match (bare(name).as_str(), route.is_some()) {
            ("url", false) => route = Some(bare(value)),
            ("url", true) => return Err("its selector has two URLs".to_owned()),
            (name, _) => return Err(format!("page views have no tag `{}` of k6", clean(name))),
        }
    }
    Ok(route.unwrap_or_else(|| ROUTE_DEFAULT.to_owned()))
}

/// Reads `p(75)<2500` or `med<=0.1`: the percentile and the bound.
fn bound(text: &str) -> Option<(u8, f64)> {
    let (left, right) = text.split_once('<')?;
    let percentile = match left.trim() {
        "med" => 50,
        "p75" => PERCENTILE_DEFAULT,
        other => other
            .strip_prefix("p(")?
            .strip_suffix(')')?
            .trim()
            .parse()
            .ok()
            .filter(|percent| (1..=99).contains(percent))?,
    };
    Some((percentile, right.trim_start_matches('=').trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::route;

    #[test]
    fn selector_of_several_tags_is_a_route_only_if_all_of_them_are() {
        let cart = Ok("https://shop.example/cart");
        for (selector, expected) in [
            ("", Ok("*")),
            ("}", Ok("*")),
            ("url:https://shop.example/cart}", cart),
            (" url : 'https://shop.example/cart' , }", cart),
            ("url:https://shop.example/cart, scenario:buy}", Err("page views have no tag `scenario` of k6")),
            ("scenario:buy,url:https://shop.example/cart}", Err("page views have no tag `scenario` of k6")),
            (" 'a':b, c:d }", Err("page views have no tag `a` of k6")),
            ("url:/a,url:/b}", Err("its selector has two URLs")),
        ] {
            assert_eq!(route(selector).as_deref().map_err(String::as_str), expected, "{selector}");
        }
    }
}
