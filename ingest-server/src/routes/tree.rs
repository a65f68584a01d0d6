//! The pages of a site as a tree of path segments.

use std::collections::BTreeMap;

/// A page: a route that follows from a URL without rules and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The route.
    pub route: String,
    /// Its page views.
    pub views: u64,
}

/// The pages at and below a path.
#[derive(Clone, Debug, Default)]
pub(super) struct Node<'a> {
    /// The pages at the path itself: one, or those of joined paths.
    pub(super) pages: Vec<&'a Page>,
    /// The next segments.
    pub(super) children: BTreeMap<&'a str, Self>,
    /// Page views at and below the path.
    pub(super) views: u64,
    /// Pages at and below the path.
    pub(super) count: usize,
}

impl<'a> Node<'a> {
    /// Adds a page with the rest of its path.
    pub(super) fn add(&mut self, mut path: impl Iterator<Item = &'a str>, page: &'a Page) {
        let mut node = self;
        loop {
            node.views += page.views;
            node.count += 1;
            let Some(segment) = path.next() else { break };
            node = node.children.entry(segment).or_default();
        }
        node.pages.push(page);
    }

    /// Joins another node with this one, path by path.
    pub(super) fn join(&mut self, other: Self) {
        self.pages.extend(other.pages);
        self.views += other.views;
        self.count += other.count;
        for (segment, child) in other.children {
            self.children.entry(segment).or_default().join(child);
        }
    }

    /// Adds pages at the path itself.
    pub(super) fn extend(&mut self, pages: Vec<&'a Page>) {
        self.views += pages.iter().map(|page| page.views).sum::<u64>();
        self.count += pages.len();
        self.pages.extend(pages);
    }

    /// Adds the pages at and below the path to a list.
    pub(super) fn pages_into(&self, pages: &mut Vec<&'a Page>) {
        pages.extend(&self.pages);
        self.children.values().for_each(|child| child.pages_into(pages));
    }

    /// Returns the number of pages below the path, and their page views.
    pub(super) fn below(&self) -> (usize, u64) {
        let own: u64 = self.pages.iter().map(|page| page.views).sum();
        (self.count - self.pages.len(), self.views - own)
    }
}
