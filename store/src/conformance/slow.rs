//! The plain model of the slow page views of a metric.

use super::percentile;
use crate::context::causes::slow::{Slow, SlowPart};
use crate::{AttributionMetric, Context};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use vitals::advice::Part;
use vitals::metric::{Rating, Value};

/// The dominant part of a page view, its size, its element and its resource.
type Seen = (Part, u32, String, String);

/// Counts the slow ones among page views with these values. `first_of` has the most frequent selector of each element.
pub(super) fn found(
    explained: AttributionMetric,
    seen: &[(Value, &Context)],
    first_of: &BTreeMap<(String, String), String>,
) -> Slow {
    let is_slow = |value: Value| explained.metric().rate(value) != Rating::Good;
    let slow: Vec<&Context> =
        seen.iter().filter(|(value, _)| is_slow(*value)).map(|(_, context)| *context).collect();
    let mut parts: BTreeMap<Part, Vec<Seen>> = BTreeMap::new();
    for one in slow.iter().filter_map(|context| part_of(explained, context)) {
        parts.entry(one.0).or_default().push(one);
    }
    let part = |(part, seen): (Part, Vec<Seen>)| {
        let sizes: Vec<u32> = seen.iter().map(|(_, size, _, _)| *size).collect();
        let element = |target: &String, resource: &String| {
            let what = if explained == AttributionMetric::Lcp { resource.clone() } else { String::new() };
            first_of.get(&(target.clone(), what)).unwrap_or(target).clone()
        };
        let named: Vec<(String, String)> = seen
            .into_iter()
            .map(|(_, _, target, resource)| (element(&target, &resource), resource))
            .collect();
        let target = most(named.iter().map(|(target, _)| target));
        let resource = most(named.iter().filter(|(of, _)| *of == target).map(|(_, resource)| resource));
        let named = named.iter().filter(|(of, by)| (of, by) == (&target, &resource)).count() as i64;
        let (views, median) = (sizes.len() as i64, percentile(&sizes, 50));
        SlowPart { part, views, median, target, resource, named }
    };
    let parts: Vec<SlowPart> = parts.into_iter().map(part).collect();
    Slow { views: slow.len() as i64, explained: parts.iter().map(|part| part.views).sum(), parts }
}

/// Returns the most frequent text, of several the first by name.
fn most<'a>(texts: impl Iterator<Item = &'a String>) -> String {
    let mut counts: BTreeMap<&String, i64> = BTreeMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    counts
        .into_iter()
        .min_by_key(|(_, count)| Reverse(*count))
        .map(|(text, _)| text.clone())
        .unwrap_or_default()
}

fn part_of(explained: AttributionMetric, context: &Context) -> Option<Seen> {
    let detail = context.detail.as_deref();
    match explained {
        AttributionMetric::Lcp => {
            let lcp = detail?.lcp.as_ref()?;
            let (part, _) = Part::of_lcp(lcp.parts_ms);
            let [ttfb, load_delay, load_duration, render_delay] = lcp.parts_ms;
            let size = match part {
                Part::LcpTtfb => ttfb,
                Part::LcpLoadDelay => load_delay,
                Part::LcpLoadDuration => load_duration,
                _ => render_delay,
            };
            Some((part, size, lcp.target.clone(), lcp.url.clone()))
        }
        AttributionMetric::Inp => {
            let inp = detail?.inp.as_ref()?;
            let largest = inp.parts_ms.into_iter().max()?;
            Some((Part::of_inp(inp.parts_ms).0, largest, inp.target.clone(), inp.script.clone()))
        }
        AttributionMetric::Cls => {
            let cls = detail?.cls.as_ref()?;
            let part = Part::of_cls(&cls.target, cls.load_state);
            Some((part, cls.value_micros, cls.target.clone(), String::new()))
        }
        AttributionMetric::Ttfb => {
            let parts_ms = context.conditions.as_deref()?.ttfb_parts_ms?;
            let largest = parts_ms.into_iter().max()?;
            Some((Part::of_ttfb(parts_ms).0, largest, String::new(), String::new()))
        }
    }
}
