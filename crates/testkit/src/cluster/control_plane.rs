//! etcd, kube-apiserver and kube-controller-manager as processes of one namespace.

use super::api::Api;
use super::components::Components;
use super::users::{self, User};
use crate::LIMIT;
use crate::agent::Agent;
use crate::error::{Error, Result};
use crate::netns::Namespace;
use k8s_openapi::api::core::v1::Service;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use tempfile::TempDir;

/// Ranges of cluster IPs.
pub const SERVICE_RANGES: &str = "10.1.0.0/16,fd00:10:1::/112";
/// Where kube-apiserver listens.
pub const API_PORT: u16 = 6443;

const ETCD: &str = "http://127.0.0.1:2379";

/// Controllers that the scenarios need. Others would only cost time.
pub const CONTROLLERS: [&str; 4] = [
    "deployment-controller",
    "replicaset-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
];

/// Admission that costs time or needs controllers that don't run.
const ADMISSION_OFF: &str = "ServiceAccount,TaintNodesByCondition,LimitRanger,ResourceQuota,\
     Priority,DefaultTolerationSeconds,DefaultStorageClass,StorageObjectInUseProtection,\
     PersistentVolumeClaimResize,RuntimeClass,CertificateApproval,CertificateSigning,\
     CertificateSubjectRestriction,DefaultIngressClass,PodSecurity,MutatingAdmissionWebhook,\
     ValidatingAdmissionWebhook,ValidatingAdmissionPolicy";

/// A control plane; its processes end and its data go on drop.
#[derive(Debug)]
pub struct ControlPlane {
    components: Components,
    namespace: Namespace,
    address: IpAddr,
    etcd: Option<Agent>,
    apiserver: Option<Agent>,
    controllers: Option<Agent>,
    api: Option<Api>,
    folder: TempDir,
}

/// The state of etcd at one time.
#[derive(Debug)]
pub struct Snapshot {
    data: PathBuf,
}

impl ControlPlane {
    /// Starts etcd and kube-apiserver in `namespace` and waits until objects can be made. The API
    /// server listens on every address there; `address` is what its certificate and kubeconfigs
    /// name. Takes about 3 s.
    pub fn start(namespace: &Namespace, address: IpAddr) -> Result<Self> {
        let components = Components::find()?;
        let folder = TempDir::with_prefix("viprule-cluster-")
            .map_err(Error::io("making a folder for a control plane"))?;
        users::write_tokens(&folder.path().join("tokens"))?;
        let key = folder.path().join("service-account.key");
        let openssl = namespace.command("openssl");
        openssl
            .args([
                "ecparam",
                "-genkey",
                "-noout",
                "-name",
                "prime256v1",
                "-out",
            ])
            .arg(&key)
            .text()?;
        let mut plane = Self {
            components,
            namespace: namespace.try_clone()?,
            address,
            etcd: None,
            apiserver: None,
            controllers: None,
            api: None,
            folder,
        };
        plane.start_etcd()?;
        plane.start_apiserver()?;
        Ok(plane)
    }

    /// The admin's client. It outlives restarts of the API server.
    pub fn api(&self) -> Result<&Api> {
        self.api.as_ref().ok_or_else(|| Error::NotInWorld {
            what: "running API server".to_owned(),
        })
    }

    /// `https://…` of the API server.
    pub fn server(&self) -> String {
        match self.address {
            IpAddr::V4(ip) => format!("https://{ip}:{API_PORT}"),
            IpAddr::V6(ip) => format!("https://[{ip}]:{API_PORT}"),
        }
    }

    /// The certificate authority that clients should trust, PEM.
    pub fn authority(&self) -> PathBuf {
        // Made by the API server: its own certificate, then the authority's.
        self.path("certificates/apiserver.crt")
    }

    /// Writes a user's kubeconfig; its path, which is the same each time.
    pub fn kubeconfig(&self, user: User) -> Result<PathBuf> {
        users::write_kubeconfig(self.folder.path(), user, &self.server(), &self.authority())
    }

    /// A folder that goes with the control plane.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts kube-apiserver and waits until it is ready and objects can be made.
    pub fn start_apiserver(&mut self) -> Result<()> {
        let program = self.components.program("kube-apiserver")?;
        let key = self.path("service-account.key").display().to_string();
        let mut args = vec![
            format!("--etcd-servers={ETCD}"),
            format!("--cert-dir={}", self.path("certificates").display()),
            format!("--advertise-address={}", self.address),
            format!("--secure-port={API_PORT}"),
            format!("--token-auth-file={}", self.path("tokens").display()),
            format!("--service-cluster-ip-range={SERVICE_RANGES}"),
            format!("--service-account-key-file={key}"),
            format!("--service-account-signing-key-file={key}"),
            format!("--disable-admission-plugins={ADMISSION_OFF}"),
        ];
        args.extend(
            [
                "--bind-address=::",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://cluster.test",
                "--enable-priority-and-fairness=false",
                "--max-requests-inflight=0",
                "--max-mutating-requests-inflight=0",
                "--audit-log-path=",
            ]
            .map(str::to_owned),
        );
        let mut process = Agent::start_program(&self.namespace, &program, args)?;
        let authority = self.authority();
        process.wait_until("kube-apiserver's certificate", LIMIT, || {
            fs::read_to_string(&authority).is_ok_and(|pem| pem.matches("END CERT").count() > 1)
        })?;
        if self.api.is_none() {
            let api = Api::connect(&self.namespace, &self.server(), &authority, User::Admin)?;
            self.api = Some(api);
        }
        let api = self.api()?;
        process.wait_until("kube-apiserver to be ready", LIMIT, || {
            // Its own Service is there once cluster IPs can be given out.
            api.is_ready() && matches!(api.get::<Service>("default/kubernetes"), Ok(Some(_)))
        })?;
        self.apiserver = Some(process);
        Ok(())
    }

    /// SIGKILL to kube-apiserver. Connections to it are reset.
    pub fn kill_apiserver(&mut self) -> Result<()> {
        self.apiserver
            .take()
            .map_or(Ok(()), |mut process| process.kill().map(drop))
    }

    /// Starts kube-controller-manager with these controllers only, see [`CONTROLLERS`].
    pub fn start_controllers(&mut self, controllers: &[&str]) -> Result<()> {
        let program = self.components.program("kube-controller-manager")?;
        let kubeconfig = self.kubeconfig(User::Admin)?;
        let args = [
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--controllers={}", controllers.join(",")),
            format!("--cert-dir={}", self.path("controllers").display()),
            "--leader-elect=false".to_owned(),
            "--use-service-account-credentials=false".to_owned(),
            "--kube-api-qps=1000".to_owned(),
            "--kube-api-burst=1000".to_owned(),
            "--concurrent-service-endpoint-syncs=10".to_owned(),
        ];
        self.controllers = Some(Agent::start_program(&self.namespace, &program, args)?);
        Ok(())
    }

    /// SIGKILL to kube-controller-manager.
    pub fn kill_controllers(&mut self) -> Result<()> {
        self.controllers
            .take()
            .map_or(Ok(()), |mut process| process.kill().map(drop))
    }

    /// Copies etcd's data. etcd is down for a moment, about 1 s, which the API server bridges.
    pub fn snapshot(&mut self) -> Result<Snapshot> {
        self.stop_etcd()?;
        let snapshots = (0..).map(|n| self.path(&format!("snapshot-{n}")));
        let data = snapshots
            .into_iter()
            .find(|path| !path.exists())
            .unwrap_or_default();
        self.copy(&self.path("etcd"), &data)?;
        self.start_etcd()?;
        Ok(Snapshot { data })
    }

    /// Puts etcd back to an earlier state, revision included. The API server is killed before and
    /// started after; it may be down already.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.kill_apiserver()?;
        self.stop_etcd()?;
        let data = self.path("etcd");
        fs::remove_dir_all(&data).map_err(Error::io(format!("removing {}", data.display())))?;
        self.copy(&snapshot.data, &data)?;
        self.start_etcd()?;
        self.start_apiserver()
    }

    fn start_etcd(&mut self) -> Result<()> {
        let program = self.components.program("etcd")?;
        let args = [
            "--data-dir".to_owned(),
            self.path("etcd").display().to_string(),
            format!("--listen-client-urls={ETCD}"),
            format!("--advertise-client-urls={ETCD}"),
            "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
            "--unsafe-no-fsync".to_owned(),
            "--quota-backend-bytes=4294967296".to_owned(),
        ];
        let mut process = Agent::start_program(&self.namespace, &program, args)?;
        process.wait_for_line("ready to serve client requests", LIMIT)?;
        self.etcd = Some(process);
        Ok(())
    }

    fn stop_etcd(&mut self) -> Result<Option<ExitStatus>> {
        self.etcd
            .take()
            .map(|mut process| process.terminate(LIMIT))
            .transpose()
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        let command = self.namespace.command("cp").args(["-a", "--reflink=auto"]);
        command.arg(from).arg(to).text().map(drop)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The last lines of every component, for messages of failed tests.
    pub fn logs(&self) -> String {
        const SHOWN: usize = 25;
        let components = [
            ("etcd", &self.etcd),
            ("kube-apiserver", &self.apiserver),
            ("kube-controller-manager", &self.controllers),
        ];
        let mut text = String::new();
        for (name, process) in components {
            let lines = process.as_ref().map(Agent::lines).unwrap_or_default();
            let last = &lines[lines.len().saturating_sub(SHOWN)..];
            let _ = writeln!(text, "== {name}\n{}", last.join("\n"));
        }
        text
    }
}

impl Drop for ControlPlane {
    #[allow(clippy::print_stderr, reason = "a failed test shows what it saw")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        // Clients first, the API server before its store: no component waits for another.
        self.api = None;
        self.controllers = None;
        self.apiserver = None;
        self.etcd = None;
    }
}
