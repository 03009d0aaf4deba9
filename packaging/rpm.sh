#!/bin/sh
# Makes a package for Fedora, RHEL and SUSE: `packaging/rpm.sh PROGRAM FOLDER [RELEASE]` writes FOLDER/….rpm. Needs
# rpmbuild. What it installs is what the package for Debian installs, from the same stage.sh.
set -eu
program=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}"
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packaging/stage.sh "$program" "$work/tree"
# Elsewhere than on Debian.
zsh=$work/tree/usr/share/zsh
mv "$zsh/vendor-completions" "$zsh/site-functions"
install -d "$work/tree/usr/share/licenses/xds-bridge"
mv "$work/tree/usr/share/doc/xds-bridge/copyright" "$work/tree/usr/share/licenses/xds-bridge/LICENSE"

rpmbuild --quiet -bb --define "_topdir $work/rpm" --define "_rpmdir $out" --define "tree $work/tree" \
  --define "own_version $version" --define "own_release ${3:-1}" \
  --define 'use_source_date_epoch_as_buildtime 1' --define 'clamp_mtime_to_source_date_epoch 1' \
  --define '_buildhost reproducible' packaging/xds-bridge.spec
