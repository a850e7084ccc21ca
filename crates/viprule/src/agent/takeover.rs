//! Removes what an earlier proxy left in places that this mode does not write, once what takes its
//! place is there.

use std::time::Duration;

use tokio::time::Instant;
use viprule_service::model::Protocol;
use viprule_service::plan::FlowPlace;
use viprule_writer::conntrack::Cleaner;

use super::telemetry::Telemetry;
use crate::mode::ModeSettings;
use crate::mode::leftovers::{Found, Leftovers};

/// When a removal that failed is tried again at first; then after twice as long each time.
const AGAIN: Duration = Duration::from_secs(30);
const AGAIN_AT_MOST: Duration = Duration::from_secs(3600);
/// And not before this many times what it took: nothing else is written meanwhile.
const REST: u32 = 20;

/// Looks for leftovers with settings of now.
pub(super) type Find = Box<dyn Fn(&ModeSettings) -> Vec<Found>>;

/// Removes what an earlier proxy left in places that this mode does not write.
pub(super) struct Takeover {
    settings: ModeSettings,
    find: Find,
    /// There is to be a look at all.
    looks: bool,
    removals: Vec<Removal>,
}

/// One mode's leftovers.
struct Removal {
    leftovers: Box<dyn Leftovers>,
    failed: Option<Failure>,
}

/// A removal that failed.
struct Failure {
    told: String,
    /// When to try again.
    at: Instant,
    /// How long that is after the last time.
    wait: Duration,
}

impl Takeover {
    pub(super) fn new(settings: ModeSettings, find: Find) -> Self {
        Self {
            settings,
            find,
            looks: true,
            removals: Vec::new(),
        }
    }

    /// Takes settings that have changed.
    pub(super) fn configure(&mut self, settings: &ModeSettings) {
        if self.settings != *settings {
            self.settings.clone_from(settings);
            for removal in &mut self.removals {
                removal.leftovers.configure(settings);
            }
        }
    }

    /// To be called after each sync that put everything right, and when the answer says: it goes on
    /// until there is no answer. What can't be removed is told and left: it does no harm beside our
    /// rules. So is what belongs to an IP family that is not served. Where not everything is right
    /// (`is_right`), nothing is begun: what goes may be all that a Service has.
    pub(super) fn go_on(
        &mut self,
        is_right: bool,
        cleaner: Option<&Cleaner>,
        telemetry: &Telemetry,
    ) -> Option<Duration> {
        if is_right && std::mem::take(&mut self.looks) {
            for found in (self.find)(&self.settings) {
                match found {
                    Ok(leftovers) => self.removals.push(Removal {
                        leftovers,
                        failed: None,
                    }),
                    Err(error) => {
                        let error = anyhow::Error::from(error);
                        tracing::warn!("what an earlier proxy left stays: {error:#}");
                    }
                }
            }
        }
        let (mut gone, mut next, mut recovered) = (Vec::new(), None, false);
        self.removals.retain_mut(|removal| {
            let had_failed = removal.failed.is_some();
            let again = if had_failed && !is_right {
                Some(AGAIN)
            } else {
                removal.go_on(&mut gone, cleaner)
            };
            recovered |= had_failed && removal.failed.is_none();
            next = next.into_iter().chain(again).min();
            again.is_some()
        });
        // It may have been all that kept others.
        if recovered && self.removals.is_empty() {
            self.looks = true;
            next = Some(Duration::ZERO);
        }
        if !gone.is_empty() {
            let gone = gone.join(", ");
            tracing::info!("removed what an earlier proxy left: {gone}");
            telemetry.leftovers_removed(&gone);
        }
        next
    }
}

impl Removal {
    /// Tells when to go on.
    fn go_on(&mut self, gone: &mut Vec<String>, cleaner: Option<&Cleaner>) -> Option<Duration> {
        let start = Instant::now();
        let failed = self.failed.take_if(|failed| failed.at <= start);
        if let Some(failed) = &self.failed {
            return Some(failed.at - start);
        }
        let progress = match self.leftovers.drain() {
            Ok(progress) => progress,
            Err(error) => {
                let told = format!("{}: {error:#}", self.leftovers.name());
                if failed.as_ref().is_none_or(|failed| failed.told != told) {
                    tracing::warn!("what an earlier proxy left stays for now: {told}");
                }
                let wait = failed.map_or(AGAIN, |failed| (2 * failed.wait).min(AGAIN_AT_MOST));
                let wait = wait.max(REST * start.elapsed());
                self.failed = Some(Failure {
                    told,
                    at: Instant::now() + wait,
                    wait,
                });
                return Some(wait);
            }
        };
        for left in progress.left {
            tracing::warn!("what an earlier proxy left stays: {left}");
        }
        gone.extend(progress.gone);
        if let Some(cleaner) = cleaner {
            let udp = progress.udp.into_iter().map(FlowPlace::at);
            cleaner.removed(udp.map(|place| place.over(Protocol::Udp)));
        }
        progress.next
    }
}
