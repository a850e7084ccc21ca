//! What the kernel and other programs do to the agent, and whether what the agent does is right at
//! every step.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use netlink_batch::Errno;
use tokio::time::{Duration, Instant, advance};
use viprule_testkit::chance::Chance;
use viprule_testkit::memory::{Fate, Hooks, MemoryKernel, Program, Ruleset, Sent};

use crate::mode::{Edit, Environment, elsewhere, lost};

/// Datagrams that the agent may send without any time passing. To look at all tables of nftables mode takes
/// some 400.
const SENDS_AT_ONCE: u32 = 60_000;

/// How often the kernel and others do what they like, of 1,000.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Storm {
    /// A datagram is refused, not sent, or its answers are lost.
    pub(crate) refuse: u32,
    /// Another program commits to a table of its own while the agent is at work.
    pub(crate) elsewhere: u32,
    /// Another program changes what is the agent's, while that is at work.
    pub(crate) ours: u32,
    /// A change takes the kernel long, and the agent waits for it.
    pub(crate) slow: u32,
    /// Nothing that is written succeeds.
    pub(crate) sick: bool,
}

/// Decides what happens, and remembers what was wrong.
#[derive(Clone)]
pub(crate) struct Chaos(Arc<Mutex<State>>);

struct State {
    chance: Chance,
    storm: Storm,
    rival: Program,
    environment: Box<dyn Environment>,
    edit_behind: EditBehind,
    wrong: Option<String>,
    log: Vec<String>,
    /// When the agent sent last, and how often then.
    busy: (Instant, u32),
    /// What of the agent's took effect.
    commits: u64,
    /// How many datagrams of the agent still go through; none where all do.
    left: Option<usize>,
}

/// Another program changes something behind the next step of the agent.
#[derive(Debug, Clone, Default)]
enum EditBehind {
    #[default]
    None,
    Due,
    Done(Edit),
}

impl std::fmt::Debug for Chaos {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chaos").finish_non_exhaustive()
    }
}

impl Chaos {
    /// Calm at first.
    pub(crate) fn new(
        chance: Chance,
        kernel: &MemoryKernel,
        environment: Box<dyn Environment>,
    ) -> Self {
        let chaos = Self(Arc::new(Mutex::new(State {
            chance,
            storm: Storm::default(),
            rival: kernel.program("rival", 4242),
            environment,
            edit_behind: EditBehind::None,
            wrong: None,
            log: Vec::new(),
            busy: (Instant::now(), 0),
            commits: 0,
            left: None,
        })));
        kernel.set_hooks(chaos.clone());
        chaos
    }

    pub(crate) fn set(&self, storm: Storm) {
        self.state().storm = storm;
    }

    /// Another program changes what is the agent's, or not.
    pub(crate) fn edit(&self, kernel: &MemoryKernel) -> Option<Edit> {
        self.state().edit(kernel)
    }

    /// Clients come and go.
    pub(crate) fn clients(&self, kernel: &MemoryKernel) {
        let mut state = self.state();
        let State {
            chance,
            environment,
            ..
        } = &mut *state;
        environment.clients(chance, kernel);
    }

    /// All clients go.
    pub(crate) fn no_clients(&self, kernel: &MemoryKernel) {
        self.state().environment.no_clients(kernel);
    }

    /// Another program commits to a table of its own.
    pub(crate) fn elsewhere(&self) {
        let rival = self.state().rival.clone();
        elsewhere(&rival);
    }

    /// Another program changes what is the agent's right behind its next step.
    pub(crate) fn edit_behind_next_step(&self) {
        self.state().edit_behind = EditBehind::Due;
    }

    /// What it has changed, if that came about; from now on it does not wait.
    pub(crate) fn edit_behind(&self) -> Option<Edit> {
        match std::mem::take(&mut self.state().edit_behind) {
            EditBehind::Done(edit) => Some(edit),
            EditBehind::None | EditBehind::Due => None,
        }
    }

    /// How many of the steady Services lead to an endpoint now, in the family in which more do.
    pub(crate) fn serving(&self, kernel: &MemoryKernel) -> usize {
        self.state().environment.serving(kernel)
    }

    /// The kernel is what it should be.
    pub(crate) fn all_is_right(&self) {
        self.state().environment.all_is_right();
    }

    /// So many datagrams of the agent go through from now on, and no more.
    pub(crate) fn let_through(&self, datagrams: usize) {
        self.state().left = Some(datagrams);
    }

    /// All datagrams of the agent go through.
    pub(crate) fn let_everything_through(&self) {
        self.state().left = None;
    }

    /// What was wrong first.
    pub(crate) fn wrong(&self) -> Option<String> {
        self.state().wrong.clone()
    }

    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// Transactions of the agent that changed something, and messages that belong to none and did.
    pub(crate) fn commits(&self) -> u64 {
        self.state().commits
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn edit(&mut self, kernel: &MemoryKernel) -> Option<Edit> {
        let Self {
            chance,
            rival,
            environment,
            ..
        } = self;
        environment.edit(chance, rival, kernel)
    }

    /// After a step of the agent.
    fn stepped(&mut self, kernel: &MemoryKernel, wrong: Option<String>) {
        self.commits += 1;
        if let Some(what) = wrong {
            self.fail(what);
        }
        self.meddle(kernel, "right behind a step");
        if matches!(self.edit_behind, EditBehind::Due)
            && let Some(edit) = self.edit(kernel)
        {
            self.log
                .push(format!("rival: {} right behind a step", edit.what));
            self.edit_behind = EditBehind::Done(edit);
        }
    }

    fn meddle(&mut self, kernel: &MemoryKernel, when: &str) {
        if self.chance.per_mille(self.storm.elsewhere) {
            elsewhere(&self.rival);
        }
        if self.chance.per_mille(self.storm.ours)
            && let Some(edit) = self.edit(kernel)
        {
            self.log.push(format!("rival: {} {when}", edit.what));
        }
    }

    /// The time that the kernel takes for a change, as for one of tens of thousands of rules. Nothing
    /// else runs meanwhile, as in the thread that waits for it.
    fn take_long(&mut self, sent: &Sent<'_>) {
        if self.storm.slow > 0 && sent.is_change() && self.chance.per_mille(self.storm.slow) {
            let time = Duration::from_millis(self.chance.within(10..5_000));
            self.log.push(format!("takes {time:?} for a change"));
            // The clock is set at the first step of it already.
            let _ = advance(time).now_or_never();
        }
    }

    fn fate(&mut self, sent: &Sent<'_>) -> Fate {
        if self.storm.sick && !sent.is_batch() && sent.is_change() {
            return Fate::NotSent(Errno::NOMEM);
        }
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
            "a message"
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
        if let Some(left) = &mut state.left {
            let Some(rest) = left.checked_sub(1) else {
                return Fate::NotSent(Errno::PERM);
            };
            *left = rest;
        }
        state.meddle(kernel, "before a message");
        state.environment.before_send(kernel);
        state.take_long(sent);
        state.fate(sent)
    }

    fn between_datagrams(&mut self, kernel: &MemoryKernel) {
        self.state().meddle(kernel, "within an answer");
    }

    fn committed(&mut self, kernel: &MemoryKernel, before: &Ruleset, after: &Ruleset) {
        let mut state = self.state();
        let wrong = state.environment.committed(before, after);
        let wrong = lost(before, after).or(wrong);
        state.stepped(kernel, wrong);
    }

    fn took_effect(&mut self, kernel: &MemoryKernel) {
        let mut state = self.state();
        let wrong = state.environment.took_effect(kernel);
        state.stepped(kernel, wrong);
    }
}
