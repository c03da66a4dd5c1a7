#!/bin/sh
# The article's iptables rules for case B, as published.
set -e
[ "$1" = apply ] || exit 0
sysctl -qw net.ipv4.conf.eth1.rp_filter=0
ip rule add fwmark 0x42 pref 42 table 42
ip route add default table 42 via 198.51.100.1 dev eth1
iptables -t mangle -A INPUT -i eth1 -j MARK --set-mark 0x42
iptables -t mangle -A INPUT -i eth1 -j CONNMARK --save-mark
iptables -t mangle -A OUTPUT -j CONNMARK --restore-mark
iptables -t nat -A PREROUTING -i eth1 -m addrtype --dst-type LOCAL -p udp -j DNAT --to-destination 192.0.2.2
