//! The weekly digest of a site: what it says, whom it was sent to, and a test.

use crate::alert::{Channel, Outbox};
use crate::clock::now_ms;
use crate::closed_days::ClosedDays;
use crate::digest::{DigestReport, Digests};
use crate::http::answer::ask;
use crate::http::api::{Answer, json};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::responses::QuestionErrors;
use crate::http::{State, auth};
use crate::questions::{Busy, Cost};
use crate::report::time_text;
use actix_web::{HttpRequest, web};
use fieldvitals_store::{Digest, Scope, Site, Store};
use futures_util::future::join_all;
use jiff::ToSpan as _;
use jiff::civil::date;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The weekly digest of a site.
#[derive(Debug, Serialize, ToSchema)]
pub struct DigestAnswer {
    /// The digest of the last whole week, as it would be sent now.
    digest: DigestReport,
    /// The channels that take digests of the site, and the last one that each got.
    channels: Vec<DeliveryReport>,
}

/// The delivery of digests to a channel.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryReport {
    channel: String,
    /// `alertmanager`, `slack`, `teams`, `pagerduty`, `webhook` or `email`.
    kind: &'static str,
    /// The Monday of the last week that was due; absent before the first one.
    week: Option<String>,
    /// Attempts to deliver it.
    attempts: u32,
    /// Time of the next attempt; absent if there is nothing to deliver.
    due: Option<String>,
    /// Time of the delivery.
    sent: Option<String>,
    /// Why the last attempt failed.
    error: Option<String>,
}

/// The digest was sent as a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct DigestTestReport {
    digest: DigestReport,
    /// Each channel that takes digests of the site.
    channels: Vec<TriedReport>,
}

/// A test of a channel.
#[derive(Debug, Serialize, ToSchema)]
pub struct TriedReport {
    channel: String,
    /// Why it was not delivered; absent if it was.
    error: Option<String>,
}

async fn preview(
    store: Arc<dyn Store>,
    (days, outbox): (Arc<ClosedDays>, Arc<Outbox>),
    site: &Site,
) -> Result<DigestReport, ApiError> {
    let found = Digests::preview(store, days, site, outbox.link()).await?;
    found.ok_or_else(|| ApiError::parameter("the clock of the server is beyond the calendar"))
}

fn delivery(channel: &Channel, digests: &[Digest]) -> DeliveryReport {
    let last = digests.iter().find(|digest| digest.channel == channel.name);
    let monday = |week: i32| date(1970, 1, 1).checked_add(week.days()).ok().map(|date| date.to_string());
    DeliveryReport {
        channel: channel.name.clone(),
        kind: channel.receiver.kind(),
        week: last.and_then(|digest| monday(digest.week)),
        attempts: last.map_or(0, |digest| digest.attempts),
        due: last.and_then(|digest| digest.due_ms).map(time_text),
        sent: last.and_then(|digest| digest.sent_ms).map(time_text),
        error: last.and_then(|digest| digest.error.clone()),
    }
}

/// The digest of the last whole week (Monday to Sunday in the site's time zone), as it would be sent now, and its channels.
#[utoipa::path(get, path = "/api/v1/sites/{site}/digest", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")),
    responses((status = 200, body = DigestAnswer), QuestionErrors))]
pub async fn digest(state: web::Data<State>, request: HttpRequest, name: web::Path<String>) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    // Channels and the answers of their receivers are nothing for whoever has a link.
    let is_link = auth::access(&state, &request).await?.link.is_some();
    let (days, outbox) = (Arc::clone(&state.closed_days), Arc::clone(&state.outbox));
    let question = move |store: Arc<dyn Store>| async move {
        let digests = store.digests(site.id).await?;
        let channels = outbox.channels().digests(&site.name).filter(|_| !is_link);
        let channels = channels.map(|channel| delivery(channel, &digests)).collect();
        Ok(DigestAnswer { digest: preview(store, (days, outbox), &site).await?, channels })
    };
    ask(&state, &request, Cost::Usual, question).await
}

/// Sends the digest to the channels that take digests of the site, as a test: the next weekly one is sent all the same.
/// Answers when all have been tried. Needs the scope `write`.
#[utoipa::path(post, path = "/api/v1/sites/{site}/digest", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")),
    responses((status = 200, body = DigestTestReport), (status = 403, description = "A token of the scope `read`", body = ErrorBody), (status = 404, description = "There is no such site, or no channel takes its digests (`channel_unknown`)", body = ErrorBody), QuestionErrors))]
pub async fn test(state: web::Data<State>, request: HttpRequest, name: web::Path<String>) -> Answer {
    auth::require(&state, &request, Scope::Write).await?;
    let site = auth::site(&state, &request, &name).await?;
    if state.outbox.channels().digests(&site.name).next().is_none() {
        return Err(ApiError::no_channel(format!(
            "no channel takes digests of `{}`; `digest = true` in the file of channels makes one take them",
            site.name
        )));
    }
    let (asked, store) = (Arc::clone(&site), Arc::clone(state.store()?));
    let parts = (Arc::clone(&state.closed_days), Arc::clone(&state.outbox));
    let question = async move { preview(store, parts, &asked).await };
    let digest = state.questions.ask(Cost::Usual, question).await.map_err(|Busy| ApiError::busy())??;
    let now_ms = now_ms();
    let digest = digest.into_test(now_ms);
    let sent = state.outbox.channels().digests(&site.name).map(|channel| async {
        let error = match digest.parcel(&channel.receiver) {
            Some(parcel) => state.outbox.send(channel, parcel, now_ms).await.err(),
            None => None,
        };
        TriedReport { channel: channel.name.clone(), error: error.map(|error| error.to_string()) }
    });
    let channels = join_all(sent).await;
    Ok(json(DigestTestReport { channels, digest }))
}
