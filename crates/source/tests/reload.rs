//! Later loads: only what changed, and never less than what was good.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use common::{Folder, events, node, problems, refused, service, slice};
use viprule_source::manifest::Manifests;

const NOTHING: [&str; 0] = [];

#[test]
fn only_changed_objects_are_told() {
    let folder = Folder::new();
    let rest = format!(
        "{}---\n{}",
        slice("a-1", "a", "10.0.0.1"),
        node("192.0.2.1")
    );
    folder.write(
        "a.yaml",
        &format!("{}---\n{rest}", service("a", "10.1.0.1")),
    );
    folder.write("b.yaml", &service("b", "10.1.0.2"));
    let mut manifests = folder.manifests();
    assert_eq!(
        events(&manifests.load()),
        [
            "+node-0 [192.0.2.1]",
            "+default/a [10.1.0.1]",
            "+default/b [10.1.0.2]",
            "+default/a:a-1 [\"10.0.0.1\"]"
        ]
    );
    assert_eq!(events(&manifests.load()), NOTHING);

    folder.write(
        "a.yaml",
        &format!("{}---\n# moved\n\n{rest}", service("a", "10.1.0.9")),
    );
    assert_eq!(events(&manifests.load()), ["+default/a [10.1.0.9]"]);
    folder.replace("b.yaml", &service("b", "10.1.0.3"));
    assert_eq!(events(&manifests.load()), ["+default/b [10.1.0.3]"]);
    folder.replace("b.yaml", &service("b", "10.1.0.3"));
    assert_eq!(
        events(&manifests.load()),
        NOTHING,
        "another file with the same text"
    );
}

#[test]
fn what_vanishes_is_deleted() {
    let folder = Folder::new();
    folder.write(
        "a.yaml",
        &format!("{}---\n{}", service("a", "10.1.0.1"), node("192.0.2.1")),
    );
    folder.write(
        "b.yaml",
        &format!(
            "{}---\n{}",
            service("b", "10.1.0.2"),
            slice("b-1", "b", "10.0.0.1")
        ),
    );
    let mut manifests = folder.manifests();
    manifests.load();

    folder.write("b.yaml", &service("b", "10.1.0.2"));
    assert_eq!(events(&manifests.load()), ["-default/b:b-1"]);
    folder.remove("b.yaml");
    assert_eq!(events(&manifests.load()), ["-default/b"]);
    folder.remove("a.yaml");
    assert_eq!(events(&manifests.load()), ["-node", "-default/a"]);
}

#[test]
fn a_service_that_is_none_of_ours_any_more_is_deleted() {
    let folder = Folder::new();
    folder.write("a.yaml", &service("a", "10.1.0.1"));
    let mut manifests = folder.manifests();
    manifests.load();
    folder.write("a.yaml", &service("a", "None"));
    let load = manifests.load();
    assert_eq!(events(&load), ["-default/a"]);
    assert_eq!(load.problems, []);
    folder.write("a.yaml", &service("a", "10.1.0.1"));
    assert_eq!(events(&manifests.load()), ["+default/a [10.1.0.1]"]);
}

#[test]
fn a_slice_can_change_its_service() {
    let folder = Folder::new();
    folder.write(
        "s.yaml",
        &format!(
            "{}---\n{}",
            service("a", "10.1.0.1"),
            service("b", "10.1.0.2")
        ),
    );
    folder.write("x.yaml", &slice("x", "a", "10.0.0.1"));
    let mut manifests = folder.manifests();
    manifests.load();
    folder.write("x.yaml", &slice("x", "b", "10.0.0.1"));
    assert_eq!(
        events(&manifests.load()),
        ["-default/a:x", "+default/b:x [\"10.0.0.1\"]"]
    );
}

#[test]
fn a_bad_object_keeps_its_last_good_version() {
    let folder = Folder::new();
    folder.write(
        "a.yaml",
        &format!(
            "{}---\n{}",
            service("a", "10.1.0.1"),
            service("b", "10.1.0.2")
        ),
    );
    let mut manifests = folder.manifests();
    manifests.load();

    folder.write(
        "a.yaml",
        &format!(
            "{}---\n{}",
            service("a", "10.1.0.300"),
            service("c", "10.1.0.3")
        ),
    );
    let load = manifests.load();
    assert_eq!(
        events(&load),
        ["-default/b", "+default/c [10.1.0.3]"],
        "b is not broken but gone"
    );
    assert_eq!(
        problems(&load, &folder),
        [
            "a.yaml: document 1, line 4: Service default/a: spec.clusterIP: \"10.1.0.300\" is not an \
          IP address"
        ]
    );

    folder.write("a.yaml", &service("a", "10.1.0.1"));
    assert_eq!(
        events(&manifests.load()),
        ["-default/c"],
        "a is what it was"
    );
    folder.write("a.yaml", &service("a", "10.1.0.300"));
    manifests.load();
    folder.remove("a.yaml");
    assert_eq!(
        events(&manifests.load()),
        ["-default/a"],
        "gone with its file, broken or not"
    );
}

#[test]
fn an_unreadable_document_keeps_what_it_may_have_held() {
    let folder = Folder::new();
    let both = format!(
        "{}---\n{}",
        service("a", "10.1.0.1"),
        service("b", "10.1.0.2")
    );
    folder.write("a.yaml", &both);
    let mut manifests = folder.manifests();
    manifests.load();

    folder.write(
        "a.yaml",
        &format!("{}---\nkind: [\n", service("a", "10.1.0.9")),
    );
    assert_eq!(events(&manifests.load()), ["+default/a [10.1.0.9]"]);
    folder.write("b.yaml", &service("b", "10.1.0.8"));
    let load = manifests.load();
    assert_eq!(events(&load), ["+default/b [10.1.0.8]"], "found elsewhere");
    assert_eq!(
        load.problems,
        [],
        "no second definition, and no news about the first file"
    );

    folder.write("a.yaml", &service("a", "10.1.0.9"));
    assert_eq!(events(&manifests.load()), NOTHING);
    assert_eq!(manifests.problems(), []);
}

#[test]
fn the_first_definition_counts_in_any_order_of_events() {
    let folder = Folder::new();
    folder.write("b.yaml", &service("x", "10.1.0.2"));
    let mut manifests = folder.manifests();
    manifests.load();

    folder.write("a.yaml", &service("x", "10.1.0.1"));
    let load = manifests.load();
    assert_eq!(events(&load), ["+default/x [10.1.0.1]"]);
    let told = format!(
        "b.yaml: document 1, line 1: Service default/x: is already defined in {}/a.yaml, \
         document 1, line 1; this one is left out",
        folder.path().display()
    );
    assert_eq!(load.problems.len(), 1);
    assert!(
        load.problems[0].to_string().ends_with(&told),
        "{}",
        load.problems[0]
    );

    // The other file is the same as before, and has to be read again all the same.
    folder.remove("a.yaml");
    assert_eq!(events(&manifests.load()), ["+default/x [10.1.0.2]"]);
    assert_eq!(manifests.problems(), []);
}

#[test]
fn a_missing_path_keeps_what_it_held() {
    let folder = Folder::new();
    let inner = folder.path().join("inner");
    folder.write("inner/a.yaml", &service("a", "10.1.0.1"));
    folder.write("z.yaml", &service("z", "10.1.0.2"));
    let paths = [inner.clone(), folder.path().join("z.yaml")];
    let mut manifests = Manifests::new(paths, None);
    manifests.load();

    let away = folder.path().join("away");
    fs::rename(&inner, &away).unwrap();
    folder.remove("z.yaml");
    let load = manifests.load();
    assert_eq!(events(&load), NOTHING);
    assert_eq!(
        problems(&load, &folder),
        [
            "inner: can't be read: no such file or directory",
            "z.yaml: can't be read: no such file or directory"
        ]
    );
    assert_eq!(events(&manifests.load()), NOTHING);

    fs::create_dir(&inner).unwrap();
    folder.write("z.yaml", &service("z", "10.1.0.3"));
    assert_eq!(
        events(&manifests.load()),
        ["-default/a", "+default/z [10.1.0.3]"]
    );
    assert_eq!(manifests.problems(), []);
}

#[test]
fn projected_volumes_are_swapped_as_a_whole() {
    let folder = Folder::new();
    let swap = |version: &str| {
        let link = folder.path().join("..data_tmp");
        symlink(version, &link).unwrap();
        fs::rename(link, folder.path().join("..data")).unwrap();
    };
    folder.write("..v1/a.yaml", &service("a", "10.1.0.1"));
    folder.write("..v1/b.yaml", &service("b", "10.1.0.2"));
    swap("..v1");
    for name in ["a.yaml", "b.yaml"] {
        symlink(PathBuf::from("..data").join(name), folder.path().join(name)).unwrap();
    }
    let mut manifests = folder.manifests();
    assert_eq!(
        events(&manifests.load()),
        ["+default/a [10.1.0.1]", "+default/b [10.1.0.2]"]
    );

    folder.write("..v2/a.yaml", &service("a", "10.1.0.9"));
    assert_eq!(events(&manifests.load()), NOTHING, "not in place yet");
    swap("..v2");
    fs::remove_dir_all(folder.path().join("..v1")).unwrap();
    let load = manifests.load();
    assert_eq!(events(&load), ["-default/b", "+default/a [10.1.0.9]"]);
    assert_eq!(
        load.problems,
        [],
        "the link to nowhere is about to be removed"
    );
}

#[test]
fn a_slice_waits_for_its_service() {
    let folder = Folder::new();
    folder.write("a.yaml", &slice("a-1", "a", "10.0.0.1"));
    let mut manifests = folder.manifests();
    let load = manifests.load();
    assert_eq!(events(&load), ["+default/a:a-1 [\"10.0.0.1\"]"]);
    assert_eq!(load.problems.len(), 1);
    folder.write("b.yaml", &service("a", "None"));
    assert_eq!(events(&manifests.load()), NOTHING);
    assert_eq!(manifests.problems(), [], "a headless one is there as well");
}

#[test]
fn what_can_t_be_used_is_told_until_it_can_be_or_is_gone() {
    let folder = Folder::new();
    let bad = |text: String| text.replace("port: 80", "port: no");
    let service = service("web", "10.1.0.1");
    let slice = slice("web-1", "web", "10.2.0.1");
    folder.write("service.yaml", &bad(service.clone()));
    folder.write("slice.yaml", &bad(slice.clone()));
    let mut manifests = folder.manifests();
    let load = manifests.load();
    let both = ["Service default/web", "EndpointSlice default/web-1"];
    assert_eq!(refused(&load), both);
    assert_eq!(refused(&manifests.load()), [] as [&str; 0]);

    folder.replace("service.yaml", &service);
    assert_eq!(
        refused(&manifests.load()),
        ["no longer Service default/web"]
    );
    // One that had a version is refused as well.
    folder.replace("service.yaml", &bad(service.clone()));
    assert_eq!(refused(&manifests.load()), ["Service default/web"]);
    folder.replace("service.yaml", &service);
    folder.remove("slice.yaml");
    let ended = [
        "no longer Service default/web",
        "no longer EndpointSlice default/web-1",
    ];
    assert_eq!(refused(&manifests.load()), ended);

    for text in [
        "kind: [",
        "kind: Service\napiVersion: v1\nmetadata: {}\n",
        "\u{0}",
    ] {
        folder.replace("odd.yaml", text);
        assert_eq!(
            refused(&manifests.load()),
            ["something without names"],
            "{text}"
        );
        folder.remove("odd.yaml");
        assert_eq!(
            refused(&manifests.load()),
            ["no longer something without names"]
        );
    }
}
