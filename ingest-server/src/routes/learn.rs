//! Learns the route groups of a site from its pages. Pure: the same pages give the same groups, in any order.
//!
//! A position of a path is a variable if it has very many values under one parent, of which half are too small to say
//! anything. Such values form a group. Everything else keeps its name: a section (a path with pages below it), a large
//! page, and a position with few values.

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
/// Values from which a position is one for certain. Sections whose pages somebody writes by hand rarely have as many.
const VALUES_CERTAIN: usize = 200;
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
/// Names of a group that independent networks brought, for a certain group. One hostile network counts for eight.
const VOUCHED_MIN: usize = 80;
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
    /// Fewer than 200 values.
    FewValues,
    /// Half of the values have 0.02 % of the site's page views or more.
    LargeValues,
    /// Few client networks brought the names, as one that makes up URLs does.
    FewNetworks,
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
    let mut proposals: Vec<Proposal> = found
        .into_iter()
        .map(|Found { mut proposal, stem }| {
            if proposal.doubt.is_none() && vouched(&stem, known) < VOUCHED_MIN {
                proposal.doubt = Some(Doubt::FewNetworks);
            }
            proposal
        })
        .collect();
    let patterns: Vec<&String> =
        present.groups.iter().chain(proposals.iter().map(|proposal| &proposal.pattern)).collect();
    let is_grouped = |route: &str| patterns.iter().any(|pattern| matches(pattern, route));
    let large = pages.iter().filter(|page| named.contains(page.route.as_str()) && is_grouped(&page.route));
    let mut apart: Vec<Page> = sections.into_iter().chain(large).cloned().collect();
    apart.sort_by(|a, b| order(a).cmp(&order(b)));
    proposals.sort_by(|a, b| (Reverse(a.views), &a.pattern).cmp(&(Reverse(b.views), &b.pattern)));
    proposals.truncate(limits::ROUTE_SUGGESTIONS_MAX);
    Lesson { proposals, apart }
}

fn segments(route: &str) -> impl Iterator<Item = &str> {
    route.split('/').filter(|segment| !segment.is_empty())
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

/// The names at and below a variable that independent networks brought.
fn vouched(stem: &str, known: &[Known]) -> usize {
    let below = format!("{stem}/{REST}");
    let mut networks: HashMap<Option<Network>, usize> = HashMap::new();
    for name in known.iter().filter(|name| matches(stem, &name.route) || matches(&below, &name.route)) {
        *networks.entry(name.network).or_default() += 1;
    }
    let counted = |(network, names): (&Option<Network>, &usize)| match network {
        None => *names,
        Some(_) => VOUCHED_PER_NETWORK_MAX.min(*names),
    };
    networks.iter().map(counted).sum()
}

/// A proposal, and the path of its variable.
struct Found {
    proposal: Proposal,
    stem: String,
}

struct Learner<'a> {
    total: u64,
    present: &'a RouteGroups,
    found: Vec<Found>,
    /// Pages that are sections beside values of a variable.
    sections: Vec<&'a Page>,
}

impl<'a> Learner<'a> {
    /// Finds the variables at and below a path.
    fn visit(&mut self, node: Node<'a>, path: &mut Vec<&'a str>) {
        let branches = || node.children.iter().filter(|(name, child)| !is_class(name) && child.below().0 > 0);
        let small = branches().filter(|(_, child)| child.views * APART_PART < self.total);
        let joining = self.variable(small.map(|(_, child)| child.views).collect(), path);
        let mut joined = Node::default();
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
                let is_section = pages_below >= SECTION_PAGES_MIN || views_below * SMALL_PART >= self.total;
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
        // Fixed pages stand beside variables of the first segment, and beside values that are sections themselves.
        if path.is_empty() || joining.is_some() {
            let is_large = |page: &&Page| page.views * SMALL_PART >= self.total;
            let (large, others): (Vec<&Page>, Vec<&Page>) = values.into_iter().partition(is_large);
            sections.extend(large);
            values = others;
        }
        let varying = self.variable(values.iter().map(|page| page.views).collect(), path);
        if let Some(doubt) = [joining, varying].into_iter().flatten().min_by_key(|doubt| doubt.is_some()) {
            self.sections.extend(sections);
            joined.extend(values);
            path.push(ANY);
            let stem = pattern(path);
            self.shape(joined, path, &stem, doubt);
            path.pop();
        }
        for (name, child) in rest {
            path.push(name);
            self.visit(child, path);
            path.pop();
        }
    }

    /// Proposes the groups of joined paths: one for each of their shapes that has a part of the page views, and one for
    /// all others.
    fn shape(&mut self, node: Node<'a>, path: &mut Vec<&'a str>, stem: &str, doubt: Option<Doubt>) {
        let Node { pages, children, .. } = node;
        self.propose(path, pages, stem, doubt);
        let (classes, named): (Vec<_>, Vec<_>) = children.into_iter().partition(|(name, _)| is_class(name));
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
        self.propose(path, pages, stem, doubt);
        path.pop();
    }

    fn propose(&mut self, path: &[&str], mut pages: Vec<&Page>, stem: &str, doubt: Option<Doubt>) {
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
        self.found.push(Found { proposal, stem: stem.to_owned() });
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
