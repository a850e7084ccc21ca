//! A world, the manifests of its node and the program under test.

use super::{Run, Turn};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;
use viprule_testkit::agent::viprule_binary;
use viprule_testkit::dump::{Dump, Family, Tables, VirtualServers};
use viprule_testkit::manifests::ManifestFolder;
use viprule_testkit::netns::require_privileges;
use viprule_testkit::server::Server;
use viprule_testkit::topology::WorldBuilder;
use viprule_testkit::{Mode, Protocol, World};

/// The detector that most clusters have, as a flag.
pub(crate) const CLUSTER_CIDR: &str = "--cluster-cidr 10.244.0.0/16,fd00:10:244::/48";

/// A pod on the node that is in every world and no endpoint of any Service.
pub(super) const BYSTANDER: [&str; 2] = ["10.244.0.200", "fd00:10:244::200"];

/// All that a test plays on; gone on drop.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) world: World,
    manifests: ManifestFolder,
    _folder: TempDir,
    // The turn ends when everything else is gone.
    _turn: Turn,
}

impl Stage {
    /// The world that `builder` describes and [`BYSTANDER`] in it.
    pub(crate) fn new(turn: Turn, builder: WorldBuilder) -> Self {
        Self::build(turn, builder.pod(&BYSTANDER.join(",")))
    }

    /// A node that has no pods and no links for any.
    pub(crate) fn without_pods(turn: Turn) -> Self {
        Self::build(turn, World::builder())
    }

    fn build(turn: Turn, builder: WorldBuilder) -> Self {
        require_privileges().unwrap();
        let world = builder.build().unwrap();
        let folder = TempDir::with_prefix("viprule-traffic-").unwrap();
        let manifests = ManifestFolder::new(folder.path().join("manifests")).unwrap();
        Self {
            world,
            manifests,
            _folder: folder,
            _turn: turn,
        }
    }

    /// Writes or replaces a manifest.
    pub(crate) fn write(&self, name: &str, text: &(impl ToString + ?Sized)) {
        self.manifests.write(name, text).unwrap();
    }

    /// The folder of the manifests.
    pub(crate) fn folder(&self) -> &Path {
        self.manifests.path()
    }

    /// Removes a manifest.
    pub(crate) fn remove(&self, name: &str) {
        self.manifests.remove(name).unwrap();
    }

    /// `viprule apply` with these flags; what it printed.
    #[track_caller]
    pub(crate) fn apply(&self, flags: &str) -> String {
        self.succeed("apply", flags)
    }

    /// `viprule cleanup`; what it printed.
    #[track_caller]
    pub(crate) fn cleanup(&self) -> String {
        text(&self.viprule(&["cleanup"]))
    }

    /// `viprule cleanup`, whatever comes of it.
    pub(crate) fn try_cleanup(&self) -> Output {
        self.viprule(&["cleanup"])
    }

    /// `viprule diff` finds nothing.
    #[track_caller]
    pub(crate) fn assert_in_sync(&self, flags: &str) {
        assert_eq!(self.succeed("diff", flags), "");
    }

    /// Starts `viprule run` with these flags and waits for nothing.
    pub(crate) fn start(&self, flags: &str) -> Run {
        Run::start(self.world.node(), &self.args("run", flags))
    }

    /// Starts `viprule run` with these flags and waits until the kernel is right.
    pub(crate) fn run(&self, flags: &str) -> Run {
        let mut run = self.start(flags);
        run.expect("first sync: ");
        run
    }

    /// Gives an address of no Service endpoint to a pod on the node and starts a server there,
    /// to which the node routes what no rule catches.
    pub(crate) fn stranger(&self, pod: &str, protocol: Protocol, address: SocketAddr) -> Server {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let host = format!("{}/{prefix}", address.ip());
        let namespace = self.world.pod(pod).unwrap();
        namespace.ip([format!("addr add {host} dev lo")]).unwrap();
        self.world
            .node()
            .ip([format!("route add {host} via {pod}")])
            .unwrap();
        Server::start(namespace, protocol, address).unwrap()
    }

    /// The ruleset of the node.
    pub(crate) fn dump(&self, family: Family) -> Dump {
        Dump::take(self.world.node(), family).unwrap()
    }

    /// The same as another mode than this run's.
    #[track_caller]
    pub(crate) fn apply_as(&self, mode: Mode, flags: &str) -> String {
        text(&self.viprule(&self.args_of(mode, "apply", flags)))
    }

    /// [`Self::start`] as another mode than this run's.
    pub(crate) fn start_as(&self, mode: Mode, flags: &str) -> Run {
        Run::start(self.world.node(), &self.args_of(mode, "run", flags))
    }

    /// All of it that a proxy writes; rules with their handles where the kernel has any, which a
    /// rule that is written anew doesn't keep.
    pub(crate) fn state(&self) -> String {
        let mut state = match Tables::of_this_kernel() {
            Tables::Nft => {
                let list = self.world.node().command("nft");
                list.args(["-a", "-s", "list", "ruleset"]).text().unwrap()
            }
            Tables::Legacy => Family::ALL
                .map(|family| self.dump(family).to_string())
                .concat(),
        };
        if Mode::of_this_run() == Mode::Ipvs {
            state.push_str(&self.servers().to_string());
        }
        state
    }

    /// The node's virtual servers, sets and bound addresses.
    pub(crate) fn servers(&self) -> VirtualServers {
        VirtualServers::take(self.world.node()).unwrap()
    }

    #[track_caller]
    fn succeed(&self, verb: &str, flags: &str) -> String {
        text(&self.viprule(&self.args(verb, flags)))
    }

    fn args(&self, verb: &str, flags: &str) -> Vec<String> {
        self.args_of(Mode::of_this_run(), verb, flags)
    }

    fn args_of(&self, mode: Mode, verb: &str, flags: &str) -> Vec<String> {
        let folder = self.manifests.path().display().to_string();
        [verb, "--manifests", &folder, "--node", "node-0"]
            .into_iter()
            .chain(flags.split_whitespace())
            .map(str::to_owned)
            .chain(mode.flags())
            .collect()
    }

    fn viprule<S: AsRef<Path>>(&self, args: &[S]) -> Output {
        let program = viprule_binary().unwrap();
        let command = self.world.node().command(&program.to_string_lossy());
        command
            .args(args.iter().map(AsRef::as_ref))
            .output()
            .unwrap()
    }
}

/// Standard output of a program that succeeded.
#[track_caller]
fn text(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{out}{err}", output.status);
    out
}
