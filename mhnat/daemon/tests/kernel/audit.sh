# Each condition that will bite is found once it is set, and a clean host has none.
settle
sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0
sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0
found() { mhnat audit both.toml --json | grep -o '"id": "[a-z-]*"' | sort -u | cut -d'"' -f4 | tr '\n' ' '; }
finds() {
	local ids
	ids=$(found 2>/run/stderr) || true
	case " $ids" in
	*" $1 "*) ;;
	*) fail "$1 is not found, but: $ids $(cat /run/stderr)" ;;
	esac
}
finds_nothing() {
	mhnat audit both.toml >/run/out 2>&1 || fail "a clean host exits $?: $(cat /run/out)"
	grep -qx 'nothing found' /run/out || fail "a clean host has: $(cat /run/out)"
}
exits() {
	local code=0
	mhnat audit both.toml >/dev/null 2>&1 || code=$?
	[ "$code" = "$1" ] || fail "exit code $code, not $1"
}

finds_nothing
snapshot >/run/before
finds_nothing
snapshot >/run/after
same /run/before /run/after "an audit changes something"

sysctl -qw net.ipv4.conf.all.rp_filter=1
finds rp-filter
finds src-valid-mark
exits 1
sysctl -qw net.ipv4.conf.all.rp_filter=0
finds_nothing

sysctl -qw net.netfilter.nf_conntrack_tcp_loose=1
finds tcp-loose
exits 0
sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0

ip address add 10.1.0.3/24 dev eth1
finds arp-flux
ip address del 10.1.0.3/24 dev eth1

if ip link add br0 type bridge 2>/dev/null && [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then
	sysctl -qw net.bridge.bridge-nf-call-iptables=1
	finds bridge-netfilter
	ip link del br0
	finds_nothing
fi

ip -6 route add default via 2001:db8:1::1 dev eth0 proto ra
sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.eth0.accept_ra=1
finds accept-ra
ip -6 route del default
sysctl -qw net.ipv6.conf.all.forwarding=0

nft 'add table ip other; add chain ip other c { type filter hook prerouting priority 0; }'
nft 'add chain ip other n { type nat hook postrouting priority 90; }'
finds_nothing
nft add rule ip other c meta mark set 0x00000180
finds mark-bits
nft flush chain ip other c
nft add rule ip other n oifname eth0 masquerade
finds foreign-translation
nft delete table ip other

ip rule add priority 12000 lookup main
finds foreign-rule
ip rule del priority 12000
ip -6 rule add priority 20000 fwmark 0x100/0xff00 lookup main
finds rule-mark
ip -6 rule del priority 20000
ip route add 192.0.2.0/24 via 10.1.0.1 dev eth0 table 10901
finds foreign-route
ip route flush table 10901
ip route append default via 10.2.0.1 dev eth1
finds equal-defaults
ip route del default via 10.2.0.1 dev eth1
finds_nothing

# Conditions of the machine itself are played by a stand-in for nft.
printf '#!/bin/sh\nif [ "$1" = --version ]; then echo "nftables v0.9.6 (x)"; else exec nft "$@"; fi\n' >/run/old
printf '#!/bin/sh\nif [ "$1" = --check ]; then echo "Error: no such thing" >&2; exit 1; else exec nft "$@"; fi\n' >/run/poor
chmod +x /run/old /run/poor
MHNAT_NFT=/run/old finds nft-program
MHNAT_NFT=/run/poor finds kernel-feature

# What is ours is nothing to complain of.
mhnat apply both.toml
finds_nothing
mhnat down
