//! Who is asking: the client's network, seen through trusted proxies, and how often it may.

use crate::intake::country;
use actix_web::HttpRequest;
pub use actix_web::http::header::HeaderName;
use governor::clock::DefaultClock;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Seconds of a client's rate that it may use at once.
const BURST_SECONDS: u32 = 10;

/// Time between two log lines about networks that send too much, in milliseconds.
const LOG_MS_MIN: u64 = 60_000;

/// The address of a client: that of the connection, or, where it comes from trusted proxies, the
/// right-most address in `X-Forwarded-For` that is not one of them. What stands further left is the
/// client's own word and is not believed.
#[must_use]
pub fn address(request: &HttpRequest, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    let forwarded = request
        .headers()
        .get_all("x-forwarded-for")
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(','));
    Some(resolve(peer, forwarded, trusted))
}

fn resolve<'a>(peer: IpAddr, forwarded: impl Iterator<Item = &'a str>, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let hops: Vec<&str> = forwarded.collect();
    let mut client = peer;
    for hop in hops.into_iter().rev() {
        let Some(address) = hop_address(hop.trim()) else { break };
        client = address.to_canonical();
        if !is_trusted(&client) {
            break;
        }
    }
    client
}

/// The address of a hop; some proxies write its port too.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || Some(hop.parse::<SocketAddr>().ok()?.ip());
    hop.parse().ok().or_else(with_port).or_else(bracketed)
}

/// Which header names the client's country, and whose word it is: that of trusted proxies alone.
#[derive(Clone, Debug, Default)]
pub struct CountryHeader {
    name: Option<HeaderName>,
    trusted: Vec<IpNet>,
}

impl CountryHeader {
    /// The header of this name where a trusted proxy sends it; without a name, no country is known.
    #[must_use]
    pub const fn new(name: Option<HeaderName>, trusted: Vec<IpNet>) -> Self {
        Self { name, trusted }
    }

    /// The country that the proxy names.
    #[must_use]
    pub fn country(&self, request: &HttpRequest) -> Option<&'static str> {
        let name = self.name.as_ref()?;
        let peer = request.peer_addr()?.ip().to_canonical();
        if !self.trusted.iter().any(|net| net.contains(&peer)) {
            return None;
        }
        // Where there are several, the last is the nearest proxy's own.
        let header = request.headers().get_all(name).last()?;
        country::of_code(header.to_str().ok()?)
    }
}

/// The network that shares one rate: /24 of IPv4, /56 of IPv6, which one customer usually has.
fn network(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(address) => Ipv4Net::new_assert(address, 24).trunc().into(),
        IpAddr::V6(address) => Ipv6Net::new_assert(address, 56).trunc().into(),
    }
}

/// The prefix of a request's client network, as a number; 0 where the client has no address.
#[must_use]
pub fn prefix(request: &HttpRequest, trusted: &[IpNet]) -> u64 {
    match address(request, trusted).map(|address| network(address).network()) {
        None => 0,
        Some(IpAddr::V4(address)) => u64::from(address.to_bits()),
        // The other half tells hosts of one network apart.
        Some(IpAddr::V6(address)) => (address.to_bits() >> 64) as u64,
    }
}

/// How many beacons a client network may send. Addresses are kept in memory while they are active, and
/// nowhere else.
pub struct ClientRate {
    limiter: Option<RateLimiter<IpNet, DashMapStateStore<IpNet>, DefaultClock>>,
    trusted: Vec<IpNet>,
    /// When the log was last told, UTC milliseconds.
    logged_ms: AtomicI64,
    /// Beacons that were refused since.
    refused: AtomicU64,
}

impl ClientRate {
    /// At most `per_second` beacons a second and network; 0 for no limit.
    #[must_use]
    pub fn new(per_second: u32, trusted: Vec<IpNet>) -> Self {
        let limiter = NonZeroU32::new(per_second).map(|rate| {
            let burst = rate.saturating_mul(NonZeroU32::new(BURST_SECONDS).unwrap_or(NonZeroU32::MIN));
            RateLimiter::dashmap(Quota::per_second(rate).allow_burst(burst))
        });
        Self { limiter, trusted, logged_ms: AtomicI64::new(i64::MIN), refused: AtomicU64::new(0) }
    }

    /// The prefix of a request's client network.
    pub fn prefix(&self, request: &HttpRequest) -> u64 {
        prefix(request, &self.trusted)
    }

    /// Whether another beacon of this request's client is taken. This machine itself is not limited.
    ///
    /// # Errors
    /// With the client's network, if it sends too much.
    pub fn check(&self, request: &HttpRequest) -> Result<(), IpNet> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        match address(request, &self.trusted) {
            Some(address) if !address.is_loopback() => {
                let network = network(address);
                limiter.check_key(&network).map_err(|_| network)
            }
            _ => Ok(()),
        }
    }

    /// Counts a refused beacon. Returns how many there are since the last log line, if the next one is due.
    pub fn count_refused(&self, now_ms: i64) -> Option<u64> {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let logged_ms = self.logged_ms.load(Ordering::Relaxed);
        let is_due = now_ms.abs_diff(logged_ms) >= LOG_MS_MIN;
        // Of several threads one logs.
        let order = Ordering::Relaxed;
        let is_mine = is_due && self.logged_ms.compare_exchange(logged_ms, now_ms, order, order).is_ok();
        is_mine.then(|| {
            self.refused.fetch_sub(refused, Ordering::Relaxed);
            refused
        })
    }

    /// Forgets networks that have been quiet.
    pub fn forget_quiet(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let client = |peer: &str, forwarded: &str| {
            resolve(peer.parse().unwrap(), forwarded.split(',').filter(|hop| !hop.is_empty()), &trusted)
                .to_string()
        };
        assert_eq!(client("203.0.113.9", "198.51.100.1"), "203.0.113.9");
        assert_eq!(client("10.0.0.1", ""), "10.0.0.1");
        assert_eq!(client("10.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(client("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2"), "198.51.100.1");
        assert_eq!(client("10.0.0.1", "1.1.1.1, nonsense, 10.0.0.2"), "10.0.0.2");
        assert_eq!(client("::1", "::ffff:198.51.100.1"), "198.51.100.1");
        assert_eq!(client("::1", "198.51.100.1:4711"), "198.51.100.1");
        assert_eq!(client("::1", "[2001:db8::1]:4711"), "2001:db8::1");
        assert_eq!(client("::1", "[2001:db8::1]"), "2001:db8::1");
    }

    #[test]
    fn a_country_is_the_word_of_a_trusted_proxy() {
        let header = HeaderName::from_static("cf-ipcountry");
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let set = CountryHeader::new(Some(header.clone()), trusted.clone());
        let country = |by: &CountryHeader, peer: &str, said: &[&str]| {
            let mut request = TestRequest::default().peer_addr(format!("{peer}:1").parse().unwrap());
            for said in said {
                request = request.append_header(("CF-IPCountry", *said));
            }
            by.country(&request.to_http_request())
        };
        assert_eq!(country(&set, "10.0.0.1", &["de"]), Some("DE"));
        assert_eq!(country(&set, "10.0.0.1", &["FR", "DE"]), Some("DE"), "the last is the proxy's own");
        assert_eq!(country(&set, "203.0.113.9", &["DE"]), None, "anybody can send a header");
        for said in [&["XX"][..], &["T1"], &["Germany"], &[""], &[]] {
            assert_eq!(country(&set, "10.0.0.1", said), None, "{said:?}");
        }
        assert_eq!(country(&CountryHeader::new(None, trusted), "10.0.0.1", &["DE"]), None);
        assert_eq!(country(&CountryHeader::new(Some(header), Vec::new()), "10.0.0.1", &["DE"]), None);
    }

    #[test]
    fn a_network_shares_its_rate_and_this_machine_has_none() {
        let rate = ClientRate::new(1, Vec::new());
        let from = |address: &str| {
            let request = TestRequest::default().peer_addr(format!("{address}:1").parse().unwrap());
            rate.check(&request.to_http_request())
        };
        let checked: Vec<_> = (0..40).map(|n| from(&format!("203.0.113.{n}"))).collect();
        let allowed = checked.iter().filter(|checked| checked.is_ok()).count();
        assert!((10..=12).contains(&allowed), "{allowed}");
        assert_eq!(checked.last(), Some(&Err("203.0.113.0/24".parse().unwrap())));
        assert!(from("203.0.114.1").is_ok(), "another network has its own");
        assert!((0..40).all(|_| from("127.0.0.1").is_ok()));
        assert!((0..40).all(|_| {
            ClientRate::new(0, Vec::new())
                .check(&TestRequest::default().peer_addr("203.0.113.1:1".parse().unwrap()).to_http_request())
                .is_ok()
        }));
    }

    #[test]
    fn the_log_is_told_once_a_minute_how_many_were_refused() {
        let rate = ClientRate::new(1, Vec::new());
        let minute = 60_000;
        let told: Vec<_> = [0, 1, minute - 1, minute, minute + 1, 3 * minute, 0]
            .map(|now_ms| rate.count_refused(now_ms))
            .into();
        // A clock that goes back is no reason to be silent.
        assert_eq!(told, [Some(1), None, None, Some(3), None, Some(2), Some(1)]);
    }
}
