//! The parts of slow values, and which part dominates one.

use crate::attribution::LoadState;
use crate::fetch::PARTS;
use crate::metric::Metric;

/// A part of a value that advice may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// LCP: until the first byte of the document.
    LcpTtfb,
    /// LCP: from there until the request of the image.
    LcpLoadDelay,
    /// LCP: the image's load.
    LcpLoadDuration,
    /// LCP: from the load until the paint.
    LcpRenderDelay,
    /// INP: until the first handler runs.
    InpInputDelay,
    /// INP: the handlers.
    InpProcessing,
    /// INP: from the last handler until the next frame.
    InpPresentation,
    /// CLS: an image, a video or a drawing shifted most.
    ClsMedia,
    /// CLS: a frame, an embedded object or an advertisement shifted most.
    ClsFrame,
    /// CLS: other content shifted while the document loaded.
    ClsLoading,
    /// CLS: other content shifted after the load.
    ClsLate,
    /// TTFB: redirects.
    TtfbRedirect,
    /// TTFB: the start of a service worker.
    TtfbServiceWorker,
    /// TTFB: the look-up in the HTTP cache.
    TtfbCache,
    /// TTFB: DNS.
    TtfbDns,
    /// TTFB: TCP and TLS.
    TtfbConnect,
    /// TTFB: from the request to the first byte.
    TtfbRequest,
    /// Back and forward navigations that the back/forward cache did not serve.
    BackForwardCache,
}

const LCP: [Part; 4] = [Part::LcpTtfb, Part::LcpLoadDelay, Part::LcpLoadDuration, Part::LcpRenderDelay];
const INP: [Part; 3] = [Part::InpInputDelay, Part::InpProcessing, Part::InpPresentation];
const TTFB: [Part; PARTS.len()] = [
    Part::TtfbRedirect,
    Part::TtfbServiceWorker,
    Part::TtfbCache,
    Part::TtfbDns,
    Part::TtfbConnect,
    Part::TtfbRequest,
];

/// Targets of the parts of LCP, in milliseconds: 40, 10, 40 and 10 % of the largest good LCP, 2,500 ms
/// (<https://web.dev/articles/optimize-lcp#breakdown>).
const LCP_TARGETS_MS: [u32; 4] = [1_000, 250, 1_000, 250];

/// Elements with a layout that depends on the size of a loaded file.
const MEDIA: [&str; 6] = ["img", "picture", "video", "svg", "canvas", "source"];
/// Elements that hold other documents; `ins` is the usual element of advertisements.
const FRAMES: [&str; 5] = ["iframe", "embed", "object", "ins", "amp-ad"];

impl Part {
    /// Returns the part of an LCP that exceeds its target most, and its size. A slow LCP has such a part, because the
    /// targets sum to the largest good LCP.
    #[must_use]
    pub fn of_lcp(parts_ms: [u32; 4]) -> (Self, u32) {
        let parts = LCP.into_iter().zip(parts_ms).zip(LCP_TARGETS_MS);
        let excess =
            |&((_, ms), target): &((Self, u32), u32)| i64::from(ms).saturating_sub(i64::from(target));
        // On a tie, the last part wins, here and below.
        parts.max_by_key(excess).map_or((Self::LcpRenderDelay, 0), |(part, _)| part)
    }

    /// Returns the longest part of an INP, and its size.
    #[must_use]
    pub fn of_inp(parts_ms: [u32; 3]) -> (Self, u32) {
        let longest = INP.into_iter().zip(parts_ms).max_by_key(|(_, ms)| *ms);
        longest.unwrap_or((Self::InpPresentation, 0))
    }

    /// Returns the kind of the largest shift, by its element (a selector) and the load state.
    #[must_use]
    pub fn of_cls(target: &str, state: LoadState) -> Self {
        let last = target.rsplit(['>', ' ']).next().unwrap_or_default();
        let tag = last.split(['.', '#', '[', ':']).next().unwrap_or_default();
        let is_in = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(tag));
        if is_in(&MEDIA) {
            Self::ClsMedia
        } else if is_in(&FRAMES) {
            Self::ClsFrame
        } else if state == LoadState::Complete {
            Self::ClsLate
        } else {
            Self::ClsLoading
        }
    }

    /// Returns the longest part of a TTFB, and its size.
    #[must_use]
    pub fn of_ttfb(parts_ms: [u32; PARTS.len()]) -> (Self, u32) {
        let longest = TTFB.into_iter().zip(parts_ms).max_by_key(|(_, ms)| *ms);
        longest.unwrap_or((Self::TtfbRequest, 0))
    }

    /// The target of the part in milliseconds, for parts of LCP.
    #[must_use]
    pub fn target_ms(self) -> Option<u32> {
        LCP.into_iter().zip(LCP_TARGETS_MS).find(|(part, _)| *part == self).map(|(_, target)| target)
    }

    /// The metric of the part; the back/forward cache shortens all loads, and LCP most.
    #[must_use]
    pub const fn metric(self) -> Metric {
        match self {
            Self::LcpTtfb
            | Self::LcpLoadDelay
            | Self::LcpLoadDuration
            | Self::LcpRenderDelay
            | Self::BackForwardCache => Metric::Lcp,
            Self::InpInputDelay | Self::InpProcessing | Self::InpPresentation => Metric::Inp,
            Self::ClsMedia | Self::ClsFrame | Self::ClsLoading | Self::ClsLate => Metric::Cls,
            Self::TtfbRedirect
            | Self::TtfbServiceWorker
            | Self::TtfbCache
            | Self::TtfbDns
            | Self::TtfbConnect
            | Self::TtfbRequest => Metric::Ttfb,
        }
    }

    /// The code in the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::LcpTtfb => "lcp-ttfb",
            Self::LcpLoadDelay => "lcp-load-delay",
            Self::LcpLoadDuration => "lcp-load-duration",
            Self::LcpRenderDelay => "lcp-render-delay",
            Self::InpInputDelay => "inp-input-delay",
            Self::InpProcessing => "inp-processing",
            Self::InpPresentation => "inp-presentation",
            Self::ClsMedia => "cls-media",
            Self::ClsFrame => "cls-frame",
            Self::ClsLoading => "cls-loading",
            Self::ClsLate => "cls-late",
            Self::TtfbRedirect => "ttfb-redirect",
            Self::TtfbServiceWorker => "ttfb-service-worker",
            Self::TtfbCache => "ttfb-cache",
            Self::TtfbDns => "ttfb-dns",
            Self::TtfbConnect => "ttfb-connect",
            Self::TtfbRequest => "ttfb-request",
            Self::BackForwardCache => "back-forward-cache",
        }
    }

    /// The name for people, within a sentence.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LcpTtfb => "time to first byte",
            Self::LcpLoadDelay => "load delay",
            Self::LcpLoadDuration => "load duration",
            Self::LcpRenderDelay => "render delay",
            Self::InpInputDelay => "input delay",
            Self::InpProcessing => "processing time",
            Self::InpPresentation => "presentation delay",
            Self::ClsMedia => "shift of an image or video",
            Self::ClsFrame => "shift of a frame or advertisement",
            Self::ClsLoading => "shift of content during the load",
            Self::ClsLate => "shift of content after the load",
            Self::TtfbRedirect => "redirects",
            Self::TtfbServiceWorker => "service worker start",
            Self::TtfbCache => "cache look-up",
            Self::TtfbDns => "DNS",
            Self::TtfbConnect => "connection",
            Self::TtfbRequest => "server response",
            Self::BackForwardCache => "missed back/forward cache",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_lcp_with_the_largest_excess_dominates() {
        for (parts_ms, part) in [
            ([1_500, 300, 900, 300], Part::LcpTtfb),
            ([900, 1_300, 1_100, 200], Part::LcpLoadDelay),
            ([900, 240, 1_400, 200], Part::LcpLoadDuration),
            // Render delay is no longer than TTFB, but further from its target.
            ([1_400, 0, 0, 1_300], Part::LcpRenderDelay),
        ] {
            assert_eq!(Part::of_lcp(parts_ms).0, part, "{parts_ms:?}");
        }
        assert_eq!(LCP_TARGETS_MS.iter().sum::<u32>() * 1_000, Metric::Lcp.thresholds().good.micros());
        assert_eq!((Part::LcpLoadDelay.target_ms(), Part::InpProcessing.target_ms()), (Some(250), None));
    }

    #[test]
    fn longest_part_of_inp_and_ttfb_dominates() {
        assert_eq!(Part::of_inp([200, 10, 90]), (Part::InpInputDelay, 200));
        assert_eq!(Part::of_inp([20, 300, 90]), (Part::InpProcessing, 300));
        assert_eq!(Part::of_inp([20, 30, 290]), (Part::InpPresentation, 290));
        for (place, part) in TTFB.into_iter().enumerate() {
            let mut parts_ms = [5; 6];
            parts_ms[place] = 900;
            assert_eq!((Part::of_ttfb(parts_ms), part.metric()), ((part, 900), Metric::Ttfb));
        }
    }

    #[test]
    fn shifts_are_told_by_element_and_moment() {
        for (target, state, part) in [
            ("main>img.hero", LoadState::Loading, Part::ClsMedia),
            ("#ad>iframe", LoadState::Complete, Part::ClsFrame),
            ("body>INS.adsbygoogle", LoadState::Complete, Part::ClsFrame),
            ("main>p.img", LoadState::Loading, Part::ClsLoading),
            ("#banner", LoadState::DomContentLoaded, Part::ClsLoading),
            ("#banner", LoadState::Complete, Part::ClsLate),
            ("", LoadState::Complete, Part::ClsLate),
        ] {
            assert_eq!(Part::of_cls(target, state), part, "{target}");
        }
    }
}
