//! The texts of facts. A fact holds the place of its text in this table, so that facts are small and are compared by
//! a number.

/// The table.
#[derive(Default)]
pub struct Texts(Vec<String>);

impl Texts {
    /// The place of a text; 0 is the empty one.
    pub fn place(&mut self, text: String) -> u32 {
        self.find(text, |text| text)
    }

    /// The place of a URL, which is that of one that differs in trailing slashes alone.
    pub fn url(&mut self, url: String) -> u32 {
        self.find(url, bare)
    }

    /// The place of a text of which the same is known, or a new one.
    #[inline(never)]
    fn find(&mut self, text: String, same: fn(&str) -> &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let mut place = 0;
        for known in &self.0 {
            place += 1;
            if same(known) == same(&text) {
                return place;
            }
        }
        self.0.push(text);
        place + 1
    }

    /// The text of a place.
    #[inline(never)]
    pub fn text(&self, place: u32) -> &str {
        self.0.get((place as usize).wrapping_sub(1)).map_or("", String::as_str)
    }

    /// Texts in the table.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

fn bare(url: &str) -> &str {
    let mut bare = url;
    while let Some(rest) = bare.strip_suffix('/') {
        bare = rest;
    }
    bare
}
