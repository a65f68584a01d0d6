//! Learns the route groups of a site from its pages. Pure: the same pages give the same groups, in any order.
//!
//! A position of a path is a variable if it has very many values under one parent, of which half are too small to say
//! anything. Such values form a group. A deep tree forms one group if it has very many small pages, but few beside each
//! other. Everything else keeps its name: a section (a path with pages below it), a large page, and a position with few
//! values.

use super::tree::{Node, Page};
use crate::limits;
use fieldvitals_store::route_groups::{ANY, REST, is_class, matches};
use fieldvitals_store::{Network, RouteGroups};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use utoipa::ToSchema;

/// Values from which a position may be a variable.
const VALUES_MIN: usize = 50;
/// Values from which a position is one for certain.
const VALUES_CERTAIN: usize = 100;
/// Sections whose pages somebody writes by hand rarely have as many values. Of fewer, pages that are not small keep their
/// names.
const VALUES_BY_HAND_MAX: usize = 200;
/// A value is small below this part of the site's page views: 100 of 100,000, for a suggestion.
const SMALL_PART: u64 = 1_000;
/// The same for a certain group: 20 of 100,000. A percentile of 20 page views has an interval of about its own size.
const TINY_PART: u64 = 5_000;
/// A page with this part of the site's page views (1 %) keeps its name.
const APART_PART: u64 = 100;
/// A page that has its name keeps it down to this part (0.5 %), so that names do not come and go.
const STAYS_PART: u64 = 200;
/// The largest pages keep their names.
const LARGEST: usize = 10;
/// Pages that have their names keep them up to this rank.
const LARGEST_STAY: usize = 20;
/// Pages below a path from which it is a section, which keeps its name.
const SECTION_PAGES_MIN: usize = 10;
/// Names that a client network may vouch for in a group: as many as make a network a large one for places.
const VOUCHED_PER_NETWORK_MAX: usize = fieldvitals_store::limits::NAMES_DISPLACED_PER_NETWORK_MAX;
/// Names of tiny pages that independent networks brought, for a certain group. One hostile network counts for eight. A
/// site with fifty groups has forty places for each.
const VOUCHED_MIN: usize = 40;
/// Names outside certain groups from which a site lacks places: three quarters of them.
const CROWDED_MIN: usize = fieldvitals_store::limits::ROUTES_PER_SITE_MAX / 4 * 3;
/// Segments of a path; pages with longer paths are in no group.
const SEGMENTS_MAX: usize = 16;
/// Examples of a group.
const EXAMPLES: usize = 3;

/// A name of the registry, and who brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The route.
    pub route: String,
    /// The network charged for it; `None` if the name has earned its place.
    pub network: Option<Network>,
}

/// The reason why a group is not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// Somebody removed the group.
    Removed,
    /// The first segment of paths: fixed pages such as `/about` look the same.
    TopLevel,
    /// Fewer than 100 values.
    FewValues,
    /// Half of the values have 0.02 % of the site's page views or more.
    LargeValues,
    /// Few client networks brought the names, as one that makes up URLs does.
    FewNetworks,
    /// A deep tree, on a site that has places for its pages.
    Room,
}

impl Doubt {
    /// Returns the sentence for people.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Removed => "somebody removed this group",
            Self::TopLevel => "pages at the top, such as /about, would be in the group",
            Self::FewValues => "the group has few pages",
            Self::LargeValues => "its pages are large enough to stand alone",
            Self::FewNetworks => "few client networks brought its pages: are they made up?",
            Self::Room => "the site has places for its pages",
        }
    }
}

/// A group that a site could have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The pattern.
    pub pattern: String,
    /// The pages that it joins.
    pub pages: usize,
    /// Their page views.
    pub views: u64,
    /// The largest of them.
    pub examples: Vec<String>,
    /// `None` if servers may add the group.
    pub doubt: Option<Doubt>,
}

/// What the pages of a site teach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lesson {
    /// New groups, those with most page views first.
    pub proposals: Vec<Proposal>,
    /// Pages that keep their names beside present or new groups, the largest first.
    pub apart: Vec<Page>,
}

impl Lesson {
    /// Returns a site's groups after some of the proposals were added. Routes apart are renewed.
    #[must_use]
    pub fn applied(&self, present: &RouteGroups, chosen: impl Fn(&Proposal) -> bool) -> RouteGroups {
        let mut after = present.clone();
        for proposal in self.proposals.iter().filter(|proposal| chosen(proposal)) {
            if after.groups.len() >= fieldvitals_store::limits::ROUTE_GROUPS_PER_SITE_MAX {
                break;
            }
            after.groups.push(proposal.pattern.clone());
            after.removed.retain(|removed| *removed != proposal.pattern);
        }
        let apart = self.apart.iter().map(|page| &page.route);
        let apart = apart.filter(|route| after.groups.iter().any(|group| matches(group, route)));
        after.apart = apart.take(fieldvitals_store::limits::ROUTES_APART_PER_SITE_MAX).cloned().collect();
        after.sort();
        after
    }
}

/// Learns from the pages of a site. `total` counts all page views of the site, also those whose pages name the route. Of
/// fewer than [`limits::ROUTES_STUDIED_VIEWS_MIN`], nothing is learned, and the routes apart stay.
#[must_use]
pub fn learn(pages: &[Page], total: u64, known: &[Known], present: &RouteGroups) -> Lesson {
    if total < limits::ROUTES_STUDIED_VIEWS_MIN {
        let apart = present.apart.iter().map(|route| Page { route: route.clone(), views: 0 });
        return Lesson { proposals: Vec::new(), apart: apart.collect() };
    }
    let named = named_pages(pages, total, present);
    let mut tree = Node::default();
    for page in pages.iter().filter(|page| !named.contains(page.route.as_str())) {
        if segments(&page.route).count() <= SEGMENTS_MAX {
            tree.add(segments(&page.route), page);
        }
    }
    let mut learner = Learner { total, present, found: Vec::new(), sections: Vec::new() };
    learner.visit(tree, &mut Vec::new());
    let Learner { found, sections, .. } = learner;
    let mut proposals = doubted(found, &Vouchers::new(pages, total, known), present);
    let patterns: Vec<&String> =
        present.groups.iter().chain(proposals.iter().map(|proposal| &proposal.pattern)).collect();
    let is_grouped = |route: &str| patterns.iter().any(|pattern| matches(pattern, route));
    let large = pages.iter().filter(|page| named.contains(page.route.as_str()) && is_grouped(&page.route));
    let mut apart: Vec<Page> = sections.into_iter().chain(large).cloned().collect();
    apart.sort_by(|a, b| order(a).cmp(&order(b)));
    apart.dedup();
    proposals.sort_by(|a, b| (Reverse(a.views), &a.pattern).cmp(&(Reverse(b.views), &b.pattern)));
    proposals.truncate(limits::ROUTE_SUGGESTIONS_MAX);
    Lesson { proposals, apart }
}

fn segments(route: &str) -> impl Iterator<Item = &str> {
    route.split('/').filter(|segment| !segment.is_empty())
}

/// Returns whether a segment is the front page of its folder: `index.html`, `index.php`, `index`.
fn is_index(segment: &str) -> bool {
    segment == "index" || segment.starts_with("index.")
}

fn pattern(path: &[&str]) -> String {
    format!("/{}", path.join("/"))
}

fn order(page: &Page) -> (Reverse<u64>, &str) {
    (Reverse(page.views), &page.route)
}

/// The pages that keep their names, whatever group matches them.
fn named_pages<'a>(pages: &'a [Page], total: u64, present: &RouteGroups) -> BTreeSet<&'a str> {
    let mut largest: Vec<&Page> = pages.iter().filter(|page| page.views * SMALL_PART >= total).collect();
    largest.sort_by(|a, b| order(a).cmp(&order(b)));
    let is_named = |(rank, page): &(usize, &Page)| {
        let has_name = present.is_apart(&page.route);
        let (part, ranks) = if has_name { (STAYS_PART, LARGEST_STAY) } else { (APART_PART, LARGEST) };
        page.views * part >= total || *rank < ranks
    };
    let named = largest.into_iter().enumerate().filter(is_named);
    named.map(|(_, page)| page.route.as_str()).collect()
}

/// Returns whether a route has the path of a variable, or one below it.
fn is_at_or_below(stem: &str, route: &str) -> bool {
    let mut rest = segments(route);
    segments(stem).all(|part| rest.next().is_some_and(|one| part == one || part == ANY && !is_class(one)))
}

/// The registry's names that client networks vouch with.
struct Vouchers<'a> {
    known: &'a [Known],
    /// Routes of pages that are not tiny. Visitors bring them to a section that somebody floods with made-up pages.
    large: BTreeSet<&'a str>,
}

impl<'a> Vouchers<'a> {
    fn new(pages: &'a [Page], total: u64, known: &'a [Known]) -> Self {
        let large = pages.iter().filter(|page| page.views * TINY_PART >= total);
        Self { known, large: large.map(|page| page.route.as_str()).collect() }
    }

    /// Returns whether independent networks brought enough of the names that are in a group.
    fn vouch_for(&self, is_in: impl Fn(&str) -> bool) -> bool {
        let mut networks: HashMap<Option<Network>, usize> = HashMap::new();
        for name in self.known.iter().filter(|name| !self.large.contains(name.route.as_str())) {
            if is_in(&name.route) {
                *networks.entry(name.network).or_default() += 1;
            }
        }
        let counted = |(network, names): (&Option<Network>, &usize)| match network {
            None => *names,
            Some(_) => VOUCHED_PER_NETWORK_MAX.min(*names),
        };
        networks.iter().map(counted).sum::<usize>() >= VOUCHED_MIN
    }
}

/// Doubts groups that few networks vouch for, and deep trees of a site that has places for their pages.
fn doubted(found: Vec<Found>, vouchers: &Vouchers<'_>, present: &RouteGroups) -> Vec<Proposal> {
    let (variables, trees): (Vec<Found>, Vec<Found>) =
        found.into_iter().partition(|found| found.stem.is_some());
    let mut proposals = Vec::new();
    let mut stems = Vec::new();
    for Found { mut proposal, stem } in variables {
        let stem = stem.unwrap_or_default();
        if proposal.doubt.is_none() && !vouchers.vouch_for(|route| is_at_or_below(&stem, route)) {
            proposal.doubt = Some(Doubt::FewNetworks);
        }
        if proposal.doubt.is_none() {
            stems.push(stem);
        }
        proposals.push(proposal);
    }
    let is_left = |route: &str| {
        present.group_of(route).is_none() && !stems.iter().any(|stem| is_at_or_below(stem, route))
    };
    let left = vouchers.known.iter().filter(|name| is_left(&name.route)).count();
    for Found { mut proposal, .. } in trees {
        let is_in = |route: &str| matches(&proposal.pattern, route);
        // The tree would hide a group in it that more networks may vouch for later, or that somebody removed.
        let hidden = proposals.iter().filter(|other| is_in(&other.pattern)).find_map(|other| {
            other.doubt.filter(|doubt| matches!(doubt, Doubt::FewNetworks | Doubt::Removed))
        });
        let is_vouched = || vouchers.vouch_for(|route| is_in(route) && is_left(route));
        let doubt = if left < CROWDED_MIN {
            Some(Doubt::Room)
        } else {
            hidden.or_else(|| (!is_vouched()).then_some(Doubt::FewNetworks))
        };
        proposal.doubt = proposal.doubt.or(doubt);
        proposals.push(proposal);
    }
    proposals
}

/// A proposal, and the path of its variable; `None` for a deep tree.
struct Found {
    proposal: Proposal,
    stem: Option<String>,
}

/// Pages below a path that are in no certain group, and those of them that are sections.
#[derive(Default)]
struct Left<'a> {
    pages: Vec<&'a Page>,
    sections: Vec<&'a Page>,
}

struct Learner<'a> {
    total: u64,
    present: &'a RouteGroups,
    found: Vec<Found>,
    /// Pages that are sections beside values of a variable.
    sections: Vec<&'a Page>,
}

impl<'a> Learner<'a> {
    /// Finds the variables at and below a path; returns the pages below it that are in no certain group.
    fn visit(&mut self, node: Node<'a>, path: &mut Vec<&'a str>) -> Left<'a> {
        let branches = || node.children.iter().filter(|(name, child)| !is_class(name) && child.below().0 > 0);
        let small = branches().filter(|(_, child)| child.views * APART_PART < self.total);
        let joining = self.variable(small.map(|(_, child)| child.views).collect(), path);
        let (mut joined, mut left) = (Node::default(), Left::default());
        let (mut values, mut sections): (Vec<&Page>, Vec<&Page>) = (Vec::new(), Vec::new());
        let mut rest = Vec::new();
        for (name, mut child) in node.children {
            let (pages_below, views_below) = child.below();
            if is_class(name) {
                rest.push((name, child));
            } else if joining.is_some() && pages_below > 0 && child.views * APART_PART < self.total {
                if joining != Some(None) {
                    // Nobody may add the doubtful group, so the paths are also looked at one by one.
                    rest.push((name, child.clone()));
                }
                joined.join(child);
            } else {
                let is_section = pages_below >= SECTION_PAGES_MIN
                    || views_below * SMALL_PART >= self.total
                    || is_index(name);
                let own = std::mem::take(&mut child.pages);
                if is_section {
                    sections.extend(own);
                } else {
                    values.extend(own);
                }
                if pages_below > 0 {
                    rest.push((name, child));
                }
            }
        }
        // Fixed pages stand beside variables of the first segment, beside values that are sections themselves, and in
        // sections that somebody writes by hand.
        if path.is_empty() || joining.is_some() || values.len() < VALUES_BY_HAND_MAX {
            sections.extend(values.extract_if(.., |page| page.views * SMALL_PART >= self.total));
        }
        let varying = self.variable(values.iter().map(|page| page.views).collect(), path);
        if let Some(doubt) = [joining, varying].into_iter().flatten().min_by_key(|doubt| doubt.is_some()) {
            self.sections.extend(&sections);
            if doubt.is_some() {
                left.pages.extend(&values);
                left.sections.extend(sections);
            }
            joined.extend(values);
            path.push(ANY);
            let stem = pattern(path);
            self.shape(joined, path, &stem, doubt);
            path.pop();
        } else {
            left.pages.extend(values);
            left.sections.extend(sections);
        }
        for (name, child) in rest {
            path.push(name);
            let below = self.visit(child, path);
            left.pages.extend(below.pages);
            left.sections.extend(below.sections);
            path.pop();
        }
        if path.is_empty() { left } else { self.deep_tree(left, path) }
    }

    /// Proposes one group for a deep tree: very many small pages below a path, but few beside each other.
    fn deep_tree(&mut self, mut left: Left<'a>, path: &mut Vec<&'a str>) -> Left<'a> {
        let views = left.pages.iter().map(|page| page.views).collect();
        let is_variable = self.variable(views, path) == Some(None);
        path.push(REST);
        let pattern = pattern(path);
        if is_variable || self.present.groups.contains(&pattern) {
            self.sections.append(&mut left.sections);
            self.sections.extend(left.pages.extract_if(.., |page| page.views * SMALL_PART >= self.total));
            self.propose(path, std::mem::take(&mut left.pages), None, None);
        }
        path.pop();
        left
    }

    /// Proposes the groups of joined paths: one for each of their shapes that has a part of the page views, and one for
    /// all others.
    fn shape(&mut self, node: Node<'a>, path: &mut Vec<&'a str>, stem: &str, doubt: Option<Doubt>) {
        let Node { pages, children, .. } = node;
        self.propose(path, pages, Some(stem), doubt);
        let (classes, named): (Vec<_>, Vec<_>) =
            children.into_iter().partition(|(name, _)| is_class(name) || is_index(name));
        let views = named.iter().map(|(_, child)| child.views).collect();
        let (shapes, rare): (Vec<_>, Vec<_>) = if self.variable(views, path).is_some() {
            let mut joined = Node::default();
            named.into_iter().for_each(|(_, child)| joined.join(child));
            (vec![(ANY, joined)], Vec::new())
        } else {
            named.into_iter().partition(|(_, child)| child.views * SMALL_PART >= self.total)
        };
        for (name, child) in classes.into_iter().chain(shapes) {
            path.push(name);
            self.shape(child, path, stem, doubt);
            path.pop();
        }
        let mut pages = Vec::new();
        rare.iter().for_each(|(_, child)| child.pages_into(&mut pages));
        path.push(REST);
        self.propose(path, pages, Some(stem), doubt);
        path.pop();
    }

    fn propose(&mut self, path: &[&str], mut pages: Vec<&Page>, stem: Option<&str>, doubt: Option<Doubt>) {
        let pattern = pattern(path);
        if pages.is_empty() || self.present.groups.contains(&pattern) {
            return;
        }
        pages.sort_by(|a, b| order(a).cmp(&order(b)));
        let is_removed = self.present.removed.contains(&pattern);
        let proposal = Proposal {
            pages: pages.len(),
            views: pages.iter().map(|page| page.views).sum(),
            examples: pages.iter().take(EXAMPLES).map(|page| page.route.clone()).collect(),
            doubt: if is_removed { Some(Doubt::Removed) } else { doubt },
            pattern,
        };
        self.found.push(Found { proposal, stem: stem.map(str::to_owned) });
    }

    /// Whether values with these page views are those of a variable, and the doubt about it.
    fn variable(&self, mut views: Vec<u64>, path: &[&str]) -> Option<Option<Doubt>> {
        views.sort_unstable();
        let median = *views.get(views.len() / 2)?;
        if views.len() < VALUES_MIN || median * SMALL_PART >= self.total {
            return None;
        }
        Some(if path.is_empty() {
            Some(Doubt::TopLevel)
        } else if views.len() < VALUES_CERTAIN {
            Some(Doubt::FewValues)
        } else if median * TINY_PART >= self.total {
            Some(Doubt::LargeValues)
        } else {
            None
        })
    }
}

#[cfg(test)]
mod tests;
