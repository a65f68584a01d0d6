//! Statements that write many rows at once.
//!
//! A statement costs sqlx a trip to the connection's thread, many times the work of one row. SQL text is
//! static, so a statement comes in three sizes; a batch is cut into as few of them as it takes.
//!
//! They say `insert or fail`, into a place that is empty: of a statement of many rows that could be undone alone
//! (`or abort`, which is the default, or `on conflict do update`), SQLite copies every page before it changes it, and
//! writes the copies to a file. The transaction around them is what is undone.

use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

pub(crate) type Statement = Query<'static, Sqlite, SqliteArguments>;

/// One statement's text for [`ROWS`] numbers of rows.
pub(crate) type Sizes = [&'static str; 3];

/// The numbers of rows of the three sizes.
const ROWS: [usize; 3] = [128, 16, 1];

macro_rules! times {
    (128, $row:literal) => {
        concat!(
            $crate::bulk::times!(16, $row),
            ",",
            $crate::bulk::times!(16, $row),
            ",",
            $crate::bulk::times!(16, $row),
            ",",
            $crate::bulk::times!(16, $row),
            ",",
            $crate::bulk::times!(16, $row),
            ",",
            $crate::bulk::times!(16, $row),
            ",",
            $crate::bulk::times!(16, $row),
            ",",
            $crate::bulk::times!(16, $row)
        )
    };
    (16, $row:literal) => {
        concat!(
            $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row,
            ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row
        )
    };
}
pub(crate) use times;

/// The three sizes of `before row, row…`.
macro_rules! sizes {
    ($before:expr, $row:literal) => {
        [
            concat!($before, $crate::bulk::times!(128, $row)),
            concat!($before, $crate::bulk::times!(16, $row)),
            concat!($before, $row),
        ]
    };
}
pub(crate) use sizes;

/// Writes all rows with as few statements as their sizes allow; `bind` binds one row.
pub(crate) async fn write<T>(
    connection: &mut SqliteConnection,
    sizes: &Sizes,
    rows: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    bind: impl Fn(Statement, T) -> Statement,
) -> Result<(), sqlx::Error> {
    let mut rows = rows.into_iter();
    for (&sql, &size) in sizes.iter().zip(&ROWS) {
        while rows.len() >= size {
            rows.by_ref().take(size).fold(sqlx::query(sql), &bind).execute(&mut *connection).await?;
        }
    }
    Ok(())
}
