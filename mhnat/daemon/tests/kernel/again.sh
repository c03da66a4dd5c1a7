settle
snapshot >/run/before
mhnat apply both.toml
snapshot >/run/both
ip monitor rule route >/run/changes &
monitor=$!
sleep 0.2
mhnat apply both.toml
sleep 0.2
kill $monitor
[ ! -s /run/changes ] || fail "applying again touched: $(cat /run/changes)"
snapshot >/run/again
same /run/both /run/again "applying again changed something"

mhnat apply other.toml
snapshot >/run/other
mhnat down
mhnat apply other.toml
snapshot >/run/fresh
# The kernel lists base chains in the order in which it first saw them.
sort /run/fresh >/run/fresh.sorted
sort /run/other >/run/other.sorted
same /run/fresh.sorted /run/other.sorted "the earlier file shows through"
mhnat apply both.toml
mhnat down
snapshot >/run/after
same /run/before /run/after "down left something after several files"

# An uplink keeps its mark while others come and go.
mhnat apply both.toml
cat >rest.toml <<-FILE
	[[uplink]]
	name = "second"
	interface = "eth1"
	address = ["10.2.0.2", "2001:db8:2::2"]
	gateway = ["10.2.0.1", "2001:db8:2::1"]
	metric = 20
	[replies]
	udp = "mark"
FILE
mhnat apply rest.toml
nft list chain inet mhnat came_by_second | grep -q 0x00000200 || fail "the mark moved"
mhnat plan rest.toml | grep -q 'from 10.2.0.2 lookup 10902' || fail "plan does not know the numbers in use"
mhnat down
