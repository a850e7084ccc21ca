//! What iptables mode costs, next to what the kernel itself asks for the same work.
//!
//! Run with `scripts/bench`. Every figure of viprule stands beside a floor that was measured in
//! the same run and in turn with it: prepared bytes sent, or raw bytes read, by a bare loop. What
//! counts is the ratio; times alone say more about the machine and its load.
//!
//! Nothing is asserted about times. What the floors claim to be is asserted: the same bytes in the
//! same parts, and the same rules in the kernel afterwards.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "prints figures that need no 53 bits"
)]

mod burst;
mod change;
mod first_sync;
mod memory;
mod recorder;
mod restore;
mod start;
mod world;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use viprule_tests::figures::cluster::Cluster;
use viprule_tests::figures::report::Report;

/// The program's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The largest size that `iptables-nft-restore` is asked to load; it takes minutes there.
const LARGEST_RESTORE: u32 = 5_000;

/// Measures viprule's iptables mode against the kernel's floor, and against iptables-nft-restore
/// fed as kube-proxy feeds it.
#[derive(Debug, Parser)]
struct Options {
    /// Only 1,000 Services
    #[arg(long)]
    quick: bool,
    /// Numbers of Services to measure with [default: 1000,5000,10000]
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        conflicts_with = "quick"
    )]
    services: Vec<u32>,
    /// Write the figures to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    viprule_testkit::netns::require_privileges()?;
    let sizes = match options.services.as_slice() {
        [] if options.quick => vec![1_000],
        [] => vec![1_000, 5_000, 10_000],
        chosen => chosen.to_vec(),
    };
    let mut report = Report::begin();
    for services in sizes {
        measure(&Cluster::new(services), &mut report)
            .with_context(|| format!("measuring with {services} Services"))?;
    }
    report.end(options.json.as_deref())
}

fn measure(cluster: &Cluster, report: &mut Report) -> anyhow::Result<()> {
    let (mut world, first_sync) = first_sync::measure(cluster, report)?;
    change::measure(cluster, &mut world, report)?;
    burst::measure(cluster, &mut world, report)?;
    start::measure(cluster, &world, report)?;
    if cluster.services() <= LARGEST_RESTORE {
        restore::measure(cluster, &mut world, first_sync, report)?;
    }
    drop(world);
    memory::measure(cluster, report)
}
