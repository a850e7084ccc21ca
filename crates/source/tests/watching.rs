//! Changes of files are noticed, whatever way they are made.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use common::Folder;
use tokio::time::timeout;
use viprule_source::manifest::{Watch, WatchOptions};
use viprule_testkit::LIMIT;

/// Longer than any test: what is noticed was told.
const NEVER: Duration = Duration::from_secs(3600);
/// Time for what must not come.
const WHILE: Duration = Duration::from_millis(300);

fn watch(paths: impl IntoIterator<Item = PathBuf>) -> Watch {
    let options = WatchOptions {
        poll: NEVER,
        ..WatchOptions::default()
    };
    Watch::new(paths, options).unwrap()
}

async fn noticed(watch: &mut Watch, what: &str) {
    assert!(
        timeout(LIMIT, watch.changed()).await.is_ok(),
        "not noticed: {what}"
    );
    // The kernel may tell of one change in two batches.
    while timeout(WHILE, watch.changed()).await.is_ok() {}
}

/// For a watch to which nothing else has happened: on a slow machine a change is told in two
/// batches, the second of them at any time.
async fn quiet(watch: &mut Watch, what: &str) {
    let told = timeout(WHILE, watch.changed()).await;
    assert!(told.is_err(), "told for nothing: {what}");
}

#[tokio::test]
async fn changes_in_a_folder_are_noticed() {
    let folder = Folder::new();
    folder.write("a.yaml", "a");
    let mut watch = watch([folder.path().to_owned()]);
    quiet(&mut watch, "nothing happened").await;

    folder.write("a.yaml", "ab");
    noticed(&mut watch, "written").await;
    folder.replace("a.yaml", "abc");
    noticed(&mut watch, "replaced").await;
    folder.write("b.yaml", "b");
    noticed(&mut watch, "created").await;
    folder.remove("b.yaml");
    noticed(&mut watch, "removed").await;
    folder.write("sub/c.yaml", "c");
    noticed(&mut watch, "created in a new folder").await;
    folder.write("sub/c.yaml", "cc");
    noticed(&mut watch, "written in a new folder").await;

    let mut watch = self::watch([folder.path().to_owned()]);
    folder.write("notes.txt", "n");
    quiet(&mut watch, "no manifest").await;
    fs::read(folder.path().join("a.yaml")).unwrap();
    quiet(&mut watch, "read only").await;
}

#[tokio::test]
async fn changes_of_a_file_are_noticed() {
    let folder = Folder::new();
    let path = folder.write("a.yaml", "a");
    let mut watch = watch([path.clone()]);
    folder.remove("a.yaml");
    noticed(&mut watch, "removed").await;
    folder.write("a.yaml", "ab");
    noticed(&mut watch, "created again").await;
    folder.replace("a.yaml", "abc");
    noticed(&mut watch, "replaced").await;
    folder.write("a.yaml", "abcd");
    noticed(&mut watch, "the new file is written").await;
    let mut watch = self::watch([path]);
    folder.write("b.yaml", "b");
    quiet(&mut watch, "another file").await;
}

#[tokio::test]
async fn swapped_links_are_noticed() {
    let folder = Folder::new();
    let swap = |version: &str| {
        let link = folder.path().join("..data_tmp");
        symlink(version, &link).unwrap();
        fs::rename(link, folder.path().join("..data")).unwrap();
    };
    folder.write("..v1/a.yaml", "a");
    swap("..v1");
    symlink("..data/a.yaml", folder.path().join("a.yaml")).unwrap();
    let mut watch = watch([folder.path().to_owned()]);
    for version in ["..v2", "..v3"] {
        let mut other = self::watch([folder.path().to_owned()]);
        folder.write(&format!("{version}/a.yaml"), "a");
        quiet(&mut other, "not in place yet").await;
        swap(version);
        noticed(&mut watch, version).await;
    }
}

#[tokio::test]
async fn changes_behind_a_link_are_noticed() {
    let folder = Folder::new();
    let target = folder.write("elsewhere/real.yaml", "a");
    fs::create_dir(folder.path().join("here")).unwrap();
    symlink(target, folder.path().join("here/a.yaml")).unwrap();
    let mut watch = watch([folder.path().join("here")]);
    folder.replace("elsewhere/real.yaml", "ab");
    noticed(&mut watch, "replaced behind a link").await;
}

#[tokio::test]
async fn a_folder_may_be_gone_for_a_while() {
    let folder = Folder::new();
    folder.write("deep/er/a.yaml", "a");
    let mut watch = watch([folder.path().join("deep/er")]);
    fs::rename(folder.path().join("deep"), folder.path().join("away")).unwrap();
    noticed(&mut watch, "moved away").await;
    fs::rename(folder.path().join("away"), folder.path().join("deep")).unwrap();
    noticed(&mut watch, "moved back").await;
    for round in 0..3 {
        fs::remove_dir_all(folder.path().join("deep")).unwrap();
        noticed(&mut watch, "removed").await;
        folder.write("deep/er/a.yaml", "new");
        noticed(&mut watch, "created again").await;
        folder.write("deep/er/a.yaml", &format!("newer {round}"));
        noticed(&mut watch, "written in the new folder").await;
    }
}

#[tokio::test]
async fn polling_remains_where_nobody_tells() {
    let folder = Folder::new();
    folder.write("one/a.yaml", "one");
    folder.write("two/a.yaml", "two");
    let swap = |target: &str| {
        symlink(target, folder.path().join("new")).unwrap();
        fs::rename(folder.path().join("new"), folder.path().join("middle")).unwrap();
    };
    swap("one");
    // The link in the middle of the path is in a folder that nobody watches.
    let top = folder.path().join("some/top");
    fs::create_dir_all(&top).unwrap();
    symlink("../../middle/a.yaml", top.join("a.yaml")).unwrap();

    let mut notified = watch([top.clone()]);
    let options = WatchOptions {
        poll: Duration::from_millis(200),
        ..WatchOptions::default()
    };
    let mut polled = Watch::new([top], options).unwrap();
    swap("two");
    noticed(&mut polled, "by polling").await;
    quiet(&mut notified, "without polling").await;
}
