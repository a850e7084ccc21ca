//! System calls by their numbers.

use nix::libc::{self, c_long};

/// What the agent needs, with glibc and with musl. Beside what a trace of all suites shows, there is
/// what C libraries do in its place on other kernels and architectures.
#[rustfmt::skip]
pub(super) const OF_AGENT: &[c_long] = &[
    // Files and pipes: what is open, and what is opened for reading (`arguments`).
    libc::SYS_close, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_fcntl, libc::SYS_fstat,
    libc::SYS_getdents64, libc::SYS_ioctl, libc::SYS_lseek, libc::SYS_newfstatat, libc::SYS_openat,
    libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_read, libc::SYS_readlinkat, libc::SYS_readv,
    libc::SYS_statx, libc::SYS_write, libc::SYS_writev,
    // Relative folders of manifests are watched by their whole names.
    libc::SYS_getcwd,
    // Waiting for them.
    libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait, libc::SYS_eventfd2,
    libc::SYS_inotify_add_watch, libc::SYS_inotify_init1, libc::SYS_inotify_rm_watch,
    libc::SYS_ppoll,
    // Sockets.
    libc::SYS_accept, libc::SYS_accept4, libc::SYS_bind, libc::SYS_connect, libc::SYS_getpeername,
    libc::SYS_getsockname, libc::SYS_getsockopt, libc::SYS_listen, libc::SYS_recvfrom,
    libc::SYS_recvmmsg, libc::SYS_recvmsg, libc::SYS_sendmmsg, libc::SYS_sendmsg, libc::SYS_sendto,
    libc::SYS_setsockopt, libc::SYS_shutdown, libc::SYS_socket, libc::SYS_socketpair,
    // Memory.
    libc::SYS_brk, libc::SYS_madvise, libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_mremap,
    libc::SYS_munmap,
    // Threads, and the end.
    libc::SYS_clone, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_futex, libc::SYS_getpid,
    libc::SYS_gettid, libc::SYS_restart_syscall, libc::SYS_rseq, libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield, libc::SYS_set_robust_list, libc::SYS_sigaltstack, libc::SYS_tgkill,
    // Time.
    libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_gettimeofday, libc::SYS_nanosleep,
    // This process and this machine.
    libc::SYS_getegid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getrandom,
    libc::SYS_getrusage, libc::SYS_getuid, libc::SYS_prctl, libc::SYS_prlimit64, libc::SYS_sysinfo,
    libc::SYS_uname,
    // What newer architectures have in another form only.
    #[cfg(target_arch = "x86_64")] libc::SYS_access,
    #[cfg(target_arch = "x86_64")] libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")] libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")] libc::SYS_open,
    #[cfg(target_arch = "x86_64")] libc::SYS_poll,
    #[cfg(target_arch = "x86_64")] libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")] libc::SYS_stat,
];

/// What neither the agent nor a program that it starts needs, and what is worth most to somebody who
/// has taken one of them over: other processes, namespaces and mounts, the kernel itself. Modules may
/// be loaded: programs for legacy tables do.
#[rustfmt::skip]
pub(super) const OF_NOBODY: &[c_long] = &[
    // Other processes. Flags of clone3 are in memory, which a filter can't read; C libraries go back
    // to clone.
    libc::SYS_clone3, libc::SYS_kcmp, libc::SYS_pidfd_getfd, libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev, libc::SYS_ptrace,
    // Namespaces, mounts, files by handle.
    libc::SYS_chroot, libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_fsopen, libc::SYS_fspick,
    libc::SYS_mount, libc::SYS_mount_setattr, libc::SYS_move_mount, libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at, libc::SYS_open_tree, libc::SYS_pivot_root, libc::SYS_setns,
    libc::SYS_umount2, libc::SYS_unshare,
    // The kernel, and large parts of it that few programs use.
    libc::SYS_add_key, libc::SYS_bpf, libc::SYS_delete_module, libc::SYS_fanotify_init,
    libc::SYS_io_uring_enter, libc::SYS_io_uring_register, libc::SYS_io_uring_setup,
    libc::SYS_kexec_load, libc::SYS_keyctl, libc::SYS_perf_event_open, libc::SYS_request_key,
    libc::SYS_syslog, libc::SYS_userfaultfd,
    // The machine.
    libc::SYS_acct, libc::SYS_adjtimex, libc::SYS_clock_adjtime, libc::SYS_clock_settime,
    libc::SYS_quotactl, libc::SYS_reboot, libc::SYS_setdomainname, libc::SYS_sethostname,
    libc::SYS_settimeofday, libc::SYS_swapoff, libc::SYS_swapon, libc::SYS_vhangup,
    #[cfg(not(all(target_arch = "aarch64", target_env = "musl")))] libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")] libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")] libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")] libc::SYS_modify_ldt,
];
