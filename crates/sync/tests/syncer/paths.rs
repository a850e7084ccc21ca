//! Whatever happens on the way, the end is what one sync of the end would have made.

use proptest::prelude::*;
use viprule_dataplane::iptables::Settings;
use viprule_dataplane::netfilter::Desired;
use viprule_dataplane::{Scope, State, diff};
use viprule_service::model::Event;
use viprule_testkit::fake::{Blame, Kernel};
use viprule_testkit::strategy::{Path, iptables_settings, path};
use viprule_writer::Writer as _;

use crate::world::{FakeSyncer, NAT, node, wanted};

/// What happens besides events.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    LoseAnswer(bool),
    Flush,
    Contend,
    Restart,
}

/// One sync of the end, in front of an empty kernel.
fn straight(end: &[Event], settings: &Settings) -> Desired {
    let mut syncer = node(settings.clone(), Kernel::new());
    end.iter().cloned().for_each(|event| syncer.apply(event));
    syncer.reconcile(Scope::Everything).unwrap();
    syncer.writer().state()
}

fn ensure_same(found: &Desired, wanted: &Desired) -> Result<(), TestCaseError> {
    let diff = diff(found, wanted);
    let missing: Vec<_> = diff.writes.iter().map(|it| it.key).collect();
    let surplus: Vec<_> = diff.deletes.iter().map(|(key, _)| key).collect();
    prop_assert!(
        diff.is_empty(),
        "to write {missing:#?}\nto delete {surplus:#?}"
    );
    Ok(())
}

/// What the kernel has of ours alone: KUBE-FIREWALL stays once it was made.
fn removable(state: Desired) -> Desired {
    state.filter(viprule_dataplane::ObjectKey::is_removable)
}

/// The node port rules of nat KUBE-SERVICES stand behind all others.
fn ensure_order(kernel: &Kernel) -> Result<(), TestCaseError> {
    let rules = kernel.rules(NAT, "KUBE-SERVICES");
    let last: Vec<bool> = rules
        .iter()
        .map(|it| it.contains("must be the last rule"))
        .collect();
    prop_assert!(last.is_sorted(), "{rules:#?}");
    let rules = kernel.rules(NAT, "KUBE-NODEPORTS");
    let general: Vec<bool> = rules
        .iter()
        .map(|it| !it.contains("-d 127.0.0.0/8"))
        .collect();
    prop_assert!(general.is_sorted(), "{rules:#?}");
    Ok(())
}

fn start(settings: &Settings) -> FakeSyncer {
    let mut syncer = node(settings.clone(), Kernel::new());
    syncer.reconcile(Scope::Everything).unwrap();
    syncer
}

fn check(path: &Path, settings: &Settings) -> Result<(), TestCaseError> {
    let mut syncer = start(settings);
    for (event, look) in &path.steps {
        syncer.apply(event.clone());
        if *look {
            syncer.sync().unwrap();
            let wanted = wanted(&syncer);
            ensure_same(&removable(syncer.writer().state()), &removable(wanted))?;
        }
    }
    syncer.sync().unwrap();
    ensure_same(
        &removable(syncer.writer().state()),
        &removable(straight(&path.end, settings)),
    )?;
    ensure_order(syncer.writer())?;

    // Nothing is left to do, whoever asks.
    syncer.writer().forget();
    syncer.reconcile(Scope::Everything).unwrap();
    prop_assert_eq!(syncer.writer().transactions(), 0);
    for event in &path.end {
        syncer.apply(event.clone());
    }
    syncer.sync().unwrap();
    prop_assert_eq!(syncer.writer().transactions(), 0);
    Ok(())
}

fn troubled(path: &Path, troubles: &[Option<Trouble>]) -> Result<(), TestCaseError> {
    let settings = Settings::default();
    let mut syncer = start(&settings);
    let mut told = Vec::new();
    let mut troubles = troubles.iter().cycle();
    for (event, look) in &path.steps {
        told.push(event.clone());
        syncer.apply(event.clone());
        if !look {
            continue;
        }
        match troubles.next().copied().flatten() {
            Some(Trouble::LoseAnswer(applied)) => syncer.writer().lose_the_next_answer(applied),
            Some(Trouble::Flush) => syncer.writer().foreign_flush(NAT, "KUBE-SERVICES"),
            Some(Trouble::Contend) => syncer.writer().contend(Scope::Everything, 3),
            Some(Trouble::Restart) => {
                let kernel = std::mem::take(syncer.writer());
                syncer = node(settings.clone(), kernel);
                told.iter().cloned().for_each(|event| syncer.apply(event));
                syncer.reconcile(Scope::Everything).unwrap();
            }
            None => {}
        }
        syncer.sync().unwrap();
    }
    let scope = syncer.writer().foreign_changes().unwrap().scope;
    syncer.reconcile(scope).unwrap();
    ensure_same(&syncer.writer().state(), &straight(&path.end, &settings))?;
    ensure_order(syncer.writer())
}

/// Whatever the kernel refuses on the way: what it takes in the end is right, and nobody else
/// suffers meanwhile.
fn refused(path: &Path, blame: Blame, victim: usize) -> Result<(), TestCaseError> {
    let settings = Settings::default();
    let mut syncer = start(&settings);
    let text = format!("shop/svc-{victim}");
    let guilty = text.clone();
    syncer
        .writer()
        .refuse(blame, move |request| request.mentions(&guilty));
    let is_guilty = |object: &viprule_dataplane::netfilter::Object| {
        object
            .rules()
            .iter()
            .any(|rule| rule.to_string().contains(&text))
    };
    let others = |state: State<_, _>| -> Desired {
        state
            .into_iter()
            .filter(|(_, object)| !is_guilty(object))
            .collect()
    };
    for (event, look) in &path.steps {
        syncer.apply(event.clone());
        if *look {
            syncer.sync().unwrap();
        }
    }
    syncer.sync().unwrap();
    ensure_same(
        &others(syncer.writer().state()),
        &others(straight(&path.end, &settings)),
    )?;
    syncer.writer().accept();
    syncer.release_refused();
    syncer.sync().unwrap();
    ensure_same(&syncer.writer().state(), &straight(&path.end, &settings))
}

fn trouble() -> impl Strategy<Value = Option<Trouble>> {
    let any = prop_oneof![
        any::<bool>().prop_map(Trouble::LoseAnswer),
        Just(Trouble::Flush),
        Just(Trouble::Contend),
        Just(Trouble::Restart),
    ];
    prop::option::of(any)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_path_ends_in_the_same_kernel(path in path(), settings in iptables_settings()) {
        check(&path, &settings)?;
    }

    #[test]
    fn trouble_on_the_way_does_not_show_in_the_end(
        path in path(),
        troubles in prop::collection::vec(trouble(), 1..6),
    ) {
        troubled(&path, &troubles)?;
    }

    #[test]
    fn a_refused_service_harms_no_other_on_any_path(
        path in path(),
        told in any::<bool>(),
        victim in 0_usize..4,
    ) {
        refused(&path, if told { Blame::Told } else { Blame::Untold }, victim)?;
    }
}
