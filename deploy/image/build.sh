#!/usr/bin/env bash
# Builds the Dockerfile for real and tries what came out, without a registry of images: the bases are made here, of the
# Node that `npm ci` brought along and the libraries that it needs. Needs buildah, curl and root; leaves nothing behind.
# Usage: bash deploy/image/build.sh [--keep ARCHIVE]   writes the image as an OCI archive, too
set -euo pipefail
[ "$(id -u)" = 0 ] || exec sudo -n --preserve-env=PATH,NODE_EXTRA_CA_CERTS bash "$0" "$@"
cd "$(dirname "$0")/../.."

archive=
if [ "${1:-}" = --keep ]; then archive=${2:?--keep needs the name of an archive}; fi

work=$(mktemp -d)
started_processes=()
clean_up() {
  # Those within first: they have changed their user, and the kernel then forgets that they should go with their parent.
  for pid in "${started_processes[@]}"; do pkill -KILL -P "$pid" || true; { kill -KILL "$pid" && wait "$pid"; } 2>/dev/null || true; done
  store umount --all >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap clean_up EXIT

store() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
say() { echo "image: $*"; }
die() { say "FAILED: $*" >&2; cat "$work"/{log,output} >&2 2>/dev/null; exit 1; }
quietly() { "$@" >"$work/output" 2>&1 || die "$*"; : >"$work/output"; }

node=node_modules/node/bin/node
[ -x "$node" ] || node=$(command -v node) || die 'no node; run npm ci first'
npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")

# Copies a program and the libraries that it is linked with to where they stand here.
add_program() {
  local root=$1 program=$2 to=$3 library
  install -D "$program" "$root$to"
  ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
    [ -e "$root$library" ] || install -D "$library" "$root$library"
  done
}

# Stands in for distroless: node at the same place, no shell, the same user.
make_run_base() {
  local root=$work/run-base
  mkdir -p "$root"/{tmp,proc,etc}
  chmod 1777 "$root/tmp"
  echo 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' >"$root/etc/passwd"
  echo 'nonroot:x:65532:' >"$root/etc/group"
  add_program "$root" "$node" /nodejs/bin/node
  commit_base "$root" run-base
}

# Stands in for node:26-trixie-slim: a shell and npm, and how this machine reaches its packages. Node itself is mounted
# when the image is built: copying it from layer to layer takes longer than everything else.
make_build_base() {
  local root=$work/build-base tool
  cp -a "$work/run-base" "$root"
  rm "$root/nodejs/bin/node"
  for tool in sh env rm mkdir cp; do add_program "$root" "$(readlink -f "$(command -v $tool)")" "/bin/$tool"; done
  mkdir -p "$root"/usr/{bin,local/bin,local/lib/node_modules} "$root/root"
  ln -s /bin/env "$root/usr/bin/env"
  ln -s /nodejs/bin/node "$root/usr/local/bin/node"
  cp -rL "$npm" "$root/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
  # npm looks for its settings in the home of the user.
  echo 'root:x:0:0:root:/root:/bin/sh' >>"$root/etc/passwd"
  echo "registry=$(npm config get registry)" >"$root/root/.npmrc"
  if [ -n "${NODE_EXTRA_CA_CERTS:-}" ]; then
    cp "$NODE_EXTRA_CA_CERTS" "$root/etc/ca.pem"
    echo 'cafile=/etc/ca.pem' >>"$root/root/.npmrc"
  fi
  commit_base "$root" build-base
}

commit_base() {
  local container
  container=$(store from scratch)
  quietly store copy "$container" "$1" /
  quietly store config --env PATH=/usr/local/bin:/usr/bin:/bin "$container"
  quietly store commit --rm "$container" "localhost/$2"
}

build_image() {
  local revision
  revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
  # What npm has fetched before is not fetched again.
  quietly store bud --isolation chroot --layers=false -t localhost/sidegate \
    --volume "$(npm config get cache):/root/.npm" --volume "$(realpath "$node"):/nodejs/bin/node:ro" \
    --build-arg BUILD_BASE=localhost/build-base --build-arg RUN_BASE=localhost/run-base \
    --build-arg VERSION="$("$node" -p 'require("./package.json").version')" --build-arg REVISION="$revision" \
    --build-arg CREATED="$(date -u +%Y-%m-%dT%H:%M:%SZ)" .
}

# One value of the image's configuration.
of_image() { store inspect --type image --format "$1" localhost/sidegate; }

inspect_image() {
  [ "$(of_image '{{.OCIv1.Config.User}}')" = 65532:65532 ] || die 'the user is not 65532'
  [ "$(of_image '{{.OCIv1.Config.Entrypoint}}')" = '[/nodejs/bin/node /app/dist/cli.js]' ] || die 'another entry point'
  local label
  for label in title description licenses source documentation version revision created base.name; do
    [ -n "$(of_image "{{index .OCIv1.Config.Labels \"org.opencontainers.image.$label\"}}")" ] || die "label $label is empty"
  done
  mapfile -t environment < <(of_image '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' | grep .)
  mapfile -t entry_point < <(of_image '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}' | grep .)
  mounted=$(store mount "$(store from localhost/sidegate)")
  say "$(du -sm "$mounted/app" | cut -f1) MB of program and modules, beside $(du -sm "$mounted/nodejs" | cut -f1) MB of Node"
  local module
  for module in typescript tap @types fast-check; do
    [ ! -e "$mounted/app/node_modules/$module" ] || die "$module is in the image"
  done
}

# Runs the image's own entry point as the kubelet would: the image's environment, uid 65532, PID 1, a read-only root
# with nothing but /tmp to write to. What it is given runs instead of CMD.
run_image() {
  exec unshare --mount --pid --fork --kill-child bash -euc '
    root=$1; shift
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o size=16m tmpfs "$root/tmp"
    mount --bind "$CONFIG" "$root/etc/sidegate"
    mount -o remount,bind,ro "$root/etc/sidegate"
    mount -o remount,bind,ro "$root"
    exec chroot --userspec=65532:65532 "$root" "$@"
  ' - "$mounted" /bin/env-of-image -i "${environment[@]}" "${entry_point[@]}" "$@"
}

# As `kubectl exec` would: in the namespaces of the gate, with the image's environment, and found by its PATH.
exec_in() {
  local pid=$1
  shift
  nsenter --target "$pid" --mount --pid --net chroot --userspec=65532:65532 "$mounted" /bin/env-of-image -i "${environment[@]}" "$@"
}

# What the runbooks say to run in the pod, but for the names of files at home.
runbook_commands() {
  sed -n 's/^kubectl exec -n NAMESPACE POD -c sidegate -- \(sidegate [^>]*\).*/\1/p' docs/runbooks/*.md docs/troubleshooting.md |
    sed 's/--seconds [0-9]*/--seconds 1/; s/ *$//' | sort -u
}

# The configuration says nothing of ports, as in a pod: it has a network of its own.
try_runbooks() {
  local gate pid command count=0
  cat >"$CONFIG/sidegate.yaml" <<YAML
listeners:
  - { address: ":17080", protocol: http, upstream: "127.0.0.1:8080" }
YAML
  (exec unshare --net bash -euc 'ip link set lo up; "$@"' - "$BASH" -c "$(declare -f run_image); $(declare -p environment entry_point mounted); export CONFIG='$CONFIG'; run_image run -c /etc/sidegate/sidegate.yaml") >"$work/log" 2>&1 &
  gate=$!
  started_processes+=("$gate")
  eventually 'the gate of the runbooks is not there' inner_pid "$gate"
  pid=$(inner_pid "$gate")
  eventually 'sidegate health, by PATH' exec_in "$pid" sidegate health
  while read -r command; do
    # shellcheck disable=SC2086
    (cd / && exec_in "$pid" $command) </dev/null >"$work/output" 2>&1 || die "in the image: $command"
    count=$((count + 1))
  done < <(runbook_commands)
  [ "$count" -ge 10 ] || die "the runbooks name $count commands"
  (cd / && exec_in "$pid" sidegate profile heap --seconds 1) >"$work/output" 2>&1 || die 'a profile on a read-only root'
  grep -q '^/tmp/' "$work/output" || die 'a profile goes to /tmp'
  say "$count commands of the runbooks work in it"
  kill -KILL "$pid"
}

# The node of a gate that was started through other programs, each of which stands in its place for a moment. Not its children: it judges
# its configuration in one.
inner_pid() {
  local pid=$1
  until [[ "$(readlink "/proc/$pid/exe")" = */nodejs/bin/node ]]; do
    pid=$(pgrep -P "$pid" | head -1)
    [ -n "$pid" ] || return 1
  done
  echo "$pid"
}

eventually() {
  local what=$1 tries
  shift
  for tries in $(seq 100); do
    "$@" >"$work/output" 2>&1 && return
    sleep 0.1
  done
  die "$what"
}

free_ports() {
  "$node" -e 'const net = require("node:net")
    const servers = Array.from({ length: 4 }, () => net.createServer().listen(0, "127.0.0.1"))
    setTimeout(() => { console.log(servers.map((server) => server.address().port).join(" ")); process.exit() }, 50)'
}

try_image() {
  local port health admin upstream gate pid
  read -r port health admin upstream < <(free_ports)
  # In the mounted copy only: a place for the ConfigMap, and `env`, to set the environment of the image and no other.
  export CONFIG=$work/config
  mkdir -p "$CONFIG" "$mounted/etc/sidegate" "$mounted/bin"
  add_program "$mounted" "$(readlink -f "$(command -v env)")" /bin/env-of-image
  cat >"$CONFIG/sidegate.yaml" <<YAML
health: { address: "127.0.0.1:$health" }
admin: { address: "127.0.0.1:$admin" }
listeners:
  - { address: "127.0.0.1:$port", protocol: http, upstream: "127.0.0.1:$upstream" }
YAML
  "$node" -e 'require("node:http").createServer((_, answer) => answer.end("from the legacy service")).listen(process.argv[1], "127.0.0.1")' "$upstream" &
  started_processes+=($!)

  (run_image --version) >"$work/version" 2>"$work/output" || die 'docker run IMAGE --version'
  say "$(cat "$work/version")"
  (run_image run -c /etc/sidegate/sidegate.yaml) >"$work/log" 2>&1 &
  gate=$!
  started_processes+=("$gate")

  eventually '/livez does not answer' curl -fsS "http://127.0.0.1:$health/livez"
  eventually '/readyz does not answer' curl -fsS "http://127.0.0.1:$health/readyz"
  [ "$(curl -fsS "http://127.0.0.1:$port/")" = 'from the legacy service' ] || die 'a request does not pass'
  pid=$(pgrep -P "$gate" | head -1)
  grep -q '^Uid:\s65532\s65532\s65532\s65532' "/proc/$pid/status" || die 'it does not run as uid 65532'
  grep -q '^NSpid:.*\s1$' "/proc/$pid/status" || die 'it is not PID 1'
  tr '\0' '\n' <"/proc/$pid/environ" | grep -qx 'NODE_OPTIONS=--max-old-space-size-percentage=50 --disable-sigusr1 --max-semi-space-size=4 --expose-gc' || die 'NODE_OPTIONS got lost'
  tr '\0' '\n' <"/proc/$pid/environ" | grep -qx 'MALLOC_ARENA_MAX=1' || die 'MALLOC_ARENA_MAX got lost'
  ! touch "/proc/$pid/root/app/written" 2>/dev/null || die 'its root can be written'
  touch "/proc/$pid/root/tmp/written" || die 'its /tmp cannot be written'
  say "serves as PID 1, uid 65532, on a read-only root: /livez, /readyz, a request through"

  # As the hooks of a pod and the health check of compose ask: in the same image, beside it.
  (run_image health --health "127.0.0.1:$health") >"$work/output" 2>&1 || die 'health says that it is not ready'
  (run_image drain --admin "127.0.0.1:$admin") >"$work/output" 2>&1 || die 'drain does not begin a drain'
  ! (run_image health --health "127.0.0.1:$health") >"$work/output" 2>&1 || die 'it is ready while it drains'
  say 'health and drain ask it, from the same image'

  kill -TERM "$pid"
  local status=0
  wait "$gate" || status=$?
  [ "$status" = 0 ] || die "SIGTERM ended it with $status"
  say 'SIGTERM ends it with 0'
}

say 'makes the bases'
make_run_base
make_build_base
say 'builds the Dockerfile'
build_image
inspect_image
try_image
try_runbooks
if [ -n "$archive" ]; then
  quietly store push localhost/sidegate "oci-archive:$archive:sidegate"
  say "written to $archive"
fi
say "done in $SECONDS s"
