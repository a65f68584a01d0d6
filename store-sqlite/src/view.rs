//! Maps page views to rows.

use crate::bulk::{Sizes, Statement, sizes};
use crate::error::damaged;
use fieldvitals_store::context::code::decode;
use fieldvitals_store::context::texts::TextNames;
use fieldvitals_store::dimension::{device_code, device_of_code};
use fieldvitals_store::rollup::Grain;
use fieldvitals_store::{
    Context, SiteId, Source, StoreError, StoredView, ViewUpdate, Weight, pack_times, pack_url, unpack_times,
    unpack_url,
};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use vitals::metric::{Metric, Value, Values};
use vitals::view::{NavigationType, Os, TtiGap, ViewId};

/// Removes views, by a list of sites and ids.
pub(crate) const REMOVE: &str = "/* view.replaced */ delete from page_view where (site_id, id) in \
     (select value ->> 0, unhex(value ->> 1) from json_each(?1))";

/// Inserts new views.
pub(crate) const PUT: Sizes = sizes!(
    "/* view.put */ insert or fail into page_view (site_id, id, seq, received_ms, url, route_id, navigation_type, \
     device, browser, connection, country, release, tti_gap, lcp, inp, cls, fcp, ttfb, fid, tti, \
     foreign_received, weight, context, os) values ",
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
);

/// Binds a view to one row of [`PUT`].
pub(crate) fn bind(
    statement: Statement,
    site: SiteId,
    view: StoredView,
    route_id: i64,
    context: Option<Vec<u8>>,
) -> Statement {
    let update = view.update;
    let (seq, foreign_received) = match update.source {
        Source::Own { seq } => (Some(i64::from(seq)), None),
        Source::Foreign => (None, Some(pack_times(&view.received_ms))),
    };
    let statement = statement
        .bind(site.0)
        .bind(update.id.as_bytes().as_slice())
        .bind(seq)
        .bind(update.received_ms)
        .bind(pack_url(&update.url, &update.route))
        .bind(route_id)
        .bind(update.navigation_type.map(|kind| kind as i64))
        .bind(i64::from(device_code(update.device)))
        .bind(update.browser)
        .bind(update.connection)
        .bind(update.country)
        .bind(update.release)
        .bind(update.tti_gap.map(|gap| gap as i64));
    Metric::ALL
        .into_iter()
        .fold(statement, |statement, metric| {
            statement.bind(update.values.get(metric).map(|value| i64::from(value.micros())))
        })
        .bind(foreign_received)
        .bind(update.weight.stored())
        .bind(context)
        .bind(update.os.map(|os| os as i64))
}

/// The columns of [`PUT`] after `site_id`, of a `page_view v`, with the text of its `route r` instead of the route's
/// id.
macro_rules! columns {
    () => {
        "v.id, v.seq, v.received_ms, v.url, r.route, v.navigation_type, v.device, v.browser, v.connection, \
         v.country, v.release, v.tti_gap, v.lcp, v.inp, v.cls, v.fcp, v.ttfb, v.fid, v.tti, \
         v.foreign_received, v.weight, v.context, v.os"
    };
}
pub(crate) use columns;

/// The number of [`columns`].
pub(crate) const COLUMNS: usize = 23;

/// The index of the context in [`columns`].
pub(crate) const CONTEXT: usize = 21;

/// Reads a row of [`columns`]. Omits the context if `texts` is `None`.
pub(crate) fn read(row: &SqliteRow, texts: Option<&TextNames>) -> Result<StoredView, StoreError> {
    parse(row, texts).map_err(|error| wrong(&error))
}

/// Reads the id in the first column.
pub(crate) fn read_id(row: &SqliteRow) -> Result<ViewId, StoreError> {
    id(row).map_err(|error| wrong(&error))
}

fn wrong(error: &sqlx::Error) -> StoreError {
    damaged("reading a page view", format!("a page view ({error})"))
}

/// The id of a page view, in the first column.
fn id(row: &SqliteRow) -> Result<ViewId, sqlx::Error> {
    let id = row.try_get::<&[u8], _>(0)?;
    id.try_into().ok().and_then(ViewId::from_bytes).ok_or_else(|| sqlx::Error::Decode("id".into()))
}

fn parse(row: &SqliteRow, texts: Option<&TextNames>) -> Result<StoredView, sqlx::Error> {
    let number = |place: usize| row.try_get::<Option<i64>, _>(place);
    let wrong = |what: &str| sqlx::Error::Decode(what.into());
    let id = id(row)?;
    let source = match number(1)? {
        Some(seq) => Source::Own { seq: u32::try_from(seq).map_err(|_| wrong("seq"))? },
        None => Source::Foreign,
    };
    let received_ms = match row.try_get::<Option<&[u8]>, _>(19)? {
        Some(bytes) => unpack_times(bytes).ok_or_else(|| wrong("foreign_received"))?,
        None => [0; Metric::COUNT],
    };
    let context = match (texts, row.try_get::<Option<&[u8]>, _>(CONTEXT)?) {
        (Some(texts), Some(bytes)) => {
            let context = decode(bytes).map_err(|_| wrong("context"))?;
            texts.name(Grain::Day.step(id.start_ms()), &context)
        }
        _ => Context::NONE,
    };
    let route: String = row.try_get(4)?;
    Ok(StoredView {
        update: ViewUpdate {
            id,
            source,
            received_ms: row.try_get(2)?,
            url: unpack_url(row.try_get(3)?, &route),
            route,
            navigation_type: code(number(5)?, NavigationType::from_number),
            device: code(number(6)?, device_of_code),
            browser: row.try_get(7)?,
            os: code(number(22)?, Os::from_number),
            connection: row.try_get(8)?,
            country: row.try_get(9)?,
            release: row.try_get(10)?,
            tti_gap: code(number(11)?, TtiGap::from_number),
            values: values(row, 12)?,
            weight: Weight::from_stored(row.try_get(20)?),
            context,
        },
        received_ms,
    })
}

const _: () = assert!(Metric::COUNT == 7, "statements and indexes of columns in this file name each metric");

/// Reads the start of a view from the column of its id.
pub(crate) fn start_ms(row: &SqliteRow, column: usize) -> Result<i64, sqlx::Error> {
    let id: &[u8] = row.try_get(column)?;
    let id = id.try_into().ok().and_then(ViewId::from_bytes);
    id.map(|id| id.start_ms()).ok_or_else(|| sqlx::Error::Decode("id".into()))
}

/// Reads the metrics from the columns that begin at `first`.
pub(crate) fn values(row: &SqliteRow, first: usize) -> Result<Values, sqlx::Error> {
    let mut values = Values::EMPTY;
    for metric in Metric::ALL {
        let micros = row.try_get::<Option<i64>, _>(first + metric.index())?;
        let value = micros.and_then(|micros| Value::from_micros(metric, u32::try_from(micros).ok()?));
        values.set(metric, value);
    }
    Ok(values)
}

fn code<T>(number: Option<i64>, from_number: impl Fn(u8) -> Option<T>) -> Option<T> {
    from_number(u8::try_from(number?).ok()?)
}

/// Returns the smallest id of a view that starts at or after a time: 48 bits of milliseconds, then zeros.
pub(crate) fn first_id(start_ms: i64) -> Vec<u8> {
    if start_ms >= 1 << 48 {
        // Greater than every id.
        return vec![0xff; 17];
    }
    let mut id = vec![0; 16];
    for (byte, bits) in id.iter_mut().zip(&start_ms.max(0).to_be_bytes()[2..]) {
        *byte = *bits;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_time_is_a_range_of_ids() {
        let start_ms = 1_763_632_800_123;
        for random in [0, u128::MAX] {
            let id = ViewId::new(start_ms as u64, random);
            assert!(first_id(start_ms).as_slice() <= id.as_bytes().as_slice());
            assert!(first_id(start_ms + 1).as_slice() > id.as_bytes().as_slice());
        }
        let last = ViewId::new((1 << 48) - 1, u128::MAX);
        assert!(first_id(i64::MAX).as_slice() > last.as_bytes().as_slice());
        assert!(first_id(i64::MIN).as_slice() <= ViewId::new(0, 0).as_bytes().as_slice());
    }
}
