//! Sends beacons with a small HTTP/1.1 client, cheap enough not to distort the measurement.

use anyhow::{Context as _, Result, bail};
use fieldvitals_traffic::{Beacons, Sender, USER_AGENT};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Number of open connections. Each has one beacon in flight.
pub(crate) const CONNECTIONS: usize = 64;
/// Prepares requests of beacons for the site of a key.
pub(crate) fn requests(key: &str) -> Result<Beacons> {
    requests_of(&[key.to_owned()])
}

/// Prepares requests of beacons for the sites of some keys in turn.
pub(crate) fn requests_of(keys: &[String]) -> Result<Beacons> {
    let head = |bytes| {
        format!(
            "POST /v1/beacon HTTP/1.1\r\nHost: vitals.example\r\nUser-Agent: {USER_AGENT}\r\n\
             Content-Type: text/plain;charset=UTF-8\r\nAccept: */*\r\nOrigin: https://shop.example\r\n\
             Content-Length: {bytes}\r\n\r\n"
        )
    };
    Ok(Beacons::of(keys, head)?)
}

/// Counts of all connections.
#[derive(Default)]
pub(crate) struct Counts {
    /// Beacons answered with 204.
    pub(crate) taken: AtomicU64,
    /// Beacons with another answer, or without an answer.
    pub(crate) failed: AtomicU64,
}

/// Sends from all connections while `measure` runs. Each connection sends its next beacon after the answer to the
/// last.
pub(crate) fn closed_loop<T>(
    to: SocketAddr,
    requests: &Beacons,
    measure: impl FnOnce(&Counts) -> Result<T>,
) -> Result<T> {
    let counts = Counts::default();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    thread::scope(|scope| {
        let counts = &counts;
        // One thread, because a client with more threads would compete harder with the measured server.
        let sending = scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let local = tokio::task::LocalSet::new();
            let all = (0..CONNECTIONS).map(|number| {
                let mut stopped = stopped.clone();
                async move {
                    tokio::select! {
                        () = send_always(to, requests, number, counts) => {}
                        // An error means that the measuring side has ended, which ends the sending too.
                        _ = stopped.changed() => {}
                    }
                }
            });
            let joined = futures_join(all);
            runtime.block_on(local.run_until(joined));
            anyhow::Ok(())
        });
        let measured = measure(counts);
        let _ = stop.send(true);
        match sending.join() {
            Ok(sent) => sent.and(measured),
            Err(_) => bail!("the client failed"),
        }
    })
}

/// Runs all futures concurrently on this thread, until all have ended.
async fn futures_join(all: impl Iterator<Item = impl Future<Output = ()>>) {
    futures_util::future::join_all(all).await;
}

async fn send_always(to: SocketAddr, requests: &Beacons, number: usize, counts: &Counts) {
    let mut views = Sender::new(number);
    loop {
        if send_over_one(to, requests, &mut views, counts).await.is_err() {
            counts.failed.fetch_add(1, Ordering::Relaxed);
            // The pause prevents a busy loop when the server has ended.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn send_over_one(
    to: SocketAddr,
    requests: &Beacons,
    views: &mut Sender,
    counts: &Counts,
) -> Result<()> {
    let mut stream = tokio::net::TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut request, mut answer) = (Vec::new(), [0; 2_048]);
    loop {
        requests.fill(&mut request, views);
        stream.write_all(&request).await?;
        let mut got = 0;
        while !ends(&answer[..got]) {
            match stream.read(&mut answer[got..]).await? {
                0 => bail!("the answer is cut short"),
                more => got += more,
            }
        }
        if !is_taken(&answer[..got]) {
            bail!("another answer than 204");
        }
        counts.taken.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends beacons at a fixed rate, whether or not earlier ones are answered in time. Returns the latencies in
/// milliseconds, and the number of failures. A latency starts when the beacon is due, so a stalled server is charged
/// for delayed beacons too.
pub(crate) fn open_loop(
    to: SocketAddr,
    requests: &Beacons,
    per_second: f64,
    time: Duration,
    mut every: impl FnMut() -> Result<()>,
) -> Result<(Vec<f64>, u64)> {
    let failed = AtomicU64::new(0);
    let due_first = Instant::now() + Duration::from_millis(200);
    let latencies = thread::scope(|scope| -> Result<Vec<f64>> {
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let failed = &failed;
                scope.spawn(move || send_due(to, requests, number, per_second, due_first, time, failed))
            })
            .collect();
        while due_first.elapsed() < time {
            every()?;
            thread::sleep(Duration::from_millis(100));
        }
        let mut all = Vec::new();
        for sender in senders {
            match sender.join() {
                Ok(latencies) => all.extend(latencies),
                Err(_) => bail!("the client failed"),
            }
        }
        Ok(all)
    })?;
    Ok((latencies, failed.into_inner()))
}

fn send_due(
    to: SocketAddr,
    requests: &Beacons,
    number: usize,
    per_second: f64,
    due_first: Instant,
    time: Duration,
    failed: &AtomicU64,
) -> Vec<f64> {
    let mut views = Sender::new(number);
    // Allocates and writes all memory at once. If the vectors of all threads grew at the same moment, the kernel's
    // page allocation would stall the client for 0.1 s.
    let mut latencies = vec![f64::MAX; (time.as_secs_f64() * per_second) as usize / CONNECTIONS + 1];
    latencies.clear();
    let (mut request, mut answer) = (vec![u8::MAX; 4_096], [0; 2_048]);
    let mut stream: Option<TcpStream> = None;
    for round in 0_u64.. {
        let place = round * CONNECTIONS as u64 + number as u64;
        let after = Duration::from_secs_f64(place as f64 / per_second);
        if after >= time {
            break;
        }
        let due = due_first + after;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        requests.fill(&mut request, &mut views);
        let mut send = || -> Result<()> {
            let stream = match &mut stream {
                Some(stream) => stream,
                none => none.insert(connect(to)?),
            };
            exchange(stream, &request, &mut answer)
        };
        if send().is_ok() {
            latencies.push(due.elapsed().as_secs_f64() * 1_000.0);
        } else {
            stream = None;
            failed.fetch_add(1, Ordering::Relaxed);
        }
    }
    latencies
}

/// Sends one beacon over a new connection.
pub(crate) fn send_one(to: SocketAddr, requests: &Beacons, views: &mut Sender) -> Result<()> {
    let (mut request, mut answer) = (Vec::new(), [0; 2_048]);
    requests.fill(&mut request, views);
    exchange(&mut connect(to)?, &request, &mut answer)
}

/// Sends a request and reads its answer. Fails unless the answer is 204.
fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut [u8]) -> Result<()> {
    stream.write_all(request)?;
    let mut got = 0;
    while !ends(&answer[..got]) {
        match stream.read(&mut answer[got..])? {
            0 => bail!("the answer is cut short"),
            more => got += more,
        }
    }
    if is_taken(&answer[..got]) { Ok(()) } else { bail!("another answer than 204") }
}

fn connect(to: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// Whether an answer is complete, or is not the expected one.
fn ends(answer: &[u8]) -> bool {
    answer.ends_with(b"\r\n\r\n") || (answer.len() >= 12 && !is_taken(answer))
}

fn is_taken(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 204")
}

/// Reads the JSON at a path of a server.
pub(crate) fn get(to: SocketAddr, path: &str, token: &str) -> Result<serde_json::Value> {
    let mut stream = connect(to)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: vitals.example\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has a head and a body")?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("GET {path}: {}", head.lines().next().unwrap_or_default());
    }
    Ok(serde_json::from_str(body)?)
}
