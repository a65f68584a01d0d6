//! Defines alerts, and the outbox of their notices.

use crate::site::SiteId;

/// The condition that an alert is about, to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAlert {
    /// Identifies the condition within the site. At most one alert of a key is open.
    pub key: String,
    /// Start of the condition, UTC milliseconds. One start of a key has at most one alert, ever.
    pub since_ms: i64,
    /// Whether the condition is a warning; an error if not.
    pub is_warning: bool,
    /// The condition in one line.
    pub summary: String,
    /// The evidence: a JSON object of the server.
    pub details: String,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The site.
    pub site: SiteId,
    /// Ascending number within the site.
    pub id: i64,
    /// The condition.
    pub alert: NewAlert,
    /// When it was opened, UTC milliseconds.
    pub opened_ms: i64,
    /// When somebody acknowledged it, and the name of the token.
    pub acknowledged: Option<(i64, String)>,
    /// End of a snooze, UTC milliseconds.
    pub snoozed_until_ms: Option<i64>,
    /// When it ended; `None` while it is open.
    pub resolved_ms: Option<i64>,
    /// The name of the token that resolved it; `None` if its condition ended.
    pub resolved_by: Option<String>,
    /// Its notices, one a channel, by the channel's name.
    pub notices: Vec<Notice>,
}

/// The event that a notice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AlertEvent {
    /// The alert is open.
    Opened = 0,
    /// The alert has ended.
    Resolved = 1,
}

impl AlertEvent {
    /// Returns the event of a stored number.
    #[must_use]
    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Opened),
            1 => Some(Self::Resolved),
            _ => None,
        }
    }
}

/// The notice of an alert to a channel: the last event, and the state of its delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The channel's name.
    pub channel: String,
    /// The event.
    pub event: AlertEvent,
    /// Failed attempts since the event, or since the last delivery.
    pub attempts: u32,
    /// Time of the next attempt, UTC milliseconds; `None` if there is nothing to deliver.
    pub due_ms: Option<i64>,
    /// Time of the last delivery of any event, UTC milliseconds.
    pub sent_ms: Option<i64>,
    /// Why the last attempt failed; `None` after a delivery.
    pub error: Option<String>,
}

/// A change of an alert by a person, or by the end of its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertChange {
    /// Somebody works on it: no more reminders.
    Acknowledge {
        /// The name of the token.
        by: String,
    },
    /// No notice until then, and a reminder then if the alert is still open.
    Snooze {
        /// End, UTC milliseconds.
        until_ms: i64,
    },
    /// A warning became an error: nobody has acknowledged the error yet, and these channels hear of it.
    Raise {
        /// The evidence.
        details: String,
        /// The channels, and when their notices are due.
        notices: Vec<(String, i64)>,
    },
    /// It has ended.
    Resolve {
        /// The name of the token; `None` if its condition ended.
        by: Option<String>,
    },
}
