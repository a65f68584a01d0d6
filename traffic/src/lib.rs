//! Page views and beacons of a mid-sized shop, for `fieldvitals load` and the benches. The same seed gives the same ones.

mod beacons;
mod views;

pub use beacons::{Beacons, Sender, UPDATE_EVERY, USER_AGENT};
pub use views::{ROUTES, Random, Traffic, VERSION};
