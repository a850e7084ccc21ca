//! Connections that stay open and are asked again and again in the background.

use super::load::{exchange, open};
use super::outcome::Failure;
use crate::LIMIT;
use crate::background::Background;
use crate::error::{Error, Result};
use crate::netns::Namespace;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Keep-alive connections, as an HTTP client holds them in its pool. A server may close an idle
/// one at any time; a request that meets this is repeated on a new connection (RFC 9112 9.3.1)
/// and fails only if that one fails too.
#[derive(Debug, Clone)]
pub struct KeptLoad {
    connections: usize,
    pause: Duration,
    targets: Vec<SocketAddr>,
    timeout: Duration,
}

/// Connections in use; dropping this closes them and forgets their outcome.
#[derive(Debug)]
pub struct RunningKept {
    background: Background,
    report: Arc<Mutex<KeptReport>>,
}

/// What became of kept connections.
#[derive(Debug, Clone, Default)]
pub struct KeptReport {
    /// Connections that were opened, those that failed included.
    pub opened: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Connections that their server closed between two requests.
    pub closed: u64,
    /// Requests that failed, by reason.
    pub failures: BTreeMap<Failure, u64>,
    /// The longest that a request took which was answered, a new connection included.
    pub slowest: Duration,
}

impl KeptLoad {
    /// `connections` connections to `targets` in turn; each is asked, then pauses for `pause`.
    /// [`LIMIT`] for each answer.
    pub fn new(
        connections: usize,
        pause: Duration,
        targets: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        Self {
            connections,
            pause,
            targets: targets.into_iter().collect(),
            timeout: LIMIT,
        }
    }

    /// Waits this long for each answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Begins, from inside `namespace`.
    pub fn start(self, namespace: &Namespace) -> Result<RunningKept> {
        if self.targets.is_empty() || self.connections == 0 {
            return Err(Error::Address {
                what: format!("a load of {} kept connections", self.connections),
                why: format!("with {} targets it does nothing", self.targets.len()),
            });
        }
        let report = Arc::<Mutex<KeptReport>>::default();
        let shared = Arc::clone(&report);
        let background = Background::start(namespace, "kept load", move || async move {
            let mut all = JoinSet::new();
            let targets = self.targets.iter().copied().cycle();
            for target in targets.take(self.connections) {
                all.spawn(keep(target, self.pause, self.timeout, Arc::clone(&shared)));
            }
            all.join_all().await;
        })?;
        Ok(RunningKept { background, report })
    }
}

impl RunningKept {
    /// Closes the connections and tells the outcome; requests under way don't count.
    pub fn stop(self) -> KeptReport {
        drop(self.background);
        let report = self.report.lock();
        report.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl KeptReport {
    /// Requests that failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

/// One place in the pool.
async fn keep(
    target: SocketAddr,
    pause: Duration,
    patience: Duration,
    report: Arc<Mutex<KeptReport>>,
) {
    let mut kept = None;
    loop {
        let mut outcome = KeptReport::default();
        let start = Instant::now();
        if let Err(failure) = ask(&mut kept, target, patience, &mut outcome).await {
            kept = None;
            outcome.failures.insert(failure, 1);
        } else {
            outcome.answered = 1;
            outcome.slowest = start.elapsed();
        }
        report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(outcome);
        sleep(pause).await;
    }
}

async fn ask(
    kept: &mut Option<TcpStream>,
    target: SocketAddr,
    patience: Duration,
    outcome: &mut KeptReport,
) -> std::result::Result<(), Failure> {
    if let Some(mut stream) = kept.take() {
        match timeout(patience, exchange(&mut stream)).await {
            Ok(Ok(_)) => {
                *kept = Some(stream);
                return Ok(());
            }
            Ok(Err(Failure::Closed | Failure::Reset)) => outcome.closed += 1,
            Ok(Err(failure)) => return Err(failure),
            Err(_) => return Err(Failure::TimedOut),
        }
    }
    outcome.opened += 1;
    let first = async {
        let mut stream = open(target, None).await?;
        exchange(&mut stream).await?;
        Ok(stream)
    };
    let stream = timeout(patience, first).await;
    *kept = Some(stream.unwrap_or(Err(Failure::TimedOut))?);
    Ok(())
}

impl KeptReport {
    fn add(&mut self, other: Self) {
        self.opened += other.opened;
        self.answered += other.answered;
        self.closed += other.closed;
        self.slowest = self.slowest.max(other.slowest);
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
    }
}
