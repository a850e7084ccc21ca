//! Two network namespaces: viprule writes one, the bare loop the other.

use std::time::Duration;

use anyhow::ensure;
use netlink_batch::{Socket, socket::NETFILTER};
use nfnetlink::Family;
use nfnetlink::nftables::{ChainId, CommitError, GROUP, Position, Transaction};
use nfnetlink::xtables::{Match, Rule};
use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_dataplane::netfilter::Kind;
use viprule_dataplane::{CommonSettings, DetectLocal, Scope};
use viprule_service::model::Event;
use viprule_service::tracker::Tracker;
use viprule_sync::{Report, Syncer};
use viprule_testkit::Namespace;
use viprule_writer::Tag;
use viprule_writer::netfilter::NftWriter;

use crate::recorder::Recorder;
use viprule_tests::figures::cluster::{Cluster, POD_NETWORK};
use viprule_tests::figures::samples::{Sample, time};

/// viprule as it is.
pub(crate) type Real = Syncer<Iptables, NftWriter>;
/// Parts of a write in the order of sending.
pub(crate) type Parts = Vec<Transaction<Tag>>;

/// Between two changes: the kernel frees what the last one removed meanwhile, and a new rule would
/// wait for that (8 to 16 ms).
pub(crate) const PAUSE: Duration = Duration::from_millis(60);

/// A namespace whose rules are removed at the end, and waited for.
#[derive(Debug)]
pub(crate) struct Scratch(pub(crate) Namespace);

impl Scratch {
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        Ok(Self(Namespace::new(name)?))
    }

    /// A socket inside.
    pub(crate) fn socket(&self) -> anyhow::Result<Socket> {
        Ok(self.0.run(|| Socket::open(NETFILTER))??)
    }

    /// A syncer inside that plans this and knows nothing of the kernel.
    pub(crate) fn syncer(&self, tracker: Tracker) -> anyhow::Result<Real> {
        let dataplane = dataplane(&tracker)?;
        let writer = self.0.run(|| NftWriter::open(&Family::ALL))??;
        Ok(Syncer::new(tracker, dataplane, writer))
    }

    fn empty(&self) -> anyhow::Result<()> {
        let mut socket = self.socket()?;
        for kind in Kind::ALL {
            for family in Family::ALL {
                let mut open = Transaction::<()>::new();
                open.new_table(family, kind.name());
                open.delete_table(family, kind.name());
                open.commit(&mut socket)?;
            }
        }
        // A rule with an xt match is not taken before everything removed has been freed.
        let chain = ChainId {
            family: Family::Ipv4,
            table: "last",
            name: "last",
        };
        let mut rule = Rule::new(Family::Ipv4);
        rule.matches.push(Match::Comment("waits".to_owned()));
        let mut open = Transaction::<()>::new();
        open.new_table(chain.family, chain.table);
        open.new_chain(chain);
        open.new_rule(chain, Position::End, false, |attrs| rule.encode(attrs));
        open.commit(&mut socket)?;
        std::thread::sleep(PAUSE);
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.empty() {
            eprintln!("emptying {}: {error:#}", self.0.name());
        }
    }
}

/// Both sides, with the same plans.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) viprule: Real,
    pub(crate) recorder: Syncer<Iptables, Recorder>,
    bare: Socket,
    // Last, so that the sockets are closed when the namespaces are emptied.
    pub(crate) viprule_side: Scratch,
    pub(crate) bare_side: Scratch,
}

impl World {
    /// Everything is planned, nothing is written.
    pub(crate) fn new(cluster: &Cluster) -> anyhow::Result<Self> {
        let (viprule_side, bare_side) = (Scratch::new("viprule")?, Scratch::new("bare")?);
        let bare = bare_side.socket()?;
        let tracker = cluster.tracker()?;
        let dataplane = dataplane(&tracker)?;
        let recorder = Syncer::new(tracker, dataplane, Recorder::new(bare.send_capacity()));
        let viprule = viprule_side.syncer(cluster.tracker()?)?;
        Ok(Self {
            viprule,
            recorder,
            bare,
            viprule_side,
            bare_side,
        })
    }

    /// Another viprule on its side, with the plans of now.
    pub(crate) fn another(&self, cluster: &Cluster) -> anyhow::Result<Real> {
        let mut tracker = cluster.tracker()?;
        let now = self.recorder.tracker();
        for id in now.services() {
            let slices = now.slices(&id).iter().cloned();
            slices.for_each(|slice| tracker.apply(Event::SliceApplied(slice)));
        }
        self.viprule_side.syncer(tracker)
    }

    /// Both change sides: which memory the kernel happened to give a namespace's rules makes more
    /// of a difference than what is to be measured. Both must have been written the same.
    pub(crate) fn swap(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        std::mem::swap(&mut self.viprule_side, &mut self.bare_side);
        self.bare = self.bare_side.socket()?;
        self.viprule = self.another(cluster)?;
        let report = self.viprule.reconcile(Scope::Everything)?;
        ensure!(
            report.is_empty(),
            "the floor wrote other rules than viprule: {report:?}"
        );
        Ok(())
    }

    /// The bytes of a first sync.
    pub(crate) fn prepare_everything(&mut self) -> anyhow::Result<(Report, Parts)> {
        let report = self.recorder.reconcile(Scope::Everything)?;
        Ok((report, self.recorder.writer().take_parts()))
    }

    /// The bytes of what the recorder's plans changed by.
    pub(crate) fn prepare_changes(&mut self) -> anyhow::Result<(Report, Parts)> {
        let report = self.recorder.sync()?;
        Ok((report, self.recorder.writer().take_parts()))
    }

    /// The bare loop.
    pub(crate) fn bare(&mut self, parts: &mut Parts) -> anyhow::Result<Sample> {
        self.unheard(|bare| {
            let (outcome, sample) = time(|| -> Result<(), CommitError<Tag>> {
                for part in parts {
                    part.commit(bare)?;
                }
                Ok(())
            });
            outcome?;
            Ok(sample)
        })
    }

    /// Does work while viprule does not listen. A listener anywhere on the machine makes every
    /// commit dearer, as the kernel has one table of them for all namespaces; viprule itself does
    /// not listen while it commits.
    pub(crate) fn unheard<T>(
        &mut self,
        work: impl FnOnce(&mut Socket) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.viprule.writer().events().leave(GROUP)?;
        let result = work(&mut self.bare);
        self.viprule.writer().events().join(GROUP)?;
        result
    }
}

/// viprule's defaults; without nfacct counters, which not every kernel has.
fn dataplane(tracker: &Tracker) -> anyhow::Result<Iptables> {
    let settings = Settings {
        common: CommonSettings {
            families: Family::ALL.to_vec(),
            detect_local: DetectLocal::ClusterCidr(vec![POD_NETWORK.parse()?]),
            ..CommonSettings::default()
        },
        nfacct: false,
        ..Settings::default()
    };
    Ok(Iptables::new(settings, tracker.facts()))
}

/// The floor is one only if it is made of the same bytes.
pub(crate) fn ensure_equal(real: &Report, prepared: &Report) -> anyhow::Result<()> {
    let sizes = |report: &Report| (report.transactions, report.bytes);
    ensure!(
        sizes(real) == sizes(prepared),
        "viprule sent {:?} transactions and bytes, the floor {:?}: recorder.rs has to follow \
         crates/writer",
        sizes(real),
        sizes(prepared),
    );
    Ok(())
}
