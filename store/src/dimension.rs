//! Dimensions: the properties by which rollups distinguish page views, besides route and time.

use crate::hash::HashMap;
use crate::limits;
use crate::view::ViewUpdate;
use sha2::{Digest, Sha256};
use vitals::view::{Device, NavigationType};

/// A property of page views. Rollups have one cell per value of a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Dimension {
    /// The device class. Only this dimension also exists in hourly rollups.
    Device = 0,
    /// The browser family.
    Browser = 1,
    /// The country.
    Country = 2,
    /// The effective connection type.
    Connection = 3,
    /// The navigation type.
    NavigationType = 4,
    /// The release of the page.
    Release = 5,
}

/// The code of a dimension's value in rollups: [`NO_VALUE`] if the value is unknown; 1 + its number for a device or
/// navigation type; the label's code for other dimensions.
pub type Code = u16;

/// The code of an unknown value.
pub const NO_VALUE: Code = 0;

/// The label that replaces further labels when a site has reached its maximum.
pub const OTHER: &str = "(other)";

/// A page view's value in a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DimensionValue<'a> {
    /// A value of a fixed set, or [`NO_VALUE`].
    Code(Code),
    /// A text. The site's [`Labels`] have its code.
    Label(&'a str),
}

impl Dimension {
    /// The number of dimensions.
    pub const COUNT: usize = 6;
    /// All dimensions, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Device, Self::Browser, Self::Country, Self::Connection, Self::NavigationType, Self::Release];
    /// The dimensions with text values.
    pub const LABELLED: [Self; 4] = [Self::Browser, Self::Country, Self::Connection, Self::Release];

    /// The name in API and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Browser => "browser",
            Self::Country => "country",
            Self::Connection => "connection",
            Self::NavigationType => "navigation_type",
            Self::Release => "release",
        }
    }

    /// Returns the dimension with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dimension| dimension.name() == name)
    }

    /// Returns the dimension with this stored number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Device),
            1 => Some(Self::Browser),
            2 => Some(Self::Country),
            3 => Some(Self::Connection),
            4 => Some(Self::NavigationType),
            5 => Some(Self::Release),
            _ => None,
        }
    }

    /// Returns the dimension's index in [`Dimension::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the maximum number of a site's labels seen within the retention of page views. Further labels count as
    /// [`OTHER`]. 0 for dimensions without text values.
    #[must_use]
    pub const fn labels_max(self) -> usize {
        match self {
            Self::Device | Self::NavigationType => 0,
            Self::Browser => limits::BROWSERS_PER_SITE_MAX,
            Self::Country => limits::COUNTRIES_PER_SITE_MAX,
            Self::Connection => limits::CONNECTIONS_PER_SITE_MAX,
            Self::Release => limits::RELEASES_PER_SITE_MAX,
        }
    }

    /// Returns a page view's value in this dimension.
    #[must_use]
    pub fn of(self, view: &ViewUpdate) -> DimensionValue<'_> {
        let label = match self {
            Self::Device => return DimensionValue::Code(device_code(view.device).into()),
            Self::NavigationType => return DimensionValue::Code(navigation_code(view.navigation_type)),
            Self::Browser => &view.browser,
            Self::Country => &view.country,
            Self::Connection => &view.connection,
            Self::Release => &view.release,
        };
        label.as_deref().map_or(DimensionValue::Code(NO_VALUE), DimensionValue::Label)
    }

    /// Returns the label of a page view; `None` if it has no label or the dimension has no text values.
    pub fn label_mut(self, view: &mut ViewUpdate) -> Option<&mut String> {
        match self {
            Self::Device | Self::NavigationType => None,
            Self::Browser => view.browser.as_mut(),
            Self::Country => view.country.as_mut(),
            Self::Connection => view.connection.as_mut(),
            Self::Release => view.release.as_mut(),
        }
    }

    /// Returns the name of a fixed set's value by its code; `None` if the code is unknown.
    #[must_use]
    pub fn fixed_name(self, code: Code) -> Option<&'static str> {
        let number = u8::try_from(code.checked_sub(1)?).ok()?;
        match self {
            Self::Device => Device::from_number(number).map(Device::name),
            Self::NavigationType => NavigationType::from_number(number).map(NavigationType::name),
            _ => None,
        }
    }

    /// Returns the code of a fixed set's value by its name.
    #[must_use]
    pub fn fixed_code(self, name: &str) -> Option<Code> {
        match self {
            Self::Device => Device::from_name(name).map(|device| device_code(Some(device)).into()),
            Self::NavigationType => NavigationType::from_name(name).map(|kind| navigation_code(Some(kind))),
            _ => None,
        }
    }
}

/// Returns the code of a device class in keys: 0 for an unknown class, else 1 + its number.
#[must_use]
pub const fn device_code(device: Option<Device>) -> u8 {
    match device {
        None => 0,
        Some(device) => device as u8 + 1,
    }
}

/// Returns the device class of a code in keys; `None` for 0 and for invalid codes.
#[must_use]
pub const fn device_of_code(code: u8) -> Option<Device> {
    match code {
        0 => None,
        _ => Device::from_number(code - 1),
    }
}

pub(crate) const fn navigation_code(kind: Option<NavigationType>) -> Code {
    match kind {
        None => NO_VALUE,
        Some(kind) => kind as u8 as Code + 1,
    }
}

/// Returns the code of a site's label: the first two bytes of the SHA-256 of its text, so that servers choose the same
/// code without communication. If another label has the code, or the code is [`NO_VALUE`], the next `attempt` yields
/// another code. The label's stored row has the effective code.
#[must_use]
pub fn label_code(label: &str, attempt: u8) -> Code {
    two_bytes(label, &[], attempt)
}

/// Returns the first two bytes of the SHA-256 of a text and of `of`, which distinguishes equal texts of different
/// kinds.
pub(crate) fn two_bytes(text: &str, of: &[u8], attempt: u8) -> u16 {
    let mut hash = Sha256::new_with_prefix(text);
    hash.update(of);
    if attempt > 0 {
        // 0xff occurs in no UTF-8 text, so this input is not another text's first attempt.
        hash.update([0xff, attempt]);
    }
    let hashed = hash.finalize();
    hashed.first_chunk::<2>().map_or(0, |&bytes| u16::from_be_bytes(bytes))
}

/// Codes of a site's labels, as far as they were read.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    codes: [HashMap<String, Code>; Dimension::COUNT],
}

impl Labels {
    /// Records a label's code.
    pub fn insert(&mut self, dimension: Dimension, label: String, code: Code) {
        self.codes[dimension.index()].insert(label, code);
    }

    /// Adds the labels of `more`.
    pub fn extend(&mut self, more: Self) {
        for (mine, more) in self.codes.iter_mut().zip(more.codes) {
            mine.extend(more);
        }
    }

    /// Returns the code of a label.
    #[must_use]
    pub fn code(&self, dimension: Dimension, label: &str) -> Option<Code> {
        self.codes[dimension.index()].get(label).copied()
    }

    /// Returns the number of labels in all dimensions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.codes.iter().map(HashMap::len).sum()
    }

    /// Whether there are no labels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a page view's code in each dimension. `self` must contain every label of the view.
    #[must_use]
    pub fn codes(&self, view: &ViewUpdate) -> [Code; Dimension::COUNT] {
        Dimension::ALL.map(|dimension| match dimension.of(view) {
            DimensionValue::Code(code) => code,
            DimensionValue::Label(label) => {
                self.code(dimension, label).unwrap_or_else(|| label_code(label, 0))
            }
        })
    }

    /// Returns the text of each label's code in a dimension.
    #[must_use]
    pub fn names(&self, dimension: Dimension) -> HashMap<Code, &str> {
        self.codes[dimension.index()].iter().map(|(label, &code)| (code, label.as_str())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_device_is_no_phone() {
        assert_eq!(device_code(None), 0);
        for &device in Device::ALL {
            assert_ne!(device_code(Some(device)), 0);
            assert_eq!(device_of_code(device_code(Some(device))), Some(device));
        }
        assert_eq!(device_of_code(200), None);
    }

    #[test]
    fn fixed_values_have_names() {
        for &kind in NavigationType::ALL {
            let code = Dimension::NavigationType.fixed_code(kind.name()).unwrap();
            assert_ne!(code, NO_VALUE);
            assert_eq!(Dimension::NavigationType.fixed_name(code), Some(kind.name()));
        }
        assert_eq!(Dimension::Device.fixed_name(NO_VALUE), None);
        assert_eq!(Dimension::Browser.fixed_name(1), None);
    }

    #[test]
    fn label_codes_never_change() {
        // Codes are stored: a changed code would split the label's history.
        assert_eq!(label_code("4g", 0), 0x6654);
        assert_ne!(label_code("4g", 1), label_code("4g", 0));
    }

    #[test]
    fn dimensions_have_numbers_and_names() {
        for (number, dimension) in (0..).zip(Dimension::ALL) {
            assert_eq!(dimension as u8, number);
            assert_eq!(Dimension::from_number(number), Some(dimension));
            assert_eq!(Dimension::from_name(dimension.name()), Some(dimension));
            assert_eq!(dimension.labels_max() > 0, Dimension::LABELLED.contains(&dimension));
        }
    }
}
