//! Sends beacons with a small HTTP/1.1 client, cheap enough not to distort the measurement.

use crate::data::{Random, Traffic};
use anyhow::{Context as _, Result, bail};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vitals::attribution::Attribution;
use vitals::beacon::{Wire, write};
use vitals::metric::Metric;
use vitals::snapshot::Snapshot;
use vitals::view::ViewId;

/// Number of open connections. Each has one beacon in flight.
pub(crate) const CONNECTIONS: usize = 64;
/// One beacon in 20 is a later snapshot of the view before it on the same connection.
const UPDATE_EVERY: u64 = 20;
/// Number of different bodies.
const BODIES: usize = 2_048;

/// Prepared requests. Only the id and the sequence number of the page view are missing.
pub(crate) struct Requests {
    requests: Vec<Request>,
    /// Mean size of a body, in bytes.
    pub(crate) body_bytes: f64,
}

struct Request {
    bytes: Vec<u8>,
    id_at: usize,
    seq_at: usize,
}

impl Requests {
    /// Prepares beacons of page views with all seven metrics, for the site of a key.
    pub(crate) fn new(key: &str) -> Result<Self> {
        Self::of(&[key.to_owned()])
    }

    /// Prepares beacons for the sites of some keys in turn.
    pub(crate) fn of(keys: &[String]) -> Result<Self> {
        let mut traffic = Traffic::new(1, BODIES as u64, 0, 3_600_000);
        let mut requests = Vec::with_capacity(BODIES);
        let mut body_bytes = 0;
        let mut keys = keys.iter().cycle();
        while requests.len() < BODIES {
            let view = traffic.next();
            if view.values.iter().count() < Metric::COUNT {
                continue;
            }
            let snapshot = Snapshot::<String> {
                id: view.id,
                url: None,
                route: None,
                navigation_type: view.navigation_type,
                values: view.values,
                tti_gap: None,
                tbt: None,
                attribution: Attribution::NONE,
                engaged: None,
                first_input_ms: None,
            };
            let id = view.id.to_string();
            let wire = Wire {
                site: keys.next().context("there is a site")?,
                seq: 1,
                url: &view.url,
                device: view.device,
                connection: view.connection.as_deref().unwrap_or_default(),
                release: view.release.as_deref().unwrap_or_default(),
                views: vec![write::view(&snapshot, &id, &[], &|text: &String| text)],
                ..Wire::default()
            };
            let body = serde_json::to_string(&wire.json())?;
            body_bytes += body.len();
            let text = format!(
                "POST /v1/beacon HTTP/1.1\r\nHost: vitals.example\r\nUser-Agent: Mozilla/5.0 (Linux; Android 10; K) \
                 AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36\r\n\
                 Content-Type: text/plain;charset=UTF-8\r\nAccept: */*\r\nOrigin: https://shop.example\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let id_at = text.find(&view.id.to_string()).context("the body has an id")?;
            let seq_at = text.find("\"seq\":1").context("the body has a number")? + 6;
            requests.push(Request { bytes: text.into_bytes(), id_at, seq_at });
        }
        Ok(Self { requests, body_bytes: body_bytes as f64 / BODIES as f64 })
    }

    /// Writes a request into a buffer.
    fn fill(&self, buffer: &mut Vec<u8>, views: &mut Views) {
        let request = &self.requests[views.number as usize % self.requests.len()];
        let (id, seq) = views.next();
        buffer.clear();
        buffer.extend_from_slice(&request.bytes);
        buffer[request.seq_at] = seq;
        write_id(&mut buffer[request.id_at..request.id_at + 36], id);
    }
}

/// The page views of one connection. Most are new, and some are updates.
pub(crate) struct Views {
    random: Random,
    number: u64,
    last: ViewId,
}

impl Views {
    pub(crate) fn new(connection: usize) -> Self {
        // The seed contains the time, so that every run and connection has its own ids.
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        Self {
            random: Random::new(nanos ^ ((connection as u64) << 50)),
            number: connection as u64 * 31,
            last: ViewId::new(0, 0),
        }
    }

    fn next(&mut self) -> (ViewId, u8) {
        self.number += 1;
        if self.number.is_multiple_of(UPDATE_EVERY) && self.last.start_ms() > 0 {
            return (std::mem::replace(&mut self.last, ViewId::new(0, 0)), b'2');
        }
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let random = (u128::from(self.random.bits()) << 64) | u128::from(self.random.bits());
        self.last = ViewId::new(now_ms, random);
        (self.last, b'1')
    }
}

fn write_id(place: &mut [u8], id: ViewId) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut at = 0;
    for (number, &byte) in id.as_bytes().iter().enumerate() {
        if matches!(number, 4 | 6 | 8 | 10) {
            place[at] = b'-';
            at += 1;
        }
        place[at] = DIGITS[usize::from(byte >> 4)];
        place[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
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
    requests: &Requests,
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

async fn send_always(to: SocketAddr, requests: &Requests, number: usize, counts: &Counts) {
    let mut views = Views::new(number);
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
    requests: &Requests,
    views: &mut Views,
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
    requests: &Requests,
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
    requests: &Requests,
    number: usize,
    per_second: f64,
    due_first: Instant,
    time: Duration,
    failed: &AtomicU64,
) -> Vec<f64> {
    let mut views = Views::new(number);
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
pub(crate) fn send_one(to: SocketAddr, requests: &Requests, views: &mut Views) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_a_whole_beacon_with_an_id_of_its_own() {
        let requests = Requests::new("key").unwrap();
        let mut views = Views::new(3);
        let mut buffer = Vec::new();
        let (mut ids, mut updates) = (std::collections::HashSet::new(), 0);
        for _ in 0..1_000 {
            requests.fill(&mut buffer, &mut views);
            let at = buffer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
            let beacon = vitals::beacon::decode(&buffer[at..]).unwrap();
            let (seq, snapshots) = (beacon.seq, beacon.snapshots());
            assert_eq!(snapshots[0].values.iter().count(), Metric::COUNT);
            let new = ids.insert(snapshots[0].id);
            assert_eq!(new, seq == 1);
            updates += u32::from(!new);
        }
        assert_eq!(updates, 50);
    }
}
