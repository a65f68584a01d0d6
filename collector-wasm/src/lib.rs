//! The browser side: measures a visit with [`vitals`] and sends what it finds.
//!
//! The snippet (`js-snippet/src/v.js`) comes first and queues; after the load event it calls [`start`],
//! which takes everything over within one task. From then on a fact's way is: [`observe`] (entries) or
//! [`lifecycle`] (what the snippet's listeners tell) → [`vitals::document::Document`] → [`batch`] (what
//! is news) → [`transport`] (one beacon). [`page`] is the border to the snippet.

pub mod batch;
pub mod lifecycle;
pub mod observe;
pub mod page;
pub mod transport;

use crate::lifecycle::Collector;
use crate::page::Page;
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::prelude::wasm_bindgen;

/// Takes over from the snippet. False, with nothing changed, where that cannot be.
///
/// The snippet has just drained its observer into its queue. Everything here runs in the same task, so
/// no entry can fall between the snippet's observer and ours, and ours needs no `buffered`. The
/// snippet's observer goes last: whatever throws before that leaves the snippet measuring.
///
/// `is_reported` says that everything in the queue has been sent raw already, so that it is no news.
#[wasm_bindgen]
#[must_use]
pub fn start(page: &Page, is_reported: bool) -> bool {
    let Some(collector) = Collector::from_queue(page, is_reported) else { return false };
    let collector = Rc::new(RefCell::new(collector));
    let Some(observer) = observe::begin(page, &collector) else { return false };
    lifecycle::begin(page, &collector, observer);
    page.observer().disconnect();
    true
}
