//! Generates the explanations of the shop's page views: elements, images, scripts, parts of times.

use fieldvitals_store::context::conditions::Conditions;
use fieldvitals_store::context::{ClsDetail, InpDetail, LcpDetail};
use fieldvitals_store::{Context, Detail, ViewUpdate};
use fieldvitals_traffic::Random;
use vitals::attribution::LoadState;
use vitals::fetch::{ConfidenceLevel, Delivery, Protocol};
use vitals::metric::{Metric, Value};
use vitals::view::{Device, Rtt, Tier, Viewport};

const SCRIPTS: [&str; 6] = ["app", "vendor", "search", "cart", "consent", "tag-manager"];
const EVENTS: [&str; 4] = ["click", "pointerdown", "keydown", "keyup"];
const USED: [&str; 12] = [
    "button.buy",
    "#menu>button.toggle",
    "#search>input",
    "li.variant>label",
    "a.product-card",
    "#filters>div.group>label",
    "button.close",
    "div.gallery>button.next",
    "#consent>button.accept",
    "select.size",
    "div.tabs>button",
    "footer>a",
];
const MOVED: [&str; 6] =
    ["div.banner", "#consent", "main>div.recommendations", "ul.reviews", "img.ad", "header>div.offer"];

/// A generator of page views' contexts.
pub(crate) struct Explained(Random);

impl Explained {
    /// A generator with this seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// The context of a page view. A page with an id has its own image, so that images exceed the bound of a day's
    /// texts. Pages share all other texts.
    pub(crate) fn context(&mut self, view: &ViewUpdate) -> Context {
        let ms = |metric| view.values.get(metric).map(|value| value.micros() / 1_000);
        let path = view.url.trim_start_matches("https://shop.example");
        let random = &mut self.0;
        let mut pick = |from: &[&str]| from[(random.bits() % from.len() as u64) as usize].to_owned();
        let (used, event, script, moved) = (pick(&USED), pick(&EVENTS), pick(&SCRIPTS), pick(&MOVED));
        let mut part = |of: u32| (random.unit() * f64::from(of)) as u32;
        let lcp = ms(Metric::Lcp).map(|lcp| {
            let ttfb = ms(Metric::Ttfb).unwrap_or(0).min(lcp);
            let delay = part((lcp - ttfb) / 2);
            let load = part(lcp - ttfb - delay);
            let is_text = part(10) < 3;
            let (target, url) = if is_text {
                ("main>article>h1.title".to_owned(), String::new())
            } else {
                ("div.gallery>img.hero".to_owned(), format!("https://cdn.shop.example/images{path}.avif"))
            };
            LcpDetail { target, url, parts_ms: [ttfb, delay, load, lcp - ttfb - delay - load] }
        });
        let inp = ms(Metric::Inp).map(|inp| {
            let delay = part(inp / 3);
            let processing = part(inp - delay);
            InpDetail {
                target: used,
                event,
                at_ms: 2_000 + part(120_000),
                parts_ms: [delay, processing, inp - delay - processing],
                script: format!("https://shop.example/static/{script}.3f9a1c.js"),
                script_ms: processing / 2,
                load_state: LoadState::Complete,
            }
        });
        let cls = view.values.get(Metric::Cls).filter(|&cls| cls > Value::ZERO).map(|cls| ClsDetail {
            target: moved,
            at_ms: 300 + part(9_000),
            value_micros: cls.micros() / 2,
            load_state: LoadState::DomContentLoaded,
        });
        let tbt = ms(Metric::Tti).and_then(|tti| Value::from_micros(Metric::Tti, part(tti / 8) * 1_000));
        let conditions = ms(Metric::Ttfb).map(|ttfb| {
            let is_new = part(10) < 6;
            let [redirect, dns, connect] =
                [part(ttfb / 8), part(ttfb / 16), part(ttfb / 4)].map(|ms| if is_new { ms } else { 0 });
            let cache = part(4).min(ttfb - redirect - dns - connect);
            let is_hit = part(10) < 7;
            let edge = if is_hit { "HIT" } else { "MISS" };
            Box::new(Conditions {
                ttfb_parts_ms: Some([
                    redirect,
                    0,
                    cache,
                    dns,
                    connect,
                    ttfb - redirect - cache - dns - connect,
                ]),
                protocol: Some(if part(10) < 7 { Protocol::H2 } else { Protocol::H3 }),
                delivery: Some(Delivery::Network),
                document_kb: Some(20 + part(60)),
                server_timings: vec![
                    ("cdn-cache".to_owned(), 0, edge.to_owned()),
                    ("edge".to_owned(), part(ttfb), String::new()),
                ],
                not_restored: Vec::new(),
                confidence: (part(10) < 7).then_some((ConfidenceLevel::High, 50)),
                rtt: Rtt::of(f64::from(part(300))),
                memory: Some(Tier::High),
                cpu: Some(Tier::High),
                engaged: Some(is_hit),
                first_input_ms: ms(Metric::Fid).map(|_| 500 + part(20_000)),
            })
        });
        let any = lcp.is_some() || inp.is_some() || cls.is_some();
        let viewport = if view.device == Some(Device::Phone) { Viewport::Small } else { Viewport::Large };
        Context {
            viewport: Some(viewport),
            tbt,
            errors: 0,
            detail: any.then(|| Box::new(Detail { lcp, inp, cls, tags: Vec::new(), marks: Vec::new() })),
            conditions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::context::code::bytes_of;
    use fieldvitals_traffic::Traffic;

    /// Bytes that the conditions add to a page view. `cargo xtask bench load` prints the bytes in the stores.
    #[test]
    fn contexts_of_the_shop_have_so_many_bytes() {
        let mut traffic = Traffic::new(7, 1_000, 0, 3_600_000);
        let mut explained = Explained::new(1);
        let (mut without, mut with) = (0, 0);
        for _ in 0..1_000 {
            let view = traffic.next_view();
            let mut context = explained.context(&view);
            with += bytes_of(&context);
            context.conditions = None;
            without += bytes_of(&context);
        }
        assert_eq!((without / 1_000, with / 1_000), (27, 52), "bytes a page view before and after");
    }

    #[test]
    fn what_is_measured_is_explained() {
        let mut traffic = Traffic::new(7, 1_000, 0, 3_600_000);
        let mut explained = Explained::new(1);
        for _ in 0..1_000 {
            let view = traffic.next_view();
            let detail = *explained.context(&view).detail.unwrap();
            let lcp = detail.lcp.unwrap();
            assert_eq!(
                Some(lcp.parts_ms.iter().sum()),
                view.values.get(Metric::Lcp).map(|lcp| lcp.micros() / 1_000)
            );
            assert_eq!(detail.inp.is_some(), view.values.get(Metric::Inp).is_some());
        }
    }
}
