//! Lists the gaps in a summary, with the reasons.

use crate::advice::AdviceReport;
use crate::report::{Range, RankedPage, time_text};
use fieldvitals_store::Cell;
use fieldvitals_store::rollup::HOUR_MS;
use serde::Serialize;
use utoipa::ToSchema;
use vitals::advice::Silence;

/// Share of page views under `(other)` from which a summary says so.
const OTHER_SHARE_MIN: f64 = 0.01;
/// A gap in a summary.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MissingReport {
    /// `no-views`, `past-retention`, `too-few-values`, `too-few-causes`, `routes-hidden`, `routes-in-other` or
    /// `no-advice`.
    code: &'static str,
    /// The sentence for people.
    message: String,
}

/// The contents of a summary.
pub(super) struct Known<'a> {
    pub(super) asked: Range,
    pub(super) period: &'a std::ops::Range<i64>,
    pub(super) whole: &'a Cell,
    /// Page views of routes beyond the site's places.
    pub(super) other: i64,
    pub(super) pages: Option<&'a RankedPage>,
    pub(super) advice: Option<&'a AdviceReport>,
}

impl Known<'_> {
    /// Lists the gaps.
    pub(super) fn missing(&self) -> Vec<MissingReport> {
        let say = |code, message: String| Some(MissingReport { code, message });
        if self.whole.views == 0 {
            let message = "There are no page views of this selection in the period.".to_owned();
            return vec![MissingReport { code: "no-views", message }];
        }
        let start = self.period.start;
        let retention = (start > self.asked.from_ms.saturating_add(HOUR_MS)).then(|| {
            let from = time_text(start);
            say(
                "past-retention",
                format!("Page views before {from} are past retention or not detailed enough."),
            )
        });
        let hidden = self.pages.filter(|pages| pages.hidden > 0).and_then(|pages| {
            let (hidden, min_n) = (pages.hidden, pages.min_n);
            say(
                "routes-hidden",
                format!("{hidden} routes with fewer than {min_n} page views are not ranked."),
            )
        });
        let share = self.other as f64 / self.whole.views as f64;
        let other = (share >= OTHER_SHARE_MIN).then(|| {
            let percent = share * 100.0;
            say(
                "routes-in-other",
                format!(
                    "{percent:.1} % of the page views are on routes beyond the site's places; `fieldvitals site routes \
                     suggest` shows groups for them."
                ),
            )
        });
        let advice = match self.advice {
            None => vec![say("no-advice", "Advice is about one route or the whole site.".to_owned())],
            Some(advice) => {
                let lacks = [Silence::TooFewValues.code(), Silence::TooFewCauses.code()];
                let lacking = advice.silent().iter().filter(|silent| lacks.contains(&silent.code));
                lacking
                    .map(|silent| say(silent.code, format!("{}: {}.", silent.metric, silent.message)))
                    .collect()
            }
        };
        [retention.flatten(), hidden, other.flatten()].into_iter().chain(advice).flatten().collect()
    }
}
