// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Reports each packet the kernel frees as dropped (tracepoint skb:kfree_skb): time, reason, place, namespace, interface and
// the first bytes from its network header on. Counts all of them exactly; reports at most EVENTS_PER_SECOND on a processor.
//
// Two programs come of it. The first (tp_btf, Linux 5.5) knows the packet's type, so that the kernel copies its bytes for it
// wherever they lie: the data of a packet is mostly in page fragments, of which a program that only has an address reads
// nothing. It hands over by perf buffers, one a processor. The second (RAW, Linux 5.8) is for hosts that allow no perf buffers:
// it hands over by a ring and has only what lies in the packet's linear part, which are the headers.
//
// Compiled once and kept beside this file, so that building the agent needs no clang; fields are found by name in the running
// kernel (CO-RE), so one object serves every little-endian machine. After a change (clang 14.0.6, libbpf 1.1):
//   for raw in "" _raw; do
//     clang -O2 -g -target bpf -mcpu=v3 -fdebug-compilation-dir=. -I/usr/include/x86_64-linux-gnu ${raw:+-DRAW} \
//       -c droptrace.bpf.c -o droptrace$raw.bpf.o && llvm-strip -g droptrace$raw.bpf.o
//   done; sha256sum droptrace.bpf.c droptrace*.bpf.o > SHA256SUMS
//
// It reads only; nothing is changed in any packet or in the kernel.

#include <stddef.h>
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#define BYTES 128
// Bytes that are asked of the kernel at most: BYTES, and the longest frame header before them.
#define MOST_APPENDED (BYTES + 64)
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
struct dst_entry { struct net_device *dev; } CORE;
struct skb_shared_info { unsigned short gso_size; } CORE;
struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned long _skb_refdst;
	unsigned int len;
	unsigned int data_len;
	__be16 protocol;
	__u16 network_header;
	unsigned char *head;
	unsigned char *data;
	unsigned int tail;
	unsigned int end;
} CORE;

// The typed program reads a field as C does, and the kernel sees to it that a wrong address reads as zero; the other asks.
#ifdef RAW
#define READ(from, field) BPF_CORE_READ(from, field)
#else
#define READ(from, field) ((from)->field)
#endif

// Set by the loader before the program is verified; what they switch off need not be valid on this kernel.
const volatile __u8 HAS_REASON = 1;  // Linux 5.17
const volatile __u8 HAS_RX_SK = 1;   // Linux 6.11
const volatile __u8 FILTER = 0;
const volatile __u32 EVENTS_PER_SECOND = 1000;

// What a reader gets; kernel_drops/event.rs knows this layout. `captured` bytes of the linear part follow, and then `appended`
// bytes that the kernel copied, which begin `data_at` bytes behind the network header (or before it).
struct event {
	__u64 monotonic_ns;
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
	__u16 appended;
	__s32 data_at;
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

#ifdef RAW
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 20); } events SEC(".maps");
#else
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, sizeof(__u32)); __uint(value_size, sizeof(__u32)); }
	events SEC(".maps");
#endif
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
	struct net *net = READ(sk, __sk_common.skc_net.net);
	__u32 inum = READ(net, ns.inum);
	return inum >= SMALLEST_NETNS ? inum : 0;
}

// The namespace a packet was routed in. TCP takes the device off a packet before a socket owns it: what it drops in between has
// nothing else, where the tracepoint does not tell the receiver (before Linux 6.11). The route shares its place with a list, so
// it is asked for, not followed, and believed only if it leads to a namespace.
static __always_inline __u32 netns_of_route(struct sk_buff *skb)
{
	if (!bpf_core_field_exists(skb->_skb_refdst))
		return 0;
	// The lowest bit says who holds the route (SKB_DST_NOREF).
	struct dst_entry *dst = (struct dst_entry *)(READ(skb, _skb_refdst) & ~1ul);
	if (!dst || !bpf_core_field_exists(dst->dev))
		return 0;
	__u32 inum = BPF_CORE_READ(dst, dev, nd_net.net, ns.inum);
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

// Hands an event over; other than 0 if there was no room. Nobody is woken: the reader comes by every 20 ms. A wake-up for each
// event costs 14 times as much.
static __always_inline long hand_over(struct sk_buff *skb, struct event *event, __u32 data_len)
{
#ifdef RAW
	return bpf_ringbuf_output(&events, event, sizeof(*event), BPF_RB_NO_WAKEUP);
#else
	// What is missing lies in fragments. The kernel copies from where `data` points, which is the frame's header on its way
	// out, and may be behind the network header on its way in.
	__s64 wanted = (__s64)BYTES - event->data_at;
	if (data_len && event->captured < BYTES && event->data_at <= event->captured && wanted > 0) {
		__u64 n = wanted < skb->len ? wanted : skb->len;
		event->appended = n < MOST_APPENDED ? n : MOST_APPENDED;
	}
	__u32 size = offsetof(struct event, bytes) + event->captured;
	if (size > sizeof(*event))
		size = sizeof(*event);
	return bpf_skb_output(skb, &events, BPF_F_CURRENT_CPU | (__u64)event->appended << 32, event, size);
#endif
}

#ifdef RAW
SEC("raw_tp/kfree_skb")
#else
SEC("tp_btf/kfree_skb")
#endif
int droptrace(__u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	__u16 protocol = READ(skb, protocol);
	if (!protocol) // unix and netlink sockets
		return 0;

	// dev shares its place with what TCP keeps in its queues: it is believed only if it leads to a namespace.
	struct net_device *dev = READ(skb, dev);
	struct net *net = dev ? READ(dev, nd_net.net) : 0;
	__u32 netns = net ? READ(net, ns.inum) : 0;
	__u32 ifindex = 0;
	if (netns >= SMALLEST_NETNS) {
		ifindex = READ(dev, ifindex);
	} else {
		dev = 0;
		netns = netns_of_sock(READ(skb, sk));
		if (!netns && HAS_RX_SK)
			netns = netns_of_sock((struct sock *)ctx[3]);
		if (!netns)
			netns = netns_of_route(skb);
	}
	if (!is_watched(netns, ifindex))
		return 0;

	struct count_key key = {};
	key.location = ctx[1];
	key.reason = HAS_REASON ? (__u32)ctx[2] : 0;
	key.netns = netns;
	key.ifindex = ifindex;
	count(&key);

	__u32 zero = 0;
	struct rate *rate = bpf_map_lookup_elem(&rates, &zero);
	if (!rate)
		return 0;
	__u64 now = bpf_ktime_get_ns();
	if (now - rate->began_ns >= SECOND_NS) {
		rate->began_ns = now;
		rate->reported = 0;
	}
	if (rate->reported >= EVENTS_PER_SECOND) {
		rate->skipped += 1;
		return 0;
	}
	struct event event = {};
	event.monotonic_ns = now;
	event.location = key.location;
	event.skipped = rate->skipped;
	event.reason = key.reason;
	event.netns = netns;
	event.ifindex = ifindex;
	event.ether_type = bpf_ntohs(protocol);
	if (dev) {
		event.mtu = READ(dev, mtu);
		bpf_probe_read_kernel(event.ifname, sizeof(event.ifname), __builtin_preserve_access_index(&dev->name));
	}

	unsigned char *head = BPF_CORE_READ(skb, head);
	__u32 network = READ(skb, network_header);
	__u32 tail = READ(skb, tail);
	event.data_at = (__s32)((long)(BPF_CORE_READ(skb, data) - head) - (long)network);
	event.len = READ(skb, len) + event.data_at;
	struct skb_shared_info *shared = (struct skb_shared_info *)(head + READ(skb, end));
	event.gso_size = BPF_CORE_READ(shared, gso_size);

	__u32 n = tail > network && network != 0xffff ? tail - network : 0;
	if (n > BYTES)
		n = BYTES;
	if (n && bpf_probe_read_kernel(event.bytes, n, head + network))
		n = 0;
	event.captured = n;
	if (hand_over(skb, &event, READ(skb, data_len))) {
		rate->skipped += 1;
		return 0;
	}
	rate->reported += 1;
	// What was skipped meanwhile, by an interrupt in the middle of this, is told next time.
	rate->skipped -= event.skipped;
	return 0;
}

// bpf_probe_read_kernel is for programs under a licence the kernel calls compatible.
char LICENSE[] SEC("license") = "Dual MIT/GPL";
