nft -f - <<-RULES
	table inet other {
		map mhnat { type ifname : verdict; elements = { "eth0" : accept }
		}
		chain input { type filter hook input priority 0; policy accept; iifname vmap @mhnat
		}
	}
	table ip nat {
		chain POSTROUTING { type nat hook postrouting priority 100; policy accept; oifname "eth1" masquerade
		}
	}
RULES
# Rules between our priorities and routes in our tables, of other programs and of people.
ip rule add priority 10000 from 172.16.0.0/12 lookup 10900
ip rule add priority 10102 fwmark 0x100/0xff00 lookup 10901 protocol 108
ip -6 rule add priority 15900 lookup 77 protocol 108
ip route add 172.20.0.0/16 via 10.1.0.1 table 10900 protocol 108
ip route add 172.21.0.0/16 via 10.1.0.1 table 10901
ip -6 route add 2001:db8:77::/48 via 2001:db8:1::1 table 10902 protocol bird
ip route add default via 10.1.0.1 table 10900 metric 9 protocol 108
settle
snapshot >/run/before
theirs() {
	nft list table inet other
	nft list table ip nat
	ip rule | grep -v 'proto 109'
	ip -6 rule | grep -v 'proto 109'
	ip -4 route show table all | grep -v 'proto 109'
	ip -6 route show table all | grep -v -e 'proto 109' -e anycast -e '^ff00' -e multicast
}
theirs >/run/theirs
for file in both.toml other.toml both.toml; do
	mhnat apply $file
	theirs >/run/now
	same /run/theirs /run/now "apply of $file touched what others have"
done
mhnat down
# A default route where one of ours belongs is refused, not overwritten.
for route in '-4 default via 10.2.0.1 dev eth1 table 10901 metric 1' \
	'-6 default via 2001:db8:2::1 dev eth1 table 10900 metric 10'; do
	ip ${route%% *} route add ${route#* } protocol 108
	theirs >/run/theirs.default
	status=0
	mhnat apply both.toml 2>/run/said || status=$?
	[ $status = 1 ] || fail "exit $status: $(cat /run/said)"
	grep -q "another program's IPv. default route stands in table 1090. at metric" /run/said ||
		fail "$(cat /run/said)"
	theirs >/run/now
	same /run/theirs.default /run/now "the default route of another program did not stay"
	ip ${route%% *} route del ${route#* }
done
snapshot >/run/after
same /run/before /run/after "down touched what others have"
