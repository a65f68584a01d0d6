//! Thresholds of k6: <https://grafana.com/docs/k6/latest/using-k6/thresholds/>, of its browser metrics
//! (`browser_web_vital_lcp`).

use super::{Limit, Read, Reader};
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
        let (base, tags) = name
            .split_once('{')
            .map_or((name.as_str(), ""), |(base, tags)| (base, tags.trim_end_matches('}')));
        let metric = alias::metric(base.strip_prefix("browser_web_vital_").unwrap_or(base));
        let route = match tags.split_once(':') {
            None => Some(ROUTE_DEFAULT.to_owned()),
            Some(("url", url)) => Some(url.trim_matches(['\'', '"', ' ']).to_owned()),
            Some(_) => None,
        };
        let list = limits.as_array().map_or_else(|| core::slice::from_ref(limits), Vec::as_slice);
        for limit in list {
            let Some(text) = expression(limit) else {
                return Err((
                    reader.line(name),
                    format!("a threshold of `{}` that is no text", name.escape_debug()),
                ));
            };
            match (metric, &route, bound(text)) {
                (None, ..) => reader.not_evaluated(name, "it is no metric of pages"),
                (_, None, _) => reader.not_evaluated(name, "page views have no such tag"),
                (.., None) => reader.not_evaluated(name, "only upper bounds of percentiles are judged"),
                (Some(metric), Some(route), Some((percentile, max))) => {
                    let (route, severity) = (route.clone(), Severity::Error);
                    reader.budget(Limit { name, metric, max, percentile, route, severity });
                }
            }
        }
    }
    Ok("k6")
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
