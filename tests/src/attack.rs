//! Clients that hold connections and give nothing: what a hostile one can do before it has sent a whole request.
//!
//! The bench of attacks has this file too, so it needs nothing but tokio.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Pause between two drops of a client that drips.
const DRIP: Duration = Duration::from_millis(20);

/// Connections that one network opens.
const PER_NETWORK: usize = 256;

/// What a client sends, and whether it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// A chunked body to a path that takes none, which never ends.
    UnfinishedChunk,
    /// A request without a need for a body, with one that never ends.
    UnfinishedGet,
    /// A body that is announced as too large, and never comes.
    TooLarge,
    /// A beacon's body that stops in the middle.
    SlowBody,
    /// A head that stops in the middle.
    SlowHead,
    /// A second head that stops in the middle, after a whole request.
    SlowSecondHead,
    /// Nothing.
    Unused,
    /// A body that is refused, and goes on as fast as the server reads.
    Upload,
    /// The same, some bytes now and then.
    Drip,
    /// Requests for a large answer, one behind the other, and no answer is read.
    Pipeline,
    /// What is no request.
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

    /// What it goes on to send, and how often.
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
        // It never closes its side.
        std::future::pending().await
    }
}

async fn connect(to: SocketAddr, from: IpAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// Connections of an attack; closed with this.
pub struct Attackers {
    _tasks: JoinSet<()>,
    sent: Arc<AtomicU64>,
}

impl Attackers {
    /// Opens so many connections at once, from several networks, none of them the honest client's.
    #[must_use]
    pub fn start(attack: Attack, to: SocketAddr, connections: usize) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..connections {
            let network = u8::try_from(1 + number / PER_NETWORK % 250).unwrap_or(1);
            let from = Ipv4Addr::new(127, 10, network, 1).into();
            let sent = Arc::clone(&sent);
            tasks.spawn(async move {
                // A connection that is refused or reset is not opened again: its place is not held.
                let _ = attack.run(to, from, &sent).await;
            });
        }
        Self { _tasks: tasks, sent }
    }

    /// Bytes that the system took from the clients, of what follows their first words.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
