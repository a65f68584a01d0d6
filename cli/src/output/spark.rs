//! Sparklines: a character per number, higher characters for larger numbers.

/// The characters of a sparkline, from low to high.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spark {
    levels: [char; 8],
    /// Stands for a missing number.
    gap: char,
}

impl Spark {
    /// Block elements.
    pub(crate) const BLOCKS: Self =
        Self { levels: ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'], gap: '·' };
    /// Characters that every terminal has.
    pub(crate) const ASCII: Self = Self { levels: ['_', '.', '-', '~', '+', '=', '*', '#'], gap: ' ' };

    /// Chooses block elements if the locale is UTF-8 (`LC_ALL`, `LC_CTYPE`, `LANG`, in this order), or is not set.
    pub(crate) fn of_locale() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::of(["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).as_deref())
    }

    fn of(locale: Option<&str>) -> Self {
        let is_utf8 = |locale: &str| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        };
        if locale.is_none_or(is_utf8) { Self::BLOCKS } else { Self::ASCII }
    }

    /// Draws numbers between their least and their largest one. Equal numbers are at the lowest level.
    pub(crate) fn draw(self, numbers: &[Option<f64>]) -> String {
        let known = || numbers.iter().flatten().copied();
        let (least, largest) =
            known().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), number| (a.min(number), b.max(number)));
        let level = |number: f64| {
            let part = if largest > least { (number - least) / (largest - least) } else { 0.0 };
            self.levels[((part * 8.0) as usize).min(7)]
        };
        numbers.iter().map(|number| number.map_or(self.gap, level)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_drawn_between_their_extremes() {
        let numbers = [Some(1.0), None, Some(4.5), Some(8.0), Some(7.9)];
        assert_eq!(Spark::BLOCKS.draw(&numbers), "▁·▅██");
        assert_eq!(Spark::ASCII.draw(&numbers), "_ +##");
        assert_eq!(Spark::BLOCKS.draw(&[Some(3.0), Some(3.0)]), "▁▁");
        assert_eq!(Spark::BLOCKS.draw(&[None]), "·");
    }

    #[test]
    fn terminals_without_utf8_get_ascii() {
        for locale in [None, Some("en_US.UTF-8"), Some("C.utf8")] {
            assert_eq!(Spark::of(locale), Spark::BLOCKS, "{locale:?}");
        }
        assert_eq!(Spark::of(Some("POSIX")), Spark::ASCII);
    }
}
