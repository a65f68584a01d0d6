//! Finds circles of imports between the files of a crate.
//!
//! A file and its submodules are one idea in several files, so imports between them are no circle. Test modules may
//! import anything. Names that a module re-exports count as imports of the file that declares them.

use crate::source::{File, code};
use std::collections::{BTreeMap, BTreeSet};

/// The path of a module: empty for the crate's root.
type Module = Vec<String>;

/// Imports that may close a circle: the importing file, the imported file, the reason.
const ACCEPTED: &[(&str, &str, &str)] = &[
    ("collector-wasm/src/api.rs", COLLECTOR, ONE_STATE),
    ("collector-wasm/src/batch.rs", COLLECTOR, ONE_STATE),
    ("collector-wasm/src/context.rs", COLLECTOR, ONE_STATE),
    ("collector-wasm/src/signal.rs", COLLECTOR, ONE_STATE),
    (
        "store-postgres/src/texts.rs",
        "store-postgres/src/maintain/mod.rs",
        "texts are removed in steps of maintenance",
    ),
    (
        "store-sqlite/src/texts.rs",
        "store-sqlite/src/maintain.rs",
        "texts are removed in steps of maintenance",
    ),
];
const COLLECTOR: &str = "collector-wasm/src/state.rs";
/// The collector is one state, and each file has the methods of its subject.
const ONE_STATE: &str = "methods of the one state of a page";

/// A crate: its files by module, and the names that each module re-exports.
struct Crate<'a> {
    files: BTreeMap<Module, &'a File>,
    exports: BTreeMap<Module, Vec<(String, Module)>>,
}

/// Reports a shortest circle of each group of files that import each other, and accepted imports that close no circle.
pub(crate) fn check(files: &[File], problems: &mut Vec<String>) {
    check_with(ACCEPTED, files, problems);
}

fn check_with(accepted: &[(&str, &str, &str)], files: &[File], problems: &mut Vec<String>) {
    let folders: BTreeSet<&str> =
        files.iter().filter_map(|file| file.path.split_once("/src/").map(|(folder, _)| folder)).collect();
    for folder in folders {
        let all = Crate::new(folder, files).imports();
        let of_folder = |path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with("/src/"));
        for (from, to, _) in accepted.iter().filter(|(from, ..)| of_folder(from)) {
            let is_import = all.get(from).is_some_and(|imports| imports.contains(to));
            if !is_import || !reaches(&all, to, from) {
                problems.push(format!(
                    "{from} → {to}: accepted in xtask/src/circles.rs, but closes no circle; remove it there"
                ));
            }
        }
        let is_accepted =
            |from: &str, to: &str| accepted.iter().any(|entry| (entry.0, entry.1) == (from, to));
        let mut graph = all;
        for (from, imports) in &mut graph {
            imports.retain(|to| !is_accepted(from, to));
        }
        let mut reported: BTreeSet<&str> = BTreeSet::new();
        for start in graph.keys() {
            if reported.contains(start) {
                continue;
            }
            if let Some(circle) = circle(&graph, start) {
                reported.extend(&circle);
                problems.push(format!(
                    "{} → {start}: a circle of imports; move what both need into a file of its own",
                    circle.join(" → ")
                ));
            }
        }
    }
}

impl<'a> Crate<'a> {
    fn new(folder: &str, all: &'a [File]) -> Self {
        let prefix = format!("{folder}/src/");
        let mut files = BTreeMap::new();
        for file in all {
            let Some(path) = file.path.strip_prefix(&prefix).and_then(|path| path.strip_suffix(".rs")) else {
                continue;
            };
            let mut module: Module = path.split('/').map(str::to_owned).collect();
            if module.iter().any(|name| name == "tests" || name == "bin") {
                continue;
            }
            if module.last().is_some_and(|name| {
                name == "mod" || (module.len() == 1 && ["lib", "main"].contains(&name.as_str()))
            }) {
                module.pop();
            }
            files.insert(module, file);
        }
        let mut exports: BTreeMap<Module, Vec<(String, Module)>> = BTreeMap::new();
        for (module, file) in &files {
            let names = uses(&production(&file.text)).into_iter().filter(|one| one.public);
            let names = names.filter_map(|one| Some((one.name?, absolute(module, &one.path)?)));
            exports.insert(module.clone(), names.collect());
        }
        Self { files, exports }
    }

    /// For each file, the files of other modules that it imports.
    fn imports(&self) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (module, file) in &self.files {
            let text = production(&file.text);
            let paths = uses(&text).into_iter().map(|one| one.path).chain(inline(&text));
            for path in paths.filter_map(|path| absolute(module, &path)) {
                let target = self.declaring(&path, 0);
                if !module.starts_with(&target)
                    && !target.starts_with(module)
                    && let Some(target) = self.files.get(&target)
                {
                    graph.entry(&file.path).or_default().insert(&target.path);
                }
            }
        }
        graph
    }

    /// The module whose file declares the item of an absolute path.
    fn declaring(&self, path: &[String], depth: usize) -> Module {
        let mut module = Module::new();
        for (at, name) in path.iter().enumerate() {
            let child: Module = module.iter().chain([name]).cloned().collect();
            if self.files.contains_key(&child) {
                module = child;
                continue;
            }
            let exports = self.exports.get(&module).map_or(&[][..], Vec::as_slice);
            let export = exports.iter().find(|(exported, _)| exported == name);
            // A crate's re-exports are a few steps deep; the bound ends a re-export of itself.
            if let (Some((_, target)), true) = (export, depth < 8) {
                let rest = path.iter().skip(at + 1);
                let path: Module = target.iter().chain(rest).cloned().collect();
                return self.declaring(&path, depth + 1);
            }
            break;
        }
        module
    }
}

/// A path that a `use` imports.
struct Use {
    public: bool,
    path: Vec<String>,
    /// The imported name; `None` for `*` and `_`.
    name: Option<String>,
}

/// The code of a file without comments and without its test module.
fn production(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    let lines = code(text.get(..end).unwrap_or(text));
    lines.map(|(_, line)| line.split(" // ").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn uses(text: &str) -> Vec<Use> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("use ") {
        let before = rest.get(..at).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default().trim();
        rest = rest.get(at + 4..).unwrap_or_default();
        if !line.is_empty() && !line.starts_with("pub") {
            continue;
        }
        let statement = rest.split(';').next().unwrap_or_default();
        expand(statement, &[], line.starts_with("pub"), &mut found);
    }
    found
}

/// Expands `a::{b, c::D as E}` into paths.
fn expand(tree: &str, prefix: &[String], public: bool, found: &mut Vec<Use>) {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let group = group.trim_end().strip_suffix('}').unwrap_or(group);
        let prefix: Vec<String> = prefix.iter().cloned().chain(segments(head)).collect();
        let (mut depth, mut start) = (0_usize, 0);
        for (at, char) in group.char_indices().chain([(group.len(), ',')]) {
            match char {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    let item = group.get(start..at).unwrap_or_default();
                    if !item.trim().is_empty() {
                        expand(item, &prefix, public, found);
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let (path, alias) =
        tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim())));
    let mut path: Vec<String> = prefix.iter().cloned().chain(segments(path)).collect();
    let last = path.pop_if(|last| last == "*" || last == "self");
    let name = match alias {
        Some(alias) => Some(alias.to_owned()),
        None if last.as_deref() == Some("*") => None,
        None => path.last().cloned(),
    };
    found.push(Use { public, path, name: name.filter(|name| name != "_") });
}

fn segments(path: &str) -> impl Iterator<Item = String> {
    path.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The paths in code that start with `crate::` or `super::`.
fn inline(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let is_part = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            if before.is_some_and(is_part) {
                continue;
            }
            let path = text.get(at..).unwrap_or_default();
            found.push(segments(path.split(|char| !is_part(char)).next().unwrap_or_default()).collect());
        }
    }
    found
}

/// The path from the crate's root; `None` for paths of other crates, and of the module's own items.
fn absolute(module: &[String], path: &[String]) -> Option<Module> {
    let mut base: Module = match path.first()?.as_str() {
        "crate" => Module::new(),
        "super" | "self" => module.to_vec(),
        // A child of the module; another crate resolves to no file.
        _ => return Some(module.iter().chain(path).cloned().collect()),
    };
    for name in path {
        match name.as_str() {
            "super" => drop(base.pop()),
            "crate" | "self" => {}
            name => base.push(name.to_owned()),
        }
    }
    Some(base)
}

/// Whether a chain of imports leads from one file to another.
fn reaches(graph: &BTreeMap<&str, BTreeSet<&str>>, from: &str, to: &str) -> bool {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut files = vec![from];
    while let Some(file) = files.pop() {
        let imports = graph.get(file).into_iter().flatten();
        for &next in imports {
            if next == to {
                return true;
            }
            if seen.insert(next) {
                files.push(next);
            }
        }
    }
    false
}

/// A shortest circle through a file.
fn circle<'a>(graph: &BTreeMap<&'a str, BTreeSet<&'a str>>, start: &&'a str) -> Option<Vec<&'a str>> {
    let mut paths = vec![vec![*start]];
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            for next in path.last().and_then(|last| graph.get(last)).into_iter().flatten() {
                if next == start {
                    return Some(path);
                }
                if seen.insert(next) {
                    longer.push(path.iter().copied().chain([*next]).collect());
                }
            }
        }
        paths = longer;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        problems_with(&[], files)
    }

    fn problems_with(accepted: &[(&str, &str, &str)], files: &[(&str, &str)]) -> Vec<String> {
        let file =
            |(path, text): &(&str, &str)| File { path: format!("x/src/{path}"), text: (*text).to_owned() };
        let files: Vec<File> = files.iter().map(file).collect();
        let mut problems = Vec::new();
        check_with(accepted, &files, &mut problems);
        problems
    }

    #[test]
    fn accepted_import_closes_a_circle() {
        let accepted = [("x/src/a.rs", "x/src/b.rs", "a reason")];
        let files = [("a.rs", "use crate::b::B;"), ("b.rs", "use crate::a::A;")];
        assert_eq!(problems_with(&accepted, &files), [""; 0]);
        let line = problems_with(&accepted, &[("a.rs", "use crate::b::B;"), ("b.rs", "")]);
        assert!(line.len() == 1 && line[0].contains("closes no circle"), "{line:?}");
        assert_eq!(problems_with(&accepted, &[("a.rs", ""), ("b.rs", "use crate::a::A;")]).len(), 1);
    }

    #[test]
    fn circle_is_reported_once_with_its_files() {
        let files = [
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "fn f() { super::c::g() }"),
            ("c.rs", "use crate::{a::{A, Z}, d};"),
        ];
        let found = problems(&files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("x/src/a.rs → x/src/b.rs → x/src/c.rs → x/src/a.rs: "), "{found:?}");
        assert!(problems(&files[..2]).is_empty(), "a line is no circle");
    }

    #[test]
    fn re_exported_name_is_an_import_of_its_file() {
        let root = ("lib.rs", "mod a;\nmod b;\npub use a::A as Renamed;");
        let (a, b) = (("a.rs", "use crate::b::B;"), ("b.rs", "use crate::Renamed;"));
        assert_eq!(problems(&[root, a, b]).len(), 1);
        assert!(problems(&[("lib.rs", "mod a; struct Renamed;"), a, b]).is_empty());
    }

    #[test]
    fn files_of_one_module_and_tests_and_comments_are_no_circle() {
        assert!(problems(&[("a.rs", "use self::b::B;"), ("a/b.rs", "use super::A;")]).is_empty());
        assert!(problems(&[("a/mod.rs", "mod b; use b::B;"), ("a/b.rs", "use crate::a::A;")]).is_empty());
        let tests = "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}";
        assert!(problems(&[("a.rs", "use crate::b::B;"), ("b.rs", tests)]).is_empty());
        assert!(problems(&[("a.rs", "use crate::b::B;"), ("b.rs", "// crate::a::A")]).is_empty());
        let parts = [
            ("a.rs", ""),
            ("a/x.rs", "use crate::b::B;"),
            ("b.rs", "use crate::a::y::Y;"),
            ("a/y.rs", "use super::x::X;"),
        ];
        assert_eq!(problems(&parts).len(), 1, "a circle through parts of a module is one");
    }
}
