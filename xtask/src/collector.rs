//! Builds the files that a page loads: `v.js`, the wasm module, and the glue (the bindings of wasm-bindgen and the
//! loader).

use crate::binaryen::{self, WasmOpt};
use crate::bindings::{self, Names, letters};
use crate::minify::{Kind, minify};
use crate::run::{root, run, say, seconds, target_dir};
use crate::toolchain::{WASM, wasm_build};
use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;
use wasm_bindgen_cli_support::{Bindgen, EncodeInto};

/// The path of the snippet's source.
pub(crate) const SNIPPET: &str = "js-snippet/src/v.js";
const LOADER: &str = "js-snippet/src/loader.js";

/// The line of the snippet's source that receives the glue's file name.
pub(crate) const NAME_LINE: &str = "const COLLECTOR = \"\";";
/// The line of the loader's source that receives the module's URL.
const MODULE_LINE: &str = "const MODULE = \"\";";
/// The line that receives the names of the module, separated by tabs.
const NAMES_LINE: &str = "const NAMES = \"\";";
/// The line that receives the texts of the wire format, separated by tabs.
const TEXTS_LINE: &str = "const TEXTS = \"\";";

/// The files of one build.
pub(crate) struct Collector {
    /// The directory that holds them.
    pub(crate) dir: PathBuf,
    /// The hash in the names of module and glue. It is short because the snippet contains it.
    pub(crate) stem: String,
    /// The glue of the npm package. Its module has a name without a hash.
    pub(crate) module_glue: PathBuf,
}

impl Collector {
    /// The role and the file name of each file that a page loads.
    pub(crate) fn files(&self) -> [(&'static str, String); 3] {
        [
            ("snippet", "v.js".to_owned()),
            ("wasm", format!("{}.wasm", self.stem)),
            ("glue", format!("{}.js", self.stem)),
        ]
    }
}

/// Builds the collector into `target/collector`. Reuses the files of an earlier build of the same inputs.
pub(crate) fn build() -> Result<Collector> {
    let started = Instant::now();
    let wasm = compile()?;
    let sources = sources()?;
    let optimizer = WasmOpt::find();

    // All inputs of the files.
    let mut inputs = Sha256::new();
    inputs.update(&wasm);
    inputs.update(&sources.snippet);
    inputs.update(&sources.loader);
    inputs.update(fs::read(std::env::current_exe()?)?);
    inputs.update(if optimizer.is_ok() { binaryen::VERSION } else { "none" });
    let inputs = hex(&inputs.finalize());
    let dir = target_dir().join("collector");
    let own = target_dir().join(WASM);
    let (stamp, module_glue) = (own.join("collector.stamp"), own.join("collector.js"));
    if let Some(collector) = unchanged(&dir, &stamp, &module_glue, &inputs) {
        say(format!("the collector is up to date in {}", dir.display()));
        return Ok(collector);
    }

    let (bindings, wasm) = bind(wasm)?;
    let bindings = shorten(&bindings, &sources.short);
    let wasm = match optimizer {
        Ok(optimizer) => optimizer.shrink(&wasm)?,
        Err(why) => {
            say(format!("the module stays some 5 % larger than it could be, without wasm-opt: {why:#}"));
            wasm
        }
    };
    fs::create_dir_all(&own)?;
    let collector =
        write(&dir, module_glue, &sources.snippet, &Glue { bindings, loader: sources.loader }, &wasm)?;
    fs::write(&stamp, format!("{inputs} {}", collector.stem))?;
    say(format!("the collector is in {} ({})", dir.display(), seconds(started.elapsed())));
    Ok(collector)
}

fn unchanged(dir: &Path, stamp: &Path, module_glue: &Path, inputs: &str) -> Option<Collector> {
    let text = fs::read_to_string(stamp).ok()?;
    let (stamped, stem) = text.split_once(' ')?;
    let collector =
        Collector { dir: dir.to_owned(), stem: stem.to_owned(), module_glue: module_glue.to_owned() };
    let complete = module_glue.is_file()
        && collector.files().iter().all(|(_, name)| {
            ["", ".br", ".gz"].iter().all(|ending| dir.join(format!("{name}{ending}")).is_file())
        });
    (stamped == inputs && complete).then_some(collector)
}

fn compile() -> Result<Vec<u8>> {
    let mut cargo = wasm_build()?;
    say(
        "building the wasm module; the first time, together with Rust's standard library, it takes some minutes",
    );
    let target = target_dir().join("wasm");
    cargo
        // As a library for other crates too, it would not be optimized together with them.
        .args(["--package", "fieldvitals-collector", "--lib", "--crate-type", "cdylib"])
        .args(["--profile", "collector", "--target-dir"])
        .arg(&target)
        .stdout(std::io::stderr());
    run(&mut cargo)?;
    let file = target.join(WASM).join("collector/fieldvitals_collector.wasm");
    fs::read(&file).with_context(|| format!("the build succeeded and did not leave {}", file.display()))
}

/// Runs wasm-bindgen on the compiled module. Returns bindings and module, with short names.
fn bind(wasm: Vec<u8>) -> Result<(String, Vec<u8>)> {
    let mut output = Bindgen::new()
        .input_bytes("collector", wasm)
        .web(true)?
        .encode_into(EncodeInto::Always)
        .omit_default_module_path(true)
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate_output()
        .context("wasm-bindgen does not take the module")?;
    let js = bindings::lasting(output.js())?;
    let snippets: Vec<_> =
        output.snippets().iter().filter(|(_, sources)| !sources.is_empty()).map(|(name, _)| name).collect();
    if !snippets.is_empty() || !output.local_modules().is_empty() {
        bail!(
            "the module imports JavaScript files, which a page would have to fetch one by one; they come \
             from {snippets:?} and {:?}",
            output.local_modules().keys()
        );
    }
    let mut names = Names::default();
    let module = output.wasm_mut();
    let js = remove_throw(module, js)?;
    let read = bindings::reads(&js);
    for import in module.imports.iter_mut() {
        import.module = names.module(&import.module);
        import.name = names.import(&import.name);
    }
    let unread = module.exports.iter().filter(|export| !read.contains(export.name.as_str()));
    for id in unread.map(|export| export.id()).collect::<Vec<_>>() {
        module.exports.delete(id);
    }
    for export in module.exports.iter_mut() {
        export.name = names.export(&export.name);
    }
    remove_futures(module);
    let wasm = module.emit_wasm();
    Ok((bindings::rewrite(&js, &names)?, wasm))
}

/// Replaces wasm-bindgen's import that throws a text: like a panic, it becomes one instruction. It is the only import
/// that takes a text.
fn remove_throw(module: &mut walrus::Module, js: String) -> Result<String> {
    let throw = module.imports.iter().find(|import| import.name.contains("__wbindgen_throw"));
    let Some(throw) = throw else { return Ok(js) };
    let walrus::ImportKind::Function(function) = throw.kind else {
        bail!("the module imports {}, which is no function", throw.name);
    };
    let js = bindings::without_import(&js, &throw.name)?;
    module.replace_imported_func(function, |(body, _)| {
        body.unreachable();
    })?;
    Ok(js)
}

/// Empties js-sys' functions for futures. The collector has no futures; js-sys exports them, so the linker keeps them,
/// and the table of indirect calls names them, so wasm-opt does too.
fn remove_futures(module: &mut walrus::Module) {
    let is_of_futures = |name: &str| name.contains("::futures::jspi::") || name.contains("::JsError>");
    let unused: Vec<_> = module
        .funcs
        .iter_local()
        .filter(|(id, _)| module.funcs.get(*id).name.as_deref().is_some_and(is_of_futures))
        .map(|(id, function)| (id, function.ty()))
        .collect();
    for (id, kind) in unused {
        let (parameters, results) = module.types.params_results(kind);
        let (parameters, results) = (parameters.to_vec(), results.to_vec());
        let mut function = walrus::FunctionBuilder::new(&mut module.types, &parameters, &results);
        function.func_body().unreachable();
        let arguments = parameters.iter().map(|kind| module.locals.add(*kind)).collect();
        module.funcs.get_mut(id).kind = walrus::FunctionKind::Local(function.local_func(arguments));
    }
}

/// The bindings of wasm-bindgen and the loader, which share one function's scope.
struct Glue {
    bindings: String,
    loader: String,
}

impl Glue {
    /// The glue for a module. `url` is a JavaScript expression.
    fn minified(&self, url: &str) -> Result<String> {
        let loader = replace_once(&self.loader, MODULE_LINE, &format!("const MODULE = {url};"), LOADER)?;
        minify(&format!("{}{loader}", self.bindings), Kind::Module, "the glue")
    }
}

/// The URL of a module beside its glue, in a form that bundlers recognize.
fn url(stem: &str) -> String {
    format!("new URL(\"./{stem}.wasm\", import.meta.url)")
}

fn write(dir: &Path, module_glue: PathBuf, snippet: &str, glue: &Glue, wasm: &[u8]) -> Result<Collector> {
    // The glue contains the name, so the hash covers the glue without the name.
    let mut hash = Sha256::new();
    hash.update(glue.minified("\"\"")?);
    hash.update(wasm);
    let hash = hex(&hash.finalize());
    let stem = hash[..8].to_owned();
    let snippet = replace_once(snippet, NAME_LINE, &format!("const COLLECTOR = \"{stem}.js\";"), SNIPPET)?;
    fs::write(&module_glue, glue.minified(&url("collector"))?)?;

    // Removes files with old hashes, because the server serves every file in this folder.
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot empty {}", dir.display()));
        }
        _ => fs::create_dir_all(dir)?,
    }
    let script = glue.minified(&url(&stem))?;
    let collector = Collector { dir: dir.to_owned(), stem, module_glue };
    let contents =
        [minify(&snippet, Kind::Script, SNIPPET)?.into_bytes(), wasm.to_owned(), script.into_bytes()];
    for ((_, name), content) in collector.files().iter().zip(&contents) {
        fs::write(dir.join(name), content)?;
        fs::write(dir.join(format!("{name}.br")), brotli(content)?)?;
        fs::write(dir.join(format!("{name}.gz")), gzip(content)?)?;
    }
    Ok(collector)
}

/// The sources of snippet and loader.
pub(crate) struct Sources {
    /// The snippet.
    pub(crate) snippet: String,
    loader: String,
    /// The short forms of the shared names.
    short: BTreeMap<String, String>,
}

/// Reads the sources and shortens their shared names to one or two letters and an underscore. Shared names begin with
/// an underscore. The minifier cannot do this: it sees one file at a time and keeps property names.
pub(crate) fn sources() -> Result<Sources> {
    let source = |path: &str| {
        let file = root().join(path);
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let (snippet, mut loader) = (source(SNIPPET)?, source(LOADER)?);
    let texts: Vec<_> = vitals::beacon::write::texts().collect();
    for (line, list) in [(NAMES_LINE, fieldvitals_collector::names::ALL), (TEXTS_LINE, &texts)] {
        let value = serde_json::to_string(&list.join("\t"))?;
        loader = replace_once(&loader, line, &line.replace("\"\"", &value), LOADER)?;
    }
    let short = short_names(&[&snippet, &loader]);
    Ok(Sources { snippet: shorten(&snippet, &short), loader: shorten(&loader, &short), short })
}

fn short_names(sources: &[&str]) -> BTreeMap<String, String> {
    let mut names = BTreeSet::new();
    for source in sources {
        shared_names(source, |name| {
            names.insert(name.to_owned());
        });
    }
    let short = |place| format!("{}_", letters(place));
    names.into_iter().enumerate().map(|(place, name)| (name, short(place))).collect()
}

fn shorten(source: &str, short: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = 0;
    shared_names(source, |name| {
        if let Some(short) = short.get(name) {
            let at = name.as_ptr() as usize - source.as_ptr() as usize;
            out.push_str(&source[rest..at]);
            out.push_str(short);
            rest = at + name.len();
        }
    });
    out + &source[rest..]
}

/// Calls `each` with every `_name` of a source. Skips `__wbg_…`, which belongs to wasm-bindgen.
fn shared_names<'a>(source: &'a str, mut each: impl FnMut(&'a str)) {
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '$';
    for word in source.split(|character| !is_word(character)) {
        let mut letters = word.strip_prefix('_').unwrap_or_default().chars();
        if letters.next().is_some_and(|first| first.is_ascii_lowercase())
            && letters.all(|letter| letter != '_')
        {
            each(word);
        }
    }
}

pub(crate) fn replace_once(text: &str, from: &str, to: &str, name: &str) -> Result<String> {
    match text.matches(from).count() {
        1 => Ok(text.replacen(from, to, 1)),
        count => bail!("{name} has {count} times `{from}`, where once is expected"),
    }
}

/// Compresses with each of the encoder's modes, and returns the shortest result.
fn brotli(content: &[u8]) -> Result<Vec<u8>> {
    use brotli::enc::backward_references::BrotliEncoderMode;
    let mut shortest: Option<Vec<u8>> = None;
    for mode in [
        BrotliEncoderMode::BROTLI_MODE_GENERIC,
        BrotliEncoderMode::BROTLI_MODE_TEXT,
        BrotliEncoderMode::BROTLI_MODE_FONT,
    ] {
        let mut out = Vec::new();
        let parameters = brotli::enc::BrotliEncoderParams {
            mode,
            quality: 11,
            size_hint: content.len(),
            ..Default::default()
        };
        brotli::BrotliCompress(&mut &content[..], &mut out, &parameters)?;
        if shortest.as_ref().is_none_or(|shortest| out.len() < shortest.len()) {
            shortest = Some(out);
        }
    }
    shortest.context("the encoder has no mode")
}

fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_names_are_short_in_the_bindings_too() {
        let short = short_names(&["shared._hidden = shared._errors", "s._hidden && s.__wbg_x && a_b"]);
        assert_eq!(shorten("s._hidden + s._errors;", &short), "s.b_ + s.a_;");
        // Shortens only the shared names in the bindings, not wasm-bindgen's own names.
        let bindings = "__wbg__hidden_7b: (a) => getObject(a)._hidden, real._wbg_cb_unref(), x._other";
        assert_eq!(
            shorten(bindings, &short),
            "__wbg__hidden_7b: (a) => getObject(a).b_, real._wbg_cb_unref(), x._other"
        );
    }

    #[test]
    fn glue_is_bindings_and_loader_with_the_url_of_the_module() {
        let glue = Glue {
            bindings: "let wasm;\nfunction load(instance) { wasm = instance; return wasm; }\n".to_owned(),
            loader: "const MODULE = \"\";\nexport default load(fetch(MODULE));\n".to_owned(),
        };
        let minified = glue.minified(&url("m")).unwrap();
        assert!(
            minified.contains("export default") && minified.contains("new URL(`./m.wasm`,import.meta.url)"),
            "{minified}"
        );
        // The loader must not declare a name of the bindings again.
        let twice = Glue { loader: format!("{}const load = 1;", glue.loader), ..glue };
        assert!(twice.minified(&url("m")).is_err());
    }
}
