//! Joins the selectors of one element.
//!
//! A selector has steps, from an ancestor with an id to the element: `#cart>ul.list>button.buy`. One element may have
//! several selectors:
//!
//! - Its classes change with its state (`button.menu.is-open`). Classes that name a state are ignored.
//! - It was removed from the document, so the steps end at a detached ancestor (`button.buy`). The shorter selector joins
//!   the longer one that ends with the same steps, if all such selectors end with each other: else it may be another
//!   element. A tag without a class (`img`) says too little, and joins only with the same image.

use std::collections::HashMap;

/// Classes that name a state, beside those with a prefix of [`STATE_PREFIXES`].
const STATES: [&str; 30] = [
    "active",
    "checked",
    "closed",
    "collapsed",
    "collapsing",
    "current",
    "disabled",
    "enabled",
    "entered",
    "entering",
    "error",
    "expanded",
    "fade",
    "focus",
    "focused",
    "focus-visible",
    "hidden",
    "hide",
    "hover",
    "in",
    "lazyloaded",
    "lazyloading",
    "loaded",
    "loading",
    "open",
    "opened",
    "pressed",
    "selected",
    "show",
    "visible",
];
/// Prefixes of classes that name a state.
const STATE_PREFIXES: [&str; 3] = ["is-", "has-", "was-"];

fn is_state(class: &str) -> bool {
    STATES.contains(&class) || STATE_PREFIXES.iter().any(|prefix| class.starts_with(prefix))
}

/// Returns the steps of a selector without classes that name a state.
fn steps(selector: &str) -> Vec<String> {
    let step = |step: &str| {
        if step.starts_with('#') {
            return step.to_owned();
        }
        let mut names = step.split('.');
        let tag = names.next().unwrap_or_default().to_owned();
        names.filter(|class| !is_state(class)).fold(tag, |step, class| step + "." + class)
    };
    selector.split('>').map(step).collect()
}

/// Maps each selector to the first one of its element. Selectors with different `what` (the index of an image; 0 without)
/// are not joined. The order of the selectors decides which one is the first.
pub(super) fn join<'a>(selectors: &[(&'a str, usize)]) -> HashMap<(&'a str, usize), (&'a str, usize)> {
    let known = selectors.iter().filter(|(selector, _)| !selector.is_empty());
    let known: Vec<((&'a str, usize), Vec<String>)> =
        known.map(|&(selector, what)| ((selector, what), steps(selector))).collect();
    // Distinct lists of steps, by the image and by the step of the element itself.
    let mut alike: HashMap<(usize, &str), Vec<&[String]>> = HashMap::new();
    for ((_, what), steps) in &known {
        let end = steps.last().map_or("", String::as_str);
        let alike = alike.entry((*what, end)).or_default();
        if !alike.contains(&steps.as_slice()) {
            alike.push(steps);
        }
    }
    let mut first: HashMap<(usize, &[String]), (&'a str, usize)> = HashMap::new();
    let mut joined = HashMap::new();
    for ((selector, what), steps) in &known {
        let end = steps.last().map_or("", String::as_str);
        let alike = alike.get(&(*what, end)).map(Vec::as_slice).unwrap_or_default();
        let whole = longest(steps, *what, alike);
        let leader = *first.entry((*what, whole)).or_insert((selector, *what));
        joined.insert((*selector, *what), leader);
    }
    joined
}

/// Returns the longest list of steps that ends with these, or these themselves if they may be of another element.
/// `alike` are the lists with the same last step.
fn longest<'a>(steps: &'a [String], what: usize, alike: &[&'a [String]]) -> &'a [String] {
    let is_bare = steps.len() == 1 && !steps.iter().any(|step| step.contains(['.', '#']));
    if is_bare && what == 0 {
        return steps;
    }
    let longer = || alike.iter().filter(|other| other.len() > steps.len() && other.ends_with(steps));
    match longer().max_by_key(|other| other.len()) {
        Some(longest) if longer().all(|other| longest.ends_with(other)) => longest,
        _ => steps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(selectors: &[(&'static str, usize)]) -> Vec<&'static str> {
        let joined = join(selectors);
        selectors.iter().map(|selector| joined.get(selector).map_or(selector.0, |(first, _)| first)).collect()
    }

    #[test]
    fn classes_of_a_state_are_ignored() {
        let selectors =
            [("#nav>a.menu.is-open", 0), ("#nav>a.menu", 0), ("#nav>a.menu.open", 0), ("#nav>a.menu.red", 0)];
        assert_eq!(
            joined(&selectors),
            ["#nav>a.menu.is-open", "#nav>a.menu.is-open", "#nav>a.menu.is-open", "#nav>a.menu.red"]
        );
        assert_eq!(
            joined(&[("#open.loaded>a", 0), ("#open>a", 0)]),
            ["#open.loaded>a", "#open>a"],
            "an id is kept"
        );
    }

    #[test]
    fn detached_element_joins_the_only_longer_selector() {
        let cart = "#cart>ul.list>button.buy";
        assert_eq!(joined(&[("button.buy", 0), (cart, 0)]), ["button.buy"; 2]);
        assert_eq!(joined(&[(cart, 0), ("ul.list>button.buy", 0), ("button.buy", 0)]), [cart; 3]);
        let other = "#list>button.buy";
        assert_eq!(joined(&[(cart, 0), ("button.buy", 0), (other, 0)]), [cart, "button.buy", other]);
        assert_eq!(joined(&[("#cart>p.buy", 0), ("y", 0), ("buy", 0)]), ["#cart>p.buy", "y", "buy"]);
    }

    #[test]
    fn bare_tag_joins_with_the_same_image_only() {
        assert_eq!(joined(&[("#hero>img", 7), ("img", 7)]), ["#hero>img"; 2]);
        assert_eq!(joined(&[("#hero>img", 7), ("img", 8)]), ["#hero>img", "img"]);
        assert_eq!(joined(&[("#hero>img", 0), ("img", 0)]), ["#hero>img", "img"]);
        assert_eq!(joined(&[("", 0), ("#a", 0)]), ["", "#a"]);
    }
}
