//! Answers about alerts.

use serde::Deserialize;

/// `GET /sites/{site}/alerts`.
#[derive(Debug, Deserialize)]
pub(crate) struct AlertsAnswer {
    pub(crate) alerts: Vec<AlertAnswer>,
    pub(crate) next_cursor: Option<String>,
}

/// An alert.
#[derive(Debug, Deserialize)]
pub(crate) struct AlertAnswer {
    pub(crate) id: i64,
    pub(crate) state: String,
    pub(crate) severity: String,
    pub(crate) summary: String,
    pub(crate) since: String,
    pub(crate) resolved: Option<String>,
    pub(crate) notices: Vec<NoticeAnswer>,
}

/// The notice of an alert to a channel.
#[derive(Debug, Deserialize)]
pub(crate) struct NoticeAnswer {
    pub(crate) channel: String,
    pub(crate) error: Option<String>,
}

/// `GET /channels`.
#[derive(Debug, Deserialize)]
pub(crate) struct ChannelsAnswer {
    pub(crate) channels: Vec<ChannelAnswer>,
}

/// A channel.
#[derive(Debug, Deserialize)]
pub(crate) struct ChannelAnswer {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) sites: Vec<String>,
    /// A server without digests does not say it: its channels take alerts.
    #[serde(default = "yes")]
    pub(crate) alerts: bool,
    #[serde(default)]
    pub(crate) digest: bool,
    #[serde(default)]
    pub(crate) problems: Vec<String>,
}

const fn yes() -> bool {
    true
}

/// `GET` and `POST /sites/{site}/digest`.
#[derive(Debug, Deserialize)]
pub(crate) struct DigestAnswer {
    pub(crate) digest: DigestTextAnswer,
    pub(crate) channels: Vec<DigestChannelAnswer>,
}

/// A digest, as far as it is printed.
#[derive(Debug, Deserialize)]
pub(crate) struct DigestTextAnswer {
    pub(crate) title: String,
    pub(crate) text: String,
}

/// A channel that takes digests. `sent` and `due` are those of the last weekly digest, and absent after a test.
#[derive(Debug, Deserialize)]
pub(crate) struct DigestChannelAnswer {
    pub(crate) channel: String,
    pub(crate) week: Option<String>,
    pub(crate) sent: Option<String>,
    pub(crate) due: Option<String>,
    pub(crate) error: Option<String>,
}

/// `POST /channels/{channel}/test`.
#[derive(Debug, Deserialize)]
pub(crate) struct TestAnswer {
    pub(crate) delivered: String,
}
