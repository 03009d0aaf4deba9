#!/bin/sh
# Makes a package for Debian and Ubuntu: `packaging/deb.sh PROGRAM FOLDER [REVISION]` writes FOLDER/xds-bridge_….deb.
#
# dpkg-deb and nothing else: all that debhelper or cargo-deb would add are the maintainer scripts beside
# this file, which are short and say why they do what they do. The same sources, program and
# SOURCE_DATE_EPOCH give the same bytes.
set -eu
program=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)-${3:-1}
arch=$(dpkg --print-architecture)
# One moment for all files: that of the commit, or of the newest change that is told of.
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}"
export SOURCE_DATE_EPOCH

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
packaging/stage.sh "$program" "$tree"
libc=$(objdump -T "$tree/usr/bin/xds-bridge" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1)

install -d -m 755 "$tree/DEBIAN"
for script in postinst prerm postrm; do install -m 755 "packaging/debian/$script" "$tree/DEBIAN/$script"; done
echo /etc/xds-bridge/xds-bridge.yaml > "$tree/DEBIAN/conffiles"
cat > "$tree/DEBIAN/control" <<CONTROL
Package: xds-bridge
Version: $version
Architecture: $arch
Maintainer: xds-bridge maintainers <xds-bridge@localhost>
Installed-Size: $(du -ks --exclude=DEBIAN "$tree" | cut -f 1)
Depends: libc6 (>= ${libc#GLIBC_}), libgcc-s1, systemd, init-system-helpers (>= 1.54)
Section: net
Priority: optional
Description: directory of Envoy configuration, streamed over incremental xDS
 Watches a directory of YAML fragments of Envoy configuration and sends what
 changes to every Envoy that connects. A broken file takes nothing away.
CONTROL
find "$tree" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group ${DEB_COMPRESS:--Zxz} --build "$tree" "$out/xds-bridge_${version}_$arch.deb"
