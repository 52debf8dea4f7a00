//! Which system calls a confined thread may not make: a list of what only an intruder would call. A list of what is allowed
//! would have to follow every new version of the C library, the runtime and the host's tools, and fail in the field when it
//! did not.

use anyhow::{Context as _, Result};
use seccompiler::{BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule};
use std::collections::BTreeMap;

/// Refused whatever their arguments are, with EPERM.
const REFUSED: &[libc::c_long] = &[
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // namespaces and mounts
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    // the kernel itself
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    // the host's clock and name
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // keys, handles and devices
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_mknodat,
    libc::SYS_vhangup,
    libc::SYS_personality,
    // users: there is no way back
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
];

/// Old calls that only this architecture has.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[libc::c_long] =
    &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt, libc::SYS_mknod, libc::SYS_kexec_file_load, libc::SYS_uselib];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[libc::c_long] = &[];

/// Families of sockets that are still opened: viewers, name resolution, netlink.
const SOCKETS: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// Commands of bpf() that read and write the maps of a program that runs already: BPF_MAP_LOOKUP_ELEM, _UPDATE_ELEM,
/// _DELETE_ELEM, _GET_NEXT_KEY (include/uapi/linux/bpf.h).
const BPF_ON_MAPS: [i32; 4] = [1, 2, 3, 4];

/// Confines the calling thread; answers what the kernel lacks.
pub(super) fn confine() -> Result<Option<String>> {
    match seccompiler::apply_filter(&program()?) {
        Ok(()) => Ok(None),
        Err(seccompiler::Error::Seccomp(error) | seccompiler::Error::Prctl(error))
            if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) =>
        {
            Ok(Some("this kernel has no seccomp filters: every system call is allowed".into()))
        }
        Err(error) => Err(error).context("seccomp refuses its filter"),
    }
}

fn program() -> Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(REFUSED_HERE).map(|number| (*number, Vec::new())).collect();
    rules.insert(libc::SYS_socket, vec![first_argument_is_none_of(&SOCKETS)?]);
    rules.insert(libc::SYS_bpf, vec![first_argument_is_none_of(&BPF_ON_MAPS)?]);
    let here = std::env::consts::ARCH.try_into().context("seccomp filters are not written for this processor")?;
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, here)?;
    Ok(filter.try_into()?)
}

fn first_argument_is_none_of(allowed: &[i32]) -> Result<SeccompRule> {
    let differs = |one: &i32| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *one as u64);
    Ok(SeccompRule::new(allowed.iter().map(differs).collect::<Result<_, _>>()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

    #[test]
    fn what_a_recording_does_is_allowed_and_what_an_intruder_does_is_not() {
        // On a thread of its own: a filter can never be taken off again.
        std::thread::spawn(|| {
            nix::sys::prctl::set_no_new_privs().unwrap();
            assert_eq!(confine().unwrap(), None);
            let open = |family, kind| socket(family, kind, SockFlag::empty(), None).map(drop);
            assert_eq!(open(AddressFamily::Inet, SockType::Stream), Ok(()));
            assert_eq!(open(AddressFamily::Netlink, SockType::Raw), Ok(()));
            assert_eq!(open(AddressFamily::Packet, SockType::Raw), Err(Errno::EPERM));
            assert_eq!(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER), Err(Errno::EPERM));
            assert_eq!(nix::unistd::chroot("/"), Err(Errno::EPERM));
            assert!(std::process::Command::new("true").status().unwrap().success());
            std::thread::spawn(|| ()).join().unwrap();
        })
        .join()
        .unwrap();
    }
}
