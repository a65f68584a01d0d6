//! Requests to a local receiver.

use super::*;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

/// Answers each connection with `answer`. Returns the port, and a channel with the request of each connection.
fn receiver(answer: &'static str) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = vec![0; 4_096];
            let read = stream.read(&mut request).unwrap_or(0);
            request.truncate(read);
            let _ = stream.write_all(answer.as_bytes());
            if seen.send(String::from_utf8_lossy(&request).into_owned()).is_err() {
                return;
            }
        }
    });
    (port, requests)
}

async fn post(allowed: &[&str], url: &str) -> Result<(), EgressError> {
    let allowed: Vec<String> = allowed.iter().map(|&one| one.to_owned()).collect();
    let egress = Egress::new(Guard::new(&allowed).unwrap()).unwrap();
    egress.post(&Url::parse(url).unwrap(), &[("x-test", "1".to_owned())], "{}".to_owned()).await
}

#[tokio::test]
async fn request_reaches_allowed_receivers_only() {
    let (port, requests) = receiver("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    for (allowed, host) in [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost")] {
        assert_eq!(post(&[allowed], &format!("http://{host}:{port}/hook")).await, Ok(()));
        let request = requests.recv().unwrap().to_lowercase();
        assert!(request.starts_with("post /hook http/1.1") && request.contains("x-test: 1"), "{request}");
    }
    for url in
        ["http://127.0.0.1", "https://127.0.0.1", "https://localhost", "http://localhost", "https://[::1]"]
    {
        let refused = post(&["192.0.2.1"], &format!("{url}:{port}/")).await;
        assert!(refused.is_err(), "{url}");
    }
    assert!(requests.try_recv().is_err(), "no connection was made");
}

#[tokio::test]
async fn redirect_is_not_followed_and_an_answer_is_told_briefly() {
    let (port, requests) =
        receiver("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\n\r\n");
    let redirected = post(&["127.0.0.1"], &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(redirected, Err(EgressError::Status { status: 302, said: String::new() }));
    assert!(requests.recv().is_ok());
    let (port, _requests) =
        receiver("HTTP/1.1 403 Forbidden\r\nContent-Length: 14\r\nConnection: close\r\n\r\ninvalid_\ntoken");
    let refused = post(&["127.0.0.1"], &format!("http://127.0.0.1:{port}/")).await.unwrap_err();
    assert_eq!(refused.to_string(), "the receiver answered 403: invalid_ token");
}
