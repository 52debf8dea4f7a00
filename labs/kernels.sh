#!/bin/sh
# Runs Dropscope on another kernel, in a virtual machine, while a firewall there drops datagrams, and prints what it said and
# what its log holds of the drops: the table "Kernels it was run on" in docs/rights.md comes of it.
#
#   dpkg-deb -x linux-image-6.1.0-52-cloud-amd64_6.1.180-1_amd64.deb kernel
#   labs/kernels.sh kernel target/debug/dropscope [ARGUMENTS OF record]
#   BEFORE="mount -t tmpfs none /sys/kernel/btf" labs/kernels.sh kernel target/debug/dropscope
#
# KERNEL is a folder that has the kernel's image (vmlinuz*) and modules (modules/VERSION) somewhere. Needs root (for nothing but
# device numbers in the image), qemu-system-x86_64, busybox-static, kmod, iproute2, iptables, cpio. Where KVM is not to be
# had, ACCEL=tcg emulates: a minute a kernel. Programs and libraries are this host's. BEFORE is run first.
set -eu
kernel=$1 dropscope=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/run" "$root/etc"

image=$(find "$kernel" -name 'vmlinuz*' | head -n 1)
modules=$(dirname "$(find "$kernel" -path '*/modules/*' -name kernel -type d | head -n 1)")
version=$(basename "$modules")

# A program and the libraries it is linked to.
copy() {
    mkdir -p "$root$(dirname "$2")"
    cp -L "$1" "$root$2"
    ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
}
copy "$dropscope" /bin/dropscope
copy "$(command -v busybox)" /bin/busybox
copy "$(command -v bash)" /bin/bash # it sends datagrams
for program in ip xtables-nft-multi xtables-legacy-multi; do
    copy "$(PATH=$PATH:/usr/sbin:/sbin command -v $program)" /bin/$program
done
strip "$root/bin/dropscope"
for name in iptables-nft iptables-nft-save; do ln -s xtables-nft-multi "$root/bin/$name"; done
for name in iptables-legacy iptables-legacy-save; do ln -s xtables-legacy-multi "$root/bin/$name"; done
for extension in udp standard tcp; do
    for library in "$(dirname "$(find /usr/lib -name libxt_udp.so | head -n 1)")"/libxt_$extension.so; do
        if [ -f "$library" ]; then copy "$library" "$library"; fi
    done
done
echo 'root:x:0:0::/:/bin/sh
nobody:x:65534:65534::/:/bin/sh' > "$root/etc/passwd"

# The modules that the lab takes, with what they need.
mkdir -p "$work/lib/modules"
cp -r "$modules" "$work/lib/modules/$version"
PATH=$PATH:/usr/sbin:/sbin depmod -b "$work" "$version"
for module in nf_tables nft_compat xt_tcpudp iptable_filter nf_conntrack tcp_diag udp_diag; do
    PATH=$PATH:/usr/sbin:/sbin modprobe -d "$work" -S "$version" --show-depends $module 2>/dev/null | sed -n 's/^insmod \([^ ]*\).*/\1/p'
done | awk '!seen[$0]++' > "$work/order"
mkdir "$root/modules"
number=100
while read -r module; do
    number=$((number + 1))
    case $module in *.xz) xz -dc "$module" ;; *) cat "$module" ;; esac > "$root/modules/$number.ko"
done < "$work/order"

cat > "$root/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
mount -t tmpfs none /tmp; mount -t tmpfs none /run
[ -d /sys/kernel/tracing ] && mount -t tracefs none /sys/kernel/tracing
for module in /modules/*; do insmod \$module 2>/dev/null; done
${BEFORE:-}
echo "kernel \$(uname -r), BTF \$([ -e /sys/kernel/btf/vmlinux ] && echo yes || echo no), perf_event_paranoid \$(cat /proc/sys/kernel/perf_event_paranoid)"
ip link set lo up
# Both back ends where the kernel has both: the rules are Dropscope's to read, too.
iptables-nft -A INPUT -p udp --dport 777 -j DROP || iptables-legacy -A INPUT -p udp --dport 777 -j DROP
dropscope record --duration 6 -o /tmp/a.pcapng $* 2>/tmp/said &
# Datagrams as long as it records: some before it is ready, most after.
while kill -0 \$! 2>/dev/null; do
    bash -c 'echo lost > /dev/udp/127.0.0.1/777; echo refused > /dev/udp/127.0.0.1/778' 2>/dev/null
    usleep 200000
done
wait \$!
echo "exit \$?"
cat /tmp/said
echo "drops in the log:"
strings -n 6 /tmp/a.pcapng | grep -oE '([A-Z_]{6,} )?(nft_do_chain|nf_hook_slow|__udp4_lib_rcv|udp_rcv)[+].*|(NETFILTER_DROP|NO_SOCKET)$' | sort | uniq -c
dropscope check /tmp/a.pcapng 2>&1 | head -n 12
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 > "$work/initramfs"

timeout 300 qemu-system-x86_64 -accel "${ACCEL:-kvm}" -cpu max -smp 1 -m 1024 -nodefaults -display none -no-reboot -serial stdio \
    -nic none -kernel "$image" -initrd "$work/initramfs" -append 'console=ttyS0 quiet panic=-1' < /dev/null | tr -d '\r'
