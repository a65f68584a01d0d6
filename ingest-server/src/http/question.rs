//! Query parameters of the read API: filters and grouping.

use crate::clock::now_ms;
use crate::http::error::ApiError;
use crate::http::nearest::nearest;
use crate::report::Range;
pub(super) use crate::report::short;
use fieldvitals_store::context::property::Condition;
use fieldvitals_store::{CellQuery, ContextFilter, ContextProperty, Dimension, Filters, GroupBy, Site};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use vitals::metric::{Metric, Metrics};
use vitals::view::{Device, NavigationType, Os};

/// Selects the page views of a query.
///
/// The `period` of an answer is the counted period: the requested minutes, limited to retained data. It extends to whole
/// hours or UTC days at its ends if their page views are past retention or too many to read. Queries with several
/// filters, with `os`, or with `viewport` and the filters below it, read page views, within their retention.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// The last hours or days, such as `1h`, `24h`, `7d` (the default), `28d`. Ends with the current minute, or with the
    /// current hour if longer than 2 days.
    period: Option<String>,
    /// Start of the period by page view start, RFC 3339; replaces `period`.
    from: Option<String>,
    /// End of the period, excluded; now when absent or in the future.
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
    /// Only this class of the window's width: `small`, `medium` or `large`.
    viewport: Option<String>,
    /// Only this protocol: `http/1.1`, `h2`, `h3` or `other`.
    protocol: Option<String>,
    /// Only this source of the document: `network`, `cache` or `navigational-prefetch`.
    delivery: Option<String>,
    /// Only this class of the connection's round trip, such as `under-100`.
    rtt: Option<String>,
    /// Only this class of the device's memory: `low`, `medium` or `high`.
    memory: Option<String>,
    /// Only this class of the device's processor: `low`, `medium` or `high`.
    cpu: Option<String>,
    /// Only engaged visitors (`yes`), or others (`no`).
    engaged: Option<String>,
    /// Only page views with this value of a tag, such as `plan:pro`.
    tag: Option<String>,
    /// Only page views with this mark, such as `order`.
    mark: Option<String>,
    /// Only page views with this `Server-Timing` entry and description, such as `cdn-cache:HIT`.
    server_timing: Option<String>,
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
    /// The other filters, by name: `viewport`, `tag:plan`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    context: BTreeMap<String, String>,
}

impl From<Filters> for FiltersReport {
    fn from(filters: Filters) -> Self {
        let context = filters.context.into_iter().map(|filter| (filter.property.name(), filter.value));
        Self {
            context: context.collect(),
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
            context: self.context()?,
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

    fn context(&self) -> Result<Vec<ContextFilter>, ApiError> {
        let mut filters = Vec::new();
        let classes = [
            (ContextProperty::Viewport, &self.viewport),
            (ContextProperty::Condition(Condition::Protocol), &self.protocol),
            (ContextProperty::Condition(Condition::Delivery), &self.delivery),
            (ContextProperty::Condition(Condition::Rtt), &self.rtt),
            (ContextProperty::Condition(Condition::Memory), &self.memory),
            (ContextProperty::Condition(Condition::Cpu), &self.cpu),
            (ContextProperty::Condition(Condition::Engaged), &self.engaged),
        ];
        for (property, asked) in classes {
            if let Some(value) = named(property.kind(), asked, &property.fixed_values(), |value| value)? {
                filters.push(ContextFilter { property, value: value.to_owned() });
            }
        }
        if let Some((name, value)) = pair("tag", "plan:pro", &self.tag)? {
            filters.push(ContextFilter { property: ContextProperty::Tag(name), value });
        }
        if let Some(name) = given(&self.mark) {
            let property = ContextProperty::Mark(name.to_owned());
            filters.push(ContextFilter { property, value: "yes".to_owned() });
        }
        if let Some((name, value)) = pair("server_timing", "cdn-cache:HIT", &self.server_timing)? {
            filters.push(ContextFilter { property: ContextProperty::ServerTiming(name), value });
        }
        Ok(filters)
    }

    /// Takes the parameter `mark`, for queries that use it in another way.
    pub fn take_mark(&mut self) -> Option<String> {
        self.mark.take().filter(|name| !name.is_empty())
    }

    /// Whether the query selects metrics.
    pub fn names_metrics(&self) -> bool {
        given(&self.metrics).is_some()
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
        let filters = self.filters()?;
        match filters.context.first() {
            Some(filter) => Err(ApiError::parameter(format!(
                "`{}` is not taken here: budgets are judged without properties of the context",
                filter.property.kind()
            ))),
            None => Ok(filters),
        }
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
    /// `device`, `browser`, `os`, `country`, `connection`, `navigation_type` or `release`. Breakdowns also by `viewport`,
    /// `protocol`, `delivery`, `rtt`, `memory`, `cpu`, `engaged`, `tag:NAME`, `mark:NAME` or `server_timing:NAME`, within
    /// the retention of page views.
    by: Option<String>,
}

/// A property by which page views are grouped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// A dimension, or the operating system.
    Column(GroupBy),
    /// A property of the context.
    Context(ContextProperty),
}

impl Grouping {
    /// The name in the API.
    pub fn name(&self) -> String {
        match self {
            Self::Column(by) => by.name().to_owned(),
            Self::Context(property) => property.name(),
        }
    }
}

/// A parameter, and the property of a name.
type Named = (&'static str, fn(String) -> ContextProperty);

/// The properties of a context with a name of their own.
const NAMED: [Named; 3] = [
    ("tag", ContextProperty::Tag),
    ("mark", ContextProperty::Mark),
    ("server_timing", ContextProperty::ServerTiming),
];

impl ByParam {
    /// Parses the dimension; `None` if absent. Refuses properties of the context.
    pub fn given(&self) -> Result<Option<GroupBy>, ApiError> {
        named("by", &self.by, &GroupBy::ALL, GroupBy::name)
    }

    /// Parses the dimension, or a property of the context.
    pub fn grouping(&self) -> Result<Grouping, ApiError> {
        let Some(text) = given(&self.by) else {
            return Err(ApiError::parameter(format!("`by` is missing: expected {}", one_of(groupings()))));
        };
        if let Some(&by) = GroupBy::ALL.iter().find(|by| by.name() == text) {
            return Ok(Grouping::Column(by));
        }
        if let Some(class) = ContextProperty::CLASSES.into_iter().find(|class| class.kind() == text) {
            return Ok(Grouping::Context(class));
        }
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        match NAMED.iter().find(|(known, _)| *known == kind) {
            Some((_, property)) if !name.is_empty() => Ok(Grouping::Context(property(name.to_owned()))),
            Some((kind, _)) => Err(ApiError::parameter(format!("`by` is `{kind}`: expected {kind}:NAME"))),
            None => Err(unknown_value("by", text, groupings())),
        }
    }
}

/// The values of `by`.
fn groupings() -> impl Iterator<Item = &'static str> {
    let columns = GroupBy::ALL.into_iter().map(GroupBy::name);
    let classes = ContextProperty::CLASSES.into_iter().map(|class| class.kind());
    columns.chain(classes).chain(["tag:NAME", "mark:NAME", "server_timing:NAME"])
}

/// Parses a parameter of a name and a value, such as `plan:pro`.
fn pair(parameter: &str, example: &str, text: &Option<String>) -> Result<Option<(String, String)>, ApiError> {
    let Some(text) = given(text) else { return Ok(None) };
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() => Ok(Some((name.to_owned(), value.to_owned()))),
        _ => Err(ApiError::parameter(format!(
            "`{parameter}` is `{}`: expected a name and a value, such as {example}",
            short(text)
        ))),
    }
}

/// Returns the error for a value that is none of the allowed ones, with the nearest of them.
fn unknown_value<'a>(parameter: &str, text: &str, allowed: impl IntoIterator<Item = &'a str>) -> ApiError {
    let allowed: Vec<&str> = allowed.into_iter().collect();
    let shown = short(text);
    let near = nearest(&shown, allowed.iter().copied()).map(|near| format!("did you mean `{near}`? "));
    ApiError::parameter(format!(
        "`{parameter}` is `{shown}`: {}expected {}",
        near.unwrap_or_default(),
        one_of(allowed)
    ))
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
        None => Err(unknown_value(parameter, text, all.iter().map(|&value| name(value)))),
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

/// Parses the id of a row in a path. `what` is the row, such as "an alert".
pub(super) fn row_id(what: &str, text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|_| {
        ApiError::parameter(format!("`{}` is no id of {what}: expected a whole number", short(text)))
    })
}

/// Parses the name of a metric.
pub(super) fn metric(name: &str) -> Result<Metric, ApiError> {
    Metric::from_name(name).ok_or_else(|| ApiError::parameter(vitals::beacon::unknown_metric(name)))
}

/// Returns a parameter's value; `None` if absent or empty.
pub(super) fn given(parameter: &Option<String>) -> Option<&str> {
    parameter.as_deref().filter(|text| !text.is_empty())
}
