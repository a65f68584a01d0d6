//! `cargo xtask`: builds, serves, tests and measures fieldvitals. It needs only Rust on the machine. It installs
//! missing tools if possible, and otherwise names them.

mod bench;
mod binaryen;
mod bindings;
mod browsers;
mod chaos;
mod circles;
mod clients;
mod collector;
mod deny;
mod dist;
mod duckdb;
mod gate_tables;
mod limits;
mod minify;
mod mutants;
mod npm;
mod postgres;
mod programs;
mod recipes;
mod room;
mod run;
mod serve;
mod size;
mod source;
mod test;
mod tidy;
mod toolchain;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, serves, tests and measures fieldvitals")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the collector into target/collector: v.js, the module and its glue, with .br and .gz beside.
    Collector,
    /// Build everything and run the server: `cargo xtask serve -- --listen 0.0.0.0:8080`.
    Serve {
        /// Arguments of `fieldvitals serve`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Run every test, fast ones first; or one part of them.
    Test {
        /// The part to run.
        part: Option<test::Part>,
        /// Of `browsers`: only a slow interaction followed at once by a hidden page or another page, this many times
        /// in
        /// headless and in headed Chromium.
        #[arg(long, value_name = "TIMES", num_args = 0..=1, default_missing_value = "20")]
        inp_on_hide: Option<u32>,
        /// Search new cases in property tests, from a seed that is printed. Add a failing case as a named case.
        #[arg(long)]
        random: bool,
        /// Of `browsers`: only scenarios with these words in `name/engine`.
        #[arg(last = true)]
        words: Vec<String>,
    },
    /// Kill the server, and Postgres, repeatedly under load and report lost beacons: `cargo xtask chaos --kills 200`.
    /// Further options: `cargo xtask chaos --help`.
    #[command(disable_help_flag = true)]
    Chaos {
        /// Options of the run.
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        arguments: Vec<String>,
    },
    /// Write the collector as an npm package into target/npm.
    Npm,
    /// Put a release under dist/: the collector's files, the npm package, and the release binary. With --target a static
    /// binary in its place, as the content of an image, and a Debian package.
    Dist {
        /// The target of a static binary; may be repeated.
        #[arg(long = "target", value_name = "TARGET")]
        targets: Vec<dist::Target>,
        /// Then run image and package of each target, under qemu if need be. Needs root and containers; takes minutes.
        #[arg(long, requires = "targets")]
        test: bool,
        /// Build nothing, and test the release that is under dist/ already.
        #[arg(long, requires = "test")]
        built: bool,
    },
    /// Print the bytes of snippet, module and glue.
    Size {
        /// As JSON: a list of name, value, unit, yardstick, ratio.
        #[arg(long)]
        json: bool,
    },
    /// Measure ingest, attacks, loading, queries or the collector beside their yardsticks (docs/performance.md).
    Bench {
        /// The bench to run.
        bench: bench::Bench,
        /// As JSON: the machine and a list of figures.
        #[arg(long)]
        json: bool,
        /// Fail if a figure misses its bound.
        #[arg(long)]
        check: bool,
        /// Arguments of the bench, such as `-- --rounds 3`; `-- --help` lists them.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Write the gate's error rates and power into docs/gate.md, by simulation.
    GateTables {
        /// Only compare; fail if the page has other tables.
        #[arg(long)]
        check: bool,
    },
    /// Check the rules of the source that the compiler does not know.
    Tidy,
    /// List every bound with its value, unit and purpose, by the crate that owns it.
    Limits,
    /// Change the code in many small ways and report changes that no test notices (cargo-mutants). Takes hours without
    /// `--file`.
    Mutants {
        /// Only files that match this glob; may be repeated.
        #[arg(long = "file", value_name = "GLOB")]
        files: Vec<String>,
        /// Further arguments of cargo-mutants, such as `-- --shard 0/8`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

fn main() -> std::process::ExitCode {
    let result = match Arguments::parse().command {
        Task::Collector => collector::build().map(drop),
        Task::Serve { arguments } => serve::serve(&arguments),
        Task::Test { part, inp_on_hide, random, words } => {
            let mut arguments = words;
            arguments
                .extend(inp_on_hide.iter().flat_map(|times| ["--inp-on-hide".to_owned(), times.to_string()]));
            test::test(part, random, &arguments)
        }
        Task::Chaos { arguments } => chaos::chaos(&arguments),
        Task::Npm => npm::package().map(drop),
        Task::Dist { targets, built: true, .. } => dist::test(&targets),
        Task::Dist { targets, test, built: false } => {
            dist::dist(&targets).and_then(|()| if test { dist::test(&targets) } else { Ok(()) })
        }
        Task::Size { json } => size::print(json),
        Task::Bench { bench, json, check, arguments } => bench::bench(bench, json, check, &arguments),
        Task::GateTables { check } => gate_tables::write(check),
        Task::Tidy => tidy::tidy(),
        Task::Limits => limits::print(),
        Task::Mutants { files, arguments } => mutants::mutants(&files, &arguments),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            if let Some(text) = room::why_failed() {
                run::say(text);
            }
            std::process::ExitCode::FAILURE
        }
    }
}
