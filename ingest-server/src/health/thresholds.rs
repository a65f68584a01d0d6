//! The limits of all checks, from a file of the operator or from the API.
//!
//! There is one source at a time. `--thresholds FILE` names a file that the operator edits; the API then changes nothing.
//! Without it, `PUT /api/v1/status/thresholds` writes a file in the data folder.

use super::check::{Check, Limits};
use crate::http::nearest::nearest;
use fieldvitals_store::private;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The file of the data folder with the limits that the API has set.
pub const FILE: &str = "thresholds.toml";
/// The file while it is written.
pub(crate) const NEW_FILE: &str = "thresholds.toml.new";

/// Largest duration that a limit can name: a day, in milliseconds and in seconds alike.
const DURATION_MAX: f64 = 86_400_000.0;

/// The limits of all checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds([Limits; Check::ALL.len()]);

impl Default for Thresholds {
    fn default() -> Self {
        Self(Check::ALL.map(Check::default_limits))
    }
}

/// The source of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The defaults.
    Defaults,
    /// The API.
    Api,
    /// The file of `--thresholds`.
    File,
}

impl Source {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Defaults => "defaults",
            Self::Api => "api",
            Self::File => "file",
        }
    }
}

impl Thresholds {
    /// Returns the limits of a check.
    #[must_use]
    pub fn of(&self, check: Check) -> Limits {
        self.0.get(check as usize).copied().unwrap_or_else(|| check.default_limits())
    }

    /// Returns the limits by the names of their checks.
    #[must_use]
    pub fn named(&self) -> BTreeMap<&'static str, Limits> {
        Check::ALL.into_iter().map(|check| (check.name(), self.of(check))).collect()
    }

    /// Takes limits by name; other checks have the defaults.
    ///
    /// # Errors
    /// A name is unknown, or limits are out of range or order. The message names them and the expected ones.
    pub fn from_named<'a>(named: impl IntoIterator<Item = (&'a str, Limits)>) -> Result<Self, String> {
        let mut thresholds = Self::default();
        for (name, limits) in named {
            let shown: String = name.chars().take(64).collect();
            let check = Check::from_name(name).ok_or_else(|| unknown(&shown))?;
            let Limits { warning, critical } = limits;
            let max = if check.is_share() { 100.0 } else { DURATION_MAX };
            if ![warning, critical].iter().all(|limit| (0.0..=max).contains(limit)) {
                return Err(format!("`{name}` has a limit that is not from 0 to {max}"));
            }
            let (order, is_ordered) = match check.is_floor() {
                true => ("at most", critical <= warning),
                false => ("at least", critical >= warning),
            };
            if !is_ordered {
                return Err(format!("`{name}`: critical ({critical}) must be {order} warning ({warning})"));
            }
            if let Some(place) = thresholds.0.get_mut(check as usize) {
                *place = limits;
            }
        }
        Ok(thresholds)
    }

    /// Reads TOML: `api_p95_ms = { warning = 200, critical = 1000 }`, a line for each check that differs.
    ///
    /// # Errors
    /// As [`Self::from_named`], and if the text is not TOML of this shape.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let named: BTreeMap<String, toml::Value> = toml::from_str(text).map_err(|error| one_line(&error))?;
        let mut read = Vec::new();
        for (name, value) in &named {
            if Check::from_name(name).is_none() {
                return Err(unknown(name));
            }
            let limits = value.clone().try_into::<Limits>();
            read.push((
                name.as_str(),
                limits.map_err(|error| {
                    format!(
                        "`{name}`: {}; expected {{ warning = NUMBER, critical = NUMBER }}",
                        one_line(&error)
                    )
                })?,
            ));
        }
        Self::from_named(read)
    }

    /// Writes TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let line = |(name, Limits { warning, critical }): (&str, Limits)| {
            format!("{name} = {{ warning = {warning:?}, critical = {critical:?} }}\n")
        };
        let lines: String = self.named().into_iter().map(line).collect();
        format!("# Written by PUT /api/v1/status/thresholds.\n{lines}")
    }
}

fn unknown(name: &str) -> String {
    let names = Check::ALL.map(Check::name);
    match nearest(name, names) {
        Some(near) => format!("unknown threshold `{name}`; did you mean `{near}`?"),
        None => format!("unknown threshold `{name}`; expected one of {}", names.join(", ")),
    }
}

fn one_line(error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', " ");
    message.trim().to_owned()
}

/// Reads the file of `--thresholds`, or that of the data folder if there is one.
///
/// # Errors
/// The file cannot be read, or has a mistake. The message names the file.
pub(super) fn read(data_dir: &Path, named: Option<&Path>) -> Result<(Thresholds, Source), String> {
    let (path, source) = match named {
        Some(path) => (path.to_owned(), Source::File),
        None => (data_dir.join(FILE), Source::Api),
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((Thresholds::default(), Source::Defaults));
        }
        Err(error) => return Err(format!("{}: it cannot be read: {error}", path.display())),
    };
    let read = Thresholds::from_toml(&text).map_err(|problem| format!("{}: {problem}", path.display()))?;
    Ok((read, source))
}

/// Writes the file of the data folder, whole or not at all.
pub(super) fn write(data_dir: &Path, thresholds: &Thresholds) -> std::io::Result<()> {
    replace(data_dir, [NEW_FILE, FILE], thresholds.to_toml().as_bytes())
}

/// Replaces a file of the data folder by way of a new one, for its owner alone.
pub(super) fn replace(data_dir: &Path, [new, name]: [&str; 2], bytes: &[u8]) -> std::io::Result<()> {
    let new: PathBuf = data_dir.join(new);
    let write = || {
        let mut file = private::create_file(&new)?;
        file.set_len(0)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, data_dir.join(name))
    };
    let written = write();
    if written.is_err() {
        // On a full disk, the part would take the space of beacons. It may be missing.
        let _ = std::fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_back_as_they_were_written() {
        let text =
            "api_p95_ms = { warning = 50, critical = 80.5 }\n[disk_percent]\nwarning = 10\ncritical = 20\n";
        let read = Thresholds::from_toml(text).unwrap();
        assert_eq!(read.of(Check::Api), Limits { warning: 50.0, critical: 80.5 });
        assert_eq!(read.of(Check::Disk), Limits { warning: 10.0, critical: 20.0 });
        assert_eq!(read.of(Check::Store), Check::Store.default_limits());
        assert_eq!(Thresholds::from_toml(&read.to_toml()), Ok(read));
        assert_eq!(Thresholds::from_toml(""), Ok(Thresholds::default()));
    }

    #[test]
    fn mistake_is_named_with_what_was_expected() {
        for (text, expected) in [
            ("api_p95 = { warning = 1, critical = 2 }", "did you mean `api_p95_ms`?"),
            ("zzz = { warning = 1, critical = 2 }", "expected one of api_p95_ms, store_p95_ms"),
            ("cpu_percent = { warning = 80, critical = 70 }", "critical (70) must be at least warning (80)"),
            ("cache_hits_percent = { warning = 60, critical = 80 }", "must be at most warning"),
            ("cpu_percent = { warning = 80, critical = 101 }", "not from 0 to 100"),
            ("cpu_percent = { warning = nan, critical = 90 }", "not from 0 to 100"),
            ("cpu_percent = { warning = 80 }", "missing field `critical`"),
            ("cpu_percent = { warning = 80, crit = 90 }", "unknown field `crit`"),
            ("cpu_percent = 80", "expected { warning = NUMBER, critical = NUMBER }"),
            ("cpu_percent = {", "`cpu_percent`"),
        ] {
            let error = Thresholds::from_toml(text).unwrap_err();
            assert!(
                error.contains(expected) || (text.ends_with('{') && !error.is_empty()),
                "{text}: {error}"
            );
            assert!(!error.contains('\n'), "{error:?}");
        }
    }
}
