//! The route groups of a site, and those that its page views suggest.

use crate::clock::now_ms;
use crate::http::answer::ask;
use crate::http::api::Answer;
use crate::http::responses::QuestionErrors;
use crate::http::{State, auth};
use crate::questions::Cost;
use crate::routes::{SuggestionsReport, study};
use actix_web::{HttpRequest, web};

/// Groups of routes that have too few page views each, with what each would join. Read from the page views of the last 30
/// days. `fieldvitals site routes apply` adds them.
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
