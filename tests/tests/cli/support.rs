//! The program, in a network namespace without rules and with a folder of manifests.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use viprule_testkit::Namespace;
use viprule_testkit::agent::{Agent, viprule_binary};
use viprule_testkit::netns::{NamespaceCommand, require_privileges};

/// The golden cluster's folder.
pub(crate) fn golden(file: &str) -> PathBuf {
    let folder = viprule_testkit::golden::folder();
    folder.join("cluster").join(file)
}

pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    pub(crate) directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        require_privileges().unwrap();
        Self {
            namespace: Namespace::new("cli").unwrap(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// A file in the folder of manifests.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs the program with these arguments; `{}` is the folder of manifests.
    pub(crate) fn viprule(&self, args: &str) -> Answer {
        let program = viprule_binary().unwrap().display().to_string();
        self.program(&program, args)
    }

    /// Runs any program.
    pub(crate) fn program(&self, program: &str, args: &str) -> Answer {
        Answer::of(self.namespace.command(program).args(self.words(args)))
    }

    /// Starts the agent on the folder of manifests.
    pub(crate) fn run(&self) -> Agent {
        let args = self.words("run --node node-0 --manifests {}");
        Agent::start(&self.namespace, args).unwrap()
    }

    fn words(&self, args: &str) -> Vec<String> {
        let folder = self.directory.path().display().to_string();
        let words = args.split_whitespace();
        words.map(|word| word.replace("{}", &folder)).collect()
    }

    /// Everything in the kernel's rule set.
    pub(crate) fn ruleset(&self) -> String {
        self.program("nft", "list ruleset").out
    }
}

/// What a program printed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    /// Runs a command to its end.
    pub(crate) fn of(command: NamespaceCommand<'_>) -> Self {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Fails unless it ended with this code, said nothing on standard error, and printed something.
    #[track_caller]
    pub(crate) fn clean(self, code: i32) -> String {
        assert_eq!((self.code, self.err.as_str()), (code, ""));
        self.out
    }

    /// Fails unless it is an error that says all this and printed no result.
    #[track_caller]
    pub(crate) fn says(&self, parts: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (2, ""), "{}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in\n{}", self.err);
        }
    }
}

/// A Service and its endpoint.
pub(crate) fn good(name: &str, cluster_ip: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{clusterIP: {cluster_ip}, ports: [{{name: http, port: 80}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}-a, namespace: shop, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: http, port: 8080}}]\nendpoints: [{{addresses: [10.244.0.5]}}]\n"
    )
}
