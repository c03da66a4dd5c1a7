#!/bin/sh
# mhnat on the other node, in the background, until both have told each other what they know.
"$MHNAT" run --state-dir /run/second nodes.second.mhnat.toml >/run/second.log 2>&1 </dev/null &
heard() {
	conntrackd -C "$1/conntrackd.conf" -s network 2>/dev/null | grep -Eq '[1-9][0-9]* Pckts recv'
}
for _ in $(seq 400); do
	if [ -e /run/mhnat/conntrackd.conf ]; then
		heard /run/second && heard /run/mhnat && exit 0
	else
		grep -q 'conntrackd is started' /run/second.log && exit 0
	fi
	sleep 0.02
done
cat /run/second.log
exit 1
