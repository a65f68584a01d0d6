//! Writes an export into a file in steps that survive a kill.
//!
//! The folder `FILE.part` holds a description of the export and its segments. A segment is written under another name, synced
//! and renamed; its name holds its number, its rows and its last row. So the folder's listing is the state of the export.
//! The last step joins the segments and renames the result to `FILE`.

use super::encode::{Format, Segment, Whole};
use super::schema::Field;
use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{BufWriter, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Added to the name of the file.
const FOLDER: &str = ".part";
/// The description of the export.
const DESCRIPTION: &str = "export.json";
/// The file in which the segments are joined.
const JOINED: &str = "joined.tmp";
/// Separates the parts of a segment's name.
const SEPARATOR: char = '_';
/// The version of the columns and of the folder. An export cannot be resumed by a release with another one.
const VERSION: u32 = 2;

/// Describes an export, so that it is resumed only by the same command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    version: u32,
    /// The options that decide the content, by name.
    options: Vec<(String, String)>,
    /// The period, UTC milliseconds. A period that ends now stays as it was at the start.
    from_ms: i64,
    to_ms: i64,
}

impl Description {
    pub(super) fn new(options: &[(&str, &str)], period: Range<i64>) -> Self {
        let options = options.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Self { version: VERSION, options: options.collect(), from_ms: period.start, to_ms: period.end }
    }

    pub(super) const fn period(&self) -> Range<i64> {
        self.from_ms..self.to_ms
    }

    /// Checks that another description has the same options.
    fn check(&self, asked: &Self) -> anyhow::Result<()> {
        ensure!(self.version == asked.version, "another release of fieldvitals has begun it");
        for ((name, theirs), (_, ours)) in self.options.iter().zip(&asked.options) {
            ensure!(theirs == ours, "its {name} is `{theirs}`, not `{ours}`");
        }
        Ok(())
    }
}

/// What an export may go on with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start {
    /// It may finish an interrupted export.
    pub(super) resume: bool,
    /// It may replace an existing file.
    pub(super) replace: bool,
}

/// An export into a file, under construction.
pub(super) struct Part {
    target: PathBuf,
    folder: PathBuf,
    description: Description,
    segments: Vec<PathBuf>,
    rows: u64,
    cursor: Option<String>,
    /// Locked, so that two exports never share a folder.
    _lock: File,
}

impl Part {
    /// Begins an export into a file, or resumes one.
    ///
    /// # Errors
    /// If the file exists and may not be replaced. If there is an unfinished export, and it may not be resumed, is another
    /// one, or is running.
    pub(super) fn open(target: &Path, asked: &Description, start: Start) -> anyhow::Result<Self> {
        let mut folder = target.as_os_str().to_owned();
        folder.push(FOLDER);
        let folder = PathBuf::from(folder);
        let place = folder.display().to_string();
        if folder.exists() {
            ensure!(
                start.resume,
                "{place} holds an export that is not whole; --resume finishes it, and removing the folder lets it start \
                 again"
            );
        } else {
            ensure!(
                start.replace || !target.exists(),
                "{} exists; --force replaces it once the export is whole, or --output names another file",
                target.display()
            );
            fs::create_dir(&folder).with_context(|| {
                format!("{place} cannot be created; --output names a file in a folder that exists")
            })?;
        }
        let described = folder.join(DESCRIPTION);
        // A kill just after the folder was made leaves no description.
        if !described.exists() {
            replace(&described, &serde_json::to_vec(asked)?)?;
        }
        let lock =
            File::open(&described).with_context(|| format!("{} cannot be read", described.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another export writes to {place}; let it end, or stop it")
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{} cannot be locked", described.display()));
            }
        }
        let description: Description = serde_json::from_slice(&fs::read(&described)?)
            .with_context(|| format!("{} is damaged; remove {place} and start again", described.display()))?;
        description.check(asked).with_context(|| {
            format!("{place} holds another export; finish it with its options, or remove the folder")
        })?;
        let (mut segments, mut rows, mut cursor) = (Vec::new(), 0, None);
        for (number, (name, segment)) in (1..).zip(listed(&folder)?) {
            ensure!(
                segment.number == number,
                "segment {number} is missing in {place}; remove the folder and start again"
            );
            segments.push(folder.join(name));
            rows += segment.rows;
            cursor = Some(segment.cursor);
        }
        Ok(Self { target: target.to_owned(), folder, description, segments, rows, cursor, _lock: lock })
    }

    pub(super) const fn description(&self) -> &Description {
        &self.description
    }

    /// The rows that are written.
    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// The last row that is written.
    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Writes a segment.
    pub(super) fn put(&mut self, segment: Segment) -> anyhow::Result<()> {
        let (rows, cursor) = (segment.encoder.rows(), segment.cursor);
        let number = self.segments.len() + 1;
        let path = self.folder.join(format!("{number:06}{SEPARATOR}{rows}{SEPARATOR}{cursor}"));
        replace(&path, &segment.encoder.finish()?)?;
        self.segments.push(path);
        self.rows += rows;
        self.cursor = Some(cursor);
        Ok(())
    }

    /// Joins the segments to the file.
    pub(super) fn finish(self, format: Format, fields: &'static [Field]) -> anyhow::Result<()> {
        let joined = self.folder.join(JOINED);
        let write = || {
            let mut whole = Whole::new(format, fields, BufWriter::new(File::create(&joined)?))?;
            for segment in &self.segments {
                whole.add(fs::read(segment)?)?;
            }
            let file = whole.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            Ok::<_, anyhow::Error>(file.sync_all()?)
        };
        write().with_context(|| format!("joining the segments of {}", self.folder.display()))?;
        fs::rename(&joined, &self.target)
            .with_context(|| format!("{} cannot be written", self.target.display()))?;
        fs::remove_dir_all(&self.folder)
            .with_context(|| format!("{} cannot be removed", self.folder.display()))
    }
}

/// The name of a segment, in parts.
struct Name {
    number: usize,
    rows: u64,
    cursor: String,
}

impl Name {
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split(SEPARATOR);
        let (number, rows, cursor) = (parts.next()?, parts.next()?, parts.next()?);
        let is_one = parts.next().is_none() && !cursor.contains('.');
        Some(Self { number: number.parse().ok()?, rows: rows.parse().ok()?, cursor: cursor.to_owned() })
            .filter(|_| is_one)
    }
}

/// The segments in a folder, in order.
fn listed(folder: &Path) -> anyhow::Result<Vec<(String, Name)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if let Some(segment) = Name::parse(&name) {
            found.push((name, segment));
        }
    }
    found.sort_by_key(|(_, segment)| segment.number);
    Ok(found)
}

/// Writes a file that is whole once it has its name, even after a power failure.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension("tmp");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::encode::Encoder;
    use crate::export::schema::{Datum, Kind};

    const FIELDS: &[Field] = &[Field::new("n", Kind::Integer)];

    const RESUME: Start = Start { resume: true, replace: false };

    fn segment(rows: Range<i64>) -> Segment {
        let cursor = rows.end.to_string();
        let mut encoder = Encoder::new(Format::Csv, FIELDS);
        rows.for_each(|number| encoder.row(&[Datum::Integer(number)]).unwrap());
        Segment { cursor, encoder }
    }

    fn described(format: &str, to_ms: i64) -> Description {
        Description::new(&[("site", "shop"), ("format", format)], 0..to_ms)
    }

    #[test]
    fn interrupted_export_resumes_after_its_last_segment() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("views.csv");
        let mut part = Part::open(&target, &described("csv", 7), Start::default()).unwrap();
        part.put(segment(0..2)).unwrap();
        part.put(segment(2..3)).unwrap();
        drop(part);
        // A kill in the middle of a segment, and of the last step.
        fs::write(folder.path().join("views.csv.part/000003_2_5.tmp"), "3").unwrap();
        fs::write(folder.path().join("views.csv.part").join(JOINED), "n").unwrap();

        let refused = Part::open(&target, &described("csv", 9), Start::default()).err().unwrap();
        assert!(refused.to_string().contains("--resume"), "{refused}");
        let refused = Part::open(&target, &described("jsonl", 9), RESUME).err().unwrap();
        assert!(format!("{refused:#}").contains("its format is `csv`, not `jsonl`"), "{refused:#}");
        assert!(!target.exists());

        let mut part = Part::open(&target, &described("csv", 9), RESUME).unwrap();
        assert_eq!((part.rows(), part.cursor()), (3, Some("3")));
        assert_eq!(part.description().period(), 0..7, "the period of the start");
        part.put(segment(3..5)).unwrap();
        part.finish(Format::Csv, FIELDS).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "n\n0\n1\n2\n3\n4\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn existing_file_is_replaced_only_if_that_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("views.csv");
        fs::write(&target, "old").unwrap();
        for start in [Start::default(), RESUME] {
            let refused = Part::open(&target, &described("csv", 7), start).err().unwrap();
            assert!(refused.to_string().contains("views.csv exists; --force replaces it"), "{refused}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was begun");
        let part = Part::open(&target, &described("csv", 7), Start { replace: true, ..RESUME }).unwrap();
        drop(part);
        assert_eq!(fs::read_to_string(&target).unwrap(), "old", "until the export is whole");
        // The interrupted export was allowed to replace the file.
        Part::open(&target, &described("csv", 7), RESUME).unwrap().finish(Format::Csv, FIELDS).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "n\n");
    }

    #[test]
    fn folder_is_written_by_one_export_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("views.csv");
        let _part = Part::open(&target, &described("csv", 7), Start::default()).unwrap();
        let refused = Part::open(&target, &described("csv", 7), RESUME).err().unwrap();
        assert!(refused.to_string().contains("another export"), "{refused}");
    }

    #[test]
    fn lost_segment_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("views.csv");
        let mut part = Part::open(&target, &described("csv", 7), Start::default()).unwrap();
        part.put(segment(0..2)).unwrap();
        part.put(segment(2..3)).unwrap();
        let first = part.segments[0].clone();
        drop(part);
        fs::remove_file(first).unwrap();
        let refused = Part::open(&target, &described("csv", 7), RESUME).err().unwrap();
        assert!(refused.to_string().contains("segment 1 is missing"), "{refused}");
    }
}
