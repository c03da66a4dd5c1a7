#!/bin/sh
# What DHCP clients and router advertisements leave behind: default routes.
[ "$1" != stop ] || exit 0
ip route replace default via 198.51.100.1 dev ppp0 proto dhcp metric 100
ip route replace default via 100.64.2.1 dev ppp1 proto dhcp metric 200
ip -6 route replace default via 2001:db8:1::1 dev ppp0 proto ra metric 100
ip -6 route replace default via 2001:db8:2::1 dev ppp1 proto ra metric 200
