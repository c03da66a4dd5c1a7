#!/bin/sh
# The article's iptables rules for case B, for IPv6, which has no reverse path filter to switch off.
set -e
[ "$1" = apply ] || exit 0
ip -6 rule add fwmark 0x42 pref 42 table 42
ip -6 route add default table 42 via 2001:db8:2::1 dev eth1
ip6tables -t mangle -A INPUT -i eth1 -j MARK --set-mark 0x42
ip6tables -t mangle -A INPUT -i eth1 -j CONNMARK --save-mark
ip6tables -t mangle -A OUTPUT -j CONNMARK --restore-mark
ip6tables -t nat -A PREROUTING -i eth1 -m addrtype --dst-type LOCAL -p udp -j DNAT --to-destination 2001:db8:1::2
