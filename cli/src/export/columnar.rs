//! Encodes rows as row groups of Parquet.
//!
//! A segment is a whole file with one row group. [`Joined`] copies the encoded columns of segments into one file, without
//! decoding them.

use super::schema::{Datum, Field, Kind};
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use fieldvitals_store::rollup::DAY_MS;
use parquet::basic::{Compression, Encoding};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, Int32Type,
    Int64Type,
};
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};
use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;

const ID_BYTES: usize = 16;

/// The rows of a segment, by column.
pub(super) struct Buffers {
    fields: &'static [Field],
    columns: Vec<Buffer>,
    rows: u64,
}

/// The values of a column.
struct Buffer {
    /// Of each row, whether it has a value: 1, else 0.
    levels: Vec<i16>,
    values: Values,
}

/// The values that are there, in the type of storage.
enum Values {
    /// Texts one after the other, and the end of each.
    Texts(Vec<u8>, Vec<usize>),
    /// Ids one after the other.
    Ids(Vec<u8>),
    Integers(Vec<i64>),
    Days(Vec<i32>),
    Numbers(Vec<f64>),
    Flags(Vec<bool>),
}

impl Buffers {
    pub(super) fn new(fields: &'static [Field]) -> Self {
        let columns =
            fields.iter().map(|field| Buffer { levels: Vec::new(), values: Values::of(field.kind) });
        Self { fields, columns: columns.collect(), rows: 0 }
    }

    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn row(&mut self, row: &[Datum<'_>]) {
        self.rows += 1;
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.levels.push(i16::from(column.values.push(value)));
        }
    }

    pub(super) fn finish(self) -> anyhow::Result<Vec<u8>> {
        let Self { fields, columns, rows: _ } = self;
        let mut file = SerializedFileWriter::new(Vec::new(), schema(fields)?, properties(fields))?;
        let mut group = file.next_row_group()?;
        for Buffer { levels, values } in columns {
            let mut column = group.next_column()?.context("a row group has a writer for each column")?;
            values.write(&mut column, &levels)?;
            column.close()?;
        }
        group.close()?;
        Ok(file.into_inner()?)
    }
}

impl Values {
    const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Id => Self::Ids(Vec::new()),
            Kind::Text | Kind::Json => Self::Texts(Vec::new(), Vec::new()),
            Kind::Time | Kind::Integer => Self::Integers(Vec::new()),
            Kind::Day => Self::Days(Vec::new()),
            Kind::Number => Self::Numbers(Vec::new()),
            Kind::Flag => Self::Flags(Vec::new()),
        }
    }

    /// Adds a value. Returns `false` if the row has none.
    fn push(&mut self, value: &Datum<'_>) -> bool {
        match (self, value) {
            (Self::Texts(bytes, ends), Datum::Text(text)) => push_text(bytes, ends, text),
            (Self::Texts(bytes, ends), Datum::Json(text)) => push_text(bytes, ends, text),
            (Self::Ids(bytes), Datum::Id(id)) => bytes.extend_from_slice(id.as_bytes()),
            (Self::Integers(numbers), Datum::Time(number) | Datum::Integer(number)) => numbers.push(*number),
            (Self::Days(days), Datum::Day(ms)) => {
                days.push(i32::try_from(ms.div_euclid(DAY_MS)).unwrap_or(i32::MAX));
            }
            (Self::Numbers(numbers), Datum::Number(number)) => numbers.push(*number),
            (Self::Flags(flags), Datum::Flag(flag)) => flags.push(*flag),
            // Tests compare the types of rows and columns.
            _ => return false,
        }
        true
    }

    fn write(self, column: &mut SerializedColumnWriter<'_>, levels: &[i16]) -> anyhow::Result<()> {
        let levels = Some(levels);
        match self {
            Self::Texts(bytes, ends) => {
                // Slices share the bytes.
                let (bytes, mut start) = (Bytes::from(bytes), 0);
                let text = |end| ByteArray::from(bytes.slice(std::mem::replace(&mut start, end)..end));
                let texts: Vec<ByteArray> = ends.into_iter().map(text).collect();
                column.typed::<ByteArrayType>().write_batch(&texts, levels, None)?;
            }
            Self::Ids(bytes) => {
                let bytes = Bytes::from(bytes);
                let id = |at| FixedLenByteArray::from(ByteArray::from(bytes.slice(at..at + ID_BYTES)));
                let ids: Vec<FixedLenByteArray> = (0..bytes.len()).step_by(ID_BYTES).map(id).collect();
                column.typed::<FixedLenByteArrayType>().write_batch(&ids, levels, None)?;
            }
            Self::Integers(numbers) => {
                column.typed::<Int64Type>().write_batch(&numbers, levels, None)?;
            }
            Self::Days(days) => {
                column.typed::<Int32Type>().write_batch(&days, levels, None)?;
            }
            Self::Numbers(numbers) => {
                column.typed::<DoubleType>().write_batch(&numbers, levels, None)?;
            }
            Self::Flags(flags) => {
                column.typed::<BoolType>().write_batch(&flags, levels, None)?;
            }
        }
        Ok(())
    }
}

fn push_text(bytes: &mut Vec<u8>, ends: &mut Vec<usize>, text: &str) {
    bytes.extend_from_slice(text.as_bytes());
    ends.push(bytes.len());
}

/// The schema. Every column is optional, so that a missing value needs no rule of its own.
fn schema(fields: &[Field]) -> anyhow::Result<TypePtr> {
    let mut message = String::from("message fieldvitals {");
    for Field { name, kind } in fields {
        let (stored, logical) = match kind {
            Kind::Id => ("fixed_len_byte_array(16)", " (UUID)"),
            Kind::Time => ("int64", " (TIMESTAMP(MILLIS,true))"),
            Kind::Day => ("int32", " (DATE)"),
            // As text, because not every reader knows Parquet's JSON.
            Kind::Text | Kind::Json => ("binary", " (STRING)"),
            Kind::Number => ("double", ""),
            Kind::Integer => ("int64", ""),
            Kind::Flag => ("boolean", ""),
        };
        write!(message, " optional {stored} {name}{logical};")?;
    }
    message.push_str(" }");
    Ok(Arc::new(parse_message_type(&message)?))
}

fn properties(fields: &[Field]) -> WriterPropertiesPtr {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("fieldvitals ", env!("CARGO_PKG_VERSION")).to_owned())
        // Readers skip row groups by them; a row group is small enough to be read whole.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    for field in fields {
        let path = || ColumnPath::from(field.name);
        // Each id is unique, and times ascend.
        builder = match field.kind {
            Kind::Id => builder.set_column_dictionary_enabled(path(), false),
            Kind::Time => builder
                .set_column_dictionary_enabled(path(), false)
                .set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED),
            _ => builder,
        };
    }
    Arc::new(builder.build())
}

/// A file with the row groups of several segments.
pub(super) struct Joined<W: Write + Send>(SerializedFileWriter<W>);

impl<W: Write + Send> Joined<W> {
    pub(super) fn new(fields: &[Field], out: W) -> anyhow::Result<Self> {
        Ok(Self(SerializedFileWriter::new(out, schema(fields)?, properties(fields))?))
    }

    pub(super) fn add(&mut self, segment: Vec<u8>) -> anyhow::Result<()> {
        let segment = Bytes::from(segment);
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&segment)?;
        for group in metadata.row_groups() {
            let mut joined = self.0.next_row_group()?;
            for column in group.columns() {
                let (bytes, rows) =
                    (u64::try_from(column.compressed_size())?, u64::try_from(group.num_rows())?);
                let closed = ColumnCloseResult {
                    bytes_written: bytes,
                    rows_written: rows,
                    metadata: column.clone(),
                    bloom_filter: None,
                    column_index: None,
                    offset_index: None,
                };
                joined.append_column(&segment, closed)?;
            }
            let rows = joined.close()?.num_rows();
            ensure!(rows == group.num_rows(), "a row group lost rows when it was copied: it has {rows}");
        }
        Ok(())
    }

    pub(super) fn finish(self) -> anyhow::Result<W> {
        Ok(self.0.into_inner()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::encode::{Encoder, Format, Whole};
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;
    use vitals::view::ViewId;

    const FIELDS: &[Field] = &[
        Field::new("id", Kind::Id),
        Field::new("start_utc", Kind::Time),
        Field::new("day_utc", Kind::Day),
        Field::new("route", Kind::Text),
        Field::new("tags", Kind::Json),
        Field::new("lcp_ms", Kind::Number),
        Field::new("views", Kind::Integer),
        Field::new("engaged", Kind::Flag),
    ];

    fn segment(rows: std::ops::Range<i64>) -> Vec<u8> {
        let mut encoder = Encoder::new(Format::Parquet, FIELDS);
        for number in rows {
            let route = format!("/é/{}", number % 3);
            let row = [
                Datum::Id(ViewId::new(number.unsigned_abs(), 7)),
                Datum::Time(1_763_632_800_000 + number),
                Datum::Day(20_000 * DAY_MS),
                if number % 2 == 0 { Datum::Text(&route) } else { Datum::Absent },
                Datum::Json("{}".to_owned()),
                Datum::Number(number as f64 / 2.0),
                Datum::Integer(number),
                Datum::Flag(number % 2 == 0),
            ];
            encoder.row(&row).unwrap();
        }
        encoder.finish().unwrap()
    }

    #[test]
    fn file_of_joined_segments_has_every_row_in_order() {
        let mut whole = Whole::new(Format::Parquet, FIELDS, Vec::new()).unwrap();
        for rows in [0..1_000, 1_000..1_001, 1_001..3_000] {
            whole.add(segment(rows)).unwrap();
        }
        let file = SerializedFileReader::new(Bytes::from(whole.finish().unwrap())).unwrap();
        assert_eq!(file.metadata().num_row_groups(), 3);
        let mut read = 0;
        for (row, number) in file.get_row_iter(None).unwrap().zip(0_i64..) {
            let row = row.unwrap();
            assert_eq!(row.get_bytes(0).unwrap().data(), ViewId::new(number.unsigned_abs(), 7).as_bytes());
            assert_eq!(row.get_timestamp_millis(1).unwrap(), 1_763_632_800_000 + number);
            assert_eq!(row.get_string(3).is_ok(), number % 2 == 0);
            assert_eq!(row.get_double(5).unwrap(), number as f64 / 2.0);
            assert_eq!(row.get_long(6).unwrap(), number);
            read += 1;
        }
        assert_eq!(read, 3_000);
    }

    #[test]
    fn file_without_rows_can_be_read() {
        let whole = Whole::new(Format::Parquet, FIELDS, Vec::new()).unwrap();
        let file = SerializedFileReader::new(Bytes::from(whole.finish().unwrap())).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), 0);
        assert_eq!(file.metadata().file_metadata().schema_descr().num_columns(), FIELDS.len());
    }
}
