//! HTTP of the doctor: bounded requests without a token, whose failures are texts.

use anyhow::Context as _;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url, redirect};
use std::error::Error as _;
use std::time::Duration;

/// Timeout of a request, in seconds: browsers of visitors have left by then.
const TIME_S_MAX: u64 = 15;
/// Bytes of an answer that are read: a page's tag and policy are far before.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Redirects that are followed.
const REDIRECTS_MAX: usize = 10;

/// Sends requests.
#[derive(Clone, Debug)]
pub(super) struct Fetcher(reqwest::Client);

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    /// The URL after redirects.
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The start of the body.
    pub(super) body: Vec<u8>,
}

impl Fetched {
    /// The body as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; empty if it is absent or no text.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The media type, without parameters, in lower case.
    pub(super) fn media_type(&self) -> String {
        self.header("content-type").split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

impl Fetcher {
    /// # Errors
    /// HTTPS cannot be set up.
    pub(super) fn new() -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(TIME_S_MAX))
            .redirect(redirect::Policy::limited(REDIRECTS_MAX))
            .user_agent(concat!("fieldvitals-doctor/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("cannot set up HTTPS; on Debian: apt-get install ca-certificates")?;
        Ok(Self(client))
    }

    /// Gets a URL with further headers. The error says why there is no answer.
    pub(super) async fn get(&self, url: &Url, headers: &[(&str, &str)]) -> Result<Fetched, String> {
        self.send(Method::GET, url, headers).await
    }

    /// Sends a request without a body. The error says why there is no answer.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&str, &str)],
    ) -> Result<Fetched, String> {
        let mut request = self.0.request(method, url.clone());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send().await.map_err(|error| cause(&error))?;
        let (url, status) = (response.url().clone(), response.status());
        let (headers, mut body) = (response.headers().clone(), Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
            let room = BODY_BYTES_MAX.saturating_sub(body.len());
            body.extend_from_slice(chunk.get(..chunk.len().min(room)).unwrap_or_default());
            if body.len() >= BODY_BYTES_MAX {
                break;
            }
        }
        Ok(Fetched { url, status, headers, body })
    }
}

/// A URL without a user and a password, for texts.
pub(super) fn shown(url: &Url) -> Url {
    let mut url = url.clone();
    // Fails for URLs without a host, which have neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// The root cause of an error.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {TIME_S_MAX} s");
    }
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = error.to_string();
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_of_a_url_is_not_shown() {
        let url = "https://me:secret@staging.example/a".parse().unwrap();
        assert_eq!(shown(&url).as_str(), "https://staging.example/a");
    }
}
