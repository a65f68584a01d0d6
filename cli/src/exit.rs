//! Exit codes, on which scripts rely, and failures that carry an exit code.

use crate::output::Terminal;
use std::process::ExitCode;

/// Exit code of a command. Documented in docs/budgets.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Success; all budgets pass.
    Pass = 0,
    /// A budget is exceeded.
    Fail = 1,
    /// The command line, a file, the token or the site is wrong.
    Usage = 2,
    /// The data do not decide.
    Inconclusive = 3,
    /// The server cannot be reached or cannot answer.
    Unreachable = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that ends a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// The error message: the fault and its place.
    pub(crate) message: String,
    /// How to fix it; may be empty.
    pub(crate) hint: String,
}

impl Failure {
    /// An error that the user can fix.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), hint: hint.into() }
    }

    /// An error of the server or the network.
    pub(crate) fn unreachable(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Unreachable, message: message.into(), hint: hint.into() }
    }

    /// Names the file of a line: `line 7: …` of a server becomes `budgets.toml:7: …`.
    pub(crate) fn in_file(mut self, name: &str) -> Self {
        let placed = self.message.strip_prefix("line ").and_then(|rest| rest.split_once(": "));
        if let Some((line, fault)) = placed.filter(|(line, _)| line.parse::<usize>().is_ok()) {
            self.message = format!("{name}:{line}: {fault}");
        }
        self
    }
}

/// The output of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// The exit code.
    pub(crate) exit: Exit,
    /// Text for standard output.
    pub(crate) stdout: String,
    /// A line for standard error; may be empty.
    pub(crate) warning: String,
}

/// Prints the output or the failure of a command. Returns the exit code. Errors have one style: what is wrong and where,
/// then what to do.
pub(crate) fn finish(done: Result<Done, Failure>) -> ExitCode {
    match done {
        Ok(done) => {
            crate::output::print(&done.stdout);
            if !done.warning.is_empty() {
                eprint!("{}", Terminal::of_stderr().wrap("", &done.warning));
            }
            done.exit.into()
        }
        Err(failure) => {
            print_error(&failure.message, &failure.hint);
            failure.exit.into()
        }
    }
}

/// Prints an error: what is wrong and where, then what to do, if anything.
pub(crate) fn print_error(message: &str, hint: &str) {
    let terminal = Terminal::of_stderr();
    eprint!("{}", terminal.labeled("error: ", message));
    if !hint.is_empty() {
        eprint!("{}", terminal.wrap("  ", hint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_a_server_gets_the_name_of_the_file() {
        for (message, expected) in [
            ("line 7: no release: name it", "budgets.toml:7: no release: name it"),
            ("line of business: 7", "line of business: 7"),
            ("the site is gone", "the site is gone"),
        ] {
            assert_eq!(Failure::usage(message, "").in_file("budgets.toml").message, expected);
        }
    }
}
