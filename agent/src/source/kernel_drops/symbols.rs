//! Names for places in the kernel's code, from /proc/kallsyms.

use std::collections::HashMap;

/// The file; its addresses are zero for a reader without CAP_SYSLOG.
pub(super) const PATH: &str = "/proc/kallsyms";

/// The kernel's functions by address.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    /// Address, and where the name stands in `names`.
    starts: Vec<(u64, u32)>,
    /// All names, each ended by a zero byte.
    names: String,
    /// Places that were asked for: there are few, and each many times.
    known: HashMap<u64, String>,
}

impl Symbols {
    /// Functions from the file's text. Data symbols are left out: no packet is dropped there.
    pub(super) fn parse(text: &str) -> Self {
        let mut symbols = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else { continue };
            let Ok(address) = u64::from_str_radix(address, 16) else { continue };
            if address == 0 || !matches!(kind, "t" | "T" | "w" | "W") {
                continue;
            }
            symbols.starts.push((address, symbols.names.len() as u32));
            symbols.names.push_str(name);
            symbols.names.push('\0');
        }
        // Stable, so that of several names of one address the first is told, as in a stack trace.
        symbols.starts.sort_by_key(|(address, _)| *address);
        symbols.starts.dedup_by_key(|(address, _)| *address);
        symbols
    }

    /// Whether no addresses could be read.
    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// A place as a stack trace tells it, `nft_do_chain+0x3e8`; empty where symbols were not readable.
    pub(super) fn place(&mut self, address: u64) -> &str {
        let (starts, names) = (&self.starts, &self.names);
        self.known.entry(address).or_insert_with(|| {
            let after = starts.partition_point(|(start, _)| *start <= address);
            let Some(&(start, name)) = after.checked_sub(1).and_then(|at| starts.get(at)) else { return String::new() };
            let name = names[name as usize..].split('\0').next().unwrap_or_default();
            format!("{name}+{:#x}", address - start)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cut from /proc/kallsyms of kernel 6.18.
    const TEXT: &str = "ffffffff81000000 T _text\n\
        ffffffff81c5a3b0 t nft_do_chain\n\
        ffffffff81c5aa10 T nft_do_chain_ipv4\n\
        ffffffff82a00000 D some_data\n";

    #[test]
    fn a_place_is_told_as_function_and_offset() {
        let mut symbols = Symbols::parse(TEXT);
        assert_eq!(symbols.place(0xffff_ffff_81c5_a798), "nft_do_chain+0x3e8");
        assert_eq!(symbols.place(0xffff_ffff_81c5_aa10), "nft_do_chain_ipv4+0x0");
        assert_eq!(symbols.place(0x10), "", "before the first function");
    }

    #[test]
    fn a_reader_without_the_right_sees_no_symbols() {
        assert!(Symbols::parse("0000000000000000 T _text\n0000000000000000 t nft_do_chain\n").is_empty());
    }
}
