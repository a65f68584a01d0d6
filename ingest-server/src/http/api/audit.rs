//! The audit log.

use crate::http::api::{Answer, json};
use crate::http::error::ErrorBody;
use crate::http::question::number;
use crate::http::{State, auth};
use crate::limits;
use crate::report::time_text;
use actix_web::{HttpRequest, web};
use fieldvitals_store::{AuditEntry, Scope};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Default number of entries in an answer.
const ROWS: usize = 50;

/// A part of the audit log.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditParams {
    /// Entries in the answer, 1 to 500; 50 when absent.
    limit: Option<String>,
    /// The `next_cursor` of the answer before.
    cursor: Option<String>,
}

/// Changes of settings.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditReport {
    /// The latest first.
    entries: Vec<EntryReport>,
    /// The `cursor` of the next part; absent at the end.
    next_cursor: Option<String>,
}

/// A change of settings.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryReport {
    at: String,
    /// The token that made the change, or `command line`.
    actor: String,
    /// The kind of change: `site.add`, `site.update`, `site.route_groups`, `site.rotate_key`, `site.delete`, `token.add`,
    /// `token.revoke` or `release.mark`.
    action: String,
    /// The name of the site or token.
    target: String,
    /// The settings before the change, without secrets; `null` if there were none.
    #[schema(value_type = Option<Object>)]
    before: Option<serde_json::Value>,
    /// The settings after the change.
    #[schema(value_type = Option<Object>)]
    after: Option<serde_json::Value>,
}

impl From<AuditEntry> for EntryReport {
    fn from(entry: AuditEntry) -> Self {
        let settings = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        Self {
            at: time_text(entry.at_ms),
            actor: entry.actor,
            action: entry.action,
            target: entry.target,
            before: settings(entry.before),
            after: settings(entry.after),
        }
    }
}

/// Who changed which setting, and when. Needs the scope `admin` of all sites.
#[utoipa::path(get, path = "/api/v1/audit", tag = "settings", security(("token" = [])), params(AuditParams),
    responses((status = 200, body = AuditReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub async fn audit(state: web::Data<State>, request: HttpRequest, params: web::Query<AuditParams>) -> Answer {
    auth::require_all(&state, &request, Scope::Admin).await?;
    let limit = number("limit", &params.limit, [1, limits::AUDIT_ROWS_MAX], ROWS)?;
    let before = number("cursor", &params.cursor, [0, i64::MAX], i64::MAX)?;
    let rows = u32::try_from(limit).unwrap_or(u32::MAX);
    let mut found = state.store()?.audit(Some(before), rows.saturating_add(1)).await?;
    let is_more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| is_more).map(|(number, _)| number.to_string());
    let entries = found.into_iter().map(|(_, entry)| entry.into()).collect();
    Ok(json(AuditReport { entries, next_cursor }))
}
