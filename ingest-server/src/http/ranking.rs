//! Query parameters of a ranking: its order, its rows, and the place of a page in it.

use crate::http::error::ApiError;
use crate::http::question::{Filter, given, metric, named, number, short};
use crate::limits;
use crate::report::{Cursor, Order, Ranking, Sort};
use fieldvitals_store::Site;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use utoipa::IntoParams;
use vitals::limits::GATE_SAMPLES_MAX;

/// Default number of rows of a page.
const ROWS: usize = 50;

/// The order and the rows of a ranking.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RankingParams {
    /// The metric of the sort orders `impact`, `p75` and `poor`. When absent, `impact` takes the worst of the Core Web
    /// Vitals of each route, and the others LCP.
    metric: Option<String>,
    /// `impact` (the default: page views that are not good), `views`, `p75`, `poor` (share of poor page views) or
    /// `route`.
    #[param(value_type = Option<Sort>)]
    sort: Option<String>,
    /// `asc` or `desc` (the default; `asc` for routes).
    #[param(value_type = Option<Order>)]
    order: Option<String>,
    /// Page views below which a route is hidden, from 1 on. When absent: 100 for the sort orders `impact`, `p75` and
    /// `poor`, unless no route has so many; else 1. A metric with fewer values does not order its route.
    min_n: Option<String>,
    /// Only routes with this part in their name, in upper or lower case.
    search: Option<String>,
    /// `section` merges the routes of a first path segment into one row, such as `/c/*`.
    group: Option<String>,
    /// Rows per page, 1 to 500; 50 when absent.
    limit: Option<String>,
    /// `next_cursor` of the previous page, with the same parameters.
    cursor: Option<String>,
}

/// The routes of a ranking.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PatternParam {
    /// Only routes of this pattern, such as `/c/*`; `*` matches any run of characters, as in budgets.
    route: Option<String>,
}

impl PatternParam {
    /// Returns the pattern; `None` for all routes.
    pub fn pattern(&self) -> Option<String> {
        given(&self.route).map(str::to_owned)
    }
}

impl RankingParams {
    /// Parses the ranking of a question. `further` are its parameters that select routes.
    ///
    /// # Errors
    /// A parameter has a wrong value, or the cursor is of another question.
    pub fn ranking(
        &self,
        site: &Site,
        filter: &Filter,
        further: &impl std::fmt::Debug,
    ) -> Result<Ranking, ApiError> {
        let sort = named("sort", &self.sort, &Sort::ALL, Sort::name)?.unwrap_or(Sort::Impact);
        let order_default = if sort == Sort::Route { Order::Asc } else { Order::Desc };
        let order = named("order", &self.order, &[Order::Asc, Order::Desc], Order::name)?;
        let question = self.question(site, filter, further);
        Ok(Ranking {
            metric: given(&self.metric).map(metric).transpose()?,
            sort,
            order: order.unwrap_or(order_default),
            limit: number("limit", &self.limit, [1, limits::PAGE_ROWS_MAX], ROWS)?,
            min_n: match given(&self.min_n) {
                Some(_) => Some(number("min_n", &self.min_n, [1, GATE_SAMPLES_MAX as i64], 1)?),
                None => None,
            },
            search: given(&self.search).map(str::to_owned),
            pattern: None,
            by_section: named("group", &self.group, &["section"], |name| name)?.is_some(),
            question,
            after: given(&self.cursor).map(|text| cursor(text, question)).transpose()?,
        })
    }

    /// Hashes the question of a cursor: all parameters but `limit` and `cursor`.
    fn question(&self, site: &Site, filter: &Filter, further: &impl std::fmt::Debug) -> u32 {
        let Self { metric, sort, order, min_n, search, group, limit: _, cursor: _ } = self;
        let text = format!(
            "{:?}",
            (site.id, filter, further, [metric, sort, order, min_n, search, group].map(given))
        );
        let hash = Sha256::digest(text.as_bytes());
        hash.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte))
    }
}

fn cursor(text: &str, question: u32) -> Result<Cursor, ApiError> {
    let wrong = |what: &str| ApiError::parameter(format!("`cursor` {what}"));
    let cursor = Cursor::decode(text)
        .ok_or_else(|| wrong(&format!("is `{}`: expected a next_cursor of this ranking", short(text))))?;
    if cursor.question == question {
        Ok(cursor)
    } else {
        Err(wrong("is of another question: repeat all parameters of the page that gave it"))
    }
}
