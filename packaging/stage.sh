#!/bin/sh
# Puts everything that a package installs under a folder: `packaging/stage.sh PROGRAM FOLDER`.
# The packages for Debian and for RPM are made from it, so that both hold the same.
set -eu
program=$(realpath "$1")
mkdir -p "$2"
root=$(realpath "$2")
cd "$(dirname "$0")/.."
umask 022

put() { install -D -m "$1" "$2" "$root/$3"; }

put 755 "$program" usr/bin/xds-bridge
strip --strip-all "$root/usr/bin/xds-bridge"

for unit in xds-bridge.service xds-bridge.socket xds-bridge@.service; do
  put 644 "systemd/$unit" "usr/lib/systemd/system/$unit"
done
put 644 systemd/xds-bridge.sysusers usr/lib/sysusers.d/xds-bridge.conf

put 644 packaging/xds-bridge.yaml etc/xds-bridge/xds-bridge.yaml
install -d -m 755 "$root/etc/xds-bridge/config.d"

doc=usr/share/doc/xds-bridge
for text in README.md CHANGELOG.md ARCHITECTURE.md; do put 644 "$text" "$doc/$text"; done
put 644 LICENSE "$doc/copyright"
find docs -name '*.md' | while read -r text; do put 644 "$text" "$doc/$text"; done
put 644 systemd/envoy.service "$doc/examples/envoy.service"
for fragment in config.d/*; do put 644 "$fragment" "$doc/examples/$fragment"; done

# What the program makes of its own command line and of Envoy's API.
export XDS_BRIDGE_SETTINGS=/dev/null
new=$root/usr/bin/xds-bridge
"$new" man --out "$root/usr/share/man/man1"
gzip -9n "$root"/usr/share/man/man1/*.1
shells=usr/share
install -d -m 755 "$root/$shells/bash-completion/completions" "$root/$shells/zsh/vendor-completions" \
  "$root/$shells/fish/vendor_completions.d" "$root/usr/share/xds-bridge"
"$new" completions bash > "$root/$shells/bash-completion/completions/xds-bridge"
"$new" completions zsh > "$root/$shells/zsh/vendor-completions/_xds-bridge"
"$new" completions fish > "$root/$shells/fish/vendor_completions.d/xds-bridge.fish"
"$new" schema > "$root/usr/share/xds-bridge/fragment.schema.json"
"$new" schema settings > "$root/usr/share/xds-bridge/settings.schema.json"
