//! Settings of the node that iptables mode's rules rely on.

use viprule_dataplane::iptables::Options;
use viprule_writer::host::{self, Host, Outcome};
use viprule_writer::{WriteError, sysctl};

/// Packets with loopback destinations are routed.
const ROUTE_LOCALNET: &str = "net/ipv4/conf/all/route_localnet";

/// Lets packets with loopback destinations be routed, which node ports on 127.0.0.1 need
/// (contract 2.11). Never taken back, as others may rely on it by then.
pub(super) fn ensure(options: &Options) -> Result<(), WriteError> {
    if options.localhost_node_ports && sysctl::ensure(ROUTE_LOCALNET, "1")? {
        tracing::info!(
            setting = ROUTE_LOCALNET,
            value = 1,
            "set for node ports on loopback"
        );
    }
    Ok(())
}

/// The same, looked at again.
pub(super) fn look_again(options: &Options) -> Outcome {
    if options.localhost_node_ports {
        Host::default().make(ROUTE_LOCALNET, 1)
    } else {
        Outcome::default()
    }
}

/// Keeps the file open for the time when no other one can be opened for writing.
pub(super) fn hold() {
    host::hold(&[ROUTE_LOCALNET]);
}
