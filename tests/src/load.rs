//! A steady load of beacons with known page views, and the judge that compares the result with them.
//!
//! Each worker keeps one connection and sends one beacon after another. It sends a beacon again until the server
//! acknowledges it, as a retrying client does. So at the end every sent beacon is acknowledged, and the reports must
//! equal the sent views. A missing view was lost; a surplus view was counted twice.

use crate::beacon::view_id;
use crate::server::Server;
use fieldvitals_store::{SiteId, Source, Store};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vitals::metric::{Metric, Rating};
use vitals::view::ViewId;

/// The routes of the views.
const ROUTES: [&str; 5] = ["/alpha", "/beta", "/gamma", "/delta", "/epsilon"];
/// Every n-th beacon is a newer snapshot of an earlier view.
const UPDATE_EVERY: u64 = 4;
/// Timeout of an answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Maximum number of views that the judge looks up in the store.
const LOOK_UPS_MAX: usize = 30_000;
/// Pause of a worker after a refusal or a missing answer.
const PAUSE: Duration = Duration::from_millis(10);

/// One sent page view.
#[derive(Clone, Copy, Debug)]
struct Sent {
    id: ViewId,
    number: u64,
    /// Sequence number of the last acknowledged snapshot.
    seq: u32,
}

impl Sent {
    fn route(&self) -> &'static str {
        // Independent of the site, which the number gives too.
        ROUTES[((self.number ^ (self.number >> 8)) % ROUTES.len() as u64) as usize]
    }

    /// Returns the LCP of the last snapshot, in milliseconds.
    fn lcp(&self) -> f64 {
        ((self.number * 37 + u64::from(self.seq) * 1_013) % 6_000 + 1) as f64
    }

    fn body(&self, site: &str) -> String {
        format!(
            r#"{{"v":1,"site":"{site}","seq":{},"url":"https://shop.example{}","device":"phone","connection":"4g","views":[{{"id":"{}","nav":"navigate","values":{{"LCP":{},"CLS":0.05,"INP":120,"FCP":900,"TTFB":210}}}}]}}"#,
            self.seq,
            self.route(),
            self.id,
            self.lcp(),
        )
    }
}

#[derive(Default)]
struct Shared {
    /// Names and keys. View `n` is of site `n` modulo their number.
    sites: Vec<(String, String)>,
    views: Mutex<BTreeMap<ViewId, Sent>>,
    next: AtomicU64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    unanswered: AtomicU64,
    stop: AtomicBool,
    /// Body of the last refusal.
    refusal: Mutex<String>,
}

/// A running load. Dropping it aborts the workers.
pub struct Load {
    shared: Arc<Shared>,
    address: watch::Sender<Option<SocketAddr>>,
    workers: Vec<JoinHandle<()>>,
}

/// The judge's findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Number of acknowledged beacons.
    pub acknowledged: u64,
    /// Number of page views in the acknowledged beacons.
    pub views: u64,
    /// Number of page views that the reports or the store lack. A view stored with an older snapshot counts as lost.
    pub lost: u64,
    /// Number of page views in the reports beyond those sent.
    pub duplicates: u64,
    /// Descriptions of the differences.
    pub differences: Vec<String>,
}

impl Verdict {
    /// Asserts that nothing was lost or counted twice.
    ///
    /// # Panics
    /// If a view was lost, counted twice, or reported with other values than sent.
    pub fn must_be_clean(&self) {
        assert!(self.lost == 0 && self.duplicates == 0 && self.differences.is_empty(), "{self:?}");
    }
}

impl Load {
    /// Starts to send about `rate` beacons a second to a server, over this number of connections.
    #[must_use]
    pub fn start(server: &Server, rate: u64, connections: u64) -> Self {
        Self::start_for(server, vec![("default".to_owned(), server.key.clone())], rate, connections)
    }

    /// As [`Load::start`], for sites of these names and keys in turn.
    #[must_use]
    pub fn start_for(server: &Server, sites: Vec<(String, String)>, rate: u64, connections: u64) -> Self {
        let (address, at) = watch::channel(Some(server.address()));
        let shared = Arc::new(Shared { sites, ..Shared::default() });
        let between = Duration::from_secs_f64(connections as f64 / rate as f64);
        let workers = (0..connections)
            .map(|_| {
                let (shared, at) = (Arc::clone(&shared), at.clone());
                tokio::spawn(async move { Worker { shared, at, stream: None }.run(between).await })
            })
            .collect();
        Self { shared, address, workers }
    }

    /// Sends further beacons to this server; `None` pauses the load.
    pub fn redirect(&self, server: Option<&Server>) {
        self.address.send_replace(server.map(Server::address));
    }

    /// Returns the number of beacons acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::SeqCst)
    }

    /// Returns the number of answers other than 204.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// Returns the body of the last answer other than 204.
    #[must_use]
    pub fn refusal(&self) -> String {
        self.shared.refusal.lock().map(|refusal| refusal.clone()).unwrap_or_default()
    }

    /// Returns the number of requests without an answer; the workers sent their beacons again.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.shared.unanswered.load(Ordering::SeqCst)
    }

    /// Waits until this number of further beacons is acknowledged.
    ///
    /// # Panics
    /// After 30 s.
    pub async fn more(&self, beacons: u64) {
        let goal = self.acknowledged() + beacons;
        let began = Instant::now();
        while self.acknowledged() < goal {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "{} of {goal} beacons acknowledged; refused {}: {}",
                self.acknowledged(),
                self.refused(),
                self.refusal()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the load. Each worker first waits for the acknowledgment of its last beacon.
    pub async fn finish(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.await.expect("a worker ends");
        }
    }

    /// Compares the sent views with the server's reports, and with the page views in `store`, if given. The load must
    /// have finished and the server settled.
    ///
    /// # Panics
    /// If the server or the store does not answer.
    pub async fn judge(&self, server: &Server, store: Option<&dyn Store>) -> Verdict {
        let views: Vec<Sent> =
            self.shared.views.lock().expect("no worker panicked").values().copied().collect();
        let mut verdict =
            Verdict { acknowledged: self.acknowledged(), views: views.len() as u64, ..Verdict::default() };
        let all = match store {
            Some(store) => store.sites().await.expect("the store's sites"),
            None => Vec::new(),
        };
        let count = self.shared.sites.len();
        for (number, (site, _)) in self.shared.sites.iter().enumerate() {
            let of_site = |view: &&Sent| view.number as usize % count == number;
            let views: Vec<Sent> = views.iter().filter(of_site).copied().collect();
            let path = format!("sites/{site}/pages?period=24h&min_n=1&limit=500");
            let pages = server.get(&path).await.expect("the report");
            for route in ROUTES {
                let of_route: Vec<&Sent> = views.iter().filter(|view| view.route() == route).collect();
                verdict.compare(&format!("{site} {route}"), route, &of_route, &pages);
            }
            let stored = all.iter().find(|stored| stored.name == *site);
            if let (Some(store), Some(stored)) = (store, stored) {
                verdict.look_up(&views, store, stored.id, LOOK_UPS_MAX / count).await;
            }
        }
        verdict
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.abort();
        }
    }
}

impl Verdict {
    /// Compares the report of one route with the sent views.
    fn compare(&mut self, name: &str, route: &str, views: &[&Sent], pages: &Value) {
        let page =
            pages["pages"].as_array().and_then(|pages| pages.iter().find(|page| page["route"] == route));
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        let reported = page.map_or(0, |page| count(&page["views"]));
        let sent = views.len() as u64;
        self.duplicates += reported.saturating_sub(sent);
        self.lost += sent.saturating_sub(reported);
        let mut ratings = [0_u64; 3];
        for view in views {
            let lcp = vitals::metric::Value::new(Metric::Lcp, view.lcp()).expect("in range");
            ratings[match Metric::Lcp.rate(lcp) {
                Rating::Good => 0,
                Rating::NeedsImprovement => 1,
                Rating::Poor => 2,
            }] += 1;
        }
        let lcp = page.map_or(&Value::Null, |page| &page["metrics"]["LCP"]);
        let told = ["good", "needs_improvement", "poor"].map(|rating| count(&lcp[rating]));
        if reported != sent || told != ratings || count(&lcp["n"]) != sent {
            self.differences.push(format!(
                "{name}: {sent} views sent, rated {ratings:?}; reported {reported}, rated {told:?}, n {}",
                lcp["n"]
            ));
        }
    }

    /// Looks up every view in the store, or every n-th if there are more than `max`.
    async fn look_up(&mut self, views: &[Sent], store: &dyn Store, site: SiteId, max: usize) {
        let mut missing = 0;
        for sent in views.iter().step_by(views.len().div_ceil(max.max(1)).max(1)) {
            let stored = store.view(site, sent.id).await.expect("the store answers");
            let said = stored.map(|view| {
                let lcp = view.update.values.get(Metric::Lcp).map(|value| value.number(Metric::Lcp));
                (view.update.source, lcp)
            });
            if said != Some((Source::Own { seq: sent.seq }, Some(sent.lcp()))) {
                missing += 1;
                if missing == 1 {
                    self.differences.push(format!("{sent:?} is stored as {said:?}"));
                }
            }
        }
        self.lost = self.lost.max(missing);
    }
}

struct Worker {
    shared: Arc<Shared>,
    at: watch::Receiver<Option<SocketAddr>>,
    stream: Option<(SocketAddr, TcpStream)>,
}

impl Worker {
    async fn run(mut self, between: Duration) {
        let mut mine: Vec<Sent> = Vec::new();
        let mut due = tokio::time::interval(between);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.shared.stop.load(Ordering::SeqCst) {
            due.tick().await;
            let turn = self.shared.next.fetch_add(1, Ordering::SeqCst);
            let place = mine.len().checked_sub(1 + (turn as usize / 7) % 16);
            let (sent, place) = match place {
                Some(place) if turn.is_multiple_of(UPDATE_EVERY) => {
                    (Sent { seq: mine[place].seq + 1, ..mine[place] }, Some(place))
                }
                _ => (Sent { id: view_id(u128::from(turn)), number: turn, seq: 1 }, None),
            };
            self.until_acknowledged(&sent).await;
            self.shared.acknowledged.fetch_add(1, Ordering::SeqCst);
            self.shared.views.lock().expect("no worker panicked").insert(sent.id, sent);
            match place {
                Some(place) => mine[place] = sent,
                None => mine.push(sent),
            }
        }
    }

    async fn until_acknowledged(&mut self, sent: &Sent) {
        let (_, key) = &self.shared.sites[sent.number as usize % self.shared.sites.len()];
        let body = sent.body(key);
        let request = format!(
            "POST /v1/beacon HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        loop {
            match tokio::time::timeout(ANSWER_TIME_MAX, self.post(request.as_bytes())).await {
                Ok(Ok((204, _))) => return,
                Ok(Ok((status, answer))) => {
                    self.shared.refused.fetch_add(1, Ordering::SeqCst);
                    if let Ok(mut refusal) = self.shared.refusal.lock() {
                        *refusal = format!("{status} {answer}");
                    }
                }
                Ok(Err(_)) | Err(_) => {
                    self.stream = None;
                    self.shared.unanswered.fetch_add(1, Ordering::SeqCst);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn post(&mut self, request: &[u8]) -> std::io::Result<(u16, String)> {
        // The wait fails only if the sender was dropped with the load.
        let gone = |_| std::io::Error::from(std::io::ErrorKind::NotConnected);
        let at = self.at.wait_for(Option::is_some).await.map_err(gone)?.unwrap_or_else(|| unreachable!());
        let mut stream = match self.stream.take() {
            Some((to, stream)) if to == at => stream,
            _ => {
                let stream = TcpStream::connect(at).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(request).await?;
        let answer = answer(&mut stream).await?;
        self.stream = Some((at, stream));
        Ok(answer)
    }
}

/// Reads an HTTP answer; returns its status and body.
async fn answer(stream: &mut TcpStream) -> std::io::Result<(u16, String)> {
    let ended = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let mut bytes = Vec::with_capacity(512);
    let (head, start, length) = loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(ended());
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head
                .split("content-length:")
                .nth(1)
                .and_then(|rest| rest.split("\r\n").next()?.trim().parse::<usize>().ok());
            break (head, end + 4, length.unwrap_or(0));
        }
    };
    while bytes.len() < start + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(ended());
        }
    }
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(ended)?;
    Ok((status, String::from_utf8_lossy(&bytes[start..start + length]).into_owned()))
}
