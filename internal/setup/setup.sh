#!/usr/bin/env bash
# Installs the Debian packages that Azekura's tests need, and into a cache folder the
# OpenID provider that the sign-in's are run against and the normaliser of addresses
# that ours is held to. Does nothing when all are there; without the rights to
# install, says what is missing and stops.
set -euo pipefail

modules() {
  modules_of access/signin/testdata/provider oidc-provider
  modules_of register/normal/testdata/geolonia geolonia
}

# modules_of brings a folder's modules, by its lock file and no others.
modules_of() { # folder, name
  local from to
  from="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/$1"
  to="${XDG_CACHE_HOME:-$HOME/.cache}/azekura/$2-$(sha256sum "$from/package-lock.json" | cut -c1-12)"
  [ ! -d "$to/node_modules" ] || return 0
  if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 18 ]; then
    echo "The tests need Node 18 or newer; this is $(node --version). Install one and put it first in PATH." >&2
    exit 1
  fi
  rm -rf "$to.new"
  mkdir -p "$to.new"
  cp "$from/package.json" "$from/package-lock.json" "$to.new/"
  (cd "$to.new" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  mv "$to.new" "$to"
}

missing=()
program() { command -v "$1" >/dev/null || missing+=("${@:2}"); } # program, its packages

program make make
program git git                # the rules read the list of tracked files
program gcc gcc libc6-dev      # for the race detector; Azekura itself needs no C
program ipcrm util-linux
program chromium chromium      # the sign-in's pages, with a virtual authenticator
program node nodejs
program npm npm
program pdftotext poppler-utils poppler-data # what the leak scan reads PDFs with
program swtpm swtpm            # a TPM, for devices' keys
program certutil libnss3-tools # browsers' databases, for devices' certificates
program pk12util libnss3-tools
program openssl openssl        # reads what we write for others
program rg ripgrep              # a yardstick of the scan's speed
program zip zip                # locked archives, as people make them
program 7z p7zip-full
[ -e /usr/lib/python3/dist-packages/xlwt ] || missing+=(python3-xlwt) # writes old workbooks
program aiosmtpd python3-aiosmtpd # a mail server
PATH=$PATH:/usr/sbin program rsyslogd rsyslog # and a syslog, for alarms to go to
[ -e /usr/share/fonts/opentype/ipaexfont-gothic/ipaexg.ttf ] || missing+=(fonts-ipaexfont-gothic) # for PDFs with names in them
if [ -z "${AZEKURA_PG_BIN:-}" ] && ! compgen -G '/usr/lib/postgresql/*/bin/pgbench' >/dev/null; then
  missing+=(postgresql)
fi
if [ ${#missing[@]} -eq 0 ]; then
  modules
  exit 0
fi

install=(apt-get install -y --no-install-recommends "${missing[@]}")
stop() {
  printf 'The tests need Debian packages that are missing: %s.\n%s, run:\n\n    sudo %s\n\n' \
    "${missing[*]}" "$1" "${install[*]}" >&2
  exit 1
}
command -v apt-get >/dev/null || stop 'Install what they stand for here; on Debian 12 or later'
as_root=()
if [ "$(id -u)" != 0 ]; then
  sudo -n true 2>/dev/null || stop 'To install them'
  as_root=(sudo)
fi

echo "Installing ${missing[*]} (a minute or two)."
as_root+=(env DEBIAN_FRONTEND=noninteractive)
# Debian's PostgreSQL makes a cluster and starts it; the tests start their own.
conf=/etc/postgresql-common/createcluster.d/azekura-setup.conf
trap '"${as_root[@]}" rm -f "$conf"' EXIT
"${as_root[@]}" mkdir -p "${conf%/*}"
echo 'create_main_cluster = false' | "${as_root[@]}" tee "$conf" >/dev/null
"${as_root[@]}" apt-get -q update
"${as_root[@]}" "${install[@]:0:1}" -q -o DPkg::Lock::Timeout=300 "${install[@]:1}"
modules
