//! Client identity behind trusted proxies: address, network and country, and the rate limit of client networks.

use crate::http::proxies::{Proxies, is_near};
use crate::http::throttle::Throttle;
use crate::intake::country;
use actix_web::HttpRequest;
pub use actix_web::http::header::HeaderName;
use governor::clock::DefaultClock;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};

/// Burst size of the rate limit, in seconds of the rate.
const BURST_SECONDS: u32 = 10;

/// Rate limit of a proxy's network as a multiple of `--client-rate`, if only a wide network names the proxy.
const WIDE_RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// Headers in which a proxy names its client.
const FORWARDED: [&str; 2] = ["x-forwarded-for", "forwarded"];

/// Returns the address of a client: the peer's address, or, behind trusted proxies, the right-most address in
/// `X-Forwarded-For` that is not a trusted proxy. Addresses further left are claims of the client.
fn address(request: &HttpRequest, peer: IpAddr, proxies: &Proxies) -> IpAddr {
    let forwarded = request
        .headers()
        .get_all("x-forwarded-for")
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(','));
    resolve(peer, forwarded, proxies)
}

fn resolve<'a>(peer: IpAddr, forwarded: impl Iterator<Item = &'a str>, proxies: &Proxies) -> IpAddr {
    if !proxies.believe(peer) {
        return peer;
    }
    let hops: Vec<&str> = forwarded.collect();
    let mut client = peer;
    for hop in hops.into_iter().rev() {
        let Some(address) = hop_address(hop.trim()) else { break };
        client = address.to_canonical();
        if !proxies.believe(client) {
            break;
        }
    }
    client
}

/// Parses the address of a hop. Some proxies add the port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || Some(hop.parse::<SocketAddr>().ok()?.ip());
    hop.parse().ok().or_else(with_port).or_else(bracketed)
}

/// The header with the client's country. Only trusted proxies may set it.
#[derive(Clone, Debug, Default)]
pub struct CountryHeader {
    name: Option<HeaderName>,
    proxies: Proxies,
}

impl CountryHeader {
    /// Reads the country from this header of trusted proxies; without a name, all countries are unknown.
    #[must_use]
    pub const fn new(name: Option<HeaderName>, proxies: Proxies) -> Self {
        Self { name, proxies }
    }

    /// Returns the country that the proxy names.
    #[must_use]
    pub fn country(&self, request: &HttpRequest) -> Option<&'static str> {
        let name = self.name.as_ref()?;
        let peer = request.peer_addr()?.ip().to_canonical();
        if !self.proxies.believe(peer) {
            return None;
        }
        // Of several headers, the nearest proxy has set the last one.
        let header = request.headers().get_all(name).last()?;
        country::of_code(header.to_str().ok()?)
    }
}

/// Returns the network that shares one rate limit: /24 of IPv4, /56 of IPv6, the usual size of one customer's network.
pub(super) fn network(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(address) => Ipv4Net::new_assert(address, 24).trunc().into(),
        IpAddr::V6(address) => Ipv6Net::new_assert(address, 56).trunc().into(),
    }
}

type Limiter = RateLimiter<IpNet, DashMapStateStore<IpNet>, DefaultClock>;

fn limiter(per_second: NonZeroU32) -> Limiter {
    let burst = per_second.saturating_mul(NonZeroU32::new(BURST_SECONDS).unwrap_or(NonZeroU32::MIN));
    RateLimiter::dashmap(Quota::per_second(per_second).allow_burst(burst))
}

/// Returns the prefix of a request's client network, as a number; 0 if the client has no address.
fn prefix(request: &HttpRequest, proxies: &Proxies) -> u64 {
    let Some(peer) = request.peer_addr() else { return 0 };
    match network(address(request, peer.ip().to_canonical(), proxies)).network() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        // Drops the lower half, which identifies hosts within one network.
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

/// Rate limiter of client networks. Keeps addresses only in memory, and only while they are active.
pub struct ClientRate {
    limiter: Option<Limiter>,
    /// Limiter of proxies that only a wide network names, because these proxies may forge client addresses.
    wide: Option<Limiter>,
    proxies: Proxies,
    refused: Throttle,
    /// Set after the warning about an untrusted proxy.
    is_proxy_told: AtomicBool,
}

impl ClientRate {
    /// Limits each network to `per_second` beacons per second; 0 for no limit.
    #[must_use]
    pub fn new(per_second: u32, proxies: Proxies) -> Self {
        let per_second = NonZeroU32::new(per_second);
        let is_any_wide = proxies.wide().next().is_some();
        Self {
            limiter: per_second.map(limiter),
            wide: per_second.filter(|_| is_any_wide).map(|rate| limiter(rate.saturating_mul(WIDE_RATE))),
            proxies,
            refused: Throttle::default(),
            is_proxy_told: AtomicBool::new(false),
        }
    }

    /// Returns the prefix of a request's client network.
    pub fn prefix(&self, request: &HttpRequest) -> u64 {
        prefix(request, &self.proxies)
    }

    /// Checks the rate limit of this request's client and counts the request. Loopback clients are exempt, except
    /// behind an untrusted local proxy: its clients count as one network.
    ///
    /// # Errors
    /// The client's network, if it exceeds its rate limit.
    pub fn check(&self, request: &HttpRequest) -> Result<(), IpNet> {
        let Some(peer) = request.peer_addr() else { return Ok(()) };
        let peer = peer.ip().to_canonical();
        let is_forwarded = FORWARDED.iter().any(|name| request.headers().contains_key(*name));
        let is_believed = self.proxies.believe(peer);
        if is_forwarded && !is_believed && is_near(peer) {
            self.tell_of_proxy(peer);
        }
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let take = |limiter: &Limiter, address| {
            let network = network(address);
            limiter.check_key(&network).map_err(|_| network)
        };
        let is_named = self.proxies.name(peer);
        if let Some(wide) = &self.wide
            && is_forwarded
            && is_believed
            && !is_named
        {
            take(wide, peer)?;
        }
        let client = address(request, peer, &self.proxies);
        if client.is_loopback() && (is_named || !is_forwarded) {
            return Ok(());
        }
        take(limiter, client)
    }

    /// Counts a refused beacon. Returns the count since the last log line, if the next line is due.
    pub fn count_refused(&self, now_ms: i64) -> Option<u64> {
        self.refused.count(now_ms)
    }

    /// Drops the counters of idle networks.
    pub fn forget_quiet(&self) {
        for limiter in [&self.limiter, &self.wide].into_iter().flatten() {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }

    fn tell_of_proxy(&self, peer: IpAddr) {
        if !self.is_proxy_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{peer} forwards requests of others and is not trusted, so its clients share one --client-rate; if it \
                 is a proxy of yours, name it with --trusted-proxy {peer}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = Proxies::new(vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
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
        let trusted = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
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
        assert_eq!(country(&CountryHeader::new(Some(header), Proxies::default()), "10.0.0.1", &["DE"]), None);
    }

    #[test]
    fn a_network_shares_its_rate_and_this_machine_has_none() {
        let rate = ClientRate::new(1, Proxies::default());
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
            ClientRate::new(0, Proxies::default())
                .check(&TestRequest::default().peer_addr("203.0.113.1:1".parse().unwrap()).to_http_request())
                .is_ok()
        }));
    }

    fn checks(rate: &ClientRate, peer: &str, forwarded: &[&str]) -> usize {
        let taken = forwarded.iter().filter(|forwarded| {
            let request = TestRequest::default()
                .peer_addr(format!("{peer}:1").parse().unwrap())
                .append_header(("X-Forwarded-For", **forwarded));
            rate.check(&request.to_http_request()).is_ok()
        });
        taken.count()
    }

    #[test]
    fn clients_of_an_untrusted_proxy_on_this_machine_share_one_rate() {
        let forwarded: Vec<String> = (0..100).map(|n| format!("203.0.{n}.1")).collect();
        let forwarded: Vec<&str> = forwarded.iter().map(String::as_str).collect();
        let rate = ClientRate::new(1, Proxies::default());
        assert!((10..=12).contains(&checks(&rate, "127.0.0.1", &forwarded)));
        let trusted = ClientRate::new(1, Proxies::new(vec!["127.0.0.1/32".parse().unwrap()]));
        assert_eq!(checks(&trusted, "127.0.0.1", &forwarded), 100);
    }

    #[test]
    fn made_up_clients_are_limited_if_everybody_is_a_trusted_proxy() {
        let forwarded: Vec<String> = (0..200).map(|n| format!("203.0.{n}.1")).collect();
        let mut forwarded: Vec<&str> = forwarded.iter().map(String::as_str).collect();
        forwarded.extend(["127.0.0.1"; 200]);
        for wide in ["0.0.0.0/0", "::/0", "192.0.0.0/2"] {
            let rate = ClientRate::new(1, Proxies::new(vec![wide.parse().unwrap()]));
            let peer = if wide == "::/0" { "[2001:db8::1]" } else { "198.51.100.1" };
            let taken = checks(&rate, peer, &forwarded);
            assert!((90..=125).contains(&taken), "{wide}: {taken}");
        }
    }
}
