//! Defines a page view: its id, its attributes, and the snapshot of its measurements.

use serde::{Deserialize, Serialize};

/// The id of a page view: a UUID version 7, made in the browser, whose first 48 bits are the view's start in UTC
/// milliseconds.
///
/// Day, partition and cell of a view follow from the id alone, so a view that is sent repeatedly or to several
/// servers remains one row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ViewId([u8; 16]);

impl ViewId {
    /// The id of no view.
    pub const NONE: Self = Self::new(0, 0);

    /// Makes the id of a view that starts at `start_ms` (UTC), with the low 74 bits of `random`.
    #[must_use]
    pub const fn new(start_ms: u64, random: u128) -> Self {
        let time = (start_ms as u128 & 0xffff_ffff_ffff) << 80;
        let high = ((random >> 64) & 0xfff) << 64;
        let low = random & 0x3fff_ffff_ffff_ffff;
        let fixed = (0x7 << 76) | (0x2 << 62);
        Self((time | high | low | fixed).to_be_bytes())
    }

    /// Makes an id in the browser, from the view's start `start_ms` (UTC, truncated to whole milliseconds) and a
    /// random number in `[0, 1)`, of which 51 bits are used.
    #[must_use]
    pub fn drawn(start_ms: f64, random: f64) -> Self {
        const BITS: f64 = 9_007_199_254_740_992.0;
        // The casts saturate. Changing the bits would give one view two ids while old modules are cached.
        let (time, random) = (start_ms as u64, (random * BITS) as u64);
        let mut high = (time << 16) | 0x7000 | ((random >> 43) & 0xfff);
        let mut low = (0x2 << 62) | ((random << 21) & (u64::MAX >> 2));
        // A loop takes fewer bytes of the wasm module than 128-bit arithmetic.
        let mut id = [0; 16];
        for byte in &mut id {
            *byte = (high >> 56) as u8;
            high = (high << 8) | (low >> 56);
            low <<= 8;
        }
        Self(id)
    }

    /// Reads the hyphenated form, `xxxxxxxx-xxxx-7xxx-[89ab]xxx-xxxxxxxxxxxx`, in either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return None;
        }
        let mut number = 0_u128;
        for (place, &byte) in bytes.iter().enumerate() {
            if matches!(place, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return None;
                }
            } else {
                number = (number << 4) | u128::from(char::from(byte).to_digit(16)?);
            }
        }
        Self::from_bytes(number.to_be_bytes())
    }

    /// Returns the id of these bytes, if their version and variant are those of a UUID version 7.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let number = u128::from_be_bytes(bytes);
        if (number >> 76) & 0xf == 0x7 && (number >> 62) & 0x3 == 0x2 { Some(Self(bytes)) } else { None }
    }

    /// Returns the id's bytes; their order is that of the views' starts.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the hyphenated form. Avoids `core::fmt`, which would enlarge the wasm module.
    #[must_use]
    pub fn text(self) -> String {
        let mut text = String::new();
        for (place, byte) in self.0.into_iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            for nibble in [byte >> 4, byte & 0xf] {
                text.push(char::from(if nibble < 10 {
                    b'0' | nibble
                } else {
                    nibble.wrapping_add(b'a' - 10)
                }));
            }
        }
        text
    }

    /// The start of the view, in UTC milliseconds.
    #[must_use]
    pub const fn start_ms(self) -> i64 {
        (u128::from_be_bytes(self.0) >> 80) as i64
    }
}

impl core::fmt::Display for ViewId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.text())
    }
}

impl core::fmt::Debug for ViewId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// Defines an enumeration whose values have names and numbers.
macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum $type {
            $($(#[$variant_doc])* #[serde(rename = $name)] $variant = $number,)+
        }

        impl $type {
            /// All values, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The names of [`Self::ALL`], in wire format, API and reports.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The name in wire format, API and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                #[expect(clippy::indexing_slicing, reason = "the numbers count from 0")]
                Self::NAMES[self as usize]
            }

            /// Returns the value of a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }

            /// Returns the value of a stored number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

pub(crate) use names;

names! {
    /// The cause of a page view.
    NavigationType {
        /// A link, a form, the address bar.
        Navigate = 0 "navigate",
        /// The reload button or `location.reload()`.
        Reload = 1 "reload",
        /// Back or forward, loaded from the network or the HTTP cache.
        BackForward = 2 "back-forward",
        /// Back or forward, restored from the back/forward cache.
        BackForwardCache = 3 "back-forward-cache",
        /// Prerendered, then activated.
        Prerender = 4 "prerender",
        /// Discarded by the browser to save memory, then loaded again.
        Restore = 5 "restore",
        /// A navigation inside one document.
        SoftNavigation = 6 "soft-navigation",
    }
}

names! {
    /// The class of the visitor's device. The snippet derives it from the primary pointer and the shorter side of the
    /// screen (600 CSS pixels: Android's bound between phones and tablets).
    Device {
        /// A touch screen whose shorter side is under 600 CSS pixels.
        Phone = 0 "phone",
        /// A larger touch screen.
        Tablet = 1 "tablet",
        /// A fine pointer.
        Desktop = 2 "desktop",
    }
}

impl Viewport {
    /// Smallest width of a medium window, in CSS pixels.
    pub const MEDIUM_WIDTH_MIN: f64 = 600.0;
    /// Smallest width of a large window, in CSS pixels.
    pub const LARGE_WIDTH_MIN: f64 = 1_200.0;
}

impl Device {
    /// Smallest shorter side of a tablet's screen, in CSS pixels.
    pub const TABLET_SIDE_MIN: f64 = 600.0;
}

names! {
    /// The family of the visitor's operating system. The most frequent families have the smallest numbers, which
    /// databases store in the fewest bytes.
    Os {
        /// Windows.
        Windows = 0 "windows",
        /// Android.
        Android = 1 "android",
        /// iOS and iPadOS.
        Ios = 2 "ios",
        /// macOS.
        Macos = 3 "macos",
        /// Linux, except Android and ChromeOS.
        Linux = 4 "linux",
        /// ChromeOS.
        Chromeos = 5 "chromeos",
        /// Any other system that the browser reports.
        Other = 6 "other",
    }
}

names! {
    /// The class of the window's width, in CSS pixels.
    Viewport {
        /// Under 600.
        Small = 0 "small",
        /// Under 1,200.
        Medium = 1 "medium",
        /// From 1,200 on.
        Large = 2 "large",
    }
}

names! {
    /// The class of the connection's round trip (`navigator.connection.rtt`).
    Rtt {
        /// Under 100 ms.
        Under100 = 0 "under-100",
        /// Under 200 ms.
        Under200 = 1 "under-200",
        /// Under 400 ms.
        Under400 = 2 "under-400",
        /// Under 800 ms.
        Under800 = 3 "under-800",
        /// From 800 ms on.
        From800 = 4 "from-800",
    }
}

impl Rtt {
    /// Returns the class of a round trip; `None` for NaN and negative numbers.
    #[must_use]
    pub fn of(ms: f64) -> Option<Self> {
        match ms {
            0.0..100.0 => Some(Self::Under100),
            100.0..200.0 => Some(Self::Under200),
            200.0..400.0 => Some(Self::Under400),
            400.0..800.0 => Some(Self::Under800),
            800.0..f64::INFINITY => Some(Self::From800),
            _ => None,
        }
    }
}

names! {
    /// A coarse class of a device's memory or processor, shared by many devices.
    Tier {
        /// Under 4 GiB; one or two cores.
        Low = 0 "low",
        /// Under 8 GiB; three or four cores.
        Medium = 1 "medium",
        /// 8 GiB and more; five cores and more.
        High = 2 "high",
    }
}

impl Tier {
    /// Returns the class of `navigator.deviceMemory` (GiB); `None` for 0.
    #[must_use]
    pub fn of_memory(gib: f64) -> Option<Self> {
        Self::of(gib, 4.0, 8.0)
    }

    /// Returns the class of a processor by `navigator.hardwareConcurrency`; `None` for 0. The bounds are Chromium's
    /// fallback for tiers without further knowledge of the processor.
    #[must_use]
    pub fn of_cores(cores: f64) -> Option<Self> {
        Self::of(cores, 3.0, 5.0)
    }

    /// Returns the class of a processor by `navigator.cpuPerformance`: 1 to 4, or 0 if the browser does not know.
    #[must_use]
    pub fn of_cpu_tier(tier: f64) -> Option<Self> {
        Self::of(tier, 2.0, 3.0)
    }

    fn of(number: f64, medium: f64, high: f64) -> Option<Self> {
        if number >= high {
            Some(Self::High)
        } else if number >= medium {
            Some(Self::Medium)
        } else if number > 0.0 {
            Some(Self::Low)
        } else {
            None
        }
    }
}

names! {
    /// The reason for a missing TTI in a browser that supports long tasks.
    TtiGap {
        /// The page was hidden or left before the quiet window was over.
        Hidden = 0 "hidden",
        /// More than two requests stayed in flight.
        Network = 1 "network",
        /// Long tasks kept the main thread busy.
        Cpu = 2 "cpu",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_start_and_is_read_back() {
        let id = ViewId::new(1_763_632_800_123, u128::MAX);
        assert_eq!(id.start_ms(), 1_763_632_800_123);
        assert_eq!(
            ViewId::new(0x019a_9f3c_1b7b, 0xabc_0123_4567_89ab_cdef).to_string(),
            "019a9f3c-1b7b-7abc-8123-456789abcdef"
        );
        assert_eq!(ViewId::parse(&id.to_string()), Some(id));
        assert_eq!(ViewId::parse(&id.to_string().to_uppercase()), Some(id));
        assert_eq!(ViewId::from_bytes(*id.as_bytes()), Some(id));
        assert!(ViewId::new(1, u128::MAX) < ViewId::new(2, 0));
    }

    #[test]
    fn drawn_ids_differ_by_start_and_random_number() {
        let id = ViewId::drawn(1_763_632_800_123.7, 0.5);
        assert_eq!(id.start_ms(), 1_763_632_800_123);
        assert_eq!(ViewId::parse(&id.to_string()), Some(id));
        for (start, random) in [(1_763_632_800_123.0, 0.5), (1_763_632_800_123.7, 0.5 + f64::EPSILON)] {
            assert_eq!(ViewId::drawn(start, random) == id, random == 0.5, "{start} {random}");
        }
        for wrong in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(ViewId::from_bytes(*ViewId::drawn(wrong, wrong).as_bytes()).is_some(), "{wrong}");
        }
    }

    #[test]
    fn only_version_7_is_an_id() {
        for text in [
            "",
            "019a9f3c-1b7b-4fff-bfff-ffffffffffff",
            "019a9f3c-1b7b-7fff-0fff-ffffffffffff",
            "019a9f3c-1b7b-7fff-bfff-fffffffffff",
            "019a9f3c-1b7b-7fff-bfff-ffffffffffffé",
            "019a9f3c-1b7b-7fff-bfff-fffffffffffg",
            "019a9f3c+1b7b-7fff-bfff-ffffffffffff",
            "é19a9f3c-1b7b-7fff-bfff-fffffffffff",
        ] {
            assert_eq!(ViewId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_and_numbers_are_read_back() {
        for &kind in NavigationType::ALL {
            assert_eq!(NavigationType::from_name(kind.name()), Some(kind));
            assert_eq!(NavigationType::from_number(kind as u8), Some(kind));
        }
        for &device in Device::ALL {
            assert_eq!(Device::from_name(device.name()), Some(device));
        }
        assert_eq!(Device::from_name("watch"), None);
        for &rtt in Rtt::ALL {
            assert_eq!((Rtt::from_name(rtt.name()), Rtt::from_number(rtt as u8)), (Some(rtt), Some(rtt)));
        }
        for &tier in Tier::ALL {
            assert_eq!(
                (Tier::from_name(tier.name()), Tier::from_number(tier as u8)),
                (Some(tier), Some(tier))
            );
        }
        for &os in Os::ALL {
            assert_eq!((Os::from_name(os.name()), Os::from_number(os as u8)), (Some(os), Some(os)));
        }
    }

    #[test]
    fn class_of_a_number_has_its_lower_bound_and_no_other() {
        for (ms, class) in [
            (0.0, Some(Rtt::Under100)),
            (99.9, Some(Rtt::Under100)),
            (100.0, Some(Rtt::Under200)),
            (200.0, Some(Rtt::Under400)),
            (400.0, Some(Rtt::Under800)),
            (800.0, Some(Rtt::From800)),
            (3_000.0, Some(Rtt::From800)),
        ] {
            assert_eq!(Rtt::of(ms), class, "{ms}");
        }
        for (gib, class) in [(0.25, Tier::Low), (2.0, Tier::Low), (4.0, Tier::Medium), (8.0, Tier::High)] {
            assert_eq!(Tier::of_memory(gib), Some(class), "{gib}");
        }
        for (cores, class) in [(1.0, Tier::Low), (2.0, Tier::Low), (4.0, Tier::Medium), (5.0, Tier::High)] {
            assert_eq!(Tier::of_cores(cores), Some(class), "{cores}");
        }
        for (tier, class) in [(1.0, Tier::Low), (2.0, Tier::Medium), (3.0, Tier::High), (4.0, Tier::High)] {
            assert_eq!(Tier::of_cpu_tier(tier), Some(class), "{tier}");
        }
    }

    #[test]
    fn number_that_says_nothing_has_no_class() {
        for number in [f64::NAN, -1.0, f64::NEG_INFINITY] {
            assert_eq!((Rtt::of(number), Tier::of_cores(number)), (None, None), "{number}");
        }
        assert_eq!((Rtt::of(f64::INFINITY), Tier::of_memory(0.0)), (None, None));
    }
}
