//! The state of a page view at one moment.

use crate::attribution::Attribution;
use crate::entry::Text;
use crate::metric::{Value, Values};
use crate::view::{NavigationType, TtiGap, ViewId};

/// The state of a page view at one moment. A later snapshot replaces an earlier one completely.
///
/// A [`Document`](crate::document::Document) that is written computes the attribution only then, so its snapshots
/// have another type of attribution.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot<T = String, A = Attribution<T>> {
    /// The page view.
    pub id: ViewId,
    /// The page's URL, if the view has its own: after a navigation, also after a redirect of the first view.
    /// Otherwise the document's URL applies.
    pub url: Option<T>,
    /// The route that the page named.
    pub route: Option<T>,
    /// The cause of the view; absent if the browser does not report it.
    pub navigation_type: Option<NavigationType>,
    /// The measured values. A missing value is absent, never 0.
    pub values: Values,
    /// The reason for a missing TTI, if the browser supports TTI.
    pub tti_gap: Option<TtiGap>,
    /// Total Blocking Time, if there is a TTI; in the same unit and bounds.
    pub tbt: Option<Value>,
    /// The attribution of the values.
    pub attribution: A,
    /// Whether the visitor pressed a key, clicked, or had the page visible for
    /// [`ENGAGED_MS`](crate::limits::ENGAGED_MS).
    pub engaged: Option<bool>,
    /// The visitor's first key press or click, in milliseconds since the view's start.
    pub first_input_ms: Option<f64>,
}

impl<T: Text> Snapshot<T> {
    /// Returns the form that [`write`](crate::beacon::write) writes.
    #[must_use]
    pub fn written(&self) -> Snapshot<T::Written<'_>, &Attribution<T>> {
        Snapshot {
            id: self.id,
            url: self.url.as_ref().map(Text::written),
            route: self.route.as_ref().map(Text::written),
            navigation_type: self.navigation_type,
            values: self.values,
            tti_gap: self.tti_gap,
            tbt: self.tbt,
            attribution: &self.attribution,
            engaged: self.engaged,
            first_input_ms: self.first_input_ms,
        }
    }
}
