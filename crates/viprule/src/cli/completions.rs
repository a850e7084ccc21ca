//! `viprule completions`

use std::io;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, exit};

/// Print a shell's completion script
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "viprule", &mut script);
    io::Write::write_all(&mut io::stdout(), &script)?;
    Ok(exit::OK)
}
