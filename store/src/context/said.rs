//! Lists the tags, marks and `Server-Timing` entries of page views.

use super::texts::TextNames;
use crate::limits;
use crate::scan::{Gather, Seen};
use std::collections::{BTreeMap, BTreeSet};

/// The texts by which page views can be selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Values of tags, by name.
    pub tags: BTreeMap<String, BTreeSet<String>>,
    /// Names of marks.
    pub marks: BTreeSet<String>,
    /// Descriptions of `Server-Timing` entries, by name.
    pub server_timings: BTreeMap<String, BTreeSet<String>>,
}

impl Gather for Said {
    fn begin(&mut self, _: &TextNames) {}

    fn add(&mut self, seen: &Seen, names: &TextNames) {
        let text = |code: &u16| names.text(seen.day, *code);
        let of = |kept: &mut BTreeMap<String, BTreeSet<String>>, name: &str, value: &str| {
            if !kept.contains_key(name) {
                kept.insert(name.to_owned(), BTreeSet::new());
            }
            if let Some(values) = kept.get_mut(name)
                && !values.contains(value)
                && values.len() < limits::CONTEXT_VALUES_MAX
            {
                values.insert(value.to_owned());
            }
        };
        if let Some(detail) = &seen.context.detail {
            for (name, value) in &detail.tags {
                of(&mut self.tags, text(name), text(value));
            }
            for (name, _) in &detail.marks {
                if !self.marks.contains(text(name)) {
                    self.marks.insert(text(name).to_owned());
                }
            }
        }
        if let Some(conditions) = &seen.context.conditions {
            for (name, _, description) in &conditions.server_timings {
                of(&mut self.server_timings, text(name), text(description));
            }
        }
    }
}
