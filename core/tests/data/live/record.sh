#!/bin/bash
# Records the logs of this folder anew, in network namespaces of its own: record.sh DROPSCOPE [NAME...]
# Needs root, iproute2, iptables, nftables, python3. Each log is of the server's or router's side, with the kernel's drops.
set -eu
DROPSCOPE=$1; shift
OUT=$(cd "$(dirname "$0")" && pwd)
P=ds$$
trap 'for n in s r c; do ip netns del $P-$n 2>/dev/null || true; done' EXIT
s() { ip netns exec $P-s "$@"; }
r() { ip netns exec $P-r "$@"; }
c() { ip netns exec $P-c "$@"; }

pair() {
  for n in s c; do ip netns add $P-$n; ip -n $P-$n link set lo up; done
  ip -n $P-s link add eth0 type veth peer name eth0 netns $P-c
  ip -n $P-s addr add 10.77.0.1/24 dev eth0; ip -n $P-c addr add 10.77.0.2/24 dev eth0
  for n in s c; do
    ip netns exec $P-$n sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
    ip -n $P-$n link set eth0 up
    ip netns exec $P-$n ethtool -K eth0 tso off gso off gro off tx off rx off >/dev/null 2>&1 || true
  done
}
routed() {
  for n in s r c; do ip netns add $P-$n; ip -n $P-$n link set lo up; ip netns exec $P-$n sysctl -qw net.ipv6.conf.all.disable_ipv6=1; done
  ip -n $P-s link add eth0 type veth peer name srv netns $P-r; ip -n $P-c link add eth0 type veth peer name cli netns $P-r
  ip -n $P-s addr add 10.77.1.1/24 dev eth0; ip -n $P-r addr add 10.77.1.254/24 dev srv
  ip -n $P-c addr add 10.77.2.1/24 dev eth0; ip -n $P-r addr add 10.77.2.254/24 dev cli
  for n in s c; do ip -n $P-$n link set eth0 up; done; ip -n $P-r link set srv up; ip -n $P-r link set cli up
  ip -n $P-s route add default via 10.77.1.254; ip -n $P-c route add default via 10.77.2.254
  r sysctl -qw net.ipv4.ip_forward=1
}
# record NAMESPACE INTERFACE NAME SECONDS: in the background; waits until it captures.
record() {
  rm -f "$OUT/$3.pcapng"
  DROPSCOPE_DATA=$(mktemp -d) "$DROPSCOPE" record --netns $P-$1 -i $2 --duration $4 --user root -o "$OUT/$3.pcapng" \
    --without ethtool_stats --without qdisc --without softnet --without sockets >"/tmp/$P.log" 2>&1 &
  REC=$!
  for _ in $(seq 100); do grep -q "$3.pcapng" "/tmp/$P.log" && break; sleep 0.1; done
  cat "/tmp/$P.log"
}
listen() { # PORT: accepts and closes
  "$1" python3 -c "
import socket
l=socket.socket(); l.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); l.bind(('0.0.0.0',$2)); l.listen(64)
while True: l.accept()[0].close()" & LISTENER=$!
  sleep 0.3
}
datagrams() { # WHERE TO PORT COUNT PAUSE
  "$1" python3 -c "
import socket,time
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
for i in range($4): s.sendto(b'x'*20,('$2',$3)); time.sleep($5)" 
}
connects() { # WHERE TO PORT COUNT SECONDS: so many attempts at once, given up after SECONDS
  "$1" python3 -c "
import socket,time
all=[]
for i in range($4):
    s=socket.socket(); s.setblocking(False)
    s.connect_ex(('$2',$3)); all.append(s)
time.sleep($5)"
}

# 30 % at random, inserted while ping-like datagrams pass: hits of before the first reading, packets of before the rule.
inserted() {
  pair
  s python3 -c "
import socket
u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.bind(('0.0.0.0',7))
while True: d,a=u.recvfrom(99); u.sendto(d,a)" & LISTENER=$!
  record s eth0 inserted 8
  datagrams c 10.77.0.1 7 300 0.02 & D=$!
  sleep 3
  s iptables-nft -A INPUT -m statistic --mode random --probability 0.3 -j DROP
  wait $D; wait $REC; kill $LISTENER
}
# A verdict map drops, a native chain's policy drops, and a rule without conditions rejects.
vmap() {
  pair
  s nft 'add table inet f; add chain inet f in { type filter hook input priority 0; policy accept; }; add rule inet f in tcp dport vmap { 80 : drop, 443 : accept }'
  record s eth0 vmap 6; connects c 10.77.0.1 80 2 4; wait $REC
}
native_policy() {
  pair
  s nft 'add table inet f; add chain inet f in { type filter hook input priority 0; policy drop; }; add rule inet f in tcp dport 22 accept'
  record s eth0 native_policy 6; connects c 10.77.0.1 80 2 4; wait $REC
}
bare_reject() {
  pair
  s nft 'add table inet f; add chain inet f in { type filter hook input priority 0; policy accept; }; add rule inet f in tcp dport 22 accept; add rule inet f in reject'
  record s eth0 bare_reject 5; connects c 10.77.0.1 80 2 3; wait $REC
}
# A router whose FORWARD policy is DROP: nothing of what it is to forward passes.
forward_policy() {
  routed
  r iptables-nft -P FORWARD DROP
  record r cli forward_policy 5; datagrams c 10.77.1.1 7 12 0.2; wait $REC
}
# The same policy, set back to ACCEPT in the middle: what it took stays explained, what passed later is not counted to it.
policy_set_back() {
  routed
  s python3 -c "
import socket
u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.bind(('0.0.0.0',7))
while True: d,a=u.recvfrom(99); u.sendto(d,a)" & LISTENER=$!
  r iptables-nft -P FORWARD DROP
  record r cli policy_set_back 9
  datagrams c 10.77.1.1 7 40 0.2 & D=$!
  sleep 4
  r iptables-nft -P FORWARD ACCEPT
  wait $D; wait $REC; kill $LISTENER
}
# A listening socket that cannot answer: its SYN-ACK has no route, or no neighbour.
no_route() {
  pair; listen s 80
  ip -n $P-c addr add 10.99.0.2/32 dev eth0; ip -n $P-s route add blackhole 10.99.0.2/32
  ip -n $P-c route replace 10.77.0.0/24 dev eth0 src 10.99.0.2
  record s eth0 no_route 7; connects c 10.77.0.1 80 3 5; wait $REC; kill $LISTENER
}
no_neighbour() {
  pair; listen s 80
  ip -n $P-c addr add 10.99.0.2/32 dev eth0; ip -n $P-s route add 10.99.0.2/32 via 10.77.0.99
  ip -n $P-c route replace 10.77.0.0/24 dev eth0 src 10.99.0.2
  record s eth0 no_neighbour 9; connects c 10.77.0.1 80 3 7; wait $REC; kill $LISTENER
}

for name in "${@:-inserted vmap native_policy bare_reject forward_policy policy_set_back no_route no_neighbour}"; do
  for one in $name; do
    "$one"; for n in s r c; do ip netns pids $P-$n 2>/dev/null | xargs -r kill 2>/dev/null || true; ip netns del $P-$n 2>/dev/null || true; done
  done
done
