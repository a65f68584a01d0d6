//! Counts the kinds of LCP elements, and gathers the parts of LCP of images.

use super::texts::{NO_TEXT, TextNames};
use crate::scan::{Gather, Seen};
use vitals::histogram::rank;

/// The page views with an attribution of LCP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LcpElements {
    /// TTFB, load delay, load duration and render delay of the page views whose LCP element has an image.
    images_ms: [Vec<u32>; 4],
    texts: i64,
}

impl LcpElements {
    /// The page views whose LCP element has an image.
    #[must_use]
    pub fn images(&self) -> i64 {
        self.images_ms[0].len() as i64
    }

    /// The page views whose LCP element is text.
    #[must_use]
    pub const fn texts(&self) -> i64 {
        self.texts
    }

    /// Returns the exact 75th percentile of a part of LCP over images, in milliseconds; `None` without images.
    pub fn p75_ms(&mut self, part: usize) -> Option<u32> {
        let values = self.images_ms.get_mut(part).filter(|values| !values.is_empty())?;
        let place = usize::try_from(rank(values.len() as i64, 75)).ok()?.checked_sub(1)?;
        let (_, value, _) = values.select_nth_unstable(place);
        Some(*value)
    }
}

impl Gather for LcpElements {
    fn begin(&mut self, _: &TextNames) {}

    fn add(&mut self, seen: &Seen, _: &TextNames) {
        let Some(lcp) = seen.context.detail.as_ref().and_then(|detail| detail.lcp.as_ref()) else { return };
        if lcp.url == NO_TEXT {
            self.texts += 1;
            return;
        }
        for (values, ms) in self.images_ms.iter_mut().zip(lcp.parts_ms) {
            values.push(ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Context, Detail, LcpDetail};
    use crate::weight::Weight;
    use vitals::metric::Values;
    use vitals::view::ViewId;

    fn seen(url: u16, render_delay: u32) -> Seen {
        let lcp = LcpDetail { target: 9, url, parts_ms: [100, 0, 50, render_delay] };
        let detail = Detail { lcp: Some(lcp), inp: None, cls: None, tags: Vec::new(), marks: Vec::new() };
        let context = Context { detail: Some(Box::new(detail)), ..Context::NONE };
        let id = ViewId::new(1, u128::from(render_delay));
        Seen { id, day: 0, weight: Weight::ONE, values: Values::EMPTY, tti_gap: None, context }
    }

    #[test]
    fn parts_are_of_images_only() {
        let mut elements = LcpElements::default();
        assert_eq!(elements.p75_ms(3), None);
        let bare = Seen { context: Context::NONE, ..seen(0, 0) };
        for one in [seen(7, 40), seen(7, 10), seen(0, 9_000), seen(8, 30), seen(8, 20), bare] {
            elements.add(&one, &TextNames::default());
        }
        assert_eq!((elements.images(), elements.texts()), (4, 1));
        assert_eq!(
            [0, 1, 2, 3, 4].map(|part| elements.p75_ms(part)),
            [Some(100), Some(0), Some(50), Some(30), None]
        );
    }
}
