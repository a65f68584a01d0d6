//! The metrics, one pure state machine a file.
//!
//! Each takes the facts of its kind as they come and says its value for one page view when asked. A
//! value follows from the set of facts alone, never from their order, so facts may come late, twice
//! and mixed. What the machines share is in [`facts`] (how facts are kept), [`views`] (where page views
//! begin) and [`lifecycle`] (when a view was first hidden or used).

pub mod cls;
pub mod facts;
pub mod fcp;
pub mod fid;
pub mod inp;
pub mod lcp;
pub mod lifecycle;
pub mod ttfb;
pub mod tti;
pub mod views;
