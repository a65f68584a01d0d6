//! The texts of notices, and the bodies that receivers expect.

use super::channels::Receiver;
use super::parcel::{Parcel, slack_text, teams_card};
use crate::egress::Letter;
use crate::report::time_text;
use fieldvitals_store::{Alert, AlertEvent};
use serde_json::{Value, json};

/// Alertmanager ends an alert that is not sent again. An open alert is sent again after [`REFRESH_MS`], and ends after
/// four times as long, so that it outlives three failures.
pub(super) const REFRESH_MS: i64 = 5 * 60_000;
const LIFE_MS: i64 = 4 * REFRESH_MS;

/// The event of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The alert is open.
    Opened,
    /// The alert is still open, at the end of a snooze.
    Reminder,
    /// The alert has ended.
    Resolved,
    /// Somebody tries the channel.
    Test,
}

impl Event {
    /// Returns the name in webhooks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

impl From<AlertEvent> for Event {
    fn from(event: AlertEvent) -> Self {
        match event {
            AlertEvent::Opened => Self::Opened,
            AlertEvent::Resolved => Self::Resolved,
        }
    }
}

/// A notice.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The name of the site.
    pub site: &'a str,
    /// The alert.
    pub alert: &'a Alert,
    /// The event.
    pub event: Event,
    /// The address of the dashboard; `None` if the owner has not told it.
    pub link: Option<&'a str>,
    /// Now, UTC milliseconds.
    pub now_ms: i64,
}

impl Message<'_> {
    /// Identifies the alert in every notice of it, so that receivers join them: `fieldvitals-3-17`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("fieldvitals-{}-{}", self.alert.site.0, self.alert.id)
    }

    fn details(&self) -> Value {
        serde_json::from_str(&self.alert.alert.details).unwrap_or_default()
    }

    /// The evidence in one line; may be empty.
    fn evidence(&self) -> String {
        self.details().get("evidence").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    const fn severity(&self) -> &'static str {
        if self.alert.alert.is_warning { "warning" } else { "error" }
    }

    /// The notice in one line: `shop: budget broken: LCP p75 of /p ≤ 2500 ms`.
    #[must_use]
    pub fn title(&self) -> String {
        let (site, summary) = (self.site, &self.alert.alert.summary);
        let kind = match self.details().get("kind").and_then(Value::as_str) {
            Some("budget") => "budget broken",
            Some("silence") => "site silent",
            Some("regression") => "release is worse",
            Some("anomaly") => "unusual",
            _ => "alert",
        };
        match self.event {
            Event::Opened => format!("{site}: {kind}: {summary}"),
            Event::Reminder => format!("{site}: still {kind}: {summary}"),
            Event::Resolved => {
                let ended_ms = self.alert.resolved_ms.unwrap_or(self.now_ms);
                let lasted = duration(ended_ms.saturating_sub(self.alert.alert.since_ms));
                match &self.alert.resolved_by {
                    None => format!("{site}: over after {lasted}: {kind}: {summary}"),
                    Some(by) => format!("{site}: resolved by {by} after {lasted}: {kind}: {summary}"),
                }
            }
            Event::Test => format!("{site}: {summary}"),
        }
    }

    /// The further lines.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.event != Event::Test {
            lines.extend(Some(self.evidence()).filter(|evidence| !evidence.is_empty()));
            lines.push(format!(
                "severity {}, since {}",
                self.severity(),
                time_text(self.alert.alert.since_ms)
            ));
        }
        lines.extend(self.link.map(str::to_owned));
        lines
    }

    /// The notice in the form of its receiver.
    #[must_use]
    pub fn parcel(&self, receiver: &Receiver) -> Parcel {
        Parcel::Json(match receiver {
            Receiver::Alertmanager(_) => json!([self.alertmanager()]),
            Receiver::Slack(_) => self.slack(),
            Receiver::Teams(_) => self.teams(),
            Receiver::PagerDuty(_, key) => self.pagerduty(key),
            Receiver::Webhook(..) => self.json(),
            Receiver::Email(_) => return Parcel::Letter(self.letter()),
        })
    }

    fn alertmanager(&self) -> Value {
        let details = self.details();
        let name = match details.get("kind").and_then(Value::as_str) {
            Some("budget") => "FieldvitalsBudget",
            Some("silence") => "FieldvitalsSilence",
            Some("regression") => "FieldvitalsRegression",
            Some("anomaly") => "FieldvitalsAnomaly",
            _ => "FieldvitalsTest",
        };
        let mut labels = json!({
            "alertname": name, "site": self.site, "severity": self.severity(), "alert_id": self.alert.id.to_string(),
        });
        if let Some(labels) = labels.as_object_mut() {
            for label in ["route", "metric", "device", "release"] {
                let value = details.get(label).or_else(|| details.pointer(&format!("/budget/{label}")));
                if let Some(value) = value.and_then(Value::as_str) {
                    labels.insert(label.to_owned(), value.into());
                }
            }
        }
        let ends_ms = match self.event {
            Event::Resolved => self.alert.resolved_ms.unwrap_or(self.now_ms),
            Event::Opened | Event::Reminder | Event::Test => self.now_ms.saturating_add(LIFE_MS),
        };
        json!({
            "labels": labels,
            "annotations": { "summary": self.title(), "description": self.lines().join("\n") },
            "startsAt": time_text(self.alert.alert.since_ms.min(ends_ms)),
            "endsAt": time_text(ends_ms),
            "generatorURL": self.link.unwrap_or_default(),
        })
    }

    fn slack(&self) -> Value {
        let title = slack_text(&self.title());
        let mut blocks =
            vec![json!({ "type": "section", "text": { "type": "mrkdwn", "text": format!("*{title}*") } })];
        let lines = slack_text(&self.lines().join("\n"));
        if !lines.is_empty() {
            blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": lines }] }));
        }
        json!({ "text": title, "blocks": blocks })
    }

    fn teams(&self) -> Value {
        let mut body =
            vec![json!({ "type": "TextBlock", "text": self.title(), "weight": "bolder", "wrap": true })];
        body.extend(
            self.lines().into_iter().map(|line| json!({ "type": "TextBlock", "text": line, "wrap": true })),
        );
        teams_card(&body)
    }

    fn pagerduty(&self, key: &str) -> Value {
        let action = if self.event == Event::Resolved { "resolve" } else { "trigger" };
        // PagerDuty takes summaries of at most 1,024 characters.
        let summary: String = self.title().chars().take(1_024).collect();
        json!({
            "routing_key": key,
            "event_action": action,
            "dedup_key": self.key(),
            "client": "fieldvitals",
            "client_url": self.link,
            "payload": {
                "summary": summary,
                "source": self.site,
                "severity": self.severity(),
                "timestamp": time_text(self.alert.alert.since_ms),
                "custom_details": self.details(),
            },
        })
    }

    fn json(&self) -> Value {
        let alert = self.alert;
        json!({
            "key": self.key(),
            "event": self.event.name(),
            "title": self.title(),
            "site": self.site,
            "alert": alert.id,
            "severity": self.severity(),
            "summary": alert.alert.summary,
            "since": time_text(alert.alert.since_ms),
            "opened": time_text(alert.opened_ms),
            "resolved": alert.resolved_ms.map(time_text),
            "resolved_by": alert.resolved_by,
            "details": self.details(),
            "link": self.link,
        })
    }

    fn letter(&self) -> Letter {
        let id = |event: Event| format!("{}.{}", self.key(), event.name());
        let first =
            Some(id(Event::Opened)).filter(|_| matches!(self.event, Event::Reminder | Event::Resolved));
        let mut text = self.title();
        for line in self.lines() {
            text.push_str("\n\n");
            text.push_str(&line);
        }
        text.push('\n');
        // A second reminder, and a second test, are letters of their own.
        let id = match self.event {
            Event::Opened | Event::Resolved => id(self.event),
            Event::Reminder | Event::Test => format!("{}.{}", id(self.event), self.now_ms),
        };
        Letter { id, reply_to: first, subject: self.title(), text, html: None }
    }
}

/// Formats a duration: `40 min`, `6 h`, `3 d`.
fn duration(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    match minutes {
        ..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::{NewAlert, SiteId};
    use url::Url;

    fn alert() -> Alert {
        let details = json!({
            "kind": "budget", "evidence": "measured 3120 ms, 812 of 1400 page views within",
            "budget": { "route": "/<!channel>", "metric": "LCP", "device": null },
        });
        Alert {
            site: SiteId(3),
            id: 17,
            alert: NewAlert {
                key: "budget x".to_owned(),
                since_ms: 1_000,
                is_warning: false,
                summary: "LCP p75 of /<!channel> ≤ 2500 ms".to_owned(),
                details: details.to_string(),
            },
            opened_ms: 2_000,
            acknowledged: None,
            snoozed_until_ms: None,
            resolved_ms: None,
            resolved_by: None,
            notices: Vec::new(),
        }
    }

    fn url() -> Url {
        Url::parse("https://hooks.example/").unwrap()
    }

    #[test]
    fn notices_of_an_alert_have_one_key_in_every_protocol() {
        let (open, mut over) = (alert(), alert());
        over.resolved_ms = Some(7_201_000);
        let of = |alert: &Alert, event, receiver: &Receiver| {
            let link = Some("https://vitals.example/");
            let message = Message { site: "shop", alert, event, link, now_ms: 10_000_000 };
            let Parcel::Json(body) = message.parcel(receiver) else { panic!("a letter") };
            body
        };
        let pager = Receiver::PagerDuty(url(), "key".to_owned());
        let [trigger, resolve] = [of(&open, Event::Opened, &pager), of(&over, Event::Resolved, &pager)];
        assert_eq!(
            (&trigger["event_action"], &resolve["event_action"]),
            (&json!("trigger"), &json!("resolve"))
        );
        assert_eq!(
            (&trigger["dedup_key"], &resolve["dedup_key"]),
            (&json!("fieldvitals-3-17"), &json!("fieldvitals-3-17"))
        );
        let manager = Receiver::Alertmanager(url());
        let [firing, ended] = [of(&open, Event::Opened, &manager), of(&over, Event::Resolved, &manager)];
        assert_eq!(firing[0]["labels"], ended[0]["labels"]);
        assert_eq!(firing[0]["labels"]["route"], "/<!channel>");
        assert_eq!(firing[0]["labels"]["device"], Value::Null, "an absent filter is no label");
        assert_eq!(ended[0]["endsAt"], time_text(7_201_000));
        assert_eq!(firing[0]["startsAt"], time_text(1_000));
        let slack = of(&open, Event::Opened, &Receiver::Slack(url())).to_string();
        assert!(slack.contains("/&lt;!channel&gt;") && !slack.contains("<!channel>"), "{slack}");
        let teams = of(&over, Event::Resolved, &Receiver::Teams(url()));
        let title = "shop: over after 2 h: budget broken: LCP p75 of /<!channel> ≤ 2500 ms";
        assert_eq!(teams["attachments"][0]["content"]["body"][0]["text"], title);
    }

    #[test]
    fn letters_of_an_alert_are_one_thread() {
        let alert = alert();
        let letter =
            |event, now_ms| Message { site: "shop", alert: &alert, event, link: None, now_ms }.letter();
        let [opened, again, reminder] =
            [letter(Event::Opened, 1), letter(Event::Opened, 2), letter(Event::Reminder, 3)];
        assert_eq!((&opened.id, &opened.reply_to), (&again.id, &None));
        assert_eq!(reminder.reply_to, Some(opened.id.clone()));
        assert_ne!(reminder.id, letter(Event::Reminder, 4).id);
        assert!(opened.text.contains("812 of 1400 page views within"), "{}", opened.text);
    }
}
