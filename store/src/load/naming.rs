//! Assigns places to the names of batches. See [`crate::places`].

use super::{Part, labels, routes};
use crate::StoreError;
use crate::dimension::Dimension;
use crate::hash::HashMap;
use crate::names::{Asked, Found, NameTables, Table};
use crate::place::Senders;
use crate::places::{Bounds, Pool, Stored, today};
use crate::retention_edges::RetentionEdges;
use crate::rollup::Grain;
use crate::site::SiteId;

/// The names of one kind: a dimension of a site, or its routes.
type Kind = (SiteId, Option<Dimension>);

/// Decides which names of batches have places, replaces the others in the beacons, and finds the stored names.
/// Concurrent servers that give the last places may exceed a bound by the names of one batch.
///
/// # Errors
/// Those of the tables.
pub async fn bound(
    tables: &mut dyn NameTables,
    parts: &mut [Part],
    retained: &RetentionEdges,
) -> Result<(), StoreError> {
    for part in parts.iter_mut() {
        part.decided.today = today(&part.beacons);
    }
    // The names of a copy are decided.
    let mut open: Vec<&mut Part> = parts.iter_mut().filter(|part| part.senders != Senders::Store).collect();
    bound_routes(tables, &mut open, retained).await?;
    bound_labels(tables, &mut open, retained).await
}

pub(super) async fn bound_routes(
    tables: &mut dyn NameTables,
    parts: &mut [&mut Part],
    retained: &RetentionEdges,
) -> Result<(), StoreError> {
    let from_day = Grain::Day.step(retained.views_from_ms);
    let mut asked: Vec<Asked<'_>> = Vec::new();
    for part in parts.iter() {
        let routes = routes(&part.beacons).into_iter();
        asked.extend(routes.map(|text| Asked { site: part.site, dimension: None, text }));
    }
    let (counts, mut known) = find(tables, Table::Routes, &asked).await?;
    let mut pools = Vec::with_capacity(parts.len());
    let mut lacking: Vec<SiteId> = Vec::new();
    for part in parts.iter_mut() {
        let pool = pool(part, None, from_day, &mut known);
        if pool.lacks_places(counts.get(&(part.site, None)).copied().unwrap_or(0)) {
            lacking.push(part.site);
        }
        pools.push(pool);
    }
    lacking.sort_unstable();
    let (mut rules, mut seen) = (HashMap::default(), HashMap::default());
    if !lacking.is_empty() {
        rules = tables.route_rules(&lacking).await?;
        seen = tables.route_places(&lacking, from_day).await?;
    }
    for (part, mut pool) in parts.iter_mut().zip(pools) {
        if let Some(rules) = rules.get(&part.site) {
            pool.fill(Bounds::routes(rules), seen.remove(&part.site).unwrap_or_default());
        }
        part.decided.overflow.routes =
            pool.decide(&mut part.beacons, &part.senders, |update| Some(&mut update.route));
        part.decided.routes = pool.given();
    }
    Ok(())
}

async fn bound_labels(
    tables: &mut dyn NameTables,
    parts: &mut [&mut Part],
    retained: &RetentionEdges,
) -> Result<(), StoreError> {
    let from_day = Grain::Day.step(retained.views_from_ms);
    let mut asked: Vec<Asked<'_>> = Vec::new();
    for part in parts.iter() {
        let labels = labels(&part.beacons).into_iter();
        asked.extend(labels.map(|(by, text)| Asked { site: part.site, dimension: Some(by), text }));
    }
    let (counts, mut known) = find(tables, Table::Labels, &asked).await?;
    let mut pools = Vec::with_capacity(parts.len());
    let mut lacking: Vec<(SiteId, Dimension)> = Vec::new();
    for part in parts.iter_mut() {
        pools.push(Dimension::LABELLED.map(|dimension| {
            let pool = pool(part, Some(dimension), from_day, &mut known);
            if pool.lacks_places(counts.get(&(part.site, Some(dimension))).copied().unwrap_or(0)) {
                lacking.push((part.site, dimension));
            }
            pool
        }));
    }
    lacking.sort_unstable();
    let mut places = match lacking.is_empty() {
        true => HashMap::default(),
        false => tables.label_places(&lacking, from_day).await?,
    };
    for (part, pools) in parts.iter_mut().zip(pools) {
        for (dimension, mut pool) in Dimension::LABELLED.into_iter().zip(pools) {
            if let Some((rows, seen)) = places.remove(&(part.site, dimension)) {
                pool.fill(Bounds::labels(dimension, retained, rows, part.decided.today), seen);
            }
            part.decided.overflow.labels[dimension.index()] =
                pool.decide(&mut part.beacons, &part.senders, |update| dimension.label_mut(update));
            part.decided.labels[dimension.index()] = pool.given();
        }
    }
    Ok(())
}

/// The number of names of each kind, and the stored ones of them.
type Counted = (HashMap<Kind, usize>, HashMap<Kind, Vec<(String, Stored)>>);

/// Counts names by kind, and finds the stored ones.
async fn find(tables: &mut dyn NameTables, table: Table, asked: &[Asked<'_>]) -> Result<Counted, StoreError> {
    let mut counts: HashMap<Kind, usize> = HashMap::default();
    for &Asked { site, dimension, .. } in asked {
        *counts.entry((site, dimension)).or_default() += 1;
    }
    let mut known: HashMap<Kind, Vec<(String, Stored)>> = HashMap::default();
    if !asked.is_empty() {
        for Found { site, dimension, text, stored } in tables.find(table, asked).await? {
            known.entry((site, dimension)).or_default().push((text, stored));
        }
    }
    Ok((counts, known))
}

/// Remembers the stored names of a kind, and starts their pool.
fn pool<'a>(
    part: &mut Part,
    dimension: Option<Dimension>,
    from_day: i32,
    known: &mut HashMap<Kind, Vec<(String, Stored)>>,
) -> Pool<'a> {
    let known = known.remove(&(part.site, dimension)).unwrap_or_default();
    known.iter().for_each(|(text, stored)| part.names.put(dimension, text, stored));
    Pool::new(from_day, part.decided.today, known)
}
