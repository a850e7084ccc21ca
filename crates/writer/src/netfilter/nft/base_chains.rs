//! Base chains of other programs that have names of ours.

use netlink_batch::{Errno, Socket};
use nfnetlink::nftables::{self, Hook, Operation, Refusal, Subject};
use viprule_dataplane::netfilter::{Kind, Table};
use viprule_dataplane::ownership::Chain;

use crate::Tag;

/// Why something was refused, with what the kernel leaves unsaid.
pub(super) fn reason(socket: &mut Socket, refusal: &Refusal<Tag>) -> String {
    let jump = refusal.subject.as_ref();
    let jump = jump.filter(|it| is_jump_to_base(it, refusal.errno));
    match jump.and_then(|jump| base_chains(socket, jump)) {
        Some(why) => format!("{refusal}; {why}"),
        None => refusal.to_string(),
    }
}

/// True for a jump that the kernel refuses as a rule may not lead to a base chain.
fn is_jump_to_base(subject: &Subject, errno: Errno) -> bool {
    let jumps = |it: &nftables::Expression| &*it.name == "immediate";
    subject.operation == Operation::NewRule
        && errno == Errno::OPNOTSUPP
        && subject.expressions.iter().any(jumps)
}

/// What to tell of base chains that have names of ours, in the table of a refused jump. The kernel
/// does not say which chain it means.
fn base_chains(socket: &mut Socket, subject: &Subject) -> Option<String> {
    let (family, kind) = (subject.family?, Kind::parse(&subject.table)?);
    let table = Table { family, kind };
    let mut found = Vec::new();
    let listed = nftables::chains(socket, family, |chain| {
        let ours = chain.table == kind.name() && Chain::parse(chain.name).is_some();
        if let Some(base) = chain.base.filter(|_| ours) {
            found.push(format!(
                "chain {name} of table {table} is a base chain of another program (type {}, \
                 hook {}, priority {}), to which no rule can jump; rename it (nft rename chain \
                 {table} {name} NEW-NAME) or have that program use another name",
                base.kind,
                hook_name(base.hook),
                base.priority,
                name = chain.name,
            ));
        }
    });
    // Also a list that was interrupted may have it. Without it there is the kernel's reason.
    drop(listed);
    (!found.is_empty()).then(|| found.join("; "))
}

const fn hook_name(hook: Option<Hook>) -> &'static str {
    match hook {
        Some(Hook::Prerouting) => "prerouting",
        Some(Hook::Input) => "input",
        Some(Hook::Forward) => "forward",
        Some(Hook::Output) => "output",
        Some(Hook::Postrouting) => "postrouting",
        _ => "unknown",
    }
}
