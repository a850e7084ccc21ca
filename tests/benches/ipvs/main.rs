//! What IPVS mode costs, next to what the kernel itself asks for the same work, to the programs
//! that do it in scripts, and to real kube-proxy. In one run of a virtual machine.
//!
//! User-Mode Linux works at near native speed inside the kernel and takes a hundred times as long
//! for a page of fresh memory, a system call or the start of a program. So the first run of each
//! measure counts for nothing and the allocator keeps its memory, as `scripts/bench-ipvs` tells it;
//! and what kube-proxy takes is told with and without the programs that it starts.
//!
//! Run with `scripts/bench-ipvs`. Nothing is asserted about times. What the floor claims to be is
//! asserted: viprule finds nothing to write on the kernel that the floor has written.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "prints figures that need no 53 bits"
)]

mod change;
mod first_sync;
mod floor;
mod kernel;
mod memory;
mod proxies;
mod start;
mod tools;
mod world;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use viprule_tests::figures::cluster::Cluster;
use viprule_tests::figures::report::{Limit, Measure, Report};

/// The program's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures viprule's IPVS mode against the kernel's floor, ipvsadm and its like, and kube-proxy.
#[derive(Debug, Parser)]
struct Options {
    /// Numbers of Services to measure with
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        default_value = "1000,5000"
    )]
    services: Vec<u32>,
    /// Number of Services to compare with kube-proxy on; 0 for no comparison
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    cluster: u32,
    /// How many endpoint changes of kube-proxy to measure
    #[arg(long, default_value_t = 7, value_name = "N")]
    changes: u32,
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
    let mut report = Report::begin();
    for services in &options.services {
        measure(&Cluster::new(*services), &mut report)
            .with_context(|| format!("measuring with {services} Services"))?;
    }
    if options.cluster > 0 {
        proxies::measure(options.cluster, options.changes, &mut report)
            .context("comparing with kube-proxy")?;
    }
    report.end(options.json.as_deref())
}

fn measure(cluster: &Cluster, report: &mut Report) -> anyhow::Result<()> {
    let desired = world::desired(cluster)?;
    let (mut world, first_sync) = first_sync::measure(cluster, &desired, report)?;
    let tools = tools::measure(&desired, cluster.services(), report)?;
    let measure = Measure {
        name: "first sync, next to tools",
        services: cluster.services(),
        runs: 1,
    };
    report.gain(measure, first_sync, tools, Limit::None);
    change::measure(cluster, &mut world, report)?;
    start::measure(cluster, world, report)?;
    memory::measure(cluster, report)
}
