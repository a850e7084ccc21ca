//! iptables mode.

mod contract;
mod mutations;
mod refusals;

pub(crate) use mutations::with_rules;

use proptest::prelude::*;
use viprule_dataplane::CommonSettings;
use viprule_dataplane::iptables::{self, Settings};
use viprule_dataplane::netfilter::{Desired, parse_save};
use viprule_dataplane::ownership::Layout;
use viprule_service::plan::NodeFacts;
use viprule_testkit::golden;
use viprule_testkit::semantics::{self, Cluster};
use viprule_testkit::walker::iptables::{Unordered, Walker};
use viprule_testkit::walker::{Host, Walk, WalkError};
use viprule_writer::netfilter::NftWriter;

use crate::mode::{Dumped, Mode, Statement, Written};

/// iptables mode.
pub(crate) struct Iptables;

impl Mode for Iptables {
    type Dataplane = iptables::Iptables;

    const STATEMENT: Statement = semantics::expected;
    const CLUSTERS: u32 = 1000;
    /// Endpoints are equals here.
    const NEVER: &'static [&'static str] = &["balanced by weight"];

    fn unnoticed() -> BoxedStrategy<Settings> {
        let parts = any::<(bool, bool)>();
        let settings = parts.prop_map(|(nfacct, drop_invalid)| Settings {
            nfacct,
            drop_invalid,
            ..Settings::default()
        });
        settings.boxed()
    }

    fn settings(
        unnoticed: &Settings,
        common: CommonSettings,
        noticed: &semantics::Settings,
    ) -> Settings {
        Settings {
            common,
            localhost_node_ports: noticed.localhost_node_ports,
            ..unnoticed.clone()
        }
    }

    fn dataplane(settings: Settings, facts: &NodeFacts) -> iptables::Iptables {
        iptables::Iptables::new(settings, facts)
    }

    fn host(cluster: &Cluster, settings: &semantics::Settings) -> Host {
        cluster.host(settings)
    }

    fn walker<'s>(
        state: &'s Desired,
        host: &'s Host,
        order: Unordered,
    ) -> Result<Box<dyn Walk + 's>, WalkError> {
        Ok(Box::new(Walker::new(state, host, order)?))
    }
}

impl Dumped for Iptables {
    fn kube_proxys() -> Desired {
        let dumps = nfnetlink::Family::ALL.into_iter().zip(golden::IPTABLES);
        let states = dumps.map(|(family, dump)| -> Desired {
            parse_save(Layout::Iptables, family, dump).expect("iptables-save output")
        });
        states.flatten().collect()
    }
}

impl Written for Iptables {
    type Writer = NftWriter;

    fn writer() -> NftWriter {
        NftWriter::open(&nfnetlink::Family::ALL).expect("opened")
    }
}
