# Daily work; `just` lists it. What continuous integration runs is .ci/run, and these call its steps.

_default:
    @just --list

# Serve config.d/ on 127.0.0.1:18000
serve *ARGS:
    cargo run --release -- serve {{ ARGS }}

# Everything that must hold before a change is taken
ci:
    .ci/run

# Formatting and lints
lint:
    .ci/run format lint

# All tests; arguments go to `cargo test`
test *ARGS:
    cargo test {{ ARGS }}

# Rewrite the sources as rustfmt wants them
fmt:
    cargo fmt --all

# What deny.toml says, advisories too. Not a step of .ci/run: it needs a tool that takes minutes to
# build and a fresh list of advisories; tests/dependencies.rs holds the rest of deny.toml everywhere.
deny:
    cargo deny --version || cargo install --locked cargo-deny
    cargo deny check

# A package for Debian and Ubuntu, in target/packages
deb: release
    packaging/deb.sh target/release/xds-bridge target/packages

# A package for Fedora, RHEL and SUSE, in target/packages; needs rpmbuild
rpm: release
    packaging/rpm.sh target/release/xds-bridge target/packages

# Install, upgrade, remove and purge the Debian package in a root of its own
try-package: release
    packaging/try.sh target/release/xds-bridge

# The program as it is shipped
release:
    cargo build --release --locked
