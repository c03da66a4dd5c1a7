@FOREIGN@
settle
# All that is not ours. Forwarding and reverse path filters, and what the kernel changes with them, come back with
# `down`; the other settings are none of ours.
theirs() {
	nft list tables | grep -vx 'table inet mhnat' | while read -r _ family name; do
		nft list table "$family" "$name"
	done
	ip -4 rule | grep -v 'proto 109'
	ip -6 rule | grep -v 'proto 109'
	ip -4 route show table all | grep -v 'proto 109'
	ip -6 route show table all | grep -v 'proto 109' | grep -v -e '^anycast' -e '^ff00' -e '^multicast'
	sysctl -a 2>/dev/null | grep -e accept_local -e arp_ -e fwmark -e src_valid_mark
}
snapshot >/run/before
theirs >/run/theirs
mhnat down --nft lib >/dev/null 2>&1 && library=yes || library=no
step() {
	file=$1
	shift
	[ $library = yes ] || set --
	mhnat apply "$file" "$@"
	theirs >/run/now
	same /run/theirs /run/now "apply of $file $* touched what others have"
}
@APPLIES@
# Once more, as a timer would.
mhnat apply both.toml
mhnat apply both.toml
theirs >/run/now
same /run/theirs /run/now "applying again touched what others have"
mhnat down
theirs >/run/now
same /run/theirs /run/now "down touched what others have"
snapshot >/run/after
same /run/before /run/after "the host is not as it was"
