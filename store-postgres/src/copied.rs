//! Encodes new page views for Postgres' `copy`.

use crate::view::{micros, source};
use fieldvitals_store::context::texts::TextCodes;
use fieldvitals_store::dimension::device_code;
use fieldvitals_store::{SiteId, StoredView, metric_columns, pack_url};
use vitals::metric::Metric;

/// Adds new views, encoded by [`Copied`]. `copy` costs half of an insert that checks for each view whether it exists. A
/// transaction that adds the same view concurrently fails (unique violation).
pub(crate) const ADD: &str = concat!(
    "/* view.add */ copy page_view (site_id, route_id, received_ms, seq, ",
    metric_columns!(""),
    ", navigation_type, device, tti_gap, os, id, url, browser, connection, country, release, foreign_received, weight, \
     context) from stdin (format binary)"
);

/// Views for [`ADD`], in the binary format of `copy`: a header; for each row the number of columns, and each column's
/// length (-1: null) and bytes, big endian; and a trailer.
pub(crate) struct Copied {
    bytes: Vec<u8>,
}

impl Copied {
    const COLUMNS: i16 = 17 + Metric::COUNT as i16;

    pub(crate) fn new() -> Self {
        let mut bytes = b"PGCOPY\n\xff\r\n\0".to_vec();
        // No flags, and no header extension.
        bytes.extend_from_slice(&[0; 8]);
        Self { bytes }
    }

    fn column(&mut self, bytes: Option<&[u8]>) {
        // The longest column is a URL, so the length fits.
        let len = bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(bytes.unwrap_or_default());
    }

    fn text(&mut self, text: Option<&str>) {
        self.column(text.map(str::as_bytes));
    }

    fn small(&mut self, number: Option<i16>) {
        self.column(number.map(i16::to_be_bytes).as_ref().map(<[u8; 2]>::as_slice));
    }

    fn integer(&mut self, number: Option<i32>) {
        self.column(number.map(i32::to_be_bytes).as_ref().map(<[u8; 4]>::as_slice));
    }

    fn big(&mut self, number: i64) {
        self.column(Some(&number.to_be_bytes()));
    }

    /// Adds a view.
    pub(crate) fn push(&mut self, site: SiteId, view: &StoredView, route_id: i64, texts: &TextCodes) {
        let update = &view.update;
        let (seq, foreign_received) = source(view);
        self.bytes.extend_from_slice(&Self::COLUMNS.to_be_bytes());
        self.big(site.0);
        self.big(route_id);
        self.big(update.received_ms);
        self.integer(seq);
        for metric in Metric::ALL {
            self.integer(micros(update, metric));
        }
        self.small(update.navigation_type.map(|kind| kind as i16));
        self.small(Some(i16::from(device_code(update.device))));
        self.small(update.tti_gap.map(|gap| gap as i16));
        self.small(update.os.map(|os| os as i16));
        self.column(Some(update.id.as_bytes()));
        self.text(Some(&pack_url(&update.url, &update.route)));
        self.text(update.browser.as_deref());
        self.text(update.connection.as_deref());
        self.text(update.country.as_deref());
        self.text(update.release.as_deref());
        self.column(foreign_received.as_deref());
        self.integer(update.weight.stored());
        self.column(texts.encode(update).as_deref());
    }

    /// Takes the bytes written since the last call, if they are at least `bytes_min`.
    pub(crate) fn take(&mut self, bytes_min: usize) -> Option<Vec<u8>> {
        (self.bytes.len() >= bytes_min).then(|| {
            let next = Vec::with_capacity(self.bytes.capacity());
            std::mem::replace(&mut self.bytes, next)
        })
    }

    /// Takes the rest, with the trailer.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        self.bytes
    }
}
