//! What a restore's failure means.

use viprule_dataplane::Scope;
use viprule_dataplane::netfilter::{Piece, Table};

use super::LegacyWriter;
use super::payload::{Block, Line, find};
use super::tool::Stopped;
use crate::{ApplyError, Refusal, Tag, WriteError, Written};

impl LegacyWriter {
    /// `before` is what was written of other families.
    pub(super) fn explain(
        &self,
        stopped: Stopped,
        blocks: &[Block<'_>],
        before: Written,
    ) -> ApplyError<Piece> {
        let (number, said) = match stopped {
            Stopped::Failed(error) => return error.into(),
            Stopped::Unknown(reason) => return ApplyError::Unknown(reason),
            Stopped::Line(number, said) => (number, said),
        };
        let Some((index, line)) = find(blocks, number) else {
            return ApplyError::Unknown(said);
        };
        let partly = before.transactions + index > 0;
        let table = blocks[index].table;
        match line {
            Line::Table => self.no_table(table, &said).into(),
            Line::Of(_, line) if depends_on_others(line) => foreign(partly),
            Line::Of(tag, line) if line.starts_with("-X ") => {
                let reason =
                    format!("{table}: `{line}`: {said}; a rule of somebody else leads there");
                self.refused(Some(tag), reason, partly)
            }
            Line::Of(tag, line) => {
                self.refused(Some(tag), format!("{table}: `{line}`: {said}"), partly)
            }
            Line::Commit(tag) => {
                let reason = format!("{table}: the kernel does not take the table so: {said}");
                self.refused(tag, reason, partly)
            }
        }
    }

    /// The restore program does not say why a table can't be had; the save program does.
    fn no_table(&self, table: Table, said: &str) -> WriteError {
        let asked = self.tools.save(table.family, Some(table));
        asked.err().unwrap_or_else(|| {
            WriteError::failed(format!("writing the legacy table {table}"), said)
        })
    }

    /// Where we have not looked for long, somebody else's doing is the likelier reason: it has to
    /// be looked at before anybody is blamed.
    fn refused(&self, tag: Option<Tag>, reason: String, partly: bool) -> ApplyError<Piece> {
        if !self.watch.is_fresh() {
            return foreign(partly);
        }
        let refusals = vec![Refusal { tag, reason }];
        ApplyError::Refused { refusals, partly }
    }
}

/// Nobody tells what else was changed. Nobody has noted yet what was written before.
fn foreign(partly: bool) -> ApplyError<Piece> {
    if partly {
        ApplyError::Unknown("others changed a table between two of ours".to_owned())
    } else {
        ApplyError::Foreign(Scope::Everything)
    }
}

/// True for lines that fail only where the table isn't as we know it: a rule to delete is gone, a
/// chain to make is there, a place is behind the end.
fn depends_on_others(line: &str) -> bool {
    let mut words = line.split(' ');
    match words.next() {
        Some("-D" | "-N") => true,
        Some("-I") => words.nth(1).is_some_and(|word| word.parse::<u32>().is_ok()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_depends_on_others_is_told_from_what_is_refused() {
        for line in [
            "-D KUBE-SERVICES -d 10.1.0.1/32 -j KUBE-SVC-X",
            "-N KUBE-FIREWALL",
            "-I INPUT 3 -j KUBE-FIREWALL",
        ] {
            assert!(depends_on_others(line), "{line}");
        }
        for line in [
            "-A KUBE-SERVICES -d 10.1.0.1/32 -j KUBE-SVC-X",
            "-I KUBE-SERVICES -d 10.1.0.1/32 -j KUBE-SVC-X",
            "-X KUBE-SERVICES",
            ":KUBE-SERVICES - [0:0]",
        ] {
            assert!(!depends_on_others(line), "{line}");
        }
    }
}
