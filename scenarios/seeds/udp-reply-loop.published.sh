#!/bin/sh
# The article's veth pair as published, but for its addresses, which the text has lost.
set -e
[ "$1" = apply ] || exit 0
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
ip link add serverintf type veth peer name distributeintf
ip addr add 10.255.0.1/24 dev serverintf
ip addr add 10.255.0.2/24 dev distributeintf
ip link set serverintf up
ip link set distributeintf up
sysctl -qw net.ipv4.conf.serverintf.rp_filter=0 net.ipv4.conf.distributeintf.rp_filter=0
ip rule add from 10.255.0.1 lookup 1010101
ip route add default dev serverintf via 10.255.0.2 table 1010101
iptables -t nat -A PREROUTING -p udp -m multiport --dports 53 -j DNAT --to-destination 10.255.0.1
iptables -t raw -A PREROUTING -i distributeintf -j CT --notrack
sysctl -qw net.ipv4.conf.eth0.rp_filter=2 net.ipv4.conf.eth1.rp_filter=2
for address in 192.0.2.2 192.0.2.3; do ip rule add from $address lookup 1; done
ip route add default dev eth0 via 192.0.2.1 table 1
ip rule add from 198.51.100.2 lookup 2
ip route add default dev eth1 via 198.51.100.1 table 2
