// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Reports each packet the kernel frees as dropped (tracepoint skb:kfree_skb): time, reason, place, namespace, interface and
// the first bytes from its network header on. Counts all of them exactly; reports at most EVENTS_PER_SECOND on a processor.
//
// Compiled once and kept beside this file, so that building the agent needs no clang; fields are found by name in the running
// kernel (CO-RE), so one object serves every little-endian machine. After a change:
//   clang -O2 -g -target bpf -mcpu=v3 -fdebug-compilation-dir=. -I/usr/include/x86_64-linux-gnu -c droptrace.bpf.c -o droptrace.bpf.o
//   llvm-strip -g droptrace.bpf.o
//
// It reads only; nothing is changed in any packet or in the kernel.

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#define BYTES 128
#define IFNAMSIZ 16
#define SECOND_NS 1000000000ull
// Namespaces' inode numbers are given out from here on (include/linux/proc_ns.h, PROC_*_INIT_INO), downwards and upwards of a
// little: a smaller number was never a namespace, and the pointer it was read through no device.
#define SMALLEST_NETNS 0xEFFFFF00u

// The fields that are read. Their offsets here mean nothing: the loader puts in those of the running kernel.
#define CORE __attribute__((preserve_access_index))
struct ns_common { unsigned int inum; } CORE;
struct net { struct ns_common ns; } CORE;
typedef struct { struct net *net; } CORE possible_net_t;
struct net_device { char name[IFNAMSIZ]; int ifindex; unsigned int mtu; possible_net_t nd_net; } CORE;
struct sock_common { possible_net_t skc_net; } CORE;
struct sock { struct sock_common __sk_common; } CORE;
struct skb_shared_info { unsigned short gso_size; } CORE;
struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned int len;
	__be16 protocol;
	__u16 network_header;
	unsigned char *head;
	unsigned char *data;
	unsigned int tail;
	unsigned int end;
} CORE;

// Set by the loader before the program is verified; what they switch off need not be valid on this kernel.
const volatile __u8 HAS_REASON = 1;  // Linux 5.17
const volatile __u8 HAS_RX_SK = 1;   // Linux 6.11
const volatile __u8 FILTER = 0;
const volatile __u32 EVENTS_PER_SECOND = 1000;

// What a reader gets; kernel_drops/event.rs knows this layout.
struct event {
	__u64 boot_ns;
	__u64 location;
	__u64 skipped;
	__u32 reason;
	__u32 netns;
	__u32 ifindex;
	__u32 mtu;
	__u32 len;
	__u16 ether_type;
	__u16 gso_size;
	__u16 captured;
	__u16 padding;
	__u32 cpu;
	char ifname[IFNAMSIZ];
	__u8 bytes[BYTES];
};

struct count_key {
	__u64 location;
	__u32 reason;
	__u32 netns;
	__u32 ifindex;
	__u32 padding;
};

struct place {
	__u32 netns;
	__u32 ifindex; // 0 for all of the namespace
};

struct rate {
	__u64 began_ns;
	__u64 reported;
	__u64 skipped;
};

struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 20); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_HASH); __uint(max_entries, 4096); __type(key, struct count_key); __type(value, __u64); }
	counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4096); __type(key, struct place); __type(value, __u8); }
	watched SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct rate); }
	rates SEC(".maps");
// Drops that found no room in `counts`.
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); }
	uncounted SEC(".maps");

static __always_inline __u32 netns_of_sock(struct sock *sk)
{
	if (!sk)
		return 0;
	__u32 inum = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	return inum >= SMALLEST_NETNS ? inum : 0;
}

static __always_inline int is_watched(__u32 netns, __u32 ifindex)
{
	if (!FILTER)
		return 1;
	struct place place = { netns, 0 };
	if (bpf_map_lookup_elem(&watched, &place))
		return 1;
	place.ifindex = ifindex;
	return ifindex && bpf_map_lookup_elem(&watched, &place);
}

static __always_inline void count(struct count_key *key)
{
	__u64 *n = bpf_map_lookup_elem(&counts, key);
	if (n) {
		*n += 1;
		return;
	}
	__u64 one = 1;
	if (bpf_map_update_elem(&counts, key, &one, BPF_NOEXIST) == 0)
		return;
	__u32 zero = 0;
	n = bpf_map_lookup_elem(&uncounted, &zero);
	if (n)
		*n += 1;
}

SEC("raw_tp/kfree_skb")
int droptrace(struct bpf_raw_tracepoint_args *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx->args[0];
	__u16 protocol = BPF_CORE_READ(skb, protocol);
	if (!protocol) // unix and netlink sockets
		return 0;

	// dev shares its place with what TCP keeps in its queues: it is believed only if it leads to a namespace.
	struct net_device *dev = BPF_CORE_READ(skb, dev);
	__u32 netns = dev ? BPF_CORE_READ(dev, nd_net.net, ns.inum) : 0;
	__u32 ifindex = 0;
	if (netns >= SMALLEST_NETNS) {
		ifindex = BPF_CORE_READ(dev, ifindex);
	} else {
		dev = 0;
		netns = netns_of_sock(BPF_CORE_READ(skb, sk));
		if (!netns && HAS_RX_SK)
			netns = netns_of_sock((struct sock *)ctx->args[3]);
	}
	if (!is_watched(netns, ifindex))
		return 0;

	struct count_key key = {};
	key.location = ctx->args[1];
	key.reason = HAS_REASON ? (__u32)ctx->args[2] : 0;
	key.netns = netns;
	key.ifindex = ifindex;
	count(&key);

	__u32 zero = 0;
	struct rate *rate = bpf_map_lookup_elem(&rates, &zero);
	if (!rate)
		return 0;
	__u64 now = bpf_ktime_get_boot_ns();
	if (now - rate->began_ns >= SECOND_NS) {
		rate->began_ns = now;
		rate->reported = 0;
	}
	if (rate->reported >= EVENTS_PER_SECOND) {
		rate->skipped += 1;
		return 0;
	}
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		rate->skipped += 1;
		return 0;
	}
	rate->reported += 1;
	event->boot_ns = now;
	event->location = key.location;
	event->skipped = rate->skipped;
	rate->skipped = 0;
	event->reason = key.reason;
	event->netns = netns;
	event->ifindex = ifindex;
	event->ether_type = bpf_ntohs(protocol);
	event->padding = 0;
	event->cpu = bpf_get_smp_processor_id();
	event->mtu = 0;
	__builtin_memset(event->ifname, 0, sizeof(event->ifname));
	if (dev) {
		event->mtu = BPF_CORE_READ(dev, mtu);
		bpf_probe_read_kernel(event->ifname, sizeof(event->ifname), __builtin_preserve_access_index(&dev->name));
	}

	unsigned char *head = BPF_CORE_READ(skb, head);
	__u32 network = BPF_CORE_READ(skb, network_header);
	__u32 tail = BPF_CORE_READ(skb, tail);
	long pulled = (long)(BPF_CORE_READ(skb, data) - head) - (long)network;
	event->len = BPF_CORE_READ(skb, len) + pulled;
	struct skb_shared_info *shared = (struct skb_shared_info *)(head + BPF_CORE_READ(skb, end));
	event->gso_size = BPF_CORE_READ(shared, gso_size);

	// Only what lies in the linear part: headers are there.
	__u32 n = tail > network && network != 0xffff ? tail - network : 0;
	if (n > BYTES)
		n = BYTES;
	__builtin_memset(event->bytes, 0, sizeof(event->bytes));
	if (n && bpf_probe_read_kernel(event->bytes, n, head + network))
		n = 0;
	event->captured = n;
	// Nobody is woken: the reader comes by every 20 ms. A wake-up for each event costs 14 times as much.
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

// bpf_probe_read_kernel is for programs under a licence the kernel calls compatible.
char LICENSE[] SEC("license") = "Dual MIT/GPL";
