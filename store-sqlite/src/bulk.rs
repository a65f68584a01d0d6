//! Writes many rows with few statements.
//!
//! Each statement costs sqlx a round trip to the connection's thread, many times the work of one row. SQL text is
//! static, so each statement has three sizes, and a batch is split into as few statements as possible.
//!
//! The statements say `insert or fail` and insert only rows that do not exist. A multi-row statement that can be undone
//! alone (`or abort`, the default, or `on conflict do update`) makes SQLite copy every page to a file before changing
//! it. The surrounding transaction undoes failed statements.

use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

pub(crate) type Statement = Query<'static, Sqlite, SqliteArguments>;

/// The text of one statement for each size in [`ROWS`].
pub(crate) type Sizes = [&'static str; 3];

/// Rows per statement, largest first.
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

/// Builds the three sizes of `before row, row…`.
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

/// Writes all rows with as few statements as possible; `bind` binds one row.
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
