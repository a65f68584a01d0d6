//! The verdict on a budget file.

use crate::clock::now_ms;
use crate::gate::{self, GateError, GateReport};
use crate::http::answer::ask;
use crate::http::api::Answer;
use crate::http::body::ApiBody;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::question::{Filter, given, named, short};
use crate::http::responses::QuestionErrors;
use crate::http::{State, auth, known};
use crate::questions::Cost;
use actix_web::{HttpRequest, web};
use fieldvitals_store::{Scope, Site, Store};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use vitals::budget::BudgetFile;
use vitals::gate::Looks;

/// The rule of a judgement.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LooksParam {
    /// How often the growing data of this question are judged: `one` (the default) is the exact test of a single look,
    /// `many` stays valid if the same question, from the same start, is asked until it is decided.
    looks: Option<String>,
}

impl LooksParam {
    fn looks(&self) -> Result<Looks, ApiError> {
        Ok(named("looks", &self.looks, &Looks::ALL, Looks::name)?.unwrap_or_default())
    }
}

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

/// A budget.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BudgetParams {
    /// The metric, such as `LCP`.
    #[param(required = true)]
    metric: Option<String>,
    /// The largest value that keeps the budget: milliseconds, `2.5s`, or a layout shift score. Either it or `max_increase` is
    /// required.
    max: Option<String>,
    /// The largest increase over the baseline, such as `5%`.
    max_increase: Option<String>,
    /// The difference up to which an increase never exceeds the budget, in the metric's unit; by default 100 ms of LCP and
    /// FCP, 20 ms of INP, 0.01 of CLS, 50 ms of TTFB, 10 ms of FID, 200 ms of TTI.
    min_increase: Option<String>,
    /// The page views to compare with: `previous` (the default), `release:NAME`, `beside:NAME` or `period:7d`.
    baseline: Option<String>,
    /// What follows if there are none: `inconclusive` (the default), or `warn`, with which the budget no longer counts for
    /// the verdict.
    on_no_baseline: Option<String>,
    /// A pattern of routes; all when absent.
    route: Option<String>,
    /// The percentile, 1 to 99; 75 when absent.
    percentile: Option<String>,
    /// Page views needed before the budget is judged; 100 when absent.
    min_samples: Option<String>,
}

impl BudgetParams {
    /// Reads the parameters by the rules of a budget file.
    fn file(&self) -> Result<BudgetFile, ApiError> {
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let mut text = "[[budget]]\n".to_owned();
        let parameters = [
            ("metric", &self.metric),
            ("max", &self.max),
            ("max_increase", &self.max_increase),
            ("min_increase", &self.min_increase),
            ("baseline", &self.baseline),
            ("on_no_baseline", &self.on_no_baseline),
            ("route", &self.route),
            ("percentile", &self.percentile),
            ("min_samples", &self.min_samples),
        ];
        for (name, value) in parameters {
            // The strings of JSON are strings of TOML.
            text.extend(given(value).map(|value| match name {
                "max" | "min_increase" | "percentile" | "min_samples" if is_number(value) => {
                    format!("{name} = {value}\n")
                }
                _ => format!("{name} = {}\n", serde_json::Value::from(value)),
            }));
        }
        vitals::budget::parse(&text)
            .map_err(|error| ApiError::parameter(format!("{}; expected {}", error.found, error.expected)))
    }
}

/// Judges a budget file against the stored page views.
///
/// The answer is `200` for every verdict; `verdict` is `pass`, `fail` or `inconclusive`.
#[utoipa::path(post, path = "/api/v1/sites/{site}/gate", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), Filter, LooksParam, RecordParam),
    request_body(content = String, content_type = "application/toml", description = "A budget file (docs/budgets.md)"),
    responses((status = 200, body = GateReport), (status = 403, description = "`record` with a token of the scope `read`", body = ErrorBody), QuestionErrors))]
pub async fn gate(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    filter: web::Query<Filter>,
    looks: web::Query<LooksParam>,
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
    let file = vitals::budget::parse(text).map_err(|error| ApiError::budget(error.to_string()))?;
    let question =
        gate::Question { range: filter.range()?, filters: filter.of_gate()?, looks: looks.looks()?, record };
    let of_file = |line: usize, refused: &ApiError| ApiError::budget(format!("line {line}: {refused}"));
    judge(&state, &request, site, (file, of_file), question).await
}

/// Judges one budget, given by parameters.
///
/// The answer is `200` for every verdict, so that Argo Rollouts can read it: `successCondition: result.verdict == "pass"`,
/// `failureCondition: result.verdict == "fail"`.
#[utoipa::path(get, path = "/api/v1/sites/{site}/gate", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), BudgetParams, Filter, LooksParam),
    responses((status = 200, body = GateReport), QuestionErrors))]
pub async fn one(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    budget: web::Query<BudgetParams>,
    filter: web::Query<Filter>,
    looks: web::Query<LooksParam>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let question = gate::Question {
        range: filter.range()?,
        filters: filter.of_gate()?,
        looks: looks.looks()?,
        record: false,
    };
    let of_query = |_: usize, refused: &ApiError| ApiError::parameter(refused.to_string());
    judge(&state, &request, site, (budget.file()?, of_query), question).await
}

/// What Flagger sends to a webhook. Further fields are ignored.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct FlaggerCall {
    /// The `metadata` of the webhook in the canary: `token` is a token of the scope `read`, as Flagger sends no header.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// The answer to an inconclusive verdict.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OnInconclusiveParam {
    /// `pass` (the default) answers 200, so that an analysis goes on; `fail` answers 409, so that a confirmation waits.
    #[param(value_type = Option<String>)]
    on_inconclusive: Option<String>,
}

/// Judges one budget for a webhook of Flagger, which reads the status alone.
///
/// The answer is `200` for `pass`, and `409` for `fail`, at which Flagger halts the canary.
#[utoipa::path(post, path = "/api/v1/sites/{site}/gate/flagger", tag = "read", security(("token" = []), ()),
    params(("site" = String, Path, description = "The site's name or id"), BudgetParams, Filter, LooksParam, OnInconclusiveParam),
    request_body(content = FlaggerCall, content_type = "application/json"),
    responses((status = 200, body = GateReport), (status = 409, description = "The budget fails", body = ErrorBody), QuestionErrors))]
pub async fn flagger(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    (budget, filter, looks, inconclusive): (
        web::Query<BudgetParams>,
        web::Query<Filter>,
        web::Query<LooksParam>,
        web::Query<OnInconclusiveParam>,
    ),
    body: ApiBody,
) -> Answer {
    let body = body.0.map_err(ApiError::body)?;
    let call: FlaggerCall = serde_json::from_slice(&body)
        .map_err(|error| ApiError::parameter(format!("the body is no call of Flagger: {error}")))?;
    let site = match call.metadata.get("token") {
        Some(token) => auth::site_by_secret(&state, token, &name).await?,
        None => auth::site(&state, &request, &name).await?,
    };
    let goes_on = match given(&inconclusive.on_inconclusive) {
        None | Some("pass") => true,
        Some("fail") => false,
        Some(other) => {
            let other = short(other);
            return Err(ApiError::parameter(format!(
                "`on_inconclusive` is `{other}`: expected pass or fail"
            )));
        }
    };
    let question = gate::Question {
        range: filter.range()?,
        filters: filter.of_gate()?,
        looks: looks.looks()?,
        record: false,
    };
    let file = budget.file()?;
    let check = move |store: Arc<dyn Store>| async move {
        let judged = gate::check(store.as_ref(), &site, &file, question, now_ms()).await;
        let of_query = |_: usize, refused: &ApiError| ApiError::parameter(refused.to_string());
        let report = judged.map_err(|error| refused(error, of_query))?;
        match report.verdict() {
            "pass" => Ok(report),
            "inconclusive" if goes_on => Ok(report),
            verdict => Err(ApiError::halted(verdict, &report.reasons())),
        }
    };
    ask(&state, &request, Cost::Usual, check).await
}

async fn judge(
    state: &State,
    request: &HttpRequest,
    site: Arc<Site>,
    (file, placed): (BudgetFile, fn(usize, &ApiError) -> ApiError),
    question: gate::Question,
) -> Answer {
    let check = move |store: Arc<dyn Store>| async move {
        let judged = gate::check(store.as_ref(), &site, &file, question, now_ms()).await;
        judged.map_err(|error| refused(error, placed))
    };
    ask(state, request, Cost::Usual, check).await
}

/// The error of a baseline, with its place in the file or query.
fn refused(error: GateError, placed: fn(usize, &ApiError) -> ApiError) -> ApiError {
    let message = error.to_string();
    match error {
        GateError::Store(error) => error.into(),
        GateError::NoRelease { line, .. } | GateError::SameRelease { line, .. } => {
            placed(line, &ApiError::parameter(message))
        }
        GateError::UnknownRelease { line, release, known } => {
            placed(line, &known::no_release("baseline", &release, &known))
        }
    }
}
