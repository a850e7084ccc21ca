//! `viprule`: see `viprule --help`.

use std::process::ExitCode;

/// Gives back what large inputs leave behind, which the C library's allocator keeps.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    viprule::cli::main()
}
