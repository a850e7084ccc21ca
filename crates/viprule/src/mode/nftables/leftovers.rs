//! Tables of nftables mode: kube-proxy's, and ours while another mode serves, or none.

use nfnetlink::Family;
use viprule_dataplane::{Scope, State, diff};
use viprule_sync::Report;
use viprule_writer::Writer as _;
use viprule_writer::leftovers::{self, Leftover, TableOf};
use viprule_writer::nftables::NftablesWriter;

use super::print;
use crate::mode::ProxyMode;
use crate::mode::changes::Changes;
use crate::mode::leftovers::{Failed, Found, Leftovers, Progress, Search, told};

/// Of any family, as kube-proxy does: packets pass a table until it is gone.
pub(super) fn find(search: &Search<'_>) -> Vec<Found> {
    let all = TableOf::ALL.into_iter();
    // In nftables mode ours is what it works with.
    let of = all.filter(|of| *of != TableOf::Viprule || search.mode != Some(ProxyMode::Nftables));
    let found = of.filter_map(|of| match leftovers::tables(&[of]) {
        Ok(there) if there.is_empty() => None,
        Ok(there) => Some(Ok(Box::new(Tables { of, there }) as _)),
        Err(error) => Some(Err(Failed {
            what: name(of).to_owned(),
            source: error.into(),
        })),
    });
    found.collect()
}

const fn name(of: TableOf) -> &'static str {
    match of {
        TableOf::KubeProxy => "tables of kube-proxy's nftables mode",
        TableOf::Viprule => "tables of nftables mode",
    }
}

/// The tables, with all that is in them.
#[derive(Debug)]
struct Tables {
    of: TableOf,
    there: Vec<Leftover>,
}

impl Leftovers for Tables {
    fn name(&self) -> String {
        name(self.of).to_owned()
    }

    fn lines(&mut self) -> anyhow::Result<Vec<String>> {
        Ok(self.there.iter().map(ToString::to_string).collect())
    }

    /// What we know of it is told one by one; it goes with all that is in it.
    fn changes(&mut self) -> anyhow::Result<Changes> {
        let mut changes = Changes::none("all");
        if self.of == TableOf::Viprule {
            let families = self.there.iter().filter_map(|leftover| match leftover {
                Leftover::Table(family, _) => Some(*family),
                _ => None,
            });
            let mut writer = NftablesWriter::open(&families.collect::<Vec<Family>>())?;
            let there = writer.observe(&Scope::Everything)?;
            changes.join(print::changes(&diff(&there, &State::default())));
        } else {
            changes.add_leftovers(self.lines()?);
        }
        Ok(changes)
    }

    fn drain(&mut self) -> anyhow::Result<Progress> {
        let report = self.remove()?;
        Ok(Progress {
            gone: report.leftovers,
            left: report.refused,
            ..Progress::default()
        })
    }

    fn remove(&mut self) -> anyhow::Result<Report> {
        Ok(told(leftovers::remove_tables(&[self.of])?))
    }
}
