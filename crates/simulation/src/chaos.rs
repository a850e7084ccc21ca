//! What the kernel and other programs do to the agent, and whether what the agent does is right at
//! every step.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netlink_batch::Errno;
use nfnetlink::Family;
use nfnetlink::nftables::{ChainId, Position};
use nfnetlink::xtables::Rule;
use tokio::time::Instant;
use viprule_testkit::chance::Chance;
use viprule_testkit::memory::{Fate, Hooks, MemoryKernel, Program, Ruleset, Sent};

/// Datagrams that the agent may send without any time passing.
const SENDS_AT_ONCE: u32 = 20_000;

/// How often the kernel and others do what they like, of 1,000.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Storm {
    /// A datagram is refused, not sent, or its answers are lost.
    pub(crate) refuse: u32,
    /// Another program commits to a table of its own while the agent is at work.
    pub(crate) elsewhere: u32,
    /// Another program changes what is the agent's, while that is at work.
    pub(crate) ours: u32,
    /// No transaction succeeds.
    pub(crate) sick: bool,
}

/// Decides what happens, and remembers what was wrong.
#[derive(Clone)]
pub(crate) struct Chaos(Arc<Mutex<State>>);

struct State {
    chance: Chance,
    storm: Storm,
    rival: Program,
    /// Chains of the Services that are there all the time.
    steady: BTreeSet<String>,
    /// It changes something behind the next commit.
    ambush: bool,
    wrong: Option<String>,
    log: Vec<String>,
    /// When the agent sent last, and how often then.
    busy: (Instant, u32),
    commits: u64,
}

impl std::fmt::Debug for Chaos {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chaos").finish_non_exhaustive()
    }
}

impl Chaos {
    /// Calm at first. `steady` are the chains that must not be left without an endpoint.
    pub(crate) fn new(chance: Chance, kernel: &MemoryKernel, steady: BTreeSet<String>) -> Self {
        let chaos = Self(Arc::new(Mutex::new(State {
            chance,
            storm: Storm::default(),
            rival: kernel.program("rival", 4242),
            steady,
            ambush: false,
            wrong: None,
            log: Vec::new(),
            busy: (Instant::now(), 0),
            commits: 0,
        })));
        kernel.set_hooks(chaos.clone());
        chaos
    }

    pub(crate) fn set(&self, storm: Storm) {
        self.state().storm = storm;
    }

    /// Another program changes what is the agent's, or not.
    pub(crate) fn edit(&self, kernel: &MemoryKernel) -> Option<String> {
        let mut state = self.state();
        let State { chance, rival, .. } = &mut *state;
        edit(chance, rival, kernel)
    }

    /// Another program commits to a table of its own.
    pub(crate) fn elsewhere(&self) {
        let rival = self.state().rival.clone();
        elsewhere(&rival);
    }

    /// Another program changes what is the agent's right behind its next commit.
    pub(crate) fn lie_in_wait(&self) {
        self.state().ambush = true;
    }

    /// True where that has not come about yet.
    pub(crate) fn waits(&self) -> bool {
        std::mem::take(&mut self.state().ambush)
    }

    /// What was wrong first.
    pub(crate) fn wrong(&self) -> Option<String> {
        self.state().wrong.clone()
    }

    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// Transactions of the agent that changed something.
    pub(crate) fn commits(&self) -> u64 {
        self.state().commits
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn meddle(&mut self, kernel: &MemoryKernel, when: &str) {
        if self.chance.per_mille(self.storm.elsewhere) {
            elsewhere(&self.rival);
        }
        if self.chance.per_mille(self.storm.ours)
            && let Some(what) = edit(&mut self.chance, &self.rival, kernel)
        {
            self.log.push(format!("rival: {what} {when}"));
        }
    }

    fn fate(&mut self, sent: &Sent<'_>) -> Fate {
        if self.storm.sick && sent.is_batch() {
            let message = sent.messages().count() / 2;
            return Fate::Refused {
                errno: Errno::NOMEM,
                message,
            };
        }
        if !self.chance.per_mille(self.storm.refuse) {
            return Fate::Handled;
        }
        let fate = match self.chance.below(6) {
            0 => Fate::NotSent(Errno::NOBUFS),
            1 => Fate::AnswersLost,
            2 => Fate::Refused {
                errno: Errno::BUSY,
                message: self.chance.below(sent.messages().count()),
            },
            3 => Fate::Refused {
                errno: Errno::NOMEM,
                message: self.chance.below(sent.messages().count()),
            },
            4 if sent.is_batch() => Fate::Refused {
                errno: Errno::RESTART,
                message: 0,
            },
            _ => Fate::NotSent(Errno::NOMEM),
        };
        let what = if sent.is_batch() {
            "a transaction"
        } else {
            "a question"
        };
        self.log.push(format!("{what}: {fate:?}"));
        fate
    }

    fn fail(&mut self, what: String) {
        self.log.push(format!("WRONG: {what}"));
        self.wrong.get_or_insert(what);
    }
}

impl Hooks for Chaos {
    fn before_send(&mut self, kernel: &MemoryKernel, sent: &Sent<'_>) -> Fate {
        let mut state = self.state();
        let now = Instant::now();
        if state.busy.0 == now {
            state.busy.1 += 1;
        } else {
            state.busy = (now, 1);
        }
        if state.busy.1 == SENDS_AT_ONCE {
            let what = format!("the agent asked the kernel {SENDS_AT_ONCE} times at once");
            state.fail(what);
        }
        if state.busy.1 >= SENDS_AT_ONCE {
            // Whoever goes on without an end ends here.
            return Fate::Refused {
                errno: Errno::PERM,
                message: 0,
            };
        }
        state.meddle(kernel, "before a message");
        state.fate(sent)
    }

    fn between_datagrams(&mut self, kernel: &MemoryKernel) {
        self.state().meddle(kernel, "within an answer");
    }

    fn committed(&mut self, kernel: &MemoryKernel, before: &Ruleset, after: &Ruleset) {
        let mut state = self.state();
        state.commits += 1;
        let served = served(before);
        let lost: Vec<String> = {
            let now = self::served(after);
            let steady = state.steady.iter();
            let lost = steady.filter(|chain| served.contains(*chain) && !now.contains(*chain));
            lost.cloned().collect()
        };
        if !lost.is_empty() {
            let what = format!(
                "a commit of the agent took the last endpoint of {} steady chains away: {}",
                lost.len(),
                lost.join(", ")
            );
            state.fail(what);
        }
        state.meddle(kernel, "right behind a commit");
        if std::mem::take(&mut state.ambush) {
            let State { chance, rival, .. } = &mut *state;
            if let Some(what) = edit(chance, rival, kernel) {
                state
                    .log
                    .push(format!("rival: {what} right behind a commit"));
            }
        }
    }
}

/// The chains of Services, with the family's number, that packets are led to and that lead on to an
/// endpoint.
pub(crate) fn served(ruleset: &Ruleset) -> BTreeSet<String> {
    let mut served = BTreeSet::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let Some(table) = ruleset.table(family.number(), "nat") else {
            continue;
        };
        let Some(services) = table.chain("KUBE-SERVICES") else {
            continue;
        };
        for name in table.led_to(services) {
            let Some(chain) = table.chain(name) else {
                continue;
            };
            let leads_on = |name: &str| {
                name.starts_with("KUBE-SEP-")
                    && table
                        .chain(name)
                        .is_some_and(|endpoint| endpoint.rules().next().is_some())
            };
            if table.led_to(chain).any(leads_on) {
                served.insert(steady_name(family, name));
            }
        }
    }
    served
}

/// How a chain of a family is remembered.
pub(crate) fn steady_name(family: Family, chain: &str) -> String {
    format!("{chain} of {family}")
}

fn elsewhere(rival: &Program) {
    let own = ChainId {
        family: Family::Ipv4,
        table: "rival",
        name: "own",
    };
    // It keeps its own rules few.
    let _full = rival.flush(own);
    let _refused = rival.append_to(own);
}

/// Changes something that is the agent's. None where there is nothing.
fn edit(chance: &mut Chance, rival: &Program, kernel: &MemoryKernel) -> Option<String> {
    let ruleset = kernel.ruleset();
    let mut all = Vec::new();
    for table in ruleset.tables() {
        let family = [Family::Ipv4, Family::Ipv6]
            .into_iter()
            .find(|family| family.number() == table.family())?;
        for chain in table.chains() {
            let rules = chain.rules().count();
            let ours = chain.name().starts_with("KUBE-") || chain.base().is_some();
            if table.name() != "rival" && ours {
                all.push((family, table.name(), chain.name(), rules));
            }
        }
    }
    let (family, table, name, rules) = *chance.pick(&all)?;
    let chain = ChainId {
        family,
        table,
        name,
    };
    let place = chance.below(rules);
    let done = match chance.below(10) {
        0..3 => rival.flush(chain).map(|()| "flushed"),
        3..7 => rival
            .delete_rule_at(chain, place)
            .map(|_| "took a rule from"),
        7 => rival.delete(chain).map(|()| "deleted"),
        8 => rival
            .add(chain, Position::Head, &Rule::new(family))
            .map(|()| "put a rule into"),
        _ if chance.per_mille(100) => rival
            .commit(|transaction| transaction.delete_table(family, table))
            .map(|()| "deleted the table of"),
        _ => rival
            .add(chain, Position::End, &Rule::new(family))
            .map(|()| "added a rule to"),
    };
    let done = done.ok()?;
    Some(format!("{done} {name} in {family} {table}"))
}
