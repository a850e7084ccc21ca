//! A proxy as a process: its first sync, memory and processor time.

use anyhow::Context as _;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::agent::{Agent, Memory};
use viprule_testkit::cluster::{Cluster, Proxy};
use viprule_tests::figures::objects::Objects;

/// A proxy after its first sync.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) proxy: Proxy,
    pub(crate) agent: Agent,
    /// From start to the last Service in the kernel, to half a second.
    pub(crate) first_sync: Duration,
}

impl Running {
    /// Starts it and waits until every Service has its rule in KUBE-SERVICES.
    pub(crate) fn start(
        cluster: &Cluster,
        node: usize,
        proxy: Proxy,
        objects: &Objects,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let namespace = cluster.node(node).namespace();
        let wanted = objects.services as usize;
        let start = Instant::now();
        let mut agent = cluster.start_proxy(node, proxy)?;
        agent.wait_until("all Services in the kernel", patience, || {
            sleep(Duration::from_millis(500));
            let list = ["list", "chain", "ip", "nat", "KUBE-SERVICES"];
            let text = namespace.command("nft").args(list).text();
            text.is_ok_and(|text| text.matches(" KUBE-SVC-").count() >= wanted)
        })?;
        let first_sync = start.elapsed();
        eprintln!("{proxy}: first sync took {first_sync:.1?}");
        Ok(Self {
            proxy,
            agent,
            first_sync,
        })
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        Ok(self.agent.memory()?)
    }

    /// Processor time so far, user and system, clock ticks (proc(5), `stat` fields 14 and 15).
    fn ticks(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/stat", self.agent.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let (_, fields) = text.rsplit_once(") ").with_context(|| path.clone())?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |index: usize| -> anyhow::Result<u64> {
            let field = fields.get(index).with_context(|| path.clone())?;
            Ok(field.parse()?)
        };
        Ok(number(11)? + number(12)?)
    }
}

/// The share of a core, 0 to 1, that each takes while nothing happens.
pub(crate) fn idle(running: &[Running], span: Duration) -> anyhow::Result<Vec<f64>> {
    /// `USER_HZ`, the same on every machine that Rust's std supports on Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let ticks = || {
        running
            .iter()
            .map(Running::ticks)
            .collect::<anyhow::Result<Vec<_>>>()
    };
    let start = Instant::now();
    let before = ticks()?;
    sleep(span);
    let (after, took) = (ticks()?, start.elapsed().as_secs_f64());
    let shares = before.iter().zip(&after);
    Ok(shares
        .map(|(before, after)| (after - before) as f64 / TICKS_PER_SECOND / took)
        .collect())
}
