//! The verdict on a budget file.

use crate::clock::now_ms;
use crate::gate::{self, GateReport};
use crate::http::answer::ask;
use crate::http::api::Answer;
use crate::http::body::ApiBody;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::question::{Filter, given, short};
use crate::http::responses::QuestionErrors;
use crate::http::{State, auth};
use crate::questions::Cost;
use actix_web::{HttpRequest, web};
use fieldvitals_store::{Scope, Store};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// Recording of a judgement.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RecordParam {
    /// `true` opens violations of broken budgets and resolves violations of met budgets, visible to all readers of the
    /// site; the token needs the scope `write`. `false` (the default) changes nothing.
    #[param(value_type = Option<bool>)]
    record: Option<String>,
}

impl RecordParam {
    fn record(&self) -> Result<bool, ApiError> {
        match given(&self.record) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                Err(ApiError::parameter(format!("`record` is `{}`: expected true or false", short(other))))
            }
        }
    }
}

/// Judges a budget file against the stored page views.
///
/// The answer is `200` for every verdict; `verdict` is `pass`, `fail` or `inconclusive`.
#[utoipa::path(post, path = "/api/v1/sites/{site}/gate", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), Filter, RecordParam),
    request_body(content = String, content_type = "application/toml", description = "A budget file (docs/budgets.md)"),
    responses((status = 200, body = GateReport), (status = 403, description = "`record` with a token of the scope `read`", body = ErrorBody), QuestionErrors))]
pub async fn gate(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    filter: web::Query<Filter>,
    record: web::Query<RecordParam>,
    body: ApiBody,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let record = record.record()?;
    if record {
        auth::require(&state, &request, Scope::Write).await?;
    }
    let body = body.0.map_err(ApiError::body)?;
    let text = std::str::from_utf8(&body).map_err(|_| ApiError::budget("the budget file is not UTF-8"))?;
    let budgets = vitals::budget::parse(text).map_err(|error| ApiError::budget(error.to_string()))?;
    let (device, release) = filter.of_gate()?;
    let question = gate::Question { range: filter.range()?, device, release, record };
    let check = move |store: Arc<dyn Store>| async move {
        Ok(gate::check(store.as_ref(), &site, &budgets, question, now_ms()).await?)
    };
    ask(&state, &request, Cost::Usual, check).await
}
