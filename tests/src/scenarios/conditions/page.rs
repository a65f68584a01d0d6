//! The page of every condition, with values known by construction.
//!
//! The answer takes 100 ms, and the image of the largest paint takes 300 ms more. A box moves by a known distance. The
//! slow button takes 120 ms. `pages/own.js` runs first; `pages/page.js` runs the page.

use super::View;
use crate::scenarios::lab::Folder;
use crate::scenarios::verdict::Must;

const OWN: &str = include_str!("../../../pages/own.js");
const PAGE: &str = include_str!("../../../pages/page.js");

/// The page's name with the query that delays its answer by 100 ms.
pub const DELAYED: &str = "page.html?delay=100";

/// Coordinates of the pressable targets, in pixels from the top left corner. They are fixed, because some conditions
/// replace the functions that a driver's script would need to find the targets.
const PLACES: [(&str, i64, i64); 5] =
    [("slow", 100, 215), ("next", 100, 265), ("fast", 100, 315), ("alert", 100, 365), ("form", 300, 250)];

/// Returns the coordinates of a target.
///
/// # Panics
/// If there is no such target.
#[must_use]
pub fn place(name: &str) -> (i64, i64) {
    let found = PLACES.iter().find(|(known, ..)| *known == name);
    let (_, left, top) = found.unwrap_or_else(|| panic!("no page has `{name}`"));
    (*left, *top)
}

/// The plain page's values. Lower bounds follow from the construction; upper bounds leave room for a busy machine. CLS
/// is the box's shift in a window of 550 to 800 pixels of height.
pub const LOADED: &[(&str, Must)] = &[
    ("TTFB", Must::LieIn(100.0, 4_000.0)),
    ("FCP", Must::LieIn(100.0, 10_000.0)),
    ("LCP", Must::LieIn(400.0, 10_000.0)),
    ("CLS", Must::LieIn(0.045, 0.075)),
    ("INP", Must::LieIn(112.0, 560.0)),
];

/// The plain page's view.
pub const LOAD: View = View { at: "/page.html", route: None, nav: Some("navigate"), values: LOADED };

/// Parts of a page.
pub struct Parts<'a> {
    /// Markup before the tag.
    pub before: &'a str,
    /// The tag.
    pub tag: &'a str,
    /// Markup at the start of the body.
    pub inside: &'a str,
    /// Markup at the end of the body.
    pub after: &'a str,
}

impl Default for Parts<'_> {
    fn default() -> Self {
        Self { before: "", tag: "__TAG__", inside: "", after: "" }
    }
}

impl Parts<'_> {
    /// Returns the page, well-formed enough for XML too.
    #[must_use]
    pub fn html(&self) -> String {
        let Self { before, tag, inside, after } = self;
        let buttons: String = PLACES
            .iter()
            .filter(|(name, ..)| *name != "form")
            .map(|(name, left, top)| {
                let (left, top) = (left - 80, top - 20);
                format!(r#"<button id="{name}" style="left:{left}px;top:{top}px">{name}</button>"#)
            })
            .collect();
        format!(
            r#"<html><head><meta charset="utf-8"/><link rel="icon" href="data:,"/><title>t</title>
            <style nonce="lab">
            body {{ margin: 0 }}
            #box {{ height: 200px; background: #ccc }}
            #hero {{ position: fixed; right: 0; bottom: 0 }}
            button {{ position: fixed; width: 160px; height: 40px }}
            form {{ position: fixed; left: 220px; top: 200px; width: 160px; height: 100px; margin: 0 }}
            </style>
            <script nonce="lab" src="__SITE____BASE__/own.js"></script>
            {before}{tag}</head><body>{inside}<div id="pad"></div><div id="box">text</div>
            <img id="hero" alt="" src="__SITE____BASE__/image.bmp?delay=300" width="480" height="480"/>
            {buttons}
            <script nonce="lab" src="__SITE____BASE__/page.js"></script>{after}</body></html>"#
        )
    }

    /// Returns a folder with the page.
    #[must_use]
    pub fn folder(&self) -> Folder {
        folder(&[("page.html", &format!("<!doctype html>{}", self.html()))])
    }
}

/// Returns a folder with these pages and the files that they need.
#[must_use]
pub fn folder(pages: &[(&str, &str)]) -> Folder {
    let away = r#"<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>away</title>away
        <script src="__BASE__/own.js"></script><script>lab.told("away")</script>"#;
    let own = [("own.js", OWN), ("page.js", PAGE), ("away.html", away)];
    let pages = pages.iter().chain(&own).map(|&(name, text)| (name.to_owned(), text.to_owned()));
    Folder { pages: pages.collect(), ..Folder::default() }
}

/// Returns a folder with the page, with this script before the tag.
#[must_use]
pub fn scripted(script: &str) -> Folder {
    Parts { before: &format!("<script>{script}</script>"), ..Parts::default() }.folder()
}

/// Returns a folder with the page, with this markup before the tag.
#[must_use]
pub fn after(before: &str) -> Folder {
    Parts { before, ..Parts::default() }.folder()
}

/// Returns a folder with the page, with this tag.
#[must_use]
pub fn tagged(tag: &str) -> Folder {
    Parts { tag, ..Parts::default() }.folder()
}

/// Returns a folder with the page, with this script at its end.
#[must_use]
pub fn ending(script: &str) -> Folder {
    Parts { after: &format!("<script>{script}</script>"), ..Parts::default() }.folder()
}
