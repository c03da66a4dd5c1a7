#!/bin/sh
# What mhnat has in the kernel: rules in their order, elements of maps and sets, policy rules, routes, and settings. What
# the kernel has counted is no part of it: nft 1.1.7 tells how many elements a dynamic set has, even so.
nft -s -t list table inet mhnat | sed 's/[[:space:]]*# count [0-9]*$//'
nft -s list table inet mhnat | awk '/^\tset sticky_/ { skip = 1 } !skip; /^\t}/ { skip = 0 }' | tr '{},' '\n' | tr -d '\t ' | sort
ip rule
ip -6 rule
ip route show table all proto 109 | sort
ip -6 route show table all proto 109 | sort
cd /proc/sys/net || exit 1
grep -s . ipv4/ip_forward ipv6/conf/all/forwarding ipv4/conf/*/rp_filter ipv4/conf/*/forwarding ipv6/conf/*/forwarding
