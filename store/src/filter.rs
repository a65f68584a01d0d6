//! Properties by which queries filter and break down page views, and the filters of a query.

use crate::context::property::ContextFilter;
use crate::dimension::{Code, Dimension, DimensionValue, Labels, NO_VALUE, device_code, navigation_code};
use crate::view::ViewUpdate;
use vitals::view::{Device, NavigationType, Os};

/// A property by which page views can be filtered and broken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupBy {
    /// A dimension, which rollups cover.
    Rolled(Dimension),
    /// The operating system family. Only page views have it; rollups spend no bytes on it.
    Os,
}

impl GroupBy {
    /// All properties.
    pub const ALL: [Self; Dimension::COUNT + 1] = [
        Self::Rolled(Dimension::Device),
        Self::Rolled(Dimension::Browser),
        Self::Os,
        Self::Rolled(Dimension::Country),
        Self::Rolled(Dimension::Connection),
        Self::Rolled(Dimension::NavigationType),
        Self::Rolled(Dimension::Release),
    ];

    /// The name in API and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rolled(dimension) => dimension.name(),
            Self::Os => "os",
        }
    }

    /// The number in SQL queries; equals the dimension's number for a dimension.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Rolled(dimension) => dimension as u8,
            Self::Os => 6,
        }
    }

    /// Returns the dimension; `None` for a property without rollups.
    #[must_use]
    pub const fn dimension(self) -> Option<Dimension> {
        match self {
            Self::Rolled(dimension) => Some(dimension),
            Self::Os => None,
        }
    }

    /// Returns a page view's value of this property.
    #[must_use]
    pub fn of(self, view: &ViewUpdate) -> DimensionValue<'_> {
        match self {
            Self::Rolled(dimension) => dimension.of(view),
            Self::Os => DimensionValue::Code(view.os.map_or(NO_VALUE, os_code)),
        }
    }

    /// Returns the name of a fixed set's value by its code; `None` if the code is unknown.
    #[must_use]
    pub fn fixed_name(self, code: Code) -> Option<&'static str> {
        match self {
            Self::Rolled(dimension) => dimension.fixed_name(code),
            Self::Os => Os::from_number(u8::try_from(code.checked_sub(1)?).ok()?).map(Os::name),
        }
    }

    /// Returns the code of a value; `None` if no page view of the site has the value. `labels` must hold the labels of
    /// the property.
    #[must_use]
    pub fn code(self, value: Option<&str>, labels: &Labels) -> Option<Code> {
        let Some(name) = value else { return Some(NO_VALUE) };
        match self {
            Self::Rolled(dimension) => dimension.fixed_code(name).or_else(|| labels.code(dimension, name)),
            Self::Os => Os::from_name(name).map(os_code),
        }
    }
}

const fn os_code(os: Os) -> Code {
    os as u8 as Code + 1
}

/// Selects page views by their properties; `None` selects all values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// The device class.
    pub device: Option<Device>,
    /// The browser family.
    pub browser: Option<String>,
    /// The operating system family.
    pub os: Option<Os>,
    /// The country.
    pub country: Option<String>,
    /// The effective connection type.
    pub connection: Option<String>,
    /// The navigation type.
    pub navigation_type: Option<NavigationType>,
    /// The release.
    pub release: Option<String>,
    /// Properties of the context. Only page views have them.
    pub context: Vec<ContextFilter>,
}

impl Filters {
    /// Selects every page view.
    pub const NONE: Self = Self {
        device: None,
        browser: None,
        os: None,
        country: None,
        connection: None,
        navigation_type: None,
        release: None,
        context: Vec::new(),
    };

    /// Returns the filter's value for a dimension, if there is one.
    #[must_use]
    pub fn asked(&self, dimension: Dimension) -> Option<DimensionValue<'_>> {
        let label = match dimension {
            Dimension::Device => {
                return self.device.map(|device| DimensionValue::Code(device_code(Some(device)).into()));
            }
            Dimension::NavigationType => {
                return self.navigation_type.map(|kind| DimensionValue::Code(navigation_code(Some(kind))));
            }
            Dimension::Browser => &self.browser,
            Dimension::Country => &self.country,
            Dimension::Connection => &self.connection,
            Dimension::Release => &self.release,
        };
        label.as_deref().map(DimensionValue::Label)
    }

    /// Returns the filters without that of one property.
    #[must_use]
    pub fn without(mut self, by: GroupBy) -> Self {
        match by {
            GroupBy::Rolled(Dimension::Device) => self.device = None,
            GroupBy::Rolled(Dimension::Browser) => self.browser = None,
            GroupBy::Os => self.os = None,
            GroupBy::Rolled(Dimension::Country) => self.country = None,
            GroupBy::Rolled(Dimension::Connection) => self.connection = None,
            GroupBy::Rolled(Dimension::NavigationType) => self.navigation_type = None,
            GroupBy::Rolled(Dimension::Release) => self.release = None,
        }
        self
    }

    /// Returns the filtered dimensions.
    pub fn dimensions(&self) -> impl Iterator<Item = Dimension> {
        Dimension::ALL.into_iter().filter(|&dimension| self.asked(dimension).is_some())
    }

    /// Returns all filtered properties, except for those of the context.
    pub fn given(&self) -> impl Iterator<Item = GroupBy> {
        self.dimensions().map(GroupBy::Rolled).chain(self.os.map(|_| GroupBy::Os))
    }

    /// Whether the filters select a page view.
    #[must_use]
    pub fn take(&self, view: &ViewUpdate) -> bool {
        self.dimensions().all(|dimension| self.asked(dimension) == Some(dimension.of(view)))
            && self.os.is_none_or(|os| view.os == Some(os))
            && self.context.iter().all(|filter| filter.takes(&view.context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_number_and_a_name_of_its_own() {
        for (place, by) in GroupBy::ALL.into_iter().enumerate() {
            for other in &GroupBy::ALL[..place] {
                assert!(by.number() != other.number() && by.name() != other.name(), "{by:?} and {other:?}");
            }
        }
        assert!(Dimension::ALL.iter().all(|&dimension| GroupBy::ALL.contains(&GroupBy::Rolled(dimension))));
    }

    #[test]
    fn an_unknown_system_is_none_of_the_known_ones() {
        assert_eq!(GroupBy::Os.fixed_name(NO_VALUE), None);
        for &os in Os::ALL {
            assert_eq!(GroupBy::Os.fixed_name(os_code(os)), Some(os.name()));
        }
        assert_eq!(GroupBy::Os.fixed_name(200), None);
    }
}
