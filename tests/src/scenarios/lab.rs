//! The site of the three-engine tests: every load has a folder of its own, in which lie its pages, the
//! collector's files as the server serves them, the reference library, and where both report to.

use crate::server::Server;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const OBSERVER: &str = include_str!("../../pages/observer.js");
const REFERENCE: &str = include_str!("../../pages/reference.js");
/// Side of the image that the pages show; its pixels are noise, as browsers leave empty images out of LCP.
const IMAGE_SIDE: u32 = 240;
/// A page's way through the network. WebKit's clock ticks in milliseconds, and an answer that is there within the first
/// has no time to first byte.
const PAGE_DELAY: Duration = Duration::from_millis(5);

/// How the collector's module is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Module {
    /// As the server serves it.
    #[default]
    Served,
    /// Without its wasm: 404.
    WasmMissing,
    /// Not at all: 404.
    Missing,
    /// Behind glue of the test's own. In it, `__GLUE__` becomes the name of the real glue.
    Behind(String),
}

/// What a beacon meets in the server's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This status.
    Status(u16),
    /// A connection that ends without a word.
    Nothing,
}

/// What lies in a load's folder.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// Names and HTML of pages. `__HEAD__` becomes the observer, the reference and the embed tag,
    /// `__LAB__` the first two, `__TAG__` the tag, `__TAG_URL__` its address `__KEY__` the site's key,
    /// `__BASE__` the folder; `__SOFT__` is `__LAB__` with the reference's soft navigations.
    pub pages: Vec<(String, String)>,
    /// How the module is served.
    pub module: Module,
    /// The content security policy of every page.
    pub policy: Option<&'static str>,
    /// What beacons are answered in the server's place.
    pub answer: Option<Answer>,
}

/// Something that a page sent.
#[derive(Clone, Debug)]
pub enum Capture {
    /// A beacon of ours, and what the server answered.
    Beacon(Vec<u8>, u16),
    /// A report of the observer, the reference or the page.
    Report(Value),
}

impl Capture {
    /// A line for people who look into a failure.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Beacon(body, status) => format!("beacon, {status}: {}", String::from_utf8_lossy(body)),
            Self::Report(report) => report.to_string(),
        }
    }
}

/// What lies in each load's folder, what its page sent, and when it was asked for.
type Folders = HashMap<String, (Folder, Vec<Capture>, Instant)>;

struct Shared {
    server: Arc<Server>,
    library: Vec<u8>,
    folders: Mutex<Folders>,
}

/// The running site.
pub struct Lab {
    /// Its origin.
    pub url: String,
    /// The server behind it.
    pub server: Arc<Server>,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lab {
    /// Serves in front of this server; `library` is the reference's script.
    ///
    /// # Panics
    /// Where no socket can be had.
    pub async fn start(server: Arc<Server>, library: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let url = format!("http://localhost:{}", listener.local_addr().expect("its address").port());
        let shared = Arc::new(Shared { server: Arc::clone(&server), library, folders: Mutex::default() });
        let served = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let shared = Arc::clone(&served);
                // A browser that goes away while it is answered is not a problem of the test.
                tokio::spawn(async move { drop(shared.answer(socket).await) });
            }
        });
        Self { url, server, shared, task }
    }

    /// Makes a folder; its address ends in a slash.
    pub fn folder(&self, name: &str, folder: Folder) -> String {
        self.shared.folders().insert(name.to_owned(), (folder, Vec::new(), Instant::now()));
        format!("{}/r/{name}/", self.url)
    }

    /// From now on a folder's beacons are answered so; `None` leaves it to the server.
    pub fn answer(&self, name: &str, answer: Option<Answer>) {
        if let Some((folder, ..)) = self.shared.folders().get_mut(name) {
            folder.answer = answer;
        }
    }

    /// What the pages of a folder have sent, and how long ago the last of it came.
    #[must_use]
    pub fn captured(&self, name: &str) -> (Vec<Capture>, Duration) {
        let folders = self.shared.folders();
        folders
            .get(name)
            .map_or_else(Default::default, |(_, captures, last)| (captures.clone(), last.elapsed()))
    }
}

struct Request {
    post: bool,
    folder: String,
    file: String,
    query: String,
    body: Vec<u8>,
}

impl Request {
    /// A number of the query.
    fn number(&self, name: &str) -> Option<u64> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    }
}

async fn read(socket: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut head = String::new();
    if socket.read_line(&mut head).await? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await? <= 2 {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await?;
    let target = head.split(' ').nth(1).unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (folder, file) = path.strip_prefix("/r/").and_then(|rest| rest.split_once('/')).unwrap_or(("", path));
    Ok(Some(Request {
        post: head.starts_with("POST "),
        folder: folder.to_owned(),
        file: file.to_owned(),
        query: query.to_owned(),
        body,
    }))
}

impl Shared {
    fn folders(&self) -> MutexGuard<'_, Folders> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, socket: TcpStream) -> std::io::Result<()> {
        let mut socket = BufReader::new(socket);
        let Some(request) = read(&mut socket).await? else { return Ok(()) };
        if let Some(ms) = request.number("delay") {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        let folder = self.folders().get(&request.folder).map(|(folder, ..)| folder.clone());
        let mut more = String::new();
        let (status, media_type, body) = match folder {
            Some(folder) if request.post => {
                (self.take(&folder, &request).await?, "text/plain".to_owned(), Vec::new())
            }
            Some(folder) => {
                if let Some(policy) = folder.policy {
                    more = format!("content-security-policy: {policy}\r\n");
                }
                self.find(&folder, &request).await?
            }
            None => (404, "text/plain".to_owned(), Vec::new()),
        };
        // Any status will do for the browser without its words.
        let head = format!(
            "HTTP/1.1 {status} -\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n{more}cache-control: no-cache\r\nconnection: close\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).await?;
        socket.write_all(&body).await?;
        socket.shutdown().await
    }

    /// Takes what a page sends. A beacon goes on to the server, whose answer is the page's.
    async fn take(&self, folder: &Folder, request: &Request) -> std::io::Result<u16> {
        let is_beacon = request.file == "v1/beacon";
        let capture = if let (Some(answer), true) = (folder.answer, is_beacon) {
            match answer {
                Answer::Status(status) => Capture::Beacon(request.body.clone(), status),
                Answer::Nothing => return Err(std::io::ErrorKind::ConnectionAborted.into()),
            }
        } else if is_beacon {
            let sent = self
                .server
                .http
                .post(format!("{}/v1/beacon", self.server.url))
                .header("content-type", "text/plain;charset=UTF-8")
                .body(request.body.clone())
                .send();
            let status = sent.await.map_err(std::io::Error::other)?.status().as_u16();
            Capture::Beacon(request.body.clone(), status)
        } else {
            Capture::Report(serde_json::from_slice(&request.body)?)
        };
        let status = if let Capture::Beacon(_, status) = capture { status } else { 204 };
        if let Some((_, captures, last)) = self.folders().get_mut(&request.folder) {
            captures.push(capture);
            *last = Instant::now();
        }
        Ok(status)
    }

    async fn find(&self, folder: &Folder, request: &Request) -> std::io::Result<(u16, String, Vec<u8>)> {
        let script = |text: &[u8]| (200, "text/javascript".to_owned(), text.to_vec());
        let file = request.file.as_str();
        if let Some((_, html)) = folder.pages.iter().find(|(name, _)| name == file) {
            tokio::time::sleep(PAGE_DELAY).await;
            return Ok((200, "text/html; charset=utf-8".to_owned(), self.page(&request.folder, html)));
        }
        Ok(match (file, &folder.module) {
            ("observer.js", _) => script(OBSERVER.as_bytes()),
            ("reference.js", _) => script(REFERENCE.as_bytes()),
            ("web-vitals.js", _) => script(&self.library),
            ("image.bmp", _) => (200, "image/bmp".to_owned(), image()),
            ("slow", _) => (200, "text/plain".to_owned(), b"slow".to_vec()),
            (name, Module::Behind(glue))
                if name.starts_with("c/") && name.ends_with(".js") && !request.query.contains("real") =>
            {
                script(
                    glue.replace("__GLUE__", &format!("./{}?real", name.trim_start_matches("c/"))).as_bytes(),
                )
            }
            (name, Module::WasmMissing) if name.ends_with(".wasm") => {
                (404, "text/plain".to_owned(), Vec::new())
            }
            (name, module) if name == "v.js" || (name.starts_with("c/") && *module != Module::Missing) => {
                let answer = self
                    .server
                    .http
                    .get(format!("{}/{name}", self.server.url))
                    .send()
                    .await
                    .map_err(std::io::Error::other)?;
                let media_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
                let media_type = media_type.unwrap_or_default().to_owned();
                (200, media_type, answer.bytes().await.map_err(std::io::Error::other)?.to_vec())
            }
            _ => (404, "text/plain".to_owned(), b"not here".to_vec()),
        })
    }

    fn page(&self, folder: &str, html: &str) -> Vec<u8> {
        let base = format!("/r/{folder}");
        let tag_url = format!("{base}/v.js");
        let tag = format!(
            r#"<script async src="{tag_url}" data-site="{}" data-endpoint="{base}/v1/beacon"></script>"#,
            self.server.key
        );
        let lab = format!(
            r#"<meta charset="utf-8"><link rel="icon" href="data:,"><script src="{base}/observer.js"></script><script src="{base}/web-vitals.js"></script><script src="{base}/reference.js"></script>"#
        );
        let soft = lab.replace("reference.js\"", "reference.js\" data-soft");
        html.replace("__HEAD__", "__LAB____TAG__")
            .replace("__SOFT__", &soft)
            .replace("__LAB__", &lab)
            .replace("__TAG__", &tag)
            .replace("__TAG_URL__", &tag_url)
            .replace("__BASE__", &base)
            .replace("__KEY__", &self.server.key)
            .into_bytes()
    }
}

/// A picture of noise, as a bitmap: the simplest format that every browser shows.
fn image() -> Vec<u8> {
    let bytes = IMAGE_SIDE * IMAGE_SIDE * 3;
    let mut file = b"BM".to_vec();
    for number in [bytes + 54, 0, 54, 40, IMAGE_SIDE, IMAGE_SIDE] {
        file.extend(number.to_le_bytes());
    }
    // One plane, 24 bits a pixel, not compressed.
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
