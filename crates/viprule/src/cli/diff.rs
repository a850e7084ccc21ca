//! `viprule diff`

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nfnetlink::Family;
use viprule_dataplane::iptables::{Desired, Iptables, Object, parse_save};
use viprule_dataplane::{Scope, diff};
use viprule_writer::Writer as _;
use viprule_writer::backend::{HostWriter, choose};
use viprule_writer::iptables::probe;

use super::changes::Changes;
use super::input::Place;
use super::verb::VerbArgs;
use super::{Given, exit, input, print};
use crate::agent::desired;
use crate::config::Output;

/// Print what the kernel has otherwise than it should, without changing it
///
/// Lines with - are in the kernel and should not be, lines with + should be there and are not.
/// Exits 0 without differences, 1 with differences, 2 on errors.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    verb: VerbArgs,
    /// Compare with what iptables-save or ip6tables-save printed into this file, in place of this
    /// kernel; may be given once for each family
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    against: Vec<PathBuf>,
}

pub(super) fn run(args: Args, given: Given) -> anyhow::Result<u8> {
    let output = args.verb.output;
    let effective = args.verb.settings(given)?;
    let resolved = effective.resolve();
    let (observed, settings, from, place) = if args.against.is_empty() {
        let settings = resolved.iptables_on(probe(false)?);
        let backend = choose(resolved.backend.chosen())?.backend;
        let mut writer = HostWriter::open(backend, &settings.families)?;
        let observed = writer.observe(&Scope::Everything)?;
        (observed, settings, "kernel".to_owned(), Place::Here)
    } else {
        let saved = Saved::read(&args.against, &resolved.iptables.families)?;
        let mut settings = resolved.iptables.clone();
        settings.families = saved.families;
        settings.nfacct = saved.nfacct;
        let names: Vec<_> = args
            .against
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        (saved.state, settings, names.join(" "), Place::Anywhere)
    };
    let tracker = input::load(&effective, place)?;
    let dataplane = Iptables::new(settings, tracker.facts());
    let desired = desired(&dataplane, &tracker);
    let diff = diff(&observed, &desired);
    let changes = Changes::new(&diff);
    match output {
        Output::Text => print::text(&changes.to_text(&from, "desired"))?,
        Output::Json => print::json(&changes)?,
    }
    Ok(if diff.is_empty() {
        exit::OK
    } else {
        exit::DIFFERENCES
    })
}

/// Saved dumps.
struct Saved {
    state: Desired,
    families: Vec<Family>,
    nfacct: bool,
}

impl Saved {
    fn read(paths: &[PathBuf], families: &[Family]) -> anyhow::Result<Self> {
        let mut saved = Self {
            state: Desired::default(),
            families: Vec::new(),
            nfacct: false,
        };
        for path in paths {
            let text =
                fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            let family = family_of(path, &text, families)?;
            anyhow::ensure!(
                !saved.families.contains(&family),
                "--against: two dumps of the same family; give one for each"
            );
            let state =
                parse_save::<Object>(family, &text).with_context(|| path.display().to_string())?;
            saved.state = saved.state.merged(state);
            saved.families.push(family);
            saved.nfacct |= text.contains("--nfacct-name");
        }
        Ok(saved)
    }
}

/// The family that a dump is of: by its first line, or the only one asked for.
fn family_of(path: &Path, text: &str, families: &[Family]) -> anyhow::Result<Family> {
    let head = text.lines().next().unwrap_or_default();
    if head.contains("ip6tables-save") {
        Ok(Family::Ipv6)
    } else if head.contains("iptables-save") {
        Ok(Family::Ipv4)
    } else if let [only] = families {
        Ok(*only)
    } else {
        anyhow::bail!(
            "{}: does not say whether it is of IPv4 or IPv6; add --ip-family",
            path.display()
        )
    }
}
