//! Ways to trace dropped packets, the better one first, and what each lesser one leaves out.

use super::program::{Kind, Program};
use super::tracepoint::Tracepoint;
use super::{SourceError, WHAT, btf};
use aya::programs::ProgramError;
use std::collections::HashMap;
use std::error::Error;
use std::io;

const RIGHTS: &str = "CAP_BPF and CAP_PERFMON (or root)";
const PROFILE: &str = "CAP_BPF and CAP_PERFMON are held, but bpf(2) is refused all the same, as by the seccomp profile of a container \
                       engine (--security-opt seccomp=unconfined, or --cap-add sys_admin)";
const NO_REASON: &str = "kernel_drops: this kernel is older than Linux 5.17 and gives no reason for a drop.";

/// How drops of the kernel are traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Tracing {
    /// The first of the others that this host allows.
    #[default]
    Auto,
    /// By eBPF, with a packet's first bytes wherever they lie.
    Btf,
    /// By eBPF without perf buffers, mostly with the headers alone.
    Raw,
    /// Without eBPF: time, reason, place and protocol, of the whole host.
    Tracepoint,
}

/// A way that works.
pub(super) struct Traced {
    pub(super) tracer: Tracer,
    /// Names of drop reasons by number.
    pub(super) reasons: HashMap<u32, String>,
    /// What it does not tell, in full sentences.
    pub(super) limits: Vec<String>,
}

/// What is at work.
pub(super) enum Tracer {
    Program(Box<Program>),
    Tracepoint(Tracepoint),
}

/// Begins to trace by the first way that works.
pub(super) fn trace(wanted: Tracing) -> Result<Traced, SourceError> {
    let is_wanted = |way: Tracing| wanted == Tracing::Auto || wanted == way;
    let mut refused = Refused { has_rights: has_rights(), ..Refused::default() };
    let types = std::fs::read(btf::PATH).ok().and_then(|bytes| btf::parse(&bytes));
    if types.is_none() && wanted != Tracing::Tracepoint {
        refused.why.push(format!("this kernel has no type information ({}, CONFIG_DEBUG_INFO_BTF)", btf::PATH));
    }
    for (way, kind) in [(Tracing::Btf, Kind::Btf), (Tracing::Raw, Kind::Raw)] {
        let Some(types) = types.as_ref().filter(|_| is_wanted(way)) else { continue };
        match Program::load(kind, types.tracepoint_arguments) {
            Ok(program) => {
                let less = "of most dropped packets only the headers are told, not what they carry";
                let mut limits = Vec::new();
                limits.extend((types.tracepoint_arguments < 3).then(|| NO_REASON.to_owned()));
                limits.extend((kind == Kind::Raw).then(|| refused.limit(less)));
                let (tracer, reasons) = (Tracer::Program(Box::new(program)), types.reasons.clone());
                return Ok(Traced { tracer, reasons, limits });
            }
            Err(error) => refused.take(error.as_ref()),
        }
    }
    if is_wanted(Tracing::Tracepoint) {
        match Tracepoint::open() {
            Ok(mut tracepoint) => {
                let less = "dropped packets are those of the whole host, told without namespace, interface, addresses or bytes, \
                            so that none is joined to a captured packet or a conversation";
                let mut limits = vec![refused.limit(less)];
                limits.extend((!tracepoint.has_reason()).then(|| NO_REASON.to_owned()));
                let reasons = tracepoint.take_reasons();
                return Ok(Traced { tracer: Tracer::Tracepoint(tracepoint), reasons, limits });
            }
            Err(error) => refused.take(&error),
        }
    }
    Err(refused.error())
}

/// Whether what eBPF takes is held by this thread.
fn has_rights() -> bool {
    let has = |one| caps::has_cap(None, caps::CapSet::Effective, one).unwrap_or(false);
    has(caps::Capability::CAP_SYS_ADMIN) || (has(caps::Capability::CAP_BPF) && has(caps::Capability::CAP_PERFMON))
}

/// Why better ways did not work.
#[derive(Default)]
struct Refused {
    why: Vec<String>,
    /// A right is missing. That can be changed, so it is what is told where nothing works.
    denied: bool,
    /// The capabilities are held all the same: something else refuses.
    has_rights: bool,
}

impl Refused {
    fn take(&mut self, error: &(dyn Error + 'static)) {
        let denied = is_denied(error);
        self.denied |= denied && !self.has_rights;
        let why = match (denied, self.has_rights) {
            (true, false) => format!("eBPF takes {RIGHTS}"),
            (true, true) => PROFILE.to_owned(),
            (false, _) => reason_of(error),
        };
        if !self.why.contains(&why) {
            self.why.push(why);
        }
    }

    /// The sentence for what the way that works does not tell.
    fn limit(&self, less: &str) -> String {
        let why = if self.why.is_empty() { "--kernel-drops asks for it".to_owned() } else { self.why.join("; ") };
        format!("kernel_drops: {less}: {why}.")
    }

    fn error(self) -> SourceError {
        match self.denied {
            true => SourceError::Denied { what: WHAT.into(), need: RIGHTS },
            false => SourceError::Unsupported { what: WHAT.into(), why: self.why.join("; ") },
        }
    }
}

/// The error and what caused it, outermost first.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

/// Why the kernel's verifier does not take a program, in its own words.
fn verdict(error: &(dyn Error + 'static)) -> Option<String> {
    let Some(ProgramError::LoadError { verifier_log, .. }) = error.downcast_ref() else { return None };
    last_words(&verifier_log.to_string()).map(|said| format!("this kernel refused the eBPF program: {said}"))
}

/// The verifier explains itself over hundreds of lines; the last one but for its statistics is the reason.
fn last_words(log: &str) -> Option<&str> {
    let statistics = ["processed ", "stack depth ", "verification time "];
    let said = log.trim().lines().rfind(|line| !statistics.iter().any(|begin| line.starts_with(begin)))?;
    (!said.is_empty()).then_some(said)
}

/// Whether a right is missing, and not something of the kernel. The verifier too answers EACCES.
fn is_denied(error: &(dyn Error + 'static)) -> bool {
    let number = |error: &(dyn Error + 'static)| error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    chain(error).all(|error| verdict(error).is_none())
        && chain(error).any(|error| matches!(number(error), Some(libc::EPERM | libc::EACCES)))
}

/// What is said of an error: its innermost cause.
fn reason_of(error: &(dyn Error + 'static)) -> String {
    let innermost = || chain(error).last().map(ToString::to_string).unwrap_or_default();
    chain(error).find_map(verdict).unwrap_or_else(innermost)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where eBPF is not allowed, agent/tests/kernel_drops.rs says what comes then.
    #[test]
    fn programs_for_kernels_that_tell_less_are_taken_too() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("programs_for_kernels_that_tell_less_are_taken_too: skipped, loading eBPF needs root");
            return;
        }
        for kind in [Kind::Btf, Kind::Raw] {
            for arguments in [2, 3] {
                let loaded = Program::load(kind, arguments).map(drop).map_err(|error| reason_of(error.as_ref()));
                assert_eq!(loaded, Ok(()), "{kind:?} with {arguments} arguments");
            }
        }
    }

    #[test]
    fn a_missing_right_is_told_as_one_and_what_else_is_missing_by_its_cause() {
        let refused = |error: &(dyn Error + 'static)| {
            let mut refused = Refused::default();
            refused.take(error);
            (refused.limit("less is told"), refused.error().to_string())
        };
        let (limit, error) = refused(&io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(limit, "kernel_drops: less is told: eBPF takes CAP_BPF and CAP_PERFMON (or root).");
        assert_eq!(error, "packets the kernel dropped cannot be read without CAP_BPF and CAP_PERFMON (or root)");
        let mut profile = Refused { has_rights: true, ..Refused::default() };
        profile.take(&io::Error::from_raw_os_error(libc::EPERM));
        assert!(profile.error().to_string().contains("seccomp profile"), "the capabilities are there");
        let (limit, _) = refused(&io::Error::from_raw_os_error(libc::ENOSYS));
        assert!(limit.contains("less is told: Function not implemented"), "{limit}");
    }

    #[test]
    fn of_what_the_verifier_says_the_reason_is_told() {
        let log = "0: R1=ctx()\n1: (69) r1 = *(u16 *)(r6 +24)\nR1 invalid mem access\nverification time 7 usec\nstack depth 8\nprocessed 1 insns\n";
        assert_eq!(last_words(log), Some("R1 invalid mem access"));
        assert_eq!(last_words("processed 1 insns\n"), None);
        assert_eq!(last_words(""), None);
    }
}
