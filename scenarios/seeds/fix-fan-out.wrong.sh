#!/bin/sh
# As the working rules, but for the source: it is chosen by the destination, which DNAT has rewritten by then.
set -e
case $1 in
apply) ;;
*) exit 0 ;;
esac
fan_dummy_destination_source() { # dummy, destination, source, device, gateway, mark
    iptables -t mangle -A PREROUTING -d "$1" -j MARK --set-mark "$6"
    iptables -t mangle -A OUTPUT -d "$1" -j MARK --set-mark "$6"
    iptables -t nat -A PREROUTING -d "$1" -j DNAT --to "$2"
    iptables -t nat -A OUTPUT -d "$1" -j DNAT --to "$2"
    iptables -t nat -A POSTROUTING -d "$1" -j SNAT --to "$3"
    ip route add default via "$5" dev "$4" table "$6"
    ip rule add fwmark "$6" lookup "$6" pref "$6"
    ip rule add fwmark "$6" unreachable pref "$6"
}
fan_dummy_destination_source 192.0.2.0 198.51.100.10 203.0.113.1 tun0 10.1.0.1 100
fan_dummy_destination_source 192.0.2.1 198.51.100.11 203.0.113.2 tun1 10.1.1.1 101
fan_dummy_destination_source 192.0.2.2 198.51.100.10 203.0.113.3 tun2 10.1.2.1 102
fan_dummy_destination_source 192.0.2.3 198.51.100.11 203.0.113.4 tun3 10.1.3.1 103
sysctl -qw net.ipv4.ip_forward=1
