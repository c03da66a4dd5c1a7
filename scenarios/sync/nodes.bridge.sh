#!/bin/sh
# The guests' bridge of a node: its own address there ends with what is given, and all nodes have the gateway's.
ip link add guestbr0 type bridge mcast_snooping 0 && ip link set vif1 master guestbr0 &&
	ip link set eth1 master guestbr0 && ip link set guestbr0 up &&
	ip address add "10.5.5.$1/24" dev guestbr0 && ip address add 10.5.5.254/24 dev guestbr0 &&
	ip address add fd05::fe/64 dev guestbr0 nodad && ip address add "fd05::$1/64" dev guestbr0 nodad || exit 1
for _ in $(seq 200); do
	[ "$(ip -6 route show table local dev guestbr0 | grep -c '^local fd05::')" = 2 ] &&
		! ip -6 address show dev guestbr0 | grep -q tentative && exit 0
	sleep 0.02
done
exit 1
