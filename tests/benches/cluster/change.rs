//! From the API write of an endpoint change to the rule in the kernel.

use crate::Options;
use anyhow::{Context as _, bail};
use netlink_batch::Socket;
use netlink_batch::socket::NETFILTER;
use nfnetlink::nftables::{Change, Event, GROUP, Object};
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};
use viprule_testkit::Namespace;
use viprule_testkit::cluster::Cluster;
use viprule_testkit::cluster::k8s_openapi::api::discovery::v1::EndpointSlice;
use viprule_tests::figures::objects::Objects;

/// How long changes may take after the last one was written.
const PATIENCE: Duration = Duration::from_secs(60);

/// Notifications that may wait to be read, bytes.
const BUFFER: usize = 256 << 20;

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// How long the API server took to answer each write.
    pub(crate) writes: Vec<Duration>,
    /// For each node, from before each write to the commit that brought it. A change that a later
    /// one of the same Service overtook isn't possible: each takes another Service.
    pub(crate) nodes: Vec<Vec<Duration>>,
}

/// When each new address was first seen in a rule.
type Seen = HashMap<Ipv4Addr, Instant>;

/// Listens to a node's rule set.
#[derive(Debug)]
struct Listener {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Seen>>,
}

/// Writes changes at the wanted rate and waits until every node has all of them.
pub(crate) fn measure(
    cluster: &Cluster,
    objects: &Objects,
    options: &Options,
) -> anyhow::Result<Changes> {
    let nodes = cluster.network().nodes().iter();
    let listeners = nodes
        .map(|node| Listener::start(node.namespace(), options.changes))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let api = cluster.api()?;
    let mut changes = Changes::default();
    let mut begun = Vec::new();
    let start = Instant::now();
    for change in 0..options.changes {
        let due = Duration::from_secs(1) * change / options.rate.max(1);
        sleep(due.saturating_sub(start.elapsed()));
        // Spread over all Services, each at most once.
        let service = u32::try_from(
            u64::from(change) * u64::from(objects.services) / u64::from(options.changes.max(1)),
        )?;
        let patch = objects.change(service, Objects::new_address(change));
        let now = Instant::now();
        api.patch::<EndpointSlice>(&Objects::slice_name(service), patch)?;
        changes.writes.push(now.elapsed());
        begun.push(now);
    }
    sleep(Duration::from_millis(500));
    let wait = Instant::now();
    while listeners.iter().any(|it| !it.thread.is_finished()) && wait.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50));
    }
    for (node, listener) in listeners.into_iter().enumerate() {
        let seen = listener.stop()?;
        let times = begun.iter().zip(0..).map(|(begun, change)| {
            let address = Objects::new_address(change);
            let seen = seen.get(&address).with_context(|| {
                format!("endpoint {address} didn't reach node-{node} within {PATIENCE:?}")
            })?;
            Ok(seen.saturating_duration_since(*begun))
        });
        changes
            .nodes
            .push(times.collect::<anyhow::Result<Vec<_>>>()?);
    }
    Ok(changes)
}

impl Listener {
    fn start(namespace: &Namespace, changes: u32) -> anyhow::Result<Self> {
        let namespace = namespace.try_clone()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (ready, started) = mpsc::channel();
        let listen = move || {
            namespace.enter_thread()?;
            let mut socket = Socket::open(NETFILTER)?;
            // kube-proxy writes its dispatch chains anew with every change.
            setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
            socket.join(GROUP)?;
            ready.send(())?;
            listen(&mut socket, changes, &stopped)
        };
        let thread = thread::Builder::new()
            .name("rule listener".to_owned())
            .spawn(listen)?;
        // Without an answer it has failed, which stop() tells.
        let _ = started.recv();
        Ok(Self { stop, thread })
    }

    fn stop(self) -> anyhow::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(seen) => seen,
            Err(_) => bail!("the rule listener panicked"),
        }
    }
}

/// Until all changes were seen.
fn listen(socket: &mut Socket, changes: u32, stop: &AtomicBool) -> anyhow::Result<Seen> {
    let first = u32::from(Objects::new_address(0));
    let mut seen = Seen::new();
    while seen.len() < changes as usize && !stop.load(Ordering::Relaxed) {
        socket.receive(Some(Duration::from_millis(100)), |message| {
            let now = Instant::now();
            let is_new_rule = matches!(
                Event::read(&message),
                Ok(Some(Event {
                    change: Change::New,
                    object: Object::Rule { .. },
                    ..
                }))
            );
            if !is_new_rule {
                return;
            }
            // The address is in the match of its source and in the target's range, as four bytes.
            for bytes in message.payload.windows(4).step_by(4) {
                let number = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                if (first..first + changes).contains(&number) {
                    seen.entry(number.into()).or_insert(now);
                }
            }
        })?;
    }
    Ok(seen)
}
