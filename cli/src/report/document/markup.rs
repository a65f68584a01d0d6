//! HTML and SVG that cannot be injected into: every text and every attribute is escaped, without characters that control
//! a terminal or the writing direction.

use crate::output::plain;

/// Escaped markup.
#[derive(Clone, Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Returns the markup.
    pub(super) fn into_string(self) -> String {
        self.0
    }

    /// Appends further markup.
    pub(super) fn push(&mut self, further: Self) {
        self.0.extend([further.0]);
    }
}

impl FromIterator<Self> for Markup {
    fn from_iter<T: IntoIterator<Item = Self>>(parts: T) -> Self {
        Self(parts.into_iter().map(|part| part.0).collect())
    }
}

/// A text.
pub(super) fn text(text: impl AsRef<str>) -> Markup {
    Markup(escape(text.as_ref()))
}

/// An element with attributes and content.
pub(super) fn element(name: &'static str, attributes: &[(&'static str, &str)], content: Markup) -> Markup {
    let mut markup = open(name, attributes);
    markup.push(content);
    markup.push(Markup(format!("</{name}>")));
    markup
}

/// An element without content that has no end tag, such as `<meta>`.
pub(super) fn open(name: &'static str, attributes: &[(&'static str, &str)]) -> Markup {
    let attributes: String =
        attributes.iter().map(|(name, value)| format!(" {name}=\"{}\"", escape(value))).collect();
    Markup(format!("<{name}{attributes}>"))
}

/// The style sheet of the document, which has no text of others.
pub(super) fn style(sheet: &'static str) -> Markup {
    Markup(format!("<style>{sheet}</style>"))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in plain(text).chars() {
        match char {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_markup() {
        let hostile = "</td><script>alert('1')</script>\" onload=\"x\u{202e}";
        let markup = element("td", &[("title", hostile)], text(hostile)).into_string();
        assert_eq!(markup.matches('<').count(), 2, "{markup}");
        assert_eq!(markup.matches('"').count(), 2, "{markup}");
        assert!(!markup.contains('\u{202e}') && !markup.contains('\''), "{markup}");
    }
}
