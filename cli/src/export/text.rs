//! Encodes rows as lines of CSV or JSON.

use super::schema::{Datum, Field};
use crate::output::csv::guarded;
use fieldvitals_server::report::time_text;
use std::borrow::Cow;
use std::io::Write as _;

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Csv,
    Json,
}

/// Lines under construction.
pub(super) struct Lines {
    shape: Shape,
    fields: &'static [Field],
    bytes: Vec<u8>,
    rows: u64,
}

impl Lines {
    pub(super) const fn new(shape: Shape, fields: &'static [Field]) -> Self {
        Self { shape, fields, bytes: Vec::new(), rows: 0 }
    }

    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn row(&mut self, row: &[Datum<'_>]) -> anyhow::Result<()> {
        self.rows += 1;
        match self.shape {
            Shape::Csv => csv_line(&mut self.bytes, row.iter().map(csv_text)),
            Shape::Json => json_line(&mut self.bytes, self.fields, row),
        }
    }

    pub(super) fn finish(self) -> anyhow::Result<Vec<u8>> {
        Ok(self.bytes)
    }
}

/// The first line of a CSV file: the names of the columns.
pub(super) fn header(fields: &[Field]) -> anyhow::Result<Vec<u8>> {
    let mut line = Vec::new();
    csv_line(&mut line, fields.iter().map(|field| Cow::Borrowed(field.name)))?;
    Ok(line)
}

fn csv_line<'a>(bytes: &mut Vec<u8>, values: impl Iterator<Item = Cow<'a, str>>) -> anyhow::Result<()> {
    let mut writer = csv::WriterBuilder::new().buffer_capacity(LINE_BYTES).from_writer(bytes);
    for value in values {
        writer.write_field(value.as_ref())?;
    }
    writer.write_record(None::<&[u8]>)?;
    Ok(writer.flush()?)
}

/// Bytes of a usual line, for the buffer of the writer.
const LINE_BYTES: usize = 1_024;

fn csv_text<'a>(value: &Datum<'a>) -> Cow<'a, str> {
    match value {
        Datum::Absent => Cow::Borrowed(""),
        Datum::Id(id) => id.text().into(),
        Datum::Time(ms) => time_text(*ms).into(),
        Datum::Day(ms) => crate::moment::day_text(*ms).into(),
        Datum::Text(text) => guarded(text).into(),
        Datum::Json(text) => guarded(text).into(),
        Datum::Number(number) => number.to_string().into(),
        Datum::Integer(number) => number.to_string().into(),
        Datum::Flag(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
    }
}

fn json_line(bytes: &mut Vec<u8>, fields: &[Field], row: &[Datum<'_>]) -> anyhow::Result<()> {
    let mut before = '{';
    for (field, value) in fields.iter().zip(row) {
        write!(bytes, "{before}\"{}\":", field.name)?;
        before = ',';
        match value {
            Datum::Absent => bytes.extend_from_slice(b"null"),
            Datum::Text(text) => serde_json::to_writer(&mut *bytes, text)?,
            // Already encoded.
            Datum::Json(text) => bytes.extend_from_slice(text.as_bytes()),
            // The texts of ids and times need no escapes.
            Datum::Id(_) | Datum::Time(_) | Datum::Day(_) => write!(bytes, "\"{}\"", csv_text(value))?,
            Datum::Number(_) | Datum::Integer(_) | Datum::Flag(_) => {
                bytes.extend_from_slice(csv_text(value).as_bytes());
            }
        }
    }
    bytes.extend_from_slice(b"}\n");
    Ok(())
}
