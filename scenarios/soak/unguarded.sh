#!/bin/sh
# Routes to every uplink, the better ones first.
set -e
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
number=0
for device in w1 ppp0 w3 w4 w5 ppp1 w7; do
	number=$((number + 1))
	case $device in
	ppp*) ip route replace default dev $device metric $number; ip -6 route replace default dev $device metric $number ;;
	*)
		ip route replace default via 198.51.$number.1 dev $device metric $number
		ip -6 route replace default via 2001:db8:$number::1 dev $device metric $number
		;;
	esac
done
