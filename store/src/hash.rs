//! Hash maps and sets with fast lookups.
//!
//! Loading a page view looks up some twenty names. Hashing with the standard library's hasher took more time than all
//! other work on these names. This hasher is randomly seeded too, so senders cannot choose names that collide.

pub use foldhash::{HashMap, HashSet};
