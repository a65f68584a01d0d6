//! Finds the page views that changed since the last report, and writes them as beacon bodies.

use crate::context::{cpu, memory};
use crate::names;
use crate::page::{
    Js, call_with, cut, fail, get, hold, is, list, now, number, parts, place, place_id, placed, same,
    some_number, text, tree, written,
};
use crate::state::Collector;
use vitals::beacon::write;
use vitals::beacon::write::{Own, Wire};
use vitals::document::Document;
use vitals::limits::BODY_BYTES_MAX;
use vitals::metric::Value;
use vitals::view::{Device, ViewId, Viewport};

/// A value of a page view: of a mark by the place of its name, or of a metric by the number of its listener.
type Noted = (ViewId, u32, Value);

/// Marks and known values, of the views that the document keeps.
#[derive(Debug)]
pub struct Batch {
    /// Marks set by the page.
    pub marks: Vec<Noted>,
    /// The values that the page's listeners know.
    told: Vec<Noted>,
}

impl Batch {
    /// No marks and no known values.
    pub const EMPTY: Self = Self { marks: Vec::new(), told: Vec::new() };
}

impl Collector {
    /// Sends the changed page views, if sending is allowed.
    pub fn report(&mut self) {
        self.reported = self.document.begun();
        self.cancel();
        let may_send = self.may_send();
        for body in self.news(may_send) {
            if may_send {
                self.send(body);
            }
        }
    }

    /// Whether page views may be sent. Sends nothing if the page's hook dropped the document's URL.
    pub fn may_send(&self) -> bool {
        self.consent.may_send() && self.url != 0
    }

    /// The bodies that a report would send now. The last report stays as it is.
    pub fn draft(&mut self) -> Vec<Js> {
        self.news(false)
    }

    /// The bodies of the views that differ from the last report. With `told`, these views become the last report.
    fn news(&mut self, told: bool) -> Vec<Js> {
        let all = list();
        let mut news = Vec::new();
        self.read_fetch();
        let Self { document, batch, listeners, calls, consent, .. } = self;
        forget_others(&mut batch.marks, document);
        forget_others(&mut batch.told, document);
        document.each_view(now(), |view| {
            if consent.quiet {
                (view.engaged, view.first_input_ms) = (None, None);
            }
            let id = place_id(view.id);
            let value = tree(parts(&write::view(view, id, &batch.marks)));
            for (number, &(metric, run)) in listeners.iter().enumerate() {
                if let Some(value) = view.values.get(metric)
                    && is_news(&mut batch.told, (view.id, number as u32, value))
                {
                    calls.push((run, tree(parts(&write::told(view, id, (metric, value))))));
                }
            }
            let json = written(value);
            let dropped = placed(Own::Dropped as u32);
            if json.exists() && !same(placed(view.url.unwrap_or_default()), dropped) {
                if !is(call_with(Js::REPORTED, names::INCLUDES, json), Js::ITSELF) {
                    news.push(value);
                }
                call_with(all, names::PUSH, json);
            }
        });
        let mut bodies = Vec::new();
        self.bodies(&news, &mut bodies);
        if told {
            hold(Js::REPORTED, all);
        }
        bodies
    }

    /// Appends the bodies of these views. Splits the views while a body is larger than [`BODY_BYTES_MAX`].
    fn bodies(&mut self, views: &[Js], bodies: &mut Vec<Js>) {
        if views.is_empty() {
            return;
        }
        let body = self.body(views);
        if let Some((first, second)) = views.split_at_checked(views.len() / 2)
            && views.len() > 1
            && !same(cut(body, BODY_BYTES_MAX as i32), body)
        {
            self.bodies(first, bodies);
            self.bodies(second, bodies);
        } else if body.exists() {
            bodies.push(body);
        }
    }

    /// The body of these views; nothing if it cannot be written.
    fn body(&mut self, views: &[Js]) -> Js {
        self.seq += 1;
        let network = get(Js::NAVIGATOR, names::CONNECTION);
        let connection = text(network, names::EFFECTIVE_TYPE);
        let quiet = self.consent.quiet;
        let navigator = if quiet { Js::NOTHING } else { Js::NAVIGATOR };
        let wire = Wire {
            site: self.options.site,
            seq: self.seq,
            url: self.url,
            route: 0,
            device: Some(device()),
            connection: place(connection),
            rtt_ms: some_number(get(navigator, names::CONNECTION), names::RTT),
            memory: memory(navigator),
            cpu: cpu(navigator),
            release: place(release_name()),
            viewport: Some(viewport()),
            tags: if quiet { &[] } else { &self.tags },
            sample: Some(self.options.share()),
            errors: fail(0) as u32,
            webdriver: is(Js::NAVIGATOR, names::WEBDRIVER),
            views: Vec::new(),
        };
        let beacon = tree(parts(&wire.json()));
        let list = get(beacon, names::VIEWS);
        for view in views {
            call_with(list, names::PUSH, *view);
        }
        written(beacon)
    }
}

/// Removes the values of views that the document no longer keeps. Takes fewer bytes of the module than `retain`.
#[inline(never)]
fn forget_others(values: &mut Vec<Noted>, document: &Document<u32>) {
    let mut place = 0;
    while let Some((view, ..)) = values.get(place) {
        if document.keeps(*view) {
            place += 1;
        } else {
            values.remove(place);
        }
    }
}

/// Whether a value is new or has changed. Notes it.
fn is_news(known: &mut Vec<Noted>, new: Noted) -> bool {
    for old in known.iter_mut() {
        if (old.0, old.1) == (new.0, new.1) {
            return std::mem::replace(&mut old.2, new.2) != new.2;
        }
    }
    known.push(new);
    true
}

/// The release of the script tag; otherwise the page's first `<meta name="release">`.
fn release_name() -> Js {
    let named = text(Js::DATA, names::RELEASE);
    if named.exists() {
        named
    } else {
        text(call_with(Js::DOCUMENT, names::QUERY_SELECTOR, names::META_RELEASE), names::CONTENT)
    }
}

/// The device class, from the primary pointer and the shorter side of the screen.
fn device() -> Device {
    if !is(call_with(Js::WINDOW, names::MATCH_MEDIA, names::POINTER_COARSE), names::MATCHES) {
        return Device::Desktop;
    }
    let screen = get(Js::WINDOW, names::SCREEN);
    if number(screen, names::WIDTH).min(number(screen, names::HEIGHT)) < Device::TABLET_SIDE_MIN {
        Device::Phone
    } else {
        Device::Tablet
    }
}

fn viewport() -> Viewport {
    match number(Js::WINDOW, names::INNER_WIDTH) {
        width if width < Viewport::MEDIUM_WIDTH_MIN => Viewport::Small,
        width if width < Viewport::LARGE_WIDTH_MIN => Viewport::Medium,
        _ => Viewport::Large,
    }
}
