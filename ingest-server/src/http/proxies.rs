//! Who is a proxy: `--trusted-proxy`, and what looks like one.

use ipnet::IpNet;
use std::net::IpAddr;

/// Shortest prefixes that name the networks of proxies; shorter ones hold the clients too. The widest ranges that
/// content delivery networks publish are /12 and /29.
const PREFIX_MIN: (u8, u8) = (8, 16);

/// The networks of `--trusted-proxy`.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// These networks.
    #[must_use]
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether an address is believed to be a proxy's.
    pub(super) fn believe(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether a network that can hold no clients names the address.
    pub(super) fn name(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| !is_wide(network) && network.contains(&address))
    }

    /// Networks that hold clients too.
    pub fn wide(&self) -> impl Iterator<Item = &IpNet> {
        self.0.iter().filter(|network| is_wide(network))
    }
}

const fn is_wide(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.prefix_len() < PREFIX_MIN.0,
        IpNet::V6(network) => network.prefix_len() < PREFIX_MIN.1,
    }
}

/// Whether an address is one of this machine or its network, where proxies are; of others anybody can send the header.
pub(super) fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}
