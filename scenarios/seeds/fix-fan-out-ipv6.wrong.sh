#!/bin/sh
# As the working rules, but for the source: it is chosen by the destination, which DNAT has rewritten by then.
set -e
case $1 in
apply) ;;
*) exit 0 ;;
esac
fan_dummy_destination_source() { # dummy, destination, source, device, gateway, mark
    ip6tables -t mangle -A PREROUTING -d "$1" -j MARK --set-mark "$6"
    ip6tables -t mangle -A OUTPUT -d "$1" -j MARK --set-mark "$6"
    ip6tables -t nat -A PREROUTING -d "$1" -j DNAT --to "$2"
    ip6tables -t nat -A OUTPUT -d "$1" -j DNAT --to "$2"
    ip6tables -t nat -A POSTROUTING -d "$1" -j SNAT --to "$3"
    ip -6 route add default via "$5" dev "$4" table "$6"
    ip -6 rule add fwmark "$6" lookup "$6" pref "$6"
    ip -6 rule add fwmark "$6" unreachable pref "$6"
}
fan_dummy_destination_source 2001:db8:d::100 2001:db8:de57::10 2001:db8:50::1 tun0 fd01:0::1 100
fan_dummy_destination_source 2001:db8:d::1 2001:db8:de57::11 2001:db8:50::2 tun1 fd01:1::1 101
fan_dummy_destination_source 2001:db8:d::2 2001:db8:de57::10 2001:db8:50::3 tun2 fd01:2::1 102
fan_dummy_destination_source 2001:db8:d::3 2001:db8:de57::11 2001:db8:50::4 tun3 fd01:3::1 103
sysctl -qw net.ipv6.conf.all.forwarding=1
