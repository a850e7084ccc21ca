//! Files and folders.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep_until};
use viprule_service::model::Event;
use viprule_source::addresses::{self, Addresses};
use viprule_source::manifest::{
    Load, Loss, Manifests, Problem, STDIN, Severity, Share, Watch, WatchOptions,
};

use super::Context;
use crate::agent::telemetry::Telemetry;
use crate::health::Moment;

/// What health calls them.
const SUBJECT: &str = "manifests";
/// How long no file changes before it is believed that most of what was there is gone: whoever fills
/// a folder or puts another one in its place is done by then.
const REST: Duration = Duration::from_secs(3);

/// Follows manifests. Ends only with an error.
///
/// Files that hold no Service at all take nothing away, unless `allow_empty`: such a folder is one
/// that is not filled or not mounted. Files that hold far less than was there do so when they rest.
pub(in super::super) async fn manifests(
    paths: &[PathBuf],
    allow_empty: bool,
    telemetry: &Telemetry,
    cx: Context<'_>,
) -> anyhow::Result<()> {
    let mut watch =
        Watch::new(paths.to_vec(), WatchOptions::default()).context("following the manifests")?;
    let mut belief = Belief {
        allow_empty,
        served: cx.served.count().await?,
        complete: false,
        before: Before::Believed,
    };
    let manifests = Manifests::new(paths.to_vec(), Some(cx.node.to_owned()));
    let (mut manifests, mut load) = read(manifests, belief).await?;
    // Whatever a Node object among them says: what is programmed is this machine.
    let mut addresses = Addresses::follow().context("following interface addresses")?;
    let now = addresses::local_addresses()
        .await
        .context("reading interface addresses")?;
    cx.events(vec![Event::LocalAddresses(now)]).await;
    let mut told = None;
    loop {
        let doubt = belief.doubt(&load, manifests.services());
        publish(load, &cx).await;
        if doubt.is_none() && !belief.complete {
            belief.complete = true;
            cx.complete().await;
        }
        if doubt != told {
            tell(doubt, paths, telemetry)?;
            told = doubt;
        }
        let rest = doubt.filter(|it| *it != Doubt::NoService);
        let rest = rest.map(|_| Instant::now() + REST);
        let has_rested = loop {
            let at_rest = async {
                match rest {
                    Some(rest) => sleep_until(rest).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = watch.changed() => break false,
                () = cx.reload.notified() => {
                    tracing::info!("reading the manifests again");
                    break false;
                }
                () = at_rest => break true,
                Some(conflict) = cx.conflicts.recv() => {
                    log_conflict(&manifests.conflict(&conflict));
                }
                now = addresses.changed() => cx.events(vec![Event::LocalAddresses(now)]).await,
            }
        };
        belief.before = match doubt {
            None => Before::Believed,
            Some(_) if has_rested => Before::Rested,
            Some(_) => Before::Doubted,
        };
        (manifests, load) = read(manifests, belief).await?;
    }
}

/// What is believed of files that hold less than before.
#[derive(Debug, Clone, Copy)]
struct Belief {
    allow_empty: bool,
    /// So many Services were served at the start.
    served: usize,
    /// Everything was told once.
    complete: bool,
    before: Before,
}

/// What came of the load before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Believed,
    /// Something was doubted, and files have changed since: what is missing may be still to come.
    Doubted,
    /// Something was doubted, and no file has changed for some time.
    Rested,
}

/// Why something is not taken for gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    NoService,
    /// Most of what was told is missing.
    Missing(Loss),
    /// At the start there is far less than is served.
    Fewer(Share),
}

impl Belief {
    fn believes(self, loss: &Loss) -> bool {
        let Loss { services, slices } = loss;
        let is_believed = match self.before {
            Before::Believed => !services.is_most() && !slices.is_most(),
            Before::Doubted => false,
            Before::Rested => true,
        };
        is_believed && (self.allow_empty || services.left > 0)
    }

    /// What is to be doubted after a load, when so many Services are known.
    fn doubt(self, load: &Load, services: usize) -> Option<Doubt> {
        let share = Share {
            missing: self.served.saturating_sub(services),
            known: self.served,
            left: services,
        };
        match load.withheld {
            Some(loss) if loss.services.left == 0 && !self.allow_empty => Some(Doubt::NoService),
            Some(loss) => Some(Doubt::Missing(loss)),
            None if services == 0 && !self.allow_empty => Some(Doubt::NoService),
            None if self.complete => None,
            None => {
                let is_doubted = match self.before {
                    Before::Believed => share.is_most(),
                    Before::Doubted => share.missing > 0,
                    Before::Rested => false,
                };
                is_doubted.then_some(Doubt::Fewer(share))
            }
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoService => f.write_str(
                "no Service is there: nothing is taken away; --allow-empty if that is meant",
            ),
            Self::Missing(Loss { services, slices }) => write!(
                f,
                "{} of {} Services and {} of {} EndpointSlices are missing: they stay until no file has \
                 changed for {REST:?}",
                services.missing, services.known, slices.missing, slices.known
            ),
            Self::Fewer(Share { left, known, .. }) => write!(
                f,
                "{left} Services, and the kernel serves {known}: nothing is written before no file has \
                 changed for {REST:?}"
            ),
        }
    }
}

/// Tells of a doubt, or that there is none any more. An error where no Service can come.
fn tell(doubt: Option<Doubt>, paths: &[PathBuf], telemetry: &Telemetry) -> anyhow::Result<()> {
    let Some(doubt) = doubt else {
        telemetry.health.clear(SUBJECT);
        return Ok(());
    };
    anyhow::ensure!(
        doubt != Doubt::NoService || paths.iter().any(|path| path.as_os_str() != STDIN),
        "no Service came on standard input, which is read once: nothing was touched; \
         --allow-empty goes on without any"
    );
    let names: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let message = format!("{}: {doubt}", names.join(", "));
    tracing::warn!("{message}");
    telemetry.health.warn(SUBJECT, &message, Moment::now());
    Ok(())
}

/// Reads the manifests apart from the reactor, as large ones take seconds.
async fn read(mut manifests: Manifests, belief: Belief) -> anyhow::Result<(Manifests, Load)> {
    let read = tokio::task::spawn_blocking(move || {
        let load = manifests.load_if(|loss| belief.believes(loss));
        (manifests, load)
    });
    read.await.context("reading the manifests")
}

async fn publish(load: Load, cx: &Context<'_>) {
    for problem in &load.problems {
        match problem.severity {
            Severity::Warning => tracing::warn!("{problem}"),
            Severity::Error => tracing::error!("{problem}; what it said before stays"),
        }
    }
    cx.events(load.events).await;
}

fn log_conflict(problem: &Problem) {
    match problem.severity {
        Severity::Warning => tracing::warn!("{problem}"),
        Severity::Error => tracing::error!("{problem}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BELIEF: Belief = Belief {
        allow_empty: false,
        served: 0,
        complete: true,
        before: Before::Believed,
    };

    fn share(missing: usize, known: usize, left: usize) -> Share {
        Share {
            missing,
            known,
            left,
        }
    }

    fn loss(services: Share, slices: Share) -> Loss {
        Loss { services, slices }
    }

    #[test]
    fn what_rests_is_believed_unless_no_service_is_left() {
        let few = loss(share(1, 9, 8), share(2, 9, 7));
        let services = loss(share(6, 10, 4), share(0, 10, 10));
        let slices = loss(share(0, 10, 10), share(6, 10, 4));
        let all = loss(share(3, 3, 0), share(3, 3, 0));
        for (loss, at_once, at_rest, empty_at_rest) in [
            (few, true, true, true),
            (services, false, true, true),
            (slices, false, true, true),
            (all, false, false, true),
        ] {
            let resting = Belief {
                before: Before::Rested,
                ..BELIEF
            };
            let allowing = Belief {
                allow_empty: true,
                ..resting
            };
            assert_eq!(BELIEF.believes(&loss), at_once, "{loss:?}");
            assert_eq!(resting.believes(&loss), at_rest, "{loss:?}");
            assert_eq!(allowing.believes(&loss), empty_at_rest, "{loss:?}");
        }
        // A file that grows has more than half at some time.
        let growing = Belief {
            before: Before::Doubted,
            ..BELIEF
        };
        assert!(!growing.believes(&few));
    }

    #[test]
    fn what_is_withheld_and_what_is_little_at_the_start_is_doubted() {
        let most = loss(share(6, 10, 4), share(6, 10, 4));
        let all = loss(share(3, 3, 0), share(3, 3, 0));
        let start = Belief {
            served: 10,
            complete: false,
            ..BELIEF
        };
        let resting = Belief {
            before: Before::Rested,
            ..start
        };
        let growing = Belief {
            before: Before::Doubted,
            ..start
        };
        let allowing = Belief {
            allow_empty: true,
            ..start
        };
        for (belief, withheld, services, doubt) in [
            (BELIEF, None, 4, None),
            (BELIEF, Some(most), 10, Some(Doubt::Missing(most))),
            (BELIEF, Some(all), 3, Some(Doubt::NoService)),
            (start, None, 0, Some(Doubt::NoService)),
            (start, None, 4, Some(Doubt::Fewer(share(6, 10, 4)))),
            (start, None, 5, None),
            (growing, None, 9, Some(Doubt::Fewer(share(1, 10, 9)))),
            (growing, None, 10, None),
            (resting, None, 4, None),
            (resting, None, 0, Some(Doubt::NoService)),
            (allowing, None, 0, Some(Doubt::Fewer(share(10, 10, 0)))),
        ] {
            let load = Load {
                withheld,
                ..Load::default()
            };
            assert_eq!(belief.doubt(&load, services), doubt, "{services} {doubt:?}");
        }
    }
}
