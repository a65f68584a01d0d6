//! What questions can tell page views apart by: what rollups are kept of, and what only page views say.

use crate::dimension::{Code, Dimension, NO_VALUE, Said, device_code, navigation_code};
use crate::view::ViewUpdate;
use vitals::view::{Device, NavigationType, Os};

/// What page views can be filtered and broken down by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum By {
    /// A dimension, of which rollups keep a cell a value.
    Rolled(Dimension),
    /// The operating system's family. Only page views say it, so that rollups take no byte for it.
    Os,
}

impl By {
    /// All of them.
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

    /// The number in questions to a database: of a dimension its own.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Rolled(dimension) => dimension as u8,
            Self::Os => 6,
        }
    }

    /// The dimension, where it is one.
    #[must_use]
    pub const fn dimension(self) -> Option<Dimension> {
        match self {
            Self::Rolled(dimension) => Some(dimension),
            Self::Os => None,
        }
    }

    /// What a page view says.
    #[must_use]
    pub fn of(self, view: &ViewUpdate) -> Said<'_> {
        match self {
            Self::Rolled(dimension) => dimension.of(view),
            Self::Os => Said::Code(view.os.map_or(NO_VALUE, os_code)),
        }
    }

    /// The name of a value of a fixed set by its code; `None` for one that is not known.
    #[must_use]
    pub fn fixed_name(self, code: Code) -> Option<&'static str> {
        match self {
            Self::Rolled(dimension) => dimension.fixed_name(code),
            Self::Os => Os::from_number(u8::try_from(code.checked_sub(1)?).ok()?).map(Os::name),
        }
    }
}

const fn os_code(os: Os) -> Code {
    os as u8 as Code + 1
}

/// Only page views of which this is known; what is `None` is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Of this class of device.
    pub device: Option<Device>,
    /// Of this browser family.
    pub browser: Option<String>,
    /// On this family of operating systems.
    pub os: Option<Os>,
    /// From this country.
    pub country: Option<String>,
    /// Over this effective connection type.
    pub connection: Option<String>,
    /// That came to be in this way.
    pub navigation_type: Option<NavigationType>,
    /// Of this release.
    pub release: Option<String>,
}

impl Filters {
    /// Takes every page view.
    pub const NONE: Self = Self {
        device: None,
        browser: None,
        os: None,
        country: None,
        connection: None,
        navigation_type: None,
        release: None,
    };

    /// What is asked of a dimension, if anything.
    #[must_use]
    pub fn asked(&self, dimension: Dimension) -> Option<Said<'_>> {
        let label = match dimension {
            Dimension::Device => {
                return self.device.map(|device| Said::Code(device_code(Some(device)).into()));
            }
            Dimension::NavigationType => {
                return self.navigation_type.map(|kind| Said::Code(navigation_code(Some(kind))));
            }
            Dimension::Browser => &self.browser,
            Dimension::Country => &self.country,
            Dimension::Connection => &self.connection,
            Dimension::Release => &self.release,
        };
        label.as_deref().map(Said::Label)
    }

    /// The dimensions of which something is asked.
    pub fn dimensions(&self) -> impl Iterator<Item = Dimension> {
        Dimension::ALL.into_iter().filter(|&dimension| self.asked(dimension).is_some())
    }

    /// Everything of which something is asked.
    pub fn given(&self) -> impl Iterator<Item = By> {
        self.dimensions().map(By::Rolled).chain(self.os.map(|_| By::Os))
    }

    /// Whether a page view is asked for.
    #[must_use]
    pub fn take(&self, view: &ViewUpdate) -> bool {
        self.dimensions().all(|dimension| self.asked(dimension) == Some(dimension.of(view)))
            && self.os.is_none_or(|os| view.os == Some(os))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_number_and_a_name_of_its_own() {
        for (place, by) in By::ALL.into_iter().enumerate() {
            for other in &By::ALL[..place] {
                assert!(by.number() != other.number() && by.name() != other.name(), "{by:?} and {other:?}");
            }
        }
        assert!(Dimension::ALL.iter().all(|&dimension| By::ALL.contains(&By::Rolled(dimension))));
    }

    #[test]
    fn an_unknown_system_is_none_of_the_known_ones() {
        assert_eq!(By::Os.fixed_name(NO_VALUE), None);
        for &os in Os::ALL {
            assert_eq!(By::Os.fixed_name(os_code(os)), Some(os.name()));
        }
        assert_eq!(By::Os.fixed_name(200), None);
    }
}
