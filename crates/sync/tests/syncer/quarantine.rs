//! What the kernel refuses harms nobody else.

use viprule_dataplane::Scope;
use viprule_dataplane::netfilter::Desired;
use viprule_service::model::Event;
use viprule_testkit::fake::{Blame, Kernel};

use crate::world::{
    FakeSyncer, assert_in_sync, assert_same, fragment, fresh, id, restarted, service, slice,
    synced, wanted,
};

const BOTH: [Blame; 2] = [Blame::Told, Blame::Untold];

/// Refuses everything that Service c asks for.
fn refuse_c(kernel: &mut Kernel, blame: Blame) {
    kernel.refuse(blame, |request| request.mentions("shop/c:http"));
}

/// What everybody but Service c wants.
fn others(syncer: &FakeSyncer) -> Desired {
    let own = fragment(syncer, "c");
    wanted(syncer).filter(|key| own.get(key).is_none())
}

fn assert_quarantined(syncer: &FakeSyncer) {
    let quarantined: Vec<_> = syncer.quarantined().keys().collect();
    assert_eq!(quarantined, [&id("c")]);
}

#[test]
fn a_refused_service_is_left_out_of_the_first_sync() {
    for blame in BOTH {
        let mut kernel = Kernel::new();
        refuse_c(&mut kernel, blame);
        let mut syncer = fresh(kernel);
        let report = syncer.reconcile(Scope::Everything).unwrap();
        assert_same(&syncer.writer().state(), &others(&syncer));
        assert_quarantined(&syncer);
        let [line] = &report.refused[..] else {
            panic!("{blame:?}: {:?}", report.refused);
        };
        assert!(
            line.starts_with("service shop/c: ") && line.contains("EINVAL"),
            "{line}"
        );
    }
}

#[test]
fn a_refused_change_leaves_the_old_state_and_lets_others_through() {
    for blame in BOTH {
        let mut syncer = synced();
        let before = fragment(&syncer, "c");
        refuse_c(syncer.writer(), blame);
        syncer.apply(slice("c", &["10.244.9.9"]));
        syncer.apply(slice("d", &["10.244.8.8"]));
        syncer.sync().unwrap();
        assert_same(&syncer.writer().state(), &others(&syncer).merged(before));
        assert_quarantined(&syncer);
    }
}

#[test]
fn a_refused_service_is_tried_again_after_its_next_event_only() {
    for blame in BOTH {
        let mut syncer = synced();
        refuse_c(syncer.writer(), blame);
        syncer.apply(slice("c", &["10.244.9.9"]));
        syncer.sync().unwrap();
        syncer.writer().accept();
        syncer.writer().forget();

        syncer.apply(slice("a", &["10.244.7.7"]));
        syncer.sync().unwrap();
        assert_quarantined(&syncer);
        assert_eq!(syncer.writer().transactions(), 1, "{blame:?}");

        syncer.apply(slice("c", &["10.244.9.8"]));
        let report = syncer.sync().unwrap();
        assert_eq!(report.refused, [] as [&str; 0]);
        assert!(!syncer.has_refused());
        assert_in_sync(&mut syncer);
    }
}

#[test]
fn the_timer_lets_refused_services_be_tried_again() {
    let mut syncer = synced();
    refuse_c(syncer.writer(), Blame::Told);
    syncer.apply(slice("c", &["10.244.9.9"]));
    syncer.sync().unwrap();
    syncer.release_refused();
    syncer.sync().unwrap();
    assert_quarantined(&syncer);
    syncer.writer().accept();
    syncer.release_refused();
    syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
}

#[test]
fn a_look_at_the_kernel_does_not_remove_what_a_refused_service_had() {
    for blame in BOTH {
        let mut syncer = synced();
        let before = fragment(&syncer, "c");
        refuse_c(syncer.writer(), blame);
        syncer.apply(slice("c", &["10.244.9.9"]));
        syncer.sync().unwrap();
        for _ in 0..2 {
            syncer.reconcile(Scope::Everything).unwrap();
            let old = others(&syncer).merged(before.clone());
            assert_same(&syncer.writer().state(), &old);
        }
    }
}

/// The Service was good before the agent started.
#[test]
fn a_service_that_is_refused_at_the_start_keeps_what_is_still_right_of_it() {
    for blame in BOTH {
        let mut syncer = restarted(synced());
        let before = fragment(&syncer, "c");
        refuse_c(syncer.writer(), blame);
        syncer.apply(slice("c", &["10.244.0.5", "10.244.9.9"]));
        syncer.reconcile(Scope::Everything).unwrap();
        assert_quarantined(&syncer);
        for _ in 0..2 {
            // The endpoint that left belongs to nobody that we know of, but its Service's chain
            // still leads to it.
            let state = syncer.writer().state();
            assert_same(&state, &others(&syncer).merged(before.clone()));
            syncer.reconcile(Scope::Everything).unwrap();
        }
        // What it had is known, so that it can be replaced.
        syncer.writer().accept();
        syncer.release_refused();
        syncer.sync().unwrap();
        assert!(
            !syncer.has_refused(),
            "{blame:?}: {:?}",
            syncer.quarantined()
        );
        syncer.reconcile(Scope::Everything).unwrap();
        assert_in_sync(&mut syncer);
    }
}

#[test]
fn several_refused_services_are_found_in_one_sync() {
    for blame in BOTH {
        let mut kernel = Kernel::new();
        kernel.refuse(blame, |request| {
            request.mentions("shop/a:http") || request.mentions("shop/e:http")
        });
        let mut syncer = fresh(kernel);
        let report = syncer.reconcile(Scope::Everything).unwrap();
        let quarantined: Vec<_> = syncer.quarantined().keys().cloned().collect();
        assert_eq!(quarantined, [id("a"), id("e")], "{blame:?}");
        assert_eq!(report.refused.len(), 2, "{:?}", report.refused);
    }
}

#[test]
fn a_service_refused_in_a_later_part_is_left_out_all_the_same() {
    for operations in [3, 11, 25] {
        let mut kernel = Kernel::new();
        kernel.send_in_parts(operations);
        refuse_c(&mut kernel, Blame::Told);
        let mut syncer = fresh(kernel);
        syncer.reconcile(Scope::Everything).unwrap();
        assert_quarantined(&syncer);
        let own = fragment(&syncer, "c");
        let state = syncer.writer().state().filter(|key| own.get(key).is_none());
        assert_same(&state, &others(&syncer));
    }
}

#[test]
fn a_gone_service_is_not_refused_any_more() {
    let mut kernel = Kernel::new();
    refuse_c(&mut kernel, Blame::Told);
    let mut syncer = fresh(kernel);
    syncer.reconcile(Scope::Everything).unwrap();
    syncer.apply(Event::ServiceDeleted(id("c")));
    let report = syncer.sync().unwrap();
    assert_eq!(report.refused, [] as [&str; 0]);
    assert!(!syncer.has_refused());
    assert_in_sync(&mut syncer);
}

#[test]
fn a_refused_foundation_is_an_error_that_says_so() {
    for blame in BOTH {
        let mut kernel = Kernel::new();
        kernel.refuse(blame, |request| request.mentions("MASQUERADE"));
        let mut syncer = fresh(kernel);
        let error = syncer.reconcile(Scope::Everything).unwrap_err().to_string();
        assert!(
            error.starts_with("the kernel refused the base: "),
            "{error}"
        );
        syncer.writer().accept();
        syncer.reconcile(Scope::Everything).unwrap();
        assert_in_sync(&mut syncer);
    }
}

#[test]
fn a_service_that_comes_back_after_a_refusal_is_written_once() {
    let mut kernel = Kernel::new();
    refuse_c(&mut kernel, Blame::Untold);
    let mut syncer = fresh(kernel);
    syncer.reconcile(Scope::Everything).unwrap();
    syncer.writer().accept();
    syncer.apply(Event::ServiceDeleted(id("c")));
    syncer.apply(service("c"));
    let report = syncer.sync().unwrap();
    assert_eq!(report.created, fragment(&syncer, "c").len());
    assert_in_sync(&mut syncer);
}
