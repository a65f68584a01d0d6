//! Finds the tag of the snippet and the policies in a page's HTML.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};
use std::collections::BTreeMap;

/// The parts of a page's HTML that concern the snippet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// The tags that may be the snippet, in their order.
    pub(super) tags: Vec<Tag>,
    /// Content security policies of `meta` tags.
    pub(super) policies: Vec<String>,
    /// The first base URL.
    pub(super) base: Option<String>,
}

/// A script tag, by its attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tag {
    attributes: BTreeMap<String, String>,
}

impl Tag {
    /// An attribute's value; empty for one without a value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// The script's address.
    pub(super) fn src(&self) -> &str {
        self.get("src").unwrap_or_default().trim()
    }

    /// Options of the snippet, for people.
    pub(super) fn options(&self) -> String {
        let data = self.attributes.iter().filter(|(name, _)| name.starts_with("data-"));
        data.map(|(name, value)| format!("{name}=\"{value}\"")).collect::<Vec<_>>().join(" ")
    }
}

/// Reads HTML as browsers do. Any text is a page.
pub(super) fn read(html: &str) -> Page {
    let mut emitter = DefaultEmitter::default();
    // Scripts and styles contain texts that look like tags.
    emitter.naively_switch_states(true);
    let mut page = Page::default();
    for token in Tokenizer::new_with_emitter(html, emitter) {
        let Ok(token) = token;
        if let Token::StartTag(tag) = token {
            page.take(&tag);
        }
    }
    page
}

impl Page {
    fn take(&mut self, tag: &StartTag<()>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name: &[u8] = &tag.name;
        let attributes: BTreeMap<String, String> =
            tag.attributes.iter().map(|(name, value)| (text(name), text(value))).collect();
        match name {
            b"script" => {
                let tag = Tag { attributes };
                if is_snippet(&tag) {
                    self.tags.push(tag);
                }
            }
            b"base" if self.base.is_none() => self.base = attributes.get("href").cloned(),
            b"meta" => {
                let is_policy = attributes
                    .get("http-equiv")
                    .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("content-security-policy"));
                self.policies.extend(attributes.get("content").filter(|_| is_policy).cloned());
            }
            _ => {}
        }
    }
}

/// Whether a script tag is the snippet: by its file, or by its option.
fn is_snippet(tag: &Tag) -> bool {
    let path = tag.src().split(['?', '#']).next().unwrap_or_default();
    path == "v.js" || path.ends_with("/v.js") || (tag.get("data-site").is_some() && !tag.src().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_is_found_among_texts_that_look_like_it() {
        let page = read(
            r#"<!doctype html><head><base href=/a/><!-- <script src=/v.js data-site=no></script> -->
            <script>let s = '<script src="/v.js" data-site="no">'</script>
            <META HTTP-EQUIV=Content-Security-Policy content="script-src 'self'">
            <script ASYNC src=https://v.example/v.js?x=1 data-site="k&amp;y" data-sample=0.5></script>
            <script src=/app.js></script>"#,
        );
        assert_eq!(page.tags.len(), 1, "{page:?}");
        assert_eq!(page.tags[0].get("data-site"), Some("k&y"));
        assert_eq!(page.tags[0].get("async"), Some(""));
        assert_eq!(page.tags[0].options(), "data-sample=\"0.5\" data-site=\"k&y\"");
        assert_eq!(page.policies, ["script-src 'self'"]);
        assert_eq!(page.base.as_deref(), Some("/a/"));
    }

    #[test]
    fn any_text_is_a_page() {
        for text in ["", "<", "<script", "<script src=/v.js", "\0<script src=\u{fffd}/v.js>", "{\"a\":1}"] {
            assert!(read(text).tags.len() <= 1, "{text}");
        }
    }
}
