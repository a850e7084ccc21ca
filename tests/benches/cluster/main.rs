//! What a node's proxy costs on a real cluster: viprule and kube-proxy on the objects of one real
//! API server, in the same run, each on a node of its own.
//!
//! Run with `scripts/bench-cluster`. Nothing is asserted about times.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "prints figures that need no 53 bits"
)]

mod change;
mod process;
mod report;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use process::Running;
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::cluster::{Cluster, Proxy};
use viprule_tests::figures::objects::Objects;

/// Measures memory, idle processor time and the way of an endpoint change to the kernel.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// How many Services
    #[arg(long, default_value_t = 10_000)]
    services: u32,
    /// Endpoints of each
    #[arg(long, default_value_t = 5)]
    endpoints: u32,
    /// Endpoint changes to time
    #[arg(long, default_value_t = 200)]
    changes: u32,
    /// Changes a second
    #[arg(long, default_value_t = 5)]
    rate: u32,
    /// Idle seconds to count processor time in
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Which proxies
    #[arg(long, value_enum, default_value_t = Which::Both)]
    proxy: Which,
    /// How many seconds a proxy may take for its first sync
    #[arg(long, default_value_t = 1_800)]
    patience: u64,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Viprule,
    KubeProxy,
    Both,
}

impl Which {
    fn proxies(self) -> &'static [Proxy] {
        match self {
            Self::Viprule => &[Proxy::Viprule],
            Self::KubeProxy => &[Proxy::KubeProxy],
            Self::Both => &[Proxy::Viprule, Proxy::KubeProxy],
        }
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let proxies = options.proxy.proxies();
    let cluster = Cluster::start(proxies.len()).context("starting a cluster")?;
    let objects = Objects::new(options.services, options.endpoints);

    let start = Instant::now();
    objects.create(cluster.api()?)?;
    eprintln!(
        "{} Services × {} endpoints made through the API server in {:.1?}",
        options.services,
        options.endpoints,
        start.elapsed()
    );

    let patience = Duration::from_secs(options.patience);
    let mut running = Vec::new();
    for (node, proxy) in proxies.iter().enumerate() {
        eprintln!("{proxy}: first sync");
        running.push(Running::start(&cluster, node, *proxy, &objects, patience)?);
    }
    eprintln!("{} changes at {} a second", options.changes, options.rate);
    let changes = change::measure(&cluster, &objects, &options)?;
    // What the changes left to do shall be done.
    sleep(Duration::from_secs(5));
    eprintln!("{} idle seconds", options.idle);
    let idle = process::idle(&running, Duration::from_secs(options.idle))?;
    report::print(&options, &running, &changes, &idle)
}
