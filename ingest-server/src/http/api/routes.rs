//! The routes of a site: groups that its page views suggest, their change, and a preview of rules.

use crate::administration::check;
use crate::clock::now_ms;
use crate::http::answer::ask;
use crate::http::api::settings::{Change, SettingsBody, read, to_its_end};
use crate::http::api::sites::SiteReport;
use crate::http::api::{Answer, json};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::question::{one_of, short};
use crate::http::responses::QuestionErrors;
use crate::http::{State, auth};
use crate::questions::{Busy, Cost};
use crate::routes::{PreviewReport, SuggestionsReport, preview as previewed, study};
use actix_web::{HttpRequest, web};
use fieldvitals_store::limits::ROUTE_GROUPS_REMOVED_MAX;
use fieldvitals_store::{Scope, Store};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Route rules to be tried.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RulesBody {
    /// The route patterns, in matching order, in place of those of the site.
    routes: Vec<String>,
}

/// A change of route groups.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GroupsBody {
    /// Suggested groups to add.
    add: Vec<String>,
    /// Groups to remove. Servers do not add them again.
    remove: Vec<String>,
}

/// Groups of routes that have too few page views each, with what each would join. Read from the page views of the last 30
/// days. `POST …/routes/groups` adds them.
#[utoipa::path(get, path = "/api/v1/sites/{site}/routes/suggestions", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")),
    responses((status = 200, body = SuggestionsReport), QuestionErrors))]
pub async fn suggestions(state: web::Data<State>, request: HttpRequest, name: web::Path<String>) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    ask(&state, &request, Cost::Usual, move |store| async move {
        let study = study(store.as_ref(), &site, now_ms()).await?;
        Ok(SuggestionsReport::new(&site, study))
    })
    .await
}

/// What route rules would name, of the page views of the last 30 days. Changes nothing.
#[utoipa::path(post, path = "/api/v1/sites/{site}/routes/preview", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")), request_body(content = RulesBody),
    responses((status = 200, body = PreviewReport), QuestionErrors))]
pub async fn preview(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    body: SettingsBody,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let RulesBody { routes } = read(body)?;
    let rules = check::routes(&routes).map_err(ApiError::parameter)?;
    ask(&state, &request, Cost::Usual, move |store: Arc<dyn Store>| async move {
        Ok(previewed(store.as_ref(), &site, rules, now_ms()).await?)
    })
    .await
}

/// Adds suggested route groups and removes others: new page views count so within a second. Needs the scope `write`.
///
/// Stored page views keep their routes; `fieldvitals site routes apply --rebuild` moves them.
#[utoipa::path(post, path = "/api/v1/sites/{site}/routes/groups", tag = "settings", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")), request_body(content = GroupsBody),
    responses((status = 200, body = SiteReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn groups(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    body: SettingsBody,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let access = auth::require(&state, &request, Scope::Write).await?;
    let GroupsBody { add, remove } = read(body)?;
    if add.is_empty() && remove.is_empty() {
        return Err(ApiError::parameter("the body changes nothing: give add or remove"));
    }
    let known = &site.route_groups.groups;
    let mut after = site.route_groups.clone();
    if !remove.is_empty() {
        refuse_unknown("group of this site", &remove, known)?;
        after = after.without(&remove);
        if after.removed.len() > ROUTE_GROUPS_REMOVED_MAX {
            return Err(ApiError::parameter(format!(
                "a site remembers at most {ROUTE_GROUPS_REMOVED_MAX} removed groups; set auto_routes to false, so that \
                 servers add none"
            )));
        }
    }
    if !add.is_empty() {
        let (store, of) = (Arc::clone(state.store()?), Arc::clone(&site));
        let study = async move { study(store.as_ref(), &of, now_ms()).await };
        let asked = state.questions.ask(Cost::Usual, study).await;
        let lesson = asked.map_err(|Busy| ApiError::busy())??.lesson;
        let suggested: Vec<String> =
            lesson.proposals.iter().map(|proposal| proposal.pattern.clone()).collect();
        refuse_unknown("suggested group", &add, &suggested)?;
        after = lesson.applied(&after, |proposal| add.contains(&proposal.pattern));
    }
    let change = Change::new(&state, &access)?;
    let update = async move { change.administration().site_route_groups(&site, &after).await };
    let site = to_its_end(&state, update).await?;
    Ok(json(SiteReport::from(&site)))
}

/// Refuses the first pattern that is none of the known ones.
fn refuse_unknown(what: &str, asked: &[String], known: &[String]) -> Result<(), ApiError> {
    let Some(wrong) = asked.iter().find(|pattern| !known.contains(pattern)) else { return Ok(()) };
    let expected = if known.is_empty() {
        "there is none".to_owned()
    } else {
        format!("expected {}", one_of(known.iter().map(String::as_str)))
    };
    Err(ApiError::parameter(format!("`{}` is no {what}: {expected}", short(wrong))))
}
