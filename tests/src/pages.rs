//! A web site of the tests' own: pages with the embed tag, on another origin than the server, that can
//! be made difficult.

use crate::server::Server;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How the site serves the collector's files, which it passes on from the server (first-party proxying).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Answer 404 for the module and its glue.
    pub module_missing: bool,
    /// Send a content security policy that does not allow wasm.
    pub wasm_forbidden: bool,
    /// Never answer for the module and its glue.
    pub module_stuck: bool,
}

/// A running site.
pub struct Site {
    /// Its origin.
    pub url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Site {
    /// Serves `pages` (paths and bodies of HTML documents) under these conditions. In every body,
    /// `__TAG__` becomes the embed tag: `v.js` from this site, beacons to the server; `__TAG_IN_ORDER__` the
    /// same without `async`, so that it has run before what follows.
    ///
    /// # Panics
    /// Where no socket can be had.
    pub async fn start(server: &Server, conditions: Conditions, pages: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let tag = format!(
            r#"<script async src="/v.js" data-site="{}" data-endpoint="{}/v1/beacon"></script>"#,
            server.key, server.url
        );
        let pages: HashMap<String, String> = pages
            .iter()
            .map(|(path, body)| {
                let body =
                    body.replace("__TAG__", &tag).replace("__TAG_IN_ORDER__", &tag.replace("async ", ""));
                ((*path).to_owned(), body)
            })
            .collect();
        let shared = Arc::new((pages, conditions, server.url.clone(), server.http.clone()));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let (pages, conditions, upstream, http) = shared.as_ref();
                    // A browser that goes away while it is answered is not a problem of the test.
                    let _ = answer(socket, pages, *conditions, upstream, http).await;
                });
            }
        });
        Self { url, task }
    }
}

async fn answer(
    socket: TcpStream,
    pages: &HashMap<String, String>,
    conditions: Conditions,
    upstream: &str,
    http: &reqwest::Client,
) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    let mut head = String::new();
    socket.read_line(&mut head).await?;
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await? <= 2 {
            break;
        }
    }
    let target = head.split(' ').nth(1).unwrap_or("/").to_owned();
    let path = target.split('?').next().unwrap_or("/");
    let module = path.starts_with("/c/");
    if module && conditions.module_stuck {
        let mut end = Vec::new();
        socket.read_to_end(&mut end).await?;
        return Ok(());
    }
    let (status, media_type, body) = if let Some(page) = pages.get(path) {
        ("200 OK", "text/html".to_owned(), page.clone().into_bytes())
    } else if path == "/v.js" || (module && !conditions.module_missing) {
        let file = http.get(format!("{upstream}{path}")).send().await.map_err(std::io::Error::other)?;
        let media_type =
            file.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        ("200 OK", media_type, file.bytes().await.map_err(std::io::Error::other)?.to_vec())
    } else {
        ("404 Not Found", "text/plain".to_owned(), b"not here".to_vec())
    };
    let policy = if conditions.wasm_forbidden {
        "content-security-policy: default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; connect-src *\r\n"
    } else {
        ""
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n{policy}cache-control: no-cache\r\nconnection: close\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(&body).await?;
    socket.shutdown().await
}
