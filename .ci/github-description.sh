#!/usr/bin/env bash
# Prints the path of GitHub's own description of its API, which the tests compare with their stand-in for GitHub.
# It is downloaded once and not committed: one version of a package from GitHub, pinned by its hash.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PACKAGE=@octokit/openapi@23.0.2
readonly SHA512=a55f0cecbf46636dc0c9b36f4e6a369f28e6a669edebedac444fedaabd192d070f4b8967c3bbb979918d9b044d9010b70fb8195db171e401f32d455105718386
readonly DESCRIPTION=build/github-api-23.0.2.json

if [[ ! -s $DESCRIPTION ]]; then
    mkdir -p build
    folder=$(mktemp -d -p build)
    trap 'rm -rf "$folder"' EXIT
    npm pack --loglevel error --pack-destination "$folder" "$PACKAGE" >/dev/null
    package=$(echo "$folder"/*.tgz)
    echo "$SHA512  $package" | sha512sum --check --quiet >&2
    tar -xzOf "$package" package/generated/api.github.com.json >"$folder/description"
    mv "$folder/description" "$DESCRIPTION"
fi
realpath "$DESCRIPTION"
