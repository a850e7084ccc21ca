//! What a container's probes have said so far, and what is to be asked next. Pure: the caller
//! tells the time.

use std::time::{Duration, Instant};

/// Which of a container's probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Holds the others back until it has succeeded once; restarts the container if it fails.
    Startup,
    /// Decides whether Services lead to the pod.
    Readiness,
    /// Restarts the container if it fails.
    Liveness,
}

/// The numbers of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// From the container's start to the first question.
    pub initial_delay: Duration,
    /// Between two questions.
    pub period: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Successes in a row that turn failure into success.
    pub success_threshold: u32,
    /// Failures in a row that turn success into failure.
    pub failure_threshold: u32,
}

/// The probes that a container has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Schedules {
    /// `startupProbe`
    pub startup: Option<Schedule>,
    /// `readinessProbe`
    pub readiness: Option<Schedule>,
    /// `livenessProbe`
    pub liveness: Option<Schedule>,
}

/// What an answer changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// [`ContainerProbes::is_started`] or [`ContainerProbes::is_ready`] says something else now.
    Changed,
    /// The container must be restarted.
    Restart,
}

/// The state of the probes of one run of a container; a restart begins a new one.
#[derive(Debug, Clone)]
pub struct ContainerProbes {
    started: bool,
    startup: Option<Series>,
    readiness: Option<Series>,
    liveness: Option<Series>,
}

/// One probe.
#[derive(Debug, Clone)]
struct Series {
    schedule: Schedule,
    /// The last answer and how often it came in a row.
    last: bool,
    run: u32,
    verdict: bool,
    /// When to ask next.
    due: Instant,
    /// Whether an answer is awaited.
    asked: bool,
}

impl ContainerProbes {
    /// A container that started at `now`.
    pub fn new(schedules: Schedules, now: Instant) -> Self {
        // Until they have spoken: not started, not ready, alive.
        let series = |schedule: Option<Schedule>, verdict| {
            schedule.map(|schedule| Series::new(schedule, verdict, now))
        };
        Self {
            started: schedules.startup.is_none(),
            startup: series(schedules.startup, false),
            readiness: series(schedules.readiness, false),
            liveness: series(schedules.liveness, true),
        }
    }

    /// Whether the container has started: its startup probe has succeeded, or it has none.
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// Whether the container is ready: it has started, and its readiness probe says so, or it has
    /// none.
    pub fn is_ready(&self) -> bool {
        self.started && self.readiness.as_ref().is_none_or(|probe| probe.verdict)
    }

    /// What is to be asked next, and when. `None` if every answer is awaited or nothing is asked.
    pub fn next(&self) -> Option<(Instant, ProbeKind)> {
        [
            ProbeKind::Startup,
            ProbeKind::Readiness,
            ProbeKind::Liveness,
        ]
        .into_iter()
        .filter(|kind| (*kind == ProbeKind::Startup) != self.started)
        .filter_map(|kind| {
            let series = self.series(kind)?;
            (!series.asked).then_some((series.due, kind))
        })
        .min()
    }

    /// A probe is asked at `now`: it isn't due again before its answer.
    pub fn ask(&mut self, kind: ProbeKind, now: Instant) {
        if let Some(series) = self.series_mut(kind) {
            series.asked = true;
            series.due = now + series.schedule.period;
        }
    }

    /// A probe was answered.
    pub fn answer(&mut self, kind: ProbeKind, success: bool) -> Effect {
        let before = (self.is_started(), self.is_ready());
        let Some(series) = self.series_mut(kind) else {
            return Effect::None;
        };
        let settled = series.answer(success);
        match kind {
            ProbeKind::Startup | ProbeKind::Liveness if settled && !success => {
                return Effect::Restart;
            }
            ProbeKind::Startup if settled => self.started = true,
            _ => {}
        }
        if before == (self.is_started(), self.is_ready()) {
            Effect::None
        } else {
            Effect::Changed
        }
    }

    /// The pod ends: from now on only readiness is asked.
    pub fn terminate(&mut self) {
        self.startup = None;
        self.liveness = None;
    }

    fn series(&self, kind: ProbeKind) -> Option<&Series> {
        match kind {
            ProbeKind::Startup => self.startup.as_ref(),
            ProbeKind::Readiness => self.readiness.as_ref(),
            ProbeKind::Liveness => self.liveness.as_ref(),
        }
    }

    fn series_mut(&mut self, kind: ProbeKind) -> Option<&mut Series> {
        match kind {
            ProbeKind::Startup => self.startup.as_mut(),
            ProbeKind::Readiness => self.readiness.as_mut(),
            ProbeKind::Liveness => self.liveness.as_mut(),
        }
    }
}

impl Series {
    fn new(schedule: Schedule, verdict: bool, now: Instant) -> Self {
        Self {
            schedule,
            last: verdict,
            run: 0,
            verdict,
            due: now + schedule.initial_delay,
            asked: false,
        }
    }

    /// Counts an answer; whether there are enough of its kind in a row.
    fn answer(&mut self, success: bool) -> bool {
        self.asked = false;
        self.run = if success == self.last {
            self.run.saturating_add(1)
        } else {
            1
        };
        self.last = success;
        let threshold = if success {
            self.schedule.success_threshold
        } else {
            self.schedule.failure_threshold
        };
        let settled = self.run >= threshold;
        if settled {
            self.verdict = success;
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule(delay: u32, successes: u32, failures: u32) -> Schedule {
        Schedule {
            initial_delay: delay * SECOND,
            period: 2 * SECOND,
            timeout: SECOND,
            success_threshold: successes,
            failure_threshold: failures,
        }
    }

    /// Asks and answers at once.
    fn hear(
        probes: &mut ContainerProbes,
        kind: ProbeKind,
        answers: impl IntoIterator<Item = bool>,
    ) -> Vec<Effect> {
        let answers = answers.into_iter();
        answers.map(|yes| probes.answer(kind, yes)).collect()
    }

    #[test]
    fn a_container_without_probes_is_ready_and_never_asked() {
        let probes = ContainerProbes::new(Schedules::default(), Instant::now());
        assert!(probes.is_started() && probes.is_ready());
        assert_eq!(probes.next(), None);
    }

    #[test]
    fn readiness_needs_its_thresholds_in_a_row() {
        use Effect::{Changed, None};
        let schedules = Schedules {
            readiness: Some(schedule(0, 2, 3)),
            ..Schedules::default()
        };
        let mut probes = ContainerProbes::new(schedules, Instant::now());
        assert!(probes.is_started() && !probes.is_ready());
        let kind = ProbeKind::Readiness;
        assert_eq!(
            hear(&mut probes, kind, [true, false, true, true]),
            [None, None, None, Changed]
        );
        assert!(probes.is_ready());
        assert_eq!(
            hear(&mut probes, kind, [false, false, true, false, false, false]),
            [None, None, None, None, None, Changed]
        );
        assert!(!probes.is_ready());
        // Going on to fail is no news.
        assert_eq!(hear(&mut probes, kind, [false]), [None]);
    }

    #[test]
    fn probes_wait_for_their_delay_and_their_period() {
        let schedules = Schedules {
            readiness: Some(schedule(5, 1, 1)),
            liveness: Some(schedule(3, 1, 1)),
            ..Schedules::default()
        };
        let start = Instant::now();
        let mut probes = ContainerProbes::new(schedules, start);
        assert_eq!(
            probes.next(),
            Some((start + 3 * SECOND, ProbeKind::Liveness))
        );
        probes.ask(ProbeKind::Liveness, start + 3 * SECOND);
        // It isn't asked twice at once, however long it takes.
        assert_eq!(
            probes.next(),
            Some((start + 5 * SECOND, ProbeKind::Readiness))
        );
        probes.ask(ProbeKind::Readiness, start + 5 * SECOND);
        assert_eq!(probes.next(), None);
        probes.answer(ProbeKind::Liveness, true);
        assert_eq!(
            probes.next(),
            Some((start + 5 * SECOND, ProbeKind::Liveness))
        );
    }

    #[test]
    fn liveness_is_trusted_until_it_fails_and_then_restarts() {
        let schedules = Schedules {
            liveness: Some(schedule(0, 1, 3)),
            ..Schedules::default()
        };
        let mut probes = ContainerProbes::new(schedules, Instant::now());
        assert!(probes.is_ready());
        let effects = hear(
            &mut probes,
            ProbeKind::Liveness,
            [false, false, true, false, false, false],
        );
        assert_eq!(effects[..5], [Effect::None; 5]);
        assert_eq!(effects[5], Effect::Restart);
    }

    #[test]
    fn startup_holds_the_others_back() {
        let schedules = Schedules {
            startup: Some(schedule(1, 1, 30)),
            readiness: Some(schedule(0, 1, 1)),
            liveness: Some(schedule(0, 1, 1)),
        };
        let start = Instant::now();
        let mut probes = ContainerProbes::new(schedules, start);
        assert!(!probes.is_started());
        assert_eq!(probes.next(), Some((start + SECOND, ProbeKind::Startup)));
        probes.ask(ProbeKind::Startup, start + SECOND);
        assert_eq!(probes.next(), None);
        assert_eq!(probes.answer(ProbeKind::Startup, false), Effect::None);
        assert_eq!(
            probes.next(),
            Some((start + 3 * SECOND, ProbeKind::Startup))
        );
        assert_eq!(probes.answer(ProbeKind::Startup, true), Effect::Changed);
        // Started, but readiness has to be heard first; startup is never asked again.
        assert!(probes.is_started() && !probes.is_ready());
        assert_eq!(probes.next(), Some((start, ProbeKind::Readiness)));
        probes.ask(ProbeKind::Readiness, start);
        assert_eq!(probes.next(), Some((start, ProbeKind::Liveness)));
        assert_eq!(probes.answer(ProbeKind::Readiness, true), Effect::Changed);
        assert!(probes.is_ready());
    }

    #[test]
    fn startup_that_goes_on_failing_restarts() {
        let schedules = Schedules {
            startup: Some(schedule(0, 1, 2)),
            ..Schedules::default()
        };
        let mut probes = ContainerProbes::new(schedules, Instant::now());
        assert_eq!(
            hear(&mut probes, ProbeKind::Startup, [false, false]),
            [Effect::None, Effect::Restart]
        );
        assert!(!probes.is_started() && !probes.is_ready());
    }

    #[test]
    fn a_pod_that_ends_is_only_asked_whether_it_is_ready() {
        let schedules = Schedules {
            readiness: Some(schedule(1, 1, 1)),
            liveness: Some(schedule(0, 1, 1)),
            ..Schedules::default()
        };
        let start = Instant::now();
        let mut probes = ContainerProbes::new(schedules, start);
        probes.ask(ProbeKind::Liveness, start);
        probes.terminate();
        assert_eq!(probes.answer(ProbeKind::Liveness, false), Effect::None);
        assert_eq!(probes.next(), Some((start + SECOND, ProbeKind::Readiness)));
    }
}
