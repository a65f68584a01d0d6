//! A receiver of webhooks that fails on demand, and a stand-in of services that answer JSON.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A received request.
#[derive(Clone, Debug)]
pub struct Received {
    /// The status that the receiver answered.
    pub status: u16,
    /// The head of the request.
    pub head: String,
    /// The body as JSON; null if it is none.
    pub body: serde_json::Value,
}

#[derive(Debug, Default)]
struct State {
    /// The next statuses and bodies; 200 without a body when there is none.
    answers: VecDeque<(u16, String)>,
    received: Vec<Received>,
    connections: usize,
}

/// The receiver. Dropping it closes its port.
#[derive(Debug)]
pub struct Receiver {
    /// Listening address.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Starts a receiver that first answers these statuses, then 200.
    ///
    /// # Panics
    /// If no local port is free.
    pub async fn start(statuses: &[u16]) -> Self {
        Self::with(statuses.iter().map(|&status| (status, String::new())).collect()).await
    }

    /// Starts a receiver that first gives these answers, then 200 without a body.
    ///
    /// # Panics
    /// If no local port is free.
    pub async fn answering(answers: &[(u16, serde_json::Value)]) -> Self {
        Self::with(answers.iter().map(|(status, body)| (*status, body.to_string())).collect()).await
    }

    async fn with(answers: VecDeque<(u16, String)>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = State { answers, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                lock(&shared).connections += 1;
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { answer(stream, &shared).await });
            }
        });
        Self { address, state, task }
    }

    /// The requests until now.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state).received.clone()
    }

    /// Connections until now.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.state).connections
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(&mut stream);
    let mut head = String::new();
    while reader.read_line(&mut head).await.ok()? > 2 {}
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).await.ok()?;
    let (status, told) = {
        let mut state = lock(state);
        let (status, told) = state.answers.pop_front().unwrap_or((200, String::new()));
        let body = serde_json::from_slice(&body).unwrap_or_default();
        state.received.push(Received { status, head, body });
        (status, told)
    };
    let length = told.len();
    let answer =
        format!("HTTP/1.1 {status} Told\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{told}");
    stream.write_all(answer.as_bytes()).await.ok()
}
