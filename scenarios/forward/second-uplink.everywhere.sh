#!/bin/sh
# With marks that are restored on all that comes in, and no rule that keeps the LAN out of it.
set -e
[ "$1" = apply ] || exit 0
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.wan1.rp_filter=2
ip route add default via 198.51.100.1
ip -6 route add default via 2001:db8:1::1
nft -f - <<'RULES'
table inet nat {
	chain prerouting {
		type nat hook prerouting priority -100;
		fib daddr type != local return
		iifname { "wan0", "wan1" } tcp dport 2201 dnat ip to 10.0.0.80:22
		iifname { "wan0", "wan1" } tcp dport 2201 dnat ip6 to [fd10::80]:22
		iifname "wan1" tcp dport 2222 dnat ip to 10.0.0.1:22
		iifname "wan1" udp dport { 123, 8000 } dnat ip to 10.0.0.80
		iifname "wan1" udp dport 123 dnat ip6 to fd10::80
		iifname "wan1" tcp dport 8000-8010 dnat ip to 10.0.0.80
		iifname "wan1" tcp dport 8000-8010 dnat ip6 to fd10::80
	}
	chain postrouting {
		type nat hook postrouting priority 100;
		oifname { "wan0", "wan1" } masquerade
	}
}
RULES
ip route add default via 100.64.2.1 dev wan1 table 2
ip rule add fwmark 2 lookup 2
ip -6 route add default via 2001:db8:2::1 dev wan1 table 2
ip -6 rule add fwmark 2 lookup 2
nft -f - <<'RULES'
table inet marks {
	chain prerouting {
		type filter hook prerouting priority -150;
		ct state new iifname "wan1" ct mark set 2
		meta mark set ct mark
	}
}
RULES
