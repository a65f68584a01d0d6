//! Counts the outcomes of beacons: each beacon has exactly one [`Outcome`]. Records rejections, which explain missing
//! data.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::limits;
use fieldvitals_store::SiteId;
use vitals::beacon::{Dropped, Field};

macro_rules! reasons {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident $name:literal $hint:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$variant_doc])* $variant,)+ }

        impl $type {
            /// All reasons, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The reason's name in counters, API and error codes.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// A hint for the sender.
            #[must_use]
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)+ }
            }
        }
    };
}

reasons! {
    /// Reason for which a well-formed beacon is not stored.
    Filtered {
        /// The page view starts more than 48 h after the server's clock.
        Clock "clock" "Set the clock of the device, or of the server: a page view may not start in the future.",
        /// The page view started more than 48 h ago.
        Late "late" "Send a page view within 48 hours of its start.",
        /// A bot made the page view.
        Bot "bot" "Visits of programs (crawlers, checks, driven or headless browsers) are not kept. `fieldvitals serve --bots keep` keeps them, for tests of your own.",
        /// A body of another library without a web vital, such as an event or a log.
        NoMetric "no_metric" "Nothing to do: libraries that measure more than web vitals send such bodies. See docs/formats.md.",
    }
}

macro_rules! kinds {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$variant_doc])* $variant,)+ }

        impl $type {
            /// All kinds, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The kind's name in counters and messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns the kind of this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

kinds! {
    /// The purpose of a program that visits pages.
    BotKind {
        /// Indexes pages for a search engine.
        SearchEngine "search-engine",
        /// Reads pages for a language model.
        AiCrawler "ai-crawler",
        /// Analyzes pages for search engine optimization.
        Seo "seo",
        /// Checks uptime, speed or validity, such as Lighthouse and WebPageTest.
        Monitoring "monitoring",
        /// Automates a browser.
        BrowserAutomation "browser-automation",
        /// Automates a browser, detected by `navigator.webdriver`.
        Webdriver "webdriver",
        /// Shows a preview of a link.
        SocialPreview "social-preview",
        /// Reads feeds.
        FeedReader "feed-reader",
        /// Checks or sells advertisements.
        Advertising "advertising",
        /// Scans for vulnerabilities.
        Scanner "scanner",
        /// Archives the web.
        Archiver "archiver",
        /// Studies the web.
        Academic "academic",
        /// Unlisted; the name contains bot, crawler or spider.
        Other "other",
    }
}

reasons! {
    /// Reason for which a body is not a valid beacon.
    Invalid {
        /// Not JSON, or JSON of another shape.
        Malformed "malformed" "See docs/wire-format.md for the shape of a beacon, docs/formats.md for those of other libraries.",
        /// Not UTF-8.
        NotUtf8 "not_utf8" "Send JSON in UTF-8.",
        /// A wire format version that this server does not support.
        Version "version" "Update the server, or load its own v.js.",
        /// The body exceeds the byte limit.
        TooLarge "too_large" "Send at most 64 KiB a beacon.",
        /// The body did not arrive in time.
        Timeout "timeout" "Send the whole body within 5 seconds.",
        /// The body is compressed.
        Encoding "encoding" "Send the body without Content-Encoding.",
        /// The connection broke inside the body.
        Aborted "aborted" "Send the whole body.",
        /// Not a POST.
        Method "method" "Send beacons with POST.",
        /// No site has this key.
        UnknownSite "unknown_site" "Use the key that `fieldvitals site list` shows as data-site.",
        /// The site does not allow the page's origin.
        Origin "origin" "Allow the origin with `fieldvitals site update NAME --origin ORIGIN`, and name all other origins of the site, too.",
        /// The value of a field is impossible.
        Value "value" "See docs/wire-format.md for the range of each field.",
    }
}

/// Result of a beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Durable in the spool.
    Accepted,
    /// Well-formed, but not stored.
    Filtered(Filtered),
    /// Not a valid beacon.
    Invalid(Invalid),
    /// The client's network exceeds its rate limit.
    RateLimited,
    /// Refused because a limit was reached; the sender may retry.
    Shed,
}

/// Counts of all outcomes since the server started. `received` is the sum of the outcomes. Bots by kind and dropped
/// fields have counters of their own, because a body has only one outcome.
#[derive(Debug)]
pub struct Outcomes {
    received: AtomicU64,
    accepted: AtomicU64,
    rate_limited: AtomicU64,
    shed: AtomicU64,
    filtered: Vec<AtomicU64>,
    invalid: Vec<AtomicU64>,
    bots: Vec<AtomicU64>,
    dropped: Vec<AtomicU64>,
}

impl Default for Outcomes {
    fn default() -> Self {
        let zeros = |len| std::iter::repeat_with(AtomicU64::default).take(len).collect();
        Self {
            received: AtomicU64::default(),
            accepted: AtomicU64::default(),
            rate_limited: AtomicU64::default(),
            shed: AtomicU64::default(),
            filtered: zeros(Filtered::ALL.len()),
            invalid: zeros(Invalid::ALL.len()),
            bots: zeros(BotKind::ALL.len()),
            dropped: zeros(Field::ALL.len()),
        }
    }
}

impl Outcomes {
    /// Counts a beacon that reached the server. Its outcome is counted later.
    pub fn receive(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a beacon's outcome.
    pub fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Accepted => Some(&self.accepted),
            Outcome::RateLimited => Some(&self.rate_limited),
            Outcome::Shed => Some(&self.shed),
            Outcome::Filtered(reason) => self.filtered.get(reason as usize),
            Outcome::Invalid(reason) => self.invalid.get(reason as usize),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts the kind of a filtered bot.
    pub fn count_bot(&self, kind: BotKind) {
        if let Some(counter) = self.bots.get(kind as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts the dropped fields of an accepted body.
    pub fn count_dropped(&self, dropped: &Dropped) {
        for (field, count) in dropped.counts() {
            if let Some(counter) = self.dropped.get(field as usize) {
                counter.fetch_add(count.into(), Ordering::Relaxed);
            }
        }
    }

    /// Counts of filtered bots by kind.
    pub fn bots(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = BotKind::ALL.iter().map(|kind| kind.name());
        names.zip(self.bots.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }

    /// Counts of dropped fields of accepted bodies, by name.
    pub fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = Field::ALL.iter().map(|field| field.name());
        names.zip(self.dropped.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }

    /// Count of beacons that reached the server.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// All outcomes with their names and counts: `accepted`, `rate_limited`, `shed`, `filtered(…)`, `invalid(…)`.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, u64)> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut counts = vec![
            ("accepted".to_owned(), read(&self.accepted)),
            ("rate_limited".to_owned(), read(&self.rate_limited)),
            ("shed".to_owned(), read(&self.shed)),
        ];
        let named = |kind: &str, name: &str, counter: &AtomicU64| (format!("{kind}({name})"), read(counter));
        counts.extend(
            Filtered::ALL
                .iter()
                .zip(&self.filtered)
                .map(|(reason, count)| named("filtered", reason.name(), count)),
        );
        counts.extend(
            Invalid::ALL
                .iter()
                .zip(&self.invalid)
                .map(|(reason, count)| named("invalid", reason.name(), count)),
        );
        counts
    }
}

/// Refused beacons of one site, reason and origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The site; `None` if the key was unknown.
    pub site: Option<SiteId>,
    /// The reason's name.
    pub reason: &'static str,
    /// The page's origin; empty if the request named none.
    pub origin: String,
    /// Count since the server started.
    pub count: u64,
    /// Time of the last rejection, UTC milliseconds.
    pub last_seen_ms: i64,
    /// Error message of the last rejection.
    pub message: String,
}

/// Site, reason, origin.
type Kind = (Option<SiteId>, &'static str, String);

/// The rejections of this server, up to [`limits::REJECTION_KINDS_MAX`] kinds. When full, a new kind replaces the kind
/// that was not seen for the longest time.
#[derive(Debug, Default)]
pub struct Rejections {
    kinds: Mutex<HashMap<Kind, Rejection>>,
}

impl Rejections {
    /// Records a refused beacon.
    pub fn note(&self, site: Option<SiteId>, reason: &'static str, origin: &str, message: &str, now_ms: i64) {
        let origin: String = origin.chars().take(limits::LABEL_BYTES_MAX).collect();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (site, reason, origin);
        if kinds.len() >= limits::REJECTION_KINDS_MAX && !kinds.contains_key(&key) {
            let oldest = kinds.iter().min_by_key(|(_, kind)| kind.last_seen_ms).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                kinds.remove(&oldest);
            }
        }
        let origin = key.2.clone();
        let kind = kinds.entry(key).or_insert(Rejection {
            site,
            reason,
            origin,
            count: 0,
            last_seen_ms: now_ms,
            message: String::new(),
        });
        kind.count = kind.count.saturating_add(1);
        kind.last_seen_ms = now_ms;
        message.clone_into(&mut kind.message);
    }

    /// Returns the rejections of a site and of unknown sites, latest first.
    #[must_use]
    pub fn of(&self, site: SiteId) -> Vec<Rejection> {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Rejection> =
            kinds.values().filter(|kind| kind.site.is_none_or(|of| of == site)).cloned().collect();
        found.sort_by(|a, b| b.last_seen_ms.cmp(&a.last_seen_ms).then_with(|| a.reason.cmp(b.reason)));
        found
    }

    /// Returns the number of rejections of a site and of unknown sites.
    #[must_use]
    pub fn count(&self, site: SiteId) -> u64 {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.values().filter(|kind| kind.site.is_none_or(|of| of == site)).map(|kind| kind.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejections_are_joined_by_kind_and_bounded() {
        let rejections = Rejections::default();
        let site = SiteId(1);
        for n in 0..3 {
            rejections.note(Some(site), "origin", "https://evil.example", "not allowed", n);
        }
        rejections.note(None, "unknown_site", "https://other.example", "no such key", 9);
        rejections.note(Some(SiteId(2)), "origin", "https://else.example", "not allowed", 10);
        let found = rejections.of(site);
        assert_eq!(
            found.iter().map(|kind| (kind.reason, kind.count)).collect::<Vec<_>>(),
            [("unknown_site", 1), ("origin", 3)]
        );
        assert_eq!(rejections.count(site), 4);
        for n in 0..2_000 {
            rejections.note(Some(site), "origin", &format!("https://{n}.example"), "not allowed", 100 + n);
        }
        assert!(rejections.of(site).len() <= limits::REJECTION_KINDS_MAX);
        assert!(rejections.of(site).iter().all(|kind| kind.last_seen_ms >= 100), "the oldest made room");
    }

    #[test]
    fn every_outcome_has_a_counter() {
        let outcomes = Outcomes::default();
        let all = [Outcome::Accepted, Outcome::RateLimited, Outcome::Shed]
            .into_iter()
            .chain(Filtered::ALL.iter().copied().map(Outcome::Filtered))
            .chain(Invalid::ALL.iter().copied().map(Outcome::Invalid));
        for outcome in all {
            outcomes.receive();
            outcomes.count(outcome);
        }
        assert!(outcomes.counts().iter().all(|(_, count)| *count == 1));
        assert_eq!(outcomes.counts().iter().map(|(_, count)| count).sum::<u64>(), outcomes.received());
    }

    #[test]
    fn what_stands_beside_outcomes_is_counted_by_name() {
        let outcomes = Outcomes::default();
        let mut dropped = Dropped::default();
        for &field in Field::ALL {
            dropped.note(field);
        }
        for _ in 0..2 {
            BotKind::ALL.iter().for_each(|&kind| outcomes.count_bot(kind));
            outcomes.count_dropped(&dropped);
        }
        assert_eq!(
            (outcomes.bots().count(), outcomes.dropped().count()),
            (BotKind::ALL.len(), Field::ALL.len())
        );
        assert!(outcomes.bots().chain(outcomes.dropped()).all(|(_, count)| count == 2));
        assert!(BotKind::ALL.iter().all(|&kind| BotKind::from_name(kind.name()) == Some(kind)));
    }
}
