//! Broken budgets.

use crate::clock::now_ms;
use crate::http::answer::ask;
use crate::http::api::Answer;
use crate::http::body::Body;
use crate::http::error::ApiError;
use crate::http::error::ErrorBody;
use crate::http::question::{given, number, row_id, short};
use crate::http::responses::QuestionErrors;
use crate::http::{State, auth};
use crate::limits;
use crate::questions::Cost;
use crate::report::{time_text, unit_name};
use actix_web::{HttpRequest, HttpResponse, web};
use fieldvitals_store::{Scope, Store, Violation};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use vitals::view::Device;

/// Filter and paging of violations.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ViolationParams {
    /// `open` (the default) or `all`.
    status: Option<String>,
    /// Violations per page, 1 to 500; 50 when absent.
    limit: Option<String>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Broken budgets.
#[derive(Debug, Serialize, ToSchema)]
pub struct ViolationsReport {
    violations: Vec<ViolationReport>,
    next_cursor: Option<String>,
}

/// A broken budget.
#[derive(Debug, Serialize, ToSchema)]
pub struct ViolationReport {
    id: i64,
    /// The route pattern of the budget.
    route: String,
    metric: &'static str,
    percentile: u8,
    max: f64,
    unit: &'static str,
    device: Option<&'static str>,
    release: Option<String>,
    /// The measured percentile of the last check that found the budget broken.
    measured: Option<f64>,
    /// Samples of that check. `within` counts the samples at or under the budget.
    n: i64,
    within: i64,
    opened: String,
    last_seen: String,
    /// Time of the check that found the budget met again; absent while the violation is open.
    resolved: Option<String>,
    /// When somebody dismissed it; absent if nobody did.
    dismissed: Option<String>,
    /// The name of the token that dismissed it.
    dismissed_by: Option<String>,
}

impl From<Violation> for ViolationReport {
    fn from(violation: Violation) -> Self {
        let judgement = violation.judgement;
        let metric = judgement.metric;
        let (dismissed, dismissed_by) = violation.dismissed.unzip();
        Self {
            id: violation.id,
            route: judgement.route,
            metric: metric.name(),
            percentile: judgement.percentile,
            max: judgement.at_most.number(metric),
            unit: unit_name(metric),
            device: judgement.device.map(Device::name),
            release: judgement.release,
            measured: judgement.measured.map(|value| value.number(metric)),
            n: judgement.n,
            within: judgement.within,
            opened: time_text(violation.opened_ms),
            last_seen: time_text(violation.last_seen_ms),
            resolved: violation.resolved_ms.map(time_text),
            dismissed: dismissed.map(time_text),
            dismissed_by,
        }
    }
}

/// A change of a violation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ViolationAction {
    /// `dismiss`: the violation leaves the list of open ones until its budget has been met once.
    action: Dismiss,
}

/// What to do with a violation.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Dismiss {
    Dismiss,
}

/// Whether a list is of open entries only: by `status`, which is `open` (the default) or `all`.
pub(super) fn open_only(status: &Option<String>) -> Result<bool, ApiError> {
    match given(status) {
        None | Some("open") => Ok(true),
        Some("all") => Ok(false),
        Some(other) => {
            Err(ApiError::parameter(format!("`status` is `{}`: expected open or all", short(other))))
        }
    }
}

/// Budgets that a check found broken: open violations first, then dismissed ones, each newest first.
#[utoipa::path(get, path = "/api/v1/sites/{site}/violations", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), ViolationParams),
    responses((status = 200, body = ViolationsReport), QuestionErrors))]
pub async fn violations(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    params: web::Query<ViolationParams>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let open_only = open_only(&params.status)?;
    let rows_max = u32::try_from(limits::PAGE_ROWS_MAX).unwrap_or(u32::MAX);
    let limit = number("limit", &params.limit, [1, rows_max], 50)?;
    let skip = number("cursor", &params.cursor, [0, u32::MAX / 2], 0)?;
    let question = move |store: Arc<dyn Store>| async move {
        let mut found = store.violations(site.id, open_only, skip, limit.saturating_add(1)).await?;
        let page = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = found.len() > page;
        found.truncate(page);
        let violations = found.into_iter().map(ViolationReport::from).collect();
        Ok(ViolationsReport { violations, next_cursor: more.then(|| skip.saturating_add(limit).to_string()) })
    };
    ask(&state, &request, Cost::Usual, question).await
}

/// Dismisses an open violation. Needs the scope `write`.
#[utoipa::path(post, path = "/api/v1/sites/{site}/violations/{id}", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), ("id" = String, Path, description = "The violation's id")),
    request_body(content = ViolationAction),
    responses((status = 204, description = "Dismissed"), (status = 403, description = "A token of the scope `read`", body = ErrorBody), QuestionErrors))]
pub async fn change(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    body: Body<{ limits::ALERT_CHANGE_BYTES_MAX }>,
) -> Answer {
    let access = auth::require(&state, &request, Scope::Write).await?;
    let (name, id) = path.into_inner();
    let site = auth::site(&state, &request, &name).await?;
    let id = row_id("a violation", &id)?;
    let body = body.0.map_err(ApiError::body)?;
    let ViolationAction { action: Dismiss::Dismiss } = serde_json::from_slice(&body).map_err(|error| {
        ApiError::parameter(format!("the body is not {{\"action\": \"dismiss\"}}: {error}"))
    })?;
    let by = auth::caller_name(&state, &access);
    if !state.store()?.violation_dismiss(site.id, id, now_ms(), &by).await? {
        return Err(ApiError::no_violation(id));
    }
    Ok(HttpResponse::NoContent().finish())
}
