//! Finds the allowed name that is most like a wrong one.

/// Least similarity of a name that is suggested.
const SIMILAR_MIN: f64 = 0.7;

/// Returns the most similar name, regardless of case; `None` if none is similar.
pub(crate) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&text, &known.to_lowercase()), known))
        .filter(|(similarity, _)| *similarity >= SIMILAR_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_similar_name_is_found_regardless_of_case() {
        let known = ["Chrome", "Firefox", "Safari"];
        assert_eq!(nearest("chrome", known), Some("Chrome"));
        assert_eq!(nearest("firefix", known), Some("Firefox"));
        assert_eq!(nearest("xyz", known), None);
    }
}
