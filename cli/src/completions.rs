//! `fieldvitals completions`: prints the completion script of a shell.

use crate::output::print;
use clap::CommandFactory;
use clap_complete::Shell;
use std::process::ExitCode;

/// Print the completions of a shell.
///
/// bash: fieldvitals completions bash > ~/.local/share/bash-completion/completions/fieldvitals
/// zsh: fieldvitals completions zsh > ~/.zfunc/_fieldvitals, with ~/.zfunc in fpath
/// fish: fieldvitals completions fish > ~/.config/fish/completions/fieldvitals.fish
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

/// Runs the command; `Cli` is the whole command line.
pub(crate) fn run<Cli: CommandFactory>(args: &Args) -> anyhow::Result<ExitCode> {
    let shell: Shell = args.shell.parse().map_err(anyhow::Error::msg)?;
    print(&script::<Cli>(shell)?);
    Ok(ExitCode::SUCCESS)
}

fn script<Cli: CommandFactory>(shell: Shell) -> anyhow::Result<String> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut bytes);
    Ok(String::from_utf8(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_complete_commands_and_options() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script::<crate::Cli>(shell).unwrap();
            for word in ["completions", "report", "engagement", "phone"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
