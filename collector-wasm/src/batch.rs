//! Finds the page views that changed since the last report, and writes them as beacon bodies.

use crate::context::{cpu, memory};
use crate::names;
use crate::page::{
    Js, call_with, cut, fail, get, hold, is, item, list, now, number, parts, place, put_text, same,
    some_number, text, tree, written,
};
use crate::state::Collector;
use vitals::beacon::write;
use vitals::beacon::{DROPPED_URL, Wire};
use vitals::limits::BODY_BYTES_MAX;
use vitals::metric::Value;
use vitals::snapshot::Snapshot;
use vitals::view::{Device, ViewId, Viewport};

/// The page's marks.
#[derive(Default)]
pub struct Batch {
    /// Marks set by the page, by view, with the places of their names.
    pub marks: Vec<(ViewId, u32, Value)>,
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
        let mut views = self.document.snapshots(now());
        forget_others(&mut self.batch.marks, &views, |(id, ..)| *id);
        for listener in &mut self.listeners {
            forget_others(&mut listener.told, &views, |(id, _)| *id);
        }
        for view in &mut views {
            if self.consent.quiet {
                (view.engaged, view.first_input_ms) = (None, None);
            }
            let id = view.id.text();
            let value = tree(parts(&write::view(view, &id, &self.batch.marks)));
            self.tell_listeners(view, &id);
            let json = written(value);
            let url = item(Js::TEXTS, view.url.unwrap_or_default() as i32);
            if !json.exists() || same(url, put_text(DROPPED_URL)) {
                continue;
            }
            if !is(call_with(Js::REPORTED, names::INCLUDES, json), Js::ITSELF) {
                news.push(value);
            }
            call_with(all, names::PUSH, json);
        }
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
        let told = !self.consent.quiet;
        let wire = Wire {
            site: self.options.site.into(),
            seq: self.seq,
            url: self.url.into(),
            route: 0.into(),
            device: Some(device()),
            connection: place(connection).into(),
            rtt_ms: some_number(network, names::RTT).filter(|_| told),
            memory: memory().filter(|_| told),
            cpu: cpu().filter(|_| told),
            release: place(release_name()).into(),
            viewport: Some(viewport()),
            tags: if self.consent.quiet { &[] } else { &self.tags },
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

/// Removes the items of views that the document no longer keeps. Takes fewer bytes of the module than `retain`.
fn forget_others<T>(items: &mut Vec<T>, views: &[Snapshot<u32>], id: fn(&T) -> ViewId) {
    let mut place = 0;
    while let Some(id) = items.get(place).map(id) {
        if views.iter().any(|view| view.id == id) {
            place += 1;
        } else {
            items.remove(place);
        }
    }
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
