//! What is open on a site: alerts and violations, in one answer.

use crate::clock::now_ms;
use crate::http::answer::ask;
use crate::http::api::Answer;
use crate::http::api::alerts::AlertReport;
use crate::http::api::violations::ViolationReport;
use crate::http::responses::QuestionErrors;
use crate::http::{State, auth};
use crate::questions::Cost;
use actix_web::{HttpRequest, web};
use fieldvitals_store::Store;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Entries of each list.
const ROWS: u32 = 50;

/// Open alerts and violations, the newest 50 of each.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenReport {
    alerts: Vec<AlertReport>,
    violations: Vec<ViolationReport>,
}

/// The open alerts and violations of a site, for an overview.
#[utoipa::path(get, path = "/api/v1/sites/{site}/open", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")),
    responses((status = 200, body = OpenReport), QuestionErrors))]
pub async fn open(state: web::Data<State>, request: HttpRequest, name: web::Path<String>) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let question = move |store: Arc<dyn Store>| async move {
        let now_ms = now_ms();
        let alerts = store.alerts(site.id, true, 0, ROWS).await?;
        let violations = store.violations(site.id, true, 0, ROWS).await?;
        Ok(OpenReport {
            alerts: alerts.into_iter().map(|alert| AlertReport::new(alert, now_ms)).collect(),
            violations: violations.into_iter().map(Into::into).collect(),
        })
    };
    ask(&state, &request, Cost::Usual, question).await
}
