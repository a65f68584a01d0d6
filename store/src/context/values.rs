//! Reads the properties of a page view's context, as sent and as stored.

use super::Context;
use super::code::decode;
use super::property::{ContextFilter, ContextProperty, MARK_VALUES};
use super::texts::{Code, TextNames};
use vitals::histogram::EncodingError;
use vitals::view::Viewport;

impl ContextProperty {
    /// Returns a page view's value; `None` if it is unknown. `text` returns the text of a stored one. Of several tags or
    /// entries with the name, the first counts.
    pub fn value<'a, T>(&self, context: &'a Context<T>, text: impl Fn(&'a T) -> &'a str) -> Option<&'a str> {
        let detail = context.detail.as_deref();
        match self {
            Self::Viewport => context.viewport.map(Viewport::name),
            Self::Condition(condition) => condition.class(context.conditions.as_deref()?),
            Self::Tag(name) => {
                let (_, value) = detail?.tags.iter().find(|(tag, _)| text(tag) == name)?;
                Some(text(value))
            }
            Self::Mark(name) => {
                let has_it =
                    detail.is_some_and(|detail| detail.marks.iter().any(|(mark, _)| text(mark) == name));
                Some(MARK_VALUES[usize::from(has_it)])
            }
            Self::ServerTiming(name) => {
                let entries = &context.conditions.as_deref()?.server_timings;
                let (_, _, description) = entries.iter().find(|(entry, ..)| text(entry) == name)?;
                Some(text(description))
            }
        }
    }
}

impl ContextFilter {
    /// Whether the filter selects a page view with this context.
    #[must_use]
    pub fn takes(&self, context: &Context) -> bool {
        self.property.value(context, |text| text.as_str()) == Some(self.value.as_str())
    }
}

/// The filters of a query for page views as a database stores them, with the texts of their days.
#[derive(Debug, Default)]
pub struct StoredFilters<'a> {
    filters: &'a [ContextFilter],
    names: TextNames,
}

impl<'a> StoredFilters<'a> {
    /// Prepares filters. `names` must hold the texts of the days in the query's range if there is a filter.
    #[must_use]
    pub const fn new(filters: &'a [ContextFilter], names: TextNames) -> Self {
        Self { filters, names }
    }

    /// The texts.
    #[must_use]
    pub const fn names(&self) -> &TextNames {
        &self.names
    }

    /// Whether all filters select a page view with this context.
    #[must_use]
    pub fn take(&self, day: i32, context: &Context<Code>) -> bool {
        let text = |code: &Code| self.names.text(day, *code);
        self.filters.iter().all(|filter| filter.property.value(context, text) == Some(filter.value.as_str()))
    }

    /// Does the same as [`StoredFilters::take`], from the encoded context.
    ///
    /// # Errors
    /// If the context is damaged.
    pub fn take_encoded(&self, day: i32, context: Option<&[u8]>) -> Result<bool, EncodingError> {
        if self.filters.is_empty() {
            return Ok(true);
        }
        Ok(self.take(day, &context.map_or(Ok(Context::NONE), decode)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Detail;
    use crate::context::code::encode;
    use crate::context::conditions::Conditions;
    use crate::context::property::Condition;
    use vitals::fetch::Protocol;

    fn context() -> Context {
        let text = str::to_owned;
        Context {
            viewport: Some(Viewport::Small),
            detail: Some(Box::new(Detail {
                lcp: None,
                inp: None,
                cls: None,
                tags: vec![(text("plan"), text("pro")), (text("plan"), text("free"))],
                marks: vec![(text("order"), 7)],
            })),
            conditions: Some(Box::new(Conditions {
                protocol: Some(Protocol::H3),
                engaged: Some(true),
                server_timings: vec![(text("edge"), 3, text("HIT")), (text("db"), 1, String::new())],
                ..Conditions::default()
            })),
            ..Context::NONE
        }
    }

    #[test]
    fn property_has_the_value_of_the_page_view() {
        let tag = |name: &str| ContextProperty::Tag(name.to_owned());
        let mark = |name: &str| ContextProperty::Mark(name.to_owned());
        let timing = |name: &str| ContextProperty::ServerTiming(name.to_owned());
        for (property, name, value) in [
            (ContextProperty::Viewport, "viewport", Some("small")),
            (ContextProperty::Condition(Condition::Protocol), "protocol", Some("h3")),
            (ContextProperty::Condition(Condition::Engaged), "engaged", Some("yes")),
            (ContextProperty::Condition(Condition::Rtt), "rtt", None),
            (tag("plan"), "tag:plan", Some("pro")),
            (tag("other"), "tag:other", None),
            (mark("order"), "mark:order", Some("yes")),
            (mark("plan"), "mark:plan", Some("no")),
            (timing("edge"), "server_timing:edge", Some("HIT")),
            (timing("db"), "server_timing:db", Some("")),
            (timing("cdn"), "server_timing:cdn", None),
        ] {
            assert_eq!(property.value(&context(), |text| text.as_str()), value, "{name}");
            assert_eq!(property.name(), name);
            let filter = |value: &str| ContextFilter { property: property.clone(), value: value.to_owned() };
            assert_eq!(filter(value.unwrap_or("x")).takes(&context()), value.is_some(), "{name}");
            assert!(!filter("nothing").takes(&context()), "{name}");
        }
        assert_eq!(mark("order").value(&Context::<String>::NONE, |text| text.as_str()), Some("no"));
    }

    #[test]
    fn stored_context_is_filtered_by_the_texts_of_its_day() {
        let mut names = TextNames::default();
        names.insert(1, 7, "plan".to_owned());
        names.insert(1, 8, "pro".to_owned());
        names.insert(2, 8, "free".to_owned());
        names.insert(2, 7, "plan".to_owned());
        let detail = Detail { lcp: None, inp: None, cls: None, tags: vec![(7, 8)], marks: vec![] };
        let bytes = encode(&Context { detail: Some(Box::new(detail)), ..Context::NONE });
        let property = ContextProperty::Tag("plan".to_owned());
        let filters = [ContextFilter { property, value: "pro".to_owned() }];
        let stored = StoredFilters::new(&filters, names);
        assert_eq!(stored.take_encoded(1, bytes.as_deref()), Ok(true));
        assert_eq!(stored.take_encoded(2, bytes.as_deref()), Ok(false));
        assert_eq!(stored.take_encoded(1, None), Ok(false));
        assert_eq!(stored.take_encoded(1, Some(&[9])), Err(EncodingError));
        assert_eq!(StoredFilters::default().take_encoded(1, Some(&[9])), Ok(true), "nothing to decode");
    }
}
