#!/bin/sh
# Sets up everything a make target needs: npm packages, the build, and the Debian packages named as arguments' groups.
# Usage: scripts/setup.sh [lab] [peers] [qemu] [browser] [image]
# What is missing is listed before it is installed; without root or sudo the one command to run is printed, exit 2.
set -eu
cd "$(dirname "$0")/.."

# group: package:proof, where proof is a program or file that shows that it is there
# what the Node of node_modules is linked with, and not every machine has
base='libatomic1:/usr/lib/*/libatomic.so.1'
lab='iptables:iptables ipset:ipset ipvsadm:ipvsadm conntrack:conntrack nftables:nft iproute2:ip iputils-ping:ping kmod:modprobe user-mode-linux:linux.uml frr:/usr/lib/frr/bgpd kubernetes-client:kubectl containernetworking-plugins:/usr/lib/cni/bridge tcpdump:tcpdump containerd:containerd runc:runc busybox-static:busybox python3:python3 curl:curl jq:jq'
peers='frr:/usr/lib/frr/bgpd bird2:bird gobgpd:gobgpd exabgp:exabgp tshark:tshark'
qemu='ethtool:ethtool qemu-system-x86:qemu-system-x86_64 busybox-static:/bin/busybox cpio:cpio wireguard-tools:wg iperf3:iperf3 socat:socat python3-minimal:python3'
browser='chromium:chromium'
image='debootstrap:debootstrap'

missing=''
for group in base "$@"; do
  eval "entries=\$$group"
  for entry in $entries; do
    package=${entry%%:*} proof=${entry#*:}
    case $proof in
      # unquoted: it may be a pattern
      /*) for found in $proof; do [ ! -e "$found" ] || continue 2; done ;;
      *) PATH=$PATH:/usr/sbin:/sbin command -v "$proof" >/dev/null 2>&1 && continue ;;
    esac
    case " $missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac
  done
done

if [ -n "$missing" ]; then
  echo "Debian packages needed and missing:$missing"
  install="env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends$missing"
  if [ "$(id -u)" = 0 ]; then as=''; elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as='sudo'; else
    echo "Neither root nor sudo without a password. Run this once, then call make again:"
    echo "  sudo sh -c 'apt-get update && $install'"
    exit 2
  fi
  $as apt-get update -qq && $as $install || { echo "Installing failed; see above."; exit 2; }
fi

command -v npm >/dev/null 2>&1 || { echo 'npm is missing: install Node.js 20 or later, with npm.'; exit 2; }

# The lock file is newer than what is installed: install anew.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo 'npm ci'
  npm ci --no-fund --no-audit --loglevel=error
  touch node_modules/.package-lock.json
fi
