#!/bin/sh
# Makes the kernel pass over routes by devices without carrier.
set -eu
case $1 in
stop) value=0 ;;
*) value=1 ;;
esac
sysctl -qw "net.ipv4.conf.all.ignore_routes_with_linkdown=$value"
