//! Counts the slow values of a metric by the part that dominates them, with the element that is named most often.
//!
//! A value is slow if it is not good. [`vitals::advice::Part`] defines which part dominates.

use super::{EMPTY, OTHERS, percentile};
use crate::limits;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use vitals::advice::Part;

/// The slow page views of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slow {
    /// Page views with a value that is not good.
    pub views: i64,
    /// Slow page views with attribution.
    pub explained: i64,
    /// Slow page views with attribution, by the part that dominates, in the order of [`Part`].
    pub parts: Vec<SlowPart>,
}

/// Slow page views that one part dominates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowPart {
    /// The part.
    pub part: Part,
    /// Page views.
    pub views: i64,
    /// The median size of the part in them: milliseconds, or millionths of a score for CLS.
    pub median: u32,
    /// The element that most of them name, by its most frequent selector; empty if unknown.
    pub target: String,
    /// The most frequent one of these page views. LCP: the URL of the image; INP: the URL of the longest script; empty
    /// otherwise, and if unknown.
    pub resource: String,
    /// Page views that name `target`, by any of its selectors, and `resource`.
    pub named: i64,
}

/// Accumulates the slow page views.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    pub(super) views: i64,
    parts: BTreeMap<Part, Group>,
    /// Distinct elements of all parts.
    places: usize,
}

#[derive(Debug, Default)]
struct Group {
    sizes: Vec<u32>,
    /// Page views by the indexes of the element and of the resource.
    named: HashMap<(usize, usize), i64>,
}

impl Gathering {
    /// Adds a slow page view with attribution.
    pub(super) fn add(&mut self, part: Part, size: u32, mut place: (usize, usize)) {
        let group = self.parts.entry(part).or_default();
        group.sizes.push(size);
        if !group.named.contains_key(&place) {
            if self.places < limits::CAUSES_MAX {
                self.places += 1;
            } else {
                place = (OTHERS, EMPTY);
            }
        }
        *group.named.entry(place).or_default() += 1;
    }

    /// Returns the answer. `element` maps the indexes of an element's selector and resource to that of its most frequent
    /// selector.
    pub(super) fn finish(self, texts: &[String], element: impl Fn((usize, usize)) -> usize) -> Slow {
        let part = |(part, mut group): (Part, Group)| {
            let named = group.named.iter().map(|(&place, &views)| (element(place), place.1, views));
            let named: Vec<(usize, usize, i64)> = named.collect();
            let target = most(texts, named.iter().map(|&(target, _, views)| (target, views)));
            let of_target: Vec<(usize, i64)> = named
                .into_iter()
                .filter(|&(named, ..)| named == target)
                .map(|(_, resource, views)| (resource, views))
                .collect();
            let resource = most(texts, of_target.iter().copied());
            let named =
                of_target.iter().filter(|&&(named, _)| named == resource).map(|&(_, views)| views).sum();
            SlowPart {
                part,
                views: group.sizes.len() as i64,
                target: texts[target].clone(),
                resource: texts[resource].clone(),
                named,
                median: percentile(&mut group.sizes, 50, |&size| size),
            }
        };
        let parts: Vec<SlowPart> = self.parts.into_iter().map(part).collect();
        Slow { views: self.views, explained: parts.iter().map(|part| part.views).sum(), parts }
    }
}

/// Returns the text with most page views, of several the first by name.
fn most(texts: &[String], named: impl Iterator<Item = (usize, i64)>) -> usize {
    let mut views_of: HashMap<usize, i64> = HashMap::new();
    for (text, views) in named {
        *views_of.entry(text).or_default() += views;
    }
    views_of
        .into_iter()
        .min_by_key(|&(text, views)| (Reverse(views), &texts[text]))
        .map_or(EMPTY, |(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_name_their_most_frequent_element() {
        let texts = ["", "(other)", "#b", "#a", "hero.avif"].map(str::to_owned);
        let mut gathering = Gathering { views: 9, ..Gathering::default() };
        for (size, target) in [(900, 2), (1_500, 3), (1_200, 2), (1_100, 3)] {
            gathering.add(Part::LcpRenderDelay, size, (target, 4));
        }
        gathering.add(Part::LcpTtfb, 2_000, (EMPTY, EMPTY));
        let slow = gathering.finish(&texts, |(target, _)| target);
        assert_eq!((slow.views, slow.explained), (9, 5));
        let part = |part, views, median, target: &str, resource: &str, named| {
            let (target, resource) = (target.to_owned(), resource.to_owned());
            SlowPart { part, views, median, target, resource, named }
        };
        let ttfb = part(Part::LcpTtfb, 1, 2_000, "", "", 1);
        assert_eq!(slow.parts, [ttfb, part(Part::LcpRenderDelay, 4, 1_100, "#a", "hero.avif", 2)]);
    }

    #[test]
    fn element_with_several_resources_is_one() {
        let texts = ["", "(other)", "#hero>img", "#ad", "a.avif", "b.avif", "ad.avif"].map(str::to_owned);
        let mut gathering = Gathering::default();
        for place in [(2, 4), (2, 4), (2, 5), (2, 5), (3, 6), (3, 6), (3, 6)] {
            gathering.add(Part::LcpLoadDelay, 900, place);
        }
        let slow = gathering.finish(&texts, |(target, _)| target);
        let part = &slow.parts[0];
        assert_eq!((part.target.as_str(), part.resource.as_str(), part.named), ("#hero>img", "a.avif", 2));
    }

    #[test]
    fn elements_past_their_bound_are_counted_together() {
        let texts: Vec<String> = (0..limits::CAUSES_MAX + 9).map(|number| format!("#{number}")).collect();
        let mut gathering = Gathering::default();
        for place in 2..limits::CAUSES_MAX + 9 {
            gathering.add(Part::ClsLate, 1, (place, EMPTY));
        }
        let slow = gathering.finish(&texts, |(target, _)| target);
        assert_eq!((slow.parts[0].target.as_str(), slow.parts[0].named), ("#1", 7), "{slow:?}");
    }
}
