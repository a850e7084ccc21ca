//! Names of schedulers' flags.

use crate::{Scheduler, ServerFlags};

const PLAIN: [(ServerFlags, &str); 3] = [
    (ServerFlags::SCHED_1, "flag-1"),
    (ServerFlags::SCHED_2, "flag-2"),
    (ServerFlags::SCHED_3, "flag-3"),
];

/// The scheduler that a name belongs to, too.
const OWN: [(ServerFlags, Scheduler, &str); 4] = [
    (ServerFlags::FALLBACK, Scheduler::SH, "sh-fallback"),
    (ServerFlags::HASH_PORT, Scheduler::SH, "sh-port"),
    (ServerFlags::FALLBACK, Scheduler::MH, "mh-fallback"),
    (ServerFlags::HASH_PORT, Scheduler::MH, "mh-port"),
];

impl ServerFlags {
    /// The names of this scheduler's flags among these, as `ipvsadm` prints them.
    pub fn scheduler_flags(self, scheduler: Scheduler) -> impl Iterator<Item = &'static str> {
        PLAIN
            .into_iter()
            .filter(move |(flag, _)| self.contains(*flag))
            .map(move |(flag, plain)| {
                OWN.into_iter()
                    .find(|(own, of, _)| *own == flag && *of == scheduler)
                    .map_or(plain, |(_, _, name)| name)
            })
    }

    /// The flag of this name; `None` where this scheduler has no such flag. `flag-1` to `flag-3`
    /// every scheduler has.
    pub fn scheduler_flag(name: &str, scheduler: Scheduler) -> Option<Self> {
        let plain = PLAIN.into_iter().find(|(_, plain)| *plain == name);
        let own = || {
            OWN.into_iter()
                .find(|(_, of, own)| *own == name && *of == scheduler)
        };
        plain
            .map(|(flag, _)| flag)
            .or_else(|| own().map(|(flag, _, _)| flag))
    }
}
