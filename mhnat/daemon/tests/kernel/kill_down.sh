settle
snapshot >/run/before
case @MOMENT@ in
before) wrap 'cat >/dev/null; kill -9 $PPID; exit 1' ;;
after) wrap 'nft "$@" <&0; kill -9 $PPID; exit 1' ;;
esac
mhnat apply both.toml
status=0
mhnat down --nft /run/nft >&2 || status=$?
[ $status = 137 ] || fail "exit $status"
mhnat down
snapshot >/run/after
same /run/before /run/after "the second down left something"
