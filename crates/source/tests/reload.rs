//! Later loads: only what changed, and never less than what was good.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use common::{Folder, events, node, problems, refused, service, slice};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use viprule_source::manifest::{Loss, Manifests, Share};

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
fn ranges_of_cluster_ips_come_change_and_go() {
    let cidr = |networks: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {{name: kubernetes}}\n\
             spec: {{cidrs: [{networks}]}}\n"
        )
    };
    let folder = Folder::new();
    folder.write("a.yaml", &service("a", "10.1.0.1"));
    folder.write("b.yaml", &cidr("10.1.0.0/16, \"fd00:1::/112\""));
    let mut manifests = folder.manifests();
    assert_eq!(
        events(&manifests.load()),
        [
            "+kubernetes [10.1.0.0/16, fd00:1::/112]",
            "+default/a [10.1.0.1]",
        ]
    );
    folder.replace("b.yaml", &cidr("10.1.0.0/17"));
    assert_eq!(events(&manifests.load()), ["+kubernetes [10.1.0.0/17]"]);
    folder.replace("b.yaml", &cidr("10.1.0.0"));
    let load = manifests.load();
    assert_eq!((events(&load), refused(&load)), (vec![], vec![]));
    assert_eq!(
        problems(&load, &folder),
        [
            "b.yaml: document 1, line 4: ServiceCIDR kubernetes: spec.cidrs[0]: \"10.1.0.0\" is \
             not a range of addresses such as 10.0.0.0/8"
        ]
    );
    folder.remove("b.yaml");
    assert_eq!(events(&manifests.load()), ["-kubernetes"]);
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
fn a_folder_that_is_swapped_in_two_steps_keeps_what_it_held() {
    let folder = Folder::new();
    let data = folder.path().join("..data");
    for version in ["..v1", "..v2"] {
        folder.write(&format!("{version}/a.yaml"), &service("a", "10.1.0.1"));
    }
    folder.write("..v1/b.yaml", &service("b", "10.1.0.2"));
    symlink("..v1", &data).unwrap();
    for name in ["a.yaml", "b.yaml"] {
        symlink(PathBuf::from("..data").join(name), folder.path().join(name)).unwrap();
    }
    let mut manifests = folder.manifests();
    manifests.load();

    folder.remove("..data");
    let load = manifests.load();
    assert_eq!(events(&load), NOTHING);
    assert_eq!(
        problems(&load, &folder),
        [
            "a.yaml: can't be read: no such file or directory",
            "b.yaml: can't be read: no such file or directory"
        ]
    );
    symlink("..v2", &data).unwrap();
    assert_eq!(events(&manifests.load()), ["-default/b"]);
    assert_eq!(manifests.problems(), []);
}

#[test]
fn a_file_that_is_emptied_keeps_what_it_held() {
    let folder = Folder::new();
    folder.write("a.yaml", &service("a", "10.1.0.1"));
    folder.write("empty.yaml", "");
    let mut manifests = folder.manifests();
    assert_eq!(manifests.load().problems, []);
    folder.write("a.yaml", "");
    let load = manifests.load();
    assert_eq!(events(&load), NOTHING);
    assert_eq!(
        problems(&load, &folder),
        ["a.yaml: is empty; delete it if nothing is to be in it"]
    );
    folder.write("a.yaml", &service("a", "10.1.0.2"));
    assert_eq!(events(&manifests.load()), ["+default/a [10.1.0.2]"]);
    folder.write("a.yaml", "# nothing\n");
    assert_eq!(events(&manifests.load()), ["-default/a"]);
}

#[test]
fn what_is_no_regular_file_is_told_and_others_are_read() {
    let folder = Folder::new();
    folder.write("b.yaml", &service("b", "10.1.0.2"));
    mkfifo(&folder.path().join("a.yaml"), Mode::S_IRWXU).unwrap();
    symlink("/dev/zero", folder.path().join("c.json")).unwrap();
    symlink("/dev/zero", folder.path().join("no-manifest")).unwrap();
    let mut manifests = folder.manifests();
    let load = manifests.load();
    assert_eq!(events(&load), ["+default/b [10.1.0.2]"]);
    assert_eq!(
        problems(&load, &folder),
        [
            "a.yaml: is a pipe; only regular files are read",
            "c.json: is a device; only regular files are read"
        ]
    );
}

#[test]
fn a_file_that_becomes_something_else_keeps_what_it_held() {
    let folder = Folder::new();
    folder.write("a.yaml", &service("a", "10.1.0.1"));
    let path = folder.write("b.yaml", &service("b", "10.1.0.2"));
    let mut manifests = folder.manifests();
    manifests.load();
    folder.remove("a.yaml");
    mkfifo(&folder.path().join("a.yaml"), Mode::S_IRWXU).unwrap();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len((256 << 20) + 1)
        .unwrap();
    let load = manifests.load();
    assert_eq!(events(&load), NOTHING);
    assert_eq!(
        problems(&load, &folder),
        [
            "a.yaml: is a pipe; only regular files are read",
            "b.yaml: is longer than 256 MiB, the most that is read of one file"
        ]
    );
    folder.remove("a.yaml");
    folder.write("b.yaml", &service("b", "10.1.0.3"));
    assert_eq!(
        events(&manifests.load()),
        ["-default/a", "+default/b [10.1.0.3]"]
    );
}

#[test]
fn a_given_path_may_be_a_pipe_where_that_is_said() {
    let folder = Folder::new();
    let pipe = folder.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let told = |load: &viprule_source::manifest::Load| problems(load, &folder);
    let load = Manifests::new([pipe.clone()], None).load();
    assert_eq!(
        told(&load),
        ["pipe: is a pipe; only regular files are read"]
    );
    let load = Manifests::new([pipe.clone()], None).with_pipes().load();
    assert_eq!(
        told(&load),
        ["pipe: is a pipe, and nothing came through it: see what writes to it"]
    );
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, service("a", "10.1.0.1"))
    });
    // Who opens a pipe at one end waits for the other end.
    let other = fs::File::open(&pipe).unwrap();
    let load = Manifests::new([pipe], None).with_pipes().load();
    drop(other);
    writer.join().unwrap().unwrap();
    assert_eq!(events(&load), ["+default/a [10.1.0.1]"]);
    let load = Manifests::new([PathBuf::from("/dev/zero")], None)
        .with_pipes()
        .load();
    assert_eq!(
        told(&load),
        ["/dev/zero: is longer than 256 MiB, the most that is read of one file"]
    );
}

/// So many Services, each with a slice, in a file each.
fn many(folder: &Folder, names: impl Iterator<Item = u8>) {
    for name in names {
        let ip = format!("10.1.0.{name}");
        let both = [
            service(&format!("s{name}"), &ip),
            slice(&format!("s{name}-x"), &format!("s{name}"), "10.0.0.1"),
        ];
        folder.write(&format!("s{name}.yaml"), &both.join("---\n"));
    }
}

#[test]
fn what_is_not_believed_to_be_gone_is_asked_about_until_it_is() {
    let folder = Folder::new();
    many(&folder, 0..10);
    let mut manifests = folder.manifests();
    manifests.load_if(|loss| panic!("{loss:?} of nothing"));
    for name in 0..6 {
        folder.remove(&format!("s{name}.yaml"));
    }
    many(&folder, 20..21);
    let share = Share {
        missing: 6,
        known: 10,
        left: 5,
    };
    let loss = Loss {
        services: share,
        slices: share,
    };
    let load = manifests.load_if(|found| {
        assert_eq!(*found, loss);
        false
    });
    assert_eq!(load.withheld, Some(loss));
    assert!(share.is_most());
    let new = [
        "+default/s20 [10.1.0.20]",
        "+default/s20:s20-x [\"10.0.0.1\"]",
    ];
    assert_eq!(events(&load), new, "what comes is told");
    assert_eq!(manifests.services(), 11);

    // One is back, another one is another now.
    many(&folder, 0..1);
    folder.write("s1.yaml", &service("s1", "10.1.0.99"));
    let load = manifests.load_if(|_| false);
    assert_eq!(events(&load), ["+default/s1 [10.1.0.99]"]);
    let left = load.withheld.unwrap();
    assert_eq!((left.services.missing, left.slices.missing), (4, 5));

    let load = manifests.load_if(|_| true);
    assert_eq!(load.withheld, None);
    let gone = events(&load);
    assert_eq!(gone.len(), 9);
    assert!(gone.iter().all(|event| event.starts_with("-default/s")));
    assert_eq!(manifests.services(), 7);
    manifests.load_if(|loss| panic!("{loss:?} again"));
}

#[test]
fn nothing_left_of_a_few_is_most_and_all_of_a_kind_renamed_is_not() {
    let folder = Folder::new();
    folder.write("a.yaml", &service("a", "10.1.0.1"));
    let mut manifests = folder.manifests();
    manifests.load();
    folder.write("a.yaml", &service("b", "10.1.0.1"));
    let renamed = manifests.load_if(|_| false).withheld.unwrap();
    assert!(!renamed.services.is_most());
    folder.remove("a.yaml");
    let gone = manifests.load_if(|_| false).withheld.unwrap();
    assert!(gone.services.is_most());
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
