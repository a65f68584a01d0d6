//! The history of the server's health.

use crate::clock::now_ms;
use crate::health::HistoryPoint;
use crate::http::api::{Answer, json};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::question::given;
use crate::http::{State, auth};
use crate::report::{PeriodReport, Range};
use actix_web::{HttpRequest, web};
use fieldvitals_store::Scope;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The period of a history.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryParams {
    /// The last hours or days, such as `1h`, `24h` (the default) and `30d`.
    period: Option<String>,
}

/// The history of the server's health in a period.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusHistoryReport {
    period: PeriodReport,
    /// Length of a part, in seconds: a minute, or more in long periods.
    step_s: i64,
    /// Parts in which the server ran, oldest first.
    points: Vec<HistoryPoint>,
}

/// The history of this server's health: values and states of up to 30 days.
#[utoipa::path(get, path = "/api/v1/status/history", tag = "read", security(("token" = [])), params(HistoryParams),
    responses((status = 200, body = StatusHistoryReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody)))]
pub async fn status_history(
    state: web::Data<State>,
    request: HttpRequest,
    params: web::Query<HistoryParams>,
) -> Answer {
    auth::require(&state, &request, Scope::Read).await?;
    let now_ms = now_ms();
    let period = given(&params.period).unwrap_or("24h");
    let range = Range::parse(Some(period), None, None, now_ms).map_err(ApiError::parameter)?;
    let (points, step_s) = state.health.history(range.from_ms, now_ms);
    Ok(json(StatusHistoryReport { period: range.into(), step_s, points }))
}
