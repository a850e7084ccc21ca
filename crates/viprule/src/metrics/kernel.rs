//! Packets that rules counted, read from the kernel when somebody asks.

use netlink_batch::Socket;
use nfnetlink::nfacct;
use prometheus::Registry;
use viprule_dataplane::netfilter::counter::{INVALID_DROPPED, LOCALHOST_NODEPORTS};

use super::collect::{self, Kind, Metric};

const METRICS: &[Metric] = &[
    Metric {
        name: "kubeproxy_iptables_ct_state_invalid_dropped_packets_total",
        help: "[ALPHA] packets dropped by iptables to work around conntrack problems",
        kind: Kind::Counter,
    },
    Metric {
        name: "kubeproxy_iptables_localhost_nodeports_accepted_packets_total",
        help: "[ALPHA] Number of packets accepted on nodeports of loopback interface",
        kind: Kind::Counter,
    },
];

pub(super) fn register(registry: &Registry) -> Result<(), prometheus::Error> {
    collect::register(registry, METRICS, packets)
}

/// Of the network namespace of the thread that asks.
fn packets() -> Vec<Option<f64>> {
    const NETLINK_NETFILTER: isize = 12;
    let mut socket = match Socket::open(NETLINK_NETFILTER) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!("reading packet counters: {error}");
            return Vec::new();
        }
    };
    let read = |name| match nfacct::get(&mut socket, name) {
        Ok(counter) => counter.map(|counter| as_value(counter.packets)),
        Err(error) => {
            tracing::warn!("reading packet counters: {error}");
            None
        }
    };
    [INVALID_DROPPED, LOCALHOST_NODEPORTS].map(read).to_vec()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus' values are floating point"
)]
const fn as_value(packets: u64) -> f64 {
    packets as f64
}
