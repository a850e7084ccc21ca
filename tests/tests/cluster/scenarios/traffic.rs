//! Clients that never rest.

use super::Stage;
use super::report::Report;
use crate::support::LIMIT;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::client::{Client, KeptLoad, Load, RunningKept, RunningLoad};

/// New connections a second, from each of three places.
const RATE: u32 = 100;
/// Connections that stay open, from each of three places.
const KEPT: usize = 8;
const PAUSE: Duration = Duration::from_millis(250);
/// New connections at a time from each place, where a machine is too slow for them.
const UNDER_WAY: usize = 32;

/// New connections from each place that are waited for to see where they go: chance spares none of
/// ten pods.
const FURTHER: u64 = 150;

/// What an attempt may take before there is a rule for it.
const ONCE: Duration = Duration::from_secs(3);

/// New and kept connections from a pod and from a node to the cluster IP, from outside to the node
/// ports.
#[derive(Debug)]
pub(crate) struct Traffic<'s> {
    stage: &'s Stage,
    app: String,
    begun: Instant,
    new: Vec<RunningLoad>,
    kept: Vec<RunningKept>,
}

impl<'s> Traffic<'s> {
    #[track_caller]
    pub(super) fn start(
        stage: &'s Stage,
        app: &str,
        cluster_ip: SocketAddr,
        outside: &[SocketAddr],
    ) -> Self {
        let inside = [cluster_ip];
        let places = [
            (stage.client_pod().namespace(), &inside[..]),
            (stage.node(1), &inside),
            (stage.outside(), outside),
        ];
        for (namespace, targets) in places {
            for target in targets {
                answered(&Client::new(namespace).timeout(ONCE), *target);
            }
        }
        assert!(stage.caught_up(app, LIMIT), "a proxy never caught up");
        let begun = Instant::now();
        let (mut new, mut kept) = (Vec::new(), Vec::new());
        for (namespace, targets) in places {
            let targets = targets.iter().copied();
            let load = Load::new(RATE, targets.clone())
                .timeout(LIMIT)
                .at_most(UNDER_WAY);
            new.push(load.start(namespace).unwrap());
            let load = KeptLoad::new(KEPT, PAUSE, targets).timeout(LIMIT);
            kept.push(load.start(namespace).unwrap());
        }
        Self {
            stage,
            app: app.to_owned(),
            begun,
            new,
            kept,
        }
    }

    /// Waits until all new connections have ended that have begun by now, and some more.
    #[track_caller]
    pub(crate) fn outlast(&self) {
        for load in &self.new {
            load.outlast(FURTHER).unwrap();
        }
    }

    /// Ends it.
    pub(crate) fn stop(self) -> Report {
        let new = self.new.into_iter().map(|load| load.stop().unwrap());
        let kept = self.kept.into_iter().map(RunningKept::stop);
        Report::new(
            self.stage,
            &self.app,
            self.begun,
            new.collect(),
            kept.collect(),
        )
    }
}

/// Waits until an address answers: the proxies may not have heard of it yet.
#[track_caller]
pub(crate) fn answered(client: &Client<'_>, target: SocketAddr) {
    let start = Instant::now();
    loop {
        let attempt = client.tcp(target).unwrap();
        if attempt.is_answered() {
            return;
        }
        assert!(start.elapsed() < LIMIT, "{target}: {attempt:?}");
        sleep(Duration::from_millis(20));
    }
}
