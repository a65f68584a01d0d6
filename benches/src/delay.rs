//! A TCP proxy that delays bytes, as a network between server and database does.

use anyhow::Result;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Starts a proxy before a port of this machine, with this round-trip time. Returns the proxy's port. The proxy ends
/// with the process.
pub(crate) fn start(port: u16, round_trip: Duration) -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let own = listener.local_addr()?.port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A failed connection shows at the client.
            let _ = forward(client, SocketAddr::from(([127, 0, 0, 1], port)), round_trip / 2);
        }
    });
    Ok(own)
}

fn forward(client: TcpStream, to: SocketAddr, delay: Duration) -> Result<()> {
    let server = TcpStream::connect(to)?;
    for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        to.set_nodelay(true)?;
        copy(from, to, delay);
    }
    Ok(())
}

/// Copies bytes, each after the delay. Later bytes do not wait for earlier ones, so the delay limits no throughput.
fn copy(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (send, receive) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut bytes = vec![0; 256 * 1024];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            if send.send((Instant::now() + delay, bytes[..n].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receive {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
