//! The questions of a dashboard, and their shares.

use crate::query::{FROM_MS, SEED, TO_MS};
use fieldvitals_traffic::Traffic;

/// The days of [`crate::query`]'s data, and the last seven of them.
const PAST: [&str; 2] = [
    "from=2026-10-04T00:00:00Z&to=2026-11-01T00:00:00Z",
    "from=2026-10-25T00:00:00Z&to=2026-11-01T00:00:00Z",
];
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// The same days with all later ones, so that the beacons beside the readers are in the answers.
fn until_now(now_ms: i64) -> [String; 2] {
    let days = |from_ms: i64| format!("period={}d", (now_ms - from_ms) / DAY_MS);
    [days(FROM_MS), days(TO_MS - 7 * DAY_MS)]
}

/// Routes that page reports and attributions are about, from the most viewed on.
const ROUTES: usize = 40;

/// A question of the dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Overview,
    Site,
    Page,
    OneMetric,
    Phones,
    Breakdown,
    Attribution,
    Series,
    Compare,
    Samples,
    Summary,
    Rejections,
}

impl Question {
    /// All questions, and their shares in 25ths.
    pub(crate) const ALL: [(Self, usize); 12] = [
        (Self::Overview, 4),
        (Self::Site, 3),
        (Self::Page, 4),
        (Self::OneMetric, 2),
        (Self::Phones, 2),
        (Self::Breakdown, 2),
        (Self::Attribution, 2),
        (Self::Series, 2),
        (Self::Compare, 1),
        (Self::Samples, 1),
        (Self::Summary, 1),
        (Self::Rejections, 1),
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Site => "site report",
            Self::Page => "page report",
            Self::OneMetric => "one metric of all routes",
            Self::Phones => "phones of seven days",
            Self::Breakdown => "breakdown",
            Self::Attribution => "attribution of a page",
            Self::Series => "series of a month by hour",
            Self::Compare => "comparison of two weeks",
            Self::Samples => "slow page views of a page",
            Self::Summary => "summary of a month",
            Self::Rejections => "rejections",
        }
    }

    fn path(self, route: &str, [month, week]: &[String; 2]) -> String {
        let asked = match self {
            Self::Overview => format!("pages?{month}&limit=50"),
            Self::Site => format!("report?{month}"),
            Self::Page => format!("report?{month}&route={route}"),
            Self::OneMetric => format!("pages?{month}&metrics=LCP&metric=LCP&sort=p75&limit=500"),
            Self::Phones => format!("pages?{week}&device=phone&limit=50"),
            Self::Breakdown => format!("breakdown?{month}&by=browser"),
            Self::Attribution => format!("attribution?{month}&metric=lcp&route={route}"),
            Self::Series => format!("series?{month}&step=hour&metric=LCP"),
            Self::Compare => format!("compare?{week}&against=previous"),
            Self::Samples => format!("samples?{week}&metric=lcp&around=75&route={route}"),
            Self::Summary => format!("summary?{month}"),
            Self::Rejections => "rejections".to_owned(),
        };
        format!("/api/v1/sites/shop/{asked}")
    }
}

/// Makes the paths of the mix, in an order that repeats.
pub(crate) struct Mix {
    periods: [String; 2],
    routes: Vec<String>,
    order: Vec<Question>,
}

impl Mix {
    /// With `now_ms`, the questions' periods end now.
    pub(crate) fn new(now_ms: Option<i64>) -> Self {
        let periods = now_ms.map_or_else(|| PAST.map(str::to_owned), until_now);
        let traffic = Traffic::new(SEED, 1, FROM_MS, TO_MS);
        let routes = traffic.routes().take(ROUTES).map(|route| route.replace(':', "%3A")).collect();
        let slots: Vec<Question> =
            Question::ALL.iter().flat_map(|&(question, share)| vec![question; share]).collect();
        // Seven and 25 have no common divisor, so that each slot occurs once and equal questions are apart.
        let order = (0..slots.len()).map(|place| slots[place * 7 % slots.len()]).collect();
        Self { periods, routes, order }
    }

    /// The path of a question about a page, if it is about one.
    pub(crate) fn path(&self, question: Question, page: usize) -> String {
        question.path(&self.routes[page % self.routes.len()], &self.periods)
    }

    /// The path at a place of the mix.
    pub(crate) fn at(&self, place: usize) -> String {
        self.path(self.order[place % self.order.len()], place / self.order.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mix_has_each_question_in_its_share() {
        let mix = Mix::new(None);
        for (question, share) in Question::ALL {
            assert_eq!(mix.order.iter().filter(|&&other| other == question).count(), share, "{question:?}");
        }
        assert_eq!(mix.order.len(), 25);
    }
}
