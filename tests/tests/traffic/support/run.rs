//! `viprule run` and what its log says it wrote.

use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use viprule_testkit::agent::{Agent, Confinement};
use viprule_testkit::{LIMIT, Namespace};

/// The agent; it is killed on drop.
#[derive(Debug)]
pub(crate) struct Run {
    agent: Agent,
    /// Lines of the log that were looked at.
    seen: usize,
}

/// One line of the log about a sync.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// `first sync: base, service shop/edge`
    pub(crate) message: String,
    /// Objects created.
    pub(crate) created: u64,
    /// Objects replaced.
    pub(crate) replaced: u64,
    /// Objects removed.
    pub(crate) removed: u64,
}

impl Run {
    pub(super) fn start(node: &Namespace, args: &[String]) -> Self {
        let log = [
            "--logging-format",
            "json",
            "--log-level",
            "info,viprule=debug",
        ];
        let args = args.iter().map(String::as_str).chain(log);
        Self {
            agent: Agent::start(node, args).unwrap(),
            seen: 0,
        }
    }

    /// Waits for the next line that begins with `what` and was not waited for before.
    #[track_caller]
    pub(crate) fn expect(&mut self, what: &str) -> Outcome {
        let message = format!("\"message\":\"{what}");
        let (number, line) = self
            .agent
            .wait_for_line_after(self.seen, &message, LIMIT)
            .unwrap();
        self.seen = number + 1;
        Outcome::read(&line)
    }

    /// The most memory that it had so far, KiB.
    pub(crate) fn most_memory(&self) -> u64 {
        self.agent.memory().unwrap().peak_kib
    }

    /// What each of its threads has given up.
    pub(crate) fn confinement(&self) -> BTreeMap<u32, Confinement> {
        self.agent.confinement().unwrap()
    }

    /// Waits for the next line about a change of input that made a difference to the kernel.
    #[track_caller]
    pub(crate) fn changed(&mut self) -> Outcome {
        self.made("changed: ")
    }

    /// Waits for the next line that begins with `what` and is about a difference to the kernel.
    #[track_caller]
    pub(crate) fn made(&mut self, what: &str) -> Outcome {
        loop {
            let outcome = self.expect(what);
            if outcome.counts() != [0; 3] {
                return outcome;
            }
        }
    }

    /// All lines about syncs so far, those that wrote nothing included.
    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        const SYNCS: [&str; 5] = [
            "first sync: ",
            "changed: ",
            "repair: ",
            "retry: ",
            "timer: ",
        ];
        let lines = self.agent.lines();
        let outcomes = lines.iter().filter(|line| line.starts_with('{'));
        outcomes
            .map(|line| Outcome::read(line))
            .filter(|outcome| SYNCS.iter().any(|sync| outcome.message.starts_with(sync)))
            .collect()
    }

    /// Waits for a line of the log that has all of these.
    #[track_caller]
    pub(crate) fn said(&mut self, words: &[&str]) {
        let said = |lines: &[String]| {
            lines
                .iter()
                .any(|line| words.iter().all(|word| line.contains(word)))
        };
        let start = std::time::Instant::now();
        while !said(&self.agent.lines()) {
            let lines = self.agent.lines();
            assert!(start.elapsed() < LIMIT, "nothing of {words:?}: {lines:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.agent.kill().unwrap();
    }

    /// SIGTERM; it must end by itself and be content.
    #[track_caller]
    pub(crate) fn terminate(&mut self) {
        let status = self.agent.terminate(LIMIT).unwrap();
        assert!(status.success(), "{status}: {:#?}", self.agent.lines());
    }
}

impl Outcome {
    fn read(line: &str) -> Self {
        let line: Value = serde_json::from_str(line).unwrap();
        let fields = &line["fields"];
        let count = |name: &str| fields[name].as_u64().unwrap_or_default();
        Self {
            message: fields["message"].as_str().unwrap_or_default().to_owned(),
            created: count("created"),
            replaced: count("replaced"),
            removed: count("removed"),
        }
    }

    /// Created, replaced, removed.
    pub(crate) fn counts(&self) -> [u64; 3] {
        [self.created, self.replaced, self.removed]
    }
}
