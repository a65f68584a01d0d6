//! Content security policies, as far as the collector meets them (<https://www.w3.org/TR/CSP3/>): scripts, imports,
//! WebAssembly and connections.

use super::html::Tag;
use reqwest::Url;

/// The directives that decide on scripts with an address: the first that a policy has.
const SCRIPT: [&str; 3] = ["script-src-elem", "script-src", "default-src"];
/// The directives for WebAssembly.
const WASM: [&str; 2] = ["script-src", "default-src"];
/// The directives for beacons, and for fetching the module.
const CONNECT: [&str; 2] = ["connect-src", "default-src"];

/// One policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    /// Names in lower case, and their sources.
    directives: Vec<(String, Vec<String>)>,
}

/// A policy's refusal: the directive that decides, as the policy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) directive: String,
}

impl Policy {
    /// Reads the policies of a header's value or of a `meta` tag. Any text is a list of policies.
    pub(super) fn read(text: &str) -> Vec<Self> {
        let policies = text.split(',').map(|policy| {
            let mut directives: Vec<(String, Vec<String>)> = Vec::new();
            for directive in policy.split(';') {
                let mut words = directive.split_ascii_whitespace();
                let Some(name) = words.next().map(str::to_ascii_lowercase) else { continue };
                // The first one of a name counts.
                if directives.iter().all(|(known, _)| *known != name) {
                    directives.push((name, words.map(str::to_owned).collect()));
                }
            }
            Self { directives }
        });
        policies.filter(|policy| !policy.directives.is_empty()).collect()
    }

    /// The deciding directive of a list.
    fn deciding(&self, names: &[&str]) -> Option<(&str, &[String])> {
        let of_name = |name: &&str| self.directives.iter().find(|(known, _)| known == name);
        names.iter().find_map(of_name).map(|(name, sources)| (name.as_str(), sources.as_slice()))
    }

    /// Whether the page may load the tag's script.
    pub(super) fn script(&self, tag: &Tag, url: &Url, page: &Url) -> Result<(), Refusal> {
        self.decide(&SCRIPT, |sources| {
            has_nonce(sources, tag)
                || has_hash(sources, tag)
                || (!has(sources, "'strict-dynamic'")
                    && sources.iter().any(|source| matches(source, url, page)))
        })
    }

    /// Whether the tag's script may import a module. The import has the nonce of its script.
    pub(super) fn import(&self, tag: &Tag, url: &Url, page: &Url) -> Result<(), Refusal> {
        self.decide(&SCRIPT, |sources| {
            has_nonce(sources, tag)
                || has(sources, "'strict-dynamic'")
                || sources.iter().any(|source| matches(source, url, page))
        })
    }

    /// Whether the page may compile WebAssembly.
    pub(super) fn wasm(&self) -> Result<(), Refusal> {
        self.decide(&WASM, |sources| has(sources, "'wasm-unsafe-eval'") || has(sources, "'unsafe-eval'"))
    }

    /// Whether the page may connect to an address.
    pub(super) fn connect(&self, url: &Url, page: &Url) -> Result<(), Refusal> {
        self.decide(&CONNECT, |sources| sources.iter().any(|source| matches(source, url, page)))
    }

    /// Whether the page may run scripts at all.
    pub(super) fn sandbox(&self) -> Result<(), Refusal> {
        self.decide(&["sandbox"], |flags| has(flags, "allow-scripts"))
    }

    fn decide(&self, names: &[&str], is_allowed: impl FnOnce(&[String]) -> bool) -> Result<(), Refusal> {
        match self.deciding(names) {
            Some((name, sources)) if !is_allowed(sources) => {
                Err(Refusal { directive: format!("{name} {}", sources.join(" ")).trim_end().to_owned() })
            }
            _ => Ok(()),
        }
    }
}

fn has(sources: &[String], word: &str) -> bool {
    sources.iter().any(|source| source.eq_ignore_ascii_case(word))
}

fn has_nonce(sources: &[String], tag: &Tag) -> bool {
    let Some(nonce) = tag.get("nonce").filter(|nonce| !nonce.is_empty()) else { return false };
    // Nonces are compared with their case.
    sources.iter().any(|source| {
        let inner = source.strip_prefix('\'').and_then(|source| source.strip_suffix('\''));
        let of_source = inner.and_then(|inner| inner.split_once('-'));
        of_source.is_some_and(|(kind, value)| kind.eq_ignore_ascii_case("nonce") && value == nonce)
    })
}

/// Whether the tag's integrity is among the hashes. All of its hashes must be.
fn has_hash(sources: &[String], tag: &Tag) -> bool {
    let integrity = tag.get("integrity").unwrap_or_default();
    let mut hashes = integrity.split_ascii_whitespace().peekable();
    hashes.peek().is_some() && hashes.all(|hash| sources.contains(&format!("'{hash}'")))
}

/// Whether a source matches an address.
fn matches(source: &str, url: &Url, page: &Url) -> bool {
    let is_web = matches!(url.scheme(), "http" | "https");
    if source == "*" {
        return is_web || url.scheme() == page.scheme();
    }
    if source.eq_ignore_ascii_case("'self'") {
        let is_upgrade = page.scheme() == "http" && url.scheme() == "https" && page.host() == url.host();
        return url.origin() == page.origin()
            || (is_upgrade && has_default_port(url) && has_default_port(page));
    }
    if source.starts_with('\'') {
        return false;
    }
    if let Some(scheme) = source.strip_suffix(':') {
        return scheme_matches(&scheme.to_ascii_lowercase(), url);
    }
    let (scheme, rest) = match source.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => (page.scheme().to_owned(), source),
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    scheme_matches(&scheme, url)
        && host_matches(&host.to_ascii_lowercase(), url.host_str().unwrap_or_default())
        && port_matches(port, url)
        && path_matches(path, url.path())
}

fn has_default_port(url: &Url) -> bool {
    url.port().is_none()
}

/// A source of HTTP also allows HTTPS.
fn scheme_matches(scheme: &str, url: &Url) -> bool {
    scheme == url.scheme() || (scheme == "http" && url.scheme() == "https")
}

fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => suffix.starts_with('.') && host.ends_with(suffix) && host.len() > suffix.len(),
        None => pattern == host,
    }
}

fn port_matches(port: Option<&str>, url: &Url) -> bool {
    match port {
        None => has_default_port(url),
        Some("*") => true,
        Some(port) => {
            let of_url = url.port_or_known_default();
            port.parse().ok() == of_url || (port == "80" && of_url == Some(443))
        }
    }
}

fn path_matches(pattern: &str, path: &str) -> bool {
    match pattern {
        "" | "/" => true,
        _ if pattern.ends_with('/') => path.starts_with(pattern),
        _ => path == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::super::html;
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn tag(attributes: &str) -> Tag {
        html::read(&format!("<script src=/v.js {attributes}></script>")).tags.remove(0)
    }

    fn policy(text: &str) -> Policy {
        Policy::read(text).remove(0)
    }

    #[test]
    fn sources_match_as_browsers_match_them() {
        let page = url("https://shop.example/a");
        for (source, address, expected) in [
            ("*", "https://v.example/v.js", true),
            ("'self'", "https://shop.example/v.js", true),
            ("'self'", "https://shop.example:444/v.js", false),
            ("'none'", "https://v.example/v.js", false),
            ("https:", "https://v.example/v.js", true),
            ("https:", "http://v.example/v.js", false),
            ("http:", "https://v.example/v.js", true),
            ("v.example", "https://v.example/v.js", true),
            ("V.example", "https://v.example/v.js", true),
            ("v.example", "http://v.example/v.js", false),
            ("v.example", "https://v.example:8443/v.js", false),
            ("v.example:*", "https://v.example:8443/v.js", true),
            ("v.example:8443", "https://v.example:8443/v.js", true),
            ("http://v.example:80", "https://v.example/v.js", true),
            ("*.example", "https://v.example/v.js", true),
            ("*.v.example", "https://v.example/v.js", false),
            ("https://v.example/v.js", "https://v.example/v.js", true),
            ("https://v.example/v.js", "https://v.example/c/1.js", false),
            ("https://v.example/c/", "https://v.example/c/1.js", true),
            ("[::1]:8080", "https://[::1]:8080/v.js", true),
            ("", "https://v.example/v.js", false),
        ] {
            assert_eq!(matches(source, &url(address), &page), expected, "{source} {address}");
        }
        assert!(matches("'self'", &url("https://shop.example/v.js"), &url("http://shop.example/")));
    }

    #[test]
    fn first_of_the_deciding_directives_decides() {
        let (page, script) = (url("https://shop.example/"), url("https://v.example/v.js"));
        let refused = policy("default-src 'self'; Script-Src v.example; script-src 'none'");
        assert_eq!(refused.script(&tag(""), &script, &page), Ok(()), "the first of two");
        let refusal = refused.connect(&script, &page).unwrap_err();
        assert_eq!(refusal.directive, "default-src 'self'");
        assert_eq!(
            policy("script-src-elem v.example; script-src 'none'").script(&tag(""), &script, &page),
            Ok(())
        );
        assert_eq!(policy("img-src 'none'").script(&tag(""), &script, &page), Ok(()));
        assert!(policy("script-src").script(&tag(""), &script, &page).is_err(), "no source is none");
        assert_eq!(Policy::read(" ,; , script-src *").len(), 1);
    }

    #[test]
    fn nonces_hashes_and_strict_dynamic_allow_what_they_name() {
        let (page, script) = (url("https://shop.example/"), url("https://v.example/v.js"));
        let strict = policy("script-src 'nonce-aB' 'strict-dynamic' https:");
        assert_eq!(strict.script(&tag("nonce=aB"), &script, &page), Ok(()));
        assert!(strict.script(&tag("nonce=ab"), &script, &page).is_err());
        assert!(strict.script(&tag(""), &script, &page).is_err(), "addresses do not count");
        assert_eq!(strict.import(&tag(""), &script, &page), Ok(()), "imports of allowed scripts do");
        let hashes = policy("script-src 'sha256-x='");
        assert_eq!(hashes.script(&tag("integrity=sha256-x="), &script, &page), Ok(()));
        assert!(hashes.script(&tag("integrity='sha256-x= sha256-y='"), &script, &page).is_err());
    }

    #[test]
    fn wasm_needs_its_word_and_sandboxes_theirs() {
        assert!(policy("script-src *").wasm().is_err());
        assert!(policy("default-src *").wasm().is_err());
        for allowed in ["script-src 'wasm-unsafe-eval'", "default-src 'unsafe-eval'", "connect-src 'none'"] {
            assert_eq!(policy(allowed).wasm(), Ok(()), "{allowed}");
        }
        assert!(policy("sandbox allow-forms").sandbox().is_err());
        assert_eq!(policy("sandbox allow-scripts").sandbox(), Ok(()));
    }
}
