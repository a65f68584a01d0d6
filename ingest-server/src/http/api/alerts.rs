//! Alerts, and the channels that tell of them.

use crate::alert::{Channel, Unsent};
use crate::clock::now_ms;
use crate::http::answer::ask;
use crate::http::api::violations::open_only;
use crate::http::api::{Answer, json};
use crate::http::body::Body;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::nearest::nearest;
use crate::http::question::{number, one_of, row_id, short};
use crate::http::responses::QuestionErrors;
use crate::http::{State, auth};
use crate::limits;
use crate::questions::Cost;
use crate::report::time_text;
use actix_web::{HttpRequest, web};
use fieldvitals_store::{Alert, AlertChange, AlertEvent, Notice, Scope, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Filter and paging of alerts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AlertParams {
    /// `open` (the default) or `all`.
    status: Option<String>,
    /// Alerts per page, 1 to 500; 50 when absent.
    limit: Option<String>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Alerts of a site.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertsReport {
    alerts: Vec<AlertReport>,
    next_cursor: Option<String>,
}

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertReport {
    id: i64,
    /// `open`, `acknowledged`, `snoozed` or `resolved`.
    state: &'static str,
    /// `error` or `warning`.
    severity: &'static str,
    /// The condition in one line.
    summary: String,
    /// Start of the condition.
    since: String,
    opened: String,
    acknowledged: Option<String>,
    /// The name of the token that acknowledged it.
    acknowledged_by: Option<String>,
    snoozed_until: Option<String>,
    /// Its end; absent while it is open.
    resolved: Option<String>,
    /// The name of the token that resolved it; absent if its condition ended.
    resolved_by: Option<String>,
    /// The evidence at its start. `kind` is `budget`, `silence`, `regression` or `anomaly`; `budget`, of a budget or a regression,
    /// is as in the answer of the gate.
    #[schema(value_type = Object)]
    details: Value,
    /// Its notices, by channel.
    notices: Vec<NoticeReport>,
}

/// The notice of an alert to a channel.
#[derive(Debug, Serialize, ToSchema)]
pub struct NoticeReport {
    channel: String,
    /// `opened` or `resolved`: the last event.
    event: &'static str,
    /// Failed attempts since the last delivery.
    attempts: u32,
    /// Time of the next attempt; absent if there is nothing to deliver.
    due: Option<String>,
    /// Time of the last delivery.
    sent: Option<String>,
    /// Why the last attempt failed.
    error: Option<String>,
}

impl From<Notice> for NoticeReport {
    fn from(notice: Notice) -> Self {
        Self {
            channel: notice.channel,
            event: match notice.event {
                AlertEvent::Opened => "opened",
                AlertEvent::Resolved => "resolved",
            },
            attempts: notice.attempts,
            due: notice.due_ms.map(time_text),
            sent: notice.sent_ms.map(time_text),
            error: notice.error,
        }
    }
}

impl AlertReport {
    pub(super) fn new(alert: Alert, now_ms: i64) -> Self {
        let state = match &alert {
            Alert { resolved_ms: Some(_), .. } => "resolved",
            Alert { snoozed_until_ms: Some(until_ms), .. } if *until_ms > now_ms => "snoozed",
            Alert { acknowledged: Some(_), .. } => "acknowledged",
            _ => "open",
        };
        let (acknowledged, acknowledged_by) = alert.acknowledged.unzip();
        Self {
            id: alert.id,
            state,
            severity: if alert.alert.is_warning { "warning" } else { "error" },
            summary: alert.alert.summary,
            since: time_text(alert.alert.since_ms),
            opened: time_text(alert.opened_ms),
            acknowledged: acknowledged.map(time_text),
            acknowledged_by,
            snoozed_until: alert.snoozed_until_ms.map(time_text),
            resolved: alert.resolved_ms.map(time_text),
            resolved_by: alert.resolved_by,
            details: serde_json::from_str(&alert.alert.details).unwrap_or_default(),
            notices: alert.notices.into_iter().map(Into::into).collect(),
        }
    }
}

/// A change of an alert.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertAction {
    /// `acknowledge` ends reminders, `snooze` holds notices back and reminds at its end, `resolve` ends the alert.
    action: Action,
    /// Minutes of a snooze, up to 43,200 (30 days).
    minutes: Option<i64>,
}

/// What to do with an alert.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    Acknowledge,
    Snooze,
    Resolve,
}

/// The channels of alerts.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelsReport {
    channels: Vec<ChannelReport>,
}

/// A channel of alerts.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelReport {
    name: String,
    /// `alertmanager`, `slack`, `teams`, `pagerduty`, `webhook` or `email`.
    kind: &'static str,
    /// The names of the sites that it is for; all if empty.
    sites: Vec<String>,
    /// Whether it tells of alerts.
    alerts: bool,
    /// Whether it takes weekly digests.
    digest: bool,
    /// Why nothing reaches it as it is configured: its address is refused or has no host, or a site of it does not exist.
    /// Addresses are checked at the start and every 10 minutes.
    problems: Vec<String>,
}

/// A test notice was delivered.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestReport {
    /// The channel.
    delivered: String,
}

/// Alerts of a site: open ones first, newest first.
#[utoipa::path(get, path = "/api/v1/sites/{site}/alerts", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), AlertParams),
    responses((status = 200, body = AlertsReport), QuestionErrors))]
pub async fn alerts(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    params: web::Query<AlertParams>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let open_only = open_only(&params.status)?;
    let rows_max = u32::try_from(limits::PAGE_ROWS_MAX).unwrap_or(u32::MAX);
    let limit = number("limit", &params.limit, [1, rows_max], 50)?;
    let skip = number("cursor", &params.cursor, [0, u32::MAX / 2], 0)?;
    let question = move |store: Arc<dyn Store>| async move {
        let mut found = store.alerts(site.id, open_only, skip, limit.saturating_add(1)).await?;
        let page = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = found.len() > page;
        found.truncate(page);
        let now_ms = now_ms();
        Ok(AlertsReport {
            alerts: found.into_iter().map(|alert| AlertReport::new(alert, now_ms)).collect(),
            next_cursor: more.then(|| skip.saturating_add(limit).to_string()),
        })
    };
    ask(&state, &request, Cost::Usual, question).await
}

/// Acknowledges, snoozes or resolves an open alert. Needs the scope `write`.
#[utoipa::path(post, path = "/api/v1/sites/{site}/alerts/{id}", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), ("id" = String, Path, description = "The alert's id")),
    request_body(content = AlertAction),
    responses((status = 200, body = AlertReport), (status = 403, description = "A token of the scope `read`", body = ErrorBody), QuestionErrors))]
pub async fn change(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    body: Body<{ limits::ALERT_CHANGE_BYTES_MAX }>,
) -> Answer {
    let access = auth::require(&state, &request, Scope::Write).await?;
    let (name, id) = path.into_inner();
    let site = auth::site(&state, &request, &name).await?;
    let id = row_id("an alert", &id)?;
    let body = body.0.map_err(ApiError::body)?;
    let asked: AlertAction = serde_json::from_slice(&body).map_err(|error| {
        ApiError::parameter(format!(
            "the body is not {{\"action\": \"acknowledge\"}}, \"snooze\" with \"minutes\", or \"resolve\": {error}"
        ))
    })?;
    let by = auth::caller_name(&state, &access);
    let now_ms = now_ms();
    let max = limits::SNOOZE_MINUTES_MAX;
    let change = match (asked.action, asked.minutes) {
        (Action::Acknowledge, None) => AlertChange::Acknowledge { by },
        (Action::Resolve, None) => AlertChange::Resolve { by: Some(by) },
        (Action::Snooze, Some(minutes)) if (1..=max).contains(&minutes) => {
            AlertChange::Snooze { until_ms: now_ms.saturating_add(minutes * 60_000) }
        }
        (Action::Snooze, _) => {
            return Err(ApiError::parameter(format!("a snooze needs `minutes` from 1 to {max}")));
        }
        (_, Some(_)) => return Err(ApiError::parameter("`minutes` belongs to a snooze")),
    };
    let store = state.store()?;
    if !store.alert_change(site.id, id, now_ms, &change).await? {
        return Err(ApiError::no_alert(id));
    }
    let alert = store.alert(site.id, id).await?.ok_or_else(|| ApiError::no_alert(id))?;
    Ok(json(AlertReport::new(alert, now_ms)))
}

/// The channels of alerts of this server, without their secrets. Needs a token of all sites.
#[utoipa::path(get, path = "/api/v1/channels", tag = "read", security(("token" = [])),
    responses((status = 200, body = ChannelsReport), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub async fn channels(state: web::Data<State>, request: HttpRequest) -> Answer {
    auth::require_all(&state, &request, Scope::Read).await?;
    let directory = state.directory.current();
    let of = |channel: &Channel| {
        let unknown = channel.sites.iter().filter(|site| directory.by_name(site).is_none());
        let unknown = unknown.map(|site| format!("there is no site `{}`", short(site)));
        ChannelReport {
            name: channel.name.clone(),
            kind: channel.receiver.kind(),
            sites: channel.sites.clone(),
            alerts: channel.has_alerts,
            digest: channel.has_digest,
            problems: state.outbox.unreachable(&channel.name).into_iter().chain(unknown).collect(),
        }
    };
    Ok(json(ChannelsReport { channels: state.outbox.channels().all().iter().map(of).collect() }))
}

/// Sends a test notice to a channel, and answers when it is delivered. Needs the scope `write` of all sites.
#[utoipa::path(post, path = "/api/v1/channels/{channel}/test", tag = "read", security(("token" = [])),
    params(("channel" = String, Path, description = "The channel's name")),
    responses((status = 200, body = TestReport), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, description = "There is no such channel (`channel_unknown`)", body = ErrorBody), (status = 422, description = "The notice was not delivered (`undelivered`)", body = ErrorBody)))]
pub async fn test(state: web::Data<State>, request: HttpRequest, channel: web::Path<String>) -> Answer {
    auth::require_all(&state, &request, Scope::Write).await?;
    match state.outbox.test(&channel).await {
        Ok(()) => Ok(json(TestReport { delivered: channel.into_inner() })),
        Err(Unsent::Failed(error)) => Err(ApiError::undelivered(format!(
            "the channel `{}` did not take the notice: {error}",
            short(&channel)
        ))),
        Err(Unsent::NoChannel) => {
            let shown = short(&channel);
            let names: Vec<&str> =
                state.outbox.channels().all().iter().map(|channel| channel.name.as_str()).collect();
            let advice = match nearest(&shown, names.iter().copied()) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None if names.is_empty() => "this server has none".to_owned(),
                None => format!("expected {}", one_of(names)),
            };
            Err(ApiError::no_channel(format!("there is no channel `{shown}`; {advice}")))
        }
    }
}
