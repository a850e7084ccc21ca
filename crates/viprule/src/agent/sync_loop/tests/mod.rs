//! When the sync loop does what.

mod foreign;
mod world;

use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;
use viprule_dataplane::Scope;
use viprule_dataplane::netfilter::Piece;
use viprule_dataplane::ownership::Chain;
use viprule_testkit::fake::Blame;
use viprule_writer::WriteError;

use world::{Kept, NAT, World, run, service};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn failure() -> WriteError {
    WriteError::failed("reading", "no memory")
}

#[test]
fn nothing_is_written_before_everything_is_told() {
    run(async {
        let world = Rc::new(World::default());
        let kept = Kept::start(&world);
        kept.tell(service("a")).await;
        sleep(60 * SECOND).await;
        assert!(world.causes.borrow().is_empty());
        kept.complete().await;
        assert!(world.has("a"));
        assert_eq!(*world.causes.borrow(), ["first sync"]);
        kept.stop().await;
    });
}

#[test]
fn changes_are_written_at_once_and_then_a_while_apart() {
    run(async {
        let world = Rc::new(World::default());
        let kept = Kept::synced(&world, &["a"]).await;
        kept.set(|resolved| resolved.sync.min = SECOND).await;
        sleep(2 * SECOND).await;
        kept.tell(service("b")).await;
        assert!(world.has("b"));
        kept.tell(service("c")).await;
        sleep(900 * MS).await;
        assert!(!world.has("c"));
        kept.tell(service("d")).await;
        sleep(200 * MS).await;
        assert!(world.has("c") && world.has("d"));
        // The settings, b, then both.
        let causes = ["first sync", "changed", "changed", "changed"];
        assert_eq!(*world.causes.borrow(), causes);
        kept.stop().await;
    });
}

/// They are taken, so that nobody waits for the inbox, and written with the retry.
#[test]
fn news_that_come_while_nothing_can_be_written_are_not_lost() {
    run(async {
        let world = Rc::new(World::default());
        let kept = Kept::synced(&world, &["a"]).await;
        sleep(2 * SECOND).await;
        world.kernel.borrow_mut().contend(Scope::Everything, 9);
        kept.tell(service("b")).await;
        assert!(!world.has("b"));
        let looks = world.looks.get();
        // More than the inbox holds.
        for _ in 0..100 {
            kept.tell(service("c")).await;
        }
        assert_eq!(world.looks.get(), looks, "the kernel is left alone");
        sleep(300 * MS).await;
        assert!(world.has("b") && world.has("c"));
        assert_eq!(
            *world.causes.borrow(),
            ["first sync", "changed", "retry"],
            "the retry has them all"
        );
        kept.stop().await;
    });
}

#[test]
fn retries_come_less_and_less_often_and_settings_are_tried_at_once() {
    run(async {
        let world = Rc::new(World::default());
        let kept = Kept::synced(&world, &["a"]).await;
        sleep(2 * SECOND).await;
        *world.broken.borrow_mut() = Some(failure());
        world.kernel.borrow_mut().lose_the_next_answer(false);
        kept.tell(service("b")).await;
        let attempts = || world.causes.borrow().len() - 2;
        assert_eq!(attempts(), 0);
        sleep(2 * SECOND).await;
        // After 250, 500 and 1000 ms.
        assert_eq!(attempts(), 3);
        sleep(10 * 60 * SECOND).await;
        assert!((22..30).contains(&attempts()), "{}", attempts());
        *world.broken.borrow_mut() = None;
        let before = attempts();
        kept.set(|_| {}).await;
        assert_eq!(attempts(), before + 1);
        assert!(world.has("b"));
        kept.stop().await;
    });
}

#[test]
fn lack_of_permission_ends_it() {
    run(async {
        let world = Rc::new(World::default());
        *world.broken.borrow_mut() = Some(WriteError::Permission {
            operation: "reading".to_owned(),
            capability: "CAP_NET_ADMIN",
        });
        let kept = Kept::synced(&world, &["a"]).await;
        let error = kept.task.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
    });
}

/// What it left may be all that a refused Service has.
#[test]
fn another_proxys_leftovers_stay_while_a_service_is_refused() {
    run(async {
        let world = Rc::new(World::default());
        world
            .kernel
            .borrow_mut()
            .refuse(Blame::Told, |request| request.mentions("shop/b:http"));
        let kept = Kept::synced(&world, &["a", "b"]).await;
        assert!(world.has("a"));
        sleep(100 * SECOND).await;
        kept.tell(service("c")).await;
        assert!(world.has("c"));
        assert_eq!(world.taken_over.get(), 0);
        world.kernel.borrow_mut().accept();
        sleep(31 * SECOND).await;
        assert!(world.has("b"), "the timer tries again");
        assert_eq!(world.taken_over.get(), 1);
        kept.stop().await;
    });
}

#[test]
fn a_takeover_goes_on_until_it_is_done() {
    run(async {
        let world = Rc::new(World::default());
        let again = [Some(SECOND), Some(5 * SECOND), None];
        world.take_over.borrow_mut().extend(again.map(Ok));
        let kept = Kept::synced(&world, &["a"]).await;
        assert_eq!(world.taken_over.get(), 1);
        sleep(1100 * MS).await;
        assert_eq!(world.taken_over.get(), 2);
        sleep(4 * SECOND).await;
        assert_eq!(world.taken_over.get(), 2);
        sleep(SECOND).await;
        assert_eq!(world.taken_over.get(), 3);
        sleep(20 * SECOND).await;
        assert_eq!(world.taken_over.get(), 3);
        kept.stop().await;
    });
}

#[test]
fn a_takeover_that_fails_is_tried_again_ever_less_often() {
    run(async {
        let world = Rc::new(World::default());
        for _ in 0..2 {
            let answer = Err(anyhow::anyhow!("no such program"));
            world.take_over.borrow_mut().push_back(answer);
        }
        let kept = Kept::synced(&world, &["a"]).await;
        assert_eq!(world.taken_over.get(), 1);
        kept.tell(service("b")).await;
        assert!(world.has("b"));
        assert_eq!(world.taken_over.get(), 1, "not with each sync");
        sleep(31 * SECOND).await;
        assert_eq!(world.taken_over.get(), 2);
        sleep(31 * SECOND).await;
        assert_eq!(world.taken_over.get(), 2);
        sleep(31 * SECOND).await;
        // And looks once more: it may have been what kept others.
        assert_eq!(world.taken_over.get(), 4);
        sleep(4000 * SECOND).await;
        assert_eq!(world.taken_over.get(), 4, "there is nothing left");
        kept.stop().await;
    });
}

#[test]
fn the_writer_drains_after_each_sync_and_when_it_says() {
    run(async {
        let world = Rc::new(World::default());
        let answers = [Ok(Some(5 * SECOND)), Ok(None), Ok(Some(5 * SECOND))];
        world.drain.borrow_mut().extend(answers);
        let kept = Kept::synced(&world, &["a"]).await;
        assert_eq!(world.drained.get(), 1);
        sleep(4900 * MS).await;
        assert_eq!(world.drained.get(), 1);
        sleep(200 * MS).await;
        assert_eq!(world.drained.get(), 2);
        sleep(15 * SECOND).await;
        assert_eq!(world.drained.get(), 2, "nothing is left to drain");
        kept.tell(service("b")).await;
        assert_eq!(world.drained.get(), 3);
        // A sync asks earlier.
        sleep(2 * SECOND).await;
        kept.tell(service("c")).await;
        assert_eq!(world.drained.get(), 4);
        sleep(4 * SECOND).await;
        assert_eq!(world.drained.get(), 4, "the writer said nothing then");
        kept.stop().await;
    });
}

#[test]
fn tending_that_fails_is_tried_again() {
    run(async {
        let world = Rc::new(World::default());
        world.drain.borrow_mut().push_back(Err(failure()));
        let kept = Kept::synced(&world, &["a"]).await;
        sleep(29 * SECOND).await;
        assert_eq!(world.drained.get(), 1);
        sleep(2 * SECOND).await;
        assert_eq!(world.drained.get(), 2);
        assert!(!kept.task.is_finished());
        kept.stop().await;
    });
}

#[test]
fn the_timer_puts_right_what_nobody_tells_of() {
    run(async {
        let world = Rc::new(World::default());
        *world.unwatched.borrow_mut() = Some(Piece::Owned(NAT, Chain::Services));
        let kept = Kept::synced(&world, &["a"]).await;
        world
            .kernel
            .borrow_mut()
            .foreign_flush(NAT, "KUBE-SERVICES");
        sleep(29 * SECOND).await;
        assert!(!world.has("a"));
        sleep(2 * SECOND).await;
        assert!(world.has("a"));
        assert_eq!(world.looks.get(), 1, "nothing else is read");
        // Nor is anything written where all is right.
        let written = world.kernel.borrow().transactions();
        sleep(120 * SECOND).await;
        assert_eq!(world.kernel.borrow().transactions(), written);
        kept.stop().await;
    });
}

#[test]
fn another_period_counts_from_now_on() {
    run(async {
        let world = Rc::new(World::default());
        *world.unwatched.borrow_mut() = Some(Piece::Owned(NAT, Chain::Services));
        let kept = Kept::synced(&world, &["a"]).await;
        kept.set(|resolved| resolved.sync.period = 3 * SECOND).await;
        sleep(SECOND).await;
        world
            .kernel
            .borrow_mut()
            .foreign_flush(NAT, "KUBE-SERVICES");
        sleep(3 * SECOND).await;
        assert!(world.has("a"));
        kept.stop().await;
    });
}
