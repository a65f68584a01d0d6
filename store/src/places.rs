//! Decides which names of a batch get a place, and which are counted under [`OTHER`].
//!
//! A name takes a free place at its first page view, on probation. The place is charged to the client network, which
//! may hold three quarters of the places on probation. Once all places are taken, max-min fairness applies: a network
//! takes the weakest place of the network with the most places, if that network holds at least two more. So a flood
//! from a few networks cannot exclude the names of other networks. A name leaves probation when another network sends
//! it on a later day.
//!
//! Behind a proxy that is not configured, all visitors share one network. So a name may also take the place of any
//! name that was seen once: if [`limits::NAME_SIGHTINGS_MIN`] updates of its batch have the name, or if the other
//! name was seen on an earlier day. All displacements are bounded per day, because each adds a name to the rollups.
//! Half of the bound is reserved for networks with fewer places.

use crate::dimension::{Dimension, OTHER};
use crate::hash::HashMap;
use crate::limits;
use crate::place::{Network, Overflow, Place, Senders, Standing};
use crate::retention_edges::RetentionEdges;
use crate::rollup::{DAY_MS, Grain, day_of};
use crate::view::ViewUpdate;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The stored state of a name, by its key: a route's id, a label's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The key.
    pub key: i64,
    /// The UTC day since 1970 of the newest page view that had it.
    pub last_day: i32,
    /// Its place.
    pub place: Place,
}

/// A new or changed place of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// The place.
    pub place: Place,
    /// The key of the name that loses this place.
    pub instead_of: Option<i64>,
}

/// The places decided for a batch. The backend writes those of names that changed page views use.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// Of routes.
    pub routes: HashMap<String, Given>,
    /// Of labels, by dimension.
    pub labels: [HashMap<String, Given>; Dimension::COUNT],
    /// The number of updates whose name has no place.
    pub overflow: Overflow,
    /// The day of the batch.
    pub today: i32,
}

impl Decided {
    /// Returns the decision for a label, or for a route if `dimension` is `None`.
    #[must_use]
    pub fn given(&self, dimension: Option<Dimension>, text: &str) -> Option<&Given> {
        match dimension {
            None => self.routes.get(text),
            Some(dimension) => self.labels[dimension.index()].get(text),
        }
    }

    /// Adds a decision.
    pub fn put(&mut self, dimension: Option<Dimension>, text: String, given: Given) {
        match dimension {
            None => self.routes.insert(text, given),
            Some(dimension) => self.labels[dimension.index()].insert(text, given),
        };
    }

    /// Returns the place of a new name: the decided one, else an earned one without a charge. [`OTHER`] has no place.
    #[must_use]
    pub fn new_place(&self, given: Option<&Given>, name: &str) -> Place {
        match given {
            Some(given) => given.place,
            None if name == OTHER => Place::default(),
            None => Place::earned(self.today),
        }
    }
}

/// Places to be written, by key.
#[derive(Debug, Default)]
pub struct Changes(BTreeMap<i64, Place>);

impl Changes {
    /// Adds the decision for a stored name in use.
    pub fn put(&mut self, key: i64, given: Option<&Given>, decided: &Decided) {
        if let Some(given) = given {
            self.lose(Some(given), decided);
            self.0.insert(key, given.place);
        }
    }

    /// Removes the place of the displaced name, unless that name has got another place in this batch.
    pub fn lose(&mut self, given: Option<&Given>, decided: &Decided) {
        if let Some(key) = given.and_then(|given| given.instead_of) {
            let lost = Place { standing: Standing::None, network: None, since_day: decided.today };
            self.0.entry(key).or_insert(lost);
        }
    }

    /// The keys and their places, by key.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Place)> {
        self.0.iter().map(|(&key, &place)| (key, place))
    }
}

/// The effective connection types of browsers (Network Information API).
const CONNECTIONS: [&str; 4] = ["slow-2g", "2g", "3g", "4g"];

/// The bounds on the names of one kind.
#[derive(Clone, Debug)]
pub struct Bounds<'a> {
    /// Names with a place.
    pub places: usize,
    /// Names that may be added while places are free.
    pub added: usize,
    /// Names that may be added by displacing another.
    pub added_instead: usize,
    /// Whether places are charged to networks. `false` if the server itself assigns the names.
    pub is_charged: bool,
    /// Names that always have a place.
    pub reserved: Vec<&'a str>,
}

impl<'a> Bounds<'a> {
    /// The bounds of routes. The site's route rules and the routes that its budgets name always have a place.
    #[must_use]
    pub fn routes(reserved: &'a [String]) -> Self {
        Self {
            places: limits::ROUTES_PER_SITE_MAX,
            added: usize::MAX,
            added_instead: usize::MAX,
            is_charged: true,
            reserved: reserved.iter().map(String::as_str).collect(),
        }
    }

    /// The bounds of a dimension's labels, of which `rows` are stored. Labels are kept as long as daily rollups. The
    /// bound leaves free codes even if every span of raw retention brings as many new labels. Connection types of
    /// browsers and `deployed` releases always have a place.
    #[must_use]
    pub fn labels(
        dimension: Dimension,
        retained: &RetentionEdges,
        rows: usize,
        today: i32,
        deployed: &'a [String],
    ) -> Self {
        Self {
            places: labels_max(dimension, retained, i64::from(today) * DAY_MS),
            added: limits::LABELS_KEPT_MAX.saturating_sub(rows),
            added_instead: limits::LABEL_CODES_MAX.saturating_sub(rows),
            is_charged: matches!(dimension, Dimension::Connection | Dimension::Release),
            reserved: match dimension {
                Dimension::Connection => CONNECTIONS.to_vec(),
                Dimension::Release => deployed.iter().map(String::as_str).collect(),
                _ => Vec::new(),
            },
        }
    }
}

fn labels_max(dimension: Dimension, retained: &RetentionEdges, today_ms: i64) -> usize {
    let max = dimension.labels_max();
    if retained.days_from_ms == i64::MIN {
        return max;
    }
    let days = |from_ms: i64| usize::try_from(today_ms.saturating_sub(from_ms) / DAY_MS).unwrap_or(0).max(1);
    let (raw, all) = (days(retained.views_from_ms), days(retained.days_from_ms));
    max.min(limits::LABELS_KEPT_MAX.saturating_mul(raw) / all.saturating_add(raw))
}

/// Returns the UTC day on which the batch was received, by the server's clock.
#[must_use]
pub fn today(beacons: &[Vec<ViewUpdate>]) -> i32 {
    let received = beacons.iter().flatten().map(|update| update.received_ms).max();
    Grain::Day.step(day_of(received.unwrap_or(0)))
}

#[derive(Clone, Copy, Debug)]
struct Name {
    key: Option<i64>,
    place: Place,
    has_place: bool,
    is_changed: bool,
    instead_of: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Charge {
    held: usize,
    /// Places got today.
    today: usize,
}

/// The places of one kind of names.
#[derive(Debug)]
pub struct Pool<'a> {
    from_day: i32,
    today: i32,
    names: HashMap<String, Name>,
    /// `Some` if a name of the batch has no place.
    bounds: Option<Bounds<'a>>,
    /// Stored names on probation.
    probation: HashMap<i64, Stored>,
    charges: HashMap<Network, Charge>,
    occupied: usize,
    added: usize,
    /// Names that lost their place today.
    displaced: usize,
    /// The number of places a network held when fairness alone found no name to displace.
    fruitless: Option<usize>,
}

impl<'a> Pool<'a> {
    /// Starts with the stored names of the batch. Names last seen before `from_day` have no place.
    #[must_use]
    pub fn new(from_day: i32, today: i32, known: impl IntoIterator<Item = (String, Stored)>) -> Self {
        let name = |stored: Stored| Name {
            key: Some(stored.key),
            place: stored.place,
            has_place: stored.place.standing > Standing::None && stored.last_day >= from_day,
            is_changed: false,
            instead_of: None,
        };
        Self {
            from_day,
            today,
            names: known.into_iter().map(|(text, stored)| (text, name(stored))).collect(),
            bounds: None,
            probation: HashMap::default(),
            charges: HashMap::default(),
            occupied: 0,
            added: 0,
            displaced: 0,
            fruitless: None,
        }
    }

    /// Whether some of the batch's `asked` names have no place. If so, the caller must call [`Self::fill`].
    #[must_use]
    pub fn lacks_places(&self, asked: usize) -> bool {
        self.names.len() < asked || self.names.iter().any(|(text, name)| text != OTHER && !name.has_place)
    }

    /// Counts all names of the kind that were seen since `from_day`.
    pub fn fill(&mut self, bounds: Bounds<'a>, seen: impl IntoIterator<Item = Stored>) {
        self.bounds = Some(bounds);
        let from_day = self.from_day;
        for stored in seen.into_iter().filter(|stored| stored.last_day >= from_day) {
            let Place { standing, network, since_day } = stored.place;
            if standing == Standing::None {
                self.displaced += usize::from(since_day == self.today);
                continue;
            }
            self.occupied += 1;
            if let Some(network) = network.filter(|_| standing < Standing::Earned) {
                self.charge(network, since_day);
                self.probation.insert(stored.key, stored);
            }
        }
    }

    /// Whether every name has an earned place, so that there is nothing to decide.
    fn is_settled(&self) -> bool {
        let mut names = self.names.iter().filter(|(text, _)| *text != OTHER);
        self.bounds.is_none() && names.all(|(_, name)| name.place.standing == Standing::Earned)
    }

    /// Replaces names without a place by [`OTHER`] and returns the number of such updates. Free places go to the
    /// first updates in spool order.
    ///
    /// The view stores the decided name, so later free places do not count a view twice.
    pub fn decide(
        &mut self,
        beacons: &mut [Vec<ViewUpdate>],
        senders: &Senders,
        name_of: impl Fn(&mut ViewUpdate) -> Option<&mut String>,
    ) -> u64 {
        if self.is_settled() {
            return 0;
        }
        let mut sightings: HashMap<String, usize> = HashMap::default();
        for update in beacons.iter_mut().flatten() {
            if let Some(name) = name_of(update)
                && name != OTHER
                && !self.names.get(name.as_str()).is_some_and(|name| name.has_place)
            {
                match sightings.get_mut(name.as_str()) {
                    Some(count) => *count += 1,
                    None => drop(sightings.insert(name.clone(), 1)),
                }
            }
        }
        let is_rebuild = matches!(senders, Senders::Rebuild(_));
        let mut others = 0;
        for (place, beacon) in beacons.iter_mut().enumerate() {
            let network = senders.network(place);
            for update in beacon {
                let Some(name) = name_of(update) else { continue };
                // A rebuild repeats page views that were seen, so it is no further sighting of a name.
                let is_known = is_rebuild && self.names.get(name.as_str()).is_some_and(|name| name.has_place);
                if name != OTHER
                    && !is_known
                    && !self.see(name, network, sightings.get(name.as_str()).copied())
                {
                    OTHER.clone_into(name);
                    others += 1;
                }
            }
        }
        others
    }

    /// Returns the new and the changed places.
    #[must_use]
    pub fn given(self) -> HashMap<String, Given> {
        let changed = self.names.into_iter().filter(|(_, name)| name.is_changed);
        changed.map(|(text, name)| (text, Given { place: name.place, instead_of: name.instead_of })).collect()
    }

    /// Records a sighting of a name; returns whether the name has a place.
    fn see(&mut self, text: &str, network: Option<Network>, sightings: Option<usize>) -> bool {
        match self.names.get(text).copied() {
            Some(name) if name.has_place => {
                self.seen_again(text, name, network);
                true
            }
            name => self.give(text, name, network, sightings.unwrap_or(1)),
        }
    }

    fn seen_again(&mut self, text: &str, mut name: Name, network: Option<Network>) {
        let Some(first) = name.place.network.filter(|_| name.place.standing < Standing::Earned) else {
            return;
        };
        if network.is_some_and(|network| network != first) && self.today > name.place.since_day {
            name.place = Place::earned(self.today);
            if let Some(charge) = self.charges.get_mut(&first) {
                charge.held = charge.held.saturating_sub(1);
            }
        } else if name.place.standing == Standing::Once {
            name.place.standing = Standing::Again;
        } else {
            return;
        }
        if let Some(stored) = name.key.and_then(|key| self.probation.get_mut(&key)) {
            stored.place = name.place;
        }
        name.is_changed = true;
        self.names.insert(text.to_owned(), name);
    }

    fn give(&mut self, text: &str, name: Option<Name>, network: Option<Network>, sightings: usize) -> bool {
        let Some(bounds) = &self.bounds else { return true };
        let key = name.and_then(|name| name.key);
        let added = usize::from(key.is_none());
        let is_free = self.occupied < bounds.places && self.added + added <= bounds.added;
        let may_be_added = self.added + added <= bounds.added_instead;
        let share = bounds.places * 3 / 4;
        let is_reserved = may_be_added && bounds.reserved.contains(&text);
        let network = network.filter(|_| bounds.is_charged && !is_reserved);
        let own = network.and_then(|network| self.charges.get(&network)).copied().unwrap_or_default();
        let mut instead_of = None;
        let is_given = is_reserved || (is_free && own.held < share);
        if !is_given {
            if network.is_none() || !may_be_added {
                return false;
            }
            let Some(victim) = self.victim(own, sightings) else { return false };
            self.displace(&victim);
            instead_of = Some(victim.key);
        }
        self.occupied += 1;
        self.added += added;
        let place = match network {
            None => Place::earned(self.today),
            Some(network) => {
                self.charge(network, self.today);
                Place { standing: Standing::Once, network: Some(network), since_day: self.today }
            }
        };
        let name = Name { key, place, has_place: true, is_changed: true, instead_of };
        self.names.insert(text.to_owned(), name);
        true
    }

    /// Returns the stored name to displace for a network with the charge `own`.
    fn victim(&mut self, own: Charge, sightings: usize) -> Option<Stored> {
        let is_fair = own.today < limits::NAMES_DISPLACED_PER_NETWORK_MAX;
        let is_frequent = sightings >= limits::NAME_SIGHTINGS_MIN;
        let is_fruitless = !is_frequent && self.fruitless.is_some_and(|held| own.held >= held);
        if self.displaced >= limits::NAMES_DISPLACED_PER_DAY_MAX || !(is_fair || is_frequent) || is_fruitless
        {
            return None;
        }
        // The second half of the daily bound is reserved for networks with few places.
        let is_early = self.displaced < limits::NAMES_DISPLACED_PER_DAY_MAX / 2;
        let weakest = self.probation.values().filter_map(|stored| {
            let place = stored.place;
            let held = self.charges.get(&place.network.filter(|_| place.standing < Standing::Earned)?)?.held;
            let is_weak = is_early && place.standing == Standing::Once;
            let may_lose = is_fair && (held > own.held + 1 || is_weak && place.since_day < self.today)
                || is_weak && is_frequent;
            may_lose.then_some((Reverse(held), place.standing, stored.last_day, stored.key, stored))
        });
        let found = weakest.min_by_key(|&(held, standing, last_day, key, _)| (held, standing, last_day, key));
        if found.is_none() && !is_frequent {
            self.fruitless = Some(own.held);
        }
        found.map(|(.., stored)| *stored)
    }

    fn displace(&mut self, victim: &Stored) {
        self.probation.remove(&victim.key);
        self.occupied = self.occupied.saturating_sub(1);
        self.displaced += 1;
        if let Some(charge) = victim.place.network.and_then(|network| self.charges.get_mut(&network)) {
            charge.held = charge.held.saturating_sub(1);
        }
        // A displaced name's earlier changes in this batch must not be written.
        for name in self.names.values_mut().filter(|name| name.key == Some(victim.key)) {
            *name = Name { has_place: false, is_changed: false, ..*name };
        }
    }

    fn charge(&mut self, network: Network, since_day: i32) {
        self.fruitless = None;
        let charge = self.charges.entry(network).or_default();
        charge.held += 1;
        charge.today += usize::from(since_day == self.today);
    }
}

#[cfg(test)]
mod tests;
