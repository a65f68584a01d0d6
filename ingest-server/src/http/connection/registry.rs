//! The registry of connections: limits them in total and per client network.
//!
//! At a limit, the server evicts the connection that has waited longest for its client, to make room for a new one. It
//! never evicts a connection with a request in progress. So a client that sends at once is served, even if others hold
//! many idle connections.

use super::fault::{Fault, Faults};
use crate::http::client::network;
use crate::http::proxies::Proxies;
use futures_util::task::AtomicWaker;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Limits on connections.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Maximum number of connections.
    pub all_max: usize,
    /// Maximum number of connections of one client network; 0 for no limit.
    pub client_max: usize,
    /// Timeout of idle connections.
    pub keep_alive: Duration,
}

/// All connections of a server.
pub struct Connections {
    limits: ConnectionLimits,
    proxies: Proxies,
    places: Mutex<Places>,
    faults: Faults,
    /// Set while draining: each response closes its connection, so that clients go to other servers.
    is_draining: AtomicBool,
    /// Set while stopping: idle connections are closed.
    is_ending: AtomicBool,
    began: Instant,
}

#[derive(Default)]
struct Places {
    next_id: u64,
    by_id: HashMap<u64, Arc<Shared>>,
    by_network: HashMap<IpNet, OfNetwork>,
    waiting: Waiting,
}

/// The connections of a client network.
#[derive(Default)]
struct OfNetwork {
    count: usize,
    waiting: Waiting,
}

/// Connections that waited when they were last listed, with the time since which they waited, the longest last. Whatever
/// begins to wait after that waits less long, so the list is searched again only once it is used up.
#[derive(Default)]
struct Waiting(Vec<(u64, u64)>);

impl Waiting {
    /// Takes the connection that has waited longest, of those that still wait.
    fn pop(&mut self, by_id: &HashMap<u64, Arc<Shared>>) -> Option<u64> {
        while let Some((since, id)) = self.0.pop() {
            let still_waits = |shared: &Arc<Shared>| shared.waiting_since.load(Ordering::Relaxed) == since;
            if by_id.get(&id).is_some_and(still_waits) {
                return Some(id);
            }
        }
        None
    }

    fn list(&mut self, all: impl Iterator<Item = (u64, u64)>) {
        self.0.extend(all);
        self.0.sort_unstable_by(|a, b| b.cmp(a));
    }
}

/// State of a connection that other threads can access.
#[derive(Default)]
struct Shared {
    /// `None` for trusted proxies, which have many clients.
    network: Option<IpNet>,
    /// Time since which the connection waits for its client, in milliseconds after the server began, plus 1; 0 while
    /// it does not wait.
    waiting_since: AtomicU64,
    is_evicted: AtomicBool,
    waker: AtomicWaker,
}

impl Places {
    fn remove(&mut self, id: u64) -> Option<Arc<Shared>> {
        let shared = self.by_id.remove(&id)?;
        if let Some(network) = shared.network
            && let Some(of_network) = self.by_network.get_mut(&network)
        {
            of_network.count = of_network.count.saturating_sub(1);
            if of_network.count == 0 {
                self.by_network.remove(&network);
            }
        }
        Some(shared)
    }

    /// Returns the connection, of one network or of all, that has waited longest; connections of trusted proxies last.
    fn longest_waiting(&mut self, network: Option<IpNet>) -> Option<u64> {
        let Self { by_id, by_network, waiting, .. } = self;
        let list = match network {
            Some(network) => &mut by_network.get_mut(&network)?.waiting,
            None => waiting,
        };
        if let Some(id) = list.pop(by_id) {
            return Some(id);
        }
        let all_waiting = || {
            by_id.iter().filter_map(|(&id, shared)| {
                let since = shared.waiting_since.load(Ordering::Relaxed);
                (since != 0).then_some((shared.network, (since, id)))
            })
        };
        let is_listed = |of: Option<IpNet>| of.is_some() && (network.is_none() || of == network);
        list.list(all_waiting().filter(|&(of, _)| is_listed(of)).map(|(_, waiting)| waiting));
        let of_proxy = || {
            all_waiting()
                .filter(|(of, _)| network.is_none() && of.is_none())
                .map(|(_, waiting)| waiting)
                .min()
        };
        list.pop(by_id).or_else(|| of_proxy().map(|(_, id)| id))
    }
}

impl Connections {
    /// Creates an empty registry.
    #[must_use]
    pub fn new(limits: ConnectionLimits, proxies: Proxies) -> Self {
        Self {
            limits,
            proxies,
            places: Mutex::default(),
            faults: Faults::default(),
            is_draining: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            began: Instant::now(),
        }
    }

    /// Returns the limits.
    #[must_use]
    pub const fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    /// Returns the number of open connections.
    pub fn open(&self) -> usize {
        self.places().by_id.len()
    }

    /// Returns the numbers of connections closed by the server, by reason.
    pub fn closed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.faults.totals()
    }

    /// Makes each response close its connection from now on.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Returns whether the server is draining.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Closes idle connections now, and later ones at once.
    pub(in crate::http) fn end(&self) {
        self.drain();
        self.is_ending.store(true, Ordering::Relaxed);
        for shared in self.places().by_id.values() {
            shared.waker.wake();
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, fault: Fault) {
        self.faults.count(fault);
    }

    /// Returns a place for a connection; `None` at a limit if all connections handle requests.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        let network = (!self.proxies.name(peer)).then(|| network(peer));
        let mut places = self.places();
        let of_network = network
            .and_then(|network| places.by_network.get(&network))
            .map_or(0, |of_network| of_network.count);
        let is_full = match self.limits.client_max {
            max if max > 0 && of_network >= max => Some(network),
            _ => (places.by_id.len() >= self.limits.all_max).then_some(None),
        };
        if let Some(from) = is_full {
            let Some(evicted) = places.longest_waiting(from).and_then(|id| places.remove(id)) else {
                drop(places);
                self.count(Fault::Refused);
                return None;
            };
            evicted.is_evicted.store(true, Ordering::Relaxed);
            evicted.waker.wake();
        }
        let id = places.next_id;
        places.next_id += 1;
        let shared = Arc::new(Shared { network, ..Shared::default() });
        places.by_id.insert(id, Arc::clone(&shared));
        if let Some(network) = network {
            places.by_network.entry(network).or_default().count += 1;
        }
        drop(places);
        if is_full.is_some() {
            self.count(Fault::Evicted);
        }
        Some(Place { connections: Arc::clone(self), shared, id })
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place. Dropping it frees the place.
pub(super) struct Place {
    pub(super) connections: Arc<Connections>,
    shared: Arc<Shared>,
    id: u64,
}

impl Place {
    /// Records since when the connection waits for its client; `None` while it does not wait.
    pub(super) fn wait(&self, since: Option<Instant>) {
        let elapsed = |since: Instant| since.saturating_duration_since(self.connections.began).as_millis();
        let since = since.map_or(0, |since| u64::try_from(elapsed(since)).unwrap_or(u64::MAX - 1) + 1);
        self.shared.waiting_since.store(since, Ordering::Relaxed);
    }

    /// Returns whether another connection has taken this place.
    pub(super) fn is_evicted(&self) -> bool {
        self.shared.is_evicted.load(Ordering::Relaxed)
    }

    /// Sets the task to wake on eviction.
    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.shared.waker.register(waker);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.places().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(all_max: usize, client_max: usize) -> Arc<Connections> {
        let limits = ConnectionLimits { all_max, client_max, keep_alive: Duration::from_secs(75) };
        Arc::new(Connections::new(limits, Proxies::new(vec!["10.0.0.0/8".parse().unwrap()])))
    }

    fn admit(connections: &Arc<Connections>, peer: &str) -> Option<Place> {
        connections.admit(peer.parse().unwrap())
    }

    fn waits(place: &Place, ms: u64) {
        place.wait(Some(place.connections.began + Duration::from_millis(ms)));
    }

    #[test]
    fn full_server_closes_the_connection_that_waited_longest() {
        let all = connections(3, 0);
        let places = ["198.51.100.1", "203.0.113.1", "192.0.2.1"].map(|peer| admit(&all, peer).unwrap());
        waits(&places[0], 20);
        waits(&places[1], 10);
        let new = admit(&all, "198.51.100.9").unwrap();
        assert_eq!(places.each_ref().map(Place::is_evicted), [false, true, false]);
        assert_eq!(all.open(), 3);
        drop(places);
        assert_eq!(all.open(), 1, "an evicted place is freed once");
        drop(new);
        assert_eq!(all.open(), 0);
    }

    #[test]
    fn connection_that_answered_since_others_were_listed_is_closed_after_them() {
        let all = connections(3, 0);
        let places = ["198.51.100.1", "203.0.113.1", "192.0.2.1"].map(|peer| admit(&all, peer).unwrap());
        (0..3).for_each(|place| waits(&places[place], [10, 20, 30][place]));
        let evicted = || places.each_ref().map(Place::is_evicted);
        let first = admit(&all, "198.51.100.9").unwrap();
        waits(&places[1], 50);
        let second = admit(&all, "198.51.100.9").unwrap();
        assert_eq!(evicted(), [true, false, true]);
        waits(&first, 40);
        waits(&second, 60);
        let _third = admit(&all, "198.51.100.9").unwrap();
        assert!(first.is_evicted() && !second.is_evicted());
        assert_eq!(evicted(), [true, false, true]);
    }

    #[test]
    fn full_server_of_requests_in_progress_refuses() {
        let all = connections(2, 0);
        let _places = ["198.51.100.1", "203.0.113.1"].map(|peer| admit(&all, peer).unwrap());
        assert!(admit(&all, "192.0.2.1").is_none());
        let closed: Vec<_> = all.closed().filter(|&(_, count)| count > 0).collect();
        assert_eq!(closed, [("refused", 1)]);
    }

    #[test]
    fn full_network_makes_room_by_its_own_connections_only() {
        let all = connections(100, 2);
        let other = admit(&all, "203.0.113.1").unwrap();
        waits(&other, 1);
        let places = ["198.51.100.1", "198.51.100.2"].map(|peer| admit(&all, peer).unwrap());
        assert!(admit(&all, "198.51.100.3").is_none());
        waits(&places[1], 30);
        assert!(admit(&all, "198.51.100.3").is_some());
        assert!(places[1].is_evicted() && !other.is_evicted());
    }

    #[test]
    fn trusted_proxy_is_no_client_network_and_makes_room_last() {
        let all = connections(4, 1);
        let proxied = ["10.0.0.1", "10.0.0.1", "10.0.0.1"].map(|peer| admit(&all, peer).unwrap());
        proxied.iter().for_each(|place| waits(place, 1));
        let direct = admit(&all, "203.0.113.1").unwrap();
        waits(&direct, 50);
        let _new = admit(&all, "198.51.100.1").unwrap();
        assert!(direct.is_evicted());
        let _newer = admit(&all, "192.0.2.1").unwrap();
        assert_eq!(proxied.iter().filter(|place| place.is_evicted()).count(), 1);
    }
}
