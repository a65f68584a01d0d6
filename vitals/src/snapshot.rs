//! The state of a page view at one moment.

use crate::attribution::Attribution;
use crate::metric::{Value, Values};
use crate::view::{NavigationType, TtiGap, ViewId};

/// The state of a page view at one moment. A later snapshot replaces an earlier one completely.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot<T = String> {
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
    pub attribution: Attribution<T>,
    /// Whether the visitor pressed a key, clicked, or had the page visible for
    /// [`ENGAGED_MS`](crate::limits::ENGAGED_MS).
    pub engaged: Option<bool>,
    /// The visitor's first key press or click, in milliseconds since the view's start.
    pub first_input_ms: Option<f64>,
}
