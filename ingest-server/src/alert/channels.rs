//! The channels of alerts, read from a file of the server's owner. Whoever may write to this file runs the server, so no
//! request can name an address to connect to.

use crate::egress::{Guard, MailTo};
use crate::limits;
use serde::Deserialize;
use std::collections::HashSet;
use std::io::Read as _;
use std::path::Path;
use url::Url;

/// Where PagerDuty takes events.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
/// Time after the end of an alert in which the same condition waits before it is told again, in minutes.
const COOL_DOWN_MINUTES: i64 = 30;
/// Longest cool-down, in minutes: a day.
const COOL_DOWN_MINUTES_MAX: i64 = 24 * 60;

/// The channels, and the receivers that the owner allows besides public ones.
#[derive(Clone, Debug, Default)]
pub struct Channels {
    channels: Vec<Channel>,
    cool_down_ms: i64,
    guard: Guard,
    regressions: SiteChoice,
    anomalies: SiteChoice,
}

/// The sites that are watched for a condition.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected true, false or a list of sites")]
enum SiteChoice {
    All(bool),
    Sites(Vec<String>),
}

impl Default for SiteChoice {
    fn default() -> Self {
        Self::All(true)
    }
}

impl SiteChoice {
    /// The sites of a list.
    fn sites(&self) -> &[String] {
        match self {
            Self::All(_) => &[],
            Self::Sites(sites) => sites,
        }
    }

    fn has(&self, site: &str) -> bool {
        match self {
            Self::All(all) => *all,
            Self::Sites(sites) => sites.iter().any(|name| name == site),
        }
    }
}

/// A channel.
#[derive(Clone)]
pub struct Channel {
    /// Its name, unique in the file.
    pub name: String,
    /// Its protocol and receiver.
    pub receiver: Receiver,
    /// Whether it tells of warnings too.
    has_warnings: bool,
    /// Whether it tells of alerts.
    pub has_alerts: bool,
    /// Whether it takes the weekly digests of its sites.
    pub has_digest: bool,
    /// The names of the sites that it is for; all if empty.
    pub sites: Vec<String>,
}

impl Channel {
    /// Whether the channel is for a site.
    #[must_use]
    pub fn is_for(&self, site: &str) -> bool {
        self.sites.is_empty() || self.sites.iter().any(|name| name == site)
    }
}

// The receiver holds secrets.
impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The protocol of a channel, and its receiver.
#[derive(Clone)]
pub enum Receiver {
    /// Alertmanager's API, version 2.
    Alertmanager(Url),
    /// An incoming webhook of Slack.
    Slack(Url),
    /// A workflow of Teams that posts cards.
    Teams(Url),
    /// PagerDuty's Events API, version 2, with the integration key.
    PagerDuty(Url, String),
    /// JSON with a signature by this secret.
    Webhook(Url, String),
    /// Mail.
    Email(MailTo),
}

impl Receiver {
    /// Returns the name in the file.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Alertmanager(_) => "alertmanager",
            Self::Slack(_) => "slack",
            Self::Teams(_) => "teams",
            Self::PagerDuty(..) => "pagerduty",
            Self::Webhook(..) => "webhook",
            Self::Email(_) => "email",
        }
    }
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cool_down_minutes: Option<i64>,
    #[serde(default)]
    regressions: SiteChoice,
    #[serde(default)]
    anomalies: SiteChoice,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default, rename = "channel")]
    channels: Vec<Table>,
}

/// A channel in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    kind: Kind,
    url: Option<Text>,
    key: Option<Text>,
    secret: Option<Text>,
    user: Option<Text>,
    password: Option<Text>,
    from: Option<String>,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    severity: Severity,
    #[serde(default)]
    sites: Vec<String>,
    #[serde(default = "yes")]
    alerts: bool,
    #[serde(default)]
    digest: bool,
}

/// A channel tells of alerts unless its file says otherwise.
const fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Alertmanager,
    Slack,
    Teams,
    Pagerduty,
    Webhook,
    Email,
}

/// The least severity that a channel tells of.
#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Error,
    #[default]
    Warn,
}

/// A text of the file, or where it is.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text in quotes, { env = \"NAME\" } or { file = \"PATH\" }")]
enum Text {
    Here(String),
    Env { env: String },
    File { file: String },
}

/// Returns the value of an environment variable; `None` if it is not set, or not UTF-8.
type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Text {
    fn read(&self, key: &str, variable: Variable<'_>) -> Result<String, String> {
        let text = match self {
            Self::Here(text) => text.clone(),
            Self::Env { env } => variable(env)
                .ok_or_else(|| format!("`{key}`: the environment variable {env} is not set, or not UTF-8"))?,
            Self::File { file } => std::fs::read_to_string(file)
                .map_err(|error| format!("`{key}`: {file} cannot be read: {error}"))?,
        };
        let text = text.trim();
        if text.is_empty() { Err(format!("`{key}` is empty")) } else { Ok(text.to_owned()) }
    }
}

impl Channels {
    /// Reads a file.
    ///
    /// # Errors
    /// If the file cannot be read or has a mistake. The message says where, and what is expected.
    pub fn read(path: &Path) -> Result<Self, String> {
        Self::read_with(path, &|name| std::env::var(name).ok())
    }

    /// Reads a file, with the values of environment variables from `variable`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_with(path: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let name = path.display();
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(limits::CHANNELS_BYTES_MAX + 1).read_to_string(&mut text))
            .map_err(|error| format!("{name} cannot be read: {error}"))?;
        Self::parse(&text, variable).map_err(|error| format!("{name}:{error}"))
    }

    fn parse(text: &str, variable: Variable<'_>) -> Result<Self, String> {
        if text.len() as u64 > limits::CHANNELS_BYTES_MAX {
            return Err(format!("1:1: more than {} bytes", limits::CHANNELS_BYTES_MAX));
        }
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let before = text.get(..at).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("{line}:{column}: {}", error.message().lines().collect::<Vec<_>>().join(", "))
        })?;
        let guard = Guard::new(&file.allow).map_err(|error| format!(" `allow` has {error}"))?;
        let minutes = file.cool_down_minutes.unwrap_or(COOL_DOWN_MINUTES);
        if !(0..=COOL_DOWN_MINUTES_MAX).contains(&minutes) {
            return Err(format!(" `cool_down_minutes` is {minutes}: expected 0 to {COOL_DOWN_MINUTES_MAX}"));
        }
        if file.channels.len() > limits::CHANNELS_MAX {
            return Err(format!(
                " {} channels; expected at most {}",
                file.channels.len(),
                limits::CHANNELS_MAX
            ));
        }
        let mut names = HashSet::new();
        let mut channels = Vec::with_capacity(file.channels.len());
        for table in file.channels {
            let name = table.name.clone();
            let of = |error: String| format!(" channel `{}`: {error}", name.escape_debug());
            if name.is_empty()
                || name.len() > limits::CHANNEL_NAME_BYTES_MAX
                || name.chars().any(char::is_control)
            {
                let max = limits::CHANNEL_NAME_BYTES_MAX;
                return Err(of(format!("expected a name of 1 to {max} bytes")));
            }
            if !names.insert(name.clone()) {
                return Err(of("another channel has this name".to_owned()));
            }
            channels.push(table.channel(variable).map_err(of)?);
        }
        let (regressions, anomalies) = (file.regressions, file.anomalies);
        Ok(Self { channels, cool_down_ms: minutes * 60_000, guard, regressions, anomalies })
    }

    /// The sites that the file names, each with the key or the channel that names it.
    pub fn named_sites(&self) -> impl Iterator<Item = (&str, &str)> {
        let of_channels = self
            .channels
            .iter()
            .flat_map(|channel| channel.sites.iter().map(move |site| (channel.name.as_str(), site)));
        let watched = [("regressions", &self.regressions), ("anomalies", &self.anomalies)];
        let of_watches = watched
            .into_iter()
            .flat_map(|(key, watched)| watched.sites().iter().map(move |site| (key, site)));
        of_channels.chain(of_watches).map(|(by, site)| (by, site.as_str()))
    }

    /// Whether the releases of a site are compared.
    #[must_use]
    pub fn has_regressions(&self, site: &str) -> bool {
        self.regressions.has(site)
    }

    /// Whether the site is watched for unusual hours.
    #[must_use]
    pub fn has_anomalies(&self, site: &str) -> bool {
        self.anomalies.has(site)
    }

    /// All channels, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[Channel] {
        &self.channels
    }

    /// The channel with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.name == name)
    }

    /// The receivers that are allowed besides public ones.
    #[must_use]
    pub const fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Returns the channels that tell of a new alert, and when. If the alert before of the same condition ended at
    /// `ended_ms`, they wait for the end of the cool-down: an alert that ends earlier is not told.
    #[must_use]
    pub fn notices(
        &self,
        site: &str,
        is_warning: bool,
        now_ms: i64,
        ended_ms: Option<i64>,
    ) -> Vec<(String, i64)> {
        let due_ms =
            ended_ms.map_or(now_ms, |ended_ms| ended_ms.saturating_add(self.cool_down_ms).max(now_ms));
        let told = self.channels.iter().filter(|channel| {
            channel.has_alerts && (channel.has_warnings || !is_warning) && channel.is_for(site)
        });
        told.map(|channel| (channel.name.clone(), due_ms)).collect()
    }

    /// The channels that take the weekly digest of a site.
    pub fn digests<'a>(&'a self, site: &'a str) -> impl Iterator<Item = &'a Channel> {
        self.channels.iter().filter(move |channel| channel.has_digest && channel.is_for(site))
    }
}

impl Table {
    fn channel(self, variable: Variable<'_>) -> Result<Channel, String> {
        let read =
            |key: &str, text: &Option<Text>| text.as_ref().map(|text| text.read(key, variable)).transpose();
        let needed =
            |key: &str, text: &Option<Text>| read(key, text)?.ok_or_else(|| format!("`{key}` is missing"));
        let web = |default: Option<&str>| -> Result<Url, String> {
            let text = match (read("url", &self.url)?, default) {
                (Some(text), _) => text,
                (None, Some(default)) => default.to_owned(),
                (None, None) => return Err("`url` is missing".to_owned()),
            };
            // The message leaves out the URL, because it may be a secret.
            let expected = "`url` is no web address; expected https://…";
            let url = Url::parse(&text).map_err(|error| format!("{expected} ({error})"))?;
            if matches!(url.scheme(), "https" | "http") && url.has_host() {
                Ok(url)
            } else {
                Err(expected.to_owned())
            }
        };
        let mut unused: Vec<(&str, bool)> = vec![
            ("key", self.key.is_some() && self.kind != Kind::Pagerduty),
            ("secret", self.secret.is_some() && self.kind != Kind::Webhook),
        ];
        if self.kind != Kind::Email {
            unused.extend([
                ("user", self.user.is_some()),
                ("password", self.password.is_some()),
                ("from", self.from.is_some()),
                ("to", !self.to.is_empty()),
            ]);
        }
        if let Some((key, _)) = unused.into_iter().find(|(_, is_given)| *is_given) {
            return Err(format!("`{key}` is not used by a channel of this kind"));
        }
        if self.digest && matches!(self.kind, Kind::Alertmanager | Kind::Pagerduty) {
            return Err(
                "`digest` is not used by a channel of this kind: its receiver takes alerts only".to_owned()
            );
        }
        if !self.alerts && !self.digest {
            return Err("`alerts` is false, so the channel needs `digest = true`".to_owned());
        }
        let receiver = match self.kind {
            Kind::Alertmanager => {
                let mut url = web(None)?;
                if let Ok(mut path) = url.path_segments_mut() {
                    path.pop_if_empty().extend(["api", "v2", "alerts"]);
                }
                Receiver::Alertmanager(url)
            }
            Kind::Slack => Receiver::Slack(web(None)?),
            Kind::Teams => Receiver::Teams(web(None)?),
            Kind::Pagerduty => Receiver::PagerDuty(web(Some(PAGERDUTY))?, needed("key", &self.key)?),
            Kind::Webhook => Receiver::Webhook(web(None)?, needed("secret", &self.secret)?),
            Kind::Email => {
                let login = match (read("user", &self.user)?, read("password", &self.password)?) {
                    (Some(user), Some(password)) => Some((user, password)),
                    (None, None) => None,
                    _ => return Err("`user` and `password` belong together".to_owned()),
                };
                let from = self.from.as_deref().ok_or("`from` is missing: expected a mail address")?;
                Receiver::Email(MailTo::new(&needed("url", &self.url)?, login, from, &self.to)?)
            }
        };
        let has_warnings = self.severity == Severity::Warn;
        let (has_alerts, has_digest) = (self.alerts, self.digest);
        Ok(Channel { name: self.name, receiver, has_warnings, has_alerts, has_digest, sites: self.sites })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Channels, String> {
        Channels::parse(text, &|_| None)
    }

    const FILE: &str = r#"
cool_down_minutes = 10
allow = ["alertmanager.internal"]

[[channel]]
name = "prometheus"
kind = "alertmanager"
url = "http://alertmanager.internal:9093/prefix/"

[[channel]]
name = "on-call"
kind = "pagerduty"
key = "0123"
severity = "error"
sites = ["shop"]

[[channel]]
name = "team"
kind = "email"
url = "smtps://mail.example"
user = "vitals"
password = "secret"
from = "vitals@example.com"
to = ["team@example.com"]
"#;

    #[test]
    fn channels_tell_of_their_sites_and_severities() {
        let channels = parse(FILE).unwrap();
        let Receiver::Alertmanager(url) = &channels.all()[0].receiver else { panic!("no Alertmanager") };
        assert_eq!(url.as_str(), "http://alertmanager.internal:9093/prefix/api/v2/alerts");
        let told = |site: &str, is_warning| -> Vec<String> {
            channels.notices(site, is_warning, 0, None).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(told("shop", false), ["prometheus", "on-call", "team"]);
        assert_eq!(told("shop", true), ["prometheus", "team"]);
        assert_eq!(told("blog", false), ["prometheus", "team"]);
        let due = |ended_ms| channels.notices("blog", false, 1_000_000, ended_ms)[0].1;
        assert_eq!([None, Some(0), Some(900_000)].map(due), [1_000_000, 1_000_000, 1_500_000]);
        assert!(!format!("{channels:?}").contains("secret"));
    }

    #[test]
    fn channel_may_take_digests_of_its_sites_with_or_without_alerts() {
        let text = FILE.replace("to = [", "sites = [\"shop\"]\nalerts = false\ndigest = true\nto = [");
        let channels = parse(&text).unwrap();
        let digests = |site| -> Vec<&str> { channels.digests(site).map(|one| one.name.as_str()).collect() };
        assert_eq!((digests("shop"), digests("blog")), (vec!["team"], vec![]));
        assert!(channels.notices("shop", false, 0, None).iter().all(|(name, _)| name != "team"));
        let both = parse(&text.replace("alerts = false\n", "")).unwrap();
        assert!(both.notices("shop", false, 0, None).iter().any(|(name, _)| name == "team"));
    }

    #[test]
    fn sites_may_be_left_out_of_watches() {
        let watched = |text: &str| {
            let channels = parse(text).unwrap();
            ["shop", "blog"].map(|site| (channels.has_regressions(site), channels.has_anomalies(site)))
        };
        assert_eq!(watched(""), [(true, true); 2]);
        assert_eq!(watched("regressions = false\nanomalies = ['shop']\n"), [(false, true), (false, false)]);
        let wrong = parse("anomalies = 'shop'\n").unwrap_err();
        assert!(wrong.contains("1:13: expected true, false or a list of sites"), "{wrong}");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (wrong, right, expected) in [
            ("kind = \"slak\"", "kind = \"alertmanager\"", "7:8: unknown variant `slak`, expected one of"),
            (
                "urls = 1\nkind = \"alertmanager\"",
                "kind = \"alertmanager\"",
                "7:1: unknown field `urls`, expected one of",
            ),
            ("key = 7", "key = \"0123\"", "13:7: expected a text in quotes, { env = \"NAME\" }"),
            (
                "key = { env = \"FIELDVITALS_NOT_SET\" }",
                "key = \"0123\"",
                "`on-call`: `key`: the environment variable",
            ),
            ("key = { file = \"/nowhere\" }", "key = \"0123\"", "/nowhere cannot be read"),
            ("secret = \"x\"", "key = \"0123\"", "`secret` is not used by a channel of this kind"),
            ("name = \"team\"", "name = \"on-call\"", "another channel has this name"),
            (
                "url = \"alertmanager\"",
                "url = \"http://alertmanager.internal:9093/prefix/\"",
                "`url` is no web address",
            ),
            ("to = [\"nobody\"]", "to = [\"team@example.com\"]", "`nobody` is no mail address"),
            (
                "allow = [\"a b\"]",
                "allow = [\"alertmanager.internal\"]",
                "`allow` has `a b`: expected a host",
            ),
            (
                "key = \"0123\"\ndigest = true",
                "key = \"0123\"",
                "`on-call`: `digest` is not used by a channel of this kind",
            ),
            ("alerts = false\nkey = \"0123\"", "key = \"0123\"", "the channel needs `digest = true`"),
            ("cool_down_minutes = -1", "cool_down_minutes = 10", "expected 0 to 1440"),
        ] {
            assert!(FILE.contains(right), "{right}");
            let error = parse(&FILE.replace(right, wrong)).unwrap_err();
            assert!(error.contains(expected), "{wrong}: {error}");
        }
    }
}
