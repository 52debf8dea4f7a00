//! What the running kernel's own type information (BTF) says of drop reasons and of the tracepoint.
//!
//! Reasons are numbers that change from kernel to kernel, so their names are read here and never written into the agent.
//! Layout: Documentation/bpf/btf.rst.

use crate::source::netlink::{u16_at, u32_at};
use std::collections::HashMap;

/// Where the kernel shows its type information.
pub(super) const PATH: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const KIND_PTR: u32 = 2;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_FUNC_PROTO: u32 = 13;

/// What is of use here.
#[derive(Debug, Default, PartialEq)]
pub(super) struct KernelTypes {
    /// Drop reasons by number, without their common beginning: `NETFILTER_DROP`.
    pub(super) reasons: HashMap<u32, String>,
    /// Arguments the tracepoint gives: packet, place, then reason (Linux 5.17) and receiving socket (Linux 6.11).
    pub(super) tracepoint_arguments: usize,
}

/// Reads the types; `None` where `bytes` are no BTF of this machine's byte order.
pub(super) fn parse(bytes: &[u8]) -> Option<KernelTypes> {
    if u16_at(bytes, 0)? != MAGIC {
        return None;
    }
    let word = |at| u32_at(bytes, at).map(|word| word as usize);
    let header = word(4)?;
    let types = bytes.get(header + word(8)?..)?.get(..word(12)?)?;
    let strings = bytes.get(header + word(16)?..)?.get(..word(20)?)?;
    // Type numbers count from 1; 0 is void.
    let mut all = vec![Type { name: 0, kind: 0, count: 0, refers_to: 0, members: &[] }];
    let mut rest = types;
    while let Some(one) = Type::split(&mut rest) {
        all.push(one);
    }
    let is_named = |one: &&Type<'_>, kind, name| one.kind == kind && string(strings, one.name) == name;
    let reasons = all.iter().find(|one| is_named(one, KIND_ENUM, "skb_drop_reason"));
    let reasons = reasons.map(|one| {
        let member = |at: usize| {
            let (name, number) = (u32_at(one.members, at * 8)?, u32_at(one.members, at * 8 + 4)?);
            let name = string(strings, name);
            Some((number, name.strip_prefix("SKB_DROP_REASON_").unwrap_or(name).to_owned()))
        };
        (0..one.count).filter_map(member).collect()
    });
    // typedef void (*btf_trace_kfree_skb)(void *, struct sk_buff *, …): the first argument is the tracer's own.
    let arguments = all
        .iter()
        .find(|one| is_named(one, KIND_TYPEDEF, "btf_trace_kfree_skb"))
        .and_then(|one| all.get(one.refers_to as usize).filter(|one| one.kind == KIND_PTR))
        .and_then(|one| all.get(one.refers_to as usize).filter(|one| one.kind == KIND_FUNC_PROTO))
        .map_or(0, |one| one.count.saturating_sub(1));
    Some(KernelTypes { reasons: reasons.unwrap_or_default(), tracepoint_arguments: arguments })
}

struct Type<'a> {
    name: u32,
    kind: u32,
    /// How many members or parameters follow.
    count: usize,
    refers_to: u32,
    members: &'a [u8],
}

impl<'a> Type<'a> {
    /// Takes the first type off `rest`; `None` at the end and for a kind that is not known, whose length is not known either.
    fn split(rest: &mut &'a [u8]) -> Option<Self> {
        let (name, info, refers_to) = (u32_at(rest, 0)?, u32_at(rest, 4)?, u32_at(rest, 8)?);
        let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        let length = match kind {
            1 | 14 | 17 => 4,
            3 => 12,
            4 | 5 | 15 | 19 => count * 12,
            KIND_ENUM | KIND_FUNC_PROTO => count * 8,
            KIND_PTR | 7..=12 | 16 | 18 => 0,
            _ => return None,
        };
        let members = rest.get(12..12 + length)?;
        *rest = &rest[12 + length..];
        Some(Self { name, kind, count, refers_to, members })
    }
}

fn string(strings: &[u8], at: u32) -> &str {
    let rest = strings.get(at as usize..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
    std::str::from_utf8(&rest[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A BTF of three types: the enum with two members, and `int f(void *, a, b)` behind a pointer and a typedef.
    fn small() -> Vec<u8> {
        let strings = b"\0skb_drop_reason\0SKB_DROP_REASON_NETFILTER_DROP\0SKB_CONSUMED\0btf_trace_kfree_skb\0";
        let at = |name: &str| {
            let whole = [b"\0", name.as_bytes(), b"\0"].concat();
            strings.windows(whole.len()).position(|window| window == whole).expect("it is there") as u32 + 1
        };
        let types: [u32; 22] = [
            at("skb_drop_reason"),
            KIND_ENUM << 24 | 2,
            4,
            at("SKB_DROP_REASON_NETFILTER_DROP"),
            8,
            at("SKB_CONSUMED"),
            1,
            at("btf_trace_kfree_skb"),
            KIND_TYPEDEF << 24,
            3,
            0,
            KIND_PTR << 24,
            4,
            0,
            KIND_FUNC_PROTO << 24 | 3,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
            bytes.extend(word.to_ne_bytes());
        }
        [bytes, types, strings.to_vec()].concat()
    }

    #[test]
    fn reasons_have_the_kernels_names_without_their_common_beginning() {
        let types = parse(&small()).expect("it is whole");
        assert_eq!(types.reasons, HashMap::from([(8, "NETFILTER_DROP".into()), (1, "SKB_CONSUMED".into())]));
        assert_eq!(types.tracepoint_arguments, 2);
    }

    #[test]
    fn damaged_type_information_is_no_reason_to_stop() {
        let whole = small();
        for cut in 0..whole.len() {
            let _ = parse(&whole[..cut]);
        }
        assert_eq!(parse(b"\x7fELF and so on, long enough"), None);
    }

    #[test]
    fn this_kernel_has_a_name_for_what_netfilter_drops() {
        // A kernel without BTF or older than 5.17 has none; the agent then says so.
        let Ok(bytes) = std::fs::read(PATH) else { return };
        let types = parse(&bytes).expect("the kernel's own BTF");
        assert!(types.tracepoint_arguments < 3 || types.reasons.values().any(|name| name == "NETFILTER_DROP"));
    }
}
