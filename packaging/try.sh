#!/bin/sh
# Installs, upgrades, removes and purges the package for Debian, and looks at what is left each time:
# `packaging/try.sh PROGRAM`. Real dpkg in a root of its own, so nothing of this machine changes; the
# maintainer scripts run outside of a chroot, and what they ask of systemd is written down and not done.
set -eu
[ "$(id -u)" = 0 ] || exec fakeroot "$0" "$@"
program=$(realpath "$1")
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

fail() { echo "try.sh: $*" >&2; exit 1; }
there() { for path; do [ -e "$root$path" ] || fail "$path is missing $when"; done; }
gone() { for path; do [ ! -e "$root$path" ] || fail "$path is still there $when"; done; }
# What systemd was asked for since the last time.
asked() {
  got=$(cat "$work/asked"); : > "$work/asked"
  [ "$got" = "$1" ] || fail "systemd was asked for
$got
and not for
$1
$when"
}

# Quick to pack, since it is unpacked once.
export DEB_COMPRESS='-Zgzip -z1' SOURCE_DATE_EPOCH=1000000000
packaging/deb.sh "$program" "$work" > /dev/null
first=$(echo "$work"/xds-bridge_*-1_*.deb)
# The next version has other settings in its file, and is otherwise the same.
dpkg-deb -R "$first" "$work/next"
sed -i 's/^\(Version: .*\)-1$/\1-2/' "$work/next/DEBIAN/control"
echo '# One more setting.' >> "$work/next/etc/xds-bridge/xds-bridge.yaml"
dpkg-deb --root-owner-group -Zgzip -z1 --build "$work/next" "$work/second.deb" > /dev/null

# A root with dpkg's own files, in which systemd seems to run, and a systemctl that takes notes.
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/triggers" "$root/run/systemd/system" \
  "$root/etc/systemd/system" "$work/bin"
touch "$root/var/lib/dpkg/status" "$root/var/lib/dpkg/available" "$work/asked"
for name in systemctl deb-systemd-invoke; do
  printf '#!/bin/sh\necho "%s $*" >> "%s"\n' "$name" "$work/asked" > "$work/bin/$name"
  chmod 755 "$work/bin/$name"
done
export PATH="$work/bin:$PATH:/usr/sbin:/sbin"
package() {
  dpkg --root="$root" --log="$work/log" --force-script-chrootless --force-depends --force-confdef --force-confold "$@" \
    > "$work/out" 2>&1 || { cat "$work/out" >&2; fail "dpkg $*"; }
}

when='after the installation'
package --install "$first"
there /usr/bin/xds-bridge /usr/lib/systemd/system/xds-bridge.service /usr/lib/systemd/system/xds-bridge.socket \
  /usr/lib/systemd/system/xds-bridge@.service /usr/share/man/man1/xds-bridge.1.gz /usr/share/man/man1/xds-bridge-serve.1.gz \
  /usr/share/bash-completion/completions/xds-bridge /usr/share/zsh/vendor-completions/_xds-bridge \
  /usr/share/fish/vendor_completions.d/xds-bridge.fish /usr/share/xds-bridge/fragment.schema.json \
  /usr/share/doc/xds-bridge/README.md /etc/xds-bridge/xds-bridge.yaml /etc/xds-bridge/config.d
grep -q '^xds-bridge:' "$root/etc/passwd" || fail "there is no user $when"
[ -L "$root/etc/systemd/system/sockets.target.wants/xds-bridge.socket" ] || fail "the socket is not enabled $when"
[ -L "$root/etc/systemd/system/multi-user.target.wants/xds-bridge.service" ] || fail "the service is not enabled $when"
asked 'systemctl --system daemon-reload
deb-systemd-invoke start xds-bridge.socket xds-bridge.service'
"$root/usr/bin/xds-bridge" --version | grep -q '^xds-bridge ' || fail "the program does not run $when"
"$root/usr/bin/xds-bridge" settings --settings "$root/etc/xds-bridge/xds-bridge.yaml" > /dev/null || fail "its settings are wrong $when"

when='after the upgrade'
echo 'on_error: hold' >> "$root/etc/xds-bridge/xds-bridge.yaml"
echo 'clusters: []' > "$root/etc/xds-bridge/config.d/own.yaml"
mkdir -p "$root/var/lib/xds-bridge" && touch "$root/var/lib/xds-bridge/kept"
package --install "$work/second.deb"
# Not one word to the sockets, nor to any Envoy.
asked 'systemctl --system daemon-reload
deb-systemd-invoke try-restart xds-bridge.service'
there /etc/xds-bridge/config.d/own.yaml /etc/xds-bridge/xds-bridge.yaml.dpkg-dist /var/lib/xds-bridge/kept
grep -q '^on_error: hold' "$root/etc/xds-bridge/xds-bridge.yaml" || fail "your settings are lost $when"

when='after the removal'
package --remove xds-bridge
asked 'deb-systemd-invoke stop xds-bridge.socket xds-bridge.service xds-bridge@*.service
systemctl --system daemon-reload'
gone /usr/bin/xds-bridge /usr/lib/systemd/system/xds-bridge.service /usr/share/xds-bridge
there /etc/xds-bridge/xds-bridge.yaml /etc/xds-bridge/config.d/own.yaml /var/lib/xds-bridge/kept

when='after the purge'
package --purge xds-bridge
asked ''
gone /etc/xds-bridge/xds-bridge.yaml /var/lib/xds-bridge /etc/systemd/system/sockets.target.wants/xds-bridge.socket \
  /etc/systemd/system/multi-user.target.wants/xds-bridge.service
there /etc/xds-bridge/config.d/own.yaml
echo "installed, upgraded, removed, purged"
