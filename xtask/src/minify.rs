//! Minifies JavaScript.

use anyhow::{Result, bail};
use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions, CommentOptions};
use oxc_minifier::{CompressOptions, MangleOptions, Minifier, MinifierOptions};
use oxc_parser::Parser;
use oxc_semantic::SemanticBuilder;
use oxc_span::SourceType;

/// Kind of a source.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A classic script.
    Script,
    /// An ECMAScript module.
    Module,
}

/// Returns an equivalent program in fewer bytes, without comments.
pub(crate) fn minify(source: &str, kind: Kind, name: &str) -> Result<String> {
    let allocator = Allocator::default();
    let source_type = match kind {
        Kind::Script => SourceType::script(),
        Kind::Module => SourceType::mjs(),
    };
    let parsed = Parser::new(&allocator, source, source_type).parse();
    let mut program = parsed.program;
    // The parser leaves some rules to the semantic pass, such as duplicate declarations in a scope.
    let checked = SemanticBuilder::new_compiler().build(&program).diagnostics;
    if let Some(problem) = parsed.diagnostics.into_iter().chain(checked).next() {
        bail!("{name} is not JavaScript: {problem}");
    }
    let minifier = Minifier::new(MinifierOptions {
        mangle: Some(MangleOptions::default()),
        mangle_properties: None,
        compress: Some(CompressOptions::smallest()),
    });
    let scoping = minifier.minify(&allocator, &mut program).scoping;
    let options =
        CodegenOptions { minify: true, comments: CommentOptions::disabled(), ..CodegenOptions::default() };
    Ok(Codegen::new().with_options(options).with_scoping(scoping).build(&program).code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_spaces_go_and_the_meaning_stays() {
        let short =
            minify("export const f = (first, second) => { return first + second; };", Kind::Module, "x")
                .unwrap();
        assert!(short.len() < 45, "{short}");
        assert!(short.contains('+') && short.starts_with("export const f="), "{short}");
        for wrong in ["let = = 1", "const a = 1; function a() {}", "(() => { let a; class a {} })()"] {
            assert!(minify(wrong, Kind::Script, "x").is_err(), "{wrong}");
        }
        assert!(minify("import.meta.url", Kind::Module, "x").is_ok());
        assert!(minify("import.meta.url", Kind::Script, "x").is_err());
    }
}
