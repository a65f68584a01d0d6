//! Defines the place of a name: its standing, its start, and the client network charged for it.

use crate::SiteId;
use crate::dimension::Dimension;
use serde::{Deserialize, Serialize};

/// A client network, as 12 bits of a hash of its prefix.
///
/// 4,096 IPv4 networks share each value, so it separates the networks of one site without identifying any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Network(u16);

impl Network {
    const BITS: u32 = 12;

    /// Returns the network of a prefix, for a site. Values of different sites are unrelated.
    ///
    /// All servers of a store must compute the same value, so the hash has no seed: the finalizer of splitmix64
    /// (Steele et al. 2014).
    #[must_use]
    pub const fn of(site: SiteId, prefix: u64) -> Self {
        let mut hash = prefix ^ (site.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
        Self((hash >> (u64::BITS - Self::BITS)) as u16)
    }

    /// Returns the number for storage.
    #[must_use]
    pub const fn number(self) -> i16 {
        self.0 as i16
    }

    /// The network of a stored number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        u16::try_from(number).ok().map(Self)
    }
}

/// The senders of a batch, which decide whether its names get places.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Senders {
    /// Unknown senders: names get places while some are free.
    #[default]
    Unknown,
    /// The client network of each beacon, in their order.
    Networks(Vec<Network>),
    /// Another store, which has decided already: names stay unchanged.
    Store,
    /// A rebuild of routes. All its names are of one network, and are on probation: it must not give away all places.
    Rebuild(Network),
}

impl Senders {
    /// Returns the network of the beacon with index `place`.
    pub(crate) fn network(&self, place: usize) -> Option<Network> {
        match self {
            Self::Networks(networks) => networks.get(place).copied(),
            Self::Rebuild(network) => Some(*network),
            Self::Unknown | Self::Store => None,
        }
    }
}

/// The standing of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Standing {
    /// Without a place, because another name took it. Its history stays.
    #[default]
    None = 0,
    /// On probation, seen once.
    Once = 1,
    /// On probation, seen again.
    Again = 2,
    /// Keeps its place while page views within raw retention have it.
    Earned = 3,
}

/// The place of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The standing.
    pub standing: Standing,
    /// The network charged for a name on probation.
    pub network: Option<Network>,
    /// The UTC day since 1970, by the server's clock, on which the name got or lost its place.
    pub since_day: i32,
}

impl Place {
    /// Returns a place without a charge.
    #[must_use]
    pub const fn earned(since_day: i32) -> Self {
        Self { standing: Standing::Earned, network: None, since_day }
    }

    /// Returns the stored form: standing, network, day.
    #[must_use]
    pub fn stored(self) -> (i16, Option<i16>, i32) {
        (self.standing as i16, self.network.map(Network::number), self.since_day)
    }

    /// Reads the form of [`Self::stored`].
    #[must_use]
    pub fn from_stored(standing: i16, network: Option<i16>, since_day: i32) -> Self {
        let standing = match standing {
            1 => Standing::Once,
            2 => Standing::Again,
            3 => Standing::Earned,
            _ => Standing::None,
        };
        Self { standing, network: network.and_then(Network::from_number), since_day }
    }
}

/// A stored name, for a copy to another store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The dimension of the label; `None` for a route.
    pub dimension: Option<Dimension>,
    /// Its text.
    pub text: String,
    /// The UTC day since 1970 of the newest page view that had it.
    pub last_day: i32,
    /// Its place.
    pub place: Place,
}

/// The numbers of page view updates counted under [`crate::dimension::OTHER`] because no place was free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    /// By route.
    pub routes: u64,
    /// By dimension.
    pub labels: [u64; Dimension::COUNT],
}

impl Overflow {
    /// Returns the kinds of names without free places, with their counts: `None` for routes.
    pub fn kinds(&self) -> impl Iterator<Item = (Option<Dimension>, u64)> {
        let labels = Dimension::ALL.map(|dimension| (Some(dimension), self.labels[dimension.index()]));
        [(None, self.routes)].into_iter().chain(labels).filter(|&(_, count)| count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_of_a_site_and_prefix_never_changes() {
        // The number is stored: another one would free a network of its charges.
        assert_eq!(Network::of(SiteId(1), 0xcb00_7100).number(), 2_214);
        assert_eq!(Network::of(SiteId(2), 0xcb00_7100).number(), 667);
        for prefix in 0..10_000 {
            let network = Network::of(SiteId(1), prefix);
            assert!((0..1 << Network::BITS).contains(&network.number()), "{network:?}");
            assert_eq!(Network::from_number(network.number()), Some(network));
        }
    }

    #[test]
    fn place_is_read_back_as_it_was_stored() {
        for standing in [Standing::None, Standing::Once, Standing::Again, Standing::Earned] {
            for network in [None, Network::from_number(0), Network::from_number(4_095)] {
                let place = Place { standing, network, since_day: 20_412 };
                let (standing, network, since_day) = place.stored();
                assert_eq!(Place::from_stored(standing, network, since_day), place);
            }
        }
    }
}
