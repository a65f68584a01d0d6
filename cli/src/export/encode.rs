//! Encodes rows as segments, and joins segments to a whole file. Parts of a file can be written in any process, because a
//! segment depends on its rows alone.

use super::columnar::{Buffers, Joined};
use super::schema::{Datum, Field};
use super::text::{Lines, Shape};
use clap::ValueEnum;
use std::io::Write;

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Apache Parquet, compressed with Snappy.
    Parquet,
    /// CSV with a header; a text that a spreadsheet would run as a formula begins with an apostrophe.
    Csv,
    /// A JSON object on each line.
    Jsonl,
}

impl Format {
    /// The name, as on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }
}

/// Consecutive rows of an export.
pub(super) struct Segment {
    /// Identifies the last row, so that an export can continue after it. Has no `_` and no `/`.
    pub(super) cursor: String,
    /// The rows.
    pub(super) encoder: Encoder,
}

/// Rows on their way into a segment.
pub(super) enum Encoder {
    Parquet(Buffers),
    Text(Lines),
}

impl Encoder {
    pub(super) fn new(format: Format, fields: &'static [Field]) -> Self {
        match format {
            Format::Parquet => Self::Parquet(Buffers::new(fields)),
            Format::Csv => Self::Text(Lines::new(Shape::Csv, fields)),
            Format::Jsonl => Self::Text(Lines::new(Shape::Json, fields)),
        }
    }

    /// Adds a row with a value for each column.
    pub(super) fn row(&mut self, row: &[Datum<'_>]) -> anyhow::Result<()> {
        match self {
            Self::Parquet(buffers) => {
                buffers.row(row);
                Ok(())
            }
            Self::Text(lines) => lines.row(row),
        }
    }

    /// The number of rows.
    pub(super) const fn rows(&self) -> u64 {
        match self {
            Self::Parquet(buffers) => buffers.rows(),
            Self::Text(lines) => lines.rows(),
        }
    }

    /// Returns the segment: a whole Parquet file with one row group, or lines without a header.
    pub(super) fn finish(self) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Parquet(buffers) => buffers.finish(),
            Self::Text(lines) => lines.finish(),
        }
    }
}

/// A file that is joined from segments.
pub(super) enum Whole<W: Write + Send> {
    Parquet(Joined<W>),
    Text(W),
}

impl<W: Write + Send> Whole<W> {
    /// Begins the file.
    pub(super) fn new(format: Format, fields: &'static [Field], mut out: W) -> anyhow::Result<Self> {
        Ok(match format {
            Format::Parquet => Self::Parquet(Joined::new(fields, out)?),
            Format::Csv => {
                out.write_all(&super::text::header(fields)?)?;
                Self::Text(out)
            }
            Format::Jsonl => Self::Text(out),
        })
    }

    /// Adds the next segment.
    pub(super) fn add(&mut self, segment: Vec<u8>) -> anyhow::Result<()> {
        match self {
            Self::Parquet(joined) => joined.add(segment),
            Self::Text(out) => Ok(out.write_all(&segment)?),
        }
    }

    /// Ends the file.
    pub(super) fn finish(self) -> anyhow::Result<W> {
        let mut out = match self {
            Self::Parquet(joined) => joined.finish()?,
            Self::Text(out) => out,
        };
        out.flush()?;
        Ok(out)
    }
}
