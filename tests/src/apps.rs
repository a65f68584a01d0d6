//! Serves the built app of a framework as a static host does, on an origin of its own.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The address of the tag in the sources of the apps.
const TAG: &str = "https://HOST/v.js";
/// Most characters between the name of the tag's attribute and its value: quotes, escapes and a separator.
const BETWEEN_MAX: usize = 8;

/// A running host. Dropping it stops it.
pub struct App {
    /// Its origin, `http://localhost:PORT`.
    pub url: String,
    host: JoinHandle<()>,
}

impl App {
    /// Serves a folder. Its files name a fieldvitals server as the documentation does; the app's visitors get this
    /// server and this key. `fallback` is the file for paths without one.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(folder: PathBuf, fallback: Option<&'static str>, server: &str, key: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let port = listener.local_addr().expect("its address").port();
        let site = Arc::new(Site { folder, fallback, server: server.to_owned(), key: key.to_owned() });
        let host = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let site = Arc::clone(&site);
                // Ignores errors: a browser may close the connection during an answer.
                tokio::spawn(async move { drop(site.answer(socket).await) });
            }
        });
        Self { url: format!("http://localhost:{port}"), host }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.host.abort();
    }
}

struct Site {
    folder: PathBuf,
    fallback: Option<&'static str>,
    server: String,
    key: String,
}

impl Site {
    async fn answer(&self, socket: TcpStream) -> std::io::Result<()> {
        let mut socket = BufReader::new(socket);
        loop {
            let mut head = String::new();
            if socket.read_line(&mut head).await? == 0 {
                return Ok(());
            }
            let mut line = String::new();
            while socket.read_line(&mut line).await? > 2 {
                line.clear();
            }
            let target = head.split(' ').nth(1).unwrap_or("/");
            let path = target.split(['?', '#']).next().unwrap_or("/");
            let (status, kind, body) = self.file(path).map_or_else(
                || ("404 Not Found", "text/plain", b"not here".to_vec()),
                |(file, body)| ("200 OK", media_type(&file), body),
            );
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\ncache-control: no-cache\r\n\r\n",
                body.len()
            );
            socket.write_all(head.as_bytes()).await?;
            socket.write_all(&body).await?;
        }
    }

    /// Finds the file of a path: itself, its page, or the page of its folder.
    fn file(&self, path: &str) -> Option<(PathBuf, Vec<u8>)> {
        let path = path.trim_matches('/');
        let candidates = [path.to_owned(), format!("{path}.html"), format!("{path}/index.html")];
        let candidates = candidates.iter().map(String::as_str).chain(self.fallback);
        candidates.map(|name| self.folder.join(name.trim_start_matches('/'))).find_map(|file| {
            let body = std::fs::read(&file).ok()?;
            let body = match String::from_utf8(body) {
                Ok(text) => self.filled(&text).into_bytes(),
                Err(error) => error.into_bytes(),
            };
            Some((file, body))
        })
    }

    /// Puts the server and the key into a file.
    fn filled(&self, text: &str) -> String {
        let text = text.replace(TAG, &format!("{}/v.js", self.server));
        let mut parts = text.split("data-site");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            filled.push_str("data-site");
            match part.split_once("KEY") {
                Some((between, rest)) if between.len() <= BETWEEN_MAX => {
                    filled.extend([between, self.key.as_str(), rest]);
                }
                _ => filled.push_str(part),
            }
        }
        filled
    }
}

fn media_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css",
        Some("json") => "application/json",
        // The payloads of Next.js.
        Some("txt") => "text/x-component",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
