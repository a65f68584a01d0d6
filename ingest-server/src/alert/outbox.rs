//! Delivers notices: at least once, with the same key each time, so that receivers that know the key show them once.
//!
//! Notices lie in the store until they are delivered, so a restart loses none. A server that ends between a delivery and
//! its record delivers again. A failed delivery is repeated after a pause that doubles, for about a day.
//!
//! Each channel is delivered to on its own, so a receiver that hangs delays its own notices only.

use super::channels::{Channel, Channels, Receiver};
use super::message::{Event, Message, REFRESH_MS};
use super::parcel::{Parcel, SIGNATURE, signature};
use crate::clock::now_ms;
use crate::directory::Directory;
use crate::egress::{Egress, EgressError};
use crate::limits;
use fieldvitals_store::{Alert, AlertEvent, NewAlert, Notice, SiteId, Store, StoreError};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The name of the lease.
const TASK: &str = "notices of alerts";
/// The lease, in milliseconds: longer than a delivery.
const LEASE_MS: i64 = limits::NOTICE_TIME_MS_MAX as i64 * 2;
/// Pause between looks for due notices.
const LOOK: Duration = Duration::from_secs(1);
/// Pause between checks of the channels' addresses. A name may get another address.
const CHECK: Duration = Duration::from_secs(10 * 60);

/// A due notice, with the site and the id of its alert.
type Due = (SiteId, i64, Notice);

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
    /// Why a channel cannot be reached, by its name.
    unreachable: Mutex<HashMap<String, String>>,
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
        let unreachable = Mutex::default();
        Ok(Self { store, directory, channels, egress, link, holder, unreachable })
    }

    /// The channels.
    #[must_use]
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// The address of the dashboard.
    #[must_use]
    pub fn link(&self) -> Option<&str> {
        self.link.as_deref()
    }

    /// Delivers without end.
    pub async fn run(&self) {
        tokio::join!(self.check_all(), self.deliver_all());
    }

    async fn deliver_all(&self) {
        let mut is_away = false;
        // The channels that are delivered to.
        let mut busy: Vec<String> = Vec::new();
        let mut deliveries = FuturesUnordered::new();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                _ = look.tick() => match self.due(&busy).await {
                    Ok(due) => {
                        for (channel, notices) in due {
                            busy.push(channel.clone());
                            deliveries.push(self.deliver(channel, notices));
                        }
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                Some((channel, done)) = deliveries.next() => {
                    busy.retain(|other| *other != channel);
                    done
                }
            };
            match &done {
                Err(error) if !is_away => tracing::warn!(%error, "notices of alerts wait for the store"),
                _ => {}
            }
            is_away = done.is_err();
        }
    }

    /// Returns the due notices of each channel that is not busy.
    async fn due(&self, busy: &[String]) -> Result<BTreeMap<String, Vec<Due>>, StoreError> {
        let now_ms = now_ms();
        let mut due: BTreeMap<String, Vec<Due>> = BTreeMap::new();
        let is_idle = self.store.notices_due(now_ms, 1, busy).await?.is_empty();
        if is_idle || !self.store.lease(TASK, self.holder, now_ms, LEASE_MS).await? {
            return Ok(due);
        }
        // Read again, because another server may have delivered them meanwhile. Notices of one channel may fill an answer, so
        // the next question leaves the channel out.
        loop {
            let without: Vec<String> = busy.iter().chain(due.keys()).cloned().collect();
            let found = self.store.notices_due(now_ms, limits::NOTICES_SENDING_MAX, &without).await?;
            if found.is_empty() {
                return Ok(due);
            }
            for (site, alert, notice) in found {
                due.entry(notice.channel.clone()).or_default().push((site, alert, notice));
            }
        }
    }

    /// Delivers the notices of a channel. Returns the channel.
    async fn deliver(&self, channel: String, notices: Vec<Due>) -> (String, Result<(), StoreError>) {
        let tried =
            join_all(notices.into_iter().map(|(site, alert, notice)| self.handle(site, alert, notice)));
        (channel, tried.await.into_iter().collect())
    }

    /// Returns why no notice can reach a channel as it is configured; `None` if nothing is known to be wrong.
    #[must_use]
    pub fn unreachable(&self, channel: &str) -> Option<String> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).get(channel).cloned()
    }

    /// Checks the addresses of all channels again and again.
    async fn check_all(&self) {
        let Some(egress) = &self.egress else { return };
        loop {
            join_all(self.channels.all().iter().map(|channel| self.check(egress, channel))).await;
            tokio::time::sleep(CHECK).await;
        }
    }

    /// Checks the address of a channel. Warns of each new reason that no notice can reach it.
    async fn check(&self, egress: &Egress, channel: &Channel) {
        let found = match &channel.receiver {
            Receiver::Email(to) => egress.check_mail(to).await,
            Receiver::Alertmanager(url)
            | Receiver::Slack(url)
            | Receiver::Teams(url)
            | Receiver::PagerDuty(url, _)
            | Receiver::Webhook(url, _) => egress.check(url).await,
        };
        let found = found.err().map(|error| error.to_string());
        let mut unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match &found {
            Some(error) => unreachable.insert(channel.name.clone(), error.clone()),
            None => unreachable.remove(&channel.name),
        };
        drop(unreachable);
        match (found, before) {
            (Some(error), before) if before.as_ref() != Some(&error) => {
                tracing::warn!(channel = channel.name, error, "a channel of alerts cannot be reached");
            }
            (None, Some(_)) => {
                tracing::info!(channel = channel.name, "a channel of alerts can be reached again");
            }
            _ => {}
        }
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
            let after = Notice { due_ms: None, error, ..notice.clone() };
            return self.store.notice_tried(site, id, &notice, &after).await;
        };
        let Some(channel) = channel else {
            // Another server, which was started with another file, may know the channel.
            let attempts = notice.attempts.saturating_add(1);
            let due_ms = (attempts < limits::NOTICE_ATTEMPTS_MAX).then(|| now_ms + pause_ms(attempts));
            let error = Some("this server has no such channel".to_owned());
            let after = Notice { attempts, due_ms, error, ..notice.clone() };
            return self.store.notice_tried(site, id, &notice, &after).await;
        };
        if let Some(held) = held(&alert, &notice, channel, now_ms) {
            return self.store.notice_tried(site, id, &notice, &held).await;
        }
        let is_reminder = notice.event == AlertEvent::Opened && notice.sent_ms.is_some();
        let is_refreshed = is_refreshed(&channel.receiver);
        let event = if is_reminder && !is_refreshed { Event::Reminder } else { notice.event.into() };
        let link = self.link.as_deref();
        let message = Message { site: &named.name, alert: &alert, event, link, now_ms };
        let sent = self.send(channel, message.parcel(&channel.receiver), now_ms).await;
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
                Notice { attempts: 0, due_ms, sent_ms: Some(now_ms), error: None, ..notice.clone() }
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
                Notice { attempts, due_ms, error: Some(error.to_string()), ..notice.clone() }
            }
        };
        self.store.notice_tried(site, id, &notice, &after).await
    }

    /// Sends a message to a channel now.
    ///
    /// # Errors
    /// If the address is refused, or nothing was delivered in time.
    pub async fn send(&self, channel: &Channel, parcel: Parcel, now_ms: i64) -> Result<(), EgressError> {
        let Some(egress) = &self.egress else { return Ok(()) };
        match (&channel.receiver, parcel) {
            (Receiver::Email(to), Parcel::Letter(letter)) => egress.mail(to, &letter).await,
            (Receiver::Email(_), Parcel::Json(_)) => Err(EgressError::Failed("JSON is no mail".to_owned())),
            (_, Parcel::Letter(_)) => Err(EgressError::Failed("only mail takes a letter".to_owned())),
            (Receiver::Webhook(url, secret), Parcel::Json(body)) => {
                let body = body.to_string();
                let signed = (SIGNATURE, signature(secret, now_ms / 1_000, &body));
                egress.post(url, &[signed], body).await
            }
            (
                Receiver::Alertmanager(url)
                | Receiver::Slack(url)
                | Receiver::Teams(url)
                | Receiver::PagerDuty(url, _),
                Parcel::Json(body),
            ) => egress.post(url, &[], body.to_string()).await,
        }
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
        self.send(channel, test.parcel(&channel.receiver), now_ms).await.map_err(Unsent::Failed)?;
        if matches!(channel.receiver, Receiver::Alertmanager(_) | Receiver::PagerDuty(..)) {
            alert.resolved_ms = Some(now_ms);
            let end = Message { site: "fieldvitals", alert: &alert, event: Event::Resolved, link, now_ms };
            self.send(channel, end.parcel(&channel.receiver), now_ms).await.map_err(Unsent::Failed)?;
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
#[must_use]
pub fn pause_ms(attempts: u32) -> i64 {
    let doubled = 1_i64.checked_shl(attempts.saturating_sub(1).min(30)).unwrap_or(i64::MAX);
    limits::NOTICE_RETRY_MS_MIN.saturating_mul(doubled).min(limits::NOTICE_RETRY_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::AlertChange;
    use fieldvitals_store::conformance::site;
    use fieldvitals_store_sqlite::SqliteStore;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Takes one notice.
    async fn take(receiver: &TcpListener) {
        let (mut stream, _) = receiver.accept().await.unwrap();
        let mut request = Vec::new();
        // The body is a message of Slack.
        while !request.ends_with(b"}") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0, "{request:?}");
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    }

    #[tokio::test]
    async fn receiver_that_hangs_delays_only_its_own_channel() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&folder.path().join("store.db")).await.unwrap());
        let shop = site(&store, "shop").await;
        let directory = Arc::new(Directory::open(Arc::clone(&store)).await.unwrap());
        let [hanging, working] =
            [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await]
                .map(Result::unwrap);
        let channel = |name: &str, receiver: &TcpListener| {
            let address = receiver.local_addr().unwrap();
            format!("[[channel]]\nname = \"{name}\"\nkind = \"slack\"\nurl = \"http://{address}/\"\n")
        };
        let file = folder.path().join("alerts.toml");
        let text = format!(
            "allow = [\"127.0.0.1\"]\n{}{}",
            channel("hanging", &hanging),
            channel("working", &working)
        );
        std::fs::write(&file, text).unwrap();
        let channels = Arc::new(Channels::read(&file).unwrap());
        let outbox = Outbox::new((Arc::clone(&store), directory), channels, None, [1; 16]).unwrap();
        let running = tokio::spawn(async move { outbox.run().await });
        let now_ms = now_ms();
        let alert = NewAlert {
            key: "x".to_owned(),
            since_ms: now_ms,
            is_warning: false,
            summary: "LCP".to_owned(),
            details: "{}".to_owned(),
        };
        let notices = ["hanging", "working"].map(|name| (name.to_owned(), now_ms));
        let id = store.alert_open(shop, now_ms, &alert, &notices).await.unwrap().unwrap();
        let (stuck, _) = hanging.accept().await.unwrap();
        take(&working).await;
        store.alert_change(shop, id, now_ms, &AlertChange::Resolve { by: None }).await.unwrap();
        take(&working).await;
        // The first delivery to the hanging receiver is still under way: its client has not given up.
        let mut bytes = [0; 1_024];
        let read = loop {
            match stuck.try_read(&mut bytes) {
                Ok(0) => break Some(0),
                Ok(_) => {}
                Err(_) => break None,
            }
        };
        assert_eq!(read, None, "the hanging receiver was waited for");
        running.abort();
    }

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
