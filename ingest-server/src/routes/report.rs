//! The suggestions as JSON, for the API and the command line.

use super::Study;
use super::learn::{Doubt, Proposal};
use crate::report::{PeriodReport, SampledReport};
use fieldvitals_store::Site;
use serde::Serialize;
use utoipa::ToSchema;

/// The route groups of a site, and those that its page views suggest.
#[derive(Debug, Serialize, ToSchema)]
pub struct SuggestionsReport {
    /// The site's name.
    pub site: String,
    /// Whether servers add certain groups by themselves (`--auto-routes`).
    pub auto: bool,
    /// The period of the page views.
    pub period: PeriodReport,
    /// Page views read.
    pub views: u64,
    /// Page views read that have the route `(other)`.
    pub other_views: u64,
    /// The sample that was read; absent if all page views were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled: Option<SampledReport>,
    /// Suggested groups, those with most page views first.
    pub groups: Vec<GroupReport>,
    /// Pages that would keep their names beside present and suggested groups, the largest first.
    pub apart: Vec<ApartReport>,
    /// The groups that the site has.
    pub present: PresentReport,
}

/// A suggested group.
#[derive(Debug, Serialize, ToSchema)]
pub struct GroupReport {
    /// The pattern: `:slug` stands for a segment of any text, `:id` only for ids, a final `*` for further segments.
    pub pattern: String,
    /// Pages that the group would join.
    pub pages: usize,
    /// Their page views.
    pub views: u64,
    /// Their share of the page views read, 0 to 1.
    pub share: f64,
    /// The largest of the pages.
    pub examples: Vec<String>,
    /// The reason why servers do not add the group by themselves; absent if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'static str>,
}

/// A page that keeps its name beside a group.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApartReport {
    /// The route.
    pub route: String,
    /// Its page views.
    pub views: u64,
}

/// The route groups of a site.
#[derive(Debug, Serialize, ToSchema)]
pub struct PresentReport {
    /// Patterns, in matching order.
    pub groups: Vec<String>,
    /// Routes that keep their names although a group matches them.
    pub apart: Vec<String>,
    /// Removed patterns, which servers do not add again.
    pub removed: Vec<String>,
}

impl From<&Site> for PresentReport {
    fn from(site: &Site) -> Self {
        let groups = &site.route_groups;
        Self { groups: groups.groups.clone(), apart: groups.apart.clone(), removed: groups.removed.clone() }
    }
}

impl SuggestionsReport {
    /// Reports a study of a site.
    #[must_use]
    pub fn new(site: &Site, study: Study) -> Self {
        let Study { scanned, views, other, lesson } = study;
        let share = |part: u64| if views == 0 { 0.0 } else { part as f64 / views as f64 };
        let group = |proposal: Proposal| GroupReport {
            share: share(proposal.views),
            message: proposal.doubt.map(Doubt::message),
            pattern: proposal.pattern,
            pages: proposal.pages,
            views: proposal.views,
            examples: proposal.examples,
            doubt: proposal.doubt,
        };
        Self {
            site: site.name.clone(),
            auto: site.route_groups.auto,
            sampled: scanned.sample.map(Into::into),
            period: scanned.period.into(),
            views,
            other_views: other,
            groups: lesson.proposals.into_iter().map(group).collect(),
            apart: lesson
                .apart
                .into_iter()
                .map(|page| ApartReport { route: page.route, views: page.views })
                .collect(),
            present: site.into(),
        }
    }
}
