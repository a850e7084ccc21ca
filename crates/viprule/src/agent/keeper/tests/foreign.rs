//! Other programs at the same kernel.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;
use viprule_testkit::fake::Kernel;

use super::world::{Kept, NAT, World, run, service};
use super::{MS, SECOND};
use crate::health::Moment;

const FLUSH: fn(&mut Kernel) = |kernel| kernel.foreign_flush(NAT, "KUBE-SERVICES");

/// A world in which the kernel tells what others do.
fn told() -> Rc<World> {
    let world = Rc::new(World::default());
    world.tells.set(true);
    world
}

/// Lets the keeper go on while time stands still.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Nobody wakes the keeper for it: it was told while the keeper was busy.
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

/// They touch nothing of ours: no look, and no wait that grows.
#[test]
fn others_who_commit_without_a_pause_elsewhere_delay_a_change_by_milliseconds() {
    run(async {
        let world = told();
        let kept = Kept::synced(&world, &["a"]).await;
        world.overtaken.set(20);
        kept.tell(service("b")).await;
        kept.tell(service("c")).await;
        sleep(50 * MS).await;
        assert!(world.has("b") && world.has("c"));
        assert_eq!(world.looks.get(), 1);
        assert!(!world.causes.borrow().contains(&"retry"));
        // News are taken meanwhile.
        world.overtaken.set(usize::MAX);
        for _ in 0..200 {
            kept.tell(service("d")).await;
        }
        // Health tells what waits, and since when, and gives up on it in the end.
        let subjects = |kept: &Kept, at: Moment| {
            let warnings = kept.health.health(at).warnings;
            warnings
                .into_iter()
                .map(|it| it.subject)
                .collect::<Vec<_>>()
        };
        assert_eq!(subjects(&kept, Moment::now()), ["sync"]);
        assert!(!kept.health.is_healthy(Moment::now() + 61 * SECOND));
        world.overtaken.set(0);
        sleep(50 * MS).await;
        assert!(world.has("d"));
        assert!(subjects(&kept, Moment::now()).is_empty());
        assert!(kept.health.is_healthy(Moment::now() + 61 * SECOND));
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
