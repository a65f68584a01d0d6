//! Decides which addresses may be connected to, against requests that are forged through the server (SSRF).
//!
//! Public addresses may be, over TLS. Everything else must be allowed by the owner, by name or by network: loopback,
//! private and link-local networks, where the metadata of clouds are, and plain HTTP.

use super::EgressError;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;
use url::{Host, Url};

/// Networks of IPv4 that are not public (IANA IPv4 Special-Purpose Address Registry), multicast, and reserved addresses.
const PRIVATE_V4: [&str; 16] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
];
/// Networks within 2000::/3 that are not public, or lead to addresses of IPv4 (IANA IPv6 Special-Purpose Address Registry).
const PRIVATE_V6: [&str; 4] = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];

static PRIVATE: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    PRIVATE_V4.iter().chain(&PRIVATE_V6).filter_map(|network| network.parse().ok()).collect()
});

/// The receivers that the owner allows besides public ones.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    hosts: Vec<String>,
    networks: Vec<IpNet>,
}

impl Guard {
    /// Reads a list of host names, addresses and networks.
    ///
    /// # Errors
    /// If an entry is none of them. The message names it.
    pub fn new(allowed: &[String]) -> Result<Self, String> {
        let mut guard = Self::default();
        for entry in allowed {
            if let Ok(network) = entry.parse::<IpNet>() {
                guard.networks.push(network);
            } else if let Ok(address) = entry.parse::<IpAddr>() {
                guard.networks.push(address.into());
            } else if let Ok(Host::Domain(name)) = Host::parse(entry)
                && !name.is_empty()
            {
                guard.hosts.push(name);
            } else {
                return Err(format!(
                    "`{}`: expected a host, an address or a network, such as alerts.internal, 10.0.0.7 or 10.0.0.0/8",
                    entry.escape_debug()
                ));
            }
        }
        Ok(guard)
    }

    /// Whether the owner allows a receiver that is not public.
    pub(super) fn allows(&self, host: &str) -> bool {
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => self.networks.iter().any(|network| network.contains(&plain(address))),
            Err(_) => self.hosts.iter().any(|allowed| allowed == host),
        }
    }

    /// Checks the URL of a request, as far as it tells without a look at DNS.
    pub(super) fn check(&self, url: &Url) -> Result<(), EgressError> {
        let host = url.host_str().unwrap_or_default();
        let is_literal = !matches!(url.host(), Some(Host::Domain(_)));
        if url.scheme() != "https" && !self.allows(host) {
            return Err(EgressError::Refused(format!(
                "{host} is not reached by https; `allow` in the file of channels permits plain http to it"
            )));
        }
        // Literal addresses are not resolved.
        match host.trim_matches(['[', ']']).parse() {
            Ok(address) => self.check_address(host, address),
            Err(_) if is_literal => Err(EgressError::Refused("the URL has no host".to_owned())),
            Err(_) => Ok(()),
        }
    }

    fn check_address(&self, host: &str, address: IpAddr) -> Result<(), EgressError> {
        let address = plain(address);
        let is_allowed = is_public(address)
            || self.hosts.iter().any(|allowed| allowed == host)
            || self.networks.iter().any(|network| network.contains(&address));
        if is_allowed {
            return Ok(());
        }
        let of =
            if host == address.to_string() { String::new() } else { format!(", the address of {host},") };
        Err(EgressError::Refused(format!(
            "{address}{of} is not public; `allow` in the file of channels permits it"
        )))
    }

    /// Resolves a name, and returns those of its addresses that may be connected to.
    ///
    /// # Errors
    /// If the name has no address, or none that may be connected to.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, EgressError> {
        let found = tokio::net::lookup_host((host, port)).await;
        let found: Vec<SocketAddr> =
            found.map_err(|error| EgressError::Failed(format!("{host} has no address: {error}")))?.collect();
        let mut refused = EgressError::Failed(format!("{host} has no address"));
        let mut checked = Vec::with_capacity(found.len());
        for address in found {
            match self.check_address(host, address.ip()) {
                Ok(()) => checked.push(address),
                Err(error) => refused = error,
            }
        }
        if checked.is_empty() { Err(refused) } else { Ok(checked) }
    }
}

/// Returns the address that a connection really goes to: IPv4 within IPv6 is IPv4.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let [a, b, c, d, e, f, high, low] = six.segments();
    let is_translated = [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0];
    if six.to_ipv4_mapped().is_some() || is_translated {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        return IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    }
    address
}

fn is_public(address: IpAddr) -> bool {
    // All other IPv6 is private, local, multicast or not assigned.
    let is_global = match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(six) => is_global_unicast(six),
    };
    is_global && PRIVATE.iter().all(|network| !network.contains(&address))
}

/// 2000::/3.
const fn is_global_unicast(address: Ipv6Addr) -> bool {
    let [first, ..] = address.segments();
    first >> 13 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_of_the_list_is_read() {
        assert_eq!(PRIVATE.len(), PRIVATE_V4.len() + PRIVATE_V6.len());
    }

    #[test]
    fn addresses_that_are_not_public_are_refused_in_every_spelling() {
        let guard = Guard::default();
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "2130706433",
            "0177.0.0.1",
            "0",
            "localhost.",
            "169.254.169.254",
            "10.0.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "[::1]",
            "[::]",
            "[::ffff:169.254.169.254]",
            "[::ffff:7f00:1]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b:1::1]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[2002:7f00:1::]",
            "[2001::1]",
            "[ff02::1]",
        ] {
            let url = Url::parse(&format!("https://{host}/")).unwrap();
            let refused = match url.host() {
                Some(Host::Domain(_)) => continue,
                _ => guard.check(&url),
            };
            assert!(matches!(refused, Err(EgressError::Refused(_))), "{host}: {refused:?}");
        }
        for host in ["1.1.1.1", "172.32.0.1", "[2606:4700::1111]", "[64:ff9b::101:101]", "hooks.example"] {
            let url = Url::parse(&format!("https://{host}/")).unwrap();
            assert_eq!(guard.check(&url), Ok(()), "{host}");
            let plain = Url::parse(&format!("http://{host}/")).unwrap();
            assert!(matches!(guard.check(&plain), Err(EgressError::Refused(_))), "{host}");
        }
    }

    #[tokio::test]
    async fn names_are_refused_by_their_addresses_unless_allowed() {
        let refused = Guard::default().resolve("localhost", 80).await.unwrap_err();
        assert!(matches!(&refused, EgressError::Refused(why) if why.contains("localhost")), "{refused}");
        for allowed in ["localhost", "127.0.0.0/8"] {
            let guard = Guard::new(&[allowed.to_owned(), "::1".to_owned()]).unwrap();
            assert!(!guard.resolve("localhost", 80).await.unwrap().is_empty());
        }
    }

    #[test]
    fn owner_allows_hosts_addresses_and_networks() {
        let allowed = ["alerts.internal", "10.1.0.0/16", "127.0.0.1", "fd00::/8"].map(str::to_owned);
        let guard = Guard::new(&allowed).unwrap();
        for url in [
            "http://alerts.internal:9093/",
            "http://10.1.2.3/",
            "https://127.0.0.1:8443/",
            "http://[fd00::7]/",
            "http://[::ffff:10.1.2.3]/",
        ] {
            assert_eq!(guard.check(&Url::parse(url).unwrap()), Ok(()), "{url}");
        }
        for url in ["http://10.2.0.1/", "http://other.internal/", "https://127.0.0.2/"] {
            assert!(guard.check(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
        let wrong = Guard::new(&["https://a.example/".to_owned()]).unwrap_err();
        assert!(wrong.contains("expected a host"), "{wrong}");
    }
}
