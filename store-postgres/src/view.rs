//! Maps page views to rows.

use crate::error::damaged;
use crate::sql::Statement;
use fieldvitals_store::context::code::decode;
use fieldvitals_store::context::texts::{TextCodes, TextNames};
use fieldvitals_store::dimension::{device_code, device_of_code};
use fieldvitals_store::rollup::Grain;
use fieldvitals_store::{
    Context, SiteId, Source, StoreError, StoredView, ViewUpdate, Weight, pack_times, pack_url, unpack_times,
    unpack_url,
};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use vitals::metric::{Metric, Value, Values};
use vitals::view::{NavigationType, Os, TtiGap, ViewId};

/// Replaces views: `$1` the site if there is only one (see [`crate::sql`]), then [`Columns`], `$26` and `$27` the first
/// and the last id, which exclude partitions of other days.
pub(crate) const REPLACE: &str = "/* view.replace */ update page_view v set seq = u.seq, \
    received_ms = u.received_ms, url = u.url, route_id = u.route_id, navigation_type = u.navigation_type, \
    device = u.device, connection = u.connection, country = u.country, release = u.release, \
    tti_gap = u.tti_gap, lcp = u.lcp, inp = u.inp, cls = u.cls, fcp = u.fcp, ttfb = u.ttfb, fid = u.fid, \
    tti = u.tti, foreign_received = u.foreign_received, browser = u.browser, weight = u.weight, context = u.context, \
    os = u.os \
    from unnest($2::bigint[], $3::uuid[], $4::integer[], $5::bigint[], $6::text[], \
    $7::bigint[], $8::smallint[], $9::smallint[], $10::text[], $11::text[], $12::text[], $13::smallint[], \
    $14::integer[], $15::integer[], $16::integer[], $17::integer[], $18::integer[], $19::integer[], \
    $20::integer[], $21::bytea[], $22::text[], $23::integer[], $24::bytea[], $25::smallint[]) u (site_id, id, seq, received_ms, url, route_id, navigation_type, device, \
    connection, country, release, tti_gap, lcp, inp, cls, fcp, ttfb, fid, tti, foreign_received, browser, \
    weight, context, os) where ($1::bigint is null or v.site_id = $1) and v.site_id = u.site_id and v.id = u.id \
    and v.id >= $26 and v.id <= $27";

/// Locks stored views against concurrent changes, and returns their sites and ids: `$1` the site if there is only one
/// (see [`crate::sql`]), `$2` and `$3` sites and ids in order, `$4` and `$5` the first and the last id, which exclude
/// partitions of other days. Locking in the order of sites and ids avoids deadlocks between loaders. Views are read by
/// a separate statement, because a statement that waited for a lock still joins with its snapshot from before the wait.
///
/// Each id is looked up in the index, whatever the statistics of a new day are. Scanning the page views of a day would
/// take as long as many loads.
pub(crate) const LOCK: &str = "/* view.lock */ select v.site_id, v.id from unnest($2::bigint[], $3::uuid[]) u (site_id, id) \
    cross join lateral (select v.site_id, v.id from page_view v where ($1::bigint is null or v.site_id = $1) \
    and v.site_id = u.site_id and v.id = u.id and v.id >= $4 and v.id <= $5 for no key update of v) v";

/// Reads views for [`read`], and the site of each as the last column. The parameters are those of [`LOCK`].
pub(crate) const KNOWN: &str = "/* view.known */ select v.id, v.seq, v.received_ms, v.url, r.route, \
    v.navigation_type, v.device, v.connection, v.country, v.release, v.tti_gap, v.lcp, v.inp, v.cls, v.fcp, \
    v.ttfb, v.fid, v.tti, v.foreign_received, v.browser, v.weight, v.context, v.os, v.site_id \
    from unnest($2::bigint[], $3::uuid[]) u (site_id, id) cross join lateral (select v.* from page_view v \
    where ($1::bigint is null or v.site_id = $1) and v.site_id = u.site_id and v.id = u.id and v.id >= $4 \
    and v.id <= $5 offset 0) v cross join lateral (select r.route from route r \
    where ($1::bigint is null or r.site_id = $1) and r.site_id = v.site_id and r.route_id = v.route_id offset 0) r";

/// The index of the site in the rows of [`KNOWN`].
pub(crate) const SITE: usize = 23;

/// Reads one view for [`read`]: `$1` the site, `$2` the id.
pub(crate) const ONE: &str = "/* view.read */ select v.id, v.seq, v.received_ms, v.url, r.route, \
    v.navigation_type, v.device, v.connection, v.country, v.release, v.tti_gap, v.lcp, v.inp, v.cls, v.fcp, \
    v.ttfb, v.fid, v.tti, v.foreign_received, v.browser, v.weight, v.context, v.os \
    from page_view v join route r on r.site_id = v.site_id and r.route_id = v.route_id \
    where v.site_id = $1 and v.id = $2";

/// Reads views by id for [`read`]: `$1` the site, `$2` the exclusive lower bound and `$3` the inclusive lower bound of
/// ids, `$4` the number of views.
pub(crate) const PAGE: &str = "/* view.page */ select v.id, v.seq, v.received_ms, v.url, r.route, \
    v.navigation_type, v.device, v.connection, v.country, v.release, v.tti_gap, v.lcp, v.inp, v.cls, v.fcp, \
    v.ttfb, v.fid, v.tti, v.foreign_received, v.browser, v.weight, v.context, v.os \
    from (select * from page_view where site_id = $1 and id > $2 and id >= $3 order by id limit $4) v \
    join route r on r.site_id = v.site_id and r.route_id = v.route_id \
    where r.site_id = $1 order by v.id";

/// Reads the counted columns of views for [`read_counted`]: `$1` the site, `$2` the first id and `$3` the exclusive
/// end.
pub(crate) const COUNTED: &str = "/* view.counted */ select id, route_id, navigation_type, device, \
    connection, country, release, browser, lcp, inp, cls, fcp, ttfb, fid, tti, weight from page_view \
    where site_id = $1 and id >= $2 and id < $3";

/// Converts an id for the driver.
pub(crate) fn uuid(id: ViewId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// Views, one list per column.
#[derive(Default)]
pub(crate) struct Columns {
    site: Vec<i64>,
    id: Vec<Uuid>,
    seq: Vec<Option<i32>>,
    received_ms: Vec<i64>,
    url: Vec<String>,
    route_id: Vec<i64>,
    navigation_type: Vec<Option<i16>>,
    device: Vec<i16>,
    connection: Vec<Option<String>>,
    country: Vec<Option<String>>,
    release: Vec<Option<String>>,
    tti_gap: Vec<Option<i16>>,
    values: [Vec<Option<i32>>; Metric::COUNT],
    foreign_received: Vec<Option<Vec<u8>>>,
    browser: Vec<Option<String>>,
    weight: Vec<Option<i32>>,
    context: Vec<Option<Vec<u8>>>,
    os: Vec<Option<i16>>,
}

impl Columns {
    /// Adds a view.
    pub(crate) fn push(&mut self, site: SiteId, view: &StoredView, route_id: i64, texts: &TextCodes) {
        let update = &view.update;
        let (seq, foreign_received) = source(view);
        self.site.push(site.0);
        self.id.push(uuid(update.id));
        self.seq.push(seq);
        self.received_ms.push(update.received_ms);
        self.url.push(pack_url(&update.url, &update.route));
        self.route_id.push(route_id);
        self.navigation_type.push(update.navigation_type.map(|kind| kind as i16));
        self.device.push(i16::from(device_code(update.device)));
        self.connection.push(update.connection.clone());
        self.country.push(update.country.clone());
        self.release.push(update.release.clone());
        self.tti_gap.push(update.tti_gap.map(|gap| gap as i16));
        for metric in Metric::ALL {
            self.values[metric.index()].push(micros(update, metric));
        }
        self.foreign_received.push(foreign_received);
        self.browser.push(update.browser.clone());
        self.weight.push(update.weight.stored());
        self.context.push(texts.encode(update));
        self.os.push(update.os.map(|os| os as i16));
    }

    /// Binds all columns, in the order of [`REPLACE`].
    pub(crate) fn bind(self, statement: Statement) -> Statement {
        let statement = statement
            .bind(self.site)
            .bind(self.id)
            .bind(self.seq)
            .bind(self.received_ms)
            .bind(self.url)
            .bind(self.route_id)
            .bind(self.navigation_type)
            .bind(self.device)
            .bind(self.connection)
            .bind(self.country)
            .bind(self.release)
            .bind(self.tti_gap);
        self.values
            .into_iter()
            .fold(statement, Statement::bind)
            .bind(self.foreign_received)
            .bind(self.browser)
            .bind(self.weight)
            .bind(self.context)
            .bind(self.os)
    }
}

/// Returns the columns of a view's source: the snapshot's number, or the times of another library's metrics.
pub(crate) fn source(view: &StoredView) -> (Option<i32>, Option<Vec<u8>>) {
    match view.update.source {
        Source::Own { seq } => (Some(seq.cast_signed()), None),
        Source::Foreign => (None, Some(pack_times(&view.received_ms))),
    }
}

/// Returns a metric's value for its column.
pub(crate) fn micros(update: &ViewUpdate, metric: Metric) -> Option<i32> {
    update.values.get(metric).and_then(|value| i32::try_from(value.micros()).ok())
}

const _: () =
    assert!(vitals::limits::TIME_MS_MAX as u64 * 1_000 <= i32::MAX as u64, "a time fits an integer");
const _: () = assert!(vitals::limits::CLS_MAX as u64 * 1_000_000 <= i32::MAX as u64, "a score fits too");

/// The index of the context in the rows of [`KNOWN`], [`ONE`] and [`PAGE`].
pub(crate) const CONTEXT: usize = 21;

/// Reads a row of [`KNOWN`], [`ONE`] or [`PAGE`], with the texts of its context.
pub(crate) fn read(row: &PgRow, texts: &TextNames) -> Result<StoredView, StoreError> {
    parse(row, texts).map_err(|error| damaged("reading a page view", format!("a page view ({error})")))
}

/// Reads the id in the first column.
pub(crate) fn read_id(row: &PgRow) -> Result<ViewId, StoreError> {
    id(row).map_err(|error| damaged("reading a page view", format!("a page view ({error})")))
}

/// Reads a row of [`COUNTED`]: the id of the view's route, and the view with only its counted fields.
pub(crate) fn read_counted(row: &PgRow) -> Result<(i64, ViewUpdate), StoreError> {
    let parse = || {
        let view = ViewUpdate {
            id: id(row)?,
            source: Source::Foreign,
            received_ms: 0,
            url: String::new(),
            route: String::new(),
            navigation_type: code(row.try_get(2)?, NavigationType::from_number),
            device: code(row.try_get(3)?, device_of_code),
            connection: row.try_get(4)?,
            country: row.try_get(5)?,
            release: row.try_get(6)?,
            browser: row.try_get(7)?,
            os: None,
            tti_gap: None,
            values: values(row, 8)?,
            weight: Weight::from_stored(row.try_get(15)?),
            context: Context::NONE,
        };
        Ok((row.try_get(1)?, view))
    };
    parse().map_err(|error: sqlx::Error| damaged("reading a page view", format!("a page view ({error})")))
}

/// Reads the start of a view from the column of its id.
pub(crate) fn start_ms(row: &PgRow, column: usize) -> Result<i64, sqlx::Error> {
    let id = row.try_get::<Uuid, _>(column)?;
    let id = ViewId::from_bytes(id.into_bytes());
    id.map(|id| id.start_ms()).ok_or_else(|| sqlx::Error::Decode("id".into()))
}

fn id(row: &PgRow) -> Result<ViewId, sqlx::Error> {
    let id = row.try_get::<Uuid, _>(0)?;
    ViewId::from_bytes(id.into_bytes()).ok_or_else(|| sqlx::Error::Decode("id".into()))
}

fn parse(row: &PgRow, texts: &TextNames) -> Result<StoredView, sqlx::Error> {
    let wrong = |what: &str| sqlx::Error::Decode(what.into());
    let id = id(row)?;
    let source = match row.try_get::<Option<i32>, _>(1)? {
        Some(seq) => Source::Own { seq: seq.cast_unsigned() },
        None => Source::Foreign,
    };
    let received_ms = match row.try_get::<Option<&[u8]>, _>(18)? {
        Some(bytes) => unpack_times(bytes).ok_or_else(|| wrong("foreign_received"))?,
        None => [0; Metric::COUNT],
    };
    let context = match row.try_get::<Option<&[u8]>, _>(CONTEXT)? {
        Some(bytes) => {
            let context = decode(bytes).map_err(|_| wrong("context"))?;
            texts.name(Grain::Day.step(id.start_ms()), &context)
        }
        None => Context::NONE,
    };
    let route: String = row.try_get(4)?;
    Ok(StoredView {
        update: ViewUpdate {
            id,
            source,
            received_ms: row.try_get(2)?,
            url: unpack_url(row.try_get(3)?, &route),
            route,
            navigation_type: code(row.try_get(5)?, NavigationType::from_number),
            device: code(row.try_get(6)?, device_of_code),
            browser: row.try_get(19)?,
            os: code(row.try_get(22)?, Os::from_number),
            connection: row.try_get(7)?,
            country: row.try_get(8)?,
            release: row.try_get(9)?,
            tti_gap: code(row.try_get(10)?, TtiGap::from_number),
            values: values(row, 11)?,
            weight: Weight::from_stored(row.try_get(20)?),
            context,
        },
        received_ms,
    })
}

const _: () = assert!(Metric::COUNT == 7, "statements and indexes of columns in this file name each metric");

/// Reads the metrics from the columns that begin at `first`.
pub(crate) fn values(row: &PgRow, first: usize) -> Result<Values, sqlx::Error> {
    let mut values = Values::EMPTY;
    for metric in Metric::ALL {
        let micros = row.try_get::<Option<i32>, _>(first + metric.index())?;
        let value = micros.and_then(|micros| Value::from_micros(metric, u32::try_from(micros).ok()?));
        values.set(metric, value);
    }
    Ok(values)
}

fn code<T>(number: Option<i16>, from_number: impl Fn(u8) -> Option<T>) -> Option<T> {
    from_number(u8::try_from(number?).ok()?)
}

/// Returns the smallest id of a view that starts at or after a time: 48 bits of milliseconds, then zeros. For times
/// that exceed 48 bits, returns the largest UUID, which no view has.
pub(crate) fn first_id(start_ms: i64) -> Uuid {
    let number = match u128::try_from(start_ms) {
        Ok(start_ms) if start_ms < 1 << 48 => start_ms << 80,
        Ok(_) => u128::MAX,
        Err(_) => 0,
    };
    Uuid::from_u128(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_time_is_a_range_of_ids() {
        let start_ms = 1_763_632_800_123;
        for random in [0, u128::MAX] {
            let id = uuid(ViewId::new(start_ms as u64, random));
            assert!(first_id(start_ms) <= id);
            assert!(first_id(start_ms + 1) > id);
        }
        let last = uuid(ViewId::new((1 << 48) - 1, u128::MAX));
        assert!(first_id(i64::MAX) > last);
        assert!(first_id(i64::MIN) <= uuid(ViewId::new(0, 0)));
    }
}
