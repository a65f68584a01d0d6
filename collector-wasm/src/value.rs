//! The number of a JavaScript value in the loader's table.

use wasm_bindgen::convert::{FromWasmAbi, IntoWasmAbi};
use wasm_bindgen::describe::WasmDescribe;

/// A JavaScript value, by its number in the loader's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Js(i32);

impl Js {
    /// Undefined, and null. Of a text: the empty one.
    pub const NOTHING: Self = Self(0);
    /// In the place of a property's name: the value itself.
    pub const ITSELF: Self = Self(0);
    /// `true`
    pub const TRUE: Self = Self(1);
    /// `false`
    pub const FALSE: Self = Self(2);
    /// The window.
    pub const WINDOW: Self = Self(3);
    /// The window's document.
    pub const DOCUMENT: Self = Self(4);
    /// The window's clock and timeline.
    pub const PERFORMANCE: Self = Self(5);
    /// The window's navigator.
    pub const NAVIGATOR: Self = Self(6);
    /// The values of the snippet.
    pub const PAGE: Self = Self(7);
    /// The options of the tag: `data-*` attributes or parameters of the script's URL.
    pub const DATA: Self = Self(8);
    /// The absolute URL for beacons.
    pub const ENDPOINT: Self = Self(9);
    /// The last event.
    pub const EVENT: Self = Self(10);
    /// The observer of performance entries.
    pub const OBSERVER: Self = Self(11);
    /// The controller of the deferred requests.
    pub const DEFERRED: Self = Self(12);
    /// The texts of the wire format ([`vitals::beacon::write::texts`]), then those of facts. A fact holds the place of
    /// its text in this list, so that facts are small and are compared by a number. The first text is the empty one.
    pub const TEXTS: Self = Self(13);
    /// The URL at the last look at the history, without query and fragment.
    pub const HERE: Self = Self(14);
    /// The URL of the image of the last largest paint.
    pub const PAINT_URL: Self = Self(15);
    /// The page views of the last report, as JSON.
    pub const REPORTED: Self = Self(16);
    /// The number of the first of the [`names`](crate::names).
    pub const NAMES: i32 = 17;

    /// The value of this number.
    pub const fn numbered(number: i32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The value of a number that is larger by `places`.
    pub const fn plus(self, places: i32) -> Self {
        Self(self.0 + places)
    }

    /// Whether there is a value.
    pub fn exists(self) -> bool {
        self != Self::NOTHING
    }
}

impl WasmDescribe for Js {
    fn describe() {
        i32::describe();
    }
}

impl IntoWasmAbi for Js {
    type Abi = i32;

    fn into_abi(self) -> i32 {
        self.0
    }
}

impl FromWasmAbi for Js {
    type Abi = i32;

    #[expect(unsafe_code, reason = "the trait's function is unsafe; a number is safe in every form")]
    unsafe fn from_abi(number: i32) -> Self {
        Self(number)
    }
}
