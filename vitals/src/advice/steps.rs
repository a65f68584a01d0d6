//! The repairs of each part, by the time that they take.

use super::Part;
use Horizon::{Immediate, LongTerm, ShortTerm};

/// The time that a step takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Horizon {
    /// Hours: an attribute, a header, a line of configuration.
    Immediate,
    /// Days to weeks: work on a page, an asset or a server.
    ShortTerm,
    /// Months: another way of building or delivering pages.
    LongTerm,
}

impl Horizon {
    /// Returns the name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::ShortTerm => "short-term",
            Self::LongTerm => "long-term",
        }
    }
}

impl Part {
    /// The headline of the advice, as an imperative.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::LcpTtfb => "Send the document of slow pages sooner",
            Self::LcpLoadDelay => "Let the browser find the largest image sooner",
            Self::LcpLoadDuration => "Make the largest image load faster",
            Self::LcpRenderDelay => "Paint the largest element as soon as it is loaded",
            Self::InpInputDelay => "Keep the main thread free when visitors interact",
            Self::InpProcessing => "Do less in the handlers of interactions",
            Self::InpPresentation => "Make the frame after an interaction cheaper",
            Self::ClsMedia => "Reserve the space of images and videos",
            Self::ClsFrame => "Reserve the space of frames and advertisements",
            Self::ClsLoading => "Stop content from moving while the page loads",
            Self::ClsLate => "Stop content from moving after the load",
            Self::TtfbRedirect => "Remove redirects before the page",
            Self::TtfbServiceWorker => "Start the service worker faster",
            Self::TtfbCache => "Shorten the look-up in the HTTP cache",
            Self::TtfbDns => "Shorten the look-up of the host name",
            Self::TtfbConnect => "Shorten the set-up of the connection",
            Self::TtfbRequest => "Answer requests for the document faster",
            Self::BackForwardCache => "Let the back/forward cache restore pages",
        }
    }

    /// The steps for people, quickest first, each with the time that it takes.
    #[must_use]
    pub const fn steps(self) -> &'static [(Horizon, &'static str)] {
        match self {
            Self::LcpTtfb => &[
                (Immediate, "Link to the final URL, so that no redirect comes first."),
                (
                    ShortTerm,
                    "Cache the document at an edge near the visitors, or shorten the work of the server before its first byte.",
                ),
                (LongTerm, "Render pages ahead of requests, or stream the document while it is rendered."),
            ],
            Self::LcpLoadDelay => &[
                (
                    Immediate,
                    "Remove `loading=\"lazy\"` from the largest image, and add `fetchpriority=\"high\"`.",
                ),
                (
                    Immediate,
                    "Put the image into the HTML as `<img>`, or add `<link rel=\"preload\" as=\"image\">`, if a script or style sheet requests it.",
                ),
                (
                    ShortTerm,
                    "Serve the image from the document's origin, so that no further connection comes first.",
                ),
                (LongTerm, "Render the element on the server, so that its image is in the first HTML."),
            ],
            Self::LcpLoadDuration => &[
                (
                    Immediate,
                    "Give the image a long `Cache-Control: max-age`, and postpone other early downloads.",
                ),
                (ShortTerm, "Serve the image in the displayed size (`srcset`), as AVIF or WebP, from a CDN."),
                (LongTerm, "Process images automatically when they are published."),
            ],
            Self::LcpRenderDelay => &[
                (
                    Immediate,
                    "Load scripts of the head with `defer` or `async`, and third-party scripts after the largest element.",
                ),
                (
                    ShortTerm,
                    "Inline the style sheet of the visible part, and postpone the rest. Remove code that hides content until a script ran, such as A/B tests and fade-ins.",
                ),
                (LongTerm, "Render the element on the server instead of in the browser."),
            ],
            Self::InpInputDelay => &[
                (Immediate, "Postpone third-party scripts and analytics until the page is idle."),
                (ShortTerm, "Split long tasks of the start, with `scheduler.yield()` between their parts."),
                (LongTerm, "Ship less JavaScript: load code by route, and hydrate only what visitors use."),
            ],
            Self::InpProcessing => &[
                (
                    Immediate,
                    "Show the visible change first; run analytics and storage after `scheduler.yield()`.",
                ),
                (ShortTerm, "Profile the handlers of the named element, and debounce or split them."),
                (LongTerm, "Move computation into a worker, and keep less state to update per interaction."),
            ],
            Self::InpPresentation => &[
                (Immediate, "Add `content-visibility: auto` to long lists outside of the view."),
                (ShortTerm, "Read layout before writing it, and limit what a state change renders again."),
                (LongTerm, "Keep the document small: paginate or virtualize long lists."),
            ],
            Self::ClsMedia => &[
                (
                    Immediate,
                    "Add `width` and `height` attributes, or `aspect-ratio` in CSS, to the named element.",
                ),
                (ShortTerm, "Let templates write the sizes of all images and videos."),
                (LongTerm, "Store the size of each image when it is published."),
            ],
            Self::ClsFrame => &[
                (Immediate, "Give the slot a `min-height` of its usual content, also if it stays empty."),
                (ShortTerm, "Move slots of unknown height below the first screen."),
                (LongTerm, "Agree on fixed sizes with the providers of advertisements and embedded content."),
            ],
            Self::ClsLoading => &[
                (
                    Immediate,
                    "Load fonts with `font-display: optional`, or match the fallback by `size-adjust` and `ascent-override`.",
                ),
                (ShortTerm, "Reserve the space of banners and late components, or lay them over the page."),
                (LongTerm, "Render the final layout on the server, without placeholders of another size."),
            ],
            Self::ClsLate => &[
                (
                    Immediate,
                    "Insert late content below the view, or lay it over the page, not above what visitors read.",
                ),
                (
                    ShortTerm,
                    "Animate with `transform` instead of `top`, `height` and margins. Show a placeholder within 500 ms of a click.",
                ),
                (LongTerm, "Load content of stable size before it is scrolled into view."),
            ],
            Self::TtfbRedirect => &[
                (
                    Immediate,
                    "Point links, advertisements and sitemaps to final URLs, with `https` and the right host.",
                ),
                (
                    ShortTerm,
                    "Merge chains into one redirect, and answer it at the edge. Send `Strict-Transport-Security`.",
                ),
                (LongTerm, "Replace redirects by language or device with one URL for all."),
            ],
            Self::TtfbServiceWorker => &[
                (Immediate, "Enable navigation preload (`registration.navigationPreload.enable()`)."),
                (
                    ShortTerm,
                    "Route requests past the worker (`addRoutes` of the Static Routing API), and shorten its start script.",
                ),
                (LongTerm, "Answer navigations from the worker's own cache."),
            ],
            Self::TtfbCache => &[
                (Immediate, "Avoid `Vary` on headers that differ per visitor."),
                (
                    ShortTerm,
                    "Compare devices: a slow disk or many tabs of low-end devices cannot be repaired by the page.",
                ),
            ],
            Self::TtfbDns => &[
                (Immediate, "Raise the TTL of the DNS records, and remove chains of CNAMEs."),
                (ShortTerm, "Use a DNS provider with servers near the visitors."),
            ],
            Self::TtfbConnect => &[
                (Immediate, "Enable TLS 1.3 and HTTP/3, and send `Alt-Svc` or HTTPS records."),
                (ShortTerm, "Terminate connections at an edge near the visitors."),
                (LongTerm, "Prefetch likely next pages with speculation rules."),
            ],
            Self::TtfbRequest => &[
                (
                    Immediate,
                    "Send `Server-Timing`, so that the attribution shows which step of the server is slow.",
                ),
                (ShortTerm, "Cache the document at the edge, and find the slow queries of the named pages."),
                (
                    LongTerm,
                    "Render pages ahead of requests, and bring data nearer to the servers that render.",
                ),
            ],
            Self::BackForwardCache => &[
                (
                    Immediate,
                    "Replace `unload` listeners by `pagehide`, and forbid them with `Permissions-Policy: unload=()`.",
                ),
                (
                    Immediate,
                    "Send `Cache-Control: no-cache` instead of `no-store` for pages without private data.",
                ),
                (ShortTerm, "Close connections (WebSocket, WebRTC, IndexedDB transactions) at `pagehide`."),
            ],
        }
    }
}
