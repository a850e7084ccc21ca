//! Kernel settings that rules rely on.

use viprule_dataplane::iptables::Options;
use viprule_writer::{WriteError, sysctl};

/// Lets packets with loopback destinations be routed, which node ports on 127.0.0.1 need
/// (contract 2.11). Never taken back, as others may rely on it by then.
pub fn ensure(options: &Options) -> Result<(), WriteError> {
    const ROUTE_LOCALNET: &str = "net/ipv4/conf/all/route_localnet";
    if options.localhost_node_ports && sysctl::ensure(ROUTE_LOCALNET, "1")? {
        tracing::info!(
            setting = ROUTE_LOCALNET,
            value = 1,
            "set for node ports on loopback"
        );
    }
    Ok(())
}
