//! Other programs at the same kernel.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;
use viprule_testkit::fake::Kernel;

use super::SECOND;
use super::world::{Kept, NAT, World, run, service};
use crate::health::Moment;

const FLUSH: fn(&mut Kernel) = |kernel| kernel.foreign_flush(NAT, "KUBE-SERVICES");

/// A world in which the kernel tells what others do.
fn told() -> Rc<World> {
    let world = Rc::new(World::default());
    world.tells.set(true);
    world
}

/// Lets the sync loop go on while time stands still.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Nobody wakes the sync loop for it: it was told while the sync loop was busy.
#[test]
fn what_others_do_right_behind_our_commit_is_put_right_at_once() {
    run(async {
        let world = told();
        let kept = Kept::synced(&world, &["a"]).await;
        for _ in 0..3 {
            world.behind.borrow_mut().extend([FLUSH; 2]);
            kept.tell(service("b")).await;
            kept.tell(service("c")).await;
            settle().await;
            assert!(world.has("a") && world.has("b") && world.has("c"));
        }
        assert!(world.causes.borrow().contains(&"repair"));
        assert_eq!(world.looks.get(), 1, "only what was touched is read");
        kept.stop().await;
    });
}

/// Somebody who undoes every repair is left alone for a while, and health counts from when it was
/// noticed, not from when the next repair fails.
#[test]
fn what_is_not_put_right_yet_is_owed() {
    run(async {
        let world = told();
        let kept = Kept::synced(&world, &["a"]).await;
        world.behind.borrow_mut().extend([FLUSH; 40]);
        kept.tell(service("b")).await;
        settle().await;
        assert!(!world.has("a"), "nobody burns a processor over it");
        let health = kept.health.health(Moment::now());
        assert!(health.healthy, "it has not lasted");
        assert_eq!(health.warnings.len(), 1);
        assert!(health.warnings[0].message.contains("somebody (7)"));
        assert!(!kept.health.is_healthy(Moment::now() + 61 * SECOND));
        sleep(Duration::from_secs(20 * 60)).await;
        assert!(world.has("a") && world.has("b"));
        assert!(kept.health.health(Moment::now()).warnings.is_empty());
        kept.stop().await;
    });
}
