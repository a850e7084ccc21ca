//! What targets are known to read: captures, dumps and manifests that other tests hold them to.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Datagrams of all subsystems.
pub(crate) fn datagrams() -> Vec<Vec<u8>> {
    [nftables(), native(), ipset(), conntrack(), ipvs()].concat()
}

pub(crate) fn nftables() -> Vec<Vec<u8>> {
    hex("crates/nfnetlink/src/nftables/tests/captures")
}

/// Messages of native sets, elements and rules, some in each.
pub(crate) fn native() -> Vec<Vec<u8>> {
    let captures = texts("crates/nfnetlink/tests/data/native", &["hex"]);
    let datagrams = captures.iter().flat_map(|text| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let messages: Vec<_> = lines.map(unpacked).collect();
        let parts = messages.chunks(6).map(<[_]>::concat);
        parts.collect::<Vec<_>>()
    });
    datagrams.collect()
}

/// Tables as nft prints them.
pub(crate) fn native_texts() -> Vec<Vec<u8>> {
    let texts = texts("crates/nfnetlink/tests/data/native", &["nft"]);
    texts.into_iter().map(String::into_bytes).collect()
}

pub(crate) fn ipset() -> Vec<Vec<u8>> {
    hex("crates/nfnetlink/src/ipset/captures")
}

pub(crate) fn conntrack() -> Vec<Vec<u8>> {
    hex("crates/nfnetlink/src/conntrack/captures")
}

pub(crate) fn ipvs() -> Vec<Vec<u8>> {
    hex("crates/ipvs-netlink/tests/data")
}

/// The attributes of captured rules.
pub(crate) fn rules() -> Vec<Vec<u8>> {
    let captures = texts("crates/nfnetlink/tests/data", &["capture"]);
    let rules = captures.iter().flat_map(|text| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.skip(1).step_by(2).map(unpacked)
    });
    rules.collect()
}

/// Lines of rules, many in one.
pub(crate) fn rule_texts() -> Vec<Vec<u8>> {
    let dumps = texts("crates/nfnetlink/tests/data", &["v4", "v6", "txt"]);
    let texts = dumps.iter().flat_map(|text| {
        let rules = text.lines().filter_map(|line| line.strip_prefix("-A "));
        let rules = rules.map(|rule| rule.split_once(' ').map_or("", |(_, rule)| rule));
        let rules: Vec<_> = rules.collect();
        let parts = rules.chunks(8).map(|part| part.join("\n").into_bytes());
        parts.collect::<Vec<_>>()
    });
    texts.collect()
}

pub(crate) fn ipset_texts() -> Vec<Vec<u8>> {
    files("tests/golden/cluster/ipvs", &["ipset-save.txt"])
}

pub(crate) fn ipvs_texts() -> Vec<Vec<u8>> {
    let names = ["ipvsadm-Sn.txt", "every-option.txt"];
    files("crates/ipvs-netlink/tests/data", &names)
}

pub(crate) fn ipvs_proc() -> Vec<Vec<u8>> {
    files("crates/ipvs-netlink/tests/data", &["every-option.proc"])
}

pub(crate) fn iptables_saves() -> Vec<Vec<u8>> {
    let mut saves = files(
        "tests/golden/cluster",
        &["iptables-save.txt", "ip6tables-save.txt"],
    );
    for folder in golden() {
        saves.extend(
            texts(&folder, &["rules"])
                .into_iter()
                .map(String::into_bytes),
        );
    }
    saves
}

pub(crate) fn ipvs_saves() -> Vec<Vec<u8>> {
    let folder = "tests/golden/cluster/ipvs";
    let parts = [
        ("# ipset save", "ipset-save.txt"),
        ("# ipvsadm -Sn", "ipvsadm-Sn.txt"),
        ("# ip address show dev kube-ipvs0", "addresses.txt"),
        ("# iptables-save", "iptables-save.txt"),
        ("# ip6tables-save", "ip6tables-save.txt"),
    ];
    let mut whole = Vec::new();
    for (heading, name) in parts {
        whole.extend(format!("{heading}\n").into_bytes());
        whole.extend(files(folder, &[name]).concat());
    }
    let mut saves = files(folder, &parts.map(|(_, name)| name));
    saves.push(whole);
    saves
}

/// Manifests as they are, and with another encoding.
pub(crate) fn manifests() -> Vec<Vec<u8>> {
    let mut found = all_manifests();
    let wide = |unit: u16| unit.to_le_bytes();
    let first = found.first().map(|text| format!("\u{feff}{text}"));
    let utf16 = first
        .iter()
        .map(|text| text.encode_utf16().flat_map(wide).collect());
    let mut seeds: Vec<Vec<u8>> = utf16.collect();
    seeds.extend(first.map(String::into_bytes));
    found.extend(texts("crates/source/tests/broken", &["yaml"]));
    seeds.extend(found.into_iter().map(String::into_bytes));
    seeds
}

/// The same objects in lists, and what is broken.
pub(crate) fn json_manifests() -> Vec<Vec<u8>> {
    let lists = objects().into_iter().map(|objects| {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
        list.to_string().into_bytes()
    });
    let broken = texts("crates/source/tests/broken", &["json"]);
    lists
        .chain(broken.into_iter().map(String::into_bytes))
        .collect()
}

/// The objects of each manifest.
pub(crate) fn objects() -> Vec<Vec<Value>> {
    let manifests = all_manifests();
    manifests
        .iter()
        .filter_map(|text| serde_saphyr::from_multiple(text).ok())
        .collect()
}

pub(crate) fn configs() -> Vec<Vec<u8>> {
    let texts = texts(
        "crates/viprule/tests/config/files",
        &["yaml", "conf", "json"],
    );
    let own = "---\napiVersion: config.viprule.dev/v1alpha1\nkind: VipruleConfiguration\n\
               ipvsDrainTimeout: 15m\niptablesBackend: auto\n";
    let mut seeds: Vec<_> = texts.iter().map(|text| text.clone().into_bytes()).collect();
    seeds.extend(
        texts
            .first()
            .map(|text| format!("{text}{own}").into_bytes()),
    );
    seeds
}

pub(crate) fn flags() -> Vec<Vec<u8>> {
    let mut seeds = vec![FLAGS.as_bytes().to_vec()];
    for folder in golden() {
        let given = fs::read_to_string(root().join(folder).join("flags"));
        seeds.extend(given.map(|text| text.replace([' ', '='], "\n").into_bytes()));
    }
    seeds
}

pub(crate) fn kubeconfigs() -> Vec<Vec<u8>> {
    vec![KUBECONFIG.as_bytes().to_vec()]
}

pub(crate) fn settings() -> Vec<Vec<u8>> {
    vec![SETTINGS.as_bytes().to_vec()]
}

const FLAGS: &str = "--proxy-mode=ipvs
--v=4
--ipvs-scheduler=wrr
--cluster-cidr=10.244.0.0/16,fd00:10:244::/48
--nodeport-addresses=192.168.77.0/24,primary
--healthz-bind-address=[::1]:10256
--metrics-bind-address=127.0.0.1
--iptables-sync-period=30s
--conntrack-max-per-core=32768
--detect-local-mode=ClusterCIDR
--feature-gates=AllAlpha=false,NFTablesProxyMode=true
--vmodule=a=1,b*=2
--hostname-override=node-0
--kube-api-qps=5.5
--ipvs-exclude-cidrs=10.0.0.0/8
--log-json-info-buffer-size=1Ki";

const KUBECONFIG: &str = "apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: c, user: u, namespace: default}}]
clusters:
- name: c
  cluster: {server: 'https://10.0.0.1:6443', certificate-authority: ca.crt, tls-server-name: a}
users:
- name: u
  user: {client-certificate: u.crt, client-key: u.key, tokenFile: token}
- name: v
  user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: ./get, args: [a]}}
";

const SETTINGS: &str = "172.30.0.041
::ffff:10.1.2.3/120
fd00:10::/48
1h2m3.5s
-250ms
1.5Ki
KUBE-SVC-XPGD46QRK7WJZT7O
KUBE-SERVICES
wrr
sip
flag-1,flag-2
sh-fallback,sh-port
kube-system/kube-dns
hash:ip,port
KUBE-CLUSTER-IP
a\u{1b}[31m\tb\u{202e}
https://user:pass@host:6443/x";

fn all_manifests() -> Vec<String> {
    let folders = golden().into_iter();
    folders
        .flat_map(|folder| texts(&folder, &["yaml"]))
        .collect()
}

fn golden() -> Vec<String> {
    let folders = fs::read_dir(root().join("tests/golden"))
        .into_iter()
        .flatten();
    let names = folders
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| format!("tests/golden/{}", entry.file_name().display()));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn files(folder: &str, names: &[&str]) -> Vec<Vec<u8>> {
    let paths = names.iter().map(|name| root().join(folder).join(name));
    paths.flat_map(fs::read).collect()
}

/// The files of a folder whose names end so, by name.
fn texts(folder: &str, extensions: &[&str]) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten();
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .iter()
        .filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            extension.is_some_and(|extension| extensions.contains(&extension))
        })
        .flat_map(fs::read_to_string)
        .collect()
}

/// Captures in hexadecimal, with comments.
fn hex(folder: &str) -> Vec<Vec<u8>> {
    let texts = texts(folder, &["hex"]);
    let bytes = texts.iter().map(|text| {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .flat_map(str::split_whitespace)
            .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
            .collect()
    });
    bytes.collect()
}

/// Hexadecimal with `(N)` for N zero bytes.
fn unpacked(hex: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in hex.split_inclusive(['(', ')']) {
        if let Some(count) = part.strip_suffix(')') {
            bytes.resize(bytes.len() + count.parse().unwrap_or(0), 0);
            continue;
        }
        let digits = part.trim_end_matches('(').as_bytes().chunks(2);
        let pairs = digits.filter_map(|pair| std::str::from_utf8(pair).ok());
        bytes.extend(pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()));
    }
    bytes
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
