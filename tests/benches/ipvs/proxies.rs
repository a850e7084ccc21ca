//! viprule and real kube-proxy on the objects of one real API server, one after the other, each on
//! a node of its own.

use std::net::IpAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use viprule_testkit::Namespace;
use viprule_testkit::agent::Agent;
use viprule_testkit::cluster::k8s_openapi::api::discovery::v1::EndpointSlice;
use viprule_testkit::cluster::{Cluster, METRICS_PORT, Proxy, http_get};
use viprule_tests::figures::cluster::ENDPOINTS;
use viprule_tests::figures::objects::Objects;
use viprule_tests::figures::report::{Limit, Measure, Report};
use viprule_tests::figures::samples::{Sample, median, time};

use crate::kernel::Kernel;
use crate::world;

/// How long a proxy may take for a first sync, or a change.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// Long enough to have done whatever is left to do.
const REST: Duration = Duration::from_secs(10);

/// How many changes of viprule's to measure.
const VIPRULE_CHANGES: u32 = 25;

/// What was measured of one proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// From the start of the process to the last destination of the last server, ms.
    pub(crate) servers: f64,
    /// From the start to the end of the first sync, sets and rules included, ms.
    pub(crate) whole: f64,
    /// From before the write of a slice to the destination in the kernel, median, ms.
    pub(crate) change: f64,
    /// Programs that it started for each, median.
    pub(crate) programs: f64,
    /// Resident memory at rest, MB.
    pub(crate) rest: f64,
    /// At most so far, MB.
    pub(crate) peak: f64,
}

/// Measures viprule, then kube-proxy.
pub(crate) fn measure(services: u32, changes: u32, report: &mut Report) -> anyhow::Result<()> {
    let mut stage = Stage::new(services, ENDPOINTS)?;
    let viprule = stage.measure(0, Proxy::Viprule, VIPRULE_CHANGES)?;
    let kube_proxy = stage.measure(1, Proxy::KubeProxy, changes)?;
    let program = program(stage.cluster.node(1).namespace())?;
    let measure = |name, runs| Measure {
        name,
        services,
        runs,
    };
    for (name, runs, figure, limit) in [
        (
            "kube-proxy: all servers",
            1,
            (|it| it.servers) as fn(&Figures) -> f64,
            Limit::None,
        ),
        (
            "kube-proxy: first sync",
            1,
            |it| it.whole,
            Limit::AtLeast(20.0),
        ),
        (
            "kube-proxy: change",
            changes,
            |it| it.change,
            Limit::AtLeast(100.0),
        ),
    ] {
        let [real, other] = [viprule, kube_proxy].map(|it| Sample {
            wall: figure(&it),
            cpu: f64::NAN,
        });
        report.gain(measure(name, runs), real, other, limit);
    }
    let rest = kube_proxy.change - kube_proxy.programs * program;
    for (name, value, unit, limit) in [
        ("kube-proxy: start of a program", program, "ms", Limit::None),
        (
            "kube-proxy: change",
            kube_proxy.programs,
            "programs",
            Limit::None,
        ),
        ("kube-proxy: change without", rest, "ms", Limit::None),
        (
            "kube-proxy: peak memory",
            kube_proxy.peak,
            "MB",
            Limit::None,
        ),
        (
            "kube-proxy: memory at rest",
            kube_proxy.rest,
            "MB",
            Limit::None,
        ),
        ("viprule: peak memory", viprule.peak, "MB", Limit::None),
        (
            "viprule: memory at rest",
            viprule.rest,
            "MB",
            Limit::AtMost(30.0),
        ),
    ] {
        report.figure(measure(name, 1), value, unit, limit);
    }
    Ok(())
}

/// How long the smallest program takes, ms: User-Mode Linux is slow at starting programs, which
/// kube-proxy does a lot.
fn program(node: &Namespace) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..20 {
        let command = node.command("true");
        let (outcome, sample) = time(|| command.output());
        outcome?;
        times.push(sample.wall);
    }
    Ok(median(times.into_iter()))
}

/// A cluster with many Services.
#[derive(Debug)]
pub(crate) struct Stage {
    cluster: Cluster,
    objects: Objects,
    endpoints: u32,
    changed: u32,
}

impl Stage {
    /// Starts it and makes its objects.
    pub(crate) fn new(services: u32, endpoints: u32) -> anyhow::Result<Self> {
        let cluster = Cluster::start(2).context("starting a cluster")?;
        let objects = Objects::new(services, endpoints);
        let start = Instant::now();
        objects.create(cluster.api()?)?;
        eprintln!(
            "{services} Services × {endpoints} endpoints made through the API server in {:.1?}",
            start.elapsed()
        );
        Ok(Self {
            cluster,
            objects,
            endpoints,
            changed: 0,
        })
    }

    /// Runs a proxy in IPVS mode on a node.
    pub(crate) fn measure(
        &mut self,
        node: usize,
        proxy: Proxy,
        changes: u32,
    ) -> anyhow::Result<Figures> {
        let config = self.cluster.proxy_config(node)?.set("/mode", "ipvs");
        // No sync but those that something calls for.
        let config = config
            .set("/ipvs/minSyncPeriod", "0s")
            .set("/ipvs/syncPeriod", "1h");
        let config = self.cluster.write_proxy_config(node, &config)?;
        let mut kernel = Kernel::of(self.cluster.node(node).namespace().try_clone()?)?;
        let start = Instant::now();
        let mut agent = self.start(node, proxy, &config)?;
        self.first_sync(&mut agent, &mut kernel)?;
        let servers = start.elapsed();
        eprintln!("{proxy}: all servers and destinations after {servers:.2?}");
        let namespace = &self.cluster.node(node).namespace().try_clone()?;
        wait_synced(&mut agent, namespace)?;
        let whole = start.elapsed();
        eprintln!("{proxy}: first sync done after {whole:.2?}");
        sleep(REST);
        let mut times = Vec::new();
        let mut programs = Vec::new();
        for _ in 0..changes {
            let before = started()?;
            let time = self.change(&mut agent, &mut kernel)?;
            let more = started()? - before;
            eprintln!("{proxy}: one change after {time:.2?}, {more} programs");
            times.push(time.as_secs_f64() * 1e3);
            programs.push(more as f64);
            wait_synced(&mut agent, namespace)?;
        }
        sleep(REST);
        let memory = agent.memory()?;
        agent.terminate(Duration::from_secs(60))?;
        Ok(Figures {
            servers: servers.as_secs_f64() * 1e3,
            whole: whole.as_secs_f64() * 1e3,
            change: median(times.into_iter()),
            programs: median(programs.into_iter()),
            rest: memory.resident_kib as f64 / 1024.0,
            peak: memory.peak_kib as f64 / 1024.0,
        })
    }

    fn start(&self, node: usize, proxy: Proxy, config: &Path) -> anyhow::Result<Agent> {
        let node = self.cluster.node(node).namespace();
        Ok(match proxy {
            // The `iptables` that kube-proxy finds here, as on any machine without nf_tables.
            Proxy::Viprule => {
                let config = format!("--config={}", config.display());
                world::start(node, &["run", &config, "--iptables-backend=legacy"])?
            }
            Proxy::KubeProxy => proxy.start(node, config)?,
        })
    }

    /// Waits for all servers with all destinations.
    fn first_sync(&self, agent: &mut Agent, kernel: &mut Kernel) -> anyhow::Result<()> {
        let servers = self.objects.services as usize;
        let wanted = servers * self.endpoints as usize;
        let mut failed = None;
        let all_there = || {
            // Listing the servers is cheap; their destinations are counted once those are there.
            let there = kernel
                .servers()
                .and_then(|count| Ok(count >= servers && kernel.destinations()? >= wanted));
            match there {
                Ok(there) => {
                    if !there {
                        sleep(Duration::from_millis(200));
                    }
                    there
                }
                Err(error) => {
                    failed = Some(error);
                    true
                }
            }
        };
        agent.wait_until("all destinations in the kernel", PATIENCE, all_there)?;
        failed.map_or(Ok(()), Err)
    }

    /// Puts a new endpoint into the place of another and waits until it is in the kernel.
    fn change(&mut self, agent: &mut Agent, kernel: &mut Kernel) -> anyhow::Result<Duration> {
        let change = self.changed;
        self.changed += 1;
        // Another Service each time.
        let service = change.wrapping_mul(7919) % self.objects.services;
        let (server, to) = (Objects::cluster_ip(service), Objects::new_address(change));
        let patch = self.objects.change(service, to);
        let start = Instant::now();
        let api = self.cluster.api()?;
        api.patch::<EndpointSlice>(&Objects::slice_name(service), patch)?;
        wait_for(agent, kernel, server.into(), to.into())?;
        Ok(start.elapsed())
    }
}

fn wait_synced(agent: &mut Agent, node: &Namespace) -> anyhow::Result<()> {
    agent.wait_until("the end of a sync", PATIENCE, || {
        let done = has_synced(node);
        if !done {
            sleep(Duration::from_millis(200));
        }
        done
    })?;
    Ok(())
}

/// Whether what was queued last has been synced, of IPv4, as both proxies tell in their metrics. A
/// change is in the kernel before the sync that brings it ends.
fn has_synced(node: &Namespace) -> bool {
    let Ok((200, text)) = http_get(node, METRICS_PORT, "/metrics") else {
        return false;
    };
    let time = |name: &str| {
        let name =
            format!("kubeproxy_sync_proxy_rules_{name}_timestamp_seconds{{ip_family=\"IPv4\"}} ");
        let mut values = text.lines().filter_map(|line| line.strip_prefix(&name));
        values.find_map(|value| value.parse::<f64>().ok())
    };
    match (time("last"), time("last_queued")) {
        (Some(synced), Some(queued)) => synced > 0.0 && synced >= queued,
        _ => false,
    }
}

/// Programs and threads that were started on this machine so far (proc(5), `/proc/stat`).
fn started() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("processes "));
    Ok(line.context("/proc/stat counts processes")?.parse()?)
}

fn wait_for(
    agent: &mut Agent,
    kernel: &mut Kernel,
    server: IpAddr,
    to: IpAddr,
) -> anyhow::Result<()> {
    let mut failed = None;
    // Each look costs about 0.1 ms, and there are 5 ms between them.
    agent.wait_until("a change in the kernel", PATIENCE, || {
        kernel.leads_to(server, to).unwrap_or_else(|error| {
            failed = Some(error);
            true
        })
    })?;
    failed.map_or(Ok(()), Err)
}
