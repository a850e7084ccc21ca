//! A file that changes in every way that files do.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use viprule::config::{Changes, Reloader};
use viprule_source::manifest::WatchOptions;
use viprule_testkit::LIMIT;

use crate::support::{HEAD, Place};

fn start(place: &Place, more: &str) -> Reloader {
    let options = WatchOptions {
        debounce: Duration::from_millis(5),
        // Only the kernel's word counts here.
        poll: Duration::from_secs(3600),
    };
    Reloader::start(place.flags(more), options).unwrap()
}

/// Waits until a change is told that leads to this oom score.
async fn until(reloader: &mut Reloader, score: i32) -> Changes {
    loop {
        tokio::time::timeout(LIMIT, reloader.changed())
            .await
            .unwrap_or_else(|_| panic!("no change to {score} was told"));
        let changes = reloader.reload();
        if reloader.current().resolve().oom_score_adj == score {
            return changes;
        }
    }
}

fn text(score: i32) -> String {
    format!("{HEAD}oomScoreAdj: {score}\n")
}

#[tokio::test]
async fn every_way_to_change_a_file_is_noticed() {
    let place = Place::new("oomScoreAdj: 1\n");
    let path = place.path("config.conf");
    let mut reloader = start(&place, "");
    fs::write(&path, text(2)).unwrap();
    assert!(until(&mut reloader, 2).await.oom_score_adj);
    fs::write(place.path("other"), text(3)).unwrap();
    fs::rename(place.path("other"), &path).unwrap();
    until(&mut reloader, 3).await;
    fs::remove_file(&path).unwrap();
    tokio::time::timeout(LIMIT, reloader.changed())
        .await
        .unwrap();
    assert!(reloader.reload().is_empty(), "a lost file changes nothing");
    fs::write(&path, text(4)).unwrap();
    until(&mut reloader, 4).await;
}

#[tokio::test]
async fn a_config_map_that_is_swapped_is_noticed() {
    let place = Place::new("");
    let path = place.path("config.conf");
    fs::remove_file(&path).unwrap();
    let version = |number: i32| {
        let folder = place.path(&format!("..{number}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("config.conf"), text(number)).unwrap();
        symlink(format!("..{number}"), place.path("..data_tmp")).unwrap();
        fs::rename(place.path("..data_tmp"), place.path("..data")).unwrap();
    };
    version(1);
    symlink("..data/config.conf", &path).unwrap();
    let mut reloader = start(&place, "");
    for number in 2..5 {
        version(number);
        fs::remove_dir_all(place.path(&format!("..{}", number - 1))).unwrap();
        until(&mut reloader, number).await;
    }
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_flags_go_on_counting() {
    let place = Place::new("oomScoreAdj: 1\nhostnameOverride: of-file\n");
    let mut reloader = start(&place, "--hostname-override=of-flag");
    let before = reloader.current().clone();
    for bad in [
        "oomScoreAdj: 5000\n",
        "oomScoreAdj: [\n",
        "mode: ebpf\noomScoreAdj: 2\n",
    ] {
        place.write(bad);
        assert_eq!(reloader.reload(), Changes::default());
        assert_eq!(reloader.current(), &before);
    }
    place.write("oomScoreAdj: 3\nhostnameOverride: another\n");
    let changes = reloader.reload();
    assert!(changes.oom_score_adj && !changes.plan);
    assert_eq!(reloader.current().node_name(), "of-flag");
}
