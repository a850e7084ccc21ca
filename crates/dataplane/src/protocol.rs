//! Transport protocols as plans and as IPVS name them.

use viprule_service::model;

/// A plan's protocol in IPVS' messages.
pub const fn in_ipvs(protocol: model::Protocol) -> ipvs_netlink::Protocol {
    match protocol {
        model::Protocol::Tcp => ipvs_netlink::Protocol::Tcp,
        model::Protocol::Udp => ipvs_netlink::Protocol::Udp,
        model::Protocol::Sctp => ipvs_netlink::Protocol::Sctp,
    }
}
