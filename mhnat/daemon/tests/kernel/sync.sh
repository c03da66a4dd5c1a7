# conntrackd is looked after, and nothing of it is left behind.
command -v conntrackd >/dev/null || fail "there is no conntrackd: ci/setup installs it"
trap 'kill -9 $daemon 2>/dev/null || true' EXIT
# The child of the daemon, if it has one.
child() { pgrep -P $daemon -x conntrackd || true; }
times() { grep -c "$1" /run/log || true; }
answers() { conntrackd -C /run/mhnat/conntrackd.conf -s runtime >/dev/null 2>&1; }
config() {
	cat both.toml
	[ -z "${1-}" ] || cat <<-SYNC
		[sync]
		peer = "10.5.6.2"
		address = "10.5.6.1"
		interface = "sync0"
		peer-addresses = ["10.1.0.3", "2001:db8:1::3"]
		port = $1
		buffer = 0
	SYNC
}

settle
snapshot >/run/before
config 3780 >/run/mine.toml

# Without the program nothing is touched. An empty file in its place is none.
program=$(command -v conntrackd)
mount --bind /dev/null "$program"
status=0
mhnat run /run/mine.toml 2>/run/said || status=$?
[ $status = 3 ] && grep -q '^error: `\[sync\]` needs conntrackd.*(hint: install the package conntrackd' /run/said ||
	fail "exit $status: $(cat /run/said)"
umount "$program"
snapshot >/run/after
same /run/before /run/after "something was touched"
status=0
mhnat run --state-dir "/run/a b" /run/mine.toml 2>/run/said || status=$?
[ $status = 3 ] && grep -q 'no socket at /run/a b/conntrackd.ctl (hint: choose another --state-dir' /run/said ||
	fail "exit $status: $(cat /run/said)"

# It is started once the link is there, and not before.
start /run/mine.toml
[ -z "$(child)" ] || fail "it runs without its link"
ip link add sync0 index 4000 type veth peer name sync1
ip address add 10.5.6.1/30 dev sync0
ip link set sync0 up
ip link set sync1 up
soon '[ -n "$(child)" ] && answers' "it does not run"
grep -q 'Port 3780' /run/mhnat/conntrackd.conf && [ -S /run/mhnat/conntrackd.ctl ] || fail "$(ls /run/mhnat)"
soon '[ "$(sysctl -n net.netfilter.nf_conntrack_tcp_be_liberal net.netfilter.nf_conntrack_events)" = "1
1" ]' "the settings are $(sysctl net.netfilter.nf_conntrack_tcp_be_liberal net.netfilter.nf_conntrack_events)"

# Killed, it is started again, although its lock and its socket are left.
first=$(child)
kill -9 $first
soon '[ -n "$(child)" ] && [ "$(child)" != '$first' ] && answers' "it is not started again"
grep -q 'warning: conntrackd has ended: signal: 9' /run/log || fail "$(cat /run/log)"

# The link is another one now, of the same name.
second=$(child)
ip link delete sync0
soon '[ -z "$(child)" ]' "it runs without its link"
ip link add sync0 index 4001 type veth peer name sync1
ip address add 10.5.6.1/30 dev sync0
ip link set sync0 up
soon '[ -n "$(child)" ] && [ "$(child)" != '$second' ] && answers' "it is not started again"

# The file is read again. What does not change it does not start it anew.
third=$(child)
kill -HUP $daemon
soon '[ "$(times "read /run/mine.toml again")" = 1 ]' "the file is not read"
config 4000 >/run/mine.toml
kill -HUP $daemon
soon 'grep -q "Port 4000" /run/mhnat/conntrackd.conf 2>/dev/null && answers' "the new file is not used"
[ "$(child)" != "$third" ] || fail "the old one runs"
[ "$(times "connections are not shared any more")" -le 2 ] || fail "$(cat /run/log)"
config >/run/mine.toml
# One that does not end when it is asked to holds up nobody else.
stubborn=$(child)
kill -STOP $stubborn
kill -HUP $daemon
soon '[ "$(times "read /run/mine.toml again")" = 3 ]' "the file is not read"
ip rule del priority 15900
soon 'ip rule | grep -q "^15900:"' "the rule is not back"
kill -0 $stubborn || fail "the rule had to wait until it was killed"
soon '[ -z "$(child)" ]' "it is still there"
[ -z "$(ls /run/mhnat | grep conntrackd)" ] || fail "left: $(ls /run/mhnat)"
config 3780 >/run/mine.toml
kill -HUP $daemon
soon '[ -n "$(child)" ] && answers' "it is not started again"

# It ends with the daemon, however that ends. What it knew stays in the kernel.
conntrack -I -s 10.9.0.1 -d 10.9.9.9 -p udp --sport 1 --dport 2 -t 100 >/dev/null 2>&1 || fail "no entry"
fourth=$(child)
kill $daemon
wait $daemon || fail "exit $?"
! kill -0 $fourth 2>/dev/null || fail "it outlives the daemon"
conntrack -L 2>/dev/null | grep -q 'src=10.9.0.1' || fail "the connections are gone"
start /run/mine.toml
soon '[ -n "$(child)" ] && answers' "it is not started again"
fifth=$(child)
kill -9 $daemon
wait $daemon || true
soon '! kill -0 '$fifth' 2>/dev/null' "it outlives a daemon that was killed"
start --down-on-exit /run/mine.toml
soon '[ -n "$(child)" ] && answers' "it is not started beside what the former one left"
kill $daemon
wait $daemon || fail "exit $?"
ip link delete sync0
conntrack -F 2>/dev/null || true
settle
snapshot >/run/after
same /run/before /run/after "something is left"
