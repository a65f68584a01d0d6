//! The dictionary of texts in contexts of page views: per day, the code of each text.
//!
//! Like routes and labels, texts are not cached between loads. A text that was read stays until the transaction ends:
//! loads lock the row of `kept`, and a removal of texts of days within retention waits for that lock.

use crate::PostgresStore;
use crate::connection::Transaction;
use crate::error::{damaged, failed};
use crate::maintain::{hold_off_loads, wait_little};
use crate::sql::{alone, query};
use crate::view;
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
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Uuid;
use std::collections::BTreeSet;
use std::ops::Range;

const NAMING: &str = "reading or writing the texts of page views";

/// Page views that one step of [`clean`] reads.
const READ_VIEWS: i64 = 20_000;

/// A text of a site.
type SiteText<'a> = (SiteId, Text<'a>);

/// Limits the texts of batches, and finds the codes of the texts that exist. Servers that add the last allowed texts
/// concurrently may exceed a limit by the texts of one batch.
pub(crate) async fn bound(connection: &mut PgConnection, parts: &mut [Part]) -> Result<(), StoreError> {
    let mut asked: Vec<SiteText<'_>> = Vec::new();
    for part in parts.iter() {
        asked.extend(texts::of_beacons(&part.beacons).into_iter().map(|text| (part.site, text)));
    }
    let mut known = find(connection, &asked).await?;
    let is_lacking = |&&(site, text): &&SiteText<'_>| {
        known.get(&site).is_none_or(|known: &TextCodes| known.code(text).is_none())
    };
    let lacking: BTreeSet<(i64, i32)> =
        asked.iter().filter(is_lacking).map(|&(site, (day, ..))| (site.0, day)).collect();
    let counts = count(connection, lacking).await?;
    for part in parts {
        part.texts = known.remove(&part.site).unwrap_or_default();
        if let Some(counts) = counts.get(&part.site) {
            texts::bound(&mut part.beacons, &part.texts, counts);
        }
    }
    Ok(())
}

/// The number of texts of some sites and days, by kind.
async fn count(
    connection: &mut PgConnection,
    days: BTreeSet<(i64, i32)>,
) -> Result<HashMap<SiteId, HashMap<(i32, TextKind), usize>>, StoreError> {
    let mut counts: HashMap<SiteId, HashMap<(i32, TextKind), usize>> = HashMap::default();
    if days.is_empty() {
        return Ok(counts);
    }
    let (sites, days): (Vec<i64>, Vec<i32>) = days.into_iter().unzip();
    for &site in &sites {
        counts.entry(SiteId(site)).or_default();
    }
    let rows = query(
        "/* text.count */ select u.site_id, u.day, t.kind, t.count from unnest($2::bigint[], $3::integer[]) \
         u (site_id, day) cross join lateral (select t.kind, count(*) from context_text t \
         where ($1::bigint is null or t.site_id = $1) and t.site_id = u.site_id and t.day = u.day \
         and not t.retired group by t.kind) t",
    )
    .bind(alone(&sites))
    .bind(sites)
    .bind(days)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    for row in rows {
        let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get::<i64, _>(3)?));
        let (site, day, number, count): (i64, i32, i16, _) = read().map_err(failed(NAMING))?;
        if let Some(kind) = kind(number) {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            counts.entry(SiteId(site)).or_default().insert((day, kind), count);
        }
    }
    Ok(counts)
}

fn kind(number: i16) -> Option<TextKind> {
    TextKind::from_number(u8::try_from(number).ok()?)
}

/// Looks up texts, which must be in the order of their sites.
async fn find(
    connection: &mut PgConnection,
    asked: &[SiteText<'_>],
) -> Result<HashMap<SiteId, TextCodes>, StoreError> {
    let mut found: HashMap<SiteId, TextCodes> = HashMap::default();
    if asked.is_empty() {
        return Ok(found);
    }
    let (mut sites, mut days) = (Vec::<i64>::new(), Vec::<i32>::new());
    let (mut kinds, mut list) = (Vec::<i16>::new(), Vec::<&str>::new());
    for &(site, (day, kind, text)) in asked {
        sites.push(site.0);
        days.push(day);
        kinds.push(kind as i16);
        list.push(text);
    }
    let rows = query(
        "/* text.codes */ select t.site_id, t.day, t.kind, t.text, t.code \
         from unnest($2::bigint[], $3::integer[], $4::smallint[], $5::text[]) u (site_id, day, kind, text) \
         cross join lateral (select t.* from context_text t where ($1::bigint is null or t.site_id = $1) \
         and t.site_id = u.site_id and t.day = u.day and t.kind = u.kind and t.text = u.text and not t.retired \
         offset 0) t",
    )
    .bind(alone(&sites))
    .bind(sites)
    .bind(days)
    .bind(kinds)
    .bind(list)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    for row in &rows {
        let read = || {
            let (site, day, number): (i64, i32, i16) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            Ok((SiteId(site), day, number, row.try_get(3)?, row.try_get::<i32, _>(4)?))
        };
        let (site, day, number, text, code) = read().map_err(failed(NAMING))?;
        if let (Some(kind), Ok(code)) = (kind(number), Code::try_from(code)) {
            found.entry(site).or_default().insert(day, kind, text, code);
        }
    }
    Ok(found)
}

/// Adds the missing texts of changed page views, each under its first free code.
///
/// Servers that add the same texts concurrently insert them in the same order, which avoids deadlocks.
pub(crate) async fn add(connection: &mut PgConnection, parts: &mut [Part]) -> Result<(), StoreError> {
    let mut missing: Vec<SiteText<'_>> = Vec::new();
    let mut known: HashMap<SiteId, &mut TextCodes> = HashMap::default();
    for part in parts.iter_mut() {
        let texts = texts::of_changed(&part.merged.changed).into_iter();
        missing.extend(texts.filter(|&text| part.texts.code(text).is_none()).map(|text| (part.site, text)));
        known.insert(part.site, &mut part.texts);
    }
    for attempt in 0..=u8::MAX {
        if missing.is_empty() {
            return Ok(());
        }
        let (mut sites, mut days, mut list) = (Vec::<i64>::new(), Vec::<i32>::new(), Vec::<i32>::new());
        let (mut kinds, mut names) = (Vec::<i16>::new(), Vec::<&str>::new());
        for &(site, (day, kind, text)) in &missing {
            let code = text_code(kind, text, attempt);
            if is_free(code) {
                sites.push(site.0);
                days.push(day);
                list.push(code.into());
                kinds.push(kind as i16);
                names.push(text);
            }
        }
        query(
            "/* text.add */ insert into context_text (site_id, day, code, kind, text) \
             select * from unnest($1::bigint[], $2::integer[], $3::integer[], $4::smallint[], $5::text[]) \
             on conflict do nothing",
        )
        .bind(sites)
        .bind(days)
        .bind(list)
        .bind(kinds)
        .bind(names)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
        for (site, found) in find(connection, &missing).await? {
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
    connection: &mut PgConnection,
    site: SiteId,
    rows: &[PgRow],
) -> Result<TextNames, StoreError> {
    let mut asked = BTreeSet::new();
    for row in rows {
        ask(site, row, &mut asked)?;
    }
    Ok(of_codes(connection, asked).await?.remove(&site).unwrap_or_default())
}

/// Reads the texts to which rows of many sites refer; `site_of` tells the site of a row.
pub(crate) async fn of_sites(
    connection: &mut PgConnection,
    rows: &[PgRow],
    site_of: impl Fn(&PgRow) -> Result<SiteId, StoreError>,
) -> Result<HashMap<SiteId, TextNames>, StoreError> {
    let mut asked = BTreeSet::new();
    for row in rows {
        ask(site_of(row)?, row, &mut asked)?;
    }
    of_codes(connection, asked).await
}

/// Adds the codes to which a row refers.
fn ask(site: SiteId, row: &PgRow, asked: &mut BTreeSet<(SiteId, i32, Code)>) -> Result<(), StoreError> {
    let Some(bytes) = row.try_get::<Option<&[u8]>, _>(view::CONTEXT).map_err(failed(NAMING))? else {
        return Ok(());
    };
    let day = Grain::Day.step(view::read_id(row)?.start_ms());
    let context = decode(bytes).map_err(|_| damaged(NAMING, "a page view (context)"))?;
    codes(&context, |code| {
        asked.insert((site, day, code));
    });
    Ok(())
}

async fn of_codes(
    connection: &mut PgConnection,
    asked: BTreeSet<(SiteId, i32, Code)>,
) -> Result<HashMap<SiteId, TextNames>, StoreError> {
    let mut names: HashMap<SiteId, TextNames> = HashMap::default();
    if asked.is_empty() {
        return Ok(names);
    }
    let (mut sites, mut days, mut list) = (Vec::<i64>::new(), Vec::<i32>::new(), Vec::<i32>::new());
    for (site, day, code) in asked {
        sites.push(site.0);
        days.push(day);
        list.push(code.into());
    }
    let rows = query(
        "/* text.names */ select t.day, t.code, t.text, t.site_id \
         from unnest($2::bigint[], $3::integer[], $4::integer[]) u (site_id, day, code) \
         cross join lateral (select t.* from context_text t where ($1::bigint is null or t.site_id = $1) \
         and t.site_id = u.site_id and t.day = u.day and t.code = u.code offset 0) t",
    )
    .bind(alone(&sites))
    .bind(sites)
    .bind(days)
    .bind(list)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    for row in &rows {
        let site = row.try_get(3).map_err(failed(NAMING))?;
        name(row, names.entry(SiteId(site)).or_default())?;
    }
    Ok(names)
}

/// Reads all texts of a range of days.
pub(crate) async fn of_days(
    connection: &mut PgConnection,
    site: SiteId,
    days: Range<i32>,
) -> Result<TextNames, StoreError> {
    let found = query(
        "/* text.days */ select day, code, text from context_text \
         where site_id = $1 and day >= $2 and day < $3",
    )
    .bind(site.0)
    .bind(days.start)
    .bind(days.end)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    let mut names = TextNames::default();
    found.iter().try_for_each(|row| name(row, &mut names))?;
    Ok(names)
}

/// The distinct texts of a kind.
pub(crate) async fn all_of(
    store: &PostgresStore,
    site: SiteId,
    kind: TextKind,
) -> Result<Vec<String>, StoreError> {
    let mut transaction = store.read(NAMING).await?;
    let rows = query(
        "/* text.kind */ select distinct text from context_text where site_id = $1 and kind = $2 order by text",
    )
    .bind(site.0)
    .bind(kind as i16)
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(NAMING))?;
    rows.iter().map(|row| row.try_get(0).map_err(failed(NAMING))).collect()
}

/// Reads a row of day, code and text.
fn name(row: &PgRow, names: &mut TextNames) -> Result<(), StoreError> {
    let read = || Ok((row.try_get(0)?, row.try_get::<i32, _>(1)?, row.try_get(2)?));
    let (day, code, text) = read().map_err(failed(NAMING))?;
    if let Ok(code) = Code::try_from(code) {
        names.insert(day, code, text);
    }
    Ok(())
}

/// Marks days of erased page views, because their texts may be unused. A marked day is read from its start, even if it
/// was read before.
pub(crate) async fn doubt(
    connection: &mut PgConnection,
    site: SiteId,
    days: BTreeSet<i32>,
) -> Result<(), StoreError> {
    query(
        "/* text.doubt */ insert into context_text_doubt (site_id, day) \
         select $1, u.* from unnest($2::integer[]) u order by u on conflict (site_id, day) \
         do update set retired = false, place = null, used = '{}'",
    )
    .bind(site.0)
    .bind(days.into_iter().collect::<Vec<i32>>())
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed(NAMING))
}

/// The sites with marked days.
pub(crate) const DOUBTED: &str = "/* text.doubt.sites */ select distinct site_id from context_text_doubt";

/// Runs one step of removing unused texts, for the first marked day. Returns whether another step may be needed. Leaves
/// the rest to maintenance if loads cannot be blocked for a moment.
///
/// Page views are read while loads run, so a new page view may refer to a text that this step takes for unused.
/// Therefore unused texts are first retired: loads no longer find them, and add them again under another code. Then the
/// day is read again, which finds and keeps the texts to which earlier loads have referred.
pub(crate) async fn clean(mut transaction: Transaction, site: SiteId) -> Result<bool, StoreError> {
    // Blocks loads before it locks the day. Erasures have the same lock order: `kept`, then the marks of days.
    let unread = query(FIRST_DOUBT).bind(site.0).fetch_optional(&mut *transaction).await;
    let is_due = |doubt: MarkedDay| (doubt.is_read() && !doubt.retired).then_some(doubt.day);
    let to_retire =
        unread.map_err(failed(NAMING))?.map(|row| MarkedDay::of(&row)).transpose()?.and_then(is_due);
    if to_retire.is_some() {
        wait_little(&mut transaction).await?;
        if !hold_off_loads(&mut transaction).await? {
            return Ok(false);
        }
    }
    let row = query(NEXT_DOUBT).bind(site.0).fetch_optional(&mut *transaction).await;
    let Some(row) = row.map_err(failed(NAMING))? else { return Ok(false) };
    let mut doubt = MarkedDay::of(&row)?;
    let statement = match (doubt.is_read(), doubt.retired) {
        (false, _) => {
            read_some(&mut transaction, site, &mut doubt).await?;
            None
        }
        (true, true) => Some(CLEAN),
        (true, false) if to_retire == Some(doubt.day) => Some(RETIRE),
        // Another process has read the day to its end meanwhile.
        (true, false) => None,
    };
    if let Some(statement) = statement {
        query(statement)
            .bind(site.0)
            .bind(doubt.day)
            .bind(doubt.used.iter().copied().collect::<Vec<i32>>())
            .execute(&mut *transaction)
            .await
            .map_err(failed(NAMING))?;
        if doubt.retired {
            no_doubt(&mut transaction, site, doubt.day).await?;
        } else {
            let again = MarkedDay { day: doubt.day, retired: true, place: None, used: BTreeSet::new() };
            remember(&mut transaction, site, &again).await?;
        }
    } else {
        remember(&mut transaction, site, &doubt).await?;
    }
    transaction.commit().await.map_err(failed(NAMING))?;
    Ok(true)
}

const FIRST_DOUBT: &str = "/* text.doubt.first */ select day, retired, place, used from context_text_doubt \
    where site_id = $1 order by day limit 1";
/// The first day that no other transaction has locked. Locks the day until the transaction ends.
const NEXT_DOUBT: &str = "/* text.doubt.next */ select day, retired, place, used from context_text_doubt \
    where site_id = $1 order by day limit 1 for update skip locked";
const RETIRE: &str = "/* text.retire */ update context_text set retired = true where site_id = $1 and day = $2 \
    and not retired and code <> all($3)";
const CLEAN: &str = "/* text.clean */ delete from context_text where site_id = $1 and day = $2 and retired \
    and code <> all($3)";

/// A marked day, and the progress of reading it.
struct MarkedDay {
    day: i32,
    /// Whether unused texts are retired.
    retired: bool,
    place: Option<Uuid>,
    used: BTreeSet<i32>,
}

impl MarkedDay {
    fn of(row: &PgRow) -> Result<Self, StoreError> {
        let read = || {
            let used = row.try_get::<Vec<i32>, _>(3)?.into_iter().collect();
            Ok(Self { day: row.try_get(0)?, retired: row.try_get(1)?, place: row.try_get(2)?, used })
        };
        read().map_err(failed(NAMING))
    }

    /// The ids before the first id of the day and of the next day; no view has these ids.
    fn ids(&self) -> [Uuid; 2] {
        let start_ms = i64::from(self.day) * Grain::Day.step_ms();
        [start_ms, start_ms.saturating_add(Grain::Day.step_ms())].map(view::first_id)
    }

    /// Whether the day is read to its end.
    fn is_read(&self) -> bool {
        self.place == Some(self.ids()[1])
    }
}

async fn remember(connection: &mut PgConnection, site: SiteId, doubt: &MarkedDay) -> Result<(), StoreError> {
    query(
        "/* text.doubt.place */ update context_text_doubt set retired = $3, place = $4, used = $5 \
         where site_id = $1 and day = $2",
    )
    .bind(site.0)
    .bind(doubt.day)
    .bind(doubt.retired)
    .bind(doubt.place)
    .bind(doubt.used.iter().copied().collect::<Vec<i32>>())
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed(NAMING))
}

/// Reads the texts to which the next page views of a day refer.
async fn read_some(
    connection: &mut PgConnection,
    site: SiteId,
    doubt: &mut MarkedDay,
) -> Result<(), StoreError> {
    let [first, end] = doubt.ids();
    let mut rows = query(
        "/* text.used */ select id, context from page_view where site_id = $1 and id > $2 and id < $3 \
         order by id limit $4",
    )
    .bind(site.0)
    .bind(doubt.place.unwrap_or(first))
    .bind(end)
    .bind(READ_VIEWS)
    .fetch(connection);
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(failed(NAMING))? {
        count += 1;
        doubt.place = Some(row.try_get(0).map_err(failed(NAMING))?);
        if let Some(bytes) = row.try_get::<Option<&[u8]>, _>(1).map_err(failed(NAMING))? {
            let context = decode(bytes).map_err(|_| damaged(NAMING, "a page view (context)"))?;
            codes(&context, |code| {
                doubt.used.insert(code.into());
            });
        }
    }
    if count < READ_VIEWS {
        doubt.place = Some(end);
    }
    Ok(())
}

async fn no_doubt(connection: &mut PgConnection, site: SiteId, day: i32) -> Result<(), StoreError> {
    query("/* text.doubt.done */ delete from context_text_doubt where site_id = $1 and day = $2")
        .bind(site.0)
        .bind(day)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed(NAMING))
}

/// Whether a site has texts of days before `before`.
pub(crate) async fn any_before(
    connection: &mut PgConnection,
    site: SiteId,
    before: i32,
) -> Result<bool, StoreError> {
    query("/* text.old */ select exists (select 1 from context_text where site_id = $1 and day < $2)")
        .bind(site.0)
        .bind(before)
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed(NAMING))
}

/// Removes at most `limit` texts of days before `before`, and the marks of these days. Returns the number of texts.
pub(crate) async fn remove_some(
    connection: &mut PgConnection,
    site: SiteId,
    before: i32,
    limit: i64,
) -> Result<u64, StoreError> {
    query("/* text.doubt.remove */ delete from context_text_doubt where site_id = $1 and day < $2")
        .bind(site.0)
        .bind(before)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
    let removed = query(
        "/* text.remove */ delete from context_text t using (select day, code from context_text \
         where site_id = $1 and day < $2 order by day, code limit $3) old \
         where t.site_id = $1 and t.day = old.day and t.code = old.code",
    )
    .bind(site.0)
    .bind(before)
    .bind(limit)
    .execute(connection)
    .await
    .map_err(failed(NAMING))?;
    Ok(removed.rows_affected())
}
