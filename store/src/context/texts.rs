//! Stores the texts of contexts in one dictionary per site and UTC day, so that a page view stores two bytes per
//! text.
//!
//! A dictionary is deleted with the page views of its day, independently of other days. Reading one day finds its
//! unused texts. The number of texts of each kind is bounded per day; further texts become [`OTHER`], decided once at
//! the load.

use super::Context;
use crate::dimension::{OTHER, two_bytes};
use crate::hash::{HashMap, HashSet};
use crate::limits;
use crate::load::Changed;
use crate::rollup::Grain;
use crate::view::ViewUpdate;

/// The kind of a text. Each kind has its own bound, so that a flood of one does not displace the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TextKind {
    /// An element.
    Selector = 0,
    /// The URL of an image.
    Image = 1,
    /// The URL of a script.
    Script = 2,
    /// An event type, the name of a tag, a mark or a `Server-Timing` entry, or a reason of a missed back/forward
    /// cache.
    Word = 3,
    /// The value of a tag, or the description of a `Server-Timing` entry.
    TagValue = 4,
}

impl TextKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Selector, Self::Image, Self::Script, Self::Word, Self::TagValue];

    /// Returns the kind of a stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Returns the maximum number of texts of a site and day; further ones are [`OTHER`].
    #[must_use]
    pub const fn texts_max(self) -> usize {
        match self {
            Self::Selector => limits::SELECTORS_PER_DAY_MAX,
            Self::Image => limits::IMAGES_PER_DAY_MAX,
            Self::Script => limits::SCRIPTS_PER_DAY_MAX,
            Self::Word => limits::WORDS_PER_DAY_MAX,
            Self::TagValue => limits::TAG_VALUES_PER_DAY_MAX,
        }
    }
}

/// The number that stands for a text in the page views of a day.
pub type Code = u16;

/// The code of an empty text.
pub const NO_TEXT: Code = 0;
/// The code of [`OTHER`].
pub const OTHER_TEXT: Code = 1;

/// Returns the code of a text: the first two bytes of the SHA-256 of the text and its kind, so that independent
/// servers choose the same code. If another text has the code, or if it is [`NO_TEXT`] or [`OTHER_TEXT`], the next
/// `attempt` gives another. The text's row stores the valid code.
#[must_use]
pub fn text_code(kind: TextKind, text: &str, attempt: u8) -> Code {
    // UTF-8 text never contains the byte 0xfe.
    two_bytes(text, &[0xfe, kind as u8], attempt)
}

/// Whether a code may be assigned to a text.
#[must_use]
pub const fn is_free(code: Code) -> bool {
    code != NO_TEXT && code != OTHER_TEXT
}

/// Returns the UTC day, since 1970, of the dictionary of a page view.
#[must_use]
pub fn day(view: &ViewUpdate) -> i32 {
    Grain::Day.step(view.id.start_ms())
}

/// A text of a day.
pub type Text<'a> = (i32, TextKind, &'a str);

/// The codes of the texts that were looked up.
#[derive(Clone, Debug, Default)]
pub struct TextCodes {
    codes: HashMap<(i32, TextKind), HashMap<String, Code>>,
}

impl TextCodes {
    /// Adds a text's code.
    pub fn insert(&mut self, day: i32, kind: TextKind, text: String, code: Code) {
        self.codes.entry((day, kind)).or_default().insert(text, code);
    }

    /// Adds the codes of others.
    pub fn extend(&mut self, others: Self) {
        for (key, codes) in others.codes {
            self.codes.entry(key).or_default().extend(codes);
        }
    }

    /// Returns the code of a text.
    #[must_use]
    pub fn code(&self, (day, kind, text): Text<'_>) -> Option<Code> {
        match text {
            "" => Some(NO_TEXT),
            OTHER => Some(OTHER_TEXT),
            text => self.codes.get(&(day, kind))?.get(text).copied(),
        }
    }
}

/// The texts of the codes that were looked up, by day.
#[derive(Clone, Debug, Default)]
pub struct TextNames {
    names: HashMap<(i32, Code), String>,
}

impl TextNames {
    /// Adds a code's text.
    pub fn insert(&mut self, day: i32, code: Code, text: String) {
        self.names.insert((day, code), text);
    }

    /// Returns the text of a code; [`OTHER`] if the text was deleted.
    #[must_use]
    pub fn text(&self, day: i32, code: Code) -> &str {
        match code {
            NO_TEXT => "",
            code => self.names.get(&(day, code)).map_or(OTHER, String::as_str),
        }
    }

    /// Returns all texts with their days and codes.
    pub fn iter(&self) -> impl Iterator<Item = (i32, Code, &str)> {
        self.names.iter().map(|(&(day, code), text)| (day, code, text.as_str()))
    }

    /// Returns a context with its texts.
    #[must_use]
    pub fn name(&self, day: i32, context: &Context<Code>) -> Context {
        context.map(|_, &code| self.text(day, code).to_owned())
    }
}

/// Passes each code of a context to `take`.
pub fn codes(context: &Context<Code>, mut take: impl FnMut(Code)) {
    context.map(|_, &code| {
        if is_free(code) {
            take(code);
        }
    });
}

/// Returns the distinct texts of a batch, sorted.
#[must_use]
pub fn of_beacons(beacons: &[Vec<ViewUpdate>]) -> Vec<Text<'_>> {
    of(beacons.iter().flatten())
}

/// Returns the distinct new texts of changed page views, sorted.
#[must_use]
pub fn of_changed(changed: &[Changed]) -> Vec<Text<'_>> {
    of(changed.iter().filter_map(|changed| changed.after.as_ref()).map(|view| &view.update))
}

fn of<'a>(views: impl Iterator<Item = &'a ViewUpdate>) -> Vec<Text<'a>> {
    let mut texts: HashSet<Text<'_>> = HashSet::default();
    for view in views.filter(|view| view.context.has_texts()) {
        let day = day(view);
        view.context.texts(|kind, text| {
            if text != OTHER {
                texts.insert((day, kind, text));
            }
        });
    }
    let mut texts: Vec<Text<'_>> = texts.into_iter().collect();
    texts.sort_unstable();
    texts
}

/// Replaces texts by [`OTHER`] that are not `known` and exceed the bound of their day and kind; `counts` holds the
/// site's numbers of texts. The first texts in spool order fill the bound.
///
/// The view stores the decided text, so later deletions do not change it.
pub fn bound(beacons: &mut [Vec<ViewUpdate>], known: &TextCodes, counts: &HashMap<(i32, TextKind), usize>) {
    let mut left: HashMap<(i32, TextKind), usize> = HashMap::default();
    let mut taken: HashMap<(i32, TextKind), HashSet<String>> = HashMap::default();
    for update in beacons.iter_mut().flatten().filter(|update| update.context.has_texts()) {
        let day = day(update);
        let bounded = update.context.map(|kind, text| {
            let of_kind = taken.entry((day, kind)).or_default();
            if known.code((day, kind, text)).is_some() || of_kind.contains(text) {
                return text.clone();
            }
            let left = left.entry((day, kind)).or_insert_with(|| {
                kind.texts_max().saturating_sub(counts.get(&(day, kind)).copied().unwrap_or(0))
            });
            if *left == 0 {
                return OTHER.to_owned();
            }
            *left -= 1;
            of_kind.insert(text.clone());
            text.clone()
        });
        update.context = bounded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_codes_never_change() {
        // The code is stored: another one would name another text.
        assert_eq!(text_code(TextKind::Selector, "img", 0), 0x94fd);
        assert_ne!(text_code(TextKind::Selector, "img", 0), text_code(TextKind::Image, "img", 0));
        assert_ne!(text_code(TextKind::Selector, "img", 0), text_code(TextKind::Selector, "img", 1));
    }

    #[test]
    fn kinds_have_numbers() {
        for kind in TextKind::ALL {
            assert_eq!(TextKind::from_number(kind as u8), Some(kind));
        }
        assert_eq!(TextKind::from_number(5), None);
    }

    #[test]
    fn an_unknown_code_is_another_text() {
        let mut names = TextNames::default();
        names.insert(3, 500, "img".to_owned());
        assert_eq!((names.text(3, 500), names.text(4, 500), names.text(3, NO_TEXT)), ("img", OTHER, ""));
        assert_eq!(names.text(3, OTHER_TEXT), OTHER);
    }
}
