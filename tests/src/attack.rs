//! Hostile clients that hold connections without a complete request.
//!
//! The attack bench includes this file, so the file depends only on tokio.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Pause between two writes of a slow client.
const DRIP: Duration = Duration::from_millis(20);

/// Connections per source network.
const PER_NETWORK: usize = 256;

/// The bytes that a client sends, and whether it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// An endless chunked body for a path that accepts no body.
    UnfinishedChunk,
    /// An endless body for a request that needs none.
    UnfinishedGet,
    /// A body that is announced as too large and never arrives.
    TooLarge,
    /// A beacon's body that stops in the middle.
    SlowBody,
    /// A head that stops in the middle.
    SlowHead,
    /// A second head that stops in the middle, after a whole request.
    SlowSecondHead,
    /// No bytes at all.
    Unused,
    /// A refused body that continues as fast as the server reads.
    Upload,
    /// A refused body that continues slowly.
    Drip,
    /// Pipelined requests for a large answer. The client reads no answer.
    Pipeline,
    /// Bytes that are no HTTP request.
    Nonsense,
}

impl Attack {
    fn first(self) -> &'static [u8] {
        match self {
            Self::UnfinishedChunk => {
                b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nab"
            }
            Self::UnfinishedGet => b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nab",
            Self::TooLarge => b"POST /v1/beacon HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nab",
            Self::SlowBody => b"POST /v1/beacon HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nab",
            Self::SlowHead => b"GET /healthz HTTP/1.1\r\nHost",
            Self::SlowSecondHead => b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
            Self::Unused => b"",
            Self::Upload | Self::Drip => {
                b"POST /v1/beacon HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000000\r\n\r\n"
            }
            Self::Pipeline => b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n",
            Self::Nonsense => b"\x16\x03\x01 nonsense\r\n\r\n",
        }
    }

    /// The bytes that the client repeats, and the pause between two writes.
    fn next(self) -> Option<(Vec<u8>, Duration)> {
        match self {
            Self::Upload => Some((vec![b'x'; 64 * 1024], Duration::ZERO)),
            Self::Drip => Some((vec![b'x'; 1_024], DRIP)),
            Self::Pipeline => Some((self.first().repeat(1_000), Duration::ZERO)),
            _ => None,
        }
    }

    async fn run(self, to: SocketAddr, from: IpAddr, sent: &AtomicU64) -> std::io::Result<()> {
        let mut stream = connect(to, from).await?;
        stream.write_all(self.first()).await?;
        if self == Self::SlowSecondHead {
            let _ = stream.read(&mut [0; 4_096]).await?;
            stream.write_all(Self::SlowHead.first()).await?;
        }
        let (mut reading, mut writing) = stream.split();
        let read = async {
            if self != Self::Pipeline {
                let mut buffer = [0; 4_096];
                while matches!(reading.read(&mut buffer).await, Ok(1..)) {}
            }
        };
        let write = async {
            let Some((bytes, pause)) = self.next() else { return };
            loop {
                match writing.write(&bytes).await {
                    Ok(written) => sent.fetch_add(written as u64, Ordering::Relaxed),
                    Err(_) => return,
                };
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
        };
        tokio::join!(read, write);
        // The client never closes its side.
        std::future::pending().await
    }
}

async fn connect(to: SocketAddr, from: IpAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// The connections of an attack. Dropping this closes them.
pub struct Attackers {
    _tasks: JoinSet<()>,
    sent: Arc<AtomicU64>,
}

impl Attackers {
    /// Opens this number of connections from several networks. The honest client's network is not among them.
    #[must_use]
    pub fn start(attack: Attack, to: SocketAddr, connections: usize) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..connections {
            let network = u8::try_from(1 + number / PER_NETWORK % 250).unwrap_or(1);
            let from = Ipv4Addr::new(127, 10, network, 1).into();
            let sent = Arc::clone(&sent);
            tasks.spawn(async move {
                // A refused or reset connection is not opened again, because its place is not held.
                let _ = attack.run(to, from, &sent).await;
            });
        }
        Self { _tasks: tasks, sent }
    }

    /// Bytes of the repeated data that the system accepted from the clients.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
