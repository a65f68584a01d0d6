//! The Chrome DevTools Protocol over a pipe: JSON messages, each ended by a zero byte.
//! <https://chromedevtools.github.io/devtools-protocol/>
//!
//! A pipe needs no port that other users of the machine could connect to. Calls are made one after the other; events that
//! arrive meanwhile are queued.

use crate::limits;
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

/// A connection to a browser.
pub(super) struct Cdp {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The part of the next message that is read already; a canceled read continues.
    partial: Vec<u8>,
    /// The number of the last call.
    last: u64,
    events: VecDeque<Event>,
}

/// An event of a page.
pub(super) struct Event {
    /// The session of the page; empty for the browser.
    pub(super) session: String,
    pub(super) method: String,
    pub(super) params: Value,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum CdpError {
    /// The browser has ended, or its pipe is broken.
    #[error("the browser has ended")]
    Ended,
    /// The browser refuses the call.
    #[error("the browser refuses {method}: {message}")]
    Refused { method: String, message: String },
    /// A message that is none of the protocol.
    #[error("the browser sent {0}")]
    Garbled(String),
}

impl Cdp {
    pub(super) fn new(input: ChildStdin, output: ChildStdout) -> Self {
        let output = BufReader::new(output);
        Self { input, output, partial: Vec::new(), last: 0, events: VecDeque::new() }
    }

    /// Calls a method, of a page if `session` is not empty, and returns its result.
    ///
    /// # Errors
    /// If the browser refuses the call, or has ended.
    pub(super) async fn call(
        &mut self,
        session: &str,
        method: &str,
        params: Value,
    ) -> Result<Value, CdpError> {
        let id = self.send(session, method, params).await?;
        loop {
            let mut message = self.message().await?;
            if message.get("id").and_then(Value::as_u64) != Some(id) {
                self.keep(message).await?;
                continue;
            }
            if let Some(error) = message.get("error") {
                let message =
                    error.get("message").and_then(Value::as_str).unwrap_or("without a reason").to_owned();
                return Err(CdpError::Refused { method: method.to_owned(), message });
            }
            return Ok(message.get_mut("result").map(Value::take).unwrap_or_default());
        }
    }

    /// Returns the next event. May be canceled.
    ///
    /// # Errors
    /// If the browser has ended.
    pub(super) async fn event(&mut self) -> Result<Event, CdpError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let message = self.message().await?;
            self.keep(message).await?;
        }
    }

    /// Queues an event, and closes dialogs: a page waits for their end.
    async fn keep(&mut self, mut message: Value) -> Result<(), CdpError> {
        let text = |key: &str| message.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        // The answer to a closed dialog has no method.
        let (session, method) = (text("sessionId"), text("method"));
        if method == "Page.javascriptDialogOpening" {
            self.send(&session, "Page.handleJavaScriptDialog", json!({"accept": true})).await?;
        } else if method == "Page.lifecycleEvent" {
            let params = message.get_mut("params").map(Value::take).unwrap_or_default();
            self.events.push_back(Event { session, method, params });
        }
        Ok(())
    }

    async fn send(&mut self, session: &str, method: &str, params: Value) -> Result<u64, CdpError> {
        self.last += 1;
        let mut call = json!({"id": self.last, "method": method, "params": params});
        if !session.is_empty()
            && let Some(call) = call.as_object_mut()
        {
            call.insert("sessionId".to_owned(), session.into());
        }
        let mut bytes = call.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).await.map_err(|_| CdpError::Ended)?;
        self.input.flush().await.map_err(|_| CdpError::Ended)?;
        Ok(self.last)
    }

    async fn message(&mut self) -> Result<Value, CdpError> {
        while self.partial.last() != Some(&0) {
            let room = limits::BROWSER_MESSAGE_BYTES_MAX.saturating_sub(self.partial.len());
            let mut bounded = (&mut self.output).take(room as u64);
            let read = bounded.read_until(0, &mut self.partial).await.map_err(|_| CdpError::Ended)?;
            if read == 0 {
                let is_long = room == 0;
                let max = limits::BROWSER_MESSAGE_BYTES_MAX;
                return Err(if is_long {
                    CdpError::Garbled(format!("a message of more than {max} bytes"))
                } else {
                    CdpError::Ended
                });
            }
        }
        self.partial.pop();
        let message = serde_json::from_slice(&self.partial)
            .map_err(|error| CdpError::Garbled(format!("no JSON: {error}")));
        self.partial.clear();
        message
    }
}
