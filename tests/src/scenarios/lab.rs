//! The two hosts of the three-engine tests, as in a customer's setup. Pages are on `http://localhost:PORT`. The tag's
//! `v.js`, the `/c/` files and `/v1/beacon` are on `http://127.0.0.1:OTHER`.
//!
//! Every load has its own folder and two own ports, so the tag is the documented one and the origin's storage is empty.
//! The second host forwards requests, answers and headers (CORS too) to the real server, except for the folder's
//! conditions.

use crate::server::Server;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const OBSERVER: &str = include_str!("../../pages/observer.js");
const REFERENCE: &str = include_str!("../../pages/reference.js");
/// Side of the pages' image, in pixels. Its pixels are noise, because browsers exclude empty images from LCP.
const IMAGE_SIDE: u32 = 240;
/// Simulated network delay of a page. WebKit's clock has a resolution of 1 ms, and an answer within the first
/// millisecond has no time to first byte.
const PAGE_DELAY: Duration = Duration::from_millis(5);
/// Headers of one connection, which are not forwarded. Bodies are uncompressed, so that any file can be changed.
const HOP: [&str; 7] =
    ["host", "connection", "content-length", "transfer-encoding", "accept-encoding", "keep-alive", "date"];

/// The name of the site that accepts only pages of `http://localhost`.
pub const RESTRICTED: &str = "restricted";

/// Delivery of the collector's module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Module {
    /// As the server serves it.
    #[default]
    Served,
    /// Held until [`Lab::release`].
    Held,
    /// Without its wasm: 404.
    WasmMissing,
    /// No module at all: 404.
    Missing,
    /// Behind the test's own glue. In it, `__GLUE__` becomes the name of the real glue.
    Behind(String),
}

/// Origin of the tag and its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// Another host and port than the page's, as documented.
    #[default]
    Two,
    /// The page's own origin, as if the server were there.
    One,
    /// A folder of the page's own origin, as behind a proxy.
    Proxied,
}

/// An answer to beacons in the server's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This status.
    Status(u16),
    /// The connection ends without an answer.
    Nothing,
}

/// The contents and conditions of a load's folder.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// Names and contents of pages. The suffix of a name gives type and encoding: `.html`, `.latin1.html`,
    /// `.utf16.html`, `.xhtml`, `.js`. Placeholders in the contents:
    ///
    /// - `__LAB__`: the observer and the reference
    /// - `__SOFT__`: `__LAB__` with the reference's soft navigations
    /// - `__HEAD__`: `__LAB__` and the tag
    /// - `__TAG__`: the tag; `__TAG_URL__`: its address
    /// - `__KEY__`: the site's key
    /// - `__SITE__`: the origin of the pages; `__VITALS__`: the origin of the tag
    /// - `__BASE__`: the folder's path
    pub pages: Vec<(String, String)>,
    /// Delivery of the module.
    pub module: Module,
    /// Origin of the tag.
    pub hosts: Hosts,
    /// The content security policy of every page. `__VITALS__` becomes the tag's origin.
    pub policy: Option<&'static str>,
    /// Uses the site that accepts only pages of `http://localhost` ([`Lab::restrict`]).
    pub is_restricted: bool,
    /// Additional headers of every page.
    pub headers: &'static [(&'static str, &'static str)],
    /// The answer to beacons in the server's place; `None` forwards them to the server.
    pub answer: Option<Answer>,
}

/// A request with which a page reported something.
#[derive(Clone, Debug)]
pub enum Capture {
    /// A beacon of the collector, and the status of its answer.
    Beacon(Vec<u8>, u16),
    /// A report of the observer, the reference or the page.
    Report(Value),
}

impl Capture {
    /// Formats the capture as one line, for the analysis of a failure.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Beacon(body, status) => format!("beacon, {status}: {}", String::from_utf8_lossy(body)),
            Self::Report(report) => report.to_string(),
        }
    }
}

/// A folder with its two hosts. Dropping it stops both.
struct Record {
    folder: Folder,
    /// The origin of the pages.
    site: String,
    /// The origin of the tag.
    vitals: String,
    captures: Vec<Capture>,
    /// Time of the last capture.
    last: Instant,
    /// The collector's files served so far.
    served: Vec<String>,
    /// Whether held files are released.
    released: watch::Sender<bool>,
    hosts: [JoinHandle<()>; 2],
}

impl Drop for Record {
    fn drop(&mut self) {
        for host in &self.hosts {
            host.abort();
        }
    }
}

struct Shared {
    server: Arc<Server>,
    library: Vec<u8>,
    /// The key of the site [`RESTRICTED`].
    restricted: OnceLock<String>,
    folders: Mutex<HashMap<String, Record>>,
}

/// The running hosts.
pub struct Lab {
    /// The server behind the hosts.
    pub server: Arc<Server>,
    shared: Arc<Shared>,
}

impl Lab {
    /// Starts a lab before this server; `library` is the reference's script.
    #[must_use]
    pub fn start(server: Arc<Server>, library: Vec<u8>) -> Self {
        let shared = Shared {
            server: Arc::clone(&server),
            library,
            restricted: OnceLock::new(),
            folders: Mutex::default(),
        };
        Self { server, shared: Arc::new(shared) }
    }

    /// Creates the site [`RESTRICTED`] for folders that use it.
    ///
    /// # Panics
    /// If the server's store refuses it.
    pub async fn restrict(&self) {
        let add = ["site", "add", RESTRICTED, "--origin", "http://localhost:*", "--json"];
        let site = self.server.cli_json(&add).await;
        let key = site["key"].as_str().expect("a site has a key");
        self.shared.restricted.get_or_init(|| key.to_owned());
    }

    /// Creates a folder and starts its hosts; returns its URL, which ends in a slash.
    ///
    /// # Panics
    /// If no port is free, or outside of a runtime.
    pub fn folder(&self, name: &str, folder: Folder) -> String {
        let (pages, page_port) = socket();
        let (tag, tag_port) = socket();
        let record = Record {
            folder,
            site: format!("http://localhost:{page_port}"),
            vitals: format!("http://127.0.0.1:{tag_port}"),
            captures: Vec::new(),
            last: Instant::now(),
            served: Vec::new(),
            released: watch::Sender::new(false),
            hosts: [
                tokio::spawn(serve(Arc::clone(&self.shared), pages, name.to_owned())),
                tokio::spawn(serve(Arc::clone(&self.shared), tag, name.to_owned())),
            ],
        };
        let address = format!("{}/r/{name}/", record.site);
        self.shared.folders().insert(name.to_owned(), record);
        address
    }

    /// Returns the origin of a folder's tag.
    #[must_use]
    pub fn vitals(&self, name: &str) -> String {
        self.shared.folders().get(name).map_or_else(String::new, |record| record.vitals.clone())
    }

    /// Returns a page of a folder with its placeholders filled, for callers that serve the page in another way.
    #[must_use]
    pub fn page(&self, name: &str, page: &str) -> String {
        let folders = self.shared.folders();
        let found = folders.get(name).and_then(|record| {
            let (_, html) = record.folder.pages.iter().find(|(known, _)| known == page)?;
            Some(record.fill(name, html, self.shared.key(&record.folder)))
        });
        found.unwrap_or_default()
    }

    /// Adds a report to a folder's captures.
    pub fn note(&self, name: &str, report: Value) {
        self.shared.keep(name, Capture::Report(report));
    }

    /// Sets the answer to a folder's further beacons; `None` forwards them to the server.
    pub fn answer(&self, name: &str, answer: Option<Answer>) {
        if let Some(record) = self.shared.folders().get_mut(name) {
            record.folder.answer = answer;
        }
    }

    /// Releases a held module, and the held `held.bmp` with which a page delays its load event.
    pub fn release(&self, name: &str) {
        if let Some(record) = self.shared.folders().get(name) {
            record.released.send_replace(true);
        }
    }

    /// Returns the collector's files that a folder's pages have received.
    #[must_use]
    pub fn served(&self, name: &str) -> Vec<String> {
        self.shared.folders().get(name).map_or_else(Vec::new, |record| record.served.clone())
    }

    /// Returns a folder's captures, and the time since the last of them.
    #[must_use]
    pub fn captured(&self, name: &str) -> (Vec<Capture>, Duration) {
        let folders = self.shared.folders();
        folders
            .get(name)
            .map_or_else(Default::default, |record| (record.captures.clone(), record.last.elapsed()))
    }
}

impl Record {
    fn fill(&self, name: &str, html: &str, key: &str) -> String {
        let base = format!("/r/{name}");
        let tag_url = match self.folder.hosts {
            Hosts::Two => format!("{}/v.js", self.vitals),
            Hosts::One => "/v.js".to_owned(),
            Hosts::Proxied => format!("{base}/v.js"),
        };
        // The snippet's default endpoint is at the root of its server.
        let endpoint = if self.folder.hosts == Hosts::Proxied {
            format!(r#" data-endpoint="{base}/v1/beacon""#)
        } else {
            String::new()
        };
        let tag = format!(r#"<script async src="{tag_url}" data-site="{key}"{endpoint}></script>"#);
        let lab = format!(
            r#"<meta charset="utf-8"><link rel="icon" href="data:,"><script src="{base}/observer.js"></script><script src="{base}/web-vitals.js"></script><script src="{base}/reference.js"></script>"#
        );
        let soft = lab.replace("reference.js\"", "reference.js\" data-soft");
        html.replace("__HEAD__", "__LAB____TAG__")
            .replace("__SOFT__", &soft)
            .replace("__LAB__", &lab)
            .replace("__TAG__", &tag)
            .replace("__TAG_URL__", &tag_url)
            .replace("__SITE__", &self.site)
            .replace("__VITALS__", &self.vitals)
            .replace("__BASE__", &base)
            .replace("__KEY__", key)
    }
}

/// Opens a listening socket; returns it and its port.
fn socket() -> (TcpListener, u16) {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    listener.set_nonblocking(true).expect("a socket of a runtime");
    let port = listener.local_addr().expect("its address").port();
    (TcpListener::from_std(listener).expect("a runtime"), port)
}

/// Serves one host of a folder. Both hosts serve all files; the tag decides which host is used.
async fn serve(shared: Arc<Shared>, listener: TcpListener, name: String) {
    while let Ok((socket, _)) = listener.accept().await {
        let (shared, name) = (Arc::clone(&shared), name.clone());
        // Ignores errors: a browser may close the connection during an answer.
        tokio::spawn(async move { drop(shared.answer(socket, &name).await) });
    }
}

struct Request {
    method: String,
    /// The path below the folder; for other paths, the whole path without the leading slash.
    file: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// Returns a field of the query.
    fn field(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// Returns a header.
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns whether the request is for the collector's host.
    fn is_collectors(&self) -> bool {
        self.file == "v.js" || self.file == "v1/beacon" || self.file.starts_with("c/")
    }
}

/// An answer.
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn new(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![header("content-type", media_type), header("cache-control", "no-cache")];
        Self { status, headers, body: body.into() }
    }

    fn script(text: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "text/javascript; charset=utf-8", text)
    }

    /// An answer with the server's CORS headers, readable by pages of every origin.
    fn of_collector(status: u16, request: &Request) -> Self {
        let mut reply = Self::new(status, "text/plain", "not here");
        let origin = request.header("origin").unwrap_or("*").to_owned();
        reply.headers.push(("access-control-allow-origin".to_owned(), origin));
        reply.headers.push(("access-control-allow-credentials".to_owned(), "true".to_owned()));
        reply
    }
}

async fn read(socket: &mut BufReader<TcpStream>, name: &str) -> std::io::Result<Option<Request>> {
    let mut head = String::new();
    if socket.read_line(&mut head).await? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await? <= 2 {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)];
    socket.read_exact(&mut body).await?;
    let mut words = head.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_prefix('/').unwrap_or(path);
    let file = path.strip_prefix(&format!("r/{name}/")).unwrap_or(path).to_owned();
    Ok(Some(Request { method, file, query: query.to_owned(), headers, body }))
}

impl Shared {
    fn folders(&self) -> MutexGuard<'_, HashMap<String, Record>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the key of a folder's site.
    fn key(&self, folder: &Folder) -> &str {
        let restricted = || self.restricted.get().map_or("", String::as_str);
        if folder.is_restricted { restricted() } else { &self.server.key }
    }

    fn keep(&self, name: &str, capture: Capture) {
        if let Some(record) = self.folders().get_mut(name) {
            record.captures.push(capture);
            record.last = Instant::now();
        }
    }

    async fn answer(&self, socket: TcpStream, name: &str) -> std::io::Result<()> {
        let mut socket = BufReader::new(socket);
        let Some(request) = read(&mut socket, name).await? else { return Ok(()) };
        if let Some(ms) = request.field("delay").and_then(|ms| ms.parse().ok()) {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        let known = self.folders().get(name).map(|record| {
            let policy = record.folder.policy.map(|policy| policy.replace("__VITALS__", &record.vitals));
            (record.folder.clone(), policy, record.released.subscribe())
        });
        let Some((folder, policy, mut released)) = known else { return Ok(()) };
        let is_held = folder.module == Module::Held && request.file.starts_with("c/");
        if is_held || request.file == "held.bmp" {
            // An error means that the folder was dropped first.
            let _ = released.wait_for(|released| *released).await;
        }
        let mut reply = if request.is_collectors() {
            let reply = self.collector(&folder, name, &request).await?;
            if let Some(record) = self.folders().get_mut(name) {
                record.served.push(request.file.clone());
            }
            reply
        } else if request.method == "POST" {
            self.keep(name, Capture::Report(serde_json::from_slice(&request.body)?));
            Reply::new(204, "text/plain", "")
        } else {
            self.find(&folder, name, &request).await
        };
        if request.method == "GET" && folder.pages.iter().any(|(page, _)| *page == request.file) {
            reply.headers.extend(policy.map(|policy| ("content-security-policy".to_owned(), policy)));
            let more = folder.headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
            reply.headers.extend(more);
        }
        let headers: String =
            reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = if reply.status == 204 {
            String::new()
        } else {
            format!("content-length: {}\r\n", reply.body.len())
        };
        // Browsers ignore the reason phrase.
        let head = format!("HTTP/1.1 {} -\r\n{headers}{length}connection: close\r\n\r\n", reply.status);
        socket.write_all(head.as_bytes()).await?;
        socket.write_all(&reply.body).await?;
        socket.shutdown().await
    }

    /// Answers for the collector's host: applies the folder's conditions, and forwards everything else to the server.
    async fn collector(&self, folder: &Folder, name: &str, request: &Request) -> std::io::Result<Reply> {
        let file = request.file.as_str();
        if file == "v1/beacon" && request.method == "POST" {
            let reply = match folder.answer {
                Some(Answer::Nothing) => return Err(std::io::ErrorKind::ConnectionAborted.into()),
                Some(Answer::Status(status)) => Reply::of_collector(status, request),
                None => self.pass_on(request).await?,
            };
            self.keep(name, Capture::Beacon(request.body.clone(), reply.status));
            return Ok(reply);
        }
        match &folder.module {
            Module::Missing if file.starts_with("c/") => Ok(Reply::of_collector(404, request)),
            Module::WasmMissing if file.ends_with(".wasm") => Ok(Reply::of_collector(404, request)),
            Module::Behind(glue)
                if file.starts_with("c/") && file.ends_with(".js") && !request.query.contains("real") =>
            {
                let real = format!("./{}?real", file.trim_start_matches("c/"));
                let mut reply = Reply::of_collector(200, request);
                reply.headers.retain(|(name, _)| name != "content-type");
                reply.headers.push(("content-type".to_owned(), "text/javascript".to_owned()));
                reply.body = glue.replace("__GLUE__", &real).into_bytes();
                Ok(reply)
            }
            _ => self.pass_on(request).await,
        }
    }

    /// Forwards a request with the browser's headers to the server; returns its answer with its headers.
    async fn pass_on(&self, request: &Request) -> std::io::Result<Reply> {
        let method = request.method.parse().map_err(std::io::Error::other)?;
        let mut asked = self.server.http.request(method, format!("{}/{}", self.server.url, request.file));
        for (name, value) in request.headers.iter().filter(|(name, _)| !HOP.contains(&name.as_str())) {
            asked = asked.header(name, value);
        }
        let answer = asked.body(request.body.clone()).send().await.map_err(std::io::Error::other)?;
        let status = answer.status().as_u16();
        let headers = answer.headers().iter().filter(|(name, _)| !HOP.contains(&name.as_str()));
        let headers =
            headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        let headers = headers.collect();
        Ok(Reply { status, headers, body: answer.bytes().await.map_err(std::io::Error::other)?.to_vec() })
    }

    /// Answers for the pages' host.
    async fn find(&self, folder: &Folder, name: &str, request: &Request) -> Reply {
        let file = request.file.as_str();
        if let Some((_, html)) = folder.pages.iter().find(|(name, _)| name == file) {
            let key = self.key(folder);
            let text =
                self.folders().get(name).map_or_else(String::new, |record| record.fill(name, html, key));
            tokio::time::sleep(PAGE_DELAY).await;
            return written(file, &text);
        }
        match file {
            "observer.js" => Reply::script(OBSERVER),
            "reference.js" => Reply::script(REFERENCE),
            "web-vitals.js" => Reply::script(self.library.clone()),
            "image.bmp" | "held.bmp" => Reply::new(200, "image/bmp", image()),
            "slow" => Reply::new(200, "text/plain", "slow"),
            "redirect" => {
                let mut reply = Reply::new(302, "text/plain", "");
                let to = request.field("to").unwrap_or_default().to_owned();
                reply.headers.push(("location".to_owned(), to));
                reply
            }
            // A report through an image URL, for pages that cannot post.
            "told" => {
                let field = |name| request.field(name).map(decoded);
                let value = field("value").unwrap_or_default();
                let value = value.parse::<f64>().map_or_else(|_| json!(value), |number| json!(number));
                let report = json!({"kind": "expected", "name": field("name"), "value": value});
                self.keep(name, Capture::Report(report));
                Reply::new(204, "text/plain", "")
            }
            _ => match file.strip_prefix("libraries/").and_then(library) {
                Some(script) => Reply::script(script),
                None => Reply::new(404, "text/plain", "not here"),
            },
        }
    }
}

/// Encodes a page according to the suffix of its name.
fn written(file: &str, text: &str) -> Reply {
    if file.ends_with(".latin1.html") {
        let bytes: Vec<u8> = text.chars().map(|char| u8::try_from(char).unwrap_or(b'?')).collect();
        Reply::new(200, "text/html; charset=iso-8859-1", bytes)
    } else if file.ends_with(".utf16.html") {
        let bytes: Vec<u8> =
            std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        Reply::new(200, "text/html", bytes)
    } else if file.ends_with(".xhtml") {
        Reply::new(200, "application/xhtml+xml; charset=utf-8", text)
    } else if file.ends_with(".js") {
        Reply::script(text)
    } else {
        Reply::new(200, "text/html; charset=utf-8", text)
    }
}

/// Decodes a query value written by `encodeURIComponent`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, more)) = rest.split_first() {
        let code = more.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(code) if byte == b'%' => {
                bytes.push(code);
                rest = &more[2..];
            }
            _ => {
                bytes.push(byte);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads a third-party library of a page, from `FIELDVITALS_LIBRARIES` or from the folder of `cargo xtask test
/// browsers`.
fn library(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("FIELDVITALS_LIBRARIES").map(PathBuf::from).or_else(|| {
        let test = std::env::current_exe().ok()?;
        Some(test.ancestors().nth(3)?.join("libraries"))
    })?;
    std::fs::read(folder.join(name.replace('/', "-"))).ok()
}

/// Creates an image of noise as a bitmap, the simplest format that every browser shows.
fn image() -> Vec<u8> {
    let bytes = IMAGE_SIDE * IMAGE_SIDE * 3;
    let mut file = b"BM".to_vec();
    for number in [bytes + 54, 0, 54, 40, IMAGE_SIDE, IMAGE_SIDE] {
        file.extend(number.to_le_bytes());
    }
    // One plane, 24 bits a pixel, uncompressed.
    file.extend([1, 0, 24, 0]);
    for number in [0, bytes, 2835, 2835, 0, 0] {
        file.extend(u32::to_le_bytes(number));
    }
    let mut state = 1_u32;
    file.extend((0..bytes).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    }));
    file
}
