//! A node whose iptables is the legacy one.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nfnetlink::Family;
use viprule_dataplane::Scope;
use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_dataplane::netfilter::{Desired, Key, Object, Piece, print_save};
use viprule_service::model::Event;
use viprule_service::tracker::Tracker;
use viprule_source::manifest::Manifests;
use viprule_sync::{Report, SyncError, Syncer, desired};
use viprule_testkit::dump::Dump;
use viprule_testkit::objects;
use viprule_writer::Writer;
use viprule_writer::netfilter::LegacyWriter;

use crate::support::Place;

/// A node that knows nothing yet.
pub(crate) fn blank<W>(settings: Settings, writer: W) -> Syncer<Iptables, W>
where
    W: Writer<Key = Key, Object = Object>,
{
    let tracker = Tracker::new(objects::plan_config("node-0"));
    let dataplane = Iptables::new(settings, tracker.facts());
    Syncer::new(tracker, dataplane, writer)
}

/// Without counters, which a new namespace has none of.
pub(crate) fn uncounted() -> Settings {
    Settings {
        nfacct: false,
        ..Settings::default()
    }
}

/// Links to the programs that keep what they are fed.
pub(crate) fn recorded_tools(place: &Place) -> PathBuf {
    let folder = place.directory().join("tools");
    std::fs::create_dir(&folder).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/recorded");
    for family in ["iptables", "ip6tables"] {
        for what in ["save", "restore"] {
            symlink(&program, folder.join(format!("{family}-legacy-{what}"))).unwrap();
        }
    }
    folder
}

fn writer(tools: &Path) -> LegacyWriter {
    LegacyWriter::open_with_tools_in(&Family::ALL, tools).unwrap()
}

fn manifests(place: &Place) -> Manifests {
    Manifests::new([place.folder.path().into()], Some("node-0".to_owned()))
}

/// What the manifests say.
pub(crate) fn events(place: &Place) -> Vec<Event> {
    let load = manifests(place).load();
    assert_eq!(load.problems, []);
    load.events
}

pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) syncer: Syncer<Iptables, LegacyWriter>,
    settings: Settings,
    manifests: Manifests,
    tools: PathBuf,
}

impl Node {
    /// The node of these manifests, not yet programmed.
    pub(crate) fn new(place: Place, settings: Settings) -> Self {
        let tools = recorded_tools(&place);
        let mut node = Self {
            syncer: blank(settings.clone(), writer(&tools)),
            manifests: manifests(&place),
            place,
            settings,
            tools,
        };
        node.read();
        node
    }

    /// Forgets all but the manifests and the kernel.
    pub(crate) fn restart(&mut self) {
        self.syncer = blank(self.settings.clone(), writer(&self.tools));
        self.manifests = manifests(&self.place);
        self.read();
    }

    /// Takes in what the manifests say now.
    pub(crate) fn read(&mut self) {
        let load = self.manifests.load();
        assert_eq!(load.problems, []);
        for event in load.events {
            self.syncer.apply(event);
        }
    }

    pub(crate) fn look(&mut self) -> Result<Report, SyncError> {
        let syncer = &mut self.syncer;
        let namespace = &self.place.namespace;
        namespace
            .run(|| syncer.reconcile(Scope::Everything))
            .unwrap()
    }

    pub(crate) fn sync(&mut self) -> Result<Report, SyncError> {
        let syncer = &mut self.syncer;
        self.place.namespace.run(|| syncer.sync()).unwrap()
    }

    /// Reads the manifests and writes what they changed.
    #[track_caller]
    pub(crate) fn follow(&mut self) -> Report {
        self.read();
        self.sync().unwrap()
    }

    pub(crate) fn remove_everything(&mut self) -> Report {
        let syncer = &mut self.syncer;
        let report = self.place.namespace.run(|| syncer.remove_everything());
        report.unwrap().unwrap()
    }

    /// What others changed, as the writer says.
    pub(crate) fn foreign_changes(&mut self) -> Scope<Piece> {
        let writer = self.syncer.writer();
        let changes = self.place.namespace.run(|| writer.foreign_changes());
        changes.unwrap().unwrap().scope
    }

    /// What the restore programs were fed since the last question.
    pub(crate) fn fed(&self) -> String {
        let path = self.tools.join("fed");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let _ = std::fs::remove_file(path);
        text
    }

    /// What the save programs print.
    pub(crate) fn saved(&self) -> [Dump; 2] {
        ["iptables-legacy-save", "ip6tables-legacy-save"]
            .map(|tool| Dump::parse(&self.place.tool(tool)).unwrap())
    }

    /// What they should print of ours.
    pub(crate) fn wanted(&self) -> [Dump; 2] {
        let state: Desired = desired(self.syncer.dataplane(), self.syncer.tracker());
        Family::ALL.map(|family| Dump::parse(&print_save(family, &state)).unwrap())
    }

    /// Fails unless the kernel has just what it should, and everything in its place.
    #[track_caller]
    pub(crate) fn assert_right(&self) {
        for (saved, wanted) in self.saved().iter().zip(&self.wanted()) {
            for (table, chains) in &wanted.tables {
                for (chain, wanted) in &chains.chains {
                    let (mut has, mut rules) =
                        (saved.rules(table, chain).to_vec(), wanted.rules.clone());
                    assert!(
                        saved.tables[table].chains.contains_key(chain),
                        "{table} {chain}"
                    );
                    // Rules of Services in a shared chain have no order, but node ports come last.
                    if matches!(chain.as_str(), "KUBE-SERVICES" | "KUBE-NODEPORTS") {
                        if (table.as_str(), chain.as_str()) == ("nat", "KUBE-SERVICES") {
                            assert_eq!(has.last(), rules.last(), "{table} {chain}");
                        }
                        has.sort();
                        rules.sort();
                    }
                    if wanted.policy.is_some() {
                        has.retain(|rule| rule.contains("-j KUBE-"));
                    }
                    assert_eq!(has, rules, "{table} {chain}");
                }
            }
            let ours = saved.ours();
            for (table, chains) in &ours.tables {
                for (chain, held) in &chains.chains {
                    let expected = wanted
                        .tables
                        .get(table)
                        .is_some_and(|t| t.chains.contains_key(chain));
                    assert!(expected || held.policy.is_some(), "left: {table} {chain}");
                }
            }
        }
    }
}
