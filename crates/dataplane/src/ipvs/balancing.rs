//! Which scheduler a Service gets.

use ipvs_netlink::{Scheduler, ServerFlags};
use viprule_service::model::SchedulerFlags;
use viprule_service::plan::SchedulerWish;

use super::settings::Options;

/// What Services ask for a scheduler with.
const ANNOTATION: &str = "ipvs.viprule.dev/scheduler";

/// The scheduler of a Service's virtual servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Balancing {
    pub(super) scheduler: Scheduler,
    pub(super) flags: ServerFlags,
    /// What of the wish can't be had, for whoever made the Service.
    pub(super) objection: Option<String>,
}

/// The scheduler and its flags: the Service's own, or what kube-proxy does.
///
/// One that Linux does not have is never asked for: the kernel would load whatever module has such
/// a name. One that this kernel lacks would be refused with all of the Service.
pub(super) fn balancing(wish: Option<&SchedulerWish>, options: &Options) -> Balancing {
    let name = wish.and_then(|wish| wish.name.as_ref());
    let named = name.map(|name| {
        let name = name.as_str();
        match name.parse::<Scheduler>() {
            Ok(it) if !it.is_linux() => Err(format!(
                "scheduler {name} is none that Linux has ({})",
                Scheduler::linux_names()
            )),
            Err(error) => Err(error.to_string()),
            Ok(it) if !options.has(it) => Err(format!(
                "this kernel has no scheduler {name}, or can't load its module ip_vs_{name}"
            )),
            Ok(it) => Ok(it),
        }
    });
    let weighted = wish.is_some_and(|wish| wish.weighted);
    match named {
        Some(Ok(scheduler)) => Balancing {
            scheduler,
            flags: flags(wish.and_then(|it| it.flags), scheduler, true),
            objection: None,
        },
        Some(Err(why)) => {
            let instead = default(weighted, options).0;
            Balancing {
                scheduler: instead,
                // Those asked for are meant for another scheduler.
                flags: flags(None, instead, false),
                objection: Some(format!(
                    "{why}: {instead} serves in its place; change annotation {ANNOTATION}, or load \
                     the module"
                )),
            }
        }
        None => {
            let (scheduler, lacks) = default(weighted, options);
            Balancing {
                scheduler,
                flags: flags(wish.and_then(|it| it.flags), scheduler, false),
                objection: lacks.map(|it| {
                    format!(
                        "weights take scheduler {it}, which this kernel does not have: {scheduler} \
                         serves in its place and takes no weights; load the module ip_vs_{it}"
                    )
                }),
            }
        }
    }
}

/// The scheduler of Services that name none, and the one that weights take where this kernel lacks
/// it.
fn default(weighted: bool, options: &Options) -> (Scheduler, Option<Scheduler>) {
    let configured = if options.has(options.scheduler) {
        options.scheduler
    } else {
        Scheduler::RR
    };
    let with_weights = match configured {
        Scheduler::RR => Scheduler::WRR,
        Scheduler::LC => Scheduler::WLC,
        other => other,
    };
    match weighted {
        false => (configured, None),
        true if options.has(with_weights) => (with_weights, None),
        true => (configured, Some(with_weights)),
    }
}

fn flags(wish: Option<SchedulerFlags>, scheduler: Scheduler, is_named: bool) -> ServerFlags {
    match wish {
        Some(SchedulerFlags(set)) => [
            ServerFlags::SCHED_1,
            ServerFlags::SCHED_2,
            ServerFlags::SCHED_3,
        ]
        .into_iter()
        .zip(set)
        .filter_map(|(flag, is_set)| is_set.then_some(flag))
        .collect(),
        // As kube-proxy has it.
        None if !is_named => match scheduler {
            Scheduler::MH => ServerFlags::HASH_PORT,
            _ => ServerFlags::empty(),
        },
        // Without the fallback clients of a destination that drains are refused.
        None => match scheduler {
            Scheduler::MH => ServerFlags::FALLBACK | ServerFlags::HASH_PORT,
            Scheduler::SH => ServerFlags::FALLBACK,
            _ => ServerFlags::empty(),
        },
    }
}
