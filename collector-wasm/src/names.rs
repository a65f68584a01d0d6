//! The JavaScript names that the module reads, calls and compares.
//!
//! The loader puts them into its table of values, so a name is a number too. A number in a call takes two bytes of the
//! module, a text six.

use crate::value::Js;

macro_rules! names {
    ($first:ident $first_text:literal, $($name:ident $text:literal,)+) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "the names of constants")]
        #[derive(Clone, Copy)]
        #[repr(i32)]
        enum Number {
            $first = Js::NAMES,
            $($name,)+
        }

        #[doc = concat!("`", $first_text, "`")]
        pub const $first: Js = Js::numbered(Number::$first as i32);
        $(
            #[doc = concat!("`", $text, "`")]
            pub const $name: Js = Js::numbered(Number::$name as i32);
        )+

        /// All names in order, separated by spaces.
        pub const ALL: &str = concat!($first_text, $(" ", $text),+);
    };
}

names! {
    // The entry types: first the snippet's types, in the order of its kinds from 1 on, then the module's own.
    PAINT "paint",
    LARGEST_CONTENTFUL_PAINT "largest-contentful-paint",
    LAYOUT_SHIFT "layout-shift",
    FIRST_INPUT "first-input",
    EVENT "event",
    LONG_TASK "longtask",
    RESOURCE "resource",
    VISIBILITY_STATE "visibility-state",
    LONG_ANIMATION_FRAME "long-animation-frame",
    SOFT_NAVIGATION "soft-navigation",
    INTERACTION_CONTENTFUL_PAINT "interaction-contentful-paint",
    // The classes of the snippet's entry types, in their order.
    PERFORMANCE_PAINT_TIMING "PerformancePaintTiming",
    LARGEST_CONTENTFUL_PAINT_CLASS "LargestContentfulPaint",
    LAYOUT_SHIFT_CLASS "LayoutShift",
    PERFORMANCE_EVENT_TIMING "PerformanceEventTiming",
    PERFORMANCE_EVENT_TIMING_FIRST_INPUT "PerformanceEventTiming",
    PERFORMANCE_LONG_TASK_TIMING "PerformanceLongTaskTiming",
    PERFORMANCE_RESOURCE_TIMING "PerformanceResourceTiming",
    VISIBILITY_STATE_ENTRY "VisibilityStateEntry",
    // The fields of a navigation entry, in the order of an item's numbers.
    RESPONSE_START "responseStart",
    ACTIVATION_START "activationStart",
    DOM_CONTENT_LOADED_EVENT_END "domContentLoadedEventEnd",
    TYPE "type",
    RESPONSE_END "responseEnd",
    DOM_COMPLETE "domComplete",
    // The times of a navigation entry at which a part of TTFB ends, in the order of `vitals::fetch::Edges`.
    WORKER_START "workerStart",
    FETCH_START "fetchStart",
    DOMAIN_LOOKUP_START "domainLookupStart",
    CONNECT_START "connectStart",
    CONNECT_END "connectEnd",
    // The events that the snippet also listens to.
    CLICK "click",
    KEYDOWN "keydown",
    PAGEHIDE "pagehide",
    PAGESHOW "pageshow",
    VISIBILITYCHANGE "visibilitychange",
    // The page's interface.
    NAVIGATE "navigate",
    TAG "tag",
    MARK "mark",
    CONSENT "consent",
    ON "on",
    // Types of a navigation.
    RELOAD "reload",
    BACK_FORWARD "back_forward",
    // Entries and their parts.
    ENTRY_TYPE "entryType",
    START_TIME "startTime",
    DURATION "duration",
    VALUE "value",
    NAME "name",
    PROCESSING_START "processingStart",
    PROCESSING_END "processingEnd",
    RESPONSE_STATUS "responseStatus",
    INTERACTION_ID "interactionId",
    HAD_RECENT_INPUT "hadRecentInput",
    INITIATOR_TYPE "initiatorType",
    PRESENTATION_TIME "presentationTime",
    PAINT_TIME "paintTime",
    LARGEST_CONTENTFUL_PAINT_OF "largestContentfulPaint",
    REQUEST_START "requestStart",
    URL "url",
    SOURCES "sources",
    NODE "node",
    CURRENT_RECT "currentRect",
    WIDTH "width",
    HEIGHT "height",
    SCRIPTS "scripts",
    SOURCE_URL "sourceURL",
    INVOKER_TYPE "invokerType",
    ENTRY "entry",
    TARGET "target",
    ELEMENT "element",
    SERVER_TIMING "serverTiming",
    DESCRIPTION "description",
    NOT_RESTORED_REASONS "notRestoredReasons",
    REASONS "reasons",
    REASON "reason",
    CHILDREN "children",
    CONFIDENCE "confidence",
    RANDOMIZED_TRIGGER_RATE "randomizedTriggerRate",
    NEXT_HOP_PROTOCOL "nextHopProtocol",
    DELIVERY_TYPE "deliveryType",
    TRANSFER_SIZE "transferSize",
    ENCODED_BODY_SIZE "encodedBodySize",
    FIRST_PAINT "first-paint",
    HIDDEN "hidden",
    BEACON "beacon",
    // Performance and observers.
    NOW "now",
    TIME_ORIGIN "timeOrigin",
    INTERACTION_COUNT "interactionCount",
    GET_ENTRIES_BY_TYPE "getEntriesByType",
    GET_ENTRIES_BY_NAME "getEntriesByName",
    NAVIGATION "navigation",
    PERFORMANCE_OBSERVER "PerformanceObserver",
    SUPPORTED_ENTRY_TYPES "supportedEntryTypes",
    INCLUDES "includes",
    OBSERVE "observe",
    BUFFERED "buffered",
    DURATION_THRESHOLD "durationThreshold",
    GET_ENTRIES "getEntries",
    TAKE_RECORDS "takeRecords",
    DISCONNECT "disconnect",
    MUTATION_OBSERVER "MutationObserver",
    CHILD_LIST "childList",
    POP "pop",
    LENGTH "length",
    // Elements.
    NODE_CLASS "Node",
    ELEMENT_CLASS "Element",
    DOCUMENT_CLASS "Document",
    NODE_TYPE "nodeType",
    PARENT_NODE "parentNode",
    ID "id",
    LOCAL_NAME "localName",
    CLASS_LIST "classList",
    QUERY_SELECTOR "querySelector",
    CONTENT "content",
    WAS_DISCARDED "wasDiscarded",
    // Events.
    TIME_STAMP "timeStamp",
    IS_TRUSTED "isTrusted",
    PERSISTED "persisted",
    // The window and its navigator.
    LOCATION "location",
    HREF "href",
    QUEUE_MICROTASK "queueMicrotask",
    REQUEST_ANIMATION_FRAME "requestAnimationFrame",
    MATCH_MEDIA "matchMedia",
    MATCHES "matches",
    SCREEN "screen",
    INNER_WIDTH "innerWidth",
    CONNECTION "connection",
    EFFECTIVE_TYPE "effectiveType",
    RTT "rtt",
    WEBDRIVER "webdriver",
    DEVICE_MEMORY "deviceMemory",
    CPU_PERFORMANCE "cpuPerformance",
    HARDWARE_CONCURRENCY "hardwareConcurrency",
    GLOBAL_PRIVACY_CONTROL "globalPrivacyControl",
    DO_NOT_TRACK "doNotTrack",
    CONSOLE "console",
    DEBUG "debug",
    ERROR "error",
    // Requests and storage.
    ON_LINE "onLine",
    SEND_BEACON "sendBeacon",
    FETCH "fetch",
    FETCH_LATER "fetchLater",
    ABORT_CONTROLLER "AbortController",
    ABORT "abort",
    SIGNAL "signal",
    METHOD "method",
    POST "POST",
    BODY "body",
    KEEPALIVE "keepalive",
    CREDENTIALS "credentials",
    OMIT "omit",
    THEN "then",
    STATUS "status",
    OK "ok",
    TEXT "text",
    LOCAL_STORAGE "localStorage",
    SESSION_STORAGE "sessionStorage",
    GET_ITEM "getItem",
    SET_ITEM "setItem",
    REMOVE_ITEM "removeItem",
    KEY "fieldvitals",
    // The loader's object and the options.
    HERE "here",
    OUT "out",
    SEQ "seq",
    QUEUE "queue",
    CALLS "calls",
    OBSERVER "observer",
    PAGE_URL "pageUrl",
    SITE "site",
    SAMPLE "sample",
    RELEASE "release",
    META_RELEASE "meta[name=release]",
    POINTER_COARSE "(pointer:coarse)",
    TAGS "tags",
    VIEWS "views",
    PUSH "push",
    CALL "call",
    GET "get",
    GRANTED "granted",
    ONE "1",
}
