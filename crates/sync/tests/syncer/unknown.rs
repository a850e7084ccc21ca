//! Lost answers.

use viprule_dataplane::Scope;
use viprule_testkit::fake::Kernel;

use crate::world::{assert_in_sync, fresh, slice, synced};

#[test]
fn after_a_lost_answer_the_kernel_is_looked_at() {
    for applied in [true, false] {
        let mut syncer = fresh(Kernel::new());
        syncer.writer().lose_the_next_answer(applied);
        let report = syncer.reconcile(Scope::Everything).unwrap();
        assert_in_sync(&mut syncer);
        assert_eq!(
            syncer.writer().transactions(),
            1,
            "nothing is written twice"
        );
        assert_eq!(report.is_empty(), applied);
    }
}

#[test]
fn a_lost_answer_to_a_change_ends_as_an_answered_one() {
    for applied in [true, false] {
        let mut syncer = synced();
        syncer.apply(slice("b", &["10.244.2.9"]));
        syncer.writer().lose_the_next_answer(applied);
        syncer.sync().unwrap();
        assert_in_sync(&mut syncer);
        assert!(syncer.sync().unwrap().is_empty());
        assert_eq!(syncer.writer().transactions(), 1);
    }
}

#[test]
fn a_lost_answer_in_a_later_part_is_no_loss() {
    let mut kernel = Kernel::new();
    kernel.send_in_parts(10);
    let mut syncer = fresh(kernel);
    syncer.writer().lose_the_next_answer(true);
    syncer.reconcile(Scope::Everything).unwrap();
    assert_in_sync(&mut syncer);
}
