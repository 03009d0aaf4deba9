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
