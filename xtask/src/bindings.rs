//! Rewrites the bindings of wasm-bindgen, so that fieldvitals' loader can follow them in one file and names are short.
//!
//! Works on the text and counts its matches. If wasm-bindgen's output has another form than expected, the build fails
//! instead of a visitor's browser.

use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};

/// The last line of the bindings. fieldvitals' loader replaces wasm-bindgen's loading code. It calls the functions
/// unrelated to loading; the minifier drops the rest.
const EXPORTS: &str = "export { initSync, __wbg_init as default };";
/// The variable with the instance's exports.
const INSTANCE: &str = "wasm";

/// The long names of a module's imports and exports in wasm-bindgen's output, each with its short name.
#[derive(Default)]
pub(crate) struct Names {
    modules: BTreeMap<String, String>,
    imports: BTreeMap<String, String>,
    exports: BTreeMap<String, String>,
}

impl Names {
    /// Returns the short name of an import's module.
    pub(crate) fn module(&mut self, name: &str) -> String {
        short(&mut self.modules, name)
    }

    /// Returns the short name of an import.
    pub(crate) fn import(&mut self, name: &str) -> String {
        short(&mut self.imports, name)
    }

    /// Returns the short name of an export.
    pub(crate) fn export(&mut self, name: &str) -> String {
        short(&mut self.exports, name)
    }
}

fn short(names: &mut BTreeMap<String, String>, name: &str) -> String {
    let next = letters(names.len());
    names.entry(name.to_owned()).or_insert(next).clone()
}

/// Returns the `number`-th shortest word: a … z, A … Z, aa, ba, ….
pub(crate) fn letters(mut number: usize) -> String {
    const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut word = String::new();
    loop {
        word.push(char::from(LETTERS[number % LETTERS.len()]));
        if number < LETTERS.len() {
            return word;
        }
        number = number / LETTERS.len() - 1;
    }
}

/// Returns the exports that the bindings read. All other exports only cost bytes.
pub(crate) fn reads(bindings: &str) -> BTreeSet<&str> {
    members(bindings).collect()
}

/// Returns the bindings with closures that live until the document ends. The collector has one, that of its timer; code
/// that frees closures would be a seventh of the glue.
///
/// # Errors
/// If the functions are not in the form that wasm-bindgen writes today.
pub(crate) fn lasting(bindings: &str) -> Result<String> {
    const CLOSURE: &str = "function makeMutClosure(arg0, arg1, f) {";
    let text = without(bindings, "const CLOSURE_DTORS = ", ";", "")?;
    let short = format!("{CLOSURE} return (...args) => f(arg0, arg1, ...args); }}\n");
    without(&text, CLOSURE, "}", &short)
}

/// Returns the bindings without an import.
///
/// # Errors
/// If the import is not in the form that wasm-bindgen writes today.
pub(crate) fn without_import(bindings: &str, name: &str) -> Result<String> {
    without(bindings, &format!("{name}: function("), "},", "")
}

/// Replaces the lines from the only one that has `begin` to the first one with an `end` after which all braces are closed.
fn without(text: &str, begin: &str, end: &str, by: &str) -> Result<String> {
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let starts: Vec<_> = (0..lines.len()).filter(|at| lines[*at].trim_start().starts_with(begin)).collect();
    let [start] = starts[..] else {
        bail!("what wasm-bindgen writes does not have `{begin}` once");
    };
    let mut open = 0;
    let len = lines[start..].iter().position(|line| {
        open += line.matches('{').count();
        open -= line.matches('}').count().min(open);
        open == 0 && line.trim_end().ends_with(end)
    });
    let Some(len) = len else { bail!("what wasm-bindgen writes has no end of `{begin}`") };
    Ok(lines[..start].concat() + by + &lines[start + len + 1..].concat())
}

/// Returns the bindings without `export` and comments, with the short names of the module.
///
/// # Errors
/// If an import or export is not in the form that wasm-bindgen writes today.
pub(crate) fn rewrite(bindings: &str, names: &Names) -> Result<String> {
    let mut text = forwarded(&without_exports(bindings)?);
    for (name, short) in &names.modules {
        text = replace_word(&text, &format!("\"{name}\""), &format!("\"{short}\""))?;
    }
    for (name, short) in &names.imports {
        text = replace_word(&text, name, short)?;
    }
    replace_members(&text, &names.exports)
}

/// Removes `export` and comments. Comments contain text of Rust sources, so they are removed before words are searched.
fn without_exports(bindings: &str) -> Result<String> {
    let mut text = String::with_capacity(bindings.len());
    let mut ended = false;
    for line in bindings.lines() {
        let start = line.trim_start();
        if ["/**", "* ", "*/", "//"].iter().any(|comment| start.starts_with(comment)) || start == "*" {
            continue;
        }
        if line == EXPORTS {
            ended = true;
            continue;
        }
        let declaration = line.strip_prefix("export ").filter(|rest| {
            ["function ", "async function ", "class ", "const "].iter().any(|word| rest.starts_with(word))
        });
        text.push_str(declaration.unwrap_or(line));
        text.push('\n');
    }
    if !ended {
        bail!("what wasm-bindgen writes has no line `{EXPORTS}`");
    }
    Ok(text)
}

/// Replaces imports that only forward their arguments to a function of the loader with that function.
fn forwarded(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        let import = forward(line, &lines[at..]);
        if let Some((name, function, len)) = import {
            out.push_str(&format!("{name}: {function},"));
            at += len;
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

/// The name, the function and the number of further lines of an import that only forwards its arguments.
fn forward<'a>(line: &'a str, after: &[&'a str]) -> Option<(&'a str, &'a str, usize)> {
    let (name, arguments) = line.strip_suffix(") {")?.split_once(": function(")?;
    let call = after.first()?.trim();
    let (call, end) = match call.strip_prefix("const ret = ") {
        Some(call) => (call, ["return ret;", "},"].as_slice()),
        None => (call, ["},"].as_slice()),
    };
    let (function, passed) = call.strip_suffix(");")?.split_once('(')?;
    let ends = end.iter().zip(&after[1..]).filter(|(end, line)| **end == line.trim()).count() == end.len();
    let forwards = passed == arguments && function.chars().all(is_word);
    (ends && forwards).then_some((name, function, 1 + end.len()))
}

/// Replaces a word that must occur exactly once.
fn replace_word(text: &str, word: &str, by: &str) -> Result<String> {
    let mut places = text.match_indices(word).filter(|(at, _)| {
        let after = text[at + word.len()..].chars().next();
        !text[..*at].ends_with(is_word) && !after.is_some_and(is_word)
    });
    let (Some((at, _)), None) = (places.next(), places.next()) else {
        bail!("what wasm-bindgen writes does not have {word} once, which the module imports");
    };
    Ok([&text[..at], by, &text[at + word.len()..]].concat())
}

/// Replaces the names of the instance's members with their short names.
fn replace_members(text: &str, exports: &BTreeMap<String, String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    for name in members(text) {
        let Some(short) = exports.get(name) else {
            bail!("wasm-bindgen reads `{INSTANCE}.{name}`, which the module does not export");
        };
        let at = name.as_ptr() as usize - text.as_ptr() as usize;
        out.push_str(&text[rest..at]);
        out.push_str(short);
        rest = at + name.len();
    }
    Ok(out + &text[rest..])
}

/// Returns each `name` of a `wasm.name`, and an empty name for any other access to a member.
fn members(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(INSTANCE).filter_map(|(at, _)| {
        let before = &text[..at];
        let after = &text[at + INSTANCE.len()..];
        if before.ends_with(is_word) || before.ends_with('.') || !after.starts_with(['.', '[', '?']) {
            return None;
        }
        let member = after.strip_prefix('.').unwrap_or_default();
        Some(&member[..member.find(|character| !is_word(character)).unwrap_or(member.len())])
    })
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDINGS: &str = "\
export class Counter {
free() { wasm.__wbg_counter_free(0); }
}
/**
 * Begins wasm.nothing, __wbg_get_1.
 *
 * @param {any} x
 */
export function begin(x) {
const ptr = pass(x, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
return wasm.begin(ptr);
}
function __wbg_get_imports() {
const import0 = {
__wbg_get_1: function(arg0) { return arg0.wasm.size + mywasm.size; },
__wbg_get_11: function(arg0) {
// Cast of wasm.
return new Uint8Array(wasm.memory.buffer);
},
};
return { \"./collector_bg.js\": import0 };
}
let wasmModule, wasm;
export { initSync, __wbg_init as default };
";

    fn names() -> Names {
        let mut names = Names::default();
        names.module("./collector_bg.js");
        for name in ["__wbg_get_1", "__wbg_get_11"] {
            names.import(name);
        }
        for name in ["memory", "begin", "__wbindgen_malloc", "__wbindgen_realloc", "__wbg_counter_free"] {
            names.export(name);
        }
        names
    }

    #[test]
    fn imports_and_exports_get_their_short_names() {
        let text = rewrite(BINDINGS, &names()).unwrap();
        assert_eq!(
            text,
            "\
class Counter {
free() { wasm.e(0); }
}
function begin(x) {
const ptr = pass(x, wasm.c, wasm.d);
return wasm.b(ptr);
}
function __wbg_get_imports() {
const import0 = {
a: function(arg0) { return arg0.wasm.size + mywasm.size; },
b: function(arg0) {
return new Uint8Array(wasm.a.buffer);
},
};
return { \"a\": import0 };
}
let wasmModule, wasm;
"
        );
    }

    #[test]
    fn import_that_only_forwards_is_the_function_itself() {
        let text = "a: function(arg0, arg1) {\n  const ret = get(arg0, arg1);\n  return ret;\n},\n\
                    b: function(arg0) {\n  hold(arg0);\n},\nc: function(arg0) {\n  hold(arg0 >>> 0);\n},\n\
                    d: function() {\n  const ret = Date.now();\n  return ret;\n},\n";
        let expected = "a: get,\nb: hold,\nc: function(arg0) {\n  hold(arg0 >>> 0);\n},\n\
                        d: function() {\n  const ret = Date.now();\n  return ret;\n},\n";
        assert_eq!(forwarded(text), expected);
    }

    #[test]
    fn closures_are_not_freed() {
        let bindings = "  const CLOSURE_DTORS = (typeof F === 'undefined')\n    ? {}\n    : new F(state => wasm.d(state.a));\n  \
                        function makeMutClosure(arg0, arg1, f) {\n    const real = () => {\n    };\n    return real;\n  }\n\
                        const after = 1;\n";
        assert_eq!(
            lasting(bindings).unwrap(),
            "function makeMutClosure(arg0, arg1, f) { return (...args) => f(arg0, arg1, ...args); }\nconst after = 1;\n"
        );
        assert!(lasting("function makeMutClosure(arg0, arg1, f) {\n}\n").is_err(), "without a registry");
    }

    #[test]
    fn import_is_removed_with_its_body() {
        let bindings = "    {\n        a: function(arg0) {\n            throw new Error(arg0);\n        },\n        b: 1,\n    }\n";
        assert_eq!(without_import(bindings, "a").unwrap(), "    {\n        b: 1,\n    }\n");
        assert!(without_import(bindings, "c").is_err());
    }

    #[test]
    fn bindings_of_another_form_are_refused() {
        let refused = |from: &str, to: &str| rewrite(&BINDINGS.replace(from, to), &names()).is_err();
        assert!(!refused("pass(x", "pass(x"));
        assert!(refused("wasm.begin", "wasm.started"), "no such export");
        assert!(refused("wasm.begin", "wasm[\"begin\"]"), "an export by text");
        assert!(refused("__wbg_get_11:", "__wbg_get_12:"), "no such import");
        assert!(refused("__wbg_get_11:", "__wbg_get_1:"), "an import twice");
        assert!(refused("./collector_bg.js", "./other_bg.js"), "another module");
        assert!(refused("export { initSync", "export { init"), "other exports");
    }

    #[test]
    fn short_names_are_unique() {
        let mut words: Vec<_> = (0..6_000).map(letters).collect();
        assert_eq!((words[0].as_str(), words[51].as_str(), words[52].as_str()), ("a", "Z", "aa"));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 6_000);
        let mut names = names();
        assert_eq!(names.import("__wbg_get_11"), "b");
        assert_eq!(names.import("another"), "c");
    }
}
