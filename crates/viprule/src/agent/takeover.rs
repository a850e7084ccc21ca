//! What another proxy left in places that this one does not write.

use std::time::Duration;

use ipnet::IpNet;
use viprule_dataplane::Dataplane;
use viprule_dataplane::family::in_netfilter;
use viprule_dataplane::iptables::{self, Iptables};
use viprule_dataplane::ipvs::{self, Ipvs};
use viprule_service::model::{Family, Protocol};
use viprule_service::plan::{Budgets, FlowPlace, NodeFacts, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_sync::{Report, SyncError, Syncer, WriterFor};
use viprule_writer::backend::{Backend, HostWriter};
use viprule_writer::conntrack::Cleaner;
use viprule_writer::ipvs::{Former, IpvsWriter};
use viprule_writer::leavings::{self, Leaving, Removal};

use super::telemetry::Telemetry;
use crate::config::{Ipvs as Settings, ProxyMode};

/// When a removal that failed is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Removes all chains and rules of ours that a backend holds.
///
/// A chain that somebody else's rule leads to can't go; it is left empty.
pub fn remove_chains(writer: HostWriter) -> Result<Report, SyncError> {
    let dataplane = Iptables::new(iptables::Settings::default(), &NodeFacts::default());
    remove(dataplane, writer)
}

/// The same, and everything else that IPVS mode writes, connections or not, but for virtual servers
/// on `excluded` addresses.
pub fn remove_all(mut writer: IpvsWriter, excluded: &[IpNet]) -> Result<Report, SyncError> {
    writer.remove_at_once();
    let settings = ipvs::Settings {
        exclude_cidrs: excluded.to_vec(),
        ..ipvs::Settings::default()
    };
    let dataplane = Ipvs::new(settings, &NodeFacts::default());
    remove(dataplane, writer)
}

fn remove<D: Dataplane>(dataplane: D, writer: impl WriterFor<D>) -> Result<Report, SyncError> {
    let nobody = PlanConfig {
        node_name: String::new(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
    };
    Syncer::new(Tracker::new(nobody), dataplane, writer).remove_everything()
}

/// Removes an earlier proxy's leavings, once what takes their place is there.
#[derive(Debug)]
pub(super) struct Takeover {
    mode: ProxyMode,
    /// The other backend, where it holds chains of a service proxy.
    other_backend: Option<Backend>,
    drain_timeout: Option<Duration>,
    /// Virtual servers on these addresses stay.
    excluded: Vec<IpNet>,
    begun: bool,
    /// What IPVS mode left, while connections go through it.
    former: Option<Former>,
}

impl Takeover {
    /// This mode takes over; `other_backend` holds chains of a service proxy. Connections through
    /// IPVS mode's leavings may last as long as its settings say, which also exclude addresses.
    pub(super) fn new(mode: ProxyMode, other_backend: Option<Backend>, ipvs: &Settings) -> Self {
        Self {
            mode,
            other_backend,
            drain_timeout: ipvs.drain_timeout,
            excluded: ipvs.exclude_cidrs.clone(),
            begun: false,
            former: None,
        }
    }

    /// Connections through IPVS mode's leavings may last so long from now on.
    pub(super) fn set_drain_timeout(&mut self, limit: Option<Duration>) {
        if self.drain_timeout != limit {
            self.drain_timeout = limit;
            if let Some(former) = &mut self.former {
                former.set_drain_timeout(limit);
            }
        }
    }

    /// To be called after each successful sync, and when the answer says: it goes on until there is
    /// no answer. What can't be removed is told and left: it does no harm beside our rules. So is
    /// what belongs to an IP family that is not served.
    pub(super) fn go_on(
        &mut self,
        cleaner: Option<&Cleaner>,
        telemetry: &Telemetry,
    ) -> Option<Duration> {
        let mut gone = Vec::new();
        if !std::mem::replace(&mut self.begun, true) {
            gone = self.begin(telemetry);
        }
        let next = self.drain(cleaner, &mut gone);
        if !gone.is_empty() {
            let gone = gone.join(", ");
            tracing::info!("removed what an earlier proxy left: {gone}");
            telemetry.leavings_removed(&gone);
        }
        next
    }

    /// Removes what no connection needs.
    fn begin(&mut self, telemetry: &Telemetry) -> Vec<String> {
        let mut gone = Vec::new();
        if let Some(backend) = self.other_backend {
            // Each on its own: the host may have the programs of one only.
            for family in &telemetry.families {
                let name = family.as_str();
                match remove_of_family(backend, *family) {
                    Ok(0) => {}
                    Ok(objects) => gone.push(format!("{objects} {name} objects over {backend}")),
                    Err(error) => tracing::warn!(
                        "{name} chains of a service proxy over {backend} iptables stay: {error:#}"
                    ),
                }
            }
        }
        match leavings::remove_tables() {
            Ok(removal) => gone.extend(told(removal)),
            Err(error) => tracing::warn!("leavings of an earlier proxy stay: {error}"),
        }
        // In IPVS mode they are what it works with.
        if self.mode == ProxyMode::Iptables {
            match Former::find() {
                Ok(Some(mut former)) => {
                    former.spare(|ip| self.excluded.iter().any(|it| it.contains(ip)));
                    former.set_drain_timeout(self.drain_timeout);
                    self.former = Some(former);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!("what IPVS mode left stays: {error}"),
            }
        }
        gone
    }

    /// Removes what connections went through until now.
    fn drain(&mut self, cleaner: Option<&Cleaner>, gone: &mut Vec<String>) -> Option<Duration> {
        let former = self.former.as_mut()?;
        let progress = match former.drain() {
            Ok(progress) => progress,
            Err(error) => {
                tracing::warn!("what IPVS mode left stays for now: {error}");
                return Some(AGAIN);
            }
        };
        gone.extend(told(progress.removal));
        if let Some(cleaner) = cleaner {
            let udp = progress.udp.into_iter().map(FlowPlace::at);
            cleaner.removed(udp.map(|place| place.over(Protocol::Udp)));
        }
        if progress.next.is_none() {
            self.former = None;
        }
        progress.next
    }
}

/// What is gone, in a few words; what is not is logged.
fn told(removal: Removal) -> Vec<String> {
    for (leaving, why) in removal.left {
        tracing::warn!("{leaving} of an earlier proxy stays: {why}");
    }
    let (sets, others): (Vec<_>, Vec<_>) = removal
        .removed
        .into_iter()
        .partition(|leaving| matches!(leaving, Leaving::Set(_)));
    let mut gone: Vec<String> = others.iter().map(ToString::to_string).collect();
    if !sets.is_empty() {
        gone.push(format!("{} IP sets", sets.len()));
    }
    gone
}

/// How many objects were removed.
fn remove_of_family(backend: Backend, family: Family) -> anyhow::Result<usize> {
    let writer = HostWriter::open(backend, &[in_netfilter(family)])?;
    Ok(remove_chains(writer)?.removed)
}
