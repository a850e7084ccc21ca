//! Connections at a steady rate in the background, to see what a change of rules does to them.

use super::outcome::Failure;
use super::socket::connecting;
use crate::LIMIT;
use crate::error::{Error, Result};
use crate::netns::Namespace;
use crate::wire::{Answer, REQUEST, parse_response};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// A load of new TCP connections, each of which asks once. It is open-loop: slow answers don't
/// slow down the next connections.
#[derive(Debug, Clone)]
pub struct Load {
    rate: u32,
    targets: Vec<SocketAddr>,
    source: Option<IpAddr>,
    timeout: Duration,
    at_most: usize,
}

/// A load under way. Dropping it stops it and forgets its outcome.
#[derive(Debug)]
pub struct RunningLoad {
    stop: Arc<AtomicBool>,
    under_way: Arc<UnderWay>,
    thread: Option<JoinHandle<LoadReport>>,
}

/// Connections by number, as far as they have begun and not ended.
#[derive(Debug, Default)]
struct UnderWay(Mutex<(u64, BTreeSet<u64>)>);

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, (u64, BTreeSet<u64>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> u64 {
        let mut all = self.lock();
        let number = all.0;
        all.0 += 1;
        all.1.insert(number);
        number
    }

    fn end(&self, number: u64) {
        self.lock().1.remove(&number);
    }
}

/// What became of a load.
#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    /// Connections that were tried.
    pub started: u64,
    /// Those that were answered, by backend.
    pub backends: BTreeMap<SocketAddr, u64>,
    /// Those that failed, by reason.
    pub failures: BTreeMap<Failure, u64>,
    /// The first 100 failures, in the order in which they ended.
    pub examples: Vec<LoadSample>,
    /// The slowest connection that was answered.
    pub slowest: Option<LoadSample>,
    /// From the first connection to the end of the last.
    pub elapsed: Duration,
    /// How late the generator was at worst. More than a few milliseconds means that the machine
    /// was short of CPU time, and slow answers may be the machine's doing.
    pub behind: Duration,
    sorted: Vec<Duration>,
}

/// One connection of a load.
#[derive(Debug, Clone)]
pub struct LoadSample {
    /// When it began, counted from the load's start.
    pub at: Duration,
    /// Whom it called.
    pub target: SocketAddr,
    /// Who answered, or why nobody did.
    pub result: std::result::Result<Answer, Failure>,
    /// How long it took, from connect to the whole answer.
    pub elapsed: Duration,
}

impl Load {
    /// `rate` connections a second, to `targets` in turn, [`LIMIT`] for each.
    pub fn new(rate: u32, targets: impl IntoIterator<Item = SocketAddr>) -> Self {
        let targets = targets.into_iter().collect();
        Self {
            rate,
            targets,
            source: None,
            timeout: LIMIT,
            at_most: usize::MAX,
        }
    }

    /// Uses this source address.
    #[must_use]
    pub fn from_address(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Waits this long for each answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Has no more than this many connections under way: a machine that can't keep up is slow and
    /// not overwhelmed, and the load is no open loop there.
    #[must_use]
    pub fn at_most(mut self, at_most: usize) -> Self {
        self.at_most = at_most;
        self
    }

    /// Begins, from inside `namespace`.
    pub fn start(self, namespace: &Namespace) -> Result<RunningLoad> {
        if self.targets.is_empty() || self.rate == 0 {
            return Err(Error::Address {
                what: format!("a load of {} connections a second", self.rate),
                why: format!("with {} targets it does nothing", self.targets.len()),
            });
        }
        let namespace = namespace.try_clone()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let under_way = Arc::<UnderWay>::default();
        let counted = Arc::clone(&under_way);
        let (ready, started) = std::sync::mpsc::channel();
        let generate = move || {
            let runtime = namespace.enter_thread().and_then(|()| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(Error::io("starting the runtime of a load"))
            });
            match runtime {
                Ok(runtime) => {
                    let _ = ready.send(Ok(()));
                    runtime.block_on(self.generate(&stopped, &counted))
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                    LoadReport::default()
                }
            }
        };
        let thread = thread::Builder::new()
            .name("load".to_owned())
            .spawn(generate)
            .map_err(Error::io("starting a thread"))?;
        started.recv().unwrap_or(Ok(()))?;
        Ok(RunningLoad {
            stop,
            under_way,
            thread: Some(thread),
        })
    }

    async fn generate(self, stop: &AtomicBool, under_way: &Arc<UnderWay>) -> LoadReport {
        let mut report = LoadReport::default();
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        let mut ticks = interval(
            (Duration::from_secs(1) / self.rate)
                .clamp(Duration::from_millis(1), Duration::from_millis(20)),
        );
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut targets = self.targets.iter().copied().cycle();
        while !stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            while let Some(finished) = tasks.try_join_next() {
                report.record(finished);
            }
            let now = start.elapsed();
            while let due = self.due(report.started)
                && due <= now
                && tasks.len() < self.at_most
            {
                report.behind = report.behind.max(now.saturating_sub(due));
                report.started += 1;
                if let Some(target) = targets.next() {
                    let (number, under_way) = (under_way.begin(), Arc::clone(under_way));
                    let sample = sample(target, self.source, self.timeout, start);
                    tasks.spawn(async move {
                        let sample = sample.await;
                        under_way.end(number);
                        sample
                    });
                }
            }
        }
        while let Some(finished) = tasks.join_next().await {
            report.record(finished);
        }
        report.elapsed = start.elapsed();
        report.sorted.sort_unstable();
        report
    }

    /// When connection number `n` is due.
    fn due(&self, n: u64) -> Duration {
        Duration::from_nanos(n.saturating_mul(1_000_000_000) / u64::from(self.rate))
    }
}

impl RunningLoad {
    /// Waits until all connections that have begun by now have ended, and so many more.
    pub fn outlast(&self, more: u64) -> Result<()> {
        let before = self.under_way.lock().0;
        let asked = Instant::now();
        loop {
            {
                let (begun, all) = &*self.under_way.lock();
                let first = all.first().copied().unwrap_or(*begun);
                if first >= before + more {
                    return Ok(());
                }
            }
            if asked.elapsed() > LIMIT {
                return Err(Error::Deadline {
                    what: format!("{more} more connections of a load"),
                    waited: LIMIT,
                    context: format!("{:?}", self.under_way),
                });
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Begins no more connections, waits for those under way and tells the outcome.
    pub fn stop(mut self) -> Result<LoadReport> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(report)) => Ok(report),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(LoadReport::default()),
        }
    }
}

impl Drop for RunningLoad {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl LoadReport {
    /// Connections that were answered.
    pub fn answered(&self) -> u64 {
        self.backends.values().sum()
    }

    /// Connections that failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Whether the generator was more than 50 ms late: the machine was so short of CPU time that
    /// failures and slow answers say nothing about the dataplane.
    pub fn starved(&self) -> bool {
        self.behind > Duration::from_millis(50)
    }

    /// The latency that `share` (0.0 to 1.0) of the answered connections kept within; zero if
    /// nothing was answered.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a list of a test's samples, which the clamp keeps in range"
    )]
    pub fn percentile(&self, share: f64) -> Duration {
        let last = self.sorted.len().saturating_sub(1);
        let index = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
        self.sorted.get(index).copied().unwrap_or_default()
    }

    fn record(&mut self, finished: std::result::Result<LoadSample, tokio::task::JoinError>) {
        const EXAMPLES: usize = 100;
        let sample = match finished {
            Ok(sample) => sample,
            Err(error) => {
                let failure = Failure::Other(format!("the load's own task failed: {error}"));
                *self.failures.entry(failure).or_default() += 1;
                return;
            }
        };
        match &sample.result {
            Ok(answer) => {
                *self.backends.entry(answer.backend).or_default() += 1;
                self.sorted.push(sample.elapsed);
                if self
                    .slowest
                    .as_ref()
                    .is_none_or(|slowest| slowest.elapsed < sample.elapsed)
                {
                    self.slowest = Some(sample);
                }
            }
            Err(failure) => {
                *self.failures.entry(failure.clone()).or_default() += 1;
                if self.examples.len() < EXAMPLES {
                    self.examples.push(sample);
                }
            }
        }
    }
}

async fn sample(
    target: SocketAddr,
    source: Option<IpAddr>,
    patience: Duration,
    start: Instant,
) -> LoadSample {
    let at = start.elapsed();
    let result = timeout(patience, ask(target, source))
        .await
        .unwrap_or(Err(Failure::TimedOut));
    LoadSample {
        at,
        target,
        result,
        elapsed: start.elapsed().saturating_sub(at),
    }
}

async fn ask(target: SocketAddr, source: Option<IpAddr>) -> std::result::Result<Answer, Failure> {
    exchange(&mut open(target, source).await?).await
}

/// A connection, its handshake done.
pub(super) async fn open(
    target: SocketAddr,
    source: Option<IpAddr>,
) -> std::result::Result<TcpStream, Failure> {
    let stream = TcpStream::from_std(connecting(target, source)?.into())?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error.into()),
        None => Ok(stream),
    }
}

/// One request and its answer.
pub(super) async fn exchange(stream: &mut TcpStream) -> std::result::Result<Answer, Failure> {
    stream.write_all(REQUEST).await?;
    let mut received = Vec::with_capacity(512);
    loop {
        if let Some((answer, _)) = parse_response(&received)? {
            return Ok(answer);
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Err(Failure::Closed);
        }
    }
}
