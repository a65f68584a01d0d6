//! The page's own interface: `fieldvitals.route`, `navigate`, `tag`, `mark`, `consent` and `on`.

use crate::explain::trim;
use crate::names;
use crate::page::{
    Js, call_with, get, is, item, items, keep, length, matched, named, number, one_of, place, placed, same,
    spelled, text,
};
use crate::state::Collector;
use vitals::limits::{MARKS_MAX, TAGS_MAX};
use vitals::metric::{Metric, Value};

/// A function of the page's that wants to know a metric.
pub type Listener = (Metric, Js);

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
                let name = call_with(name, names::TO_UPPER_CASE, Js::NOTHING);
                if let Some(metric) = one_of(&Metric::ALL, name)
                    && get(second, names::CALL).exists()
                {
                    self.listeners.push((metric, keep(second)));
                }
            }
            _ => {}
        }
    }

    /// The tags of the attribute: `name=value;…`.
    pub fn tags_of_attribute(&mut self) {
        let tags = call_with(text(Js::DATA, names::TAGS), names::SPLIT, names::SEMICOLON);
        for pair in items(tags, Js::ITSELF) {
            let both = call_with(pair, names::SPLIT, names::EQUALS);
            if length(both) > 1 {
                self.tag(trim(item(both, 0)), trim(matched(pair, names::BEHIND_EQUALS)));
            }
        }
    }

    fn tag(&mut self, name: Js, value: Js) {
        let name = place(matched(name, names::TAG_NAME));
        let value = place(matched(value, names::TAG_VALUE));
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

    fn mark(&mut self, name: Js, at: f64) {
        let (view, start) = self.document.current();
        // A server refuses what no metric could be.
        let (Ok(since), false) = (Value::new(Metric::Tti, at - start), self.consent.quiet) else { return };
        let name = matched(name, names::TAG_NAME);
        let mut count = 0;
        for (of, its, at) in &mut self.batch.marks {
            if *of == view {
                count += 1;
                if same(placed(*its), name) {
                    *at = since;
                    return;
                }
            }
        }
        // Only a kept mark gets a place for its name, because texts stay until the document ends.
        if count < MARKS_MAX {
            self.batch.marks.push((view, place(name), since));
        }
    }
}
