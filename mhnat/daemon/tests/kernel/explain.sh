# Real packets go where `mhnat explain` says, and it says where they do not.
command -v python3 >/dev/null || fail "this test needs python3"
ip link add lan0 type veth peer name lanfar
ip address add 10.0.0.1/24 dev lan0
ip address add 2001:db8:10::1/64 dev lan0 nodad
ip link set lan0 up
ip link set lanfar up
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
neighbour() { ip neighbour replace "$1" dev "$2" lladdr 02:00:00:00:00:99 nud permanent; }
for n in 0 1; do
	neighbour 10.$((n + 1)).0.1 eth$n
	neighbour 2001:db8:$((n + 1))::1 eth$n
done
neighbour 10.2.0.7 eth1
neighbour 10.0.0.2 lan0
neighbour 2001:db8:10::2 lan0
settle
mhnat apply both.toml
python3 explain.py
