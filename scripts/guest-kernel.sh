#!/bin/sh
# Fetches Debian's stock kernel for guests of QEMU and unpacks it; nothing is installed, and what is there already is kept.
# It has what user-mode Linux lacks: FoU links, WireGuard, nftables. Prints the folder that holds boot/ and lib/modules/.
set -eu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kube-router-sdk/kernel
package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$package" ] || { echo 'apt knows no linux-image-amd64: run apt-get update' >&2; exit 1; }
folder=$cache/$package
if [ ! -e "$folder/complete" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && apt-get download -qq "$package") >&2
  rm -rf "$folder"
  mkdir -p "$folder"
  dpkg -x "$work"/*.deb "$folder"
  depmod -b "$folder" "${package#linux-image-}"
  touch "$folder/complete"
fi
echo "$folder"
