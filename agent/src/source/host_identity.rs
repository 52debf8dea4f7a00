//! Which host this is: what its records have in common, whatever namespace they speak of.

use dropscope_core::log::block::Host;

/// This host, without its namespaces. What cannot be read stays empty.
pub fn read() -> Host {
    let proc = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let uname = nix::sys::utsname::uname().ok();
    let word = |part: Option<&std::ffi::OsStr>| part.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
    Host {
        at_ns: super::clock::realtime_ns(),
        boot_id: proc("/proc/sys/kernel/random/boot_id"),
        hostname: word(uname.as_ref().map(|u| u.nodename())),
        kernel: word(uname.as_ref().map(|u| u.release())),
        machine: word(uname.as_ref().map(|u| u.machine())),
        agent: concat!("Dropscope ", env!("CARGO_PKG_VERSION")).into(),
        cpus: count_of_list(&proc("/sys/devices/system/cpu/online")),
        namespaces: Vec::new(),
        limits: Vec::new(),
    }
}

/// How many numbers a list like `0-3,6` names.
fn count_of_list(list: &str) -> u32 {
    let one = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<u32>().ok()?.checked_sub(first.parse().ok()?)? + 1)
    };
    list.split(',').filter_map(one).sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn processors_are_counted_from_the_kernels_list() {
        for (list, count) in [("0-1", 2), ("0", 1), ("0-3,6", 5), ("", 0)] {
            assert_eq!(super::count_of_list(list), count, "{list}");
        }
    }
}
