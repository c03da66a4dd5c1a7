# Runs first in every script: a private /run, two links, and the words that scripts use.
mount --make-rprivate /
mount -t tmpfs run /run
mount -t sysfs sysfs /sys 2>/dev/null || true
sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1
ip link set lo up
for n in 0 1; do
	ip link add eth$n type veth peer name far$n
	ip address add 10.$((n + 1)).0.2/24 dev eth$n
	ip address add 2001:db8:$((n + 1))::2/64 dev eth$n nodad
	ip link set eth$n up
	ip link set far$n up
done
ip route add default via 10.1.0.1 dev eth0

export MHNAT_STATE_DIR=/run/mhnat
mhnat() { "$MHNAT" "$@"; }
fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# All that mhnat may change. The number of tracked connections is not among it.
snapshot() {
	nft list ruleset
	printf 'rule show\nroute show table all\n' | ip -4 -batch -
	printf 'rule show\nroute show table all\n' | ip -6 -batch -
	# Without the index, which a device that is made again has anew, and without what follows a carrier some time later.
	ip -o link | sed 's/^[0-9]*: //; s/NO-CARRIER,//; s/ state [A-Z]*//'
	ip -o address | sed 's/^[0-9]*: //'
	grep -rs '' /proc/sys/net | grep -v nf_conntrack_count
}

# Link-local addresses settle by themselves in the background; nothing is compared before they have.
settle() {
	for _ in $(seq 100); do
		before=$(snapshot)
		sleep 0.05
		[ "$before" = "$(snapshot)" ] && ! ip -6 address | grep -q tentative && return
	done
	fail "the links do not settle"
}

same() {
	diff "$1" "$2" >&2 || fail "$3"
}

# At most ten seconds, and as soon as it is so.
soon() {
	for _ in $(seq 500); do
		if eval "$1"; then return; fi
		sleep 0.02
	done
	fail "$2: $(cat /run/log; mhnat status || true)"
}

# The daemon, with these arguments, until it is ready for the first time. What it says goes to /run/log.
daemon=
start() {
	: >/run/log
	"$MHNAT" run "$@" >>/run/log 2>&1 &
	daemon=$!
	soon 'grep -q "in force after" /run/log' "it does not start"
}

# A stand-in for nft, whose n-th call of one mhnat does what the body says.
wrap() {
	cat >/run/nft <<-WRAPPER
		#!/bin/bash
		echo >>/run/calls
		call=\$(wc -l </run/calls)
		$1
		exec nft "\$@"
	WRAPPER
	chmod +x /run/nft
}
