#!/bin/sh
# A neighbour to try examples against: a router with a real BGP daemon in a network namespace of its own, cabled to this one.
#   router.sh NAME ADDRESS ASN PEER-ASN [frr|bird] [PREFIX…]
# This side is 192.0.2.1/24. The router announces the prefixes. `NAME COMMAND…` asks it (vtysh or birdc); `NAME-sh COMMAND…` runs there.
set -eu
name=$1 address=$2 asn=$3 peer_asn=$4 kind=${5:-frr}
[ $# -gt 5 ] && shift 5 || shift $#
folder=/run/routers/$name
mkdir -p "$folder"

if ! ip link show rack >/dev/null 2>&1; then
  ip link add rack type bridge
  ip addr add 192.0.2.1/24 dev rack
  ip link set rack up
fi
ip netns add "$name"
ip link add "to-$name" master rack type veth peer name eth0 netns "$name"
ip link set "to-$name" up
ip -n "$name" link set lo up
ip -n "$name" addr add "$address/24" dev eth0
ip -n "$name" link set eth0 up

if [ "$kind" = frr ]; then
  {
    echo "router bgp $asn"
    echo " bgp router-id $address"
    echo ' no bgp ebgp-requires-policy'
    echo ' no bgp network import-check'
    echo " neighbor 192.0.2.1 remote-as $peer_asn"
    echo ' neighbor 192.0.2.1 timers connect 1'
    echo ' address-family ipv4 unicast'
    for prefix in "$@"; do echo "  network $prefix"; done
  } >"$folder/bgpd.conf"
  : >"$folder/zebra.conf"
  : >"$folder/vtysh.conf"
  chown -R frr:frr "$folder"
  for daemon in zebra bgpd; do
    ip netns exec "$name" "/usr/lib/frr/$daemon" -d -f "$folder/$daemon.conf" -i "$folder/$daemon.pid" -A 127.0.0.1 \
      --vty_socket "$folder" -z "$folder/zserv.api" >/dev/null 2>&1
    until [ -S "$folder/$daemon.vty" ]; do sleep 0.1; done
  done
  ask="vtysh --config_dir $folder --vty_socket $folder -c \"\$*\""
else
  {
    echo "router id $address;"
    echo 'protocol device {}'
    echo 'protocol static { ipv4;'
    for prefix in "$@"; do echo "  route $prefix blackhole;"; done
    echo '}'
    echo "protocol bgp sdk { local $address as $asn; neighbor 192.0.2.1 as $peer_asn; connect delay time 1; ipv4 { import all; export all; }; }"
  } >"$folder/bird.conf"
  ip netns exec "$name" bird -c "$folder/bird.conf" -s "$folder/bird.ctl" -P "$folder/bird.pid"
  ask="birdc -s $folder/bird.ctl \"\$@\""
fi
printf '#!/bin/sh\nexec ip netns exec %s %s\n' "$name" "$ask" >"/usr/local/bin/$name"
printf '#!/bin/sh\nexec ip netns exec %s "$@"\n' "$name" >"/usr/local/bin/$name-sh"
chmod +x "/usr/local/bin/$name" "/usr/local/bin/$name-sh"
