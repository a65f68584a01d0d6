//! Fills stores with page views, and runs commands on them without a server.

use crate::beacon::now_ms;
use crate::server::binary;
use fieldvitals_store::rollup::{DAY_MS, day_of};
use fieldvitals_store::{
    Context, LoadBatch, NewSite, Retention, Senders, Site, SiteId, Source, SpoolId, Store, ViewUpdate, Weight,
};
use std::process::{Command, Stdio};
use vitals::metric::{Metric, Value, Values};
use vitals::view::{Device, Os, ViewId};

/// Page views of each of two days that are past the default retention of page views.
pub const OLD_VIEWS: u32 = 400;
/// Distance of the first of these days from [`recent_day_ms`], in days.
const OLD_DAYS: i64 = 40;

/// The result of a command.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ran {
    /// Parses its standard output as JSON.
    ///
    /// # Panics
    /// Panics if the output is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A command of the binary with these arguments, for use without a server.
#[must_use]
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).env_remove("DATABASE_URL").env_remove("FIELDVITALS_DATA_DIR").stdin(Stdio::null());
    command
}

/// Runs the binary until it ends.
///
/// # Panics
/// Panics if the binary cannot be run.
#[must_use]
pub fn run(args: &[&str]) -> Ran {
    let output = command(args).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// The start of the UTC day before yesterday. This day is complete for every query.
#[must_use]
pub fn recent_day_ms() -> i64 {
    day_of(now_ms() as i64) - 2 * DAY_MS
}

/// The UTC day of a moment, in the format of the commands.
#[must_use]
pub fn day_text(at_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at_ms).expect("a moment");
    at.strftime("%Y-%m-%d").to_string()
}

/// Adds a site with `views` page views in three days within retention, and further page views in two days past
/// retention. Maintenance then removes the latter.
///
/// # Panics
/// Panics if the store fails.
pub async fn fill(store: &dyn Store, name: &str, views: u32) -> Site {
    let key = format!("fvk_test_{name}");
    let origins = vec!["https://shop.example".to_owned()];
    let created_ms = recent_day_ms() - OLD_DAYS * DAY_MS;
    let site = store.site_add(NewSite { name: name.to_owned(), key, origins, created_ms }).await;
    let site = site.expect("a site");
    let routes = vec!["/p/:id".to_owned()];
    let site = store.site_update(site.id, name, &site.origins, &routes).await.expect("its routes");
    let recent_ms = recent_day_ms();
    let mut all: Vec<ViewUpdate> = (0..views).map(|number| update(recent_ms, views, number)).collect();
    all.extend((0..2 * OLD_VIEWS).map(|number| update(created_ms, 3 * OLD_VIEWS, number)));
    load(store, site.id, &all).await;
    site
}

/// Loads page views, a beacon each, and folds their rollups.
///
/// # Panics
/// Panics if the store fails.
pub async fn load(store: &dyn Store, site: SiteId, views: &[ViewUpdate]) {
    let (spool, mut after) = (SpoolId([7; 16]), 0);
    for part in views.chunks(4_000) {
        let beacons: Vec<Vec<ViewUpdate>> = part.iter().map(|view| vec![view.clone()]).collect();
        let up_to = after + beacons.len() as u64;
        let batch = LoadBatch { site, spool, after, up_to, beacons, senders: Senders::Unknown };
        store.load(batch).await.expect("a load");
        after = up_to;
    }
    store.cursors_forget(spool).await.expect("the cursor goes");
    store.maintain(now_ms() as i64, Retention::default()).await.expect("maintenance");
}

/// One of `of` page views over three days, each with its own values. Another library reports every eighth of them.
fn update(first_ms: i64, of: u32, number: u32) -> ViewUpdate {
    let start_ms = first_ms + 3 * DAY_MS * i64::from(number) / i64::from(of.max(1));
    let start_ms = start_ms.min(now_ms() as i64);
    let mut values = Values::EMPTY;
    values.set(Metric::Lcp, Value::from_micros(Metric::Lcp, 900_000 + number % 3_000 * 1_000));
    values.set(Metric::Cls, Value::from_micros(Metric::Cls, number % 400 * 1_000));
    let pick = |from: [&str; 3]| Some(from[number as usize % 3].to_owned());
    ViewUpdate {
        id: ViewId::new(
            start_ms as u64,
            u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        ),
        source: if number.is_multiple_of(8) { Source::Foreign } else { Source::Own { seq: 1 } },
        received_ms: start_ms + 500,
        url: format!("https://shop.example/p/{}", number % 10),
        route: ["/p/:id", "/cart", "/"][number as usize % 3].to_owned(),
        navigation_type: None,
        device: [None, Some(Device::Phone), Some(Device::Desktop)][number as usize % 3],
        browser: pick(["Firefox", "Chrome", "Safari"]),
        os: [None, Some(Os::Android), Some(Os::Macos)][number as usize % 3],
        connection: pick(["4g", "3g", "4g"]),
        country: pick(["DE", "FR", "JP"]),
        release: pick(["1.0", "1.1", "1.1"]),
        values,
        tti_gap: None,
        weight: Weight::ONE,
        context: Context::NONE,
    }
}
