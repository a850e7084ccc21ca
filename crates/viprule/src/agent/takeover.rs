//! What another proxy left in places that this one does not write.

use viprule_dataplane::family::in_netfilter;
use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_service::model::Family;
use viprule_service::plan::{NodeFacts, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_writer::backend::{Backend, HostWriter};
use viprule_writer::leavings::{self, Removal};

use super::telemetry::Telemetry;
use super::{Report, SyncError, Syncer};
use crate::health::family_name;

/// Removes all chains and rules of ours that a backend holds.
///
/// A chain that somebody else's rule leads to can't go; it is left empty.
pub fn remove_everything(writer: HostWriter) -> Result<Report, SyncError> {
    let nobody = PlanConfig {
        node_name: String::new(),
        bind_address: None,
        allow_external_ips: true,
    };
    let dataplane = Iptables::new(Settings::default(), &NodeFacts::default());
    Syncer::new(Tracker::new(nobody), dataplane, writer).remove_everything()
}

/// Removes an earlier proxy's leavings, once what takes their place is there.
#[derive(Debug, Default)]
pub(super) struct Takeover {
    /// The other backend, where it holds chains of a service proxy.
    other_backend: Option<Backend>,
    done: bool,
}

impl Takeover {
    /// `other_backend` holds chains of a service proxy.
    pub(super) fn new(other_backend: Option<Backend>) -> Self {
        Self {
            other_backend,
            done: false,
        }
    }

    /// To be called after each successful sync; does its work after the first. What can't be
    /// removed is told and left: it does no harm beside our rules. So is what belongs to an IP
    /// family that is not served.
    pub(super) fn complete(&mut self, telemetry: &Telemetry) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let mut gone = Vec::new();
        if let Some(backend) = self.other_backend {
            // Each on its own: the host may have the programs of one only.
            for family in &telemetry.families {
                let name = family_name(*family);
                match remove_chains(backend, *family) {
                    Ok(0) => {}
                    Ok(objects) => gone.push(format!("{objects} {name} objects over {backend}")),
                    Err(error) => tracing::warn!(
                        "{name} chains of a service proxy over {backend} iptables stay: {error:#}"
                    ),
                }
            }
        }
        match leavings::find().and_then(leavings::remove) {
            Ok(Removal { removed, left }) => {
                for (leaving, why) in left {
                    tracing::warn!("{leaving} of an earlier proxy stays: {why}");
                }
                gone.extend(removed.iter().map(ToString::to_string));
            }
            Err(error) => tracing::warn!("leavings of an earlier proxy stay: {error}"),
        }
        if !gone.is_empty() {
            let gone = gone.join(", ");
            tracing::info!("removed what an earlier proxy left: {gone}");
            telemetry.leavings_removed(&gone);
        }
    }
}

/// How many objects were removed.
fn remove_chains(backend: Backend, family: Family) -> anyhow::Result<usize> {
    let writer = HostWriter::open(backend, &[in_netfilter(family)])?;
    Ok(remove_everything(writer)?.removed)
}
