//! IPVS mode's virtual servers, link and sets while another mode serves, or none.

use std::collections::BTreeSet;

use viprule_dataplane::ipvs::Key;
use viprule_dataplane::{State, diff};
use viprule_sync::Report;
use viprule_writer::ipvs::Former;
use viprule_writer::leftovers::Leftover;

use super::print;
use crate::mode::changes::Changes;
use crate::mode::leftovers::{self, Failed, Found, Leftovers, Progress, Search};
use crate::mode::{ModeSettings, ProxyMode};

const NAME: &str = "what IPVS mode has in the kernel";

/// In IPVS mode they are what it works with.
pub(super) fn find(search: &Search<'_>) -> Vec<Found> {
    if search.mode == Some(ProxyMode::Ipvs) {
        return Vec::new();
    }
    match Former::find(search.families) {
        Ok(None) => Vec::new(),
        Ok(Some(mut former)) => {
            let excluded = search.settings.ipvs.exclude_cidrs.clone();
            former.exclude(|ip| excluded.iter().any(|it| it.contains(ip)));
            former.set_drain_timeout(search.settings.ipvs.drain_timeout);
            vec![Ok(Box::new(former))]
        }
        Err(error) => vec![Err(Failed {
            what: NAME.to_owned(),
            source: error.into(),
        })],
    }
}

impl Leftovers for Former {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn lines(&mut self) -> anyhow::Result<Vec<String>> {
        Ok(self.leftovers().iter().map(ToString::to_string).collect())
    }

    fn changes(&mut self) -> anyhow::Result<Changes> {
        let (there, nothing) = (self.observe()?, State::default());
        let mut changes = print::changes(&diff(&there, &nothing));
        let sets = there.iter().filter_map(|(key, _)| match key {
            Key::Set(set) => Some(set.to_string()),
            _ => None,
        });
        let sets: BTreeSet<String> = sets.collect();
        // A set of another kind has no content that is known.
        let rest = self
            .leftovers()
            .into_iter()
            .filter(|leftover| matches!(leftover, Leftover::Set(name) if !sets.contains(name)));
        changes.add_leftovers(rest.map(|leftover| leftover.to_string()).collect());
        Ok(changes)
    }

    fn configure(&mut self, settings: &ModeSettings) {
        self.set_drain_timeout(settings.ipvs.drain_timeout);
    }

    fn drain(&mut self) -> anyhow::Result<Progress> {
        let progress = Self::drain(self)?;
        let Report {
            leftovers: gone,
            refused: left,
            ..
        } = leftovers::told(progress.removal);
        Ok(Progress {
            gone,
            left,
            udp: progress.udp,
            next: progress.next,
        })
    }

    fn remove(&mut self) -> anyhow::Result<Report> {
        Ok(leftovers::told(Self::remove(self)?))
    }
}
