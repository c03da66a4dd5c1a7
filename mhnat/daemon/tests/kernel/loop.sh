drifts() {
	status=0
	mhnat status >/run/said || status=$?
	[ $status = 4 ] || fail "no drift, exit $status: $(cat /run/said)"
	grep -qF "$1" /run/said || fail "not said: $1: $(cat /run/said)"
}
differs() {
	status=0
	mhnat plan --diff "$1" >/run/said || status=$?
	[ $status = 4 ] || fail "exit $status: $(cat /run/said)"
}
index() { cat /sys/class/net/mhnat-loop-in/ifindex; }
settle
snapshot >/run/before

# What a person would review is what makes it, to the last setting.
mhnat plan loop.toml | sed -n '/^# devices$/,/^$/p' >/run/devices
differs loop.toml
while read -r line; do
	case $line in '#'* | '') continue ;; esac
	grep -qxF -- "+$line" /run/said || fail "not in the difference: $line: $(cat /run/said)"
done </run/devices
mhnat apply loop.toml
mhnat status >/run/said || fail "drift at once: $(cat /run/said)"
[ "$(mhnat plan --diff loop.toml)" = "nothing would change" ] || fail "$(mhnat plan --diff loop.toml)"
# Sorted: the routes of a device that was down in between come last.
snapshot | sort >/run/applied
# The switch that forwards IPv6 is no setting of these devices.
ours() { snapshot | grep -e '^mhnat-loop' -e '^net\..*mhnat-loop' | grep -v '^net\.ipv6\..*forwarding'; }
ours >/run/links
[ "$(sysctl -n net.ipv4.ip_forward)" = 0 ] || fail "IPv4 is forwarded for everybody"
mhnat down
snapshot >/run/after
same /run/before /run/after "down left something"
sh -e /run/devices >/dev/null
ours >/run/by-hand
same /run/links /run/by-hand "the commands of the plan make something else"
# Made by hand to the letter, it is as ours as any.
mhnat down
snapshot >/run/after
same /run/before /run/after "down left something of what was made by hand"

mhnat apply loop.toml
# The kernel routes both passes of the loop as is foretold.
for way in 10.255.0.1:53,203.0.113.10:9 '[fd00:255::1]:53,[2001:db8:99::10]:9'; do
	mhnat explain loop.toml --live --from "${way%,*}" --to "${way#*,}/udp" >/run/said || fail "$(cat /run/said)"
	grep -q '^  leaves   by uplink first: eth0 ' /run/said || fail "$(cat /run/said)"
done
first=$(index)
# Everything that may become of it is seen and mended.
ip link set mhnat-loop-in down
drifts "device mhnat-loop-in is down"
differs loop.toml
grep -qx '+ip link set mhnat-loop-in arp off up' /run/said || fail "$(cat /run/said)"
mhnat apply loop.toml
mhnat status >/run/said || fail "not mended: $(cat /run/said)"
ip link set mhnat-loop-out arp on
drifts "device mhnat-loop-out resolves addresses"
mhnat apply loop.toml
ip address del 10.255.0.1/32 dev mhnat-loop-in
drifts "address 10.255.0.1 on mhnat-loop-in is missing"
mhnat apply loop.toml
ip address add 10.255.0.9/32 dev mhnat-loop-in
drifts "address 10.255.0.9 on mhnat-loop-in should not be there"
mhnat apply loop.toml
sysctl -qw net.ipv4.conf.mhnat-loop-in.accept_local=0
drifts "sysctl net/ipv4/conf/mhnat-loop-in/accept_local is 0, and should be 1"
mhnat apply loop.toml
[ "$(index)" = "$first" ] || fail "a pair that was mended was made anew"
snapshot | sort >/run/after
same /run/applied /run/after "not mended"
# The switch for all devices turns it off on this one as well.
sed 's/^metric = 10$/metric = 10\nsource = "masquerade"/' loop.toml >forwarding.toml
mhnat apply forwarding.toml
mhnat apply loop.toml
snapshot | sort >/run/after
same /run/applied /run/after "another configuration in between is seen"
[ "$(index)" = "$first" ] || fail "a pair that stays was made anew"

ip link del mhnat-loop-in
drifts "veth pair mhnat-loop-out@mhnat-loop-in is missing"
mhnat apply loop.toml
snapshot | sort >/run/after
same /run/applied /run/after "not made again"
ip link set mhnat-loop-in down
ip link set mhnat-loop-in name elsewhere
drifts "device mhnat-loop-out has lost its other end"
mhnat apply loop.toml
snapshot | sort >/run/after
same /run/applied /run/after "not made again in the place of a half"

# Another address: the new one comes, the old one goes, the device stays.
first=$(index)
sed 's/10.255.0.1/10.255.0.2/' loop.toml >moved.toml
mhnat apply moved.toml
ip -o address show dev mhnat-loop-in | grep -q '10\.255\.0\.2/32 scope host' || fail "$(ip address)"
ip -o address show dev mhnat-loop-in | grep -q '10\.255\.0\.1/' && fail "$(ip address)"
[ "$(index)" = "$first" ] || fail "a pair with another address was made anew"

# Ours are known without a memory.
mhnat apply loop.toml
rm -r /run/mhnat
mhnat down
ip link | grep mhnat-loop && fail "down without a memory leaves the pair"
sysctl -qw net.ipv6.conf.all.forwarding=0 net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.eth1.rp_filter=1
snapshot >/run/after
same /run/before /run/after "down without a memory left something"

# Not confirmed, it goes; and what went comes back.
mhnat apply loop.toml --confirm 60s
mhnat rollback
snapshot >/run/after
same /run/before /run/after "the rollback left something"
mhnat apply loop.toml
snapshot | sort >/run/applied
mhnat apply other.toml --confirm 60s
ip link | grep mhnat-loop && fail "the pair outlives its configuration"
mhnat rollback
snapshot | sort >/run/after
same /run/applied /run/after "the rollback does not bring the pair back"
mhnat status >/run/said || fail "drift after the rollback: $(cat /run/said)"
mhnat down

# A device of somebody else.
for name in mhnat-loop-in mhnat-loop-out; do
	ip link add $name type veth peer name other-end
	ip link set $name up
	settle
	snapshot >/run/foreign
	status=0
	mhnat apply loop.toml >/run/said 2>&1 || status=$?
	[ $status = 1 ] || fail "exit $status: $(cat /run/said)"
	grep -q "there is a device $name that is not mhnat's" /run/said || fail "$(cat /run/said)"
	mhnat plan --diff loop.toml >/run/said 2>&1 && fail "plan --diff does not see it"
	mhnat apply other.toml || fail "in the way of a configuration that does not want the name"
	mhnat down
	snapshot >/run/after
	same /run/foreign /run/after "the device of somebody else is not as it was"
	ip link del $name
done
