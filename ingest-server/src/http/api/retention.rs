//! How long data is kept.

use crate::administration::RetentionChange;
use crate::http::api::settings::{Change, SettingsBody, read, to_its_end};
use crate::http::api::{Answer, json};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::{State, auth};
use crate::retention::Source;
use actix_web::{HttpRequest, web};
use fieldvitals_store::{Retention, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Retention of all sites, in days.
#[derive(Debug, Serialize, ToSchema)]
pub struct RetentionReport {
    /// The source: `defaults`, `store` (this API or `fieldvitals retention set`, for all servers of the store) or `options`
    /// (`--keep-views-days` and others of this server).
    from: &'static str,
    /// Of page views.
    views_days: u32,
    /// Of counts by the hour.
    hours_days: u32,
    /// Of counts by the day.
    rollups_days: u32,
}

impl From<(Retention, Source)> for RetentionReport {
    fn from((retention, source): (Retention, Source)) -> Self {
        let Retention { raw_days, hourly_days, daily_days } = retention;
        Self { from: source.name(), views_days: raw_days, hours_days: hourly_days, rollups_days: daily_days }
    }
}

/// A new retention, in days. Absent fields keep their values.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionBody {
    /// Of page views.
    #[schema(minimum = 2, maximum = 3_660)]
    views_days: Option<u32>,
    /// Of counts by the hour.
    #[schema(minimum = 1, maximum = 3_660)]
    hours_days: Option<u32>,
    /// Of counts by the day; at least as long as the others.
    #[schema(minimum = 2, maximum = 3_660)]
    rollups_days: Option<u32>,
}

/// How long this server keeps data.
#[utoipa::path(get, path = "/api/v1/retention", tag = "settings", security(("token" = [])),
    responses((status = 200, body = RetentionReport), (status = 401, body = ErrorBody)))]
pub async fn retention(state: web::Data<State>, request: HttpRequest) -> Answer {
    auth::require(&state, &request, Scope::Read).await?;
    Ok(json(RetentionReport::from(state.keeping.current())))
}

/// Sets how long all servers of this store keep data. They remove what is older within a minute, and it does not come back.
/// Of two changes at once the last one holds; the audit log has both. Needs the scope `admin` of all sites.
#[utoipa::path(put, path = "/api/v1/retention", tag = "settings", security(("token" = [])), request_body(content = RetentionBody),
    responses((status = 200, body = RetentionReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 409, description = "The options of this server decide (`retention_in_options`)", body = ErrorBody)))]
pub async fn set(state: web::Data<State>, request: HttpRequest, body: SettingsBody) -> Answer {
    let access = auth::require_all(&state, &request, Scope::Admin).await?;
    if state.keeping.current().1 == Source::Options {
        return Err(ApiError::retention_in_options());
    }
    let RetentionBody { views_days, hours_days, rollups_days } = read(body)?;
    let wanted = RetentionChange { views_days, hours_days, rollups_days };
    let change = Change::new(&state, &access)?;
    to_its_end(&state, async move { change.administration().retention_set(wanted).await }).await?;
    state.keeping.read(state.store()?.as_ref()).await?;
    Ok(json(RetentionReport::from(state.keeping.current())))
}
