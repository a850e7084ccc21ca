//! The configuration as it comes out of file and flags.

use std::path::PathBuf;

use viprule_source::files::Kinds;

use super::file::{self, File};
use super::flags::Flags;
use super::gates;
use super::own::OwnSettings;
use super::problem::ConfigError;
use super::proxy::KubeProxyConfiguration;
use super::resolve::{self, Names, Resolved};

/// Flags that count beside a configuration file, as kube-proxy's do (contract 8), or fill no field;
/// those that fill fields of ours do, too.
const BESIDE_FILE: [&str; 21] = [
    "against",
    "allow-empty",
    "boot-id-file",
    "cleanup",
    "config",
    "init-only",
    "log-flush-frequency",
    "log-json-info-buffer-size",
    "log-json-split-stream",
    "log-text-info-buffer-size",
    "log-text-split-stream",
    "logging-format",
    "machine-id-file",
    "manifests",
    "master",
    "node",
    "output",
    "v",
    "version",
    "vmodule",
    "write-config-to",
];

/// Where Services, `EndpointSlice`s and the Node come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSource {
    /// Files and folders.
    Manifests {
        /// Where they are.
        paths: Vec<PathBuf>,
        /// The agent writes at the start even where they have no Service.
        allow_empty: bool,
    },
    /// An API server.
    Cluster {
        /// None for a pod's own way in, unless `master` is there.
        kubeconfig: Option<PathBuf>,
        /// The server's URL in place of the kubeconfig's.
        master: Option<String>,
    },
}

/// All settings, complete and valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// kube-proxy's configuration with defaults, as `/configz` serves it.
    pub proxy: KubeProxyConfiguration,
    /// Our own.
    pub own: OwnSettings,
    /// Where facts come from.
    pub input: InputSource,
    /// All of it checked and typed.
    pub resolved: Resolved,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Effective {
    /// Reads the file that the flags name, puts the flags beside it, and checks all of it.
    ///
    /// The file may be a pipe, such as `<(…)` of a shell, which is read to its end. Reads this
    /// machine's host name where no node is named, and nothing else.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        Self::load_from(flags, Kinds::Pipes)
    }

    /// The same for who reads the file again when it changes: it must be a regular file.
    pub fn load_regular(flags: &Flags) -> Result<Self, ConfigError> {
        Self::load_from(flags, Kinds::Regular)
    }

    fn load_from(flags: &Flags, kinds: Kinds) -> Result<Self, ConfigError> {
        let file = flags.config().map(|path| file::read(path, kinds));
        Self::new(flags, file.transpose()?)
    }

    /// The same for a file that has been read.
    pub(super) fn new(flags: &Flags, file: Option<File>) -> Result<Self, ConfigError> {
        let names = Names {
            file: file.is_some(),
            given: flags.given.clone(),
        };
        let mut warnings = Vec::new();
        let (mut proxy, mut own);
        if let Some(mut file) = file {
            warnings.append(&mut file.warnings);
            warnings.extend(ignored(flags));
            (proxy, own) = (file.proxy, file.own);
            proxy.set_defaults();
            flags.fill_always(&mut proxy);
        } else {
            (proxy, own) = (
                KubeProxyConfiguration::with_defaults(),
                OwnSettings::default(),
            );
            flags.fill(&mut proxy);
        }
        proxy.fill_by_mode();
        flags.fill_own(&mut own);
        let resolved = resolve::resolve(&proxy, &own, &names).map_err(|problems| ConfigError {
            origin: match flags.config() {
                Some(path) => path.display().to_string(),
                None => String::new(),
            },
            problems,
        })?;
        let idle: Vec<_> = proxy
            .idle_fields()
            .iter()
            .map(|field| names.of(field))
            .collect();
        if !idle.is_empty() {
            warnings.push(format!("without effect here: {}", idle.join(", ")));
        }
        Ok(Self {
            input: input(flags, &proxy),
            proxy,
            own,
            resolved,
            warnings,
        })
    }

    /// What the existing parts work with.
    pub const fn resolve(&self) -> &Resolved {
        &self.resolved
    }

    /// This node's name (contract 1.2).
    pub fn node_name(&self) -> &str {
        &self.resolved.plan.node_name
    }

    /// The feature gates that count here, as `kubernetes_feature_enabled` shows them: name, stage
    /// (empty for general availability), whether it is on.
    pub fn feature_gates(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        gates::used(&self.proxy.feature_gates)
    }

    /// As `--write-config-to` writes it: kube-proxy's document, fields by name.
    pub fn to_yaml(&self) -> anyhow::Result<String> {
        let value = serde_json::to_value(&self.proxy)?;
        Ok(serde_saphyr::to_string(&value)?)
    }
}

fn input(flags: &Flags, proxy: &KubeProxyConfiguration) -> InputSource {
    let args = &flags.shared.input;
    if !args.manifests.is_empty() {
        let agent = flags.agent.as_ref();
        return InputSource::Manifests {
            paths: args.manifests.clone(),
            allow_empty: agent.is_some_and(|agent| agent.empty.allow_empty),
        };
    }
    // Verbs that end are an operator's, whose own kubeconfig counts beside a node's file.
    let of_flag = args.kubeconfig.clone().filter(|_| flags.agent.is_none());
    let of_file = || PathBuf::from(&proxy.client_connection.kubeconfig);
    let kubeconfig = of_flag.unwrap_or_else(of_file);
    InputSource::Cluster {
        kubeconfig: Some(kubeconfig).filter(|path| !path.as_os_str().is_empty()),
        master: args.master.clone().filter(|url| !url.is_empty()),
    }
}

/// Says which flags don't count because there is a file.
fn ignored(flags: &Flags) -> Option<String> {
    let counts = |name: &str| {
        BESIDE_FILE.contains(&name)
            || resolve::fills_beside_file(name)
            || (name == "kubeconfig" && flags.agent.is_none())
    };
    let ignored = flags.given.iter().filter(|name| !counts(name));
    let ignored: Vec<_> = ignored.map(|name| format!("--{name}")).collect();
    let ignored = ignored.join(", ");
    (!ignored.is_empty()).then(|| format!("{ignored}: without effect beside --config"))
}
