//! `viprule diff`

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nfnetlink::Family;
use viprule_dataplane::iptables::{Desired, Iptables, Object, parse_save};
use viprule_dataplane::{Scope, diff};
use viprule_writer::Writer as _;
use viprule_writer::iptables::{IptablesWriter, probe};

use super::changes::Changes;
use super::{exit, input, node, print};
use crate::agent::desired;
use crate::config::{DataplaneArgs, InputArgs, Output, Resolved};

/// Print what the kernel has otherwise than it should, without changing it
///
/// Lines with - are in the kernel and should not be, lines with + should be there and are not.
/// Exits 0 without differences, 1 with differences, 2 on errors.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    dataplane: DataplaneArgs,
    /// Compare with what iptables-save or ip6tables-save printed into this file, in place of this
    /// kernel; may be given once for each family
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    against: Vec<PathBuf>,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t, help_heading = "Output")]
    output: Output,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let mut resolved = Resolved::new(&args.input, &args.dataplane)?;
    let (observed, settings, from) = if args.against.is_empty() {
        let settings = node::fit(&resolved, probe(false)?);
        let observed = IptablesWriter::open(&settings.families)?.observe(&Scope::Everything)?;
        (observed, settings, "kernel".to_owned())
    } else {
        let saved = Saved::read(&args.against, &resolved.iptables.families)?;
        resolved.iptables.families = saved.families;
        resolved.iptables.nfacct = saved.nfacct;
        let names: Vec<_> = args
            .against
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        (saved.state, resolved.iptables.clone(), names.join(" "))
    };
    let tracker = input::load(&args.input, resolved.plan)?;
    let dataplane = Iptables::new(settings, tracker.facts());
    let desired = desired(&dataplane, &tracker);
    let diff = diff(&observed, &desired);
    let changes = Changes::new(&diff);
    match args.output {
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
