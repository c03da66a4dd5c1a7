#!/bin/sh
# A subject that stays, as small as one can be: SIGHUP makes it read its configuration again, SIGTERM take its rules away.
set -eu

# systemd-notify(1) does the same where there is systemd.
tell() {
    perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die "tell: $!\n";
        send($s, $ARGV[0], 0, sockaddr_un($ENV{NOTIFY_SOCKET})) or die "tell: $!\n"' "$1"
}

translate() {
    address=192.0.2.1
    if [ -e /run/address ]; then
        read -r address </run/address
    fi
    echo "translating to $address"
    nft -f - <<END
table ip gate
delete table ip gate
table ip gate {
	chain post {
		type nat hook postrouting priority 100;
		oifname "wan" snat to $address
	}
}
END
}

trap 'tell RELOADING=1; translate; tell READY=1' HUP
trap 'nft delete table ip gate; exit 0' TERM
echo $$ >/run/daemon.pid
translate
tell "READY=1
STATUS=translating"
sleep 1000000 &
while :; do
    # A signal ends the wait.
    wait || true
done
