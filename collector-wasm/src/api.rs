//! The page's own interface: `fieldvitals.route`, `navigate`, `tag`, `mark`, `consent` and `on`.

use crate::explain::{cut_characters, split, trim};
use crate::names;
use crate::page::{Js, get, is, item, keep, named, number, plain, spelled, text, tree};
use crate::state::Collector;
use vitals::beacon::write;
use vitals::limits::{MARKS_MAX, TAG_NAME_UNITS_MAX, TAG_VALUE_UNITS_MAX, TAGS_MAX};
use vitals::metric::{Metric, Value};
use vitals::snapshot::Snapshot;
use vitals::view::ViewId;

/// A function of the page's that wants to know a metric.
pub struct Listener {
    metric: Metric,
    run: Js,
    /// What it was told, of the views that the document keeps.
    pub told: Vec<(ViewId, Value)>,
}

impl Collector {
    /// Takes a call `[name, arguments, time]`.
    pub fn call(&mut self, call: Js) {
        let arguments = item(call, 1);
        let (first, second) = (item(arguments, 0), item(arguments, 1));
        let name = spelled(first, Js::ITSELF);
        match named(item(call, 0), Js::ITSELF) {
            names::NAVIGATE => self.named(name, true),
            names::ROUTE => self.named(name, false),
            names::TAG => self.tag(name, spelled(second, Js::ITSELF)),
            names::MARK => self.mark(name, number(item(call, 2), Js::ITSELF)),
            names::CONSENT => {
                let given = is(first, Js::ITSELF);
                self.consent.say(given, &self.options);
                if given {
                    self.retry();
                } else {
                    self.cancel();
                }
            }
            names::ON => {
                if let Some(metric) = Metric::from_name(&name)
                    && get(second, names::CALL).exists()
                {
                    self.listeners.push(Listener { metric, run: keep(second), told: Vec::new() });
                }
            }
            _ => {}
        }
    }

    /// The tags of the attribute: `name=value;…`.
    pub fn tags_of_attribute(&mut self) {
        let tags = text(Js::DATA, names::TAGS);
        let mut rest = Some(tags.as_str());
        while let Some(pairs) = rest {
            let (pair, others) = split(pairs, b';');
            rest = others;
            if let (name, Some(value)) = split(pair, b'=') {
                self.tag(trim(name).to_owned(), trim(value).to_owned());
            }
        }
    }

    fn tag(&mut self, name: String, value: String) {
        let name = cut_characters(name, TAG_NAME_UNITS_MAX);
        let value = cut_characters(value, TAG_VALUE_UNITS_MAX);
        for (known, its) in &mut self.tags {
            if *known == name {
                *its = value;
                return;
            }
        }
        if self.tags.len() < TAGS_MAX {
            self.tags.push((name, value));
        }
    }

    fn mark(&mut self, name: String, at: f64) {
        let (view, start) = self.document.current();
        // A server refuses what no metric could be.
        let (Ok(since), false) = (Value::new(Metric::Tti, at - start), self.consent.quiet) else { return };
        let name = cut_characters(name, TAG_NAME_UNITS_MAX);
        let mut count = 0;
        for (known, its, at) in &mut self.batch.marks {
            if *known == view {
                count += 1;
                if *its == name {
                    *at = since;
                    return;
                }
            }
        }
        if count < MARKS_MAX {
            self.batch.marks.push((view, name, since));
        }
    }

    /// Notes whom to tell of values that are new or have changed.
    pub fn tell_listeners(&mut self, view: &Snapshot<u32>, id: &str) {
        for listener in &mut self.listeners {
            let metric = listener.metric;
            let Some(value) = view.values.get(metric) else { continue };
            match listener.told.iter_mut().find(|(id, _)| *id == view.id) {
                Some((_, told)) if *told == value => continue,
                Some((_, told)) => *told = value,
                None => listener.told.push((view.id, value)),
            }
            let told = write::told(view, id, (metric, value), &|place| self.texts.text(*place));
            self.calls.push((listener.run, plain(tree(&told))));
        }
    }
}
