//! nftables mode, which this build does not have: what kube-proxy left, or we did, and its section of the
//! configuration.

use viprule_sync::Report;
use viprule_writer::leftovers::{self, Leftover, TableOf};

use super::leftovers::{Failed, Found, Leftovers, Progress};
use super::{Failures, ModeMetrics};
use crate::config::GoDuration;
use crate::config::fields::fields;

/// What kube-proxy serves in it.
pub const METRICS: ModeMetrics = ModeMetrics {
    rules: false,
    failures: Failures::Transactions,
    nfacct: false,
    draining: false,
};

fields! {
    /// `nftables` of kube-proxy's configuration (contract 8)
    pub struct Configuration {
        /// The bit of the packet mark that asks for masquerading, 0 to 31.
        pub masquerade_bit: Option<i32> = "masqueradeBit",
        /// Masquerade all traffic to cluster IPs.
        pub masquerade_all: bool = "masqueradeAll",
        /// How often the kernel is checked without any change being known.
        pub sync_period: GoDuration = "syncPeriod",
        /// How long to wait between the end of one sync and the next.
        pub min_sync_period: GoDuration = "minSyncPeriod",
    }
}

/// Tables of it, which nobody else uses.
pub(super) fn leftovers() -> Option<Found> {
    match leftovers::tables(&TableOf::ALL) {
        Ok(tables) if tables.is_empty() => None,
        Ok(tables) => Some(Ok(Box::new(Tables(tables)))),
        Err(error) => Some(Err(Failed {
            what: NAME.to_owned(),
            source: error.into(),
        })),
    }
}

const NAME: &str = "tables of nftables mode";

/// The tables, with all that is in them.
#[derive(Debug)]
struct Tables(Vec<Leftover>);

impl Leftovers for Tables {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn lines(&mut self) -> anyhow::Result<Vec<String>> {
        Ok(self.0.iter().map(ToString::to_string).collect())
    }

    fn drain(&mut self) -> anyhow::Result<Progress> {
        let report = self.remove()?;
        Ok(Progress {
            gone: report.leftovers,
            left: report.refused,
            ..Progress::default()
        })
    }

    fn remove(&mut self) -> anyhow::Result<Report> {
        Ok(super::leftovers::told(leftovers::remove_tables(&TableOf::ALL)?))
    }
}
