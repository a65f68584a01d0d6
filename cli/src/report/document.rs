//! The report as a document: Markdown, or HTML in one file.
//!
//! Both have the same sections. `sections` makes the texts that they share, `chart` draws, `markup` escapes.

mod chart;
mod html;
mod markdown;
mod markup;
mod sections;

pub(super) use html::render as html;
pub(super) use markdown::render as markdown;

#[cfg(test)]
mod tests;
