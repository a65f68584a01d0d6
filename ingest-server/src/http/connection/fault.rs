//! Why the server closed a connection: counted by kind, and one line a minute in the log.

use crate::clock::now_ms;
use crate::http::throttle::Throttle;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its TLS handshake failed: it does not trust the certificate, or speaks no TLS.
    Handshake,
    /// It sent what is no HTTP request.
    BadRequest,
    /// It sent a head over the limit.
    HeadTooLarge,
    /// It did not end a head in time.
    SlowHead,
    /// It did not read an answer in time.
    UnreadAnswer,
    /// It had waited longest when all places were taken.
    Evicted,
    /// It came when all places were taken by requests in progress.
    Refused,
}

impl Fault {
    const ALL: [Self; 7] = [
        Self::Handshake,
        Self::BadRequest,
        Self::HeadTooLarge,
        Self::SlowHead,
        Self::UnreadAnswer,
        Self::Evicted,
        Self::Refused,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::BadRequest => "bad_request",
            Self::HeadTooLarge => "head_too_large",
            Self::SlowHead => "slow_head",
            Self::UnreadAnswer => "unread_answer",
            Self::Evicted => "evicted",
            Self::Refused => "refused",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Handshake => {
                "connections closed: the TLS handshake failed (a client that does not trust the certificate, or speaks \
                 http instead of https)"
            }
            Self::BadRequest => "connections closed: they sent something else than HTTP requests",
            Self::HeadTooLarge => "connections closed: the head of a request is too large",
            Self::SlowHead => "connections closed: the head of a request did not arrive in time",
            Self::UnreadAnswer => "connections closed: the client did not read its answer in time",
            Self::Evicted => {
                "the limit of connections is reached (--connections-max, --client-connections-max): closing those \
                 that waited longest for their clients"
            }
            Self::Refused => {
                "the limit of connections is reached (--connections-max, --client-connections-max), and each has a \
                 request in progress: refusing new ones"
            }
        }
    }

    /// The answer to a request that has none yet.
    pub(super) const fn answer(self) -> Option<&'static [u8]> {
        match self {
            Self::HeadTooLarge => Some(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            ),
            Self::SlowHead => {
                Some(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            }
            Self::Handshake | Self::BadRequest | Self::UnreadAnswer | Self::Evicted | Self::Refused => None,
        }
    }
}

#[derive(Default)]
struct Counter {
    total: AtomicU64,
    throttle: Throttle,
}

/// Counts of faults.
#[derive(Default)]
pub(super) struct Faults([Counter; Fault::ALL.len()]);

impl Faults {
    pub(super) fn count(&self, fault: Fault) {
        let Some(counter) = self.0.get(fault as usize) else { return };
        counter.total.fetch_add(1, Ordering::Relaxed);
        if let Some(connections) = counter.throttle.count(now_ms()) {
            tracing::warn!(connections, "{}", fault.message());
        }
    }

    /// Each kind with its count.
    pub(super) fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let totals = self.0.iter().map(|counter| counter.total.load(Ordering::Relaxed));
        Fault::ALL.into_iter().map(Fault::name).zip(totals)
    }
}
