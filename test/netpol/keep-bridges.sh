# Gives the bridge of every node of the harness the address that it has as its own; the README says why. Of every node, because the harness
# calls on those that enforce alone. Sourced by the adapters, which run in a node's namespace, PREFIX-nodeN.
here=$(ip netns identify "$$")
for space in $(ip netns list | sed -n "s/^\(${here%-*}-node[0-9]*\).*/\1/p"); do
  mac=$(ip -n "$space" -o link show cni0 2>/dev/null | sed -n 's/.*link.ether \([^ ]*\).*/\1/p')
  [ -z "$mac" ] || ip -n "$space" link set cni0 address "$mac"
done
