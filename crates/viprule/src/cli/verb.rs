//! What verbs that end have in common.

use super::{Given, print};
use crate::config::{Effective, Flags, Output, SharedArgs};

/// What verbs that end have in common.
#[derive(Debug, clap::Args)]
pub(super) struct VerbArgs {
    #[command(flatten)]
    shared: SharedArgs,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t, help_heading = "Output")]
    pub(super) output: Output,
}

impl VerbArgs {
    /// The configuration; warnings are told.
    pub(super) fn settings(self, given: Given) -> anyhow::Result<Effective> {
        let effective = Effective::load(&Flags::of_verb(self.shared, given))?;
        for warning in &effective.warnings {
            print::note(&format!("warning: {warning}"));
        }
        Ok(effective)
    }
}
