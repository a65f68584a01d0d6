//! A proxy before Postgres that counts round trips.

use std::io::{Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Forwards connections from a new port to `port` of this machine. Returns the new port, and counts how often a client goes
/// on after an answer.
///
/// # Panics
/// If no port is free.
#[must_use]
pub fn count_round_trips(port: u16) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let own = listener.local_addr().expect("its address").port();
    let trips = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&trips);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            // Closes the client's connection, as a refusal would, if there is no database.
            let _ = client.and_then(|client| forward(&client, port, &counted));
        }
    });
    (own, trips)
}

fn forward(client: &TcpStream, port: u16, trips: &Arc<AtomicU64>) -> Result<()> {
    let server = TcpStream::connect(("127.0.0.1", port))?;
    let answered = Arc::new(AtomicBool::new(true));
    for (from, to, is_answer) in [(client, &server, false), (&server, client, true)] {
        to.set_nodelay(true)?;
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        let (answered, trips) = (Arc::clone(&answered), Arc::clone(trips));
        std::thread::spawn(move || {
            let mut bytes = [0; 64 * 1024];
            while let Ok(n @ 1..) = from.read(&mut bytes) {
                if answered.swap(is_answer, Ordering::SeqCst) && !is_answer {
                    trips.fetch_add(1, Ordering::SeqCst);
                }
                if to.write_all(&bytes[..n]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}
