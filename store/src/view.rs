//! Page views: updates, their stored form, and the rules that merge two updates.

use crate::context::Context;
use crate::weight::Weight;
use serde::{Deserialize, Serialize};
use vitals::metric::{Metric, Values};
use vitals::view::{Device, NavigationType, Os, TtiGap, ViewId};

/// The source of an update, which decides its rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Our collector: a full snapshot. The highest `seq` wins, and outranks all foreign updates.
    Own {
        /// The snapshot's number.
        seq: u32,
    },
    /// Another library: single metrics. The latest value of each metric wins, by time of receipt.
    Foreign,
}

/// A beacon's data about one page view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewUpdate {
    /// The view's id; its start decides the day and the cells.
    pub id: ViewId,
    /// The source of the update.
    pub source: Source,
    /// Time of receipt, UTC milliseconds.
    pub received_ms: i64,
    /// The URL without query and fragment.
    pub url: String,
    /// The route, which intake decides once.
    pub route: String,
    /// The navigation type.
    pub navigation_type: Option<NavigationType>,
    /// The device class.
    pub device: Option<Device>,
    /// The browser family.
    pub browser: Option<String>,
    /// The operating system family.
    pub os: Option<Os>,
    /// The effective connection type.
    pub connection: Option<String>,
    /// The country, ISO 3166-1 alpha-2, upper case.
    pub country: Option<String>,
    /// The release of the page.
    pub release: Option<String>,
    /// The measured values.
    pub values: Values,
    /// The reason for a missing TTI.
    pub tti_gap: Option<TtiGap>,
    /// The number of page views that this view represents.
    pub weight: Weight,
    /// Data that is stored but not counted.
    pub context: Context,
}

/// A page view in its stored form.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredView {
    /// The winning update. Its `values` are merged from several updates if the view is foreign.
    pub update: ViewUpdate,
    /// Time of receipt of each metric of a foreign view, UTC milliseconds; zeros for an own view.
    pub received_ms: [i64; Metric::COUNT],
}

impl StoredView {
    /// Creates the view from its first update.
    #[must_use]
    pub fn first(update: ViewUpdate) -> Self {
        let mut received_ms = [0; Metric::COUNT];
        if update.source == Source::Foreign {
            for (metric, _) in update.values.iter() {
                received_ms[metric.index()] = update.received_ms;
            }
        }
        Self { update, received_ms }
    }

    /// Merges another update of the same view. Returns whether the view has changed.
    ///
    /// The result does not depend on the order of updates. An own update replaces foreign updates and own updates with
    /// a lower `seq`. If two different snapshots have the same `seq`, which our collector never sends, their contents
    /// decide. Among foreign updates, the latest time of receipt wins, for each metric and for the description (URL,
    /// route and the rest). A description with a navigation type wins against one without: the last beacon of a page may
    /// name another page. On a tie, the larger value or description wins.
    pub fn apply(&mut self, update: ViewUpdate) -> bool {
        let wins = match (self.update.source, update.source) {
            (Source::Own { seq: known }, Source::Own { seq }) => {
                seq > known || (seq == known && update.outranks(&self.update))
            }
            (Source::Own { .. }, Source::Foreign) => false,
            (Source::Foreign, Source::Own { .. }) => true,
            (Source::Foreign, Source::Foreign) => return self.apply_foreign(update),
        };
        if wins {
            *self = Self::first(update);
        }
        wins
    }

    fn apply_foreign(&mut self, update: ViewUpdate) -> bool {
        let mut values = self.update.values;
        let mut changed = false;
        for (metric, value) in update.values.iter() {
            let known = (self.received_ms[metric.index()], values.get(metric));
            // A metric without a value loses against any value, whatever its time of receipt.
            if known.1.is_none() || (update.received_ms, Some(value)) > known {
                self.received_ms[metric.index()] = update.received_ms;
                values.set(metric, Some(value));
                changed = true;
            }
        }
        let rank = |of: &ViewUpdate| (of.navigation_type.is_some(), of.received_ms);
        let by_rank = rank(&update).cmp(&rank(&self.update));
        if by_rank.then_with(|| update.description().cmp(&self.update.description())).is_gt() {
            self.update = update;
            changed = true;
        }
        self.update.values = values;
        changed
    }
}

impl StoredView {
    /// Returns updates that recreate this view in an empty store.
    #[must_use]
    pub fn updates(&self) -> Vec<ViewUpdate> {
        let Source::Foreign = self.update.source else { return vec![self.update.clone()] };
        let mut updates: Vec<ViewUpdate> = self
            .update
            .values
            .iter()
            .map(|(metric, value)| {
                let mut values = Values::EMPTY;
                values.set(metric, Some(value));
                // Without a navigation type, a metric received after the description does not replace it.
                ViewUpdate {
                    received_ms: self.received_ms[metric.index()],
                    navigation_type: None,
                    values,
                    ..self.update.clone()
                }
            })
            .collect();
        // The description's own time of receipt may differ from that of every metric.
        updates.push(ViewUpdate { values: Values::EMPTY, ..self.update.clone() });
        updates
    }
}

impl ViewUpdate {
    /// Returns everything but the values, the source and the time of receipt, for comparison.
    fn description(&self) -> impl Ord {
        (
            (&self.url, &self.route, self.navigation_type, self.device),
            (&self.browser, &self.connection, &self.country, &self.release, self.os, self.tti_gap),
            (self.weight, &self.context),
        )
    }

    /// Whether this own update wins against another with the same `seq`: the larger content wins; of equal contents,
    /// the first received wins.
    fn outranks(&self, other: &Self) -> bool {
        let micros = |update: &Self| Metric::ALL.map(|metric| update.values.get(metric));
        micros(self)
            .cmp(&micros(other))
            .then_with(|| self.description().cmp(&other.description()))
            .then_with(|| other.received_ms.cmp(&self.received_ms))
            .is_gt()
    }
}

/// Marks a URL packed by its route: the host, then the path's segments at the route's parameters, separated by slashes.
const BY_ROUTE: char = '>';
/// Like [`BY_ROUTE`], for a path that ends with a slash while its route does not.
const BY_ROUTE_SLASH: char = '|';

/// Packs a URL for storage beside its view's route. Every row has a URL, so it must be short. [`unpack_url`] restores
/// any URL exactly.
///
/// Omits `https://`, and the part of the path that the route contains: `https://shop.example/p/17/sizes` with the route
/// `/p/:id/sizes` becomes `shop.example>17`. A path that does not match the route is stored whole: `shop.example/p/17`.
/// A URL without `https://` or with an unusual host is stored whole after a `>`.
#[must_use]
pub fn pack_url(url: &str, route: &str) -> String {
    let whole = || format!("{BY_ROUTE}{url}");
    let Some(rest) = url.strip_prefix("https://") else { return whole() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.is_empty() || host.contains([BY_ROUTE, BY_ROUTE_SLASH]) {
        return whole();
    }
    let mut packed = String::with_capacity(rest.len() + BY_ROUTE_SLASH.len_utf8());
    let ends = [(BY_ROUTE, Some(path)), (BY_ROUTE_SLASH, path.strip_suffix('/'))];
    for (by_route, path) in ends {
        let Some(path) = path else { continue };
        packed.push_str(host);
        packed.push(by_route);
        if push_beyond_route(path, route, &mut packed) {
            return packed;
        }
        packed.clear();
    }
    packed.push_str(rest);
    packed
}

/// Restores the URL from the result of [`pack_url`] with the same route.
#[must_use]
pub fn unpack_url(packed: &str, route: &str) -> String {
    if let Some(url) = packed.strip_prefix(BY_ROUTE) {
        return url.to_owned();
    }
    let end = packed.find(['/', BY_ROUTE, BY_ROUTE_SLASH]).unwrap_or(packed.len());
    let (host, rest) = packed.split_at(end);
    let slash = rest.starts_with(BY_ROUTE_SLASH);
    let Some(said) = rest.strip_prefix([BY_ROUTE, BY_ROUTE_SLASH]) else {
        return format!("https://{packed}");
    };
    let mut said = said.split('/');
    let segments = route.split('/').map(|segment| match is_parameter(segment) {
        true => said.next().unwrap_or_default(),
        false => segment,
    });
    let path = segments.collect::<Vec<_>>().join("/");
    format!("https://{host}{path}{}", if slash { "/" } else { "" })
}

/// Appends the path's segments at the route's parameters, if all other segments are equal to the route's. Otherwise
/// returns `false`, and the appended text is invalid.
fn push_beyond_route(path: &str, route: &str, said: &mut String) -> bool {
    if !path.starts_with('/') || !route.starts_with('/') {
        return false;
    }
    let mut segments = path.split('/');
    let mut is_first = true;
    for of_route in route.split('/') {
        let Some(segment) = segments.next() else { return false };
        if is_parameter(of_route) {
            if !is_first {
                said.push('/');
            }
            is_first = false;
            said.push_str(segment);
        } else if segment != of_route {
            return false;
        }
    }
    segments.next().is_none()
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with(':') || segment == "*"
}

/// Packs the times of receipt of a foreign page view's metrics: 8 bytes each, big endian, in the order of
/// [`Metric::ALL`].
#[must_use]
pub fn pack_times(received_ms: &[i64; Metric::COUNT]) -> Vec<u8> {
    received_ms.map(i64::to_be_bytes).concat()
}

/// Reads the form of [`pack_times`]; `None` if it is damaged. A row that is older than a metric has no time for it.
#[must_use]
pub fn unpack_times(bytes: &[u8]) -> Option<[i64; Metric::COUNT]> {
    let (stored, rest) = bytes.as_chunks::<8>();
    if stored.is_empty() || !rest.is_empty() {
        return None;
    }
    let mut times = [0; Metric::COUNT];
    for (time, bytes) in times.get_mut(..stored.len())?.iter_mut().zip(stored) {
        *time = i64::from_be_bytes(*bytes);
    }
    Some(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use vitals::metric::Value;

    fn update(source: Source, received_ms: i64, values: &[(Metric, f64)]) -> ViewUpdate {
        let mut measured = Values::EMPTY;
        for &(metric, number) in values {
            measured.set(metric, Some(Value::new(metric, number).unwrap()));
        }
        ViewUpdate {
            id: ViewId::new(1_763_632_800_000, 7),
            source,
            received_ms,
            url: format!("https://a.example/{received_ms}"),
            route: "/".to_owned(),
            navigation_type: None,
            device: None,
            browser: None,
            os: None,
            connection: None,
            country: None,
            release: None,
            values: measured,
            tti_gap: None,
            weight: Weight::ONE,
            context: Context::NONE,
        }
    }

    #[test]
    fn the_highest_seq_is_the_view_whatever_the_order() {
        let first = update(Source::Own { seq: 1 }, 1, &[(Metric::Lcp, 1000.0), (Metric::Inp, 300.0)]);
        let last = update(Source::Own { seq: 2 }, 2, &[(Metric::Lcp, 900.0)]);
        let mut view = StoredView::first(first.clone());
        assert!(view.apply(last.clone()));
        let mut late = StoredView::first(last.clone());
        assert!(!late.apply(first));
        assert!(!late.apply(last));
        assert_eq!(view, late);
        assert_eq!(view.update.values.get(Metric::Inp), None, "a snapshot is whole: what it lacks is gone");
    }

    #[test]
    fn foreign_metrics_are_joined_each_by_its_last_word() {
        let lcp = update(Source::Foreign, 10, &[(Metric::Lcp, 1000.0)]);
        let cls = update(Source::Foreign, 20, &[(Metric::Cls, 0.2)]);
        let lcp_later = update(Source::Foreign, 30, &[(Metric::Lcp, 1500.0)]);
        let orders = [[&lcp, &cls, &lcp_later], [&lcp_later, &lcp, &cls], [&cls, &lcp_later, &lcp]];
        let views: Vec<StoredView> = orders
            .into_iter()
            .map(|[a, b, c]| {
                let mut view = StoredView::first(a.clone());
                view.apply(b.clone());
                view.apply(c.clone());
                view
            })
            .collect();
        assert_eq!(views[0], views[1]);
        assert_eq!(views[0], views[2]);
        assert_eq!(views[0].update.values.get(Metric::Lcp), Value::new(Metric::Lcp, 1500.0).ok());
        assert_eq!(views[0].update.values.get(Metric::Cls), Value::new(Metric::Cls, 0.2).ok());
        assert_eq!(views[0].update.url, "https://a.example/30");
        assert!(!views[0].clone().apply(lcp));
    }

    #[test]
    fn description_with_a_navigation_type_outranks_later_ones() {
        let mut load = update(Source::Foreign, 10, &[(Metric::Lcp, 1000.0)]);
        load.route = "/a".to_owned();
        load.navigation_type = Some(NavigationType::Navigate);
        let mut unload = update(Source::Foreign, 20, &[(Metric::Inp, 80.0)]);
        unload.route = "/b".to_owned();
        for [first, second] in [[&load, &unload], [&unload, &load]] {
            let mut view = StoredView::first(first.clone());
            assert!(view.apply(second.clone()));
            assert_eq!(
                (view.update.route.as_str(), view.update.navigation_type),
                ("/a", Some(NavigationType::Navigate))
            );
            assert_eq!(view.update.url, "https://a.example/10");
            assert_eq!(view.update.values.iter().count(), 2);
            assert_eq!(view_after(&view.updates()), view);
        }
    }

    #[test]
    fn our_own_word_outranks_a_foreign_one() {
        let own = update(Source::Own { seq: 1 }, 1, &[(Metric::Lcp, 1000.0)]);
        let foreign = update(Source::Foreign, 9, &[(Metric::Lcp, 5000.0)]);
        let mut view = StoredView::first(foreign.clone());
        assert!(view.apply(own.clone()));
        assert!(!view.apply(foreign));
        assert_eq!(view, StoredView::first(own));
    }

    prop_compose! {
        /// Updates of one view that collide as often as possible.
        fn any_update()(
            seq in proptest::option::of(0_u32..3),
            received_ms in -1_i64..3,
            description in 0_usize..8,
            lcp in proptest::option::of(0_u32..3),
            inp in proptest::option::of(0_u32..3),
        ) -> ViewUpdate {
            let source = seq.map_or(Source::Foreign, |seq| Source::Own { seq });
            let mut update = update(source, received_ms, &[]);
            update.url = ["a", "b"][description % 2].to_owned();
            update.device = [None, Some(Device::Phone)][description / 2 % 2];
            update.navigation_type = [None, Some(NavigationType::Navigate)][description / 4];
            update.values.set(Metric::Lcp, lcp.and_then(|micros| Value::from_micros(Metric::Lcp, micros)));
            update.values.set(Metric::Inp, inp.and_then(|micros| Value::from_micros(Metric::Inp, micros)));
            update
        }
    }

    fn view_after(updates: &[ViewUpdate]) -> StoredView {
        let mut view = StoredView::first(updates[0].clone());
        for update in &updates[1..] {
            view.apply(update.clone());
        }
        view
    }

    #[test]
    fn a_packed_url_says_no_more_than_the_route() {
        for (url, route, packed) in [
            ("https://a.example/", "/", "a.example>"),
            ("https://a.example", "/", "a.example"),
            ("https://a.example/p/17/sizes", "/p/:id/sizes", "a.example>17"),
            ("https://a.example/p/17/", "/p/:id", "a.example|17"),
            ("https://a.example/p//x/2", "/p/:id/x/:id", "a.example>/2"),
            ("https://a.example/p/17", "/other", "a.example/p/17"),
            ("https://a.example/p/17/x", "/p/:id", "a.example/p/17/x"),
            ("http://a.example/", "/", ">http://a.example/"),
            ("", "/", ">"),
        ] {
            assert_eq!(pack_url(url, route), packed, "{url} under {route}");
            assert_eq!(unpack_url(packed, route), url, "{packed} under {route}");
        }
    }

    proptest! {
        #[test]
        fn any_url_is_unpacked_as_it_was(
            url in "(https?://)?[a.|>/:*é]{0,12}",
            route in "[a.|>/:*é]{0,12}",
            any_url in any::<String>(),
            any_route in any::<String>(),
        ) {
            for url in [&url, &any_url, &format!("https://{any_url}")] {
                for route in [&route, &any_route] {
                    prop_assert_eq!(&unpack_url(&pack_url(url, route), route), url);
                }
            }
        }

        #[test]
        fn a_url_under_its_own_route_is_unpacked_as_it_was(
            segments in vec(("[ab:>|]{0,2}", any::<bool>()), 1..5),
            slash in any::<bool>(),
        ) {
            let (mut path, mut route) = (String::new(), String::new());
            for (segment, parameter) in segments {
                path.extend(["/", &segment]);
                route.extend(["/", if parameter { ":id" } else { &segment }]);
            }
            let url = format!("https://a.example{path}{}", if slash { "/" } else { "" });
            prop_assert_eq!(&unpack_url(&pack_url(&url, &route), &route), &url);
        }

        #[test]
        fn a_view_does_not_depend_on_the_order_of_its_updates(
            (updates, shuffled) in vec(any_update(), 1..7)
                .prop_flat_map(|updates| (Just(updates.clone()), Just(updates).prop_shuffle())),
        ) {
            prop_assert_eq!(view_after(&updates), view_after(&shuffled));
        }

        #[test]
        fn a_view_is_made_again_by_its_updates(updates in vec(any_update(), 1..7)) {
            let view = view_after(&updates);
            prop_assert_eq!(view_after(&view.updates()), view);
        }

        #[test]
        fn an_update_that_is_known_changes_nothing(updates in vec(any_update(), 1..7)) {
            let view = view_after(&updates);
            for update in updates {
                let mut again = view.clone();
                prop_assert!(!again.apply(update));
                prop_assert_eq!(&again, &view);
            }
        }

        #[test]
        fn apply_says_whether_it_changed_the_view(updates in vec(any_update(), 2..7)) {
            let mut view = StoredView::first(updates[0].clone());
            for update in &updates[1..] {
                let before = view.clone();
                prop_assert_eq!(view.apply(update.clone()), view != before);
            }
        }
    }
}
