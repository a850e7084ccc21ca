//! Namespaces by themselves.

use std::fs;
use std::time::{Duration, Instant};
use viprule_testkit::LIMIT;
use viprule_testkit::netns::{Namespace, require_privileges};

#[test]
fn a_namespace_is_empty_and_loopback_works() {
    require_privileges().unwrap();
    let namespace = Namespace::new("alone").unwrap();
    let links = namespace.command("ip").args(["-o", "link"]).text().unwrap();
    assert_eq!(links.lines().count(), 1, "{links}");
    let here = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let there = namespace
        .run(|| fs::read_link("/proc/thread-self/ns/net").unwrap())
        .unwrap();
    assert_ne!(here, there);
    let after = fs::read_link("/proc/thread-self/ns/net").unwrap();
    assert_eq!(here, after, "the caller stays where it was");
    let (listener, port) = namespace
        .run(|| {
            let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            (listener, port)
        })
        .unwrap();
    namespace
        .run(|| std::net::TcpStream::connect(("::1", port)).map(drop))
        .unwrap()
        .unwrap();
    assert!(
        std::net::TcpStream::connect(("::1", port)).is_err(),
        "not from here"
    );
    drop(listener);
}

#[test]
fn sysctls_belong_to_the_namespace() {
    require_privileges().unwrap();
    let (one, other) = (
        Namespace::new("one").unwrap(),
        Namespace::new("other").unwrap(),
    );
    one.set_sysctl("net/ipv4/ip_local_port_range", "2000 3000")
        .unwrap();
    assert_eq!(
        one.sysctl("net/ipv4/ip_local_port_range").unwrap(),
        "2000\t3000"
    );
    assert_ne!(
        other.sysctl("net/ipv4/ip_local_port_range").unwrap(),
        "2000\t3000"
    );
    let error = one.set_sysctl("net/ipv4/no_such_key", "1").unwrap_err();
    assert!(error.to_string().contains("no_such_key"), "{error}");
}

#[test]
fn commands_run_inside_and_tell_why_they_fail() {
    require_privileges().unwrap();
    let namespace = Namespace::new("shell").unwrap();
    let inside = namespace
        .command("readlink")
        .arg("/proc/self/ns/net")
        .text()
        .unwrap();
    let there = namespace
        .run(|| fs::read_link("/proc/thread-self/ns/net").unwrap())
        .unwrap();
    assert_eq!(inside.trim(), there.to_str().unwrap());
    let much = "x".repeat(1 << 20);
    assert_eq!(namespace.command("cat").input(&*much).text().unwrap(), much);
    let error = namespace
        .ip(["addr add 10.0.0.1/8 dev nope"])
        .unwrap_err()
        .to_string();
    assert!(error.contains("shell") && error.contains("nope"), "{error}");
    assert!(namespace.command("no-such-program").text().is_err());
}

#[test]
fn a_panic_inside_is_the_caller_s() {
    require_privileges().unwrap();
    let namespace = Namespace::new("panic").unwrap();
    let result = std::panic::catch_unwind(|| namespace.run(|| panic!("as expected")));
    assert_eq!(
        *result.unwrap_err().downcast_ref::<&str>().unwrap(),
        "as expected"
    );
}

#[test]
fn a_namespace_is_gone_after_drop() {
    require_privileges().unwrap();
    let stays = Namespace::new("stays").unwrap();
    let goes = Namespace::new("goes").unwrap();
    let path = goes.path();
    stays
        .ip([format!(
            "link add near type veth peer name far netns {}",
            path.display()
        )])
        .unwrap();
    assert!(
        goes.command("ip")
            .args(["link", "show", "far"])
            .text()
            .is_ok()
    );
    drop(goes);
    // The kernel tears namespaces down in the background, and the veth's end here with it.
    let start = Instant::now();
    while stays
        .command("ip")
        .args(["link", "show", "near"])
        .text()
        .is_ok()
    {
        assert!(start.elapsed() < LIMIT, "the namespace is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}
