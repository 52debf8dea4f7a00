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

/// What clone(2) would make a new namespace of (include/uapi/linux/sched.h): each is refused. CLONE_NEWTIME shares its bit with
/// the signal that clone(2) sends, and only clone3(2) knows it.
const NEW_NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Families of sockets that are still opened: viewers, name resolution, netlink.
const SOCKETS: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// Commands of bpf() that read and write the maps of a program that runs already: BPF_MAP_LOOKUP_ELEM, _UPDATE_ELEM,
/// _DELETE_ELEM, _GET_NEXT_KEY (include/uapi/linux/bpf.h).
const BPF_ON_MAPS: [i32; 4] = [1, 2, 3, 4];

/// Confines the calling thread; answers what the kernel lacks.
pub(super) fn confine() -> Result<Option<String>> {
    for program in programs()? {
        match seccompiler::apply_filter(&program) {
            Ok(()) => {}
            Err(seccompiler::Error::Seccomp(error) | seccompiler::Error::Prctl(error))
                if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) =>
            {
                return Ok(Some("this kernel has no seccomp filters: every system call is allowed".into()));
            }
            Err(error) => return Err(error).context("seccomp refuses its filter"),
        }
    }
    Ok(None)
}

/// The filters, each of which can refuse a call: one an error.
fn programs() -> Result<Vec<BpfProgram>> {
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(REFUSED_HERE).map(|number| (*number, Vec::new())).collect();
    refused.insert(libc::SYS_socket, vec![first_argument_is_none_of(&SOCKETS)?]);
    refused.insert(libc::SYS_bpf, vec![first_argument_is_none_of(&BPF_ON_MAPS)?]);
    refused.insert(libc::SYS_clone, NEW_NAMESPACES.iter().map(|flag| first_argument_has(*flag)).collect::<Result<_>>()?);
    // Its flags lie in memory, where a filter does not see them. The C library falls back to clone(2).
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let mut programs = Vec::new();
    for (rules, errno) in [(refused, libc::EPERM), (unknown, libc::ENOSYS)] {
        let here = std::env::consts::ARCH.try_into().context("seccomp filters are not written for this processor")?;
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32), here)?;
        programs.push(filter.try_into()?);
    }
    programs.extend(without_x32());
    Ok(programs)
}

/// On x86-64 every call has a second number, for programs with 32-bit pointers, which the filters above do not look at:
/// all of them are refused (`__X32_SYSCALL_BIT`, arch/x86/include/uapi/asm/unistd.h).
fn without_x32() -> Option<BpfProgram> {
    const X32: u32 = 0x4000_0000;
    // struct seccomp_data begins with the number; the opcodes are those of include/uapi/linux/bpf_common.h.
    let (load, jump_if_at_least, answer) =
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, libc::BPF_RET | libc::BPF_K);
    let step = |code: u32, jt, jf, k| seccompiler::sock_filter { code: code as u16, jt, jf, k };
    cfg!(target_arch = "x86_64").then(|| {
        vec![
            step(load, 0, 0, 0),
            step(jump_if_at_least, 0, 1, X32),
            step(answer, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
            step(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
        ]
    })
}

fn first_argument_has(flag: i32) -> Result<SeccompRule> {
    let bit = flag as u32 as u64;
    Ok(SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(bit), bit)?])?)
}

fn first_argument_is_none_of(allowed: &[i32]) -> Result<SeccompRule> {
    let differs = |one: &i32| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *one as u64);
    Ok(SeccompRule::new(allowed.iter().map(differs).collect::<Result<_, _>>()?)?)
}

#[cfg(test)]
mod tests {
    // Calls by their number, as an intruder makes them.
    #![allow(unsafe_code)]

    use super::*;
    use nix::errno::Errno;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

    /// What the kernel answers to a call by number: nothing, or its error.
    fn call(number: libc::c_long, first: u64) -> Errno {
        // SAFETY: every call that is made by it is refused before it does anything, or makes a child that ends at once.
        let result = unsafe { libc::syscall(number, first, 0, 0, 0, 0) };
        match result {
            0 if number == libc::SYS_clone => unsafe { libc::_exit(0) },
            -1 => Errno::last(),
            child => {
                let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child as i32), None);
                Errno::from_raw(0)
            }
        }
    }

    #[test]
    fn no_call_makes_a_namespace_and_no_other_number_gets_around_that() {
        let signal = libc::SIGCHLD as u64;
        std::thread::spawn(move || {
            nix::sys::prctl::set_no_new_privs().unwrap();
            let none = Errno::from_raw(0);
            assert_eq!(call(libc::SYS_clone, signal | libc::CLONE_NEWUTS as u64), none, "as root it works without the filter");
            assert_eq!(confine().unwrap(), None);
            assert_eq!(call(libc::SYS_clone, signal), none, "processes are still started");
            for flag in NEW_NAMESPACES {
                assert_eq!(call(libc::SYS_clone, signal | flag as u64), Errno::EPERM, "{flag:#x}");
                assert_eq!(call(libc::SYS_unshare, flag as u64), Errno::EPERM, "{flag:#x}");
            }
            assert_eq!(call(libc::SYS_clone3, 0), Errno::ENOSYS);
            #[cfg(target_arch = "x86_64")]
            for number in [libc::SYS_clone, libc::SYS_ptrace, libc::SYS_getpid] {
                assert_eq!(call(number | 0x4000_0000, signal), Errno::EPERM, "{number} of x32");
            }
            assert!(std::process::Command::new("true").status().unwrap().success());
            std::thread::spawn(|| ()).join().unwrap();
        })
        .join()
        .unwrap();
    }

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
