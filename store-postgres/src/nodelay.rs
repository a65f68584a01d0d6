//! Sets `TCP_NODELAY` on connections to the database.
//!
//! The driver (sqlx 0.9.0) does not set it. Without it, a statement that is written in two parts, such as a `copy`,
//! waits up to 40 ms for the database's delayed acknowledgment. The driver does not lend its sockets either, so they
//! are found among the descriptors of this process, by their peer's port. `pidfd_getfd` duplicates them safely; Linux
//! has it since 5.6. Where it is not allowed, as in a container with Docker's default seccomp profile, loads wait.

use std::io;

/// Sets the option on all TCP connections of this process to a port. Returns the number of connections.
#[cfg(target_os = "linux")]
pub(crate) fn set(port: u16) -> io::Result<usize> {
    let sockets = sockets(port)?;
    sockets.iter().try_for_each(|socket| rustix::net::sockopt::set_tcp_nodelay(socket, true))?;
    Ok(sockets.len())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn set(_port: u16) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Duplicates the TCP sockets of this process that are connected to a port.
#[cfg(target_os = "linux")]
pub(crate) fn sockets(port: u16) -> io::Result<Vec<std::os::fd::OwnedFd>> {
    use rustix::net::{getpeername, sockopt};
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    use std::net::SocketAddr;
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let is_socket = std::fs::read_link(entry.path())
            .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|_| is_socket) else { continue };
        let socket = match pidfd_getfd(&own, number, PidfdGetfdFlags::empty()) {
            Ok(socket) => socket,
            // Closed meanwhile.
            Err(rustix::io::Errno::BADF) => continue,
            Err(error) => return Err(error.into()),
        };
        // Only TCP sockets have the option.
        let is_tcp = sockopt::tcp_nodelay(&socket).is_ok();
        let peer = getpeername(&socket).ok().flatten().and_then(|peer| SocketAddr::try_from(peer).ok());
        if is_tcp && peer.is_some_and(|peer| peer.port() == port) {
            found.push(socket);
        }
    }
    Ok(found)
}
