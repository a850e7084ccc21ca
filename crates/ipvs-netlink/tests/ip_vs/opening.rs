//! Where IPVS can be used.

use ipvs_netlink::{Error, Ipvs, Scheduler, proc};

use crate::common::{all, in_netns, must_open, run};

#[test]
fn opening_tells_what_is_missing() {
    match Ipvs::open() {
        // Root of a user namespace, or no root at all.
        Ok(_) | Err(Error::NotPermitted) => assert!(Ipvs::is_loaded()),
        Err(error @ Error::NotSupported) => {
            let expected = std::env::var_os("VIPRULE_IPVS").is_some_and(|value| value == "1");
            assert!(!expected, "VIPRULE_IPVS=1, but {error}");
            assert!(!Ipvs::is_loaded());
            assert!(error.to_string().contains("modprobe ip_vs"), "{error}");
            assert!(matches!(proc::read(|_| {}), Err(proc::Error::NotSupported)));
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
#[ignore = "needs a kernel with IPVS"]
fn asking_for_a_scheduler_makes_no_server() {
    in_netns(|| {
        let mut ipvs = must_open();
        for known in [Scheduler::RR, Scheduler::MH, "sed".parse().unwrap()] {
            assert!(ipvs.has_scheduler(&known).unwrap(), "{known}");
        }
        assert!(!ipvs.has_scheduler(&"nosuch".parse().unwrap()).unwrap());
        assert!(all(&mut ipvs).is_empty());
    });
}

#[test]
#[ignore = "needs a kernel with IPVS"]
fn without_the_capability_the_error_names_it() {
    let program = std::env::current_exe().unwrap();
    let program = program.to_str().unwrap();
    let half = "opening::root_of_a_user_namespace_may_not";
    let printed = run("unshare", &["-rn", program, "--ignored", "--exact", half]);
    assert!(printed.contains("1 passed"), "{printed}");
}

#[test]
#[ignore = "the other half of without_the_capability_the_error_names_it"]
fn root_of_a_user_namespace_may_not() {
    if std::fs::read_to_string("/proc/self/uid_map")
        .unwrap()
        .contains("4294967295")
    {
        return;
    }
    let error = Ipvs::open().unwrap_err();
    assert!(matches!(error, Error::NotPermitted), "{error:?}");
    assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
}
