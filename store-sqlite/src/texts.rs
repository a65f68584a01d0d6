//! The dictionary of texts in contexts of page views: per day, the code of each text.

use crate::error::{damaged, failed};
use crate::maintain::REMOVE_VIEWS_MAX;
use crate::names::{json, packed};
use crate::{SqliteStore, view};
use fieldvitals_store::context::code::decode;
use fieldvitals_store::context::texts::{
    self, Code, Text, TextCodes, TextKind, TextNames, codes, is_free, text_code,
};
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::load::Part;
use fieldvitals_store::rollup::Grain;
use fieldvitals_store::{SiteId, StoreError};
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use std::collections::BTreeSet;
use std::ops::Range;

const NAMING: &str = "reading or writing the texts of page views";

/// A text of a site, as JSON.
type Asked<'a> = (i64, i32, u8, &'a str);

fn asked((site, (day, kind, text)): (SiteId, Text<'_>)) -> Asked<'_> {
    (site.0, day, kind as u8, text)
}

/// Limits the texts of batches, and finds the codes of the texts that exist.
pub(crate) async fn bound(connection: &mut SqliteConnection, parts: &mut [Part]) -> Result<(), StoreError> {
    let mut list: Vec<Asked<'_>> = Vec::new();
    for part in parts.iter() {
        list.extend(texts::of_beacons(&part.beacons).into_iter().map(|text| asked((part.site, text))));
    }
    let mut known = find(connection, &list).await?;
    let mut lacking: BTreeSet<(i64, i32)> = BTreeSet::new();
    for part in parts.iter_mut() {
        part.texts = known.remove(&part.site).unwrap_or_default();
        let texts = texts::of_beacons(&part.beacons).into_iter();
        lacking.extend(
            texts.filter(|&text| part.texts.code(text).is_none()).map(|(day, ..)| (part.site.0, day)),
        );
    }
    let counts = count(connection, &lacking).await?;
    for part in parts {
        if let Some(counts) = counts.get(&part.site) {
            texts::bound(&mut part.beacons, &part.texts, counts);
        }
    }
    Ok(())
}

/// The number of texts of some sites and days, by kind.
async fn count(
    connection: &mut SqliteConnection,
    days: &BTreeSet<(i64, i32)>,
) -> Result<HashMap<SiteId, HashMap<(i32, TextKind), usize>>, StoreError> {
    let mut counts: HashMap<SiteId, HashMap<(i32, TextKind), usize>> = HashMap::default();
    if days.is_empty() {
        return Ok(counts);
    }
    for &(site, _) in days {
        counts.entry(SiteId(site)).or_default();
    }
    let rows: Vec<(i64, i32, u8, i64)> = sqlx::query_as(
        "/* text.count */ select t.site_id, t.day, t.kind, count(*) from json_each(?) j \
         cross join context_text t on t.site_id = j.value ->> 0 and t.day = j.value ->> 1 \
         group by t.site_id, t.day, t.kind",
    )
    .bind(json(days)?)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    for (site, day, kind, count) in rows {
        if let Some(kind) = TextKind::from_number(kind) {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            counts.entry(SiteId(site)).or_default().insert((day, kind), count);
        }
    }
    Ok(counts)
}

/// Looks up texts of sites.
async fn find(
    connection: &mut SqliteConnection,
    asked: &[Asked<'_>],
) -> Result<HashMap<SiteId, TextCodes>, StoreError> {
    let mut found: HashMap<SiteId, TextCodes> = HashMap::default();
    if asked.is_empty() {
        return Ok(found);
    }
    let rows: Vec<(i64, i32, u8, String, Code)> = packed(
        connection,
        sqlx::query_scalar(
            "/* text.codes */ select json_group_array(json_array(t.site_id, t.day, t.kind, t.text, t.code)) \
             from json_each(?1) j cross join context_text t on t.site_id = j.value ->> 0 \
             and t.day = j.value ->> 1 and t.kind = j.value ->> 2 and t.text = j.value ->> 3",
        )
        .bind(json(asked)?),
    )
    .await?;
    for (site, day, kind, text, code) in rows {
        if let Some(kind) = TextKind::from_number(kind) {
            found.entry(SiteId(site)).or_default().insert(day, kind, text, code);
        }
    }
    Ok(found)
}

/// Adds the missing texts of changed page views, each under its first free code.
pub(crate) async fn add(connection: &mut SqliteConnection, parts: &mut [Part]) -> Result<(), StoreError> {
    let mut missing: Vec<(SiteId, Text<'_>)> = Vec::new();
    let mut known: HashMap<SiteId, &mut TextCodes> = HashMap::default();
    for part in parts {
        let texts = texts::of_changed(&part.merged.changed).into_iter();
        missing.extend(texts.filter(|&text| part.texts.code(text).is_none()).map(|text| (part.site, text)));
        known.insert(part.site, &mut part.texts);
    }
    for attempt in 0..=u8::MAX {
        if missing.is_empty() {
            return Ok(());
        }
        let rows: Vec<(i64, i32, Code, u8, &str)> = missing
            .iter()
            .map(|&(site, (day, kind, text))| (site.0, day, text_code(kind, text, attempt), kind as u8, text))
            .filter(|&(_, _, code, ..)| is_free(code))
            .collect();
        sqlx::query(
            "/* text.add */ insert into context_text (site_id, day, code, kind, text) \
             select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 from json_each(?) where true \
             on conflict do nothing",
        )
        .bind(json(&rows)?)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
        let list: Vec<Asked<'_>> = missing.iter().copied().map(asked).collect();
        for (site, found) in find(connection, &list).await? {
            if let Some(known) = known.get_mut(&site) {
                known.extend(found);
            }
        }
        missing.retain(|&(site, text)| known.get(&site).is_none_or(|known| known.code(text).is_none()));
    }
    Err(damaged(NAMING, "the table of texts: every code of a text is taken"))
}

/// Reads the texts to which rows of a site's page views refer; the first column of the rows is the id.
pub(crate) async fn of_rows(
    connection: &mut SqliteConnection,
    site: SiteId,
    rows: &[SqliteRow],
) -> Result<TextNames, StoreError> {
    Ok(of_sites(connection, rows, |_| Ok(site)).await?.remove(&site).unwrap_or_default())
}

/// Reads the texts to which rows of many sites refer; `site_of` tells the site of a row.
pub(crate) async fn of_sites(
    connection: &mut SqliteConnection,
    rows: &[SqliteRow],
    site_of: impl Fn(&SqliteRow) -> Result<SiteId, StoreError>,
) -> Result<HashMap<SiteId, TextNames>, StoreError> {
    let mut asked: BTreeSet<(i64, i32, Code)> = BTreeSet::new();
    for row in rows {
        let Some(bytes) = row.try_get::<Option<&[u8]>, _>(view::CONTEXT).map_err(failed(NAMING))? else {
            continue;
        };
        let (site, day) = (site_of(row)?, Grain::Day.step(view::read_id(row)?.start_ms()));
        let context = decode(bytes).map_err(|_| damaged(NAMING, "a page view (context)"))?;
        codes(&context, |code| {
            asked.insert((site.0, day, code));
        });
    }
    let mut names: HashMap<SiteId, TextNames> = HashMap::default();
    if asked.is_empty() {
        return Ok(names);
    }
    let found: Vec<(i64, i32, Code, String)> = sqlx::query_as(
        "/* text.names */ select t.site_id, t.day, t.code, t.text from json_each(?1) j \
         cross join context_text t on t.site_id = j.value ->> 0 and t.day = j.value ->> 1 and t.code = j.value ->> 2",
    )
    .bind(json(&asked)?)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    for (site, day, code, text) in found {
        names.entry(SiteId(site)).or_default().insert(day, code, text);
    }
    Ok(names)
}

/// Reads all texts of a range of days.
pub(crate) async fn of_days(
    connection: &mut SqliteConnection,
    site: SiteId,
    days: Range<i32>,
) -> Result<TextNames, StoreError> {
    let found: Vec<(i32, Code, String)> = sqlx::query_as(
        "/* text.days */ select day, code, text from context_text where site_id = ? and day >= ? and day < ?",
    )
    .bind(site.0)
    .bind(days.start)
    .bind(days.end)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    let mut names = TextNames::default();
    for (day, code, text) in found {
        names.insert(day, code, text);
    }
    Ok(names)
}

/// The distinct texts of a kind.
pub(crate) async fn all_of(
    store: &SqliteStore,
    site: SiteId,
    kind: TextKind,
) -> Result<Vec<String>, StoreError> {
    let mut transaction = store.read(NAMING).await?;
    sqlx::query_scalar(
        "/* text.kind */ select distinct text from context_text where site_id = ? and kind = ? order by text",
    )
    .bind(site.0)
    .bind(kind as u8)
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(NAMING))
}

/// Marks days of erased page views, because their texts may be unused.
pub(crate) async fn doubt(
    connection: &mut SqliteConnection,
    site: SiteId,
    days: &BTreeSet<i32>,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* text.doubt */ insert into context_text_doubt (site_id, day) \
         select ?1, value from json_each(?2) where true on conflict do nothing",
    )
    .bind(site.0)
    .bind(json(days)?)
    .execute(connection)
    .await
    .map_err(failed(NAMING))?;
    Ok(())
}

/// Removes the unused texts of the first marked day. Returns `false` if no day is marked.
pub(crate) async fn clean(store: &SqliteStore, site: SiteId) -> Result<bool, StoreError> {
    // Takes the write lock first, so that no load can refer to a text that is about to be removed.
    let mut transaction = store.write(NAMING).await?;
    let connection = &mut *transaction;
    let day: Option<i32> =
        sqlx::query_scalar("/* text.doubt.next */ select min(day) from context_text_doubt where site_id = ?")
            .bind(site.0)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed(NAMING))?;
    let Some(day) = day else { return Ok(false) };
    let mut used: BTreeSet<Code> = BTreeSet::new();
    {
        let start_ms = i64::from(day) * Grain::Day.step_ms();
        let mut rows = sqlx::query(
            "/* text.used */ select context from page_view \
             where site_id = ? and id >= ? and id < ? and context is not null",
        )
        .bind(site.0)
        .bind(view::first_id(start_ms))
        .bind(view::first_id(start_ms.saturating_add(Grain::Day.step_ms())))
        .fetch(&mut *connection);
        while let Some(row) = rows.try_next().await.map_err(failed(NAMING))? {
            let bytes: &[u8] = row.try_get(0).map_err(failed(NAMING))?;
            let context = decode(bytes).map_err(|_| damaged(NAMING, "a page view (context)"))?;
            codes(&context, |code| {
                used.insert(code);
            });
        }
    }
    sqlx::query(
        "/* text.clean */ delete from context_text where site_id = ?1 and day = ?2 \
         and code not in (select value from json_each(?3))",
    )
    .bind(site.0)
    .bind(day)
    .bind(json(&used)?)
    .execute(&mut *connection)
    .await
    .map_err(failed(NAMING))?;
    sqlx::query("/* text.doubt.done */ delete from context_text_doubt where site_id = ? and day = ?")
        .bind(site.0)
        .bind(day)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
    transaction.commit().await.map_err(failed(NAMING))?;
    Ok(true)
}

/// Removes the texts of days before `before`. Returns their number.
pub(crate) async fn remove(store: &SqliteStore, site: SiteId, before: i32) -> Result<u64, StoreError> {
    let mut removed = 0;
    loop {
        let rows = sqlx::query(
            "/* text.remove */ delete from context_text where site_id = ?1 and (day, code) in \
             (select day, code from context_text where site_id = ?1 and day < ?2 limit ?3)",
        )
        .bind(site.0)
        .bind(before)
        .bind(REMOVE_VIEWS_MAX as i64)
        .execute(&mut *store.connection().await?)
        .await
        .map_err(failed(NAMING))?
        .rows_affected();
        removed += rows;
        if rows < REMOVE_VIEWS_MAX {
            break;
        }
    }
    sqlx::query("/* text.doubt.remove */ delete from context_text_doubt where site_id = ? and day < ?")
        .bind(site.0)
        .bind(before)
        .execute(&mut *store.connection().await?)
        .await
        .map_err(failed(NAMING))?;
    Ok(removed)
}
