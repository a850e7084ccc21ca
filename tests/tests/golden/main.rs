//! `tests/golden/CASE/`: manifests, perhaps `flags`, and what comes out; and in `cluster` what
//! kube-proxy made of a whole cluster.
//!
//! What is said of every mode is said once, of any [`mode::Mode`]. A mode has a file: what its text
//! consists of, and what only it promises. The table here says which modes there are.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod cases;
mod iptables;
mod ipvs;
mod kube_proxy;
mod mode;

/// What holds in any mode.
mod every_mode {
    viprule_testkit::suite! {
        modes: {
            iptables: crate::iptables::Iptables,
            ipvs: crate::ipvs::Ipvs,
        }
        properties: {
            cases::every_case_prints_what_it_should,
            cases::cases_can_be_reviewed,
            kube_proxy::lines_are_kube_proxys,
            kube_proxy::chains_are_kube_proxys_in_its_order,
            kube_proxy::dumps_are_read_as_what_we_want,
            kube_proxy::render_prints_what_is_compared,
            kube_proxy::what_is_printed_reads_back_as_it_was,
        }
    }
}
