//! The client, the node and the backends, and programs run on the node.

use crate::screen::{Screen, text};
use anyhow::Context as _;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use viprule_testkit::agent::{Agent, viprule_binary};
use viprule_testkit::server::Server;
use viprule_testkit::topology::address;
use viprule_testkit::{Protocol, World};

/// The Service's addresses, as the manifest has them.
pub(crate) const CLUSTER_IP: &str = "10.1.20.144:8080";
pub(crate) const NODE_PORT: u16 = 32697;
/// Its endpoints, one on each node.
pub(crate) const ENDPOINTS: [&str; 3] = ["10.244.0.5:80", "10.244.1.3:80", "10.244.2.4:80"];
/// What every call of viprule is told, `$flags` in the commands shown.
pub(crate) const FLAGS: &str = "--node node-0 --cluster-cidr 10.244.0.0/16 --ip-family ipv4";
/// The manifest, written as people write it.
pub(crate) const MANIFEST: &str = "\
apiVersion: v1
kind: Service
metadata: {name: my-nginx, namespace: default}
spec:
  type: NodePort
  clusterIP: 10.1.20.144
  ports:
  - {port: 8080, targetPort: 80, nodePort: 32697}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: my-nginx-1, namespace: default, labels: {kubernetes.io/service-name: my-nginx}}
addressType: IPv4
ports:
- {port: 80}
endpoints:
- {addresses: [10.244.0.5], nodeName: node-0, conditions: {ready: true}}
- {addresses: [10.244.1.3], nodeName: node-1, conditions: {ready: true}}
- {addresses: [10.244.2.4], nodeName: node-2, conditions: {ready: true}}
";

/// Everything that the demo plays on; gone on drop.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) servers: Vec<Server>,
    pub(crate) endpoints: Vec<SocketAddr>,
    pub(crate) cluster_ip: SocketAddr,
    pub(crate) node_port: SocketAddr,
    path: OsString,
    viprule: PathBuf,
    folder: TempDir,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit status; 128 and more for signals, as shells count.
    pub(crate) status: i32,
    /// Both streams.
    pub(crate) output: String,
}

impl Stage {
    /// Makes the namespaces, starts the servers, writes the manifest.
    pub(crate) fn build() -> anyhow::Result<Self> {
        let viprule = std::path::absolute(viprule_binary()?)?;
        let pods = ["10.244.0.5", "10.244.1.3", "10.244.2.4"];
        let world = World::builder().pods(pods).build()?;
        let servers = world.serve_all(Protocol::Tcp, ENDPOINTS)?;
        let folder = TempDir::with_prefix("viprule-demo-").context("making a folder")?;
        std::env::set_current_dir(folder.path()).context("entering the demo's folder")?;
        std::fs::create_dir("manifests").context("making the manifest folder")?;
        std::fs::write("manifests/my-nginx.yaml", MANIFEST).context("writing the manifest")?;
        Ok(Self {
            endpoints: servers.iter().map(Server::address).collect(),
            world,
            servers,
            cluster_ip: CLUSTER_IP.parse()?,
            node_port: SocketAddr::new(address::NODE[0], NODE_PORT),
            path: path_with(&viprule)?,
            viprule,
            folder,
        })
    }

    /// Shows a command, runs it on the node and shows its output.
    pub(crate) fn run(&self, screen: &Screen, command: &str) -> anyhow::Result<Ran> {
        screen.command(command);
        let ran = self.run_quietly(command)?;
        if !ran.output.is_empty() {
            text(&ran.output);
        }
        Ok(ran)
    }

    /// Runs a command on the node, with a shell.
    pub(crate) fn run_quietly(&self, command: &str) -> anyhow::Result<Ran> {
        let shell = self.world.node().command("sh").args(["-c", command]);
        let output = shell.env("PATH", &self.path).env("flags", FLAGS).output()?;
        let both = [output.stdout, output.stderr].concat();
        let status = output.status;
        Ok(Ran {
            status: status
                .code()
                .unwrap_or(128 + status.signal().unwrap_or_default()),
            output: String::from_utf8_lossy(&both).into_owned(),
        })
    }

    /// Starts `viprule run` on the node, with these flags beside [`FLAGS`].
    pub(crate) fn start_agent(&self, flags: &[&str]) -> anyhow::Result<Agent> {
        let args = ["run", "--manifests", "manifests"]
            .into_iter()
            .chain(flags.iter().copied())
            .chain(FLAGS.split(' '));
        Ok(Agent::start_program(
            self.world.node(),
            &self.viprule,
            args,
        )?)
    }

    /// A shell for the reader, on the node.
    pub(crate) fn shell(&self) -> anyhow::Result<()> {
        println!(
            "\n\nA shell on node-0, with the agent running. `client COMMAND` runs COMMAND on the \
             client,\nsuch as `client curl -s http://{CLUSTER_IP}`. `exit` goes on with the cleanup.\n"
        );
        let client = self.world.client().path();
        let client = format!("() {{ nsenter --net={} \"$@\"; }}", client.display());
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-i"]).current_dir(self.folder.path());
        bash.env("PATH", &self.path)
            .env("flags", FLAGS)
            .env("PS1", "node-0$ ");
        bash.env("BASH_FUNC_client%%", client);
        self.world
            .node()
            .run(|| bash.status())?
            .context("starting bash")?;
        Ok(())
    }
}

impl Ran {
    /// Fails unless the command did what it should; for commands on which the rest builds.
    pub(crate) fn succeeded(self) -> anyhow::Result<Self> {
        anyhow::ensure!(self.status == 0, "the command failed: {self}");
        Ok(self)
    }

    /// Exit status 0 and not a word: what `viprule diff` says of a node that is in order.
    pub(crate) fn is_silent_success(&self) -> bool {
        self.status == 0 && self.output.is_empty()
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit status {}, {}", self.status, self.output.trim_end())
    }
}

/// The search path, with the folder of `program` first.
fn path_with(program: &Path) -> anyhow::Result<OsString> {
    let own = program.parent().map(ToOwned::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(
        own.into_iter().chain(std::env::split_paths(&path)),
    )?)
}
