//! Removes what an earlier proxy left in places that this mode does not write, once what takes its place is there.

use std::time::Duration;

use tokio::time::Instant;
use viprule_service::model::Protocol;
use viprule_service::plan::FlowPlace;
use viprule_writer::conntrack::Cleaner;

use super::telemetry::Telemetry;
use crate::mode::ModeSettings;
use crate::mode::leftovers::{Failed, Leftovers};

/// When a removal that failed is tried again at first; then after twice as long each time.
const AGAIN: Duration = Duration::from_secs(30);
const AGAIN_AT_MOST: Duration = Duration::from_secs(3600);

/// Looks for leftovers with settings of now.
pub(super) type Find = Box<dyn FnOnce(&ModeSettings) -> Vec<Result<Box<dyn Leftovers>, Failed>>>;

/// Removes what an earlier proxy left in places that this mode does not write.
pub(super) struct Takeover {
    settings: ModeSettings,
    /// Nobody has looked yet.
    find: Option<Find>,
    removals: Vec<Removal>,
}

/// One mode's leftovers.
struct Removal {
    leftovers: Box<dyn Leftovers>,
    /// The failure that was told, when to try again, and how long that is after the last time.
    failed: Option<(String, Instant, Duration)>,
}

impl Takeover {
    pub(super) fn new(settings: ModeSettings, find: Find) -> Self {
        Self {
            settings,
            find: Some(find),
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
    /// rules. So is what belongs to an IP family that is not served.
    pub(super) fn go_on(
        &mut self,
        cleaner: Option<&Cleaner>,
        telemetry: &Telemetry,
    ) -> Option<Duration> {
        if let Some(find) = self.find.take() {
            for found in find(&self.settings) {
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
        let (mut gone, mut next) = (Vec::new(), None);
        self.removals.retain_mut(|removal| {
            let again = removal.go_on(&mut gone, cleaner);
            next = next.into_iter().chain(again).min();
            again.is_some()
        });
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
        let now = Instant::now();
        if let Some((_, at, _)) = self.failed
            && now < at
        {
            return Some(at - now);
        }
        let progress = match self.leftovers.drain() {
            Ok(progress) => progress,
            Err(error) => {
                let error = format!("{}: {error:#}", self.leftovers.name());
                let wait = match self.failed.take() {
                    Some((told, _, wait)) if told == error => (2 * wait).min(AGAIN_AT_MOST),
                    _ => {
                        tracing::warn!("what an earlier proxy left stays for now: {error}");
                        AGAIN
                    }
                };
                self.failed = Some((error, now + wait, wait));
                return Some(wait);
            }
        };
        self.failed = None;
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
