#!/usr/bin/env bash
# Makes all that a release consists of, in one folder: the npm package, the image, the charts, what is in them (CycloneDX), how they came to be
# (SLSA provenance), their checksums, and a signature of those if there is a key. It publishes nothing and needs no forge.
#
#   bash deploy/release/build.sh FOLDER
#
#   IMAGE=REPOSITORY      the image is built of its bases as they are published, pinned by digest, for each platform that this machine can run
#                         (qemu for the other one; needs buildah and skopeo). Without it: as deploy/image/build.sh builds and tries it, of bases made here.
#   WITHOUT_IMAGE=1       leaves the image out
#   SIGNING_KEY=FILE      a private key in PEM (openssl genpkey -algorithm ed25519); the signature is made with it, and verified
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:?usage: bash deploy/release/build.sh FOLDER}
mkdir -p "$out"
out=$(realpath "$out")
[ -z "$(ls -A "$out")" ] || { echo "release: $out is not empty" >&2; exit 1; }
started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
node=$(realpath node_modules/node/bin/node 2>/dev/null || command -v node)
PATH=$(dirname "$node"):$PATH
version=$(node -p 'require("./package.json").version')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bases=()

say() { echo "release: $*"; }
die() { say "FAILED: $*" >&2; exit 1; }

one_version() {
  local chart
  for chart in helm/*/Chart.yaml; do
    grep -q "^version: $version\$" "$chart" && grep -q "^appVersion: $version\$" "$chart" || die "$chart is not of version $version"
  done
  [ -z "$(git status --porcelain 2>/dev/null)" ] || say 'there are changes that are not committed'
}

npm_package() {
  local file unexpected
  npm run --silent build
  file=$(npm pack --ignore-scripts --silent --pack-destination "$out" | tail -1)
  unexpected=$(tar -tzf "$out/$file" | grep -vE '^package/(LICENSE|README\.md|package\.json|dist/[A-Za-z0-9_./-]+\.js|dist/page/[a-z.]+\.gz)$' || true)
  [ -z "$unexpected" ] || die "in the npm package, and should not be: $unexpected"
  ! tar -tzf "$out/$file" | grep -qE '/(test|src|node_modules)/|\.map$' || die 'sources, tests or maps are in the npm package'
  tar -xzf "$out/$file" -C "$work"
  ln -s "$(realpath node_modules)" "$work/package/node_modules"
  [ "$(node "$work/package/dist/cli.js" --version)" = "sidegate $version" ] || die 'the npm package does not run'
  say "$file: $(tar -tzf "$out/$file" | wc -l) files"
}

# From PATH, or as the tests have it.
helm_() {
  if command -v helm >/dev/null; then helm "$@"; else
    node --input-type=module -e 'import { helm } from "./test/deploy/tools.ts"
      const { status, stdout, stderr } = helm(...process.argv.slice(1))
      process.stdout.write(stdout); process.stderr.write(stderr); process.exitCode = status' -- "$@"
  fi
}

charts() {
  cp -r helm "$work/helm"
  helm_ dependency update --skip-refresh "$work/helm/sidegate" >/dev/null
  local chart
  for chart in sidegate sidegate-sidecar; do
    helm_ package "$work/helm/$chart" --destination "$work" >/dev/null
    # The npm package has the name that helm gives it.
    mv "$work/$chart-$version.tgz" "$out/$chart-chart-$version.tgz"
    say "$chart-chart-$version.tgz: helm push $chart-chart-$version.tgz oci://REGISTRY/charts"
  done
}

# A base as it is published, by the digest of all its platforms together; told in the provenance.
pinned() { echo "${1%%:*}@$(skopeo inspect --format '{{.Digest}}' "docker://$1")"; }

platforms() {
  echo -n "linux/$(buildah info | sed -n 's/.*"arch": "\(.*\)".*/\1/p' | head -1)"
  local other=aarch64 name=arm64
  [ "$(uname -m)" = aarch64 ] && other=x86_64 name=amd64
  [ -e "/proc/sys/fs/binfmt_misc/qemu-$other" ] && echo -n ",linux/$name"
  echo
}

image() {
  local archive=$out/sidegate-$version-image.oci.tar build_base run_base
  if [ -z "${IMAGE:-}" ]; then
    bash deploy/image/build.sh --keep "$archive"
    return
  fi
  build_base=$(pinned "$(sed -n 's/^ARG BUILD_BASE=//p' Dockerfile)")
  run_base=$(pinned "$(sed -n 's/^ARG RUN_BASE=//p' Dockerfile | head -1)")
  bases=("$build_base" "$run_base")
  buildah bud --platform "$(platforms)" --manifest "$IMAGE:$version" \
    --build-arg BUILD_BASE="$build_base" --build-arg RUN_BASE="$run_base" --build-arg VERSION="$version" \
    --build-arg REVISION="$(git rev-parse HEAD)" --build-arg CREATED="$started" .
  buildah manifest push --all "$IMAGE:$version" "oci-archive:$archive:$version"
  say "image for $(platforms): buildah manifest push --all $IMAGE:$version docker://$IMAGE:$version"
}

materials() {
  node deploy/release/sbom.ts "$started" >"$out/sidegate-$version.cdx.json"
  node deploy/release/provenance.ts "$out" "$started" "${bases[@]}" >"$work/provenance.json"
  mv "$work/provenance.json" "$out/sidegate-$version.provenance.json"
  (cd "$out" && sha256sum -- * >"$work/sums" && mv "$work/sums" SHA256SUMS)
}

sign() {
  if [ -z "${SIGNING_KEY:-}" ]; then
    say 'no SIGNING_KEY: SHA256SUMS is not signed'
    return
  fi
  openssl pkey -in "$SIGNING_KEY" -pubout -out "$out/SIGNING-KEY.pub"
  openssl pkeyutl -sign -rawin -inkey "$SIGNING_KEY" -in "$out/SHA256SUMS" -out "$out/SHA256SUMS.sig"
  openssl pkeyutl -verify -rawin -pubin -inkey "$out/SIGNING-KEY.pub" -in "$out/SHA256SUMS" -sigfile "$out/SHA256SUMS.sig" >/dev/null || die 'the signature'
  say 'SHA256SUMS is signed'
}

one_version
npm_package
charts
[ -n "${WITHOUT_IMAGE:-}" ] || image
materials
(cd "$out" && sha256sum --check --quiet SHA256SUMS)
sign
say "in $out:"
ls -l "$out" | sed 1d
