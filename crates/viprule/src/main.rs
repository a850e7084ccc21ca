//! `viprule`: see `viprule --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    viprule::cli::main()
}
