//! `viprule cleanup`

use std::net::IpAddr;

use ipnet::IpNet;
use nfnetlink::Family;
use viprule_dataplane::{Scope, State, diff, ipvs, netfilter};
use viprule_sync::Report;
use viprule_writer::backend::{Choice, HostWriter, choose};
use viprule_writer::ipvs::IpvsWriter;
use viprule_writer::leavings::{self, Leaving};
use viprule_writer::netfilter::remove_counters;
use viprule_writer::{WriteError, Writer};

use super::changes::Changes;
use super::{apply, exit, print};
use crate::agent::{remove_all, remove_chains};
use crate::config::Output;

/// Remove everything that is ours from the kernel
///
/// Ours is what kube-proxy writes in any mode, whether kube-proxy or viprule wrote it: chains in
/// nf_tables and in legacy tables, IP sets, virtual servers on our addresses, tables of nftables
/// mode. Connections through virtual servers end. Foreign chains, rules, tables and virtual servers
/// stay, and so does KUBE-FIREWALL, which kubelet uses too. What can't be removed is told, and the
/// rest is removed all the same.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Args {
    /// Only print what would be removed
    #[arg(long)]
    dry_run: bool,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    /// Networks whose virtual servers stay
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    ipvs_exclude_cidrs: Vec<IpNet>,
}

impl Args {
    /// For the agent's flag, which prints the rest as text.
    pub(super) fn sparing(ipvs_exclude_cidrs: Vec<IpNet>) -> Self {
        Self {
            ipvs_exclude_cidrs,
            ..Self::default()
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let kernel = Kernel::look(args.ipvs_exclude_cidrs.clone())?;
    if args.dry_run {
        return kernel.show(args.output);
    }
    let (report, failed) = kernel.clean();
    for failure in &failed {
        print::note(failure);
    }
    match args.output {
        Output::Text => print::text(&apply::describe(&Report {
            // All of it belongs to nobody any more.
            touched: Vec::new(),
            ..report.clone()
        }))?,
        Output::Json => print::json(&report)?,
    }
    Ok(if report.refused.is_empty() && failed.is_empty() {
        exit::OK
    } else {
        exit::ERROR
    })
}

/// What there is to clean.
struct Kernel {
    choice: Choice,
    /// Something of IPVS mode is there.
    ipvs: bool,
    /// Virtual servers on these addresses stay.
    excluded: Vec<IpNet>,
}

/// Who removes what is in the node's own iptables.
enum Own {
    /// Chains alone.
    Chains(Box<HostWriter>),
    /// Chains, and the rest of IPVS mode.
    All(Box<IpvsWriter>),
}

impl Kernel {
    fn look(excluded: Vec<IpNet>) -> anyhow::Result<Self> {
        let found = leavings::find()?;
        Ok(Self {
            choice: choose(None)?,
            // A module that is not loaded has nothing, and stays so.
            ipvs: found.iter().any(|it| !matches!(it, Leaving::Table(_))),
            excluded,
        })
    }

    /// The other iptables, where it holds chains of ours too. Its rules may use what IPVS mode has,
    /// so they go first.
    fn other(&self) -> Option<Result<HostWriter, WriteError>> {
        let other = self.choice.backend.other();
        let leftovers = self.choice.leftovers;
        leftovers.then(|| HostWriter::open(other, &Family::ALL))
    }

    fn own(&self) -> Result<Own, WriteError> {
        let backend = self.choice.backend;
        if self.ipvs {
            match IpvsWriter::open(backend, &Family::ALL) {
                Ok(writer) => return Ok(Own::All(Box::new(writer))),
                // Sets and the link can be there without it.
                Err(error) => tracing::debug!("without IPVS: {error}"),
            }
        }
        let writer = HostWriter::open(backend, &Family::ALL)?;
        Ok(Own::Chains(Box::new(writer)))
    }

    fn is_excluded(&self, ip: &IpAddr) -> bool {
        self.excluded.iter().any(|it| it.contains(ip))
    }

    /// Returns what was done, and what failed.
    fn clean(&self) -> (Report, Vec<String>) {
        let mut done = Done::default();
        if let Some(other) = self.other() {
            done.step("the other iptables", || Ok(remove_chains(other?)?));
        }
        done.step("this node's iptables and IPVS", || match self.own()? {
            Own::Chains(writer) => Ok(remove_chains(*writer)?),
            Own::All(writer) => Ok(remove_all(*writer, &self.excluded)?),
        });
        remove_counters();
        match leavings::remove(|ip| self.is_excluded(ip)) {
            Ok(removal) => {
                let removed = removal.removed.iter().map(ToString::to_string);
                done.report.leavings.extend(removed);
                let left = removal.left.iter();
                let left = left.map(|(leaving, why)| format!("{leaving}: {why}"));
                done.refused.extend(left);
            }
            Err(error) => done
                .failed
                .push(format!("leavings of other modes: {error}")),
        }
        done.report.refused = done.refused;
        (done.report, done.failed)
    }

    fn show(&self, output: Output) -> anyhow::Result<u8> {
        let mut chains = netfilter::Desired::default();
        if let Some(other) = self.other() {
            chains = other?.observe(&Scope::Everything)?;
        }
        let mut all = ipvs::Desired::default();
        match self.own()? {
            Own::Chains(mut writer) => {
                chains = chains.merged(writer.observe(&Scope::Everything)?);
            }
            Own::All(mut writer) => {
                let found: ipvs::Desired = writer.observe(&Scope::Everything)?;
                all = found.filter(|key| match key {
                    ipvs::Key::Server(server) | ipvs::Key::Destination { server, .. } => {
                        let at = server.address();
                        !at.is_some_and(|ip| self.is_excluded(&ip))
                    }
                    _ => true,
                });
            }
        }
        let of_all = |it: &Leaving| !all.is_empty() && !matches!(it, Leaving::Table(_));
        let found = leavings::find()?.into_iter();
        let leavings = found.filter(|it| !of_all(it)).map(|it| it.to_string());
        let leavings = leavings.collect();
        let changes = if all.is_empty() {
            Changes::of_chains(&diff(&chains, &State::default()))
        } else {
            let wrap = |(key, object)| {
                let key = ipvs::Key::Netfilter(key);
                (key, ipvs::Object::Netfilter(object))
            };
            let all = all.merged(chains.into_iter().map(wrap).collect());
            Changes::of_ipvs(&diff(&all, &ipvs::Desired::default()))
        };
        let changes = changes.with_leavings(leavings);
        match output {
            Output::Text => print::text(&changes.to_text("kernel", "nothing"))?,
            Output::Json => print::json(&changes)?,
        }
        Ok(exit::OK)
    }
}

/// What was done so far. No step keeps the next one from being made.
#[derive(Default)]
struct Done {
    report: Report,
    refused: Vec<String>,
    failed: Vec<String>,
}

impl Done {
    fn step(&mut self, what: &str, step: impl FnOnce() -> anyhow::Result<Report>) {
        match step() {
            Ok(mut report) => {
                self.refused.append(&mut report.refused);
                self.report.join(report);
            }
            Err(error) => self.failed.push(format!("{what}: {error:#}")),
        }
    }
}
