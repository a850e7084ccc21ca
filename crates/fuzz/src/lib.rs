//! One target for each decoder and each parser: a function that any bytes can be given to.
//!
//! A target panics where something does not hold: a reader that panics itself, what is read but
//! reads back otherwise once it was written, a state that differs from itself. libFuzzer runs the
//! targets (`scripts/fuzz`), and so does `tests/replay.rs` with all seeds and mutations of them.
//!
//! Inputs that a target once failed at are kept in `corpus/TARGET`.

mod attributes;
mod config;
pub mod explore;
mod flow;
mod ipset;
mod ipvs;
mod kernel;
mod manifest;
mod mutate;
mod native;
mod nftables;
mod plans;
mod save;
mod seeds;
mod server;
mod text;
mod xtables;

use std::fs;
use std::path::PathBuf;

/// Inputs are cut to this length, bytes: a datagram of netlink, and a long manifest.
pub const LONGEST: usize = 64 << 10;

/// What can be given any bytes.
#[derive(Debug)]
pub struct Target {
    /// Its name on command lines.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub run: fn(&[u8]),
    /// What it is known to read.
    seeds: fn() -> Vec<Vec<u8>>,
    /// Mutations that the replay makes: some two seconds of them at most.
    pub mutations: u32,
}

/// All of them.
#[rustfmt::skip]
pub const TARGETS: &[Target] = &[
    target("messages", attributes::messages, seeds::datagrams, 60_000),
    target("attributes", attributes::attributes, seeds::rules, 60_000),
    target("nftables", nftables::read, seeds::nftables, 60_000),
    target("native", native::read, seeds::native, 20_000),
    target("native-text", native::parse, seeds::native_texts, 5_000),
    target("rule", xtables::decode, seeds::rules, 60_000),
    target("rule-text", xtables::parse, seeds::rule_texts, 20_000),
    target("ipset", ipset::read, seeds::ipset, 60_000),
    target("ipset-text", ipset::parse, seeds::ipset_texts, 30_000),
    target("conntrack", flow::read, seeds::conntrack, 60_000),
    target("ipvs", ipvs::read, seeds::ipvs, 60_000),
    target("ipvs-text", ipvs::parse, seeds::ipvs_texts, 20_000),
    target("ipvs-proc", ipvs::proc, seeds::ipvs_proc, 40_000),
    target("kernel-iptables", kernel::iptables, kernel::iptables_seeds, 3_000),
    target("kernel-ipvs", kernel::ipvs, kernel::ipvs_seeds, 3_000),
    target("kernel-others", kernel::others, kernel::others_seeds, 20_000),
    target("iptables-save", save::iptables, seeds::iptables_saves, 6_000),
    target("ipvs-saves", save::ipvs, seeds::ipvs_saves, 3_000),
    target("manifest-yaml", manifest::yaml, seeds::manifests, 600),
    target("manifest-json", manifest::json, seeds::json_manifests, 800),
    target("manifest-change", manifest::change, seeds::manifests, 500),
    target("api-server", server::list, server::list_seeds, 5_000),
    target("api-watch", server::watch, server::watch_seeds, 700),
    target("config-file", config::file, seeds::configs, 1_200),
    target("flags", config::flags, seeds::flags, 2_000),
    target("kubeconfig", config::kubeconfig, seeds::kubeconfigs, 4_000),
    target("settings", text::settings, seeds::settings, 15_000),
    target("escapes", text::escapes, seeds::settings, 30_000),
];

const fn target(
    name: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
    mutations: u32,
) -> Target {
    Target {
        name,
        run,
        seeds,
        mutations,
    }
}

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// What it is known to read, and what it once failed at; none longer than [`LONGEST`].
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = (self.seeds)();
        seeds.extend(self.found());
        for seed in &mut seeds {
            seed.truncate(LONGEST);
        }
        seeds
    }

    /// What it once failed at.
    fn found(&self) -> Vec<Vec<u8>> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus");
        let Ok(entries) = fs::read_dir(folder.join(self.name)) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().flat_map(fs::read).collect()
    }
}
