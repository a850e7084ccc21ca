//! What happens in a bad time.

use tokio::time::Duration;
use viprule_testkit::api_server::{Oddity, Streams, Weather};
use viprule_testkit::chance::Chance;

use crate::chaos::Storm;

/// A step of a bad time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Users change something.
    Change,
    /// Users change much at once.
    Changes,
    /// The server answers in another way.
    Weather,
    /// Watches end.
    Cut,
    /// The server forgets what was.
    Compact,
    /// The server tells how far it is.
    Bookmark,
    /// Somebody takes note of what there is, to restore it later.
    Backup,
    /// The server is restored.
    Restore,
    /// The kernel and others do otherwise.
    Kernel,
    /// Another program changes what is the agent's.
    Edit,
    /// Another program commits to its own table, often.
    Elsewhere,
    /// Notifications are lost.
    Lose,
    /// The agent is killed and started again.
    Kill,
    /// The agent is told to end and started again.
    Stop,
    /// Settings change.
    Settings,
    /// The node's addresses change.
    Addresses,
}

const STEPS: [(Step, u64); 16] = [
    (Step::Change, 40),
    (Step::Changes, 6),
    (Step::Weather, 10),
    (Step::Cut, 3),
    (Step::Compact, 3),
    (Step::Bookmark, 6),
    (Step::Backup, 2),
    (Step::Restore, 2),
    (Step::Kernel, 8),
    (Step::Edit, 10),
    (Step::Elsewhere, 5),
    (Step::Lose, 2),
    (Step::Kill, 5),
    (Step::Stop, 2),
    (Step::Settings, 2),
    (Step::Addresses, 2),
];

impl Step {
    pub(crate) fn any(chance: &mut Chance) -> Self {
        let all: u64 = STEPS.iter().map(|(_, weight)| weight).sum();
        let mut at = chance.within(0..all);
        for (step, weight) in STEPS {
            if at < weight {
                return step;
            }
            at -= weight;
        }
        Self::Change
    }
}

/// Time until the next step: mostly short, now and then long.
pub(crate) fn pause(chance: &mut Chance) -> Duration {
    let ms = match chance.within(0..10) {
        0..3 => chance.within(0..20),
        3..8 => chance.within(20..2_000),
        8 => chance.within(2_000..12_000),
        _ => chance.within(12_000..70_000),
    };
    Duration::from_millis(ms)
}

/// How the server answers.
pub(crate) fn weather(chance: &mut Chance) -> Weather {
    let streams = match chance.within(0..6) {
        0 => Streams::Refused,
        1 => Streams::Unknown,
        _ => Streams::Streamed,
    };
    let mut oddities = Vec::new();
    for _ in 0..=chance.below(5) {
        oddities.extend(chance.pick(&Oddity::ALL));
    }
    let slow = if chance.per_mille(200) { 3_000 } else { 30 };
    Weather {
        odd: *chance.pick(&[0, 30, 200, 500, 1000]).unwrap_or(&0),
        oddities,
        latency: 1..slow,
        page: *chance.pick(&[4, 9, 500]).unwrap_or(&500),
        // One way there has to be.
        forgets: streams == Streams::Streamed && chance.per_mille(300),
        streams,
    }
}

/// How the kernel and others do; `slow`: the kernel may take long.
pub(crate) fn kernel(chance: &mut Chance, slow: bool) -> Storm {
    Storm {
        refuse: *chance.pick(&[0, 0, 20, 100, 400]).unwrap_or(&0),
        elsewhere: *chance.pick(&[0, 0, 50, 300]).unwrap_or(&0),
        ours: *chance.pick(&[0, 0, 5, 50, 200]).unwrap_or(&0),
        sick: chance.per_mille(80),
        slow: if slow {
            *chance.pick(&[0, 50, 300, 1000]).unwrap_or(&0)
        } else {
            0
        },
    }
}
