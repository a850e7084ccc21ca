//! The kernel in memory refuses what a real one refuses.

use nfnetlink::Family;
use nfnetlink::xtables::{Rule, Target};
use viprule_dataplane::netfilter::{Desired, Key, Kind, Object, Table};
use viprule_dataplane::ownership::{Chain, ChainHash};
use viprule_dataplane::{Scope, diff};
use viprule_writer::{ApplyError, Tag, Writer as _};

use super::{Blame, Kernel};

const NAT: Table = Table {
    family: Family::Ipv4,
    kind: Kind::Nat,
};

fn service() -> Chain {
    Chain::Service(ChainHash::of(&["a"]))
}

/// A chain whose rules lead to these chains.
fn chain(chain: Chain, targets: &[Chain]) -> (Key, Object) {
    let rule = |target: &Chain| {
        let mut rule = Rule::new(Family::Ipv4);
        rule.target = Target::Jump(target.to_string());
        rule
    };
    let rules = targets.iter().map(rule).collect();
    (Key::Chain { table: NAT, chain }, Object::Rules(rules))
}

/// Writes `to` as if `from` was there; what each refusal says, with its tag.
fn write(kernel: &mut Kernel, from: &Desired, to: &Desired) -> Vec<(Option<Tag>, String)> {
    kernel.stage(Tag(7), &diff(from, to)).unwrap();
    match kernel.commit() {
        Ok(_) => Vec::new(),
        Err(ApplyError::Refused { refusals, .. }) => {
            let refusals = refusals.into_iter();
            refusals.map(|it| (it.tag, it.reason)).collect()
        }
        Err(other) => panic!("{other}"),
    }
}

fn told(reason: &str) -> Vec<(Option<Tag>, String)> {
    vec![(Some(Tag(7)), reason.to_owned())]
}

#[test]
fn a_rule_to_a_missing_chain_is_refused_and_the_rest_with_it() {
    let mut kernel = Kernel::new();
    let to = Desired::from_iter([
        chain(Chain::Canary, &[]),
        chain(service(), &[Chain::MarkMasq]),
    ]);
    assert_eq!(write(&mut kernel, &Desired::default(), &to), told("ENOENT"));
    assert!(kernel.state().is_empty());
    assert_eq!(kernel.transactions(), 0);
    let to = to.merged(Desired::from_iter([chain(Chain::MarkMasq, &[])]));
    assert_eq!(write(&mut kernel, &Desired::default(), &to), []);
    assert!(kernel.state() == to);
    assert_eq!(kernel.transactions(), 1);
}

#[test]
fn a_chain_is_made_once_and_goes_when_nothing_leads_to_it() {
    let mut kernel = Kernel::new();
    let nothing = Desired::default();
    let masquerade = Desired::from_iter([chain(Chain::MarkMasq, &[])]);
    let both = masquerade
        .clone()
        .merged(Desired::from_iter([chain(service(), &[Chain::MarkMasq])]));
    assert_eq!(write(&mut kernel, &nothing, &both), []);
    assert_eq!(write(&mut kernel, &nothing, &masquerade), told("EEXIST"));
    assert_eq!(write(&mut kernel, &masquerade, &nothing), told("EBUSY"));
    assert!(kernel.state() == both);
    assert_eq!(write(&mut kernel, &both, &nothing), []);
    assert_eq!(write(&mut kernel, &both, &nothing).len(), 2, "ENOENT each");
}

#[test]
fn what_others_did_has_to_be_read_first() {
    let mut kernel = Kernel::new();
    let to = Desired::from_iter([chain(Chain::MarkMasq, &[])]);
    write(&mut kernel, &Desired::default(), &to);
    kernel.foreign_insert(NAT, "KUBE-MARK-MASQ", 0, "-j ACCEPT");
    kernel
        .stage(Tag(0), &diff(&to, &Desired::default()))
        .unwrap();
    let Err(ApplyError::Foreign(scope)) = kernel.commit() else {
        panic!("committed");
    };
    assert_eq!(kernel.foreign_changes().unwrap().scope, scope);
    let seen: Desired = kernel.observe(&scope).unwrap();
    assert_eq!(seen.len(), 1);
    assert!(kernel.foreign_changes().unwrap().scope.is_empty());
    assert_eq!(write(&mut kernel, &seen, &Desired::default()), []);
}

#[test]
fn faults_are_as_ordered() {
    let mut kernel = Kernel::new();
    let to = Desired::from_iter([chain(Chain::MarkMasq, &[]), chain(Chain::Canary, &[])]);
    let nothing = Desired::default();
    for (blame, tag) in [(Blame::Told, Some(Tag(7))), (Blame::Untold, None)] {
        kernel.refuse(blame, |request| {
            request.key.chain_name() == "KUBE-MARK-MASQ"
        });
        let refused = vec![(tag, "EINVAL".to_owned())];
        assert_eq!(write(&mut kernel, &nothing, &to), refused);
    }
    kernel.accept();
    for applied in [false, true] {
        kernel.lose_the_next_answer(applied);
        kernel.stage(Tag(0), &diff(&nothing, &to)).unwrap();
        assert!(matches!(kernel.commit(), Err(ApplyError::Unknown(_))));
        assert_eq!(kernel.state().is_empty(), !applied);
    }
    kernel.contend(Scope::Everything, 1);
    kernel.stage(Tag(0), &diff(&to, &nothing)).unwrap();
    assert!(matches!(kernel.commit(), Err(ApplyError::Foreign(_))));
    assert_eq!(write(&mut kernel, &to, &nothing), []);
    assert_eq!(kernel.requested().len(), 4);
}
