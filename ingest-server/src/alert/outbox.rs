//! Delivers notices: at least once, with the same key each time, so that receivers that know the key show them once.
//!
//! Notices lie in the store until they are delivered, so a restart loses none. A server that ends between a delivery and
//! its record delivers again. A failed delivery is repeated after a pause that doubles, for about a day.

use super::channels::{Channel, Channels, Receiver};
use super::message::{Event, Message, REFRESH_MS};
use crate::clock::now_ms;
use crate::directory::Directory;
use crate::egress::{Egress, EgressError};
use crate::limits;
use fieldvitals_store::{Alert, AlertEvent, NewAlert, Notice, SiteId, Store, StoreError};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// The name of the lease.
const TASK: &str = "notices of alerts";
/// The lease, in milliseconds: longer than a round of deliveries.
const LEASE_MS: i64 = limits::NOTICE_TIME_MS_MAX as i64 * 2;
/// Pause between looks for due notices.
const LOOK: Duration = Duration::from_secs(1);

/// Why a test notice was not delivered.
#[derive(Debug)]
pub enum Unsent {
    /// There is no such channel.
    NoChannel,
    /// The delivery failed.
    Failed(EgressError),
}

/// Delivers notices of alerts.
pub struct Outbox {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    channels: Arc<Channels>,
    /// `None` without channels.
    egress: Option<Egress>,
    /// The address of the dashboard.
    link: Option<String>,
    holder: [u8; 16],
}

impl Outbox {
    /// Delivers to these channels.
    ///
    /// # Errors
    /// If connections cannot be set up.
    pub fn new(
        (store, directory): (Arc<dyn Store>, Arc<Directory>),
        channels: Arc<Channels>,
        link: Option<String>,
        holder: [u8; 16],
    ) -> Result<Self, EgressError> {
        let egress = match channels.all() {
            [] => None,
            _ => Some(Egress::new(channels.guard().clone())?),
        };
        Ok(Self { store, directory, channels, egress, link, holder })
    }

    /// The channels.
    #[must_use]
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Delivers without end.
    pub async fn run(&self) {
        let mut is_away = false;
        loop {
            let done = self.round().await;
            match &done {
                Err(error) if !is_away => tracing::warn!(%error, "notices of alerts wait for the store"),
                _ => {}
            }
            is_away = done.is_err();
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn round(&self) -> Result<(), StoreError> {
        let now_ms = now_ms();
        let is_idle = self.store.notices_due(now_ms, 1).await?.is_empty();
        if is_idle || !self.store.lease(TASK, self.holder, now_ms, LEASE_MS).await? {
            return Ok(());
        }
        // Read again, because another server may have delivered them meanwhile.
        let due = self.store.notices_due(now_ms, limits::NOTICES_SENDING_MAX).await?;
        let tried = join_all(due.into_iter().map(|(site, alert, notice)| self.handle(site, alert, notice)));
        tried.await.into_iter().collect()
    }

    /// Handles a due notice.
    async fn handle(&self, site: SiteId, id: i64, notice: Notice) -> Result<(), StoreError> {
        let now_ms = now_ms();
        let directory = self.directory.current();
        let named = directory.sites().iter().find(|known| known.id == site);
        let alert = self.store.alert(site, id).await?;
        let channel = self.channels.find(&notice.channel);
        let (Some(named), Some(alert)) = (named, alert) else {
            let error = Some("the site or the alert is gone".to_owned());
            return self.store.notice_tried(site, id, &Notice { due_ms: None, error, ..notice }).await;
        };
        let Some(channel) = channel else {
            // Another server, which was started with another file, may know the channel.
            let attempts = notice.attempts.saturating_add(1);
            let due_ms = (attempts < limits::NOTICE_ATTEMPTS_MAX).then(|| now_ms + pause_ms(attempts));
            let error = Some("this server has no such channel".to_owned());
            return self.store.notice_tried(site, id, &Notice { attempts, due_ms, error, ..notice }).await;
        };
        if let Some(held) = held(&alert, &notice, channel, now_ms) {
            return self.store.notice_tried(site, id, &held).await;
        }
        let is_reminder = notice.event == AlertEvent::Opened && notice.sent_ms.is_some();
        let is_refreshed = is_refreshed(&channel.receiver);
        let event = if is_reminder && !is_refreshed { Event::Reminder } else { notice.event.into() };
        let link = self.link.as_deref();
        let sent =
            self.send(channel, &Message { site: &named.name, alert: &alert, event, link, now_ms }).await;
        let (site_name, channel_name) = (&named.name, &channel.name);
        let after = match sent {
            Ok(()) => {
                if !(is_reminder && is_refreshed) {
                    tracing::info!(
                        site = site_name,
                        alert = id,
                        channel = channel_name,
                        event = event.name(),
                        "told"
                    );
                }
                let is_open = notice.event == AlertEvent::Opened;
                let due_ms = (is_refreshed && is_open).then(|| now_ms.saturating_add(REFRESH_MS));
                Notice { attempts: 0, due_ms, sent_ms: Some(now_ms), error: None, ..notice }
            }
            Err(error) => {
                let attempts = notice.attempts.saturating_add(1);
                let due_ms = (attempts < limits::NOTICE_ATTEMPTS_MAX).then(|| now_ms + pause_ms(attempts));
                if attempts == 1 || due_ms.is_none() {
                    tracing::warn!(
                        site = site_name, alert = id, channel = channel_name, event = event.name(), %error,
                        is_repeated = due_ms.is_some(), "a notice cannot be delivered"
                    );
                }
                Notice { attempts, due_ms, error: Some(error.to_string()), ..notice }
            }
        };
        self.store.notice_tried(site, id, &after).await
    }

    /// Sends a notice now.
    async fn send(&self, channel: &Channel, message: &Message<'_>) -> Result<(), EgressError> {
        let Some(egress) = &self.egress else { return Ok(()) };
        let url = match &channel.receiver {
            Receiver::Email(to) => return egress.mail(to, &message.letter()).await,
            Receiver::Alertmanager(url)
            | Receiver::Slack(url)
            | Receiver::Teams(url)
            | Receiver::PagerDuty(url, _)
            | Receiver::Webhook(url, _) => url,
        };
        let body = message.body(&channel.receiver).to_string();
        egress.post(url, &message.headers(&channel.receiver, &body), body).await
    }

    /// Sends a test notice to a channel. Receivers that keep alerts get its end too.
    ///
    /// # Errors
    /// If there is no such channel, or the delivery fails.
    pub async fn test(&self, channel: &str) -> Result<(), Unsent> {
        let channel = self.channels.find(channel).ok_or(Unsent::NoChannel)?;
        let now_ms = now_ms();
        let mut alert = Alert {
            site: SiteId(0),
            // Every test is an alert of its own.
            id: now_ms,
            alert: NewAlert {
                key: "test".to_owned(),
                since_ms: now_ms,
                is_warning: true,
                summary: format!("test of the channel {}; nothing is wrong", channel.name),
                details: r#"{"kind":"test"}"#.to_owned(),
            },
            opened_ms: now_ms,
            acknowledged: None,
            snoozed_until_ms: None,
            resolved_ms: None,
            resolved_by: None,
            notices: Vec::new(),
        };
        let link = self.link.as_deref();
        let test = Message { site: "fieldvitals", alert: &alert, event: Event::Test, link, now_ms };
        self.send(channel, &test).await.map_err(Unsent::Failed)?;
        if matches!(channel.receiver, Receiver::Alertmanager(_) | Receiver::PagerDuty(..)) {
            alert.resolved_ms = Some(now_ms);
            let end = Message { site: "fieldvitals", alert: &alert, event: Event::Resolved, link, now_ms };
            self.send(channel, &end).await.map_err(Unsent::Failed)?;
        }
        Ok(())
    }
}

/// Whether a receiver forgets alerts that are not sent again.
const fn is_refreshed(receiver: &Receiver) -> bool {
    matches!(receiver, Receiver::Alertmanager(_))
}

/// Returns the state of a notice that must not be sent now: of a snoozed alert, and a reminder of an acknowledged one.
/// Alertmanager has silences of its own.
fn held(alert: &Alert, notice: &Notice, channel: &Channel, now_ms: i64) -> Option<Notice> {
    if notice.event != AlertEvent::Opened || is_refreshed(&channel.receiver) {
        return None;
    }
    if let Some(until_ms) = alert.snoozed_until_ms.filter(|&until_ms| until_ms > now_ms) {
        return Some(Notice { due_ms: Some(until_ms), ..notice.clone() });
    }
    let is_reminder = notice.sent_ms.is_some();
    (is_reminder && alert.acknowledged.is_some()).then(|| Notice { due_ms: None, ..notice.clone() })
}

/// Returns the pause after so many failed attempts.
fn pause_ms(attempts: u32) -> i64 {
    let doubled = 1_i64.checked_shl(attempts.saturating_sub(1).min(30)).unwrap_or(i64::MAX);
    limits::NOTICE_RETRY_MS_MIN.saturating_mul(doubled).min(limits::NOTICE_RETRY_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_last_about_a_day() {
        assert_eq!(
            [1, 2, 3, 11, 12, 40].map(pause_ms),
            [1_000, 2_000, 4_000, 1_024_000, 1_800_000, 1_800_000]
        );
        let all_ms: i64 = (1..limits::NOTICE_ATTEMPTS_MAX).map(pause_ms).sum();
        assert!((20 * 3_600_000..28 * 3_600_000).contains(&all_ms), "{all_ms}");
    }
}
