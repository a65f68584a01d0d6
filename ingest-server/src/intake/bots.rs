//! Detects visits of programs: crawlers, uptime checks, performance labs, automated browsers.
//!
//! `bots/list.tsv` has kinds and patterns of the
//! [crawler-user-agents](https://github.com/monperrus/crawler-user-agents) project (MIT, release 1.60.0). The project
//! has many maintainers and tests its patterns against real headers. Update the list with
//!
//! ```text
//! npm pack crawler-user-agents && tar -xzf crawler-user-agents-*.tgz
//! jq -r '.[] | [.tags[0], .pattern | gsub("\\\\/"; "/")] | join("\t")' package/crawler-user-agents.json > list.tsv
//! ```
//!
//! The list contains HTTP libraries (curl, Go-http-client). They are not filtered, because they render no pages.
//! Programs that post beacons with a library, such as relays, do so on purpose.

use crate::limits;
use crate::outcome::BotKind;
use regex::bytes::{RegexSet, RegexSetBuilder};
use std::sync::LazyLock;

/// A program that visits pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bot {
    /// Its purpose.
    pub kind: BotKind,
    /// The pattern that matched.
    pub name: &'static str,
}

/// An automated browser, detected by `navigator.webdriver`.
pub const WEBDRIVER: Bot = Bot { kind: BotKind::Webdriver, name: "navigator.webdriver" };

/// A headless browser, detected by its client hints.
const HEADLESS: Bot = Bot { kind: BotKind::BrowserAutomation, name: "HeadlessChrome" };

/// Lines of kind and pattern, separated by a tab.
const LIST: &str = include_str!("bots/list.tsv");

/// The kind that is not filtered.
const LIBRARIES: &str = "http-library";

/// Patterns of the list that also match people's browsers.
const PEOPLE: [&str; 9] = [
    // An Android build of many phones.
    r"AP3A\.240617\.008",
    // In-app browsers.
    "Bluesky/",
    "Feedly",
    "Goodreads",
    "MetaIAB Facebook",
    "Viber",
    // The preview of an editor.
    r"Code/1\.",
    // Browsers of these search engines. Their crawlers match other patterns, or `UNLISTED`.
    "Sogou",
    r"mail\.ru",
];

/// Pattern of unlisted programs. Excludes Cubot, a brand of phones.
const UNLISTED: &str = r"(?i)(^bot|[^u]bot|crawler|spider|crawl|headless|lighthouse)([^a-z]|$)";

struct List {
    patterns: RegexSet,
    bots: Vec<Bot>,
}

static BOTS: LazyLock<List> = LazyLock::new(|| {
    let listed = LIST.lines().filter_map(|line| line.split_once('\t'));
    let listed = listed.filter(|(kind, name)| *kind != LIBRARIES && !PEOPLE.contains(name));
    let listed =
        listed.map(|(kind, name)| Bot { kind: BotKind::from_name(kind).unwrap_or(BotKind::Other), name });
    let unlisted = Bot { kind: BotKind::Other, name: "bot, crawler, spider" };
    let bots: Vec<Bot> = listed.chain([unlisted]).collect();
    let (_, named) = bots.split_last().unzip();
    let patterns = named.unwrap_or_default().iter().map(|bot: &Bot| bot.name).chain([UNLISTED]);
    // A test compiles the patterns. An empty set filters nothing.
    let patterns = RegexSetBuilder::new(patterns).unicode(false).build().unwrap_or_default();
    List { patterns, bots }
});

/// Compiles the list ahead of the first beacon, because compiling takes about 30 ms.
pub fn prepare() {
    LazyLock::force(&BOTS);
}

/// Finds the program that sends these headers.
#[must_use]
pub fn named(brands: Option<&str>, user_agent: Option<&str>) -> Option<Bot> {
    let text = user_agent.unwrap_or_default().as_bytes();
    let text = text.get(..limits::AGENT_BYTES_MAX).unwrap_or(text);
    let found = BOTS.patterns.matches(text).iter().next().and_then(|place| BOTS.bots.get(place).copied());
    found.or_else(|| brands.is_some_and(|brands| brands.contains(HEADLESS.name)).then_some(HEADLESS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(user_agent: &str) -> Option<BotKind> {
        named(None, Some(user_agent)).map(|bot| bot.kind)
    }

    #[test]
    fn the_whole_list_is_compiled_and_every_kind_has_a_name() {
        let lines: Vec<_> = LIST.lines().map(|line| line.split_once('\t').expect(line)).collect();
        let left_out = |(kind, name): &&(&str, &str)| *kind == LIBRARIES || PEOPLE.contains(name);
        assert_eq!(BOTS.patterns.len(), lines.len() - lines.iter().filter(left_out).count() + 1);
        assert_eq!(BOTS.patterns.len(), BOTS.bots.len());
        for (kind, name) in &lines {
            assert!(
                *kind == LIBRARIES || BotKind::from_name(kind).is_some(),
                "{kind} of {name} has no counter"
            );
        }
        for people in PEOPLE {
            assert!(lines.iter().any(|(_, name)| *name == people), "{people} is not in the list any more");
        }
    }

    #[test]
    fn programs_are_named_by_kind() {
        let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
        for (user_agent, expected) in [
            (
                format!(
                    "Mozilla/5.0 {webkit}; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/142.0 Safari/537.36"
                ),
                BotKind::SearchEngine,
            ),
            (
                format!("Mozilla/5.0 {webkit}; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"),
                BotKind::SearchEngine,
            ),
            (
                format!("Mozilla/5.0 {webkit}; compatible; GPTBot/1.2; +https://openai.com/gptbot)"),
                BotKind::AiCrawler,
            ),
            (
                format!("Mozilla/5.0 (X11; Linux x86_64) {webkit} HeadlessChrome/142.0.0.0 Safari/537.36"),
                BotKind::BrowserAutomation,
            ),
            (
                format!(
                    "Mozilla/5.0 (Linux; Android 11; moto g power) {webkit} Chrome/142.0.0.0 Mobile Safari/537.36 Chrome-Lighthouse"
                ),
                BotKind::Monitoring,
            ),
            (
                format!(
                    "Mozilla/5.0 (X11; Linux x86_64) {webkit} Chrome/142.0.0.0 Safari/537.36 PTST/251100.1"
                ),
                BotKind::Monitoring,
            ),
            (
                format!(
                    "Mozilla/5.0 (X11; Linux x86_64) {webkit} Chrome/142 Safari/537.36 (compatible; PingdomTMS/0.9)"
                ),
                BotKind::Monitoring,
            ),
            (
                format!(
                    "Mozilla/5.0 (X11; Linux x86_64) {webkit} Chrome/142 Safari/537.36 DatadogSynthetics"
                ),
                BotKind::Monitoring,
            ),
            (
                format!("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/) {webkit}"),
                BotKind::Monitoring,
            ),
            (
                format!(
                    "Mozilla/5.0 (X11; Linux x86_64) {webkit} Chrome/142 Safari/537.36 NobodyKnowsThisCrawler/1.0"
                ),
                BotKind::Other,
            ),
            (
                "Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)".to_owned(),
                BotKind::Other,
            ),
        ] {
            assert_eq!(kind(&user_agent), Some(expected), "{user_agent}");
        }
        let brands = Some(r#""HeadlessChrome";v="142", "Chromium";v="142""#);
        assert_eq!(named(brands, Some("Mozilla/5.0")), Some(HEADLESS));
    }

    /// People's browsers that nearly match a pattern.
    #[test]
    fn people_are_people() {
        let android = "AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0 Mobile Safari/537.36";
        let iphone =
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
        for user_agent in [
            format!("Mozilla/5.0 (Linux; Android 10; CUBOT_X20_PRO) {android}"),
            format!("Mozilla/5.0 (Linux; Android 10; CUBOT) {android}"),
            format!("Mozilla/5.0 (Linux; Android 15; Pixel 8 Build/AP3A.240617.008; wv) {android}"),
            format!("Mozilla/5.0 (Linux; Android 14; wv) {android} [Pinterest/Android]"),
            format!("Mozilla/5.0 (Linux; Android 14; wv) {android} [FB_IAB/FB4A;FBAV/480;IABMV/1;] MetaIAB Facebook"),
            format!("Mozilla/5.0 (Linux; Android 9; MI 8) {android} SogouMobileBrowser/5.2"),
            format!("Mozilla/5.0 (Linux; Android 14; wv) {android} Viber/23.1.0"),
            format!("Mozilla/5.0 (Linux; Android 14) {android} Line/14.9.0/IAB"),
            format!("{iphone} Version/18.6 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15"),
            format!("{iphone} Mobile/15E148 [LinkedInApp]/9.30"),
            format!("{iphone} GSA/377.0 Mobile/15E148 Safari/604.1"),
            format!("{iphone} Version/26.0 Mobile/15E148 Safari/604.1"),
            "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0".to_owned(),
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/126 Electron/31 Safari/537.36 Slack_SSB/4.39".to_owned(),
            // HTTP libraries.
            "curl/8.11.0".to_owned(),
            "Go-http-client/2.0".to_owned(),
            "python-requests/2.32".to_owned(),
            String::new(),
        ] {
            assert_eq!(named(None, Some(&user_agent)), None, "{user_agent}");
        }
        assert_eq!(named(None, None), None);
    }

    #[test]
    fn a_long_header_is_read_at_its_beginning() {
        let long = format!("{}HeadlessChrome", "x".repeat(100_000));
        assert_eq!(kind(&long), None);
        assert_eq!(kind(&format!("HeadlessChrome{long}")), Some(BotKind::BrowserAutomation));
    }
}
