//! Derives the browser and operating system families of a request from its headers, without versions.
//!
//! Client hints take precedence, because Chromium freezes its `User-Agent`. Woothee parses the `User-Agent` if hints
//! are missing. Only known families are returned, so that a client cannot fill reports with names.

use super::bots::{self, Bot};
use crate::limits;
use std::cell::RefCell;
use std::collections::HashMap;
use vitals::view::Os;

/// Headers that describe the browser.
#[derive(Clone, Copy, Debug, Default)]
pub struct Agent<'a> {
    /// `Sec-CH-UA`, a list of brands.
    pub brands: Option<&'a str>,
    /// `Sec-CH-UA-Platform`, a quoted name.
    pub platform: Option<&'a str>,
    /// `User-Agent`
    pub user_agent: Option<&'a str>,
}

/// A brand's name in client hints, and its family.
const BRANDS: [(&str, &str); 8] = [
    ("Google Chrome", "Chrome"),
    ("Microsoft Edge", "Edge"),
    ("Opera", "Opera"),
    ("Samsung Internet", "Samsung Internet"),
    ("Brave", "Brave"),
    ("YaBrowser", "Yandex Browser"),
    ("Vivaldi", "Vivaldi"),
    // All of these browsers also send the brand Chromium, so it comes last.
    ("Chromium", "Chromium"),
];

/// Marks of the `User-Agent` that woothee attributes to another browser. Every browser on iOS uses Safari's engine and
/// names it.
const MARKS: [(&str, &str); 6] = [
    ("SamsungBrowser/", "Samsung Internet"),
    ("CriOS/", "Chrome"),
    ("FxiOS/", "Firefox"),
    ("EdgiOS/", "Edge"),
    ("EdgA/", "Edge"),
    ("OPR/", "Opera"),
];

/// The families derived from the headers of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// The browser family, such as `Chrome`; `None` if unknown.
    pub browser: Option<&'static str>,
    /// The operating system family; `None` if unknown.
    pub os: Option<Os>,
    /// The program, if the headers name one.
    pub bot: Option<Bot>,
}

/// Cache of [`sender`] results, one per thread.
#[derive(Default)]
struct Senders {
    known: HashMap<String, Sender>,
    /// Buffer for the cache key: the joined headers.
    key: String,
}

thread_local! {
    /// Parsing costs as much as decoding a whole beacon, and a few hundred header texts make up nearly all traffic.
    static SENDERS: RefCell<Senders> = RefCell::default();
}

/// Returns the browser, the system and the program of a request, from the thread's cache if possible.
#[must_use]
pub fn sender(agent: &Agent<'_>) -> Sender {
    SENDERS.with_borrow_mut(|Senders { known, key }| {
        key.clear();
        for text in [agent.brands, agent.platform, agent.user_agent] {
            key.push_str(text.unwrap_or_default());
            key.push('\n');
        }
        if let Some(&sender) = known.get(key.as_str()) {
            return sender;
        }
        let bot = bots::named(agent.brands, agent.user_agent);
        let sender = Sender { browser: browser(agent), os: os(agent), bot };
        if key.len() <= limits::AGENT_BYTES_MAX {
            if known.len() >= limits::AGENTS_MAX {
                known.clear();
            }
            known.insert(key.clone(), sender);
        }
        sender
    })
}

fn browser(agent: &Agent<'_>) -> Option<&'static str> {
    if let Some(brands) = agent.brands {
        let has = |brand: &str| brands.split(',').any(|one| one.split('"').nth(1) == Some(brand));
        if let Some((_, family)) = BRANDS.iter().find(|(brand, _)| has(brand)) {
            return Some(family);
        }
    }
    let text = agent.user_agent?;
    if let Some((_, family)) = MARKS.iter().find(|(mark, _)| text.contains(mark)) {
        return Some(family);
    }
    match woothee::parser::Parser::new().parse(text)?.name {
        "Chrome" => Some("Chrome"),
        "Edge" => Some("Edge"),
        "Firefox" => Some("Firefox"),
        "Safari" => Some("Safari"),
        "Opera" => Some("Opera"),
        "Vivaldi" => Some("Vivaldi"),
        "Yandex Browser" => Some("Yandex Browser"),
        "Internet Explorer" => Some("Internet Explorer"),
        _ => None,
    }
}

/// Names that client hints and woothee use for an unknown system.
const UNKNOWN: [&str; 3] = ["", "Unknown", "UNKNOWN"];

fn os(agent: &Agent<'_>) -> Option<Os> {
    let hint = agent.platform.map(|platform| platform.trim().trim_matches('"'));
    let name = match hint.filter(|name| !UNKNOWN.contains(name)) {
        Some(name) => name,
        None => woothee::parser::Parser::new().parse(agent.user_agent?)?.os,
    };
    match name {
        name if UNKNOWN.contains(&name) => None,
        name if name.starts_with("Windows") => Some(Os::Windows),
        "Android" => Some(Os::Android),
        "iOS" | "iPhone" | "iPad" | "iPod" => Some(Os::Ios),
        "macOS" | "Mac OSX" => Some(Os::Macos),
        "Linux" => Some(Os::Linux),
        "Chrome OS" | "Chromium OS" | "ChromeOS" => Some(Os::Chromeos),
        _ => Some(Os::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15";
    const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1";
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";
    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

    fn by_text(user_agent: &str) -> (Option<&'static str>, Option<Os>) {
        let Sender { browser, os, .. } = sender(&Agent { user_agent: Some(user_agent), ..Agent::default() });
        (browser, os)
    }

    #[test]
    fn what_is_known_of_a_header_is_not_told_of_another() {
        let family = |agent: &Agent<'_>| sender(agent).browser;
        let agent = |brands, user_agent| Agent { brands, platform: None, user_agent };
        for _ in 0..2 {
            assert_eq!(family(&agent(None, Some(FIREFOX))), Some("Firefox"));
            assert_eq!(family(&agent(Some(r#""Opera";v="1""#), Some(FIREFOX))), Some("Opera"));
            assert_eq!(family(&agent(Some(FIREFOX), None)), None);
            let windows = Agent { platform: Some("\"Windows\""), ..agent(None, Some(FIREFOX)) };
            assert_eq!((sender(&windows).os, by_text(FIREFOX).1), (Some(Os::Windows), Some(Os::Linux)));
        }
        // Many different texts do not grow the cache without bound, and known texts are cached again.
        for number in 0..3 * limits::AGENTS_MAX {
            let text = format!("{FIREFOX} {number}");
            assert_eq!(by_text(&text).0, Some("Firefox"));
        }
        SENDERS.with_borrow(|senders| assert!(senders.known.len() <= limits::AGENTS_MAX));
        assert_eq!(family(&agent(None, Some(FIREFOX))), Some("Firefox"));
    }

    #[test]
    fn brands_come_first() {
        for (brands, expected) in [
            (r#""Chromium";v="156", "Google Chrome";v="156", "Not=A?Brand";v="24""#, Some("Chrome")),
            (r#""Not)A;Brand";v="8", "Chromium";v="156", "Microsoft Edge";v="156""#, Some("Edge")),
            (r#""Chromium";v="156""#, Some("Chromium")),
            (r#""Invented Browser";v="1""#, None),
            ("", None),
        ] {
            let agent = Agent { brands: Some(brands), ..Agent::default() };
            assert_eq!(sender(&agent).browser, expected, "{brands}");
        }
        let agent = Agent { platform: Some("\"macOS\""), user_agent: Some(CHROME), ..Agent::default() };
        assert_eq!(sender(&agent), Sender { browser: Some("Chrome"), os: Some(Os::Macos), bot: None });
    }

    #[test]
    fn without_them_the_header_of_old_tells() {
        assert_eq!(by_text(SAFARI), (Some("Safari"), Some(Os::Macos)));
        assert_eq!(by_text(IPHONE), (Some("Safari"), Some(Os::Ios)));
        assert_eq!(by_text(FIREFOX), (Some("Firefox"), Some(Os::Linux)));
        assert_eq!(by_text(CHROME), (Some("Chrome"), Some(Os::Windows)));
        assert_eq!(by_text(&IPHONE.replace("Version/26.0", "CriOS/156.0")).0, Some("Chrome"));
        assert_eq!(by_text(&CHROME.replace("Safari/537.36", "Safari/537.36 Edg/156.0")).0, Some("Edge"));
        assert_eq!(by_text("curl/8"), (None, None));
        assert_eq!(by_text(&"x".repeat(100_000)), (None, None));
        for (system, os) in [
            ("Linux; Android 10; K", Some(Os::Android)),
            ("X11; CrOS x86_64 14541.0.0", Some(Os::Chromeos)),
            ("X11; FreeBSD amd64", Some(Os::Other)),
            ("", None),
        ] {
            assert_eq!(by_text(&CHROME.replace("Windows NT 10.0; Win64; x64", system)).1, os, "{system}");
        }
    }

    #[test]
    fn a_system_is_told_by_its_hint_where_it_is_one() {
        for (platform, os) in [
            ("\"Android\"", Some(Os::Android)),
            ("\"Chrome OS\"", Some(Os::Chromeos)),
            ("\"Fuchsia\"", Some(Os::Other)),
            // An unknown hint falls back to the `User-Agent`.
            ("\"Unknown\"", Some(Os::Windows)),
            ("\"\"", Some(Os::Windows)),
            ("", Some(Os::Windows)),
        ] {
            let agent = Agent { platform: Some(platform), user_agent: Some(CHROME), ..Agent::default() };
            assert_eq!(sender(&agent).os, os, "{platform}");
        }
        let hint_alone = Agent { platform: Some("\"Linux\""), ..Agent::default() };
        assert_eq!(sender(&hint_alone), Sender { browser: None, os: Some(Os::Linux), bot: None });
    }
}
