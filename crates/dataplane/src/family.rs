//! IP families as plans, netfilter and IPVS name them.

use viprule_service::model;

/// A plan's family in netfilter's messages.
pub const fn in_netfilter(family: model::Family) -> nfnetlink::Family {
    match family {
        model::Family::Ipv4 => nfnetlink::Family::Ipv4,
        model::Family::Ipv6 => nfnetlink::Family::Ipv6,
    }
}

/// The same the other way round.
pub const fn in_plans(family: nfnetlink::Family) -> model::Family {
    match family {
        nfnetlink::Family::Ipv4 => model::Family::Ipv4,
        nfnetlink::Family::Ipv6 => model::Family::Ipv6,
    }
}

/// A virtual server's family in netfilter's messages.
pub const fn of_ipvs(family: ipvs_netlink::Family) -> nfnetlink::Family {
    match family {
        ipvs_netlink::Family::Ipv4 => nfnetlink::Family::Ipv4,
        ipvs_netlink::Family::Ipv6 => nfnetlink::Family::Ipv6,
    }
}

/// Where values that differ by family have this one's.
pub(crate) const fn index(family: nfnetlink::Family) -> usize {
    match family {
        nfnetlink::Family::Ipv4 => 0,
        nfnetlink::Family::Ipv6 => 1,
    }
}
