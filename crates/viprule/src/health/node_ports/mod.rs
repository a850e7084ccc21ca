//! The health check node ports of `externalTrafficPolicy: Local` load balancers (contract 6.2).

mod answer;
mod listeners;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use viprule_service::model::ServiceId;
use viprule_service::plan::NodePortTargets;
use viprule_sync::ServiceCheck;

use self::listeners::Listeners;
use super::{Clock, Moment, ProxyHealth};
use crate::http::RETRY;
use crate::metrics::Metrics;

/// A Service's health check can't be served on some address. Belongs into a Warning event about
/// the Service, with [`ListenFailure::REASON`] and [`ListenFailure::ACTION`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenFailure {
    /// The Service.
    pub service: ServiceId,
    /// The port.
    pub port: u16,
    /// The address, and what the kernel said.
    pub problem: String,
}

impl ListenFailure {
    /// The event's `reason`.
    pub const REASON: &'static str = "FailedToStartServiceHealthcheck";
    /// The event's `action`.
    pub const ACTION: &'static str = "Listen";

    /// The event's `note`, as kube-proxy words it.
    pub fn note(&self, node: &str) -> String {
        let Self {
            service,
            port,
            problem,
        } = self;
        format!("node {node} failed to start healthcheck \"{service}\" on port {port}: {problem}")
    }
}

/// How many files health checks may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Listening sockets; the oldest Services have theirs first.
    pub listeners: usize,
    /// Connections to all of them at a time; one more ends the oldest.
    pub connections: usize,
}

/// How health checks are served.
#[derive(Debug, Clone)]
pub struct ServiceCheckOptions {
    /// Told how many Services lack a listener.
    pub metrics: Arc<Metrics>,
    /// How many files may be open.
    pub room: Room,
    /// The proxy's health, on which answers depend. `None` where the proxy health server is
    /// switched off: the proxy counts as healthy then.
    pub health: Option<Arc<ProxyHealth>>,
    /// Where failures to listen go, each once until it changes.
    pub failures: mpsc::UnboundedSender<ListenFailure>,
    /// Where the time comes from.
    pub clock: Clock,
    /// How long to wait before listening is tried again.
    pub retry: Duration,
}

impl ServiceCheckOptions {
    /// With the real clock and room for everything, trying again every 5 s; the proxy counts as
    /// healthy.
    pub fn new(metrics: Arc<Metrics>, failures: mpsc::UnboundedSender<ListenFailure>) -> Self {
        Self {
            metrics,
            room: Room {
                listeners: usize::MAX,
                connections: usize::MAX,
            },
            health: None,
            failures,
            clock: Moment::now,
            retry: RETRY,
        }
    }
}

/// Owns the listeners of all health checks, in a task of its own. What it is told costs work for
/// the Services named, or for the addresses that came and went.
#[derive(Debug)]
pub struct ServiceChecks {
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Order {
    Checks(Vec<(ServiceId, Option<ServiceCheck>)>),
    Targets([NodePortTargets; 2]),
}

impl ServiceChecks {
    /// Starts without any Service, listening on every address, as a task of the current runtime.
    pub fn start(options: ServiceCheckOptions) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(keep(options, inbox));
        Self { orders, task }
    }

    /// Services whose check is new, changed, or gone (`None`); to be told after each successful
    /// sync. Services that are not named stay as they are.
    pub fn apply(&self, changes: Vec<(ServiceId, Option<ServiceCheck>)>) {
        if !changes.is_empty() {
            self.tell(Order::Checks(changes));
        }
    }

    /// The node's addresses that take node port traffic, for each family: before the first
    /// [`Self::apply`] where that is not every address, and whenever they change.
    pub fn set_targets(&self, targets: [NodePortTargets; 2]) {
        self.tell(Order::Targets(targets));
    }

    /// Closes every listener and waits for that.
    pub async fn stop(self) {
        drop(self.orders);
        // It fails only where the runtime is going down, and the listeners with it.
        let _ = self.task.await;
    }

    fn tell(&self, order: Order) {
        // The task ends before this only with its runtime.
        let _ = self.orders.send(order);
    }
}

async fn keep(options: ServiceCheckOptions, mut inbox: mpsc::UnboundedReceiver<Order>) {
    let retry = options.retry;
    let mut listeners = Listeners::new(options);
    let mut due = None;
    loop {
        due = match due {
            _ if !listeners.is_waiting() => None,
            None => Some(Instant::now() + retry),
            due => due,
        };
        let again = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = inbox.recv() => match order {
                Some(Order::Checks(changes)) => listeners.apply(changes).await,
                Some(Order::Targets(targets)) => listeners.set_targets(targets).await,
                None => break,
            },
            () = again => {
                due = None;
                listeners.try_again();
                listeners.tell();
            }
        }
    }
    listeners.close_all().await;
}
