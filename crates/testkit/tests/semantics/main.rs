//! Rendered dataplanes do with packets what Kubernetes says: for generated clusters, for the tables
//! of the kube-proxy contract, and for what kube-proxy itself wrote. And the comparison notices
//! when they don't.
//!
//! What is said of every mode is said once, of any [`mode::Mode`]. A mode has a folder: its
//! walker, what it understands otherwise, and what only it has. The tables here say which tests are
//! run of which mode.

#![expect(clippy::panic, reason = "helpers of tests fail as tests do")]

mod agreement;
mod contract;
mod generated;
mod golden;
mod iptables;
mod ipvs;
mod memory;
mod mode;
mod mutations;
mod nftables;
mod world;

/// What holds in any mode.
mod every_mode {
    viprule_testkit::suite! {
        modes: {
            iptables: crate::iptables::Iptables,
            ipvs: crate::ipvs::Ipvs,
            nftables: crate::nftables::Nftables,
        }
        properties: {
            generated::what_is_rendered_means_what_kubernetes_says,
            generated::generated_packets_meet_everything,
            golden::what_we_want_there_means_the_same,
            mutations::the_state_is_right_before_it_is_spoiled,
            mutations::both_families_are_asked,
            mutations::every_rule_left_out_is_noticed,
            mutations::swapped_rules_are_noticed,
        }
    }
}

/// Modes in which we write what kube-proxy writes.
mod beside_kube_proxy {
    viprule_testkit::suite! {
        modes: {
            iptables: crate::iptables::Iptables,
            ipvs: crate::ipvs::Ipvs,
        }
        properties: {
            golden::what_kube_proxy_wrote_means_the_same,
        }
    }
}

/// Modes whose objects the kernel in memory takes.
mod written {
    viprule_testkit::suite! {
        modes: {
            iptables: crate::iptables::Iptables,
            ipvs: crate::ipvs::Ipvs,
        }
        properties: {
            memory::the_kernel_gets_what_is_wanted,
        }
    }
}

/// Modes that do what the tables of contract 1.7 say.
mod tables {
    viprule_testkit::suite! {
        modes: {
            iptables: crate::iptables::Iptables,
            nftables: crate::nftables::Nftables,
        }
        properties: {
            contract::masquerade_table,
            contract::without_a_detector_pods_are_not_told_from_others,
            contract::masquerade_all_hides_every_client_of_cluster_ips,
            contract::an_endpoint_that_reaches_itself_is_always_masqueraded,
            contract::ready_endpoints_come_before_terminating_ones,
            contract::a_remote_terminating_endpoint_serves_cluster_traffic_only,
            contract::endpoints_that_do_not_serve_are_none,
        }
    }
}
