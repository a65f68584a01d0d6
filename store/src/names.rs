//! The registry of names: the routes and labels of sites, with the ids and codes that rows have for them.
//!
//! Every transaction reads names again, with one statement per table. A store caches no names, so another server cannot
//! invalidate them. The decisions are here; a backend has the statements ([`NameTables`]).

use crate::StoreError;
use crate::cell::CellQuery;
use crate::dimension::{Code, Dimension, DimensionValue, Labels, NO_VALUE, label_code};
use crate::filter::GroupBy;
use crate::hash::HashMap;
use crate::place::{Name, Place};
use crate::places::{Changes, Decided, Given, Stored};
use crate::retention_edges::RetentionEdges;
use crate::rollup::{Answer, Per, Plan, route_id};
use crate::site::SiteId;
use crate::view::ViewUpdate;
use async_trait::async_trait;
use std::collections::BTreeMap;
use vitals::metric::Metrics;

/// A table of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Routes.
    Routes,
    /// Labels of dimensions.
    Labels,
}

impl Table {
    const ALL: [Self; 2] = [Self::Routes, Self::Labels];

    /// Whether the table holds the names of a dimension; `None` for routes.
    const fn holds(self, dimension: Option<Dimension>) -> bool {
        dimension.is_none() == matches!(self, Self::Routes)
    }
}

/// A name to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked<'a> {
    /// The site.
    pub site: SiteId,
    /// The dimension of the label; `None` for a route.
    pub dimension: Option<Dimension>,
    /// The name.
    pub text: &'a str,
}

/// A stored name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The site.
    pub site: SiteId,
    /// The dimension of the label; `None` for a route.
    pub dimension: Option<Dimension>,
    /// The name.
    pub text: String,
    /// Its key and place.
    pub stored: Stored,
}

/// The key of a row of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameKey {
    /// The site.
    pub site: SiteId,
    /// The dimension of the label; `None` for a route.
    pub dimension: Option<Dimension>,
    /// The id of the route, or the code of the label.
    pub key: i64,
}

/// A row to insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewName<'a> {
    /// The key.
    pub key: NameKey,
    /// The name.
    pub text: &'a str,
    /// The UTC day since 1970 of the newest page view with the name; `i32::MIN` if no page view has it any more.
    pub last_day: i32,
    /// Its place.
    pub place: Place,
}

/// The statements of a backend about names, in one transaction. Each is about all sites.
#[async_trait]
pub trait NameTables: Send {
    /// Finds those of the names that are stored, in any order.
    async fn find(&mut self, table: Table, asked: &[Asked<'_>]) -> Result<Vec<Found>, StoreError>;

    /// Inserts rows, except those whose key or text is taken. The rows are in the order of site, dimension and text, so
    /// that concurrent servers do not deadlock.
    async fn add(&mut self, table: Table, new: &[NewName<'_>]) -> Result<(), StoreError>;

    /// Writes places, and moves last days forward. Both lists are in the order of keys; at least one is not empty.
    async fn change(
        &mut self,
        table: Table,
        places: &[(NameKey, Place)],
        last_days: &[(NameKey, i32)],
    ) -> Result<(), StoreError>;

    /// Reads the routes of sites that always have a place: route rules, route groups and the routes apart from them. The
    /// answer has an entry for each site.
    async fn route_rules(&mut self, sites: &[SiteId]) -> Result<HashMap<SiteId, Vec<String>>, StoreError>;

    /// Reads the routes of sites that were seen since a day. `sites` is in order.
    async fn route_places(
        &mut self,
        sites: &[SiteId],
        from_day: i32,
    ) -> Result<HashMap<SiteId, Vec<Stored>>, StoreError>;

    /// Counts the labels of dimensions, and reads the labels seen since a day. `asked` is in order. The answer has an
    /// entry for each dimension.
    async fn label_places(
        &mut self,
        asked: &[(SiteId, Dimension)],
        from_day: i32,
    ) -> Result<HashMap<(SiteId, Dimension), (usize, Vec<Stored>)>, StoreError>;

    /// Returns the error of a damaged table.
    fn damaged(&self, which: &str) -> StoreError;
}

/// The names that a transaction will use of one site. Each has the UTC day (since 1970) of its newest page view;
/// `i32::MIN` if no page view has the name any more.
#[derive(Default)]
pub struct Used<'a>(HashMap<(Option<Dimension>, &'a str), i32>);

impl<'a> Used<'a> {
    /// Adds the names of a page view.
    pub fn view(&mut self, view: &'a ViewUpdate, day: i32) {
        self.name(None, &view.route, day);
        for dimension in Dimension::LABELLED {
            if let DimensionValue::Label(label) = dimension.of(view) {
                self.name(Some(dimension), label, day);
            }
        }
    }

    /// Adds a label, or a route if `dimension` is `None`.
    pub fn name(&mut self, dimension: Option<Dimension>, text: &'a str, day: i32) {
        let newest = self.0.entry((dimension, text)).or_insert(day);
        *newest = day.max(*newest);
    }

    /// Returns the names of a table, with their days.
    fn of(&self, table: Table) -> impl Iterator<Item = (Option<Dimension>, &'a str, i32)> {
        let names = self.0.iter().filter(move |((dimension, _), _)| table.holds(*dimension));
        names.map(|(&(dimension, text), &day)| (dimension, text, day))
    }

    fn day(&self, dimension: Option<Dimension>, text: &str) -> i32 {
        self.0.get(&(dimension, text)).copied().unwrap_or(i32::MIN)
    }
}

/// The keys of a site's names, as far as they were read.
#[derive(Default)]
pub struct Names {
    /// The id of each route.
    pub route_ids: HashMap<String, i64>,
    /// The code of each label.
    pub labels: Labels,
    last_days: HashMap<(Option<Dimension>, i64), i32>,
}

impl Names {
    /// Remembers a stored name.
    pub fn put(&mut self, dimension: Option<Dimension>, text: &str, stored: &Stored) {
        self.last_days.insert((dimension, stored.key), stored.last_day);
        match dimension {
            None => drop(self.route_ids.insert(text.to_owned(), stored.key)),
            Some(dimension) => {
                let code = Code::try_from(stored.key).unwrap_or(NO_VALUE);
                self.labels.insert(dimension, text.to_owned(), code);
            }
        }
    }

    fn key(&self, dimension: Option<Dimension>, text: &str) -> Option<i64> {
        match dimension {
            None => self.route_ids.get(text).copied(),
            Some(dimension) => self.labels.code(dimension, text).map(i64::from),
        }
    }

    /// Calls [`use_all`] for one site whose names need no decision.
    ///
    /// # Errors
    /// Those of the tables.
    pub async fn use_all(
        &mut self,
        tables: &mut dyn NameTables,
        site: SiteId,
        used: Used<'_>,
    ) -> Result<(), StoreError> {
        use_all(tables, &mut [Using { site, used, decided: &Decided::default(), names: self }]).await
    }
}

/// The names that a transaction will use of one site, and what is known of them.
pub struct Using<'a> {
    /// The site.
    pub site: SiteId,
    /// The names.
    pub used: Used<'a>,
    /// The places decided for them.
    pub decided: &'a Decided,
    /// Their keys; [`use_all`] completes them.
    pub names: &'a mut Names,
}

impl<'a> Using<'a> {
    /// Returns the names of a table whose keys are unknown.
    fn missing(&self, table: Table) -> impl Iterator<Item = Asked<'a>> {
        let unknown = self.used.of(table).filter(|(dimension, text, _)| self.lacks(*dimension, text));
        unknown.map(|(dimension, text, _)| Asked { site: self.site, dimension, text })
    }

    fn lacks(&self, dimension: Option<Dimension>, text: &str) -> bool {
        self.names.key(dimension, text).is_none()
    }

    fn name_key(&self, dimension: Option<Dimension>, key: i64) -> NameKey {
        NameKey { site: self.site, dimension, key }
    }

    /// Returns the new row of a name, under the key of an attempt; `None` if no name may have that key.
    fn new_name(&self, dimension: Option<Dimension>, text: &'a str, attempt: u8) -> Option<NewName<'a>> {
        let key = match dimension {
            None => route_id(text, attempt),
            Some(_) => Some(label_code(text, attempt)).filter(|&code| code != NO_VALUE)?.into(),
        };
        let place = self.decided.new_place(self.decided.given(dimension, text), text);
        let last_day = self.used.day(dimension, text);
        Some(NewName { key: self.name_key(dimension, key), text, last_day, place })
    }

    /// Returns the decided places of stored names, and of the names that lose theirs.
    fn places(&self, table: Table) -> Vec<(NameKey, Place)> {
        let mut changes: BTreeMap<Option<Dimension>, Changes> = BTreeMap::new();
        for (dimension, text, _) in self.used.of(table) {
            let given = self.decided.given(dimension, text);
            let changes = changes.entry(dimension).or_default();
            match self.names.key(dimension, text) {
                Some(key) => changes.put(key, given, self.decided),
                None => changes.lose(given, self.decided),
            }
        }
        let mut places = Vec::new();
        for (dimension, changes) in changes {
            places.extend(changes.iter().map(|(key, place)| (self.name_key(dimension, key), place)));
        }
        places
    }

    /// Returns the days of names that are stored with an earlier one.
    fn later_days(&self, table: Table) -> impl Iterator<Item = (NameKey, i32)> {
        self.used.of(table).filter_map(|(dimension, text, day)| {
            let key = self.names.key(dimension, text)?;
            let known = self.names.last_days.get(&(dimension, key))?;
            (*known < day).then(|| (self.name_key(dimension, key), day))
        })
    }
}

/// Returns the entry of a site among some in order.
fn of_site<'a, 'b>(sites: &'a mut [Using<'b>], site: SiteId) -> Option<&'a mut Using<'b>> {
    let place = sites.binary_search_by_key(&site, |using| using.site).ok()?;
    sites.get_mut(place)
}

/// Finds the used names of some sites, and moves the last day of each forward. Inserts new names with their decided
/// places, each under the first free one of its ids or codes. The sites must be in order.
///
/// # Errors
/// Those of the tables, and a damaged table if all keys of a name are taken.
pub async fn use_all(tables: &mut dyn NameTables, sites: &mut [Using<'_>]) -> Result<(), StoreError> {
    for table in Table::ALL {
        use_table(tables, table, sites).await?;
    }
    Ok(())
}

async fn use_table(
    tables: &mut dyn NameTables,
    table: Table,
    sites: &mut [Using<'_>],
) -> Result<(), StoreError> {
    let mut missing: Vec<Asked<'_>> = sites.iter().flat_map(|using| using.missing(table)).collect();
    missing.sort_unstable();
    find_and_put(tables, table, sites, &mut missing).await?;
    // New names are inserted with their places, so these are the places of names that are stored already.
    let mut places: Vec<(NameKey, Place)> = sites.iter().flat_map(|using| using.places(table)).collect();
    places.sort_unstable_by_key(|&(key, _)| key);
    for attempt in 0..=u8::MAX {
        if missing.is_empty() {
            break;
        }
        let mut new = Vec::with_capacity(missing.len());
        for &Asked { site, dimension, text } in &missing {
            new.extend(of_site(sites, site).and_then(|using| using.new_name(dimension, text, attempt)));
        }
        if !new.is_empty() {
            tables.add(table, &new).await?;
        }
        find_and_put(tables, table, sites, &mut missing).await?;
    }
    if let Some(Asked { dimension, text, .. }) = missing.first() {
        return Err(tables.damaged(&match dimension {
            None => format!("the table of routes: every id of `{text}` is taken"),
            Some(dimension) => {
                format!("the table of labels: every code of the {} `{text}` is taken", dimension.name())
            }
        }));
    }
    let mut last_days: Vec<(NameKey, i32)> = sites.iter().flat_map(|using| using.later_days(table)).collect();
    last_days.sort_unstable();
    if places.is_empty() && last_days.is_empty() {
        return Ok(());
    }
    tables.change(table, &places, &last_days).await?;
    for (NameKey { site, dimension, key }, day) in last_days {
        if let Some(using) = of_site(sites, site) {
            using.names.last_days.insert((dimension, key), day);
        }
    }
    Ok(())
}

async fn find_and_put(
    tables: &mut dyn NameTables,
    table: Table,
    sites: &mut [Using<'_>],
    missing: &mut Vec<Asked<'_>>,
) -> Result<(), StoreError> {
    if missing.is_empty() {
        return Ok(());
    }
    for Found { site, dimension, text, stored } in tables.find(table, missing).await? {
        if let Some(using) = of_site(sites, site) {
            using.names.put(dimension, &text, &stored);
        }
    }
    missing.retain(|&Asked { site, dimension, text }| {
        of_site(sites, site).is_some_and(|using| using.lacks(dimension, text))
    });
    Ok(())
}

/// Writes the names of another store, with their places.
///
/// # Errors
/// As [`use_all`].
pub async fn put_all(tables: &mut dyn NameTables, site: SiteId, all: &[Name]) -> Result<(), StoreError> {
    let (mut used, mut decided) = (Used::default(), Decided::default());
    for Name { dimension, text, last_day, place } in all {
        used.name(*dimension, text, *last_day);
        decided.put(*dimension, text.clone(), Given { place: *place, instead_of: None });
    }
    use_all(tables, &mut [Using { site, used, decided: &decided, names: &mut Names::default() }]).await
}

/// Plans how rollups tell which ids of routes, or which codes of a dimension's labels, they count. The keys of the
/// answer are those ids or codes.
#[must_use]
pub fn counted(
    site: SiteId,
    dimension: Option<Dimension>,
    retained: &RetentionEdges,
) -> Option<(Plan, Answer)> {
    let query = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site, i64::MIN, i64::MAX) };
    let per = dimension.map_or(Per::Route, |dimension| Per::Value(GroupBy::Rolled(dimension)));
    let answer = Answer::new(&query, per, None, &Labels::default())?;
    Some((Plan::of_rollups(&query, dimension.unwrap_or(Dimension::Device), retained), answer))
}
