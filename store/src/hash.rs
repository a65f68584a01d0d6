//! Maps and sets that are quick to look up in.
//!
//! A page view's names are looked up some twenty times while it is loaded; the standard library's hasher took more of
//! that than all else that is done with them. This one is seeded by chance too, so no sender can choose names that
//! collide.

pub use foldhash::{HashMap, HashSet};
