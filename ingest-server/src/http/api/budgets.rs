//! Budgets that are kept on the server.

use crate::clock::now_ms;
use crate::gate::{self, BudgetReport, Measured, NotEvaluatedReport};
use crate::http::answer::ask;
use crate::http::api::{Answer, json};
use crate::http::body::{ApiBody, BodyError};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::question::number;
use crate::http::responses::QuestionErrors;
use crate::http::{State, auth};
use crate::limits;
use crate::questions::Cost;
use crate::report::{PeriodReport, Range, time_text, unit_name};
use crate::standing::{Episode, SiteState, what_if};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, web};
use fieldvitals_store::{AppliedBudgets, NewBudgets, Scope, Store};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use vitals::budget::BudgetFile;

/// The version of a budget file.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VersionParam {
    /// The number of a version; the newest when absent. The last 20 are kept.
    version: Option<String>,
}

/// Guards a change of the budgets against another one beside it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReplacesParam {
    /// The number of the version that the file was made from, 0 if no budgets were kept. If another version is the newest by
    /// then, nothing changes and the answer is 409. When absent, the file replaces any version.
    replaces: Option<String>,
}

/// The budgets of a site.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeptReport {
    site: String,
    /// The number of the version; absent if no budgets are kept.
    version: Option<i64>,
    /// Time of arrival.
    applied: Option<String>,
    /// The name of the token that sent it.
    by: Option<String>,
    /// The file, as it was sent; empty if no budgets are kept.
    text: String,
    /// The versions that are kept, the newest first.
    versions: Vec<VersionReport>,
}

/// A version of a budget file.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionReport {
    version: i64,
    applied: String,
    by: String,
}

/// A budget file was taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct AppliedReport {
    site: String,
    /// The number of the version. The same file again has the same number.
    version: i64,
    applied: String,
    by: String,
    /// Number of its budgets.
    budgets: usize,
    /// Limits in the file of another tool that page views cannot judge, and hosts in it that the site does not have.
    not_evaluated: Vec<NotEvaluatedReport>,
}

/// The state of the budgets that are kept on the server.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatesReport {
    site: String,
    /// The number of the version; absent if no budgets are kept.
    version: Option<i64>,
    applied: Option<String>,
    by: Option<String>,
    /// The last round of looks; absent before the first one.
    judged: Option<String>,
    budgets: Vec<StateReport>,
}

/// The state of a budget, and how near it is to its limit.
#[derive(Debug, Serialize, ToSchema)]
pub struct StateReport {
    /// `undecided`, `kept` or `broken`: the last verdict of a look.
    state: &'static str,
    /// When the state began.
    since: String,
    /// Start of the page views of the running sequence of looks, which the verdict below is about.
    from: String,
    /// The time since which no page view has the metric; absent if it is less than a day ago. `state` is then that of the last
    /// verdict, and says nothing of today.
    no_views_since: Option<String>,
    /// The measured percentile of `evidence` as a share of `max`: 1.04 is 4 % over it.
    used: Option<f64>,
    /// The numbers to show: those of the running sequence if it has `min_samples` page views, else those of the last verdict.
    evidence: EvidenceReport,
    #[serde(flatten)]
    budget: BudgetReport,
}

/// What was counted of a budget, and when.
#[derive(Debug, Serialize, ToSchema)]
pub struct EvidenceReport {
    /// Start of the counted page views.
    from: String,
    /// Their end.
    to: String,
    /// Whether these are the numbers of the last verdict, and the running sequence has too few page views.
    of_verdict: bool,
    #[serde(flatten)]
    counted: Measured,
}

/// What budgets would have done.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayReport {
    site: String,
    /// The replayed period: 28 days, fewer of a site with more than three million page views in it.
    period: PeriodReport,
    budgets: Vec<ReplayedReport>,
}

/// What a budget would have done.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayedReport {
    line: usize,
    route: String,
    metric: &'static str,
    percentile: u8,
    max: f64,
    unit: &'static str,
    /// The identity of the budget, with its filters.
    key: String,
    /// Page views of the period with the metric.
    n: u64,
    /// Those at or under `max`.
    within: u64,
    /// `undecided`, `kept` or `broken`: the state at the end.
    state: &'static str,
    /// Hours in which it would have been broken.
    broken_hours: i64,
    /// The alerts that there would have been, the oldest first.
    alerts: Vec<EpisodeReport>,
}

/// A time in which a budget would have been broken.
#[derive(Debug, Serialize, ToSchema)]
pub struct EpisodeReport {
    /// Time of the alert, to the hour.
    from: String,
    /// Time of the recovery; absent if it would still be broken.
    to: Option<String>,
}

/// The budget file of a site, as it was sent.
#[utoipa::path(get, path = "/api/v1/sites/{site}/budgets", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), VersionParam),
    responses((status = 200, body = KeptReport), QuestionErrors))]
pub async fn kept(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    params: web::Query<VersionParam>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let asked = number("version", &params.version, [0, i64::MAX], 0)?;
    let asked = (asked > 0).then_some(asked);
    let question = move |store: Arc<dyn Store>| async move {
        let versions = store.budget_versions(site.id).await?;
        let found = store.budgets(site.id, asked).await?;
        if let (Some(asked), None) = (asked, &found) {
            let kept: Vec<String> = versions.iter().map(|one| one.version.to_string()).collect();
            let kept = if kept.is_empty() { "none".to_owned() } else { kept.join(", ") };
            return Err(ApiError::parameter(format!(
                "`version` is {asked}: the versions that are kept are {kept}"
            )));
        }
        let of = |version: AppliedBudgets| VersionReport {
            version: version.version,
            applied: time_text(version.applied_ms),
            by: version.applied_by,
        };
        Ok(KeptReport {
            site: site.name.clone(),
            version: found.as_ref().map(|found| found.version),
            applied: found.as_ref().map(|found| time_text(found.applied_ms)),
            by: found.as_ref().map(|found| found.applied_by.clone()),
            text: found.map(|found| found.text).unwrap_or_default(),
            versions: versions.into_iter().map(of).collect(),
        })
    };
    ask(&state, &request, Cost::Usual, question).await
}

fn parse(body: &Result<Bytes, BodyError>) -> Result<(&str, BudgetFile), ApiError> {
    let body = body.as_ref().map_err(|&error| ApiError::body(error))?;
    let text = std::str::from_utf8(body).map_err(|_| ApiError::budget("the budget file is not UTF-8"))?;
    let file = vitals::budget::parse(text).map_err(|error| ApiError::budget(error.to_string()))?;
    if let Some(budget) = file.budgets.iter().find(|budget| budget.limit.max().is_none()) {
        return Err(ApiError::budget(format!(
            "line {}: the server watches budgets with `max`; keep budgets with `max_increase` in the file of the pipeline, \
             which knows the release",
            budget.line
        )));
    }
    Ok((text, file))
}

/// Keeps a budget file as the newest version. The server judges its budgets from now on, and opens alerts.
#[utoipa::path(put, path = "/api/v1/sites/{site}/budgets", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), ReplacesParam),
    request_body(content = String, content_type = "application/toml", description = "A budget file (docs/budgets.md)"),
    responses((status = 200, body = AppliedReport), (status = 403, description = "A token of the scope `read`", body = ErrorBody),
        (status = 409, description = "Another version is the newest by now", body = ErrorBody), QuestionErrors))]
pub async fn apply(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    params: web::Query<ReplacesParam>,
    body: ApiBody,
) -> Answer {
    let access = auth::require(&state, &request, Scope::Write).await?;
    let site = auth::site(&state, &request, &name).await?;
    let replaces = number("replaces", &params.replaces, [0, i64::MAX], -1)?;
    let (text, file) = parse(&body.0)?;
    // A NUL is no text in Postgres.
    if text.contains('\0') {
        return Err(ApiError::budget("the budget file has a NUL character"));
    }
    let budgets = NewBudgets {
        text: text.to_owned(),
        routes: gate::exact_routes(&file, &site),
        applied_ms: now_ms(),
        applied_by: auth::caller_name(&state, &access),
        replaces: (replaces >= 0).then_some(replaces),
    };
    let applied = state.store()?.budgets_put(site.id, &budgets).await?;
    if applied.text != budgets.text {
        return Err(ApiError::budgets_changed(replaces, &applied));
    }
    Ok(json(AppliedReport {
        site: site.name.clone(),
        version: applied.version,
        applied: time_text(applied.applied_ms),
        by: applied.applied_by,
        budgets: file.budgets.len(),
        not_evaluated: gate::not_evaluated(&file, &site),
    }))
}

/// The state of each budget that is kept on the server, its evidence, and how near it is to its limit.
#[utoipa::path(get, path = "/api/v1/sites/{site}/budgets/state", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")),
    responses((status = 200, body = StatesReport), QuestionErrors))]
pub async fn state(state: web::Data<State>, request: HttpRequest, name: web::Path<String>) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let question = move |store: Arc<dyn Store>| async move {
        let now_ms = now_ms();
        let applied = store.budgets(site.id, None).await?;
        let mut kept = SiteState::read(store.as_ref(), site.id).await?;
        let judged = (kept.judged_ms > 0).then(|| time_text(kept.judged_ms));
        let mut reports = Vec::new();
        if let Some(applied) = &applied {
            let file =
                vitals::budget::parse(&applied.text).map_err(|error| ApiError::budget(error.to_string()))?;
            // The next round of looks follows a new file; this answer follows it already.
            let budgets = gate::with_values(file);
            kept.follow(applied.version, &budgets, now_ms);
            let looks = gate::standing(store.as_ref(), &site, &budgets, &kept.starts(), now_ms).await?;
            for (watched, look) in kept.budgets.iter().zip(looks) {
                let before = watched.decided.as_ref().filter(|_| !look.report.is_judged());
                let (from_ms, to_ms, counted) = match before {
                    Some(decided) => (decided.from_ms, decided.at_ms, decided.measured),
                    None => (watched.sequence.from_ms, now_ms, look.report.counted()),
                };
                reports.push(StateReport {
                    state: watched.sequence.state.name(),
                    since: time_text(watched.sequence.since_ms),
                    from: time_text(watched.sequence.from_ms),
                    no_views_since: watched
                        .sequence
                        .silent_since_ms(now_ms, look.report.counted().n)
                        .map(time_text),
                    used: counted.used(look.report.max()),
                    evidence: EvidenceReport {
                        from: time_text(from_ms),
                        to: time_text(to_ms),
                        of_verdict: before.is_some(),
                        counted,
                    },
                    budget: look.report,
                });
            }
        }
        Ok(StatesReport {
            site: site.name.clone(),
            version: applied.as_ref().map(|applied| applied.version),
            applied: applied.as_ref().map(|applied| time_text(applied.applied_ms)),
            by: applied.map(|applied| applied.applied_by),
            judged,
            budgets: reports,
        })
    };
    ask(&state, &request, Cost::Usual, question).await
}

/// Replays budgets over the last 28 days: the alerts that they would have raised, looking once an hour.
#[utoipa::path(post, path = "/api/v1/sites/{site}/budgets/what-if", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")),
    request_body(content = String, content_type = "application/toml", description = "A file of at most 20 budgets (docs/budgets.md)"),
    responses((status = 200, body = ReplayReport), QuestionErrors))]
pub async fn replay(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    body: ApiBody,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let (_, file) = parse(&body.0)?;
    let max = limits::WHAT_IF_BUDGETS_MAX;
    if file.budgets.len() > max {
        return Err(ApiError::budget(format!(
            "{} budgets; at most {max} are replayed at once",
            file.budgets.len()
        )));
    }
    let kept_days = state.keeping.current().0.raw_days;
    let question = move |store: Arc<dyn Store>| async move {
        let now_ms = now_ms();
        let replay = what_if(store.as_ref(), &site, &file.budgets, now_ms, kept_days).await?;
        let hours = |episode: &Episode| (episode.to_ms.unwrap_or(now_ms) - episode.from_ms) / 3_600_000;
        let budgets = file.budgets.iter().zip(replay.budgets).map(|(budget, simulated)| ReplayedReport {
            line: budget.line,
            route: budget.route.clone(),
            metric: budget.metric.name(),
            percentile: budget.percentile,
            // `parse` refuses budgets without a value.
            max: budget.limit.max().map(|max| max.number(budget.metric)).unwrap_or_default(),
            unit: unit_name(budget.metric),
            key: budget.key(),
            n: simulated.n,
            within: simulated.within,
            state: simulated.state.name(),
            broken_hours: simulated.broken.iter().map(hours).sum(),
            alerts: simulated
                .broken
                .iter()
                .map(|one| EpisodeReport { from: time_text(one.from_ms), to: one.to_ms.map(time_text) })
                .collect(),
        });
        let range = Range { from_ms: replay.period.start, to_ms: replay.period.end };
        Ok(ReplayReport { site: site.name.clone(), period: range.into(), budgets: budgets.collect() })
    };
    ask(&state, &request, Cost::Large, question).await
}
