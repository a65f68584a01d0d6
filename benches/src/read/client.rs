//! A reader: one connection to the read API, kept open.

use anyhow::{Context as _, Result, bail};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Timeout of an answer. A server that answers later does not answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// A connection with a token.
pub(crate) struct Reader {
    to: SocketAddr,
    token: String,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// The status of an answer, its tag, and the size of its body.
pub(crate) struct PeriodRows {
    pub(crate) status: u16,
    pub(crate) tag: String,
    pub(crate) body_bytes: usize,
}

impl Reader {
    pub(crate) fn new(to: SocketAddr, token: &str) -> Self {
        Self { to, token: token.to_owned(), stream: None, buffer: Vec::new() }
    }

    /// Sends a question, with the tag of a known answer if any, and reads the whole answer.
    pub(crate) fn ask(&mut self, path: &str, tag: Option<&str>) -> Result<PeriodRows> {
        let answered = self.exchange(path, tag);
        if answered.is_err() {
            self.stream = None;
        }
        answered
    }

    fn exchange(&mut self, path: &str, tag: Option<&str>) -> Result<PeriodRows> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(self.to)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
                none.insert(stream)
            }
        };
        let known = tag.map_or(String::new(), |tag| format!("If-None-Match: {tag}\r\n"));
        let token = &self.token;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: vitals.example\r\nAuthorization: Bearer {token}\r\n{known}\r\n"
        );
        stream.write_all(request.as_bytes())?;
        self.buffer.clear();
        let mut piece = [0; 65_536];
        let mut end = None;
        loop {
            if let Some((head_bytes, body_bytes)) = end
                && self.buffer.len() >= head_bytes + body_bytes
            {
                let head = std::str::from_utf8(&self.buffer[..head_bytes])?;
                let status = head.get(9..12).and_then(|status| status.parse().ok());
                let status = status.context("the answer has a status")?;
                let tag = header(head, "etag").unwrap_or_default().to_owned();
                return Ok(PeriodRows { status, tag, body_bytes });
            }
            match stream.read(&mut piece)? {
                0 => bail!("the answer is cut short"),
                more => self.buffer.extend_from_slice(&piece[..more]),
            }
            if end.is_none()
                && let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n")
            {
                let head = std::str::from_utf8(&self.buffer[..at])?;
                let length = header(head, "content-length").map_or(Ok(0), str::parse)?;
                end = Some((at + 4, length));
            }
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
