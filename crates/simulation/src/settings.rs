//! The agent's configuration.

use std::time::Duration;

use clap::{Args as _, Command, FromArgMatches as _};
use viprule::config::{AgentArgs, Effective, Flags, SharedArgs};
use viprule_testkit::chance::Chance;
use viprule_writer::netfilter::Support;

use crate::cluster::NODE;

/// What the kernel has.
pub(crate) const SUPPORT: Support = Support {
    ipv6: true,
    nfacct: false,
    be_liberal: false,
};

/// The defaults of a mode, but for settings of the machine.
pub(crate) fn usual(mode: &str) -> anyhow::Result<Effective> {
    let words = [
        &format!("--hostname-override={NODE}") as &str,
        &format!("--proxy-mode={mode}"),
        "--iptables-localhost-nodeports=false",
    ];
    let command = Command::new("run");
    let command = AgentArgs::augment_args(SharedArgs::augment_args(command));
    let matches = command.try_get_matches_from(["run"].iter().chain(&words))?;
    let given = words.iter().filter_map(|word| word.strip_prefix("--"));
    let given = given.filter_map(|word| word.split('=').next());
    let flags = Flags {
        shared: SharedArgs::from_arg_matches(&matches)?,
        agent: Some(AgentArgs::from_arg_matches(&matches)?),
        given: given.map(str::to_owned).collect(),
    };
    Ok(Effective::load(&flags)?)
}

/// Changes something that a reload may change.
pub(crate) fn change(effective: &mut Effective, chance: &mut Chance) -> String {
    let resolved = &mut effective.resolved;
    match chance.below(3) {
        0 => {
            let all = &mut resolved.common.masquerade_all;
            *all = !*all;
            format!("masqueradeAll is {all}")
        }
        1 => {
            let min = Duration::from_millis(chance.within(0..2000));
            resolved.sync.min = min;
            format!("minSyncPeriod is {min:?}")
        }
        _ => {
            let period = Duration::from_secs(chance.within(5..60));
            resolved.sync.period = period;
            format!("syncPeriod is {period:?}")
        }
    }
}
