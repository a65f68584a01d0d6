//! Alerts: the channels that tell of them, the texts, and the outbox that delivers them.

mod channels;
mod message;
mod outbox;
mod parcel;

pub use channels::{Channel, Channels, Receiver};
pub use message::{Event, Message};
pub use outbox::{Outbox, Unsent, pause_ms};
pub use parcel::{Parcel, slack_text, teams_card};
