//! The only outbound connections of the server: notices of alerts, by HTTP and by mail, and questions to Google's CrUX API.
//!
//! Every connection goes to an address that [`Guard`] has checked, because a name can have another address the next time.
//! Redirects and proxies are off, times and answers are bounded.

mod guard;
mod mail;

pub use guard::Guard;
pub use mail::{Letter, MailTo};

use crate::limits;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use url::{Host, Url};

/// Why something was not delivered. `Display` says it without the address, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The address may not be connected to.
    #[error("{0}")]
    Refused(String),
    /// The receiver refused.
    #[error("the receiver answered {status}{said}")]
    Status {
        /// The status of HTTP.
        status: u16,
        /// The start of its answer, behind a colon; may be empty.
        said: String,
    },
    /// The receiver cannot be reached, or broke off.
    #[error("{0}")]
    Failed(String),
}

/// Sends to receivers.
#[derive(Clone, Debug)]
pub struct Egress {
    http: reqwest::Client,
    guard: Arc<Guard>,
}

/// Resolves the names of receivers to checked addresses.
struct GuardedNames(Arc<Guard>);

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            // The port is that of the URL.
            let found = guard.resolve(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl Egress {
    /// Sends to receivers that `guard` allows.
    ///
    /// # Errors
    /// If the certificates of the system cannot be read.
    pub fn new(guard: Guard) -> Result<Self, EgressError> {
        let guard = Arc::new(guard);
        let http = reqwest::Client::builder()
            .timeout(Duration::from_millis(limits::NOTICE_TIME_MS_MAX))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(GuardedNames(Arc::clone(&guard)))
            // Notices are rare, and a kept connection would outlive the check of its address.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("fieldvitals/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| EgressError::Failed(format!("HTTPS cannot be set up: {}", cause(&error))))?;
        Ok(Self { http, guard })
    }

    /// Checks whether a receiver may be connected to and has an address. Connects to nothing.
    ///
    /// # Errors
    /// If its address is refused, or its name has none.
    pub async fn check(&self, url: &Url) -> Result<(), EgressError> {
        self.guard.check(url)?;
        match url.host() {
            Some(Host::Domain(name)) => bounded(self.guard.resolve(name, 0)).await.map(drop),
            _ => Ok(()),
        }
    }

    /// Checks whether a mail server may be connected to and has an address. Connects to nothing.
    ///
    /// # Errors
    /// If its address is refused, or its name has none.
    pub async fn check_mail(&self, to: &MailTo) -> Result<(), EgressError> {
        bounded(to.addresses(&self.guard)).await.map(drop)
    }

    /// Posts JSON. Success is a status of 200 to 299.
    ///
    /// # Errors
    /// If the address is refused, or nothing was delivered in time.
    pub async fn post(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<(), EgressError> {
        let mut response = self.send(url, headers, body).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let chunk = response.chunk().await.ok().flatten().unwrap_or_default();
        let start = chunk.get(..chunk.len().min(limits::NOTICE_ANSWER_BYTES_MAX)).unwrap_or_default();
        let said: String = String::from_utf8_lossy(start)
            .chars()
            .map(|one| if one.is_control() { ' ' } else { one })
            .collect();
        let said = said.trim();
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        Err(EgressError::Status { status: status.as_u16(), said })
    }

    /// Posts JSON, and returns the status of the answer with its body.
    ///
    /// # Errors
    /// If the address is refused, no answer arrives in time, or the answer has more than `bytes_max` bytes.
    pub async fn ask(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        body: String,
        bytes_max: usize,
    ) -> Result<(u16, Vec<u8>), EgressError> {
        let mut response = self.send(url, headers, body).await?;
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| EgressError::Failed(cause(&error)))? {
            if chunk.len() > bytes_max - answer.len() {
                return Err(EgressError::Failed(format!("the answer has more than {bytes_max} bytes")));
            }
            answer.extend_from_slice(&chunk);
        }
        Ok((response.status().as_u16(), answer))
    }

    async fn send(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<reqwest::Response, EgressError> {
        self.guard.check(url)?;
        let mut request = self.http.post(url.clone()).header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.send().await.map_err(|error| EgressError::Failed(cause(&error)))
    }

    /// Sends a letter.
    ///
    /// # Errors
    /// If the address is refused, or nothing was delivered in time.
    pub async fn mail(&self, to: &MailTo, letter: &Letter) -> Result<(), EgressError> {
        bounded(to.send(&self.guard, letter)).await
    }
}

/// Limits a future to `NOTICE_TIME_MS_MAX`.
async fn bounded<T>(work: impl Future<Output = Result<T, EgressError>>) -> Result<T, EgressError> {
    let time = Duration::from_millis(limits::NOTICE_TIME_MS_MAX);
    let done = tokio::time::timeout(time, work).await;
    done.unwrap_or_else(|_| Err(EgressError::Failed("no answer in time".to_owned())))
}

/// Returns the root cause of an error. Omits the URL.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut told = None;
    let mut next = error.source();
    while let Some(error) = next {
        told = Some(error.to_string());
        next = error.source();
    }
    told.unwrap_or_else(|| "the request failed".to_owned())
}

#[cfg(test)]
mod tests;
