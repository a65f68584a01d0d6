//! Alerts: the channels that tell of them, the texts, and the outbox that delivers them.

mod channels;
mod message;
mod outbox;

pub use channels::{Channel, Channels};
pub use message::{Event, Message};
pub use outbox::{Outbox, Unsent};
