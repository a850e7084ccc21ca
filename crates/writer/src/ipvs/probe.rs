//! What this kernel has.

use std::io;
use std::process::{Command, Stdio};

use ipvs_netlink::{Error, Ipvs, Scheduler};
use netlink_batch::Socket;
use nfnetlink::Family;

use super::servers::{PART, unusable};
use super::sets;
use crate::backend::Backend;
use crate::backend::compat::{self, Compat};
use crate::{WriteError, socket};

const OPERATION: &str = "looking for what IPVS mode needs";
/// Matches that rules of IPVS mode are made of, with their revisions.
const MATCHES: [(&str, u32); 1] = [("set", 4)];

/// Looks whether this kernel has what IPVS mode needs: IPVS itself with this scheduler, IP sets,
/// and rules that match on them. Changes nothing, but for modules that are loaded.
///
/// The error says what is missing (contract 3.1).
pub fn probe(backend: Backend, scheduler: &Scheduler) -> Result<(), WriteError> {
    let mut ipvs = open()?;
    if !has_scheduler(&mut ipvs, scheduler)? {
        return Err(WriteError::Missing {
            operation: OPERATION.to_owned(),
            part: format!("the IPVS scheduler {scheduler} (modprobe ip_vs_{scheduler})"),
        });
    }
    let mut socket = socket::netfilter()?;
    sets::probe(&mut socket)?;
    // iptables itself says what it lacks.
    if backend == Backend::Nft {
        for (name, revision) in MATCHES {
            has_match(&mut socket, name, revision)?;
        }
    }
    Ok(())
}

/// True where the kernel has this scheduler or can load its module. It is not asked for one that is
/// none of Linux': it would load any module of such a name.
pub(super) fn has_scheduler(ipvs: &mut Ipvs, scheduler: &Scheduler) -> Result<bool, WriteError> {
    if !scheduler.is_linux() {
        return Ok(false);
    }
    ipvs.has_scheduler(scheduler)
        .map_err(|error| WriteError::of(OPERATION, error, PART))
}

fn has_match(socket: &mut Socket, name: &str, revision: u32) -> Result<(), WriteError> {
    let part = match compat::ask(socket, Family::Ipv4, name, revision) {
        Ok(Compat::Match) => return Ok(()),
        Ok(Compat::NoMatch) => {
            let option = name.to_uppercase();
            format!("rules with -m {name} (CONFIG_NETFILTER_XT_{option}; modprobe xt_{name})")
        }
        Ok(Compat::Nothing) => "iptables rules in nf_tables (CONFIG_NFT_COMPAT)".to_owned(),
        Err(error) => return Err(WriteError::netlink(OPERATION, error)),
    };
    Err(WriteError::Missing {
        operation: OPERATION.to_owned(),
        part,
    })
}

/// Opens IPVS. Its module is loaded where it is not and this machine has a program for that.
pub(super) fn open() -> Result<Ipvs, WriteError> {
    match Ipvs::open() {
        Err(Error::NotSupported) if load_module().is_ok() => Ipvs::open(),
        result => result,
    }
    .map_err(unusable)
}

/// Loads the module `ip_vs` with the host's program, as kube-proxy does (contract 3.1).
pub fn load_module() -> io::Result<()> {
    let mut modprobe = Command::new("modprobe");
    modprobe.args(["-a", "ip_vs"]).stdin(Stdio::null());
    let output = modprobe.output()?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(words))
}
