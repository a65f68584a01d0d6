//! One beacon: page views as a body that the snippet sends.

use crate::batch::Change;
use crate::page::Page;
use js_sys::JSON;
use serde::Serialize;
use serde_wasm_bindgen::Serializer;
use vitals::beacon::{VERSION, Wire, WireView};
use vitals::view::Device;

/// Sends these views with the next `seq`.
pub fn send(page: &Page, news: &[Change]) {
    let fields = page.wire();
    let seq = fields.seq() + 1;
    fields.set_seq(seq);
    let wire = Wire {
        v: VERSION.into(),
        site: fields.site(),
        seq,
        url: fields.url(),
        route: fields.route(),
        device: fields.device().and_then(|name| Device::from_name(&name)),
        connection: fields.connection(),
        release: fields.release(),
        views: Some(news.iter().map(|change| WireView::from(&change.snapshot)).collect()),
        raw: None,
    };
    // Without this the metrics would become a JavaScript Map, and its JSON is `{}`.
    let objects = Serializer::json_compatible();
    if let Ok(body) = wire.serialize(&objects).and_then(|value| Ok(JSON::stringify(&value)?)) {
        page.send(&body);
    }
}
