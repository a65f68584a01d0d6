//! Identifies the program and the release that created a database, by its applied migrations.

/// A migration of a database or of this release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its version.
    pub version: i64,
    /// Its name.
    pub description: String,
    /// The checksum of its text.
    pub checksum: Vec<u8>,
}

/// The origin of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Schema of a release, with this version; 0 if no migration is applied.
    Ours(i64),
    /// Schema of a newer release, with this version.
    Newer(i64),
    /// Schema of an unreleased version, with other tables under the same migration versions.
    Unreleased,
    /// Schema of another program, with this version.
    Foreign(i64),
}

/// Classifies a database by its applied migrations. `has_views` says whether it has a table of page views, which
/// distinguishes an unreleased schema from another program's schema with equally named migrations.
#[must_use]
pub fn judge(applied: &[Migration], ours: &[Migration], has_views: bool) -> Schema {
    let version = |all: &[Migration]| all.iter().map(|one| one.version).max().unwrap_or(0);
    let is_like = |one: &Migration, our: &Migration| {
        one.version == our.version
            && (one.checksum == our.checksum || (has_views && one.description == our.description))
    };
    let found = version(applied);
    if !applied.is_empty() && !applied.iter().any(|one| ours.iter().any(|our| is_like(one, our))) {
        Schema::Foreign(found)
    } else if found > version(ours) {
        Schema::Newer(found)
    } else if applied.iter().all(|one| ours.contains(one)) {
        Schema::Ours(found)
    } else {
        Schema::Unreleased
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_told_by_its_migrations() {
        let one = |version, description: &str, sum: u8| Migration {
            version,
            description: description.to_owned(),
            checksum: vec![sum],
        };
        let ours = [one(1, "initial", 1), one(2, "more", 2)];
        for (applied, has_views, expected) in [
            (vec![], false, Schema::Ours(0)),
            (vec![one(1, "initial", 1)], true, Schema::Ours(1)),
            (ours.to_vec(), true, Schema::Ours(2)),
            (vec![one(1, "initial", 1), one(2, "more", 2), one(9, "future", 9)], true, Schema::Newer(9)),
            (vec![one(1, "initial", 7)], true, Schema::Unreleased),
            (vec![one(1, "initial", 7)], false, Schema::Foreign(1)),
            (vec![one(1, "users", 7), one(2, "orders", 8)], true, Schema::Foreign(2)),
            (vec![one(20_230_101_000_000, "users", 7)], false, Schema::Foreign(20_230_101_000_000)),
        ] {
            assert_eq!(judge(&applied, &ours, has_views), expected, "{applied:?}");
        }
    }
}
