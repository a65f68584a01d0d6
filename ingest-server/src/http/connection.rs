//! What a client may cost before its request is a request: places, bytes and time of its connections.
//!
//! actix-http parses requests and writes answers. It has no deadline for a client that stops in the middle of
//! something, and no bound on pipelined requests. So each of its connections runs inside [`serve::Connection`], over a
//! [`stream::Stream`] that decides when it may read.
//!
//! In reading order: [`registry`] (who gets a place), [`state`] (the phase of a connection and its deadline), [`head`],
//! [`transport`] (plain or TLS), [`stream`], [`exchange`] (a request and its answer), [`serve`], [`fault`] (why one is closed).

mod exchange;
mod fault;
mod head;
mod registry;
mod serve;
mod state;
mod stream;
mod transport;

pub(super) use exchange::Asker;
pub use registry::{ConnectionLimits, Connections};
pub(super) use serve::factory;
