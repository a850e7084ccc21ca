//! A node without pods: a namespace, a folder of manifests, and the program.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use netlink_batch::{Socket, socket::NETFILTER};
use nfnetlink::nftables;
use tempfile::TempDir;
use viprule_testkit::Namespace;
use viprule_testkit::agent::{Agent, viprule_binary};
use viprule_testkit::dump::{Dump, Family};
use viprule_testkit::manifests::{EndpointSlice, ManifestFolder, Node, Service, service, slice};
use viprule_testkit::netns::require_privileges;

pub(crate) use viprule_testkit::LIMIT;

/// The pods' networks in the golden cluster.
pub(crate) const PODS: &str = "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48";

/// The folder of the golden cluster.
pub(crate) fn golden() -> PathBuf {
    viprule_testkit::golden::folder().join("cluster")
}

pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    pub(crate) folder: ManifestFolder,
    directory: TempDir,
}

impl Place {
    /// A node with the golden cluster's manifests.
    pub(crate) fn golden() -> Self {
        let place = Self::empty();
        let text = std::fs::read_to_string(golden().join("cluster.yaml")).unwrap();
        place.folder.write("cluster.yaml", &text).unwrap();
        place
    }

    /// A node with Services a to e, two endpoints and a node port each.
    pub(crate) fn small() -> Self {
        let place = Self::empty();
        place
            .folder
            .write("node.yaml", &Node::under_test())
            .unwrap();
        for (number, name) in (1..).zip(["a", "b", "c", "d", "e"]) {
            place.write(name, number, &["10.244.0.5", "10.244.1.7"]);
        }
        place
    }

    pub(crate) fn empty() -> Self {
        require_privileges().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let folder = ManifestFolder::new(directory.path().join("manifests")).unwrap();
        let namespace = Namespace::new("node").unwrap();
        Self {
            namespace,
            folder,
            directory,
        }
    }

    /// A folder that goes with the node.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a Service's file.
    pub(crate) fn write(&self, name: &str, number: u16, endpoints: &[&str]) {
        let service = numbered(name, number);
        let slice = endpoints_of(name, endpoints);
        self.folder
            .write(&format!("{name}.yaml"), &format!("{service}---\n{slice}"))
            .unwrap();
    }

    /// The arguments of a verb that reads the manifests.
    fn args(&self, verb: &str, more: &[&str]) -> Vec<String> {
        let folder = self.folder.path().display().to_string();
        let mut args = vec![verb.to_owned()];
        if !matches!(verb, "cleanup") {
            let input = ["--node", "node-0", "--manifests", &folder, PODS];
            args.extend(input.map(str::to_owned));
        }
        args.extend(more.iter().map(ToString::to_string));
        args
    }

    /// Runs a verb to its end.
    pub(crate) fn viprule(&self, verb: &str, more: &[&str]) -> Answer {
        let program = viprule_binary().unwrap().display().to_string();
        let command = self.namespace.command(&program);
        command.args(self.args(verb, more)).output().unwrap().into()
    }

    /// Starts the agent and waits for its first sync.
    pub(crate) fn run(&self, more: &[&str]) -> Agent {
        let mut agent = self.start(more);
        agent.wait_for_line("first sync", LIMIT).unwrap();
        agent
    }

    /// Starts the agent.
    pub(crate) fn start(&self, more: &[&str]) -> Agent {
        let args = [&["--log-level=debug"], more].concat();
        Agent::start(&self.namespace, self.args("run", &args)).unwrap()
    }

    /// Starts the agent where it finds no other programs than those in this folder.
    pub(crate) fn start_with_path(&self, folder: &Path, more: &[&str]) -> Agent {
        let path = format!("PATH={}", folder.display());
        let program = viprule_binary().unwrap().display().to_string();
        let args = [vec![path, program], self.args("run", more)].concat();
        Agent::start_program(&self.namespace, Path::new("/usr/bin/env"), args).unwrap()
    }

    /// Starts the agent with a log that goes elsewhere.
    pub(crate) fn start_logging_to(&self, log: impl Into<Stdio>) -> Child {
        let mut command = Command::new(viprule_binary().unwrap());
        command.args(self.args("run", &[])).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(log);
        // A child is in the network namespace of the thread that starts it.
        self.namespace.run(|| command.spawn()).unwrap().unwrap()
    }

    /// Runs a program of the iptables family.
    pub(crate) fn tool(&self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let command = self.namespace.command(words[0]);
        command.args(&words[1..]).text().unwrap()
    }

    pub(crate) fn dump(&self) -> [Dump; 2] {
        Family::ALL.map(|family| Dump::take(&self.namespace, family).unwrap())
    }

    /// The rules of an IPv4 chain.
    pub(crate) fn rules(&self, table: &str, chain: &str) -> Vec<String> {
        self.dump()[0].rules(table, chain).to_vec()
    }

    /// Commits in the namespace so far, whoever made them.
    pub(crate) fn generation(&self) -> u32 {
        let mut socket = self
            .namespace
            .run(|| Socket::open(NETFILTER))
            .unwrap()
            .unwrap();
        nftables::generation(&mut socket).unwrap()
    }

    /// Waits until the kernel has what the manifests ask for.
    #[track_caller]
    pub(crate) fn wait_for_sync(&self) {
        let start = Instant::now();
        loop {
            let answer = self.viprule("diff", &[]);
            if answer.code == 0 {
                return;
            }
            assert!(
                start.elapsed() < LIMIT,
                "still after {LIMIT:?}:\n{}",
                answer.out
            );
        }
    }

    #[track_caller]
    pub(crate) fn assert_in_sync(&self) {
        let answer = self.viprule("diff", &[]);
        assert_eq!((answer.code, answer.all().as_str()), (0, ""));
    }
}

/// A `NodePort` Service of one TCP port: 10.1.0.N:80 and 30000 + N.
pub(crate) fn numbered(name: &str, number: u16) -> Service {
    service(&format!("shop/{name}"))
        .cluster_ip(&format!("10.1.{}.{}", number / 256, number % 256))
        .tcp("http", 80, 8080)
        .node_port(30_000 + number)
}

/// Its endpoints.
pub(crate) fn endpoints_of(name: &str, endpoints: &[&str]) -> EndpointSlice {
    let slice = slice(&format!("shop/{name}-1"), name).tcp("http", 8080);
    let add = |slice: EndpointSlice, ip: &&str| slice.ready(ip, "node-1");
    endpoints.iter().fold(slice, add)
}

/// The chains that Services share.
const SHARED: [&str; 4] = [
    "KUBE-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-PROXY-FIREWALL",
];

/// Where a rule of a shared chain belongs: those that count come before those that take the same
/// packets without counting, and what leads on to node ports comes last.
fn rank(rule: &str) -> u8 {
    match rule {
        _ if rule.contains("--nfacct-name ") => 0,
        _ if rule.ends_with("-j KUBE-NODEPORTS") => 2,
        _ => 1,
    }
}

/// The same rules, with one order where it is free: among rules of shared chains that take
/// different packets. Those that have to be behind others stay behind them.
pub(crate) fn ordered(mut dump: Dump) -> Dump {
    let chains = dump.tables.values_mut().flat_map(|table| &mut table.chains);
    for (_, chain) in chains.filter(|(name, _)| SHARED.contains(&name.as_str())) {
        for part in chain
            .rules
            .chunk_by_mut(|one, next| rank(one) == rank(next))
        {
            part.sort();
        }
    }
    dump
}

/// What a program printed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    /// Both streams.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Fails unless the program said that all is well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}", self.all());
        self.out
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

/// The first chain of a Service whose name begins so, found by a rule's comment.
pub(crate) fn chain_of(rules: &[String], comment: &str) -> String {
    let rule = rules.iter().find(|rule| rule.contains(comment));
    let rule = rule.unwrap_or_else(|| panic!("no rule says {comment:?} in {rules:#?}"));
    rule.rsplit(' ').next().unwrap().to_owned()
}
