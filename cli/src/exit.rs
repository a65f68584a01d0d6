//! How a command ends: exit codes that scripts rely on, and failures that carry one.

use std::process::ExitCode;

/// How a command ended. docs/budgets.md tells users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done; every budget is kept.
    Pass = 0,
    /// A budget is exceeded.
    Fail = 1,
    /// The command line, a file, the token or the site is wrong.
    Usage = 2,
    /// The data do not tell.
    Inconclusive = 3,
    /// The server cannot be reached or cannot answer.
    Unreachable = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// How the command ends.
    pub(crate) exit: Exit,
    /// What is wrong, and where.
    pub(crate) message: String,
    /// What to do about it; may be empty.
    pub(crate) hint: String,
}

impl Failure {
    /// Something that the user can put right.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), hint: hint.into() }
    }

    /// Something that the server or the network must put right.
    pub(crate) fn unreachable(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Unreachable, message: message.into(), hint: hint.into() }
    }
}

/// What a command has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// How it ends.
    pub(crate) exit: Exit,
    /// Text for standard output.
    pub(crate) stdout: String,
    /// A line for standard error; may be empty.
    pub(crate) warning: String,
}

/// Prints what a command has to say, and ends it.
pub(crate) fn finish(done: Result<Done, Failure>) -> ExitCode {
    match done {
        Ok(done) => {
            crate::output::print(&done.stdout);
            if !done.warning.is_empty() {
                eprintln!("{}", done.warning);
            }
            done.exit.into()
        }
        Err(failure) => {
            eprintln!("{}", failure.message);
            if !failure.hint.is_empty() {
                eprintln!("  {}", failure.hint);
            }
            failure.exit.into()
        }
    }
}
