//! libpcap, loaded when the first capture opens. Whoever only looks at captures needs no libpcap, and does not wait the 2.5 ms
//! in which the dynamic linker loads it and the nine libraries it needs, as long as a small capture takes to be checked.
//! Building needs no headers either. What is used of it is what libpcap has had since 1.5 (2013), declared as in pcap/pcap.h.

// A C library, called through its functions' addresses.
#![allow(unsafe_code)]

use std::error::Error as _;
use std::ffi::{CStr, CString, c_char, c_int, c_uchar, c_uint, c_void};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::OnceLock;

/// Its file, as Debian and its children call it, as others do, and as its headers' package does.
const NAMES: [&str; 3] = ["libpcap.so.0.8", "libpcap.so.1", "libpcap.so"];
/// PCAP_ERRBUF_SIZE.
const ERRBUF_SIZE: usize = 256;
/// PCAP_TSTAMP_PRECISION_NANO.
const PRECISION_NANO: c_int = 1;
/// PCAP_NETMASK_UNKNOWN: a filter with `ip broadcast` is refused then.
const NETMASK_UNKNOWN: c_uint = 0xffff_ffff;
/// PCAP_ERROR_NO_SUCH_DEVICE, PCAP_ERROR_PERM_DENIED and PCAP_ERROR_PROMISC_PERM_DENIED.
const NO_SUCH_DEVICE: c_int = -5;
const PERM_DENIED: [c_int; 2] = [-8, -11];

/// `pcap_t`.
enum Pcap {}

/// `struct bpf_program`.
#[repr(C)]
struct Program {
    len: c_uint,
    instructions: *mut c_void,
}

/// `struct pcap_pkthdr`.
#[repr(C)]
struct Header {
    ts: libc::timeval,
    caplen: u32,
    len: u32,
}

/// `struct pcap_stat`: counts since the capture began, which wrap.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stat {
    /// Packets that passed the filter, lost ones included.
    pub(super) received: c_uint,
    /// Packets lost because the ring was full.
    pub(super) dropped: c_uint,
    /// Packets lost by the interface.
    pub(super) if_dropped: c_uint,
}

/// A packet in the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// When it was seen, nanoseconds since the Unix epoch.
    pub(super) at_ns: i64,
    /// How long it was on the wire.
    pub(super) wire_len: u32,
    /// What was kept of it.
    pub(super) data: &'a [u8],
}

/// Why libpcap did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is not on this machine.
    Missing(String),
    /// A right is missing.
    Denied,
    /// There is no such interface.
    NoSuchDevice,
    /// Anything else, in libpcap's words.
    Other(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(why) => write!(
                f,
                "capturing needs libpcap, which is not on this machine (on Debian or Ubuntu: apt-get install libpcap0.8; elsewhere the package libpcap): {why}"
            ),
            Self::Denied => f.write_str("a right is missing"),
            Self::NoSuchDevice => f.write_str("there is no such interface"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

type Callback = extern "C" fn(*mut c_uchar, *const Header, *const c_uchar);

/// The functions that are used, each by its address: `create: fn(..)` is `pcap_create`.
macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            /// Keeps the code where it is.
            _library: libloading::Library,
        }

        impl Functions {
            fn of(library: libloading::Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: the types are those that pcap/pcap.h gives these names.
                    $($name: unsafe { *library.get(concat!("pcap_", stringify!($name)))? },)*
                    _library: library,
                })
            }
        }
    };
}

functions! {
    create: fn(*const c_char, *mut c_char) -> *mut Pcap;
    set_snaplen: fn(*mut Pcap, c_int) -> c_int;
    set_buffer_size: fn(*mut Pcap, c_int) -> c_int;
    set_promisc: fn(*mut Pcap, c_int) -> c_int;
    set_timeout: fn(*mut Pcap, c_int) -> c_int;
    set_tstamp_precision: fn(*mut Pcap, c_int) -> c_int;
    activate: fn(*mut Pcap) -> c_int;
    set_datalink: fn(*mut Pcap, c_int) -> c_int;
    datalink: fn(*mut Pcap) -> c_int;
    lookupnet: fn(*const c_char, *mut c_uint, *mut c_uint, *mut c_char) -> c_int;
    compile: fn(*mut Pcap, *mut Program, *const c_char, c_int, c_uint) -> c_int;
    setfilter: fn(*mut Pcap, *mut Program) -> c_int;
    freecode: fn(*mut Program);
    setnonblock: fn(*mut Pcap, c_int, *mut c_char) -> c_int;
    get_selectable_fd: fn(*mut Pcap) -> c_int;
    dispatch: fn(*mut Pcap, c_int, Callback, *mut c_uchar) -> c_int;
    stats: fn(*mut Pcap, *mut Stat) -> c_int;
    geterr: fn(*mut Pcap) -> *mut c_char;
    statustostr: fn(c_int) -> *const c_char;
    close: fn(*mut Pcap);
}

impl Functions {
    fn load(names: &[&str]) -> Result<Self, Refusal> {
        let mut first = None;
        for name in names {
            // SAFETY: libpcap's initialisers, and those of the libraries it needs, do nothing that a program has to prepare for.
            match unsafe { libloading::Library::new(*name) }.and_then(Self::of) {
                Ok(functions) => return Ok(functions),
                Err(error) => first = first.or(Some(error)),
            }
        }
        // The dynamic linker's own words stand behind libloading's.
        let words = |error: libloading::Error| error.source().map_or_else(|| error.to_string(), ToString::to_string);
        Err(Refusal::Missing(first.map(words).unwrap_or_default()))
    }

    fn get() -> Result<&'static Self, Refusal> {
        static LOADED: OnceLock<Result<Functions, Refusal>> = OnceLock::new();
        LOADED.get_or_init(|| Self::load(&NAMES)).as_ref().map_err(Clone::clone)
    }
}

/// How a capture is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Bytes kept of each packet at most.
    pub(super) snaplen: i32,
    /// Size of the kernel's ring in bytes.
    pub(super) ring_bytes: i32,
    /// Whether packets for other hosts are asked for.
    pub(super) promiscuous: bool,
    /// After so long a block that is not full is handed on, milliseconds.
    pub(super) timeout_ms: i32,
}

/// An open capture with time stamps in nanoseconds, which never blocks.
pub(super) struct Handle {
    pcap: NonNull<Pcap>,
    functions: &'static Functions,
    interface: CString,
    fd: c_int,
}

// SAFETY: a `pcap_t` may be used by any one thread at a time; nothing in it belongs to the thread that made it.
unsafe impl Send for Handle {}

impl Handle {
    /// Opens a capture on an interface of the namespace this thread is in.
    pub(super) fn open(interface: &str, options: &Options) -> Result<Self, Refusal> {
        let functions = Functions::get()?;
        let name = CString::new(interface).map_err(|_| Refusal::NoSuchDevice)?;
        let mut told = [0; ERRBUF_SIZE];
        // SAFETY: both pointers are good for the call, the second for PCAP_ERRBUF_SIZE bytes.
        let pcap = unsafe { (functions.create)(name.as_ptr(), told.as_mut_ptr()) };
        let Some(pcap) = NonNull::new(pcap) else { return Err(Refusal::Other(text(told.as_ptr()))) };
        // From here on it is closed when it is dropped.
        let mut handle = Self { pcap, functions, interface: name, fd: -1 };
        let raw = pcap.as_ptr();
        // SAFETY: `raw` is what pcap_create gave, not yet activated.
        let status = unsafe {
            (functions.set_snaplen)(raw, options.snaplen);
            (functions.set_buffer_size)(raw, options.ring_bytes);
            (functions.set_promisc)(raw, options.promiscuous.into());
            (functions.set_timeout)(raw, options.timeout_ms);
            (functions.set_tstamp_precision)(raw, PRECISION_NANO);
            (functions.activate)(raw)
        };
        match status {
            NO_SUCH_DEVICE => return Err(Refusal::NoSuchDevice),
            denied if PERM_DENIED.contains(&denied) => return Err(Refusal::Denied),
            // Above 0 are warnings.
            failed if failed < 0 => return Err(handle.why_not_activated(failed)),
            _ => {}
        }
        // SAFETY: it is activated, and `told` has room for an error.
        let (refused, fd) = unsafe { ((functions.setnonblock)(raw, 1, told.as_mut_ptr()), (functions.get_selectable_fd)(raw)) };
        if refused != 0 {
            return Err(Refusal::Other(text(told.as_ptr())));
        }
        if fd < 0 {
            return Err(Refusal::Other(format!("libpcap has no descriptor to wait on for {interface}")));
        }
        handle.fd = fd;
        Ok(handle)
    }

    /// The DLT_ value of its packets.
    pub(super) fn datalink(&self) -> i32 {
        // SAFETY: it is activated.
        unsafe { (self.functions.datalink)(self.pcap.as_ptr()) }
    }

    /// Asks for another DLT_ value.
    pub(super) fn set_datalink(&mut self, dlt: i32) -> Result<(), Refusal> {
        // SAFETY: it is activated.
        let status = unsafe { (self.functions.set_datalink)(self.pcap.as_ptr(), dlt) };
        self.done(status)
    }

    /// Lets only those packets through that a filter of pcap-filter(7) passes.
    pub(super) fn set_filter(&mut self, filter: &str) -> Result<(), Refusal> {
        let filter = CString::new(filter).map_err(|_| Refusal::Other("it holds a NUL byte".into()))?;
        let (raw, functions) = (self.pcap.as_ptr(), self.functions);
        let mut program = Program { len: 0, instructions: std::ptr::null_mut() };
        let (mut net, mut mask, mut told) = (0, 0, [0; ERRBUF_SIZE]);
        // SAFETY: it is activated; all that is pointed to lives through the calls, and the program is given back to libpcap,
        // which made it.
        let status = unsafe {
            let known = (functions.lookupnet)(self.interface.as_ptr(), &raw mut net, &raw mut mask, told.as_mut_ptr()) == 0;
            let mask = if known { mask } else { NETMASK_UNKNOWN };
            let status = (functions.compile)(raw, &raw mut program, filter.as_ptr(), 1, mask);
            self.done(status)?;
            let status = (functions.setfilter)(raw, &raw mut program);
            (functions.freecode)(&raw mut program);
            status
        };
        self.done(status)
    }

    /// Hands on what lies in the ring, at most so many packets, without waiting.
    pub(super) fn dispatch(&mut self, most: usize, take: impl FnMut(Packet<'_>)) -> Result<(), Refusal> {
        extern "C" fn each<F: FnMut(Packet<'_>)>(take: *mut c_uchar, header: *const Header, data: *const c_uchar) {
            // SAFETY: `take` is the closure below, borrowed by this call alone; libpcap hands on a header and `caplen` bytes,
            // which stay where they are until the callback returns.
            let (take, header, data) = unsafe {
                let header = &*header;
                (&mut *take.cast::<F>(), header, std::slice::from_raw_parts(data, header.caplen as usize))
            };
            // With nanosecond precision `tv_usec` holds nanoseconds.
            let at_ns = header.ts.tv_sec * 1_000_000_000 + header.ts.tv_usec;
            let packet = Packet { at_ns, wire_len: header.len, data };
            if catch_unwind(AssertUnwindSafe(|| take(packet))).is_err() {
                // No panic may pass through C.
                std::process::abort();
            }
        }
        fn callback_of<F: FnMut(Packet<'_>)>(_: &F) -> Callback {
            each::<F>
        }
        let mut take = take;
        let callback = callback_of(&take);
        let most = c_int::try_from(most).unwrap_or(c_int::MAX);
        // SAFETY: it is activated; `take` lives through the call and is of the type the callback was made for.
        let read = unsafe { (self.functions.dispatch)(self.pcap.as_ptr(), most, callback, (&raw mut take).cast()) };
        self.done(read.min(0))
    }

    /// What the capture counted of itself.
    pub(super) fn stats(&mut self) -> Result<Stat, Refusal> {
        let mut stat = Stat::default();
        // SAFETY: it is activated, and `stat` is a `struct pcap_stat`.
        let status = unsafe { (self.functions.stats)(self.pcap.as_ptr(), &raw mut stat) };
        self.done(status).map(|()| stat)
    }

    fn done(&self, status: c_int) -> Result<(), Refusal> {
        if status == 0 { Ok(()) } else { Err(self.why()) }
    }

    fn why_not_activated(&self, status: c_int) -> Refusal {
        match self.why() {
            // SAFETY: any status has a text, which stays.
            Refusal::Other(text_of) if text_of.is_empty() => {
                Refusal::Other(text(unsafe { (self.functions.statustostr)(status) }))
            }
            why => why,
        }
    }

    fn why(&self) -> Refusal {
        // SAFETY: it is open; libpcap's text belongs to it and ends with a NUL.
        Refusal::Other(text(unsafe { (self.functions.geterr)(self.pcap.as_ptr()) }))
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: libpcap's descriptor stays open as long as the capture, and is not -1.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody uses it any more.
        unsafe { (self.functions.close)(self.pcap.as_ptr()) }
    }
}

/// A text of libpcap's, which is never null.
fn text(chars: *const c_char) -> String {
    // SAFETY: libpcap ends its texts with a NUL, and the buffer for its errors begins as zeroes.
    unsafe { CStr::from_ptr(chars) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_libpcap_what_to_install_is_told() {
        let refusal = Functions::load(&["libpcap-that-nobody-has.so.7"]).err().expect("there is no such library");
        let told = refusal.to_string();
        assert!(told.starts_with("capturing needs libpcap, which is not on this machine"), "{told}");
        assert!(told.contains("apt-get install libpcap0.8") && told.contains("libpcap-that-nobody-has.so.7"), "{told}");
    }
}
