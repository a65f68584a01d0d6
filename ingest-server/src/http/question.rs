//! Query parameters of the read API: filters, grouping, sorting and paging.

use crate::clock::now_ms;
use crate::http::error::ApiError;
use crate::limits;
use crate::report::{Cursor, Order, Range, Ranking, Sort};
use fieldvitals_store::{CellQuery, Dimension, Filters, GroupBy, Site};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vitals::metric::{Metric, Metrics};
use vitals::view::{Device, NavigationType, Os};

/// Selects the page views of a query.
///
/// The `period` of an answer is the counted period: the requested minutes, limited to retained data. It extends to whole
/// hours or UTC days at its ends if their page views are past retention or too many to read. Queries with several
/// filters, or with `os`, read page views, within their retention.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// The last hours or days, such as `1h`, `24h`, `7d` (the default), `28d`. Ends with the current minute, or with the
    /// current hour if longer than 2 days.
    period: Option<String>,
    /// Start of the period by page view start, RFC 3339; replaces `period`.
    from: Option<String>,
    /// End of the period, excluded; now when absent.
    to: Option<String>,
    /// `phone`, `tablet` or `desktop`; all when absent.
    device: Option<String>,
    /// Only this browser family.
    browser: Option<String>,
    /// Only this family of operating systems: `windows`, `android`, `ios`, `macos`, `linux`, `chromeos` or `other`.
    os: Option<String>,
    /// Only this country, ISO 3166-1 alpha-2.
    country: Option<String>,
    /// Only this effective connection type, such as `4g`.
    connection: Option<String>,
    /// Only this navigation type, such as `back-forward-cache`.
    navigation_type: Option<String>,
    /// Only this release.
    release: Option<String>,
    /// Only these metrics, such as `LCP,INP`; all when absent. Fewer metrics are faster.
    metrics: Option<String>,
}

/// The filters of a query, repeated in its answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct FiltersReport {
    device: Option<&'static str>,
    browser: Option<String>,
    os: Option<&'static str>,
    country: Option<String>,
    connection: Option<String>,
    navigation_type: Option<&'static str>,
    release: Option<String>,
}

impl From<Filters> for FiltersReport {
    fn from(filters: Filters) -> Self {
        Self {
            device: filters.device.map(Device::name),
            browser: filters.browser,
            os: filters.os.map(Os::name),
            country: filters.country,
            connection: filters.connection,
            navigation_type: filters.navigation_type.map(NavigationType::name),
            release: filters.release,
        }
    }
}

impl Filter {
    /// Parses the range of the query.
    pub fn range(&self) -> Result<Range, ApiError> {
        Range::parse(given(&self.period), given(&self.from), given(&self.to), now_ms())
            .map_err(ApiError::parameter)
    }

    fn filters(&self) -> Result<Filters, ApiError> {
        let text = |parameter| given(parameter).map(str::to_owned);
        Ok(Filters {
            device: named("device", &self.device, Device::ALL, Device::name)?,
            browser: text(&self.browser),
            os: named("os", &self.os, Os::ALL, Os::name)?,
            country: text(&self.country),
            connection: text(&self.connection),
            navigation_type: named(
                "navigation_type",
                &self.navigation_type,
                NavigationType::ALL,
                NavigationType::name,
            )?,
            release: text(&self.release),
        })
    }

    /// Returns the same filters with another value of one property.
    #[must_use]
    pub fn with(&self, by: GroupBy, value: &str) -> Self {
        let mut other = self.clone();
        let parameter = match by {
            GroupBy::Rolled(Dimension::Device) => &mut other.device,
            GroupBy::Rolled(Dimension::Browser) => &mut other.browser,
            GroupBy::Os => &mut other.os,
            GroupBy::Rolled(Dimension::Country) => &mut other.country,
            GroupBy::Rolled(Dimension::Connection) => &mut other.connection,
            GroupBy::Rolled(Dimension::NavigationType) => &mut other.navigation_type,
            GroupBy::Rolled(Dimension::Release) => &mut other.release,
        };
        *parameter = Some(value.to_owned());
        other
    }

    /// Refuses the parameter `metrics`, for queries that select metrics in another way.
    pub fn without_metrics(&self, instead: &str) -> Result<(), ApiError> {
        match given(&self.metrics) {
            None => Ok(()),
            Some(_) => Err(ApiError::parameter(format!("`metrics` is not taken here: {instead}"))),
        }
    }

    /// Returns the filters of a gate.
    pub fn of_gate(&self) -> Result<Filters, ApiError> {
        self.without_metrics("each budget names its own")?;
        self.filters()
    }

    fn metrics(&self) -> Result<Metrics, ApiError> {
        metrics(&self.metrics)
    }

    /// Builds the query for a site.
    pub fn query(&self, site: &Site, range: Range) -> Result<CellQuery, ApiError> {
        Ok(CellQuery { metrics: self.metrics()?, ..self.filtered(site, range)? })
    }

    /// Builds the query for all metrics.
    pub fn filtered(&self, site: &Site, range: Range) -> Result<CellQuery, ApiError> {
        let all = CellQuery::new(site.id, range.from_ms, range.to_ms);
        Ok(CellQuery { filters: self.filters()?, ..all })
    }
}

/// Dimension of a breakdown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ByParam {
    /// `device`, `browser`, `os`, `country`, `connection`, `navigation_type` or `release`.
    by: Option<String>,
}

impl ByParam {
    /// Parses the dimension; `None` if absent.
    pub fn given(&self) -> Result<Option<GroupBy>, ApiError> {
        named("by", &self.by, &GroupBy::ALL, GroupBy::name)
    }

    /// Parses the dimension.
    pub fn by(&self) -> Result<GroupBy, ApiError> {
        match self.given()? {
            Some(by) => Ok(by),
            None => Err(ApiError::parameter(format!(
                "`by` is missing: expected {}",
                one_of(GroupBy::ALL.map(GroupBy::name))
            ))),
        }
    }
}

/// Parses a parameter as one of the named values; `None` if absent.
pub(super) fn named<T: Copy>(
    parameter: &str,
    text: &Option<String>,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<Option<T>, ApiError> {
    let Some(text) = given(text) else { return Ok(None) };
    match all.iter().find(|&&value| name(value) == text) {
        Some(&value) => Ok(Some(value)),
        None => Err(ApiError::parameter(format!(
            "`{parameter}` is `{}`: expected {}",
            short(text),
            one_of(all.iter().map(|&value| name(value)))
        ))),
    }
}

/// Joins names for a message: `a, b or c`.
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    let last = names.pop().unwrap_or_default();
    if names.is_empty() { last.to_owned() } else { format!("{} or {last}", names.join(", ")) }
}

/// Parses a list of metrics; all if absent.
pub(super) fn metrics(parameter: &Option<String>) -> Result<Metrics, ApiError> {
    let Some(names) = given(parameter) else { return Ok(Metrics::ALL) };
    names.split(',').map(|name| metric(name.trim())).collect()
}

/// Parses a whole number within bounds.
pub(super) fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy>(
    name: &str,
    parameter: &Option<String>,
    [least, most]: [T; 2],
    absent: T,
) -> Result<T, ApiError> {
    let Some(text) = given(parameter) else { return Ok(absent) };
    text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        ApiError::parameter(format!("`{name}` is `{}`: expected {least} to {most}", short(text)))
    })
}

fn metric(name: &str) -> Result<Metric, ApiError> {
    Metric::from_name(name).ok_or_else(|| ApiError::parameter(vitals::beacon::unknown_metric(name)))
}

/// Returns a parameter's value; `None` if absent or empty.
pub(super) fn given(parameter: &Option<String>) -> Option<&str> {
    parameter.as_deref().filter(|text| !text.is_empty())
}

pub(super) fn short(text: &str) -> String {
    text.chars().take(32).collect()
}

/// Sorting and paging of the ranking.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RankingParams {
    /// The metric of the sort orders `p75` and `poor`; LCP when absent.
    metric: Option<String>,
    /// `views` (the default), `p75`, `poor` (share of poor page views) or `route`.
    #[param(value_type = Option<Sort>)]
    sort: Option<String>,
    /// `asc` or `desc` (the default; `asc` for routes).
    #[param(value_type = Option<Order>)]
    order: Option<String>,
    /// Routes per page, 1 to 500; 50 when absent.
    limit: Option<String>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

impl RankingParams {
    /// Parses the ranking.
    pub fn ranking(&self) -> Result<Ranking, ApiError> {
        let wrong = |name: &str, text: &str, expected: &str| {
            ApiError::parameter(format!("`{name}` is `{}`: expected {expected}", short(text)))
        };
        let metric = match given(&self.metric) {
            Some(name) => metric(name)?,
            None => Metric::Lcp,
        };
        let sort = match given(&self.sort) {
            None | Some("views") => Sort::Views,
            Some("p75") => Sort::P75,
            Some("poor") => Sort::Poor,
            Some("route") => Sort::Route,
            Some(other) => return Err(wrong("sort", other, "views, p75, poor or route")),
        };
        let order = match given(&self.order) {
            None if sort == Sort::Route => Order::Asc,
            None | Some("desc") => Order::Desc,
            Some("asc") => Order::Asc,
            Some(other) => return Err(wrong("order", other, "asc or desc")),
        };
        let limit = match given(&self.limit) {
            None => 50,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=limits::PAGE_ROWS_MAX).contains(limit))
                .ok_or_else(|| wrong("limit", text, "1 to 500"))?,
        };
        let after = given(&self.cursor)
            .map(|text| {
                Cursor::decode(text).ok_or_else(|| wrong("cursor", text, "a next_cursor of this ranking"))
            })
            .transpose()?;
        Ok(Ranking { metric, sort, order, limit, after })
    }
}
